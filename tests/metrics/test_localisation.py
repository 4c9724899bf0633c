"""Metrics of where: against loops that try every threshold, against scikit-learn, and against themselves."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from iadlib.metrics import au_pro, au_spro, chance_au_spro, map_report, pixel_aupr, pixel_auroc, spro_curve
from iadlib.types import Region

METRICS = (au_spro, au_pro, pixel_auroc, pixel_aupr)


def scene(seed: int, levels: int = 6, size: tuple[int, int] = (7, 5), dtype=np.float32):
    """Maps of few levels, so that most pixels tie: two good images, and two with one to three overlapping regions."""
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, levels, (4, *size)).astype(dtype)
    regions = [[], []]
    for _ in range(2):
        masks = [rng.random(size) < rng.uniform(0.05, 0.4) for _ in range(rng.integers(1, 4))]
        for mask in masks:
            mask[rng.integers(size[0]), rng.integers(size[1])] = True
        regions.append([Region(mask, int(rng.integers(1, mask.sum() + 1))) for mask in masks])
    return maps, regions


def pixels(maps, regions) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of all pixels."""
    labels = [
        np.any([np.zeros(m.shape, bool), *(r.mask for r in rs)], axis=0) for m, rs in zip(maps, regions, strict=True)
    ]
    return np.concatenate([m.ravel() for m in maps]), np.concatenate([label.ravel() for label in labels])


def area_by_trying_every_threshold(maps, regions, limit: float) -> float:
    """The definition, in plain loops: a vertex at every distinct score."""
    scores, labels = pixels(maps, regions)
    free = scores[~labels]
    vertices = [(0.0, 0.0)]
    for threshold in [*sorted(set(scores.tolist()), reverse=True), -np.inf]:
        overlaps = [
            min(1, np.count_nonzero(heat[region.mask] > threshold) / region.saturation_area)
            for heat, listed in zip(maps, regions, strict=True)
            for region in listed
        ]
        vertices.append((np.count_nonzero(free > threshold) / len(free), sum(overlaps) / len(overlaps)))
    area = 0.0
    for (x, y), (next_x, next_y) in zip(vertices, [*vertices[1:], (1.0, 1.0)], strict=True):
        if x < limit and next_x > x:
            end = min(next_x, limit)
            area += (end - x) * (y + y + (next_y - y) * (end - x) / (next_x - x)) / 2
    return area / limit


@pytest.mark.parametrize("seed", range(60))
def test_au_spro_equals_trying_every_threshold(seed):
    maps, regions = scene(seed, levels=2 + seed % 30)
    for limit in (0.01, 0.05, 0.29, 0.3, 1.0):
        expected = area_by_trying_every_threshold(maps, regions, limit)
        assert au_spro(maps, regions, limit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_au_pro_equals_trying_every_threshold_with_whole_regions(seed):
    maps, regions = scene(seed)
    whole = [[Region(region.mask, int(region.mask.sum())) for region in listed] for listed in regions]
    expected = area_by_trying_every_threshold(maps, whole, 0.3)
    assert au_pro(maps, regions) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_a_region_that_cannot_saturate_stays_below_one_up_to_the_end(seed):
    maps, regions = scene(seed)
    regions = [[Region(region.mask, int(region.mask.sum()) + 5) for region in listed] for listed in regions]
    mask = np.array([[True, False, False]])
    assert au_spro([np.array([[1.0, 0.5, 0.0]])], [[Region(mask, 2)]], 1.0) == pytest.approx(0.5)
    for limit in (0.05, 1.0):
        expected = area_by_trying_every_threshold(maps, regions, limit)
        assert au_spro(maps, regions, limit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float64])
def test_maps_of_any_number_type_are_judged_alike(dtype):
    maps, regions = scene(3)
    for metric in METRICS:
        assert metric(maps.astype(dtype), regions) == metric(maps, regions)


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_pixel_metrics_equal_scikit_learn(levels):
    for seed in range(10):
        maps, regions = scene(seed, levels)
        scores, labels = pixels(maps, regions)
        assert pixel_auroc(maps, regions) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert pixel_aupr(maps, regions) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_monotone_rescaling_changes_nothing(metric):
    maps, regions = scene(5, levels=200)
    assert metric(np.exp(maps / 50) - 7, regions) == pytest.approx(metric(maps, regions), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_the_truth_itself_is_perfect(metric):
    maps, regions = scene(4)
    labels = pixels(maps, regions)[1].reshape(maps.shape)
    assert metric(labels.astype(np.float32), regions) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_order_of_images_and_of_regions_changes_nothing(metric):
    maps, regions = scene(6)
    order = [2, 0, 3, 1]
    shuffled = [regions[i][::-1] for i in order]
    assert metric(maps[order], shuffled) == pytest.approx(metric(maps, regions), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_list_of_maps_equals_array_of_maps(metric):
    maps, regions = scene(7)
    assert metric(list(maps), regions) == metric(maps, regions)


def test_maps_of_different_sizes_pool_their_pixels():
    large_maps, large_regions = scene(8, size=(9, 12))
    maps, regions = scene(9)
    maps, regions = [*maps, *large_maps], regions + large_regions
    scores, labels = pixels(maps, regions)
    assert pixel_auroc(maps, regions) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert au_spro(maps, regions) == pytest.approx(area_by_trying_every_threshold(maps, regions, 0.05), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_inputs_are_not_changed(metric):
    maps, regions = scene(10)
    before, masks = maps.copy(), [region.mask.copy() for listed in regions for region in listed]
    metric(maps, regions)
    assert np.array_equal(maps, before)
    assert all(np.array_equal(a.mask, b) for a, b in zip([r for rs in regions for r in rs], masks, strict=True))


def test_au_spro_counts_a_saturated_region_as_found():
    mask = np.zeros((10, 10), bool)
    mask[:5] = True
    heat = np.zeros((10, 10))
    heat[0, :4] = 1  # 4 of 50 pixels
    assert au_spro([heat], [[Region(mask, 4)]]) == 1
    assert au_spro([heat], [[Region(mask, 8)]], 0.05) == pytest.approx(0.5 + 0.5 * 0.05 / 2)  # then all others tie
    assert au_pro([heat], [[Region(mask, 4)]], 0.05) == pytest.approx(4 / 50 + 46 / 50 * 0.05 / 2)


def test_au_spro_weighs_regions_alike_whatever_their_size_or_image():
    small, large = np.zeros((2, 10, 10), bool)
    small[0, 0] = True
    large[5:] = True
    heat = np.where(large, 1.0, 0.0)
    heat[0, 0] = -1
    regions = [[Region(small, 1), Region(large, 50)], []]
    assert au_spro([heat, np.zeros((10, 10))], regions) == pytest.approx(0.5)


def test_a_tie_of_defect_and_defect_free_pixels_is_a_slanted_line():
    mask = np.array([[True, False, False, False, False]])
    assert au_spro(np.ones((1, 1, 5)), [[Region(mask, 1)]], 0.5) == pytest.approx(0.25)
    rate, mean_spro = spro_curve(np.ones((1, 1, 5)), [[Region(mask, 1)]])
    assert np.interp([0, 0.25, 1], rate, mean_spro).tolist() == [0, 0.25, 1]


def test_a_pixel_in_two_regions_counts_for_both_and_is_never_a_false_positive():
    first, second = np.array([[[True, True, False, False, False]], [[False, True, True, False, False]]])
    heat = np.array([[0.0, 1.0, 0.0, 0.5, 0.5]])
    assert au_spro([heat], [[Region(first, 1), Region(second, 1)]], 0.5) == 1


def test_au_spro_of_one_defect_keeps_the_pixels_of_others_out_of_the_false_positives():
    scratch, dent = np.array([[[True, False, False, False]], [[False, True, False, False]]])
    regions = [[Region(scratch, 1, "scratch"), Region(dent, 1, "dent")]]
    heat = np.array([[0.5, 1.0, 0.0, 0.0]])
    assert au_spro([heat], regions, 0.3, defect_name="scratch") == 1
    assert np.isnan(au_spro([heat], regions, 0.3, defect_name="bump"))


@pytest.mark.parametrize("metric", METRICS)
def test_nan_where_no_image_has_a_region(metric):
    assert np.isnan(metric(np.zeros((2, 3, 4)), [[], []]))


@pytest.mark.parametrize("metric", [au_spro, au_pro, pixel_auroc])
def test_nan_where_no_pixel_is_defect_free(metric):
    assert np.isnan(metric(np.zeros((1, 3, 4)), [[Region(np.ones((3, 4), bool), 3)]]))


def test_pixel_aupr_is_one_where_every_pixel_is_defective():
    assert pixel_aupr(np.zeros((1, 3, 4)), [[Region(np.ones((3, 4), bool), 3)]]) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_nan_of_no_image_at_all(metric):
    assert np.isnan(metric([], []))


@pytest.mark.parametrize("limit", [0.05, 0.29, 0.3, 1.0])
def test_curve_ascends_from_the_origin_to_the_limit_and_spans_the_area(limit):
    for seed in range(20):
        maps, regions = scene(seed, levels=40)
        rate, mean_spro = spro_curve(maps, regions, limit)
        assert (rate[0], mean_spro[0], rate[-1]) == (0, 0, limit)
        assert (np.diff(rate) >= 0).all()
        assert (np.diff(mean_spro) >= 0).all()
        assert np.trapezoid(mean_spro, rate) / limit == pytest.approx(au_spro(maps, regions, limit), abs=1e-15)
        whole_rate, whole_spro = spro_curve(maps, regions)
        assert (whole_rate[-1], whole_spro[-1]) == (1, 1)
        inside = np.linspace(0, limit, 101)[1:-1] + 1e-7  # beside the jumps
        assert np.interp(inside, rate, mean_spro) == pytest.approx(np.interp(inside, whole_rate, whole_spro), abs=1e-12)


def test_curve_is_empty_without_a_region():
    rate, mean_spro = spro_curve(np.zeros((1, 3, 4)), [[]])
    assert len(rate) == len(mean_spro) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_wrong_maps_are_named(metric):
    maps, regions = scene(0)
    with pytest.raises(ValueError, match="3 maps for the regions of 4 images"):
        metric(maps[:3], regions)
    with pytest.raises(ValueError, match=r"map 2 is \(6, 5\), but its ground truth is \(7, 5\)"):
        metric(maps[:, 1:], regions)
    with pytest.raises(ValueError, match=r"map 0 is of shape \(1, 7, 5\)"):
        metric(maps[:, None], regions)
    with pytest.raises(ValueError, match="map 1 holds values that are not finite"):
        metric(np.where(np.arange(4)[:, None, None] == 1, np.nan, maps), regions)


def test_a_limit_that_is_no_rate_raises():
    maps, regions = scene(0)
    for limit in (0, -0.1, 1.1):
        with pytest.raises(ValueError, match="max_fpr"):
            au_spro(maps, regions, limit)


@pytest.mark.parametrize("saturation_area", [300, 3000, 30000])
def test_chance_is_what_uniform_noise_reaches(saturation_area):
    generator = np.random.default_rng(0)
    mask = np.zeros((300, 200), bool)
    mask[20:200, 10:177] = True  # 30,060 pixels
    regions = [[Region(mask, saturation_area)], []]
    reached = [au_spro(list(generator.random((2, 300, 200))), regions, 0.05) for _ in range(5)]
    assert np.mean(reached) == pytest.approx(chance_au_spro(regions, 0.05), abs=0.01)


def test_chance_of_one_defect_is_of_its_regions_alone():
    large, small = np.ones((10, 10), bool), np.eye(10, dtype=bool)
    regions = [[Region(large, 1, "a")], [Region(small, 10, "b")]]
    assert chance_au_spro(regions, 0.05, "a") == pytest.approx(0.9)
    assert chance_au_spro(regions, 0.05, "b") == pytest.approx(0.025)
    assert np.isnan(chance_au_spro(regions, 0.05, "c"))


@pytest.mark.parametrize("seed", range(5))
def test_au_spro_is_the_mean_of_its_images_weighted_by_their_regions(seed):
    maps, regions = scene(seed)
    _, values = map_report(maps, regions, ["logical" if each else "good" for each in regions])
    assert np.isnan(values[:2]).all()
    weights = [len(each) for each in regions[2:]]
    assert np.average(values[2:], weights=weights) == pytest.approx(au_spro(maps, regions, 0.05), abs=1e-12)
