import pandas as pd
import pytest

from iadlib.study import Study, masking


@pytest.fixture(scope="module")
def values(study):
    return masking.gather(study, "values")


def test_all_grounds_are_gathered_with_radii_as_text(values):
    assert set(values["category"]) == {"cloth", "mat"}
    assert list(dict.fromkeys(values["entry"])) == ["none", "0", "8"]


def test_aurocs_by_defect_have_the_radii_in_columns(values):
    table = masking.by_defect(values)
    assert list(table.columns) == ["none", "0", "8"]
    assert list(table.index) == [("logical", "missing hole"), ("structural", "scratch")]
    assert (table["0"] >= table["none"]).all()


def test_overlaps_are_summarised_by_ground_and_defect():
    defects = ["good", "good", "missing_hole"]
    table = masking.overlaps(pd.DataFrame({"category": "grey_mat", "defect": defects, "overlap": [0.5, 1, 0.75]}))
    assert table.loc[("grey mat", "good")].tolist() == [2, 0.5, 0.75]
    assert table.loc[("grey mat", "missing hole"), "images"] == 1
    assert len(table) == 2


def test_shares_of_the_background_are_means_over_the_seeds(study):
    table = masking.background_share(masking.gather(study, "pixels"))
    assert list(table.columns) == ["all", "none", "0", "8"]
    assert table.loc[("cloth", "PatchCore")].tolist() == [0.5, 0.5, 0.5, 0.5]
    assert table.loc[("cloth", "PaDiM")].tolist() == [0.5, 0.25, 0.25, 0.25]


def test_the_folders_of_one_detector_are_named_by_radius(values, tmp_path):
    for entry in ("none", "radius_0", "radius_8"):
        (tmp_path / "artifacts/quick/masking/padim/cloth" / entry / "0").mkdir(parents=True)
    found = masking.fitted(Study("quick", tmp_path), "cloth", "padim", values)
    assert list(found) == ["none", "radius_0", "radius_8"]
