"""All metrics of one prediction, their summary over seeds, and the values of every test image.

A *prediction* is one detector's scores and maps of the test images of a category. An image is *known* if it is good or
its defective pixels are: a defective image without a mask counts for image metrics only, since its defective pixels
would pass for defect-free. Maps are (height, width) of the photographs: see `resize_maps`.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from iadlib.metrics.bootstrap import bootstrap_interval
from iadlib.metrics.counting import count_marked
from iadlib.metrics.detection import image_auroc, rates, threshold_report
from iadlib.metrics.ground_truth import Regions, ground_truths
from iadlib.metrics.localisation import Maps, au_spro_by_image, pixel_auroc
from iadlib.metrics.maps import ChosenMaps
from iadlib.metrics.report import KINDS, Report, image_report, map_report_and_values


def known_images(kinds: Sequence[str], regions: Regions) -> np.ndarray:
    """Which images have known defective pixels, (N,) bool: the good ones, and those with a region."""
    return np.array([kind == "good" or len(each) > 0 for kind, each in zip(kinds, regions, strict=True)], dtype=bool)


def judge(
    scores: ArrayLike,
    kinds: Sequence[str],
    maps: Maps | None = None,
    regions: Regions | None = None,
    known: ArrayLike | None = None,
    image_threshold: float | None = None,
    pixel_threshold: float | None = None,
) -> Report:
    """All metrics of one prediction, as nested dicts of metric and kind.

    `scores` (N,); `kinds` (N,) of good, logical and structural; `maps` N of (H, W) and `regions` N lists; `known` (N,)
    bool, `known_images` where None. Pixel metrics are left out without maps, and where no defective image is known.
    Metrics of a threshold are left out where it is None. The maps are read one after the other.
    """
    return _judged(scores, kinds, maps, regions, known, image_threshold, pixel_threshold)[0]


def judge_images(
    samples: pd.DataFrame,
    scores: ArrayLike,
    maps: Maps | None = None,
    regions: Regions | None = None,
    known: ArrayLike | None = None,
    image_threshold: float | None = None,
    pixel_threshold: float | None = None,
) -> tuple[Report, pd.DataFrame]:
    """The results of `judge` and of `image_values` together, for the time of one of them.

    `samples` has a row for every test image, with the columns name, label and defect.
    """
    report, au_spro = _judged(
        scores, samples["label"].to_numpy(), maps, regions, known, image_threshold, pixel_threshold
    )
    return report, _values(samples, scores, regions, au_spro)


def _judged(
    scores: ArrayLike,
    kinds: Sequence[str],
    maps: Maps | None,
    regions: Regions | None,
    known: ArrayLike | None,
    image_threshold: float | None,
    pixel_threshold: float | None,
) -> tuple[Report, np.ndarray]:
    """The report, and what each image adds to the AU-sPRO of its kind (N,), NaN where that is not known."""
    scores, kinds = np.asarray(scores), np.asarray(kinds)
    report, at_thresholds, au_spro = image_report(scores, kinds), {}, np.full(len(kinds), np.nan)
    if image_threshold is not None:
        marked = threshold_report(scores > image_threshold, kinds != "good")
        at_thresholds["at_image_threshold"] = {"threshold": image_threshold, **marked}
    if maps is not None and regions is not None:
        known = np.flatnonzero(known_images(kinds, regions) if known is None else known)
        if (kinds[known] != "good").any():
            maps, truth = ChosenMaps(maps, known), ground_truths(regions[i] for i in known)
            found, au_spro[known] = map_report_and_values(maps, truth, kinds[known])
            report |= found
            if pixel_threshold is not None:
                marked = rates(*count_marked(maps, truth, pixel_threshold))
                at_thresholds["at_pixel_threshold"] = {"threshold": pixel_threshold, **marked}
    return report | at_thresholds, au_spro


def summarise(reports: Mapping[int, Report], scores: ArrayLike, kinds: Sequence[str]) -> dict[str, dict]:
    """The metrics of several seeds: mean, std, interval and seeds, by dotted names such as "image_auroc.logical".

    `reports` by seed, as `judge` returns them; `scores` (seeds, N) in the same order, `kinds` (N,). The standard
    deviation is the sample's. Intervals are 95 % percentile bootstraps over the test images of the mean over the seeds,
    for the image AUROCs. Values are rounded to ten digits and NaN is None, so that the result can be written as JSON.
    """
    scores, kinds = np.atleast_2d(scores), np.asarray(kinds)
    seeds = {str(seed): _flat(report) for seed, report in reports.items()}
    table = pd.DataFrame(seeds, dtype=float)  # metrics x seeds
    intervals = {}
    for kind in (kind for kind in KINDS if kind in kinds):
        chosen = (kinds == kind) | (kinds == "good")
        ends = bootstrap_interval(image_auroc, scores[:, chosen], kinds[chosen] == kind)
        intervals[f"image_auroc.{kind}"] = _plain(dict(zip(("low", "high"), ends, strict=True)))
    return {
        "mean": _plain(table.mean(axis=1)),
        "std": _plain(table.std(axis=1)),
        "interval": intervals,
        "seeds": {seed: _plain(values) for seed, values in seeds.items()},
    }


def image_values(
    samples: pd.DataFrame,
    scores: ArrayLike,
    maps: Maps | None = None,
    regions: Regions | None = None,
    known: ArrayLike | None = None,
    max_fpr: float = 0.05,
) -> pd.DataFrame:
    """One row for every test image of one prediction: name, label, defect, score, au_spro and regions.

    `samples` has the columns name, label and defect. `au_spro` is the mean of what the image's regions add to the
    AU-sPRO of its kind (see `au_spro_by_image`), NaN for good images, unknown ones, and without maps; `regions` is the
    number of regions.
    """
    kinds, au_spro = samples["label"].to_numpy(), np.full(len(samples), np.nan)
    if maps is not None and regions is not None:
        known = np.flatnonzero(known_images(kinds, regions) if known is None else known)
        for kind in (kind for kind in KINDS if kind in kinds):
            within = [i for i in known if kinds[i] in (kind, "good")]
            areas = au_spro_by_image(ChosenMaps(maps, within), [regions[i] for i in within], max_fpr)
            au_spro[within] = np.where(np.isnan(areas), au_spro[within], areas)
    return _values(samples, scores, regions, au_spro)


def _values(samples: pd.DataFrame, scores: ArrayLike, regions: Regions | None, au_spro: np.ndarray) -> pd.DataFrame:
    count = 0 if regions is None else [len(each) for each in regions]
    table = samples[["name", "label", "defect"]].reset_index(drop=True)
    return table.assign(score=np.asarray(scores), au_spro=au_spro, regions=count)


def pixel_aurocs(
    entries: Iterable[tuple[dict, Maps]], regions: Regions, known: Sequence[bool] | np.ndarray
) -> pd.DataFrame:
    """One row for every entry: the columns of its dict (such as entry and seed) and pixel_auroc of the known images."""
    known = np.flatnonzero(known)
    truth = ground_truths(regions[i] for i in known)
    rows = [{**names, "pixel_auroc": pixel_auroc(ChosenMaps(maps, known), truth)} for names, maps in entries]
    return pd.DataFrame(rows)


def _flat(report: Report) -> dict[str, float]:
    return {f"{name}.{key}": value for name, values in report.items() for key, value in values.items()}


def _plain(values: dict[str, float] | pd.Series) -> dict[str, float | None]:
    """For JSON, which has no NaN; ten digits, so that the last bits of a sum do not show as a change."""
    return {key: None if np.isnan(value) else float(f"{value:.10g}") for key, value in values.items()}
