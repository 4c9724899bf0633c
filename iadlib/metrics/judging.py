"""All metrics of one prediction with the values of every test image, and their summary over seeds.

A *prediction* is one detector's scores and maps of the test images of a category. An image is *known* if it is good or
its defective pixels are: a defective image without a mask counts for image metrics only, since its defective pixels
would pass for defect-free. Maps are (height, width) of the photographs: see `resize_maps`.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from iadlib.metrics.bootstrap import bootstrap_interval
from iadlib.metrics.counting import count_marked
from iadlib.metrics.detection import image_auroc, rates, threshold_report
from iadlib.metrics.ground_truth import Regions, ground_truths
from iadlib.metrics.localisation import Maps
from iadlib.metrics.maps import LazyMaps
from iadlib.metrics.report import KINDS, Report, flat, image_report, map_report


def judge_images(
    samples: pd.DataFrame,
    scores: ArrayLike,
    maps: Maps | None = None,
    regions: Regions | None = None,
    known: ArrayLike | None = None,
    image_threshold: float | None = None,
    pixel_threshold: float | None = None,
) -> tuple[Report, pd.DataFrame]:
    """All metrics of one prediction by metric and kind, and a table of what they are made of.

    `samples` has a row for every test image, with the columns name, label (good, logical or structural) and defect.
    `scores` (N,); `maps` N of (H, W), which are read one after the other, and `regions` N lists; `known` (N,) bool,
    good images and those with a region where None. Pixel metrics are left out without maps, and where no defective
    image is known; metrics of a threshold where it is None.

    The table has a row for every image: name, label, defect, score, `au_spro`, the mean of what the image's regions add
    to the AU-sPRO of its kind (see `areas_by_image`; NaN for good images, unknown ones, and without maps), and the
    number of its `regions`.
    """
    scores, kinds = np.asarray(scores), samples["label"].to_numpy()
    report, at_thresholds, au_spro = image_report(scores, kinds), {}, np.full(len(kinds), np.nan)
    sizes = np.zeros(len(kinds), int) if regions is None else np.array([len(each) for each in regions])
    if image_threshold is not None:
        marked = threshold_report(scores > image_threshold, kinds != "good")
        at_thresholds["at_image_threshold"] = {"threshold": image_threshold, **marked}
    if maps is not None and regions is not None:
        known = np.flatnonzero((kinds == "good") | (sizes > 0) if known is None else known)
        if (kinds[known] != "good").any():
            known_maps = LazyMaps(len(known), lambda i: maps[known[i]])
            truth = ground_truths(regions[i] for i in known)
            found, au_spro[known] = map_report(known_maps, truth, kinds[known])
            report |= found
            if pixel_threshold is not None:
                marked = rates(*count_marked(known_maps, truth, pixel_threshold))
                at_thresholds["at_pixel_threshold"] = {"threshold": pixel_threshold, **marked}
    table = samples[["name", "label", "defect"]].reset_index(drop=True)
    return report | at_thresholds, table.assign(score=scores, au_spro=au_spro, regions=sizes)


def summarise(reports: Mapping[int, Report], scores: ArrayLike, kinds: ArrayLike) -> dict[str, dict]:
    """The metrics of several seeds: mean, std, interval and seeds, by dotted names such as "image_auroc.logical".

    `reports` by seed, as from `judge_images`; `scores` (seeds, N) in the same order, `kinds` (N,). The standard
    deviation is the sample's. Intervals are 95 % percentile bootstraps over the test images of the mean over the seeds,
    for the image AUROCs. Values are rounded to ten digits and NaN is None, so that the result can be written as JSON.
    """
    scores, kinds = np.atleast_2d(scores), np.asarray(kinds)
    seeds = {str(seed): flat(report) for seed, report in reports.items()}
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


def _plain(values: dict[str, float] | pd.Series) -> dict[str, float | None]:
    """For JSON, which has no NaN; ten digits, so that the last bits of a sum do not show as a change."""
    return {key: None if np.isnan(value) else float(f"{value:.10g}") for key, value in values.items()}
