"""Regions as lists of pixels."""

import numpy as np
import pytest

from iadlib.metrics import GroundTruth, au_spro, ground_truths, pixel_auroc
from iadlib.types import Region


@pytest.fixture
def regions() -> list[Region]:
    masks = np.random.default_rng(0).random((3, 9, 11)) < 0.2
    return [Region(mask, count, name) for mask, count, name in zip(masks, (1, 5, 9), "abc", strict=True)]


def test_pixels_are_the_union_of_the_regions(regions):
    truth = GroundTruth(regions)
    assert truth.pixels.tolist() == np.flatnonzero(np.any([region.mask for region in regions], axis=0)).tolist()
    for pixels, region in zip(truth, regions, strict=True):
        assert truth.pixels[pixels.places].tolist() == np.flatnonzero(region.mask).tolist()
        assert (pixels.saturation_area, pixels.defect_name) == (region.saturation_area, region.defect_name)


def test_metrics_take_regions_and_their_pixels_alike(regions):
    maps = np.random.default_rng(1).random((2, 9, 11))
    truth = ground_truths([regions, []])
    assert au_spro(maps, truth, 0.3) == au_spro(maps, [regions, []], 0.3)
    assert pixel_auroc(maps, truth) == pixel_auroc(maps, [regions, []])
    assert ground_truths(truth) == truth


def test_regions_of_different_sizes_in_one_image_are_an_error(regions):
    with pytest.raises(ValueError, match=r"shapes \(4, 4\) and \(9, 11\)"):
        GroundTruth([*regions, Region(np.ones((4, 4), bool), 1)])
