from pathlib import Path

from iadlib.data import load_category
from iadlib.data.scenes import DEFECT_SIZES, drawn_defects

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"


def test_the_numbers_that_a_defect_was_drawn_with_are_those_of_its_image():
    category = load_category(SAMPLE)
    drawn, test = drawn_defects(category), category.of("test")
    areas = {name: sum(region.mask.sum() for region in category.regions(i)) for i, name in enumerate(test["name"])}
    assert len(drawn) == (test["label"] != "good").sum()
    assert drawn["pixels"].tolist() == [areas[name] for name in drawn["name"]]
    assert drawn["strength"].notna().equals(drawn["defect"] == "scratch")
    assert set(drawn["defect"]) <= set(DEFECT_SIZES)
    assert (drawn["size"] > 0).all()
