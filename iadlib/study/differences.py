"""Differences of entries that were judged on the same test images, with their intervals.

An interval is a percentile bootstrap over the test images, stratified by label: both entries are judged on the same
resample, all seeds that both were fitted with on one; means over categories resample each category by itself. The
AU-sPRO of a resample takes its false positive rates from the pixels of the whole test set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from iadlib.metrics import percentiles, resampled_images

RESAMPLES = 500
KINDS = ("logical", "structural")
TITLES = {"image_auroc": "image AUROC", "au_spro": "AU-sPRO"}


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
        """What the seeds that `other` has too say."""
        shared = np.isin(self.seeds, other.seeds)
        return replace(self, seeds=self.seeds[shared], scores=self.scores[shared], au_spro=self.au_spro[shared])

    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if kind in set(self.labels)]

    def by_seed(self, metric: str, kind: str, counts: np.ndarray | None = None) -> np.ndarray:
        """One value a seed, (R, seeds), of R resamples: `counts` (R, N) says how often each image is in them.

        Without `counts` each image is there once, and R is 1.
        """
        counts = np.ones((1, len(self.labels))) if counts is None else counts
        good, anomalous = self.labels == "good", self.labels == kind
        if metric == "image_auroc":
            # The share of pairs that are in order, ties by half: every resample weighs the same pairs anew.
            in_order = (np.sign(self.scores[:, anomalous, None] - self.scores[:, None, good]) + 1) / 2
            found = np.einsum("ra,sag,rg->rs", counts[:, anomalous], in_order, counts[:, good], optimize=True)
            return found / (counts[:, anomalous].sum(axis=1) * counts[:, good].sum(axis=1))[:, None]
        known = anomalous & ~np.isnan(self.au_spro[0])
        weights = counts[:, known] * self.regions[known]
        with np.errstate(invalid="ignore"):  # no region known: no value
            return weights @ self.au_spro[:, known].T / weights.sum(axis=1, keepdims=True)

    def value(self, metric: str, kinds: Sequence[str], counts: np.ndarray | None = None) -> np.ndarray:
        """The mean over kinds and seeds, (R,)."""
        return np.mean([self.by_seed(metric, kind, counts) for kind in kinds], axis=(0, 2))


Cells = dict[tuple[str, str], Judged]  # by category and entry


def collect(values: pd.DataFrame) -> Cells:
    """By category and entry."""
    return {key: Judged.of(part) for key, part in values.groupby(["category", "entry"], sort=False)}


def difference(
    cells: Cells, entry: str, other: str, metric: str, kinds: Sequence[str] = KINDS, categories: Sequence[str] = ()
) -> dict[str, float]:
    """`entry` less `other` with its 95 % interval, in the mean over categories (all, unless named), kinds and the
    seeds that both have."""
    categories = list(categories) or list(dict.fromkeys(category for category, _ in cells))
    points, resampled = [], []
    for number, category in enumerate(categories):
        one, two = cells[category, entry], cells[category, other]
        one, two = one.with_seeds_of(two), two.with_seeds_of(one)
        present = [kind for kind in kinds if kind in set(one.labels)]
        if present:
            points.append(one.value(metric, present) - two.value(metric, present))
            drawn = resampled_images(one.labels, RESAMPLES, seed=number)
            counts = np.array([np.bincount(chosen, minlength=len(one.labels)) for chosen in drawn])
            resampled.append(one.value(metric, present, counts) - two.value(metric, present, counts))
    low, high = percentiles(np.mean(resampled, axis=0))
    return {"difference": float(np.mean(points)), "low": low, "high": high}
