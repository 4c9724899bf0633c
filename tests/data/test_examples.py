import shutil
from pathlib import Path

import pytest

from iadlib.data import examples, load_category

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"


@pytest.fixture(scope="module")
def category():
    return load_category(SAMPLE)


@pytest.fixture(scope="module")
def good_only(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "flat_connector"
    shutil.copytree(SAMPLE, folder)
    for part in ("test/logical_anomalies", "test/structural_anomalies", "ground_truth"):
        shutil.rmtree(folder / part)
    return load_category(folder)


def test_counts_are_those_of_the_folders(category):
    table = examples.counts(category)
    assert table.loc["test", "good"] == len(list((SAMPLE / "test/good").iterdir()))
    assert table.loc["train", "logical"] == 0


def test_examples_of_one_kind_have_its_regions_outlined(category):
    images, titles, regions = examples.anomalous_examples(category, "logical", per_defect=1)
    assert titles == sorted(set(titles))
    for image, listed in zip(images, regions, strict=True):
        assert listed[0].mask.shape == image.shape[:2]


def test_good_images_alone_are_shown_and_what_is_missing_is_two_lines(good_only, capsys):
    assert examples.anomaly_kinds(good_only) == []
    assert examples.region_areas(good_only).empty
    assert len(examples.normal_examples(good_only)[0]) == 6
    assert capsys.readouterr().out.count("\n") == 2


def test_areas_are_summarised_by_defect(category):
    summary = examples.region_areas(category)
    regions = [region for i in range(len(category.of("test"))) for region in category.regions(i)]
    assert summary["regions"].sum() == len(regions)
    assert summary["largest area"].max() == max(region.mask.sum() for region in regions)
