"""All metrics of one set of anomaly maps, by name, as the data set reports them: logical, structural, and their mean.

Beside AU-sPRO stands what uniform noise would reach, "chance": much, where a small part of a region saturates it.

Logical is logical and good images together, structural is structural and good ones; a kind without images is left
out, and the mean is over those there are. Metrics over all pixels or regions, whatever their kind, are "overall".
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from iadlib.metrics.detection import image_aupr, image_auroc
from iadlib.metrics.localisation import Maps, Regions, au_pro, au_spro, chance_au_spro, pixel_aupr, pixel_auroc

KINDS = ("logical", "structural")
PER_KIND = {
    "image_auroc": "image AUROC",
    "image_aupr": "image AU-PR",
    "au_spro_0.05": "AU-sPRO, FPR up to 0.05",
    "au_spro_0.3": "AU-sPRO, FPR up to 0.3",
}
OVERALL = {
    "pixel_auroc": "pixel AUROC",
    "pixel_aupr": "pixel AU-PR",
    "au_pro_0.3": "AU-PRO, FPR up to 0.3",
}


def image_report(scores: np.ndarray, kinds: Sequence[str]) -> dict[str, dict[str, float]]:
    """Image metrics by kind; `kinds` (N,) names each image good, logical or structural.

    >>> image_report([0.1, 0.4, 0.9, 0.2], ["good", "good", "logical", "structural"])["image_auroc"]
    {'logical': 1.0, 'structural': 0.5, 'mean': 0.75}
    """
    scores = np.asarray(scores)
    kinds = _checked(kinds, len(scores))
    return {
        name: _by_kind(kinds, lambda chosen, metric=metric: metric(scores[chosen], kinds[chosen] != "good"))
        for name, metric in (("image_auroc", image_auroc), ("image_aupr", image_aupr))
    }


def map_report(maps: Maps, regions: Regions, kinds: Sequence[str]) -> dict[str, dict[str, float]]:
    """Localisation metrics by kind, overall, and by defect: that defect's regions, in its images and the good ones.

    Every image that is not good needs a region: without one, its defective pixels would pass for defect-free.
    """
    kinds = _checked(kinds, len(maps))
    for index, (kind, listed) in enumerate(zip(kinds, regions, strict=True)):
        if (kind == "good") == bool(listed):
            raise ValueError(f"image {index} is {kind}, but the number of its regions is {len(listed)}")
    report = {}
    for limit in (0.05, 0.3):
        report[f"au_spro_{limit}"] = _by_kind(
            kinds,
            lambda chosen, limit=limit: au_spro([maps[i] for i in chosen], [regions[i] for i in chosen], limit),
        )
        report[f"chance_au_spro_{limit}"] = _by_kind(
            kinds, lambda chosen, limit=limit: chance_au_spro([regions[i] for i in chosen], limit)
        )
    report["pixel_auroc"] = {"overall": pixel_auroc(maps, regions)}
    report["pixel_aupr"] = {"overall": pixel_aupr(maps, regions)}
    report["au_pro_0.3"] = {"overall": au_pro(maps, regions, 0.3)}
    for name in sorted({region.defect_name for listed in regions for region in listed}):
        chosen = [i for i, listed in enumerate(regions) if not listed or any(r.defect_name == name for r in listed)]
        report["au_spro_0.05"][f"defect {name}"] = au_spro(
            [maps[i] for i in chosen], [regions[i] for i in chosen], 0.05, defect_name=name
        )
        report["chance_au_spro_0.05"][f"defect {name}"] = chance_au_spro(regions, 0.05, defect_name=name)
    return report


def evaluate_maps(
    maps: Maps, regions: Regions, kinds: Sequence[str], scores: np.ndarray | None = None
) -> dict[str, dict[str, float | None]]:
    """All metrics, as JSON takes them: None for NaN. Without `scores` (N,) an image scores its map's highest value."""
    scores = np.array([np.max(heat) for heat in maps]) if scores is None else scores
    report = image_report(scores, kinds) | map_report(maps, regions, kinds)
    return {
        name: {key: None if math.isnan(value) else value for key, value in values.items()}
        for name, values in report.items()
    }


def format_report(report: dict[str, dict[str, float | None]]) -> str:
    """A table to read, one line a metric; a dash where a value cannot be had."""
    lines = [f"{'':<26}{'logical':>12}{'structural':>12}{'mean':>12}"]
    for key, title in PER_KIND.items():
        lines.append(f"{title:<26}" + "".join(f"{_shown(report[key].get(kind)):>12}" for kind in (*KINDS, "mean")))
    lines += ["", f"{'':<26}{'overall':>12}"]
    lines += [f"{title:<26}{_shown(report[key]['overall']):>12}" for key, title in OVERALL.items()]
    defects = {key: value for key, value in report["au_spro_0.05"].items() if key.startswith("defect ")}
    if defects:
        lines += ["", f"{'AU-sPRO at 0.05 by defect':<26}"]
        lines += [f"  {key.removeprefix('defect '):<24}{_shown(value):>12}" for key, value in defects.items()]
    return "\n".join(lines)


def _checked(kinds: Sequence[str], count: int) -> np.ndarray:
    kinds = np.asarray(kinds)
    if kinds.shape != (count,):
        raise ValueError(f"kinds of {count} images expected, not of shape {kinds.shape}")
    if strange := sorted(set(kinds.tolist()) - {"good", *KINDS}):
        raise ValueError(f"an image is good, logical or structural, not {strange[0]!r}")
    return kinds


def _by_kind(kinds: np.ndarray, metric: Callable[[np.ndarray], float]) -> dict[str, float]:
    """The metric over the images of each kind that there is, with the good ones, and the mean of these values."""
    present = [kind for kind in KINDS if kind in kinds]
    values = {kind: metric(np.flatnonzero((kinds == kind) | (kinds == "good"))) for kind in present}
    return values | {"mean": float(np.mean(list(values.values()))) if values else float("nan")}


def _shown(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"
