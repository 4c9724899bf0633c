import numpy as np
import pytest

from iadlib.figures import image_grid, maps_by_detector
from iadlib.figures.pictures import OUTLINE
from iadlib.types import Region

IMAGES = [np.full((300, 600, 3), 90, dtype=np.uint8), np.full((600, 300, 3), 90, dtype=np.uint8)]


def test_photographs_are_drawn_in_no_more_pixels_than_are_shown():
    figure = image_grid([np.zeros((1000, 2000, 3), dtype=np.uint8)] * 3, ["a", "b", "c"])
    height, width = figure.axes[0].images[0].get_array().shape[:2]
    assert (height, width) <= (160, 320)


def test_a_region_is_outlined_where_it_lies():
    mask = np.zeros((300, 600), dtype=bool)
    mask[100:200, 300:450] = True
    shown = image_grid(IMAGES[:1], ["a"], [[Region(mask, 10)]]).axes[0].images[0].get_array()
    rows, columns = np.nonzero((shown == OUTLINE).all(axis=2))
    height, width = shown.shape[:2]
    assert [rows.min() / height, rows.max() / height] == pytest.approx([1 / 3, 2 / 3], abs=0.02)
    assert [columns.min() / width, columns.max() / width] == pytest.approx([1 / 2, 3 / 4], abs=0.02)


def test_every_detector_has_a_scale_of_its_own():
    heat = np.linspace(0, 1, 50).reshape(5, 10)
    maps = {"small": [heat, heat.T / 2], "large": [1000 * heat, 500 * heat.T]}
    canvas = maps_by_detector(IMAGES, maps, [[], []], ["wide", "tall"]).axes[0].images[0].get_array()
    step = (canvas.shape[0] - 23) // 3  # a row of pictures with the gap below it
    small, large = canvas[23 + step : 23 + 2 * step], canvas[23 + 2 * step : 23 + 3 * step]
    assert np.array_equal(small, large)
    assert len(np.unique(small.reshape(-1, 3), axis=0)) > 20


def test_as_many_maps_as_images_are_needed():
    with pytest.raises(ValueError, match="gcad: 1 maps for 2 images"):
        maps_by_detector(IMAGES, {"gcad": [np.zeros((3, 3))]}, [[], []], ["a", "b"])


def test_without_images_the_figure_says_so():
    assert "nothing to draw" in image_grid([], []).axes[0].texts[0].get_text()
