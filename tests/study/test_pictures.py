import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from iadlib.data import load_category
from iadlib.study import pictures

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
    table = pictures.counts(category)
    assert table.loc["test", "good"] == len(list((SAMPLE / "test/good").iterdir()))
    assert table.loc["train", "logical"] == 0


def test_examples_of_one_kind_have_its_regions_outlined(category):
    images, titles, regions = pictures.anomalous_examples(category, "logical", per_defect=1)
    assert titles == sorted(set(titles))
    for image, listed in zip(images, regions, strict=True):
        assert listed[0].mask.shape == image.shape[:2]


def test_good_images_alone_are_shown_and_what_is_missing_is_two_lines(good_only, capsys):
    assert pictures.anomaly_kinds(good_only) == []
    assert pictures.area_summary(pictures.region_areas(good_only)).empty
    assert len(pictures.normal_examples(good_only)[0]) == 6
    assert capsys.readouterr().out.count("\n") == 2


def test_areas_are_summarised_by_defect(category):
    summary = pictures.area_summary(pictures.region_areas(category))
    regions = [region for i in range(len(category.of("test"))) for region in category.regions(i)]
    assert summary["regions"].sum() == len(regions)
    assert summary["largest area"].max() == max(region.mask.sum() for region in regions)


def test_the_region_that_is_marked_in_steps_saturates_earliest(category):
    _, region, marks, _ = pictures.saturation_steps(category)
    shares = [
        other.saturation_area / other.mask.sum()
        for i in range(len(category.of("test")))
        for other in category.regions(i)
    ]
    assert region.saturation_area / region.mask.sum() == min(shares)
    assert marks[2].sum() == region.saturation_area


def test_without_detectors_or_photographs_there_is_no_figure_of_maps(category, tmp_path):
    assert pictures.maps_figure(category, {}, ["good/000"]) is None
    assert pictures.maps_figure(None, {"padim": tmp_path}, ["good/000"]) is None
    assert pictures.maps_figure(category, {"padim": tmp_path}, []) is None


def test_maps_are_drawn_below_their_photographs(category, tmp_path):
    names = list(category.of("test")["name"][:2])
    np.savez(tmp_path / "maps.npz", **{name: np.random.default_rng(0).random((8, 12), np.float32) for name in names})
    figure = pictures.maps_figure(category, {"padim": tmp_path}, names)
    assert "PaDiM" in {text.get_text() for text in figure.findobj(Text)}
