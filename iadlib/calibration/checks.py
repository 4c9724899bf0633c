"""Checks of scores, labels and probabilities, with one error for each kind of wrong input."""

import numpy as np


def checked_scores(scores: np.ndarray) -> np.ndarray:
    """Scores (N,) as float64. Raises on other shapes, and on NaN or infinite values."""
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 1 or not len(scores):
        raise ValueError(f"scores are one number an image, (N,) with N of 1 or more, not {scores.shape}")
    if bad := np.count_nonzero(~np.isfinite(scores)):
        raise ValueError(f"{bad} of {len(scores)} scores are NaN or infinite")
    return scores


def checked_labels(labels: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Labels (N,) of 0 and 1, as integers, one for each of `like`."""
    labels = np.asarray(labels)
    if labels.shape != like.shape:
        raise ValueError(f"{labels.shape} labels for {like.shape} scores; one each")
    if strange := sorted(set(labels.tolist()) - {0, 1}, key=str):
        raise ValueError(f"labels are 0 (normal) and 1 (anomalous), not {strange[:3]}")
    return labels.astype(int)


def checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N,) and labels (N,) that a calibrator can be fitted to: both labels, 0 and 1, occur."""
    scores = checked_scores(scores)
    labels = checked_labels(labels, scores)
    if len(set(labels.tolist())) == 1:
        raise ValueError(f"all {len(labels)} labels are {labels[0]}: calibration needs normal and anomalous images")
    return scores, labels


def checked_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities (N,) in [0, 1]."""
    probabilities = checked_scores(probabilities)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError(
            f"probabilities lie in [0, 1]; these reach from {probabilities.min()} to {probabilities.max()}"
        )
    return probabilities
