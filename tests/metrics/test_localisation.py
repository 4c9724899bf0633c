import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from iadlib.metrics import au_pro, au_spro, pixel_aupr, pixel_auroc, spro_curve
from iadlib.types import Region

SHAPE = (12, 9)


def scene(seed: int, levels: int = 12) -> tuple[np.ndarray, list[list[Region]]]:
    """Six maps with few levels, so that most scores tie, and overlapping regions of odd saturation; two are good."""
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, levels, (6, *SHAPE)).astype(np.float32)
    regions = [[], []]
    for _ in range(4):
        listed = []
        for _ in range(rng.integers(1, 4)):
            mask = rng.random(SHAPE) < rng.uniform(0.02, 0.3)
            mask[tuple(rng.integers(0, SHAPE))] = True
            listed.append(Region(mask, int(rng.integers(1, mask.sum() + 1)), "some"))
        regions.append(listed)
    return maps, regions


def brute_force(maps: np.ndarray, regions: list[list[Region]], limit: float) -> float:
    """A vertex at every distinct score, straight from the definition."""
    free = [~np.any([np.zeros(SHAPE, bool), *(r.mask for r in listed)], axis=0) for listed in regions]
    points = [(0.0, 0.0)]
    for threshold in [*np.unique(maps)[::-1], -1]:
        false_positives = sum(int((heat > threshold)[mask].sum()) for heat, mask in zip(maps, free, strict=True))
        overlaps = [
            min(1, int((heat > threshold)[r.mask].sum()) / r.saturation_area)
            for heat, listed in zip(maps, regions, strict=True)
            for r in listed
        ]
        points.append((false_positives / sum(int(mask.sum()) for mask in free), sum(overlaps) / len(overlaps)))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        right = min(x1, limit)
        if right > x0:
            y_right = y0 + (y1 - y0) * (right - x0) / (x1 - x0)
            area += (right - x0) * (y0 + y_right) / 2
    return area / limit


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("limit", [0.03, 0.05, 0.3, 1.0])
def test_au_spro_equals_the_definition(seed, limit):
    maps, regions = scene(seed)
    assert au_spro(maps, regions, limit) == pytest.approx(brute_force(maps, regions, limit), abs=1e-12)


def test_au_spro_counts_a_saturated_region_as_found():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2:6, 2:6] = True
    heat = np.zeros(SHAPE)
    heat[2, 2:5] = 1.0  # 3 of 16 pixels
    assert au_spro([heat], [[Region(mask, 3)]]) == 1.0
    assert au_spro([heat], [[Region(mask, 6)]]) == pytest.approx(0.5, abs=0.02)


def test_au_pro_is_au_spro_where_every_region_saturates_at_its_area():
    maps, regions = scene(0)
    whole = [[Region(r.mask, int(r.mask.sum())) for r in listed] for listed in regions]
    assert au_pro(maps, regions, 0.3) == au_spro(maps, whole, 0.3)
    assert au_pro(maps, regions, 0.3) < au_spro(maps, regions, 0.3)


@pytest.mark.parametrize("metric", [au_spro, au_pro, pixel_auroc, pixel_aupr])
class TestRelations:
    def test_monotone_rescaling_changes_nothing(self, metric):
        maps, regions = scene(1)
        assert metric(np.exp(maps / 3) - 5, regions) == pytest.approx(metric(maps, regions), abs=1e-12)

    def test_order_of_images_changes_nothing(self, metric):
        maps, regions = scene(2)
        assert metric(maps[::-1], regions[::-1]) == pytest.approx(metric(maps, regions), abs=1e-12)

    def test_a_list_of_maps_is_as_good_as_an_array(self, metric):
        maps, regions = scene(3)
        assert metric(list(maps), regions) == metric(maps, regions)

    def test_the_truth_itself_is_perfect(self, metric):
        _, regions = scene(4)
        maps = np.array([np.any([np.zeros(SHAPE, bool), *(r.mask for r in each)], axis=0) for each in regions])
        assert metric(maps.astype(np.float32), regions) == pytest.approx(1.0)

    def test_inputs_stay_untouched(self, metric):
        maps, regions = scene(5)
        before = maps.copy()
        metric(maps, regions)
        assert np.array_equal(maps, before)

    def test_without_any_region_there_is_no_value(self, metric):
        assert np.isnan(metric(np.zeros((2, *SHAPE)), [[], []]))

    def test_a_map_of_another_size_than_its_truth_raises(self, metric):
        with pytest.raises(ValueError, match=r"map 0 is \(3, 4\)"):
            metric([np.zeros((3, 4))], [[Region(np.ones(SHAPE, bool), 1)]])

    def test_not_a_number_raises(self, metric):
        maps, regions = scene(6)
        maps[3, 0, 0] = np.nan
        with pytest.raises(ValueError, match="map 3"):
            metric(maps, regions)

    def test_maps_and_regions_of_different_numbers_raise(self, metric):
        maps, regions = scene(7)
        with pytest.raises(ValueError, match="6 maps for the regions of 5 images"):
            metric(maps, regions[:5])


def test_maps_of_different_sizes_are_pooled():
    rng = np.random.default_rng(0)
    sizes = [(5, 7), (12, 9), (8, 8)]
    maps = [rng.integers(0, 5, size).astype(float) for size in sizes]
    masks = [rng.random(size) < 0.3 for size in sizes]
    labels, scores = np.concatenate([m.ravel() for m in masks]), np.concatenate([m.ravel() for m in maps])
    regions = [[Region(mask, 1)] for mask in masks]
    assert pixel_auroc(maps, regions) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_pixel_metrics_equal_scikit_learns(seed):
    maps, regions = scene(seed)
    labels = np.array([np.any([np.zeros(SHAPE, bool), *(r.mask for r in listed)], axis=0) for listed in regions])
    assert pixel_auroc(maps, regions) == pytest.approx(roc_auc_score(labels.ravel(), maps.ravel()), abs=1e-12)
    assert pixel_aupr(maps, regions) == pytest.approx(average_precision_score(labels.ravel(), maps.ravel()), abs=1e-12)


def test_without_defect_free_pixels_there_is_no_false_positive_rate():
    assert np.isnan(au_spro([np.zeros(SHAPE)], [[Region(np.ones(SHAPE, bool), 1)]]))


def test_the_curve_never_falls():
    x, y = spro_curve(*scene(8))
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= -1e-15).all()
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize("limit", [0, -0.1, 1.1])
def test_a_limit_that_is_no_rate_raises(limit):
    with pytest.raises(ValueError, match="max_fpr"):
        au_spro(*scene(9), max_fpr=limit)
