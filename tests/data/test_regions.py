"""Ground truth: from mask files to regions."""

import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from iadlib.data import DataError, DefectType, load_category
from tests.data.conftest import HEIGHT, WIDTH, write_image, write_mask

ENTRY = {"defect_name": "bent", "pixel_value": 254, "saturation_threshold": 0.5, "relative_saturation": True}


def facts(regions) -> list[tuple]:
    return [(region.defect_name, int(region.mask.sum()), region.saturation_area) for region in regions]


def test_a_good_image_has_no_region(mvtec_ad, mvtec_loco, magnetic_tile):
    for root in (mvtec_ad, mvtec_loco, magnetic_tile):
        category = load_category(root)
        good = category.of("test").query("label == 'good'").index
        assert all(category.regions(i) == [] for i in good)


def test_a_loco_file_is_one_region_that_saturates_as_its_type_says(mvtec_loco):
    category = load_category(mvtec_loco)
    assert facts(category.regions(2)) == [("missing", 200, 150), ("bent", 100, 28)]
    assert facts(category.regions(4)) == [("scratch", 100, 100)]
    assert category.regions(2)[0].mask.shape == (HEIGHT, WIDTH)


def test_a_tiny_relative_region_saturates_at_one_pixel(mvtec_loco):
    assert facts(load_category(mvtec_loco).regions(3)) == [("bent", 2, 1)]


@pytest.mark.parametrize(
    ("threshold", "relative", "area", "expected"),
    [
        (0.57, True, 100, 56),
        (0.3, True, 10, 3),
        (1.0, True, 7, 7),
        (0.1, True, 9, 1),
        (3, False, 2, 2),
        (3, False, 9, 3),
    ],
)
def test_saturation_areas_are_cut_and_never_zero(threshold, relative, area, expected):
    assert DefectType("any", 1, threshold, relative).saturation_area(area) == expected


def test_components_of_an_mvtec_ad_mask_saturate_at_their_own_area(mvtec_ad):
    assert facts(load_category(mvtec_ad).regions(3)) == [("scratch", 20, 20), ("scratch", 6, 6)]


def test_pixels_that_touch_at_a_corner_are_one_region(mvtec_ad):
    assert facts(load_category(mvtec_ad).regions(0)) == [("dent", 7, 7)]


def test_tile_masks_count_from_half_of_the_range(magnetic_tile):
    category = load_category(magnetic_tile)
    by_name = {name: facts(category.regions(i)) for i, name in enumerate(category.of("test")["name"])}
    assert by_name["MT_Crack/tile_1"] == [("Crack", 20, 20)]
    assert by_name["MT_Crack/tile_2"] == []
    assert by_name["MT_Blowhole/tile_1"] == [("Blowhole", 4, 4), ("Blowhole", 9, 9)]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_a_mask_may_have_equal_channels_or_a_grey_palette(mvtec_loco, mode):
    path = mvtec_loco / "ground_truth/logical_anomalies/000/001.png"
    Image.open(path).convert(mode).save(path)
    assert facts(load_category(mvtec_loco).regions(2))[1] == ("bent", 100, 28)


def test_a_mask_of_one_bit_counts_as_0_and_255(mvtec_ad):
    path = mvtec_ad / "ground_truth/scratch/000_mask.png"
    Image.open(path).convert("1").save(path)
    assert facts(load_category(mvtec_ad).regions(3)) == [("scratch", 20, 20), ("scratch", 6, 6)]


def test_a_coloured_mask_is_refused(mvtec_loco):
    path = mvtec_loco / "ground_truth/structural_anomalies/000/000.png"
    Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 0)).save(path)
    with pytest.raises(DataError, match=r"structural_anomalies/000/000\.png: a grey mask expected"):
        load_category(mvtec_loco).regions(4)


@pytest.mark.parametrize(
    ("layout", "mask"),
    [
        ("mvtec_ad", "ground_truth/scratch/000_mask.png"),
        ("mvtec_loco", "ground_truth/structural_anomalies/000/000.png"),
        ("magnetic_tile", "MT_Crack/Imgs/tile_1.png"),
    ],
)
def test_a_mask_of_another_size_is_named(layout, mask, request):
    root = request.getfixturevalue(layout)
    write_mask(root / mask, (0, 4, 0, 4, 255), shape=(WIDTH, HEIGHT))
    with pytest.raises(DataError) as caught:
        load_category(root).check()
    assert f"{root / mask}: the mask is 48 x 64 (height x width), its image 64 x 48" in str(caught.value)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([(0, 4, 0, 4, 77)], r"pixel value 77 is unknown; defects_config\.json has 255 \(missing\), 254 \(bent\)"),
        ([(0, 4, 0, 4, 255), (9, 12, 9, 12, 254)], r"one positive pixel value expected, not 254, 255"),
        ([], r"the mask is empty"),
    ],
)
def test_a_loco_mask_of_unexpected_values_is_named(mvtec_loco, boxes, message):
    write_mask(mvtec_loco / "ground_truth/structural_anomalies/000/000.png", *boxes)
    with pytest.raises(DataError, match=rf"structural_anomalies/000/000\.png: {message}"):
        load_category(mvtec_loco).regions(4)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([(0, 4, 0, 4, 255), (9, 12, 9, 12, 1)], r"the values of a mask are 0 and 255, not 1$"),
        ([(row, row + 1, 0, 4, row + 1) for row in range(9)], r"not 1, 2, 3, 4, 5 \.\.\.$"),
        ([], r"the mask is empty"),
    ],
)
def test_an_mvtec_ad_mask_of_unexpected_values_is_named(mvtec_ad, boxes, message):
    write_mask(mvtec_ad / "ground_truth/scratch/000_mask.png", *boxes)
    with pytest.raises(DataError, match=rf"scratch/000_mask\.png: .*{message}"):
        load_category(mvtec_ad).regions(3)


def test_an_unreadable_mask_is_named(mvtec_loco):
    (mvtec_loco / "ground_truth/structural_anomalies/000/000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"structural_anomalies/000/000\.png: not readable as an image"):
        load_category(mvtec_loco).regions(4)


def test_a_missing_defects_config_is_named(mvtec_loco):
    (mvtec_loco / "defects_config.json").unlink()
    with pytest.raises(DataError, match=r"defects_config\.json: missing"):
        load_category(mvtec_loco)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable as JSON"),
        ("\xff", "not readable as JSON"),
        ({"bent": 254}, "a list of defect types expected, not dict"),
        ([ENTRY, "bent"], "entry 2: an object with defect_name, .* expected, not str"),
        ([{**ENTRY, "defect_name": 3}], "entry 1: defect_name is a text, not 3"),
        ([{**ENTRY, "pixel_value": 0}], "entry 1: pixel_value is a whole number from 1 to 255, not 0"),
        ([{**ENTRY, "pixel_value": True}], "entry 1: pixel_value is a whole number from 1 to 255, not True"),
        ([{**ENTRY, "saturation_threshold": "0.5"}], "entry 1: saturation_threshold is a number above 0, not '0.5'"),
        ([{**ENTRY, "saturation_threshold": -1}], "entry 1: saturation_threshold is a number above 0, not -1"),
        ([{**ENTRY, "saturation_threshold": 2}], "entry 1: a relative saturation_threshold is 1 at most, not 2"),
        ([{**ENTRY, "relative_saturation": "yes"}], "entry 1: relative_saturation is true or false, not 'yes'"),
        ([{"defect_name": "bent"}], "entry 1: pixel_value is missing"),
        ([ENTRY, {**ENTRY, "defect_name": "cut"}], "pixel_value 254 belongs to more than one defect type"),
    ],
)
def test_a_malformed_defects_config_says_where(mvtec_loco, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    (mvtec_loco / "defects_config.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=rf"defects_config\.json: {message}"):
        load_category(mvtec_loco)


def test_regions_are_boolean_masks_of_their_own(mvtec_ad):
    first, second = load_category(mvtec_ad).regions(3)
    assert first.mask.dtype == bool
    assert not np.logical_and(first.mask, second.mask).any()


def test_the_regions_of_an_image_are_read_once(mvtec_ad):
    category = load_category(mvtec_ad)
    before = facts(category.regions(3))
    category.regions(3).clear()
    write_mask(mvtec_ad / "ground_truth/scratch/000_mask.png", (0, 1, 0, 1, 255))
    assert facts(category.regions(3)) == before


def test_many_specks_on_a_large_photograph_take_little_memory(tmp_path):
    root = tmp_path / "plate"
    write_image(root / "test/speck/000.png", shape=(1000, 2000))
    specks = [(row, row + 2, column, column + 2, 255) for row in range(0, 1000, 100) for column in range(0, 2000, 100)]
    write_mask(root / "ground_truth/speck/000_mask.png", *specks, shape=(1000, 2000))
    tracemalloc.start()
    regions = load_category(root).regions(0)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(regions) == 200
    assert kept < 2e6
    assert most < 40e6
