"""Intervals by resampling test images: how much a value varies between test sets of the same kind.

Percentile bootstrap (Efron and Tibshirani 1993, chapter 13), stratified by label, so that every resample has as many
good and anomalous images as the test set. Where a value is a mean over seeds, pass the scores of all seeds: one
resample of images is then used for all seeds, and the interval is over images, not over seeds.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

Metric = Callable[[np.ndarray, np.ndarray], float]


def bootstrap_interval(
    metric: Metric, scores: ArrayLike, labels: ArrayLike, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """(low, high) of `metric(scores, labels)`; scores (N,) or, averaged over the rows, (seeds, N).

    >>> from iadlib.metrics import image_auroc
    >>> bootstrap_interval(image_auroc, [0.1, 0.2, 0.3, 0.8, 0.9], [0, 0, 0, 1, 1])  # separated in every resample
    (1.0, 1.0)
    """
    scores = np.atleast_2d(scores)
    return percentiles(_resampled(metric, scores, labels, resamples, seed), level)


def paired_difference_interval(
    metric: Metric,
    scores: ArrayLike,
    other_scores: ArrayLike,
    labels: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """(low, high) of metric(scores) - metric(other_scores), both on the same resampled images.

    >>> from iadlib.metrics import image_auroc
    >>> paired_difference_interval(image_auroc, [1, 2, 3, 4], [4, 3, 2, 1], [0, 0, 1, 1])
    (1.0, 1.0)
    """
    pair = [_resampled(metric, np.atleast_2d(each), labels, resamples, seed) for each in (scores, other_scores)]
    return percentiles(pair[0] - pair[1], level)


def _resampled(metric: Metric, scores: np.ndarray, labels: ArrayLike, resamples: int, seed: int) -> np.ndarray:
    labels = np.asarray(labels)
    if scores.shape[1] != len(labels):
        raise ValueError(f"scores (…, N) and labels (N,) expected, not {scores.shape} and {labels.shape}")
    drawn = resampled_images(labels, resamples, seed)
    return np.array([np.mean([metric(row[chosen], labels[chosen]) for row in scores]) for chosen in drawn])


def resampled_images(labels: ArrayLike, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """For every resample the indices (N,) of its images.

    >>> [chosen.tolist() for chosen in resampled_images(["good", "good", "bad"], resamples=2, seed=0)]
    [[2, 1, 1], [2, 1, 0]]
    """
    labels = np.asarray(labels)
    strata = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.concatenate([rng.choice(stratum, len(stratum)) for stratum in strata])


def percentiles(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The ends of the central interval with the share `level` of the resampled values."""
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
