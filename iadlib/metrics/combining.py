"""Scores and maps of several detectors combined into one prediction, without labels.

Scores of different methods have different units. They are standardised by the mean and the standard deviation of the
normal validation images, and maps by those of the pixels of these images; then their mean, weighted or not, or their
maximum is taken, or detectors vote: a detector votes for "anomalous" if its value exceeds a quantile of its values on
the validation images.
"""

from collections.abc import Sequence

import numpy as np

from iadlib.metrics.entries import MEAN, WEIGHTED
from iadlib.types import Prediction

MAXIMUM, VOTE = "maximum", "vote"
COMBINATIONS = (MEAN, WEIGHTED, MAXIMUM, VOTE)
VOTE_QUANTILE = 0.95


def combined(
    predictions: Sequence[Prediction],
    validation: Sequence[Prediction],
    combination: str,
    weights: Sequence[Sequence[float]] | None = None,
) -> Prediction:
    """One prediction of several members' predictions, each relative to its own for normal validation images.

    Its maps are those of the members that have maps. The combination "weighted mean" takes `weights`, for every member
    those of its scores and of its maps.
    """
    triples = list(zip(predictions, validation, weights or [(1.0, 1.0)] * len(predictions), strict=True))
    maps = [(values.maps, normal.maps, weight) for values, normal, (_, weight) in triples if values.maps is not None]
    scores = [(values.scores, normal.scores, weight) for values, normal, (weight, _) in triples]
    return Prediction(_combined(scores, combination), _combined(maps, combination) if maps else None)


def _combined(triples: Sequence[tuple[np.ndarray, np.ndarray, float]], combination: str) -> np.ndarray:
    if combination == VOTE:
        votes = [(values > np.quantile(normal, VOTE_QUANTILE)).astype(np.float32) for values, normal, _ in triples]
        return np.mean(votes, axis=0, dtype=np.float32)
    parts = [standardised(values, normal) for values, normal, _ in triples]
    if combination == WEIGHTED:
        return np.average(parts, axis=0, weights=[weight for _, _, weight in triples]).astype(np.float32)
    return (np.mean if combination == MEAN else np.max)(parts, axis=0).astype(np.float32)


def standardised(values: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Values less the mean of normal values, divided by their standard deviation (by 1 if it is 0)."""
    spread = float(normal.std())
    return (values - float(normal.mean())) / (spread if spread > 0 else 1.0)
