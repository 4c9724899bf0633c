import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from matplotlib import colormaps

from iadlib.figures.pictures import OUTLINE, heat_map_picture, inferno, outlines
from iadlib.types import Region

IMAGE = np.full((60, 100, 3), 120, dtype=np.uint8)
HEAT = np.linspace(0, 1, 15)[None].repeat(9, axis=0)
MASK = np.zeros((60, 100), dtype=bool)
MASK[20:40, 30:60] = True


def test_the_module_needs_neither_matplotlib_nor_torch():
    code = """
import sys
import tracemalloc
from iadlib import figures
figures.heat_map_picture
print([name for name in ("matplotlib", "seaborn", "pandas", "torch", "scipy") if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_map_rises_from_left_to_right_in_the_right_half_alone():
    picture = np.asarray(heat_map_picture(IMAGE, HEAT, [], 0, 1), dtype=int)
    left, right = picture[:, :480], picture[:, -480:]
    assert picture.shape == (288, 968, 3)
    assert (left == 120).all()
    assert right[:, -1].sum() > right[:, 240].sum() > right[:, 0].sum()


def test_the_place_of_a_strong_anomaly_stands_out_from_what_is_anomalous_around_it():
    heat = np.full((60, 100), 2.0, np.float32)  # beyond the scale everywhere
    heat[20:40, 60:80] = 20.0
    right = np.asarray(heat_map_picture(IMAGE, heat, [], 0, 1), dtype=int)[:, -480:].sum(axis=2)
    assert right[144, 336] > right[144, 48] + 100


def test_a_region_is_outlined_in_both_halves_where_it_lies():
    picture = np.asarray(heat_map_picture(IMAGE, HEAT, [Region(MASK, 10)], 0, 1))
    for half in (picture[:, :480], picture[:, -480:]):
        rows, columns = np.nonzero((half == OUTLINE).all(axis=2))
        scale = 480 / 100
        assert [rows.min(), rows.max()] == pytest.approx([20 * scale, 40 * scale], abs=1.5)
        assert [columns.min(), columns.max()] == pytest.approx([30 * scale, 60 * scale], abs=1.5)


@pytest.mark.parametrize(
    "heading", ["lot$7_$3", "$\\frac{", "Prüfling_ß, деталь 7", "部品_3", "latin1\udcff\ttab", "two\nlines", "x" * 300]
)
def test_any_heading_is_drawn_above_the_photograph(heading):
    picture = np.asarray(heat_map_picture(IMAGE, HEAT, [], 0, 1, heading))
    text = picture[:-288]
    assert text.min() < 100
    assert (text[:, -4:] == 255).all()  # nothing is cut off


def test_headings_in_letters_that_the_font_lacks_differ():
    first, second = (np.asarray(heat_map_picture(IMAGE, HEAT, [], 0, 1, name)) for name in ("部", "品"))
    assert not np.array_equal(first, second)


def test_specks_of_a_large_photograph_stay_visible():
    masks = []
    for row in range(50, 1000, 100):
        mask = np.zeros((1000, 2000), dtype=bool)
        mask[row, 700] = True
        masks.append(mask)
    drawn = np.asarray(outlines([Region(mask, 1) for mask in masks], (480, 240)))
    assert sorted(np.unique(drawn)) == [0, 255]
    rows = np.nonzero(drawn.any(axis=1))[0]
    assert (np.diff(rows) > 1).sum() == 9  # ten separate marks


def test_touching_regions_are_separated_by_a_line():
    left, right = np.zeros((20, 40), dtype=bool), np.zeros((20, 40), dtype=bool)
    left[5:15, 5:20], right[5:15, 20:35] = True, True
    drawn = np.asarray(outlines([Region(left, 1), Region(right, 1)], (40, 20)))
    assert drawn[10, 19] == 255
    assert drawn[10, 10] == 0


def test_colours_are_those_of_matplotlibs_inferno():
    values = np.arange(256).reshape(16, 16) / 255
    expected = colormaps["inferno"](values, bytes=True)[..., :3].astype(int)
    assert np.abs(inferno(values, 0, 1) - expected).max() <= 6


def test_values_outside_the_scale_get_the_colours_of_its_ends():
    assert np.array_equal(inferno(np.array([[-5.0, 9.0]]), 0, 1), inferno(np.array([[0.0, 1.0]]), 0, 1))


def test_a_map_without_contrast_is_drawn():
    assert (inferno(np.full((2, 2), 3.0), 3.0, 3.0) == inferno(np.zeros((2, 2)), 0, 1)).all()


@pytest.mark.parametrize(
    ("image", "heat", "regions", "message"),
    [
        (IMAGE.astype(float), HEAT, [], "uint8"),
        (IMAGE, HEAT[0], [], r"map is \(H, W\)"),
        (IMAGE, HEAT * np.nan, [], "NaN"),
        (IMAGE[:50], HEAT, [Region(MASK, 1)], "mask is"),
    ],
    ids=["image", "shape", "finite", "mask"],
)
def test_wrong_input_is_refused(image, heat, regions, message):
    with pytest.raises(ValueError, match=message):
        heat_map_picture(image, heat, regions, 0, 1)


def test_a_speck_in_the_last_row_and_column_is_kept_when_the_photograph_shrinks():
    mask = np.zeros((1001, 2003), dtype=bool)
    mask[-1, -1] = True
    assert np.asarray(outlines([Region(mask, 1)], (480, 240)))[-1, -1] == 255


def test_memory_does_not_grow_with_the_number_of_regions():
    mask = np.zeros((1000, 2000), dtype=bool)
    mask[10:13, 10:13] = True
    image, heat = np.zeros((1000, 2000, 3), dtype=np.uint8), np.zeros((50, 100))
    tracemalloc.start()
    heat_map_picture(image, heat, [Region(mask, 1)] * 100, 0, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6
