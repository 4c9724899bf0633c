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
