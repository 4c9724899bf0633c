"""Scores and maps of several detectors combined into one prediction, without labels.

Scores of different methods have different units. They are standardised by the mean and the standard deviation of the
normal validation images, and maps by those of the pixels of these images; then their mean, weighted or not, or their
maximum is taken, or detectors vote: a detector votes for "anomalous" if its value exceeds a quantile of its values on
the validation images.

The soft maximum is T log(sum of w exp(z / T)), with the members' standardised values z, their weights w, which add up
to 1, and the temperature T: the weighted mean for a high temperature, the maximum for a low one. A mean dilutes an
anomaly that one member of many sees; the maximum takes every member for equally reliable. Maps are averaged
nevertheless: on development data a soft maximum of maps was no better.
"""

from collections.abc import Sequence

import numpy as np
import scipy  # its parts are imported when they are used

from iadlib.metrics.entries import MEAN, SOFT, WEIGHTED
from iadlib.types import Prediction

MAXIMUM, VOTE = "maximum", "vote"
COMBINATIONS = (MEAN, WEIGHTED, SOFT, MAXIMUM, VOTE)
WITH_WEIGHTS = (WEIGHTED, SOFT)
VOTE_QUANTILE = 0.95
TEMPERATURE = 2.0  # of the soft maximum, in standard deviations: chosen on development data (params/ensemble.yaml)


def combined(
    predictions: Sequence[Prediction],
    validation: Sequence[Prediction],
    combination: str,
    weights: Sequence[Sequence[float]] | None = None,
) -> Prediction:
    """One prediction of several members' predictions, each relative to its own for normal validation images.

    Its maps are those of the members that have maps. The combinations `WITH_WEIGHTS` take `weights`, for every member
    those of its scores and of its maps.
    """
    triples = list(zip(predictions, validation, weights or [(1.0, 1.0)] * len(predictions), strict=True))
    maps = [(values.maps, normal.maps, weight) for values, normal, (_, weight) in triples if values.maps is not None]
    scores = [(values.scores, normal.scores, weight) for values, normal, (weight, _) in triples]
    of_maps = WEIGHTED if combination == SOFT else combination
    return Prediction(_combined(scores, combination), _combined(maps, of_maps) if maps else None)


def _combined(triples: Sequence[tuple[np.ndarray, np.ndarray, float]], combination: str) -> np.ndarray:
    if combination == VOTE:
        votes = [(values > np.quantile(normal, VOTE_QUANTILE)).astype(np.float32) for values, normal, _ in triples]
        return np.mean(votes, axis=0, dtype=np.float32)
    parts = [standardised(values, normal) for values, normal, _ in triples]
    weights = np.array([weight for _, _, weight in triples])
    if combination == WEIGHTED:
        return np.average(parts, axis=0, weights=weights).astype(np.float32)
    if combination == SOFT:
        shares = (weights / weights.sum()).reshape(-1, *[1] * parts[0].ndim)
        soft = TEMPERATURE * scipy.special.logsumexp(np.divide(parts, TEMPERATURE), axis=0, b=shares)
        return soft.astype(np.float32)
    return (np.mean if combination == MEAN else np.max)(parts, axis=0).astype(np.float32)


def standardised(values: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Values less the mean of normal values, divided by their standard deviation (by 1 if it is 0)."""
    spread = float(normal.std())
    return (values - float(normal.mean())) / (spread if spread > 0 else 1.0)
