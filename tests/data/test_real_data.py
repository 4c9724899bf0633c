"""Data that does not travel with the repository: read where it is, skipped where it is not."""

import json

import numpy as np
import pytest

from iadlib.data import fit_size, load_category
from tests.data.conftest import REAL_DATA, SHARED

GOLDEN = SHARED / "golden" / "spro"
TILES, BOTTLES, JUICE = (REAL_DATA / name for name in ("magnetic_tile", "mvtec_bottle", "loco_juice_bottle"))


def needs(folder):
    """Skips a test without a folder of real data."""
    reason = f"no folder {folder}; IADLIB_REAL_DATA names the folder of real photographs"
    return pytest.mark.skipif(not folder.is_dir(), reason=reason)


needs_golden, needs_tiles = needs(GOLDEN), needs(TILES)


@pytest.fixture(scope="module")
def tiles():
    return load_category(TILES)


@needs_golden
def test_golden_regions_have_the_published_areas():
    category = load_category(GOLDEN / "dataset" / "pushpins_like")
    expected = json.loads((GOLDEN / "expected.json").read_text())
    found = []
    for i, sample in category.of("test").iterrows():
        for mask, region in zip(sample["masks"], category.regions(i), strict=True):
            area, saturation_area = int(region.mask.sum()), region.saturation_area
            found.append((sample["name"], mask.name, region.defect_name, area, saturation_area))
    fields = ("image", "png", "defect_name", "area", "saturation_area")
    assert found == [tuple(region[field] for field in fields) for region in expected["regions"]]
    assert len(found) == 43


@needs_tiles
def test_the_tiles_are_split_as_the_usual_protocol_does(tiles):
    counts = tiles.samples.groupby(["split", "label"]).size().to_dict()
    assert counts == {
        ("test", "good"): 80,
        ("test", "structural"): 194,
        ("train", "good"): 256,
        ("validation", "good"): 64,
    }


@needs_tiles
def test_the_tiles_have_regions_but_for_three_empty_masks(tiles):
    test = tiles.of("test")
    found = np.array([len(tiles.regions(i)) > 0 for i in range(len(test))])
    assert (found == test["has_mask"]).all()
    assert test[(test["label"] != "good") & ~found]["defect"].tolist() == ["Uneven"] * 3


@needs_tiles
def test_tiles_of_many_sizes_load_at_one_size(tiles):
    size = fit_size(tiles.sizes(), 64, multiple=16)
    images = tiles.images("validation", size)
    assert images.shape == (64, 3, *size)
    assert 0 <= images.min() < images.max() <= 1


@needs(BOTTLES)
@needs(JUICE)
def test_all_photographs_of_the_real_categories_are_used():
    bottles, juice = load_category(BOTTLES), load_category(JUICE)
    assert (bottles.layout, juice.layout) == ("mvtec_ad", "mvtec_loco")
    assert "train: 209 of 209 files used: 167 train, 42 validation" in bottles.summary()
    assert "test: 126 of 126 files used: 126 test (55 good, 71 logical)" in juice.summary()
    assert bottles.bits == juice.bits == 8


@needs(JUICE)
def test_the_good_photographs_of_a_real_category_are_a_category_of_their_own():
    category = load_category(JUICE / "train/good")
    assert category.layout == "photographs"
    assert [len(category.of(split)) for split in ("train", "validation", "test")] == [192, 48, 0]
