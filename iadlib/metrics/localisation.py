"""Metrics of where: anomaly maps against ground-truth regions, exact and without trying thresholds.

AU-sPRO: Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
Localization", IJCV 2022. AU-PRO: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021.

A curve has a vertex at every distinct score in principle. But the mean sPRO moves only where a region gains one of its
S highest scores (S: its saturation area), and between two such scores only the false positive rate does, along a level
line. So vertices are needed at those scores alone, and the false positive rate there is a binary search in the sorted
defect-free scores, of which those below the limit are never sorted.

Everywhere: `maps` is (N, H, W) or a list of (H, W), of the photographs' size; `regions` holds a list of Region for
every image, [] for a good one. A pixel is defect-free if no region covers it, and marked if its score is strictly
greater than the threshold. False positive rates pool the defect-free pixels of all images; sPRO is averaged over
regions, not over images first.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from iadlib.metrics.detection import area_under_roc, average_precision
from iadlib.types import Region

Maps = np.ndarray | Sequence[np.ndarray]
Regions = Sequence[Sequence[Region]]


def au_spro(maps: Maps, regions: Regions, max_fpr: float = 0.05, defect_name: str | None = None) -> float:
    """Area under mean sPRO over false positive rate up to `max_fpr`, divided by it: 0 to 1.

    `defect_name` asks for the regions of one defect alone; pixels of the others are still not defect-free. NaN where
    there is no region, or no defect-free pixel.

    >>> mask = np.array([[True, True, True, True, False, False]])
    >>> heat = np.array([[0.9, 0.9, 0.1, 0.1, 0.5, 0.0]])
    >>> au_spro([heat], [[Region(mask, saturation_area=2)]], max_fpr=0.5)  # two pixels suffice
    1.0
    >>> au_spro([heat], [[Region(mask, saturation_area=4)]], max_fpr=0.5)  # half of it, until half is false alarm
    0.5
    """
    return area_up_to(*spro_curve(maps, regions, max_fpr, defect_name), max_fpr)


def chance_au_spro(regions: Regions, max_fpr: float = 0.05, defect_name: str | None = None) -> float:
    """AU-sPRO that uniform noise is expected to reach: what a map that knows nothing gets, and so the floor of a table.

    At a false positive rate t, noise has found a share t of a region's area A, and that saturates at S: its sPRO is
    min(1, t A / S), but for the fluctuation in small regions. Far above `max_fpr` / 2 where S is a small part of A.

    >>> mask = np.ones((1, 100), bool)
    >>> round(chance_au_spro([[Region(mask, saturation_area=100)]], max_fpr=0.05), 6)
    0.025
    >>> round(chance_au_spro([[Region(mask, saturation_area=1)]], max_fpr=0.05), 6)  # 1 is reached at 0.01
    0.9
    """
    expected = []
    for region in (r for listed in regions for r in listed if defect_name in (None, r.defect_name)):
        reached = region.saturation_area / np.count_nonzero(region.mask)  # the rate at which sPRO is 1
        expected.append(max_fpr / (2 * reached) if max_fpr <= reached else 1 - reached / (2 * max_fpr))
    return float(np.mean(expected)) if expected else float("nan")


def au_pro(maps: Maps, regions: Regions, max_fpr: float = 0.3) -> float:
    """AU-sPRO in which every region saturates at its own area.

    >>> mask = np.array([[True, True, True, True, False, False]])
    >>> heat = np.array([[0.9, 0.9, 0.1, 0.1, 0.5, 0.0]])
    >>> au_pro([heat], [[Region(mask, saturation_area=2)]], max_fpr=0.5)
    0.5
    """
    whole = [[Region(r.mask, int(r.mask.sum()), r.defect_name) for r in listed] for listed in regions]
    return au_spro(maps, whole, max_fpr)


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
    free_top, free_count = _highest_defect_free(maps, regions, max_fpr)
    gains = [_gain(heat, r) for heat, r in _pairs(maps, regions) if defect_name in (None, r.defect_name)]
    return _curve(gains, free_top, free_count, max_fpr)


def au_spro_by_image(maps: Maps, regions: Regions, max_fpr: float = 0.05) -> np.ndarray:
    """What the regions of every image add to the AU-sPRO of all (N,): the mean over its own regions; NaN without any.

    The mean over all images is `au_spro`, where every image has one region, and where they have several, weighted by
    their number. False positive rates are those of all images: resampling these values asks how the result depends on
    which anomalies were in the test set.

    >>> mask = np.array([[True, True, False, False]])
    >>> found, missed = np.array([[0.9, 0.9, 0.1, 0.2]]), np.array([[0.0, 0.0, 0.1, 0.2]])
    >>> au_spro_by_image([found, missed], [[Region(mask, 2)], [Region(mask, 2)]], max_fpr=0.5).tolist()
    [1.0, 0.0]
    """
    free_top, free_count = _highest_defect_free(maps, regions, max_fpr)
    areas = [
        [area_up_to(*_curve([_gain(heat, r)], free_top, free_count, max_fpr), max_fpr) for r in listed]
        for heat, listed in zip(maps, regions, strict=True)
    ]
    return np.array([np.mean(each) if each else np.nan for each in areas])


def _pairs(maps: Maps, regions: Regions) -> Iterator[tuple[np.ndarray, Region]]:
    return ((np.asarray(heat), region) for heat, listed in zip(maps, regions, strict=True) for region in listed)


def _highest_defect_free(maps: Maps, regions: Regions, max_fpr: float) -> tuple[np.ndarray, int]:
    """Ascending, the defect-free scores that a curve up to `max_fpr` can meet, and how many there are in all."""
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr {max_fpr}: above 0 and at most 1")
    _, free = _defective_and_free(maps, regions)
    # more than may be marked
    return np.sort(_largest_with_ties(free, math.ceil(max_fpr * len(free)) + 1)), len(free)


def _gain(heat: np.ndarray, region: Region) -> tuple[np.ndarray, int]:
    """The scores at which a region's sPRO rises, and its saturation area."""
    return _largest(heat[region.mask], region.saturation_area), region.saturation_area


def _curve(
    gains: Sequence[tuple[np.ndarray, int]], free_top: np.ndarray, free_count: int, max_fpr: float
) -> tuple[np.ndarray, np.ndarray]:
    if not gains or not free_count:
        return np.empty(0), np.empty(0)
    scores = np.concatenate([top for top, _ in gains])
    weights = np.concatenate([np.full(len(top), 1 / (saturation * len(gains))) for top, saturation in gains])
    values, which = np.unique(scores, return_inverse=True)
    values, gained = values[::-1], np.bincount(which, weights=weights)[::-1]  # distinct scores, the highest first

    above = len(free_top) - np.searchsorted(free_top, values, side="right")  # > score
    reached = len(free_top) - np.searchsorted(free_top, values, side="left")  # >= score: a tie is a slanted line
    after = np.minimum(np.cumsum(gained), 1)  # against the rounding of the sum
    before = np.r_[0, after[:-1]]
    false_positive_rate = np.column_stack([above, reached]).ravel() / free_count
    mean_spro = np.column_stack([before, after]).ravel()
    # Once all regions have what they can get the curve is level; (1, 1) itself is below every score.
    return _up_to(max_fpr, np.r_[0, false_positive_rate, 1, 1], np.r_[0, mean_spro, after[-1], 1])


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
    return area_under_roc(*_defective_and_free(maps, regions))


def pixel_aupr(maps: Maps, regions: Regions) -> float:
    """Average precision over all pixels, overlapping regions merged; NaN where no pixel is defective.

    >>> mask = np.array([[True, True, False, False]])
    >>> round(pixel_aupr([np.array([[0.9, 0.4, 0.5, 0.1]])], [[Region(mask, 2)]]), 4)  # 1/2 * 1/1 + 1/2 * 2/3
    0.8333
    """
    return average_precision(*_defective_and_free(maps, regions))


def _defective_and_free(maps: Maps, regions: Regions) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all defective and of all defect-free pixels, each as one vector."""
    if len(maps) != len(regions):
        raise ValueError(f"{len(maps)} maps for the regions of {len(regions)} images")
    defective, free = [], []
    for index, (heat, listed) in enumerate(zip(maps, regions, strict=True)):
        heat = np.asarray(heat)
        if heat.ndim != 2:
            raise ValueError(f"map {index} is of shape {heat.shape}, not (height, width)")
        if not np.isfinite(heat).all():
            raise ValueError(f"map {index} holds values that are not finite")
        if wrong := [region.mask.shape for region in listed if region.mask.shape != heat.shape]:
            raise ValueError(f"map {index} is {heat.shape}, but its ground truth is {wrong[0]} (height, width)")
        if not listed:
            free.append(heat.ravel())
            continue
        union = np.any([region.mask for region in listed], axis=0)
        defective.append(heat[union])
        free.append(heat[~union])
    empty = np.empty(0, dtype=np.float32)
    return np.concatenate(defective or [empty]), np.concatenate(free or [empty])


def _up_to(limit: float, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices up to `limit`, and one there, on the line to the first vertex beyond."""
    inside = np.searchsorted(x, limit, side="right")
    if inside == len(x):
        return x, y
    left, right = inside - 1, inside
    at_limit = y[left] + (y[right] - y[left]) * (limit - x[left]) / (x[right] - x[left])
    return np.r_[x[:inside], limit], np.r_[y[:inside], at_limit]


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    return values if count >= len(values) else np.partition(values, len(values) - count)[len(values) - count :]


def _largest_with_ties(values: np.ndarray, count: int) -> np.ndarray:
    """The `count` largest, and all that tie with the smallest of them."""
    if count >= len(values):
        return values
    return values[values >= np.partition(values, len(values) - count)[len(values) - count]]
