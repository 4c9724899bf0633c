"""All metrics of one set of anomaly maps, by name, as the data set reports them: logical, structural, and their mean.

The report also has the AU-sPRO of uniform noise, "chance_au_spro": it is high where a small part of a region saturates
it.

A value of the logical kind is over logical and good images, a structural one over structural and good images. A kind
without images is left out, also of the mean. Metrics over all pixels or regions of both kinds are "overall".
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pandas as pd

from iadlib.metrics.counting import count_defect_free, distinct
from iadlib.metrics.detection import image_aupr, image_auroc
from iadlib.metrics.ground_truth import Regions, ground_truths
from iadlib.metrics.localisation import (
    Maps,
    area_up_to,
    areas_by_image,
    aupr_of,
    auroc_of,
    chance_au_spro,
    curve_of,
    defective_scores,
    gains_of,
)

Report = dict[str, dict[str, float]]
KINDS = ("logical", "structural")
LIMITS = (0.05, 0.3)  # of the false positive rate, up to which AU-sPRO is taken
PER_KIND = {
    "image_auroc": "image AUROC",
    "image_aupr": "image AU-PR",
    "au_spro_0.05": "AU-sPRO, FPR up to 0.05",
    "au_spro_0.3": "AU-sPRO, FPR up to 0.3",
}
OVERALL = {"pixel_auroc": "pixel AUROC", "pixel_aupr": "pixel AU-PR", "au_pro_0.3": "AU-PRO, FPR up to 0.3"}


def image_report(scores: np.ndarray, kinds: Sequence[str]) -> Report:
    """Image metrics by kind; `kinds` (N,) names each image good, logical or structural.

    >>> image_report([0.1, 0.4, 0.9, 0.2], ["good", "good", "logical", "structural"])["image_auroc"]
    {'logical': 1.0, 'structural': 0.5, 'mean': 0.75}
    """
    scores = np.asarray(scores)
    kinds, report = _checked(kinds, len(scores)), {}
    for name, metric in (("image_auroc", image_auroc), ("image_aupr", image_aupr)):
        subsets = {kind: (kinds == kind) | (kinds == "good") for kind in KINDS if kind in kinds}
        report[name] = _with_mean({kind: metric(scores[s], kinds[s] == kind) for kind, s in subsets.items()})
    return report


def map_report(maps: Maps, regions: Regions, kinds: Sequence[str]) -> tuple[Report, np.ndarray]:
    """Localisation metrics by kind, overall, and by defect: that defect's regions, in its images and the good ones; and
    what each image adds to the AU-sPRO of its kind at 0.05 (N,): see `areas_by_image`.

    Every image that is not good needs a region: without one, its defective pixels would pass for defect-free. The maps
    are read twice, one after the other, and their pixels are sorted once for all metrics.
    """
    kinds = _checked(kinds, len(maps))
    truth = ground_truths(regions)
    for index, (kind, listed) in enumerate(zip(kinds, truth, strict=True)):
        if (kind == "good") == bool(len(listed)):
            raise ValueError(f"image {index} is {kind}, but the number of its regions is {len(listed)}")
    scores = defective_scores(maps, truth)
    gains, present = gains_of(scores, truth), [kind for kind in KINDS if kind in kinds]
    names = sorted({region.defect_name for listed in truth for region in listed})
    subsets = {kind: [each if own == kind else [] for own, each in zip(kinds, gains, strict=True)] for kind in present}
    subsets |= {f"defect {name}": gains_of(scores, truth, name) for name in names}
    values, times = distinct(scores)
    questions = []
    for chosen in subsets.values():
        met = np.zeros(len(values), bool)  # the values at which a region gains
        for gain in chain(*chosen):
            met[np.searchsorted(values, gain.scores)] = True
        questions.append(((kinds == "good") | [bool(each) for each in chosen], np.flatnonzero(met)))
    everything = np.ones(len(truth), bool), slice(None)
    *of_subsets, overall = count_defect_free(maps, truth, values, [*questions, everything])
    counts = dict(zip(subsets, of_subsets, strict=True))

    def area(key: str, limit: float) -> float:
        return area_up_to(*curve_of([*chain(*subsets[key])], counts[key], limit), limit)

    report, by_image = {}, np.full(len(kinds), np.nan)
    for limit in LIMITS:
        of_kind = {kind: [each for own, each in zip(kinds, truth, strict=True) if own == kind] for kind in present}
        report[f"au_spro_{limit}"] = _with_mean({kind: area(kind, limit) for kind in present})
        report[f"chance_au_spro_{limit}"] = _with_mean({kind: chance_au_spro(of_kind[kind], limit) for kind in present})
    report["pixel_auroc"] = {"overall": auroc_of(times, overall)}
    report["pixel_aupr"] = {"overall": aupr_of(times, overall)}
    whole = [*chain(*gains_of(scores, truth, whole=True))]
    report["au_pro_0.3"] = {"overall": area_up_to(*curve_of(whole, overall, 0.3), 0.3)}
    for name in names:
        report["au_spro_0.05"][f"defect {name}"] = area(f"defect {name}", 0.05)
        report["chance_au_spro_0.05"][f"defect {name}"] = chance_au_spro(truth, 0.05, defect_name=name)
    for kind in present:
        by_image[kinds == kind] = areas_by_image(subsets[kind], counts[kind], 0.05)[kinds == kind]
    return report, by_image


def flat(report: Report) -> dict[str, float]:
    """The values by dotted names, such as "image_auroc.logical"."""
    return {f"{name}.{key}": value for name, values in report.items() for key, value in values.items()}


def format_report(values: Mapping[str, float | None]) -> str:
    """A table to read, from `flat` values: metrics in rows, kinds in columns, then defects; a dash for no value."""
    columns = [*KINDS, "mean", "overall"]
    titles = PER_KIND | OVERALL
    rows = {title: [values.get(f"{name}.{column}") for column in columns] for name, title in titles.items()}
    of_defect = "au_spro_0.05.defect "
    defects = {name.removeprefix(of_defect): value for name, value in values.items() if name.startswith(of_defect)}
    rows |= {f"AU-sPRO at 0.05 of {defect}": [None, None, None, value] for defect, value in defects.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)
    return table.to_string(float_format="{:.4f}".format, na_rep="-")


def _checked(kinds: Sequence[str], count: int) -> np.ndarray:
    kinds = np.asarray(kinds)
    if kinds.shape != (count,):
        raise ValueError(f"kinds of {count} images expected, not of shape {kinds.shape}")
    if strange := sorted(set(kinds.tolist()) - {"good", *KINDS}):
        raise ValueError(f"an image is good, logical or structural, not {strange[0]!r}")
    return kinds


def _with_mean(values: dict[str, float]) -> dict[str, float]:
    return values | {"mean": float(np.mean(list(values.values()))) if values else float("nan")}
