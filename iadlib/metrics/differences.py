"""Differences between entries (detectors, ensembles, radii) judged on the same test images, with intervals.

An interval is a percentile bootstrap over the test images, stratified by label. Both entries are judged on the same
resample, with all seeds that both were fitted with; in a mean over categories each category is resampled separately.
The AU-sPRO of a resample takes its false positive rates from the pixels of the whole test set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from iadlib.metrics.bootstrap import percentiles, resampling_counts
from iadlib.metrics.report import KINDS

RESAMPLES = 500
DIFFERENCE_METRICS = {"image_auroc": "image AUROC", "au_spro": "AU-sPRO"}  # name -> title


@dataclass(frozen=True, eq=False)
class Judged:
    """One entry on one category: `scores` and `au_spro` (seeds, N), `labels` and the number of `regions` (N,)."""

    labels: np.ndarray
    regions: np.ndarray
    seeds: np.ndarray
    scores: np.ndarray
    au_spro: np.ndarray

    @classmethod
    def of(cls, part: pd.DataFrame) -> Self:
        """From the rows of `judge_images` of one entry: all images of the first seed, then of the next seed, …"""
        first = part[part["seed"] == part["seed"].iloc[0]]
        count = len(first)
        return cls(
            first["label"].to_numpy(),
            first["regions"].to_numpy(),
            part["seed"].to_numpy()[::count],
            part["score"].to_numpy().reshape(-1, count),
            part["au_spro"].to_numpy().reshape(-1, count),
        )

    def with_seeds_of(self, other: Self) -> Self:
        """Only the seeds that `other` has too."""
        shared = np.isin(self.seeds, other.seeds)
        return replace(self, seeds=self.seeds[shared], scores=self.scores[shared], au_spro=self.au_spro[shared])

    def kinds(self) -> list[str]:
        """The kinds of anomaly among the images."""
        return [kind for kind in KINDS if kind in set(self.labels)]

    def by_seed(self, metric: str, kind: str, counts: np.ndarray | None = None) -> np.ndarray:
        """The metric for every resample and seed, (R, seeds); `counts` (R, N): how often a resample holds an image.

        Without `counts` every image counts once, and R is 1.
        """
        counts = np.ones((1, len(self.labels))) if counts is None else counts
        good, anomalous = self.labels == "good", self.labels == kind
        if metric == "image_auroc":
            # The share of ordered pairs, ties by half; every resample weights the same pairs differently.
            in_order = (np.sign(self.scores[:, anomalous, None] - self.scores[:, None, good]) + 1) / 2
            found = np.einsum("ra,sag,rg->rs", counts[:, anomalous], in_order, counts[:, good], optimize=True)
            pairs = counts[:, anomalous].sum(axis=1) * counts[:, good].sum(axis=1)
        else:
            known = anomalous & ~np.isnan(self.au_spro[0])
            weights = counts[:, known] * self.regions[known]
            found, pairs = weights @ self.au_spro[:, known].T, weights.sum(axis=1)
        with np.errstate(invalid="ignore"):  # NaN without good images, or without known regions
            return found / pairs[:, None]

    def value(self, metric: str, kinds: Sequence[str], counts: np.ndarray | None = None) -> np.ndarray:
        """The mean over kinds and seeds, (R,)."""
        return np.mean([self.by_seed(metric, kind, counts) for kind in kinds], axis=(0, 2))


Cells = dict[tuple[str, str], Judged]  # by category and entry


def collect(values: pd.DataFrame) -> Cells:
    """The rows of values.csv by category and entry."""
    return {key: Judged.of(part) for key, part in values.groupby(["category", "entry"], sort=False)}


def difference(
    cells: Cells, entry: str, other: str, metric: str, kinds: Sequence[str] = KINDS, categories: Sequence[str] = ()
) -> dict[str, float]:
    """`entry` minus `other` with a 95 % interval: keys difference, low, high.

    The mean over the categories (all where none is named), the kinds, and the seeds that both entries have. NaN where
    no category has one of the kinds.
    """
    categories = list(categories) or list(dict.fromkeys(category for category, _ in cells))
    points, resampled = [], []
    for number, category in enumerate(categories):
        one, two = cells[category, entry], cells[category, other]
        one, two = one.with_seeds_of(two), two.with_seeds_of(one)
        present = [kind for kind in kinds if kind in set(one.labels)]
        if present:
            points.append(one.value(metric, present) - two.value(metric, present))
            counts = resampling_counts(one.labels, RESAMPLES, seed=number)
            resampled.append(one.value(metric, present, counts) - two.value(metric, present, counts))
    if not points:
        return dict.fromkeys(("difference", "low", "high"), float("nan"))
    low, high = percentiles(np.mean(resampled, axis=0))
    return {"difference": float(np.mean(points)), "low": low, "high": high}


def differences_to(cells: Cells, other: str, metric: str = "image_auroc") -> pd.DataFrame:
    """Every entry minus `other`: entry, category, kind, difference, low, high; see `difference`.

    By category and kind, then the mean over the categories that have both kinds, as category "mean".
    """
    kinds = {category: cells[category, other].kinds() for category, entry in cells if entry == other}
    both = [category for category, present in kinds.items() if len(present) == len(KINDS)]
    places = [(category, [category], kind) for category, present in kinds.items() for kind in present]
    places += [("mean", both, kind) for kind in KINDS if both]
    rows = [
        {"entry": entry, "category": name, "kind": kind} | difference(cells, entry, other, metric, [kind], categories)
        for name, categories, kind in places
        for entry in dict.fromkeys(entry for _, entry in cells)
        if entry != other and all((category, entry) in cells for category in categories)
    ]
    return pd.DataFrame(rows, columns=["entry", "category", "kind", "difference", "low", "high"])


def summarise_differences(differences: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """By error: the number of differences below and above zero with their whole interval, their median, and extremes.

    "lowest" and "highest" are the extremes among the differences whose interval excludes zero.
    """
    rows = []
    for error, table in differences.items():
        better, worse = table[table["high"] < 0]["difference"], table[table["low"] > 0]["difference"]
        counts = {"pairs": len(table), "better": len(better), "worse": len(worse)}
        ends = {"median": table["difference"].median(), "lowest": better.min(), "highest": worse.max()}
        rows.append({"error": error} | counts | ends)
    return pd.DataFrame(rows).set_index("error").round(4)
