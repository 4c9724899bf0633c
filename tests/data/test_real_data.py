"""Data that does not travel with the repository: read where it is, skipped where it is not."""

import json

import numpy as np
import pytest

from iadlib.data import fit_size, image_sizes, load_category, load_images
from tests.data.conftest import SHARED

GOLDEN = SHARED / "golden" / "spro"
TILES = SHARED / "data" / "magnetic_tile"

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden sPRO data set is not beside the repository")
needs_tiles = pytest.mark.skipif(
    not TILES.is_dir(), reason="the magnetic-tile photographs are not beside the repository"
)


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
def test_all_tiles_load_at_one_size(tiles):
    size = fit_size(image_sizes(tiles.samples["image"]), 64, multiple=16)
    images = load_images(tiles.samples["image"], size)
    assert images.shape == (594, 3, *size)
    assert 0 <= images.min() < images.max() <= 1
