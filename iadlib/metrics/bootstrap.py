"""Intervals by resampling test images: how much a value varies between test sets of the same kind.

Percentile bootstrap (Efron and Tibshirani 1993, chapter 13), stratified by label, so that every resample has as many
good and anomalous images as the test set. Where a value is a mean over seeds, pass the scores of all seeds: one
resample of images is then used for all seeds, and the interval is over images, not over seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """(low, high) of `metric(scores, labels)`; scores (N,) or, averaged over the rows, (seeds, N).

    >>> from iadlib.metrics import image_auroc
    >>> bootstrap_interval(image_auroc, [0.1, 0.2, 0.3, 0.8, 0.9], [0, 0, 0, 1, 1])  # separated in every resample
    (1.0, 1.0)
    """
    scores, labels = np.atleast_2d(scores), np.asarray(labels)
    if scores.shape[1] != len(labels):
        raise ValueError(f"scores (…, N) and labels (N,) expected, not {scores.shape} and {labels.shape}")
    drawn = resampled_images(labels, resamples, seed)
    return percentiles([np.mean([metric(row[chosen], labels[chosen]) for row in scores]) for chosen in drawn], level)


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


def resampling_counts(labels: Sequence, resamples: int, seed: int) -> np.ndarray:
    """How often each resample of `resampled_images` holds each image, (resamples, N).

    >>> resampling_counts(["good", "good", "bad"], resamples=2, seed=0).tolist()
    [[0, 2, 1], [1, 1, 1]]
    """
    return _counts(tuple(labels), resamples, seed)


@lru_cache(maxsize=64)  # many entries are compared on the same images
def _counts(labels: tuple, resamples: int, seed: int) -> np.ndarray:
    drawn = resampled_images(labels, resamples, seed)
    counts = np.array([np.bincount(chosen, minlength=len(labels)) for chosen in drawn])
    counts.setflags(write=False)
    return counts


def percentiles(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The ends of the central interval with the share `level` of the resampled values."""
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
