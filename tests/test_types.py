"""The values that the steps of the study exchange."""

import numpy as np
import pytest

from iadlib.types import Prediction, Region

MASK = np.zeros((64, 48), dtype=bool)
MASK[10:14, 20:31:2] = True


def test_a_region_keeps_its_mask_exactly():
    region = Region(MASK, 7, "scratch")
    np.testing.assert_array_equal(region.mask, MASK)
    assert (region.shape, region.area, region.saturation_area, region.defect_name) == ((64, 48), 24, 7, "scratch")
    assert region.box == (slice(10, 14), slice(20, 31))
    np.testing.assert_array_equal(region.part, MASK[region.box])


def test_a_change_of_a_mask_does_not_change_the_region():
    region = Region(MASK, 1)
    region.mask[:] = True
    np.testing.assert_array_equal(region.mask, MASK)


def test_a_region_of_a_box_is_that_of_its_whole_mask():
    box = (slice(10, 14), slice(20, 31))
    region = Region.from_box(MASK[box], box, MASK.shape, 7)
    np.testing.assert_array_equal(region.mask, MASK)
    assert region.area == 24


@pytest.mark.parametrize(
    ("mask", "saturation_area", "message"),
    [
        (MASK.astype(np.uint8), 1, r"boolean \(H, W\), not uint8"),
        (MASK[None], 1, r"boolean \(H, W\)"),
        (np.zeros_like(MASK), 1, "has no pixel"),
        (MASK, 0, "saturates at 0 pixels; 1 or more"),
    ],
)
def test_what_is_no_region_is_refused(mask, saturation_area, message):
    with pytest.raises(ValueError, match=message):
        Region(mask, saturation_area)


def test_predictions_of_batches_are_joined_with_maps_or_without():
    scores, maps = np.arange(3, dtype=np.float32), np.ones((3, 4, 5), np.float32)
    with_maps = Prediction.concatenated([Prediction(scores[:2], maps[:2]), Prediction(scores[2:], maps[2:])])
    assert with_maps.scores.tolist() == [0, 1, 2]
    assert with_maps.maps.shape == (3, 4, 5)
    without = Prediction.concatenated([Prediction(scores, None), Prediction(scores, None)])
    assert without.maps is None
    assert without.first(4).scores.tolist() == [0, 1, 2, 0]


def test_scores_and_maps_of_other_numbers_are_refused():
    with pytest.raises(ValueError, match=r"scores \(N,\) and maps \(N, H, W\) expected"):
        Prediction(np.zeros(2, np.float32), np.zeros((3, 4, 5), np.float32))
