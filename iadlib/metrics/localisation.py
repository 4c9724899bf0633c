"""Metrics of anomaly maps against ground-truth regions, exact and without trying thresholds.

AU-sPRO: Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
Localization", IJCV 2022. AU-PRO: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021.

In principle a curve has a vertex at every distinct score. But the mean sPRO rises only where a region gains one of its
S highest scores (S: its saturation area); between two such scores only the false positive rate changes, along a level
line. So vertices are needed at those scores only, and `counting` finds the false positive rates there.

Everywhere: `maps` is (N, H, W) or a sequence of (H, W), of the photographs' size, which may make each map when it is
indexed (`resize_maps`): maps are read one after the other. `regions` holds a list of Region for every image, [] for a
good one. A pixel is defect-free if no region covers it, and marked if its score is strictly greater than the threshold.
False positive rates pool the defect-free pixels of all images; sPRO is averaged over regions, not over images first.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from iadlib.metrics.counting import Counts, count_defect_free, distinct, likely_bound
from iadlib.metrics.ground_truth import GroundTruth, Regions, ground_truths
from iadlib.types import Region

Maps = np.ndarray | Sequence[np.ndarray]


def au_spro(maps: Maps, regions: Regions, max_fpr: float = 0.05, defect_name: str | None = None) -> float:
    """Area under mean sPRO over false positive rate up to `max_fpr`, divided by it: 0 to 1.

    With a `defect_name`, over the regions of this defect only; pixels of other defects are still not defect-free. NaN
    without regions, or without defect-free pixels.

    >>> mask = np.array([[True, True, True, True, False, False]])
    >>> heat = np.array([[0.9, 0.9, 0.1, 0.1, 0.5, 0.0]])
    >>> au_spro([heat], [[Region(mask, saturation_area=2)]], max_fpr=0.5)  # two pixels suffice
    1.0
    >>> au_spro([heat], [[Region(mask, saturation_area=4)]], max_fpr=0.5)  # half of it, until half is false alarm
    0.5
    """
    return area_up_to(*spro_curve(maps, regions, max_fpr, defect_name), max_fpr)


def chance_au_spro(regions: Regions, max_fpr: float = 0.05, defect_name: str | None = None) -> float:
    """Expected AU-sPRO of uniform noise: the value of maps without information.

    At a false positive rate t, noise marks a share t of a region's area A, so its sPRO is min(1, t A / S) with the
    saturation area S, except for fluctuations in small regions. It is far above `max_fpr` / 2 where S is a small part
    of A.

    >>> mask = np.ones((1, 100), bool)
    >>> round(chance_au_spro([[Region(mask, saturation_area=100)]], max_fpr=0.05), 6)
    0.025
    >>> round(chance_au_spro([[Region(mask, saturation_area=1)]], max_fpr=0.05), 6)  # 1 is reached at 0.01
    0.9
    """
    expected = []
    for region in (r for each in ground_truths(regions) for r in each if defect_name in (None, r.defect_name)):
        reached = region.saturation_area / len(region.places)  # the rate at which sPRO is 1
        expected.append(max_fpr / (2 * reached) if max_fpr <= reached else 1 - reached / (2 * max_fpr))
    return float(np.mean(expected)) if expected else float("nan")


def au_pro(maps: Maps, regions: Regions, max_fpr: float = 0.3) -> float:
    """AU-sPRO in which every region saturates at its own area.

    >>> mask = np.array([[True, True, True, True, False, False]])
    >>> heat = np.array([[0.9, 0.9, 0.1, 0.1, 0.5, 0.0]])
    >>> au_pro([heat], [[Region(mask, saturation_area=2)]], max_fpr=0.5)
    0.5
    """
    gains, counts = _measured(maps, regions, max_fpr, whole=True)
    return area_up_to(*curve_of([*chain(*gains)], counts, max_fpr), max_fpr)


def spro(marked: np.ndarray, region: Region) -> float:
    """Saturated per-region overlap of the pixels `marked` (H, W): 0 to 1, reached at the region's saturation area.

    >>> mask = np.array([[True, True, True, True, False, False]])
    >>> spro(np.array([[True, False, False, False, True, True]]), Region(mask, saturation_area=2))
    0.5
    """
    return min(1.0, float(np.count_nonzero(marked & region.mask) / region.saturation_area))


def spro_curve(
    maps: Maps, regions: Regions, max_fpr: float = 1.0, defect_name: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (false positive rate, mean sPRO) of straight lines from (0, 0) to where the rate is `max_fpr`.

    The whole curve ends at (1, 1). Empty where there is no region, or no defect-free pixel.

    >>> mask = np.array([[True, True, True, True, False, False]])
    >>> heat = np.array([[0.9, 0.9, 0.1, 0.1, 0.5, 0.0]])
    >>> rate, mean_spro = spro_curve([heat], [[Region(mask, saturation_area=4)]], max_fpr=0.25)
    >>> rate.tolist(), mean_spro.tolist()
    ([0.0, 0.0, 0.0, 0.25], [0.0, 0.0, 0.5, 0.5])
    """
    gains, counts = _measured(maps, regions, max_fpr, defect_name)
    return curve_of([*chain(*gains)], counts, max_fpr)


class Gain(NamedTuple):
    """The scores at which one region's sPRO rises, ascending, and how many of them make it 1."""

    scores: np.ndarray
    saturation_area: int


def gains_of(
    scores: Iterable[np.ndarray], truth: Iterable[GroundTruth], defect_name: str | None = None, whole: bool = False
) -> list[list[Gain]]:
    """Of every image, the gain of each region (of one defect); `whole`: regions saturate at their own area.

    `scores` are those of the defective pixels of every image: see `defective_scores`.
    """
    return [
        [
            Gain(region.highest(values, whole), len(region.places) if whole else region.saturation_area)
            for region in each
            if defect_name in (None, region.defect_name)
        ]
        for values, each in zip(scores, truth, strict=True)
    ]


def _measured(
    maps: Maps, regions: Regions, max_fpr: float, defect_name: str | None = None, whole: bool = False
) -> tuple[list[list[Gain]], Counts]:
    """The gains of all images' regions, and the defect-free pixels at all of them up to `max_fpr`."""
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr {max_fpr}: above 0 and at most 1")
    truth = ground_truths(regions)
    gains = gains_of(defective_scores(maps, truth), truth, defect_name, whole)
    everything = np.ones(len(truth), bool)
    values, _ = distinct(gain.scores for gain in chain(*gains))
    for lowest in (likely_bound(maps, truth, max_fpr), -np.inf):
        reached = values[values >= lowest]
        [counts] = count_defect_free(maps, truth, reached, [(everything, slice(None))], lowest)
        if lowest == -np.inf or counts.above_lowest > math.ceil(max_fpr * counts.total):
            return gains, counts


def curve_of(gains: Sequence[Gain], counts: Counts, max_fpr: float) -> tuple[np.ndarray, np.ndarray]:
    """The vertices of `spro_curve` from the gains of its regions and the counts at their scores (or at more)."""
    if not gains or not counts.total:
        return np.empty(0), np.empty(0)
    reached = [gain.scores[np.searchsorted(gain.scores, counts.lowest) :] for gain in gains]
    weights = [1 / (gain.saturation_area * len(gains)) for gain in gains]
    scores, weights = np.concatenate(reached), np.repeat(weights, [len(each) for each in reached])
    values, _ = distinct([scores])
    gained = np.bincount(np.searchsorted(values, scores), weights, len(values))[::-1]  # the highest score first
    places = np.searchsorted(counts.values, values[::-1])
    above, not_below = counts.total - counts.up_to[places], counts.total - counts.below[places]  # > and >= the score
    after = np.minimum(np.cumsum(gained), 1)  # against the rounding of the sum
    before = np.r_[0, after][: len(after)]
    false_positive_rate = np.column_stack([above, not_below]).ravel() / counts.total  # a tie is a slanted line
    mean_spro = np.column_stack([before, after]).ravel()
    # Once all regions have what they can get the curve is level; (1, 1) itself is below every score.
    level = after[-1] if len(after) else 0
    return _up_to(max_fpr, np.r_[0, false_positive_rate, 1, 1], np.r_[0, mean_spro, level, 1])


def areas_by_image(gains: Sequence[Sequence[Gain]], counts: Counts, max_fpr: float) -> np.ndarray:
    """What each image adds to the AU-sPRO, (N,): the mean over its own regions; NaN without any.

    `gains` are those of every image's regions, `counts` those at their scores (or at more). The mean of these values,
    weighted by the number of regions of each image, is `au_spro`. False positive rates are those of all images, so that
    resampling these values shows the variation between samples of anomalies.
    """
    areas = [[area_up_to(*curve_of([gain], counts, max_fpr), max_fpr) for gain in each] for each in gains]
    return np.array([np.mean(each) if each else np.nan for each in areas])


def area_up_to(x: np.ndarray, y: np.ndarray, limit: float) -> float:
    """Area under straight lines between the vertices (x ascending) up to `limit`, divided by it; NaN without vertices.

    >>> area_up_to(np.array([0, 1]), np.array([0, 1]), limit=0.5)
    0.25
    """
    if not len(x):
        return float("nan")
    x, y = _up_to(limit, x, y)
    return float(np.trapezoid(y, x) / limit)


def pixel_auroc(maps: Maps, regions: Regions) -> float:
    """Area under the ROC curve over all pixels, overlapping regions merged; NaN where one class is missing.

    >>> mask = np.array([[True, True, False, False]])
    >>> pixel_auroc([np.array([[0.9, 0.4, 0.4, 0.1]])], [[Region(mask, 2)]])  # three pairs in order, one tie
    0.875
    """
    return auroc_of(*_all_pixels(maps, regions))


def pixel_aupr(maps: Maps, regions: Regions) -> float:
    """Average precision over all pixels, overlapping regions merged; NaN where no pixel is defective.

    >>> mask = np.array([[True, True, False, False]])
    >>> round(pixel_aupr([np.array([[0.9, 0.4, 0.5, 0.1]])], [[Region(mask, 2)]]), 4)  # 1/2 * 1/1 + 1/2 * 2/3
    0.8333
    """
    return aupr_of(*_all_pixels(maps, regions))


def _all_pixels(maps: Maps, regions: Regions) -> tuple[np.ndarray, Counts]:
    truth = ground_truths(regions)
    values, times = distinct(defective_scores(maps, truth))
    [counts] = count_defect_free(maps, truth, values, [(np.ones(len(truth), bool), slice(None))])
    return times, counts


def auroc_of(times: np.ndarray, counts: Counts) -> float:
    """AUROC where each of `counts.values` is the score of `times` (V,) defective pixels."""
    if not len(times) or not counts.total:
        return float("nan")
    return float(times @ ((counts.below + counts.up_to) / 2) / times.sum() / counts.total)


def aupr_of(times: np.ndarray, counts: Counts) -> float:
    """Average precision where each of `counts.values` is the score of `times` (V,) defective pixels."""
    if not len(times):
        return float("nan")
    true_positives = np.cumsum(times[::-1])[::-1]
    false_positives = counts.total - counts.below
    return float(np.sum(times * true_positives / (true_positives + false_positives)) / times.sum())


def defective_scores(maps: Maps, truth: Sequence[GroundTruth]) -> list[np.ndarray]:
    """Of every image the scores of its defective pixels, in their order in `GroundTruth.pixels`.

    Raises ValueError where a map is not (height, width) of its ground truth, or holds NaN or infinite values.
    """
    if len(maps) != len(truth):
        raise ValueError(f"{len(maps)} maps for the regions of {len(truth)} images")
    scores = []
    for index, each in enumerate(truth):
        heat = np.asarray(maps[index])
        if heat.ndim != 2:
            raise ValueError(f"map {index} is of shape {heat.shape}, not (height, width)")
        if not np.isfinite(heat).all():
            raise ValueError(f"map {index} holds values that are not finite")
        if each.shape not in (None, heat.shape):
            raise ValueError(f"map {index} is {heat.shape}, but its ground truth is {each.shape} (height, width)")
        scores.append(heat.ravel()[each.pixels])
    return scores


def _up_to(limit: float, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices up to `limit`, and one there, on the line to the first vertex beyond."""
    inside = np.searchsorted(x, limit, side="right")
    if inside == len(x):
        return x, y
    left, right = inside - 1, inside
    at_limit = y[left] + (y[right] - y[left]) * (limit - x[left]) / (x[right] - x[left])
    return np.r_[x[:inside], limit], np.r_[y[:inside], at_limit]
