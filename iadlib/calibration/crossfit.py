"""Calibrators fitted and judged on different images, though anomalous ones exist only in the test split.

Anomalous labels are needed to calibrate, and only test images have them. So test images are dealt into folds, as alike
as possible in what they hold; each fold's probabilities come from a calibrator that has seen the other folds alone.
"""

from copy import deepcopy
from typing import Protocol, Self

import numpy as np
from sklearn.model_selection import StratifiedKFold

from iadlib.calibration.checks import checked, checked_probabilities


class Calibrator(Protocol):
    def fit(self, scores: np.ndarray, labels: np.ndarray) -> Self: ...

    def predict_proba(self, scores: np.ndarray) -> np.ndarray: ...


def cross_fit(
    calibrator: Calibrator,
    scores: np.ndarray,
    labels: np.ndarray,
    folds: int = 5,
    seed: int = 0,
    strata: np.ndarray | None = None,
    learn_from: np.ndarray | None = None,
) -> np.ndarray:
    """Probabilities (N,), each from a calibrator that has not seen its image; `calibrator` itself stays as it is.

    `strata` (N,) names what folds should hold alike shares of; labels where None. `learn_from` (N,) bool: calibrators
    learn from these images alone, every image is judged; to learn from one kind of anomaly and judge by another.
    """
    scores, labels = checked(scores, labels)
    strata = labels if strata is None else np.asarray(strata)
    chosen = np.ones(len(scores), bool) if learn_from is None else np.asarray(learn_from, bool)
    if strata.shape != scores.shape or chosen.shape != scores.shape:
        raise ValueError(f"strata {strata.shape} and learn_from {chosen.shape}: one each for {len(scores)} scores")
    if folds < 2:
        raise ValueError(f"folds {folds}: 2 or more")
    names, counts = np.unique(strata, return_counts=True)
    if counts.min() < folds:
        raise ValueError(
            f"{folds} folds, but only {counts.min()} images of {names[counts.argmin()]!s}: each fold needs one of each"
        )
    probabilities = np.empty(len(scores))
    for others, held in StratifiedKFold(folds, shuffle=True, random_state=seed).split(scores, strata):
        seen = others[chosen[others]]
        probabilities[held] = deepcopy(calibrator).fit(scores[seen], labels[seen]).predict_proba(scores[held])
    return probabilities


def with_prevalence(probabilities: np.ndarray, prevalence: float, elsewhere: float) -> np.ndarray:
    """Probabilities (N,) learned where the share `prevalence` is anomalous, for where the share `elsewhere` is.

    A test set of half anomalies is no factory. By Bayes' rule the odds change by the ratio of the prior odds (Elkan
    2001; Saerens et al. 2002); right as long as anomalous images look the same at both places, and normal ones too.

    >>> round(float(with_prevalence([0.5], 0.5, 0.01)[0]), 6)
    0.01
    """
    probabilities = checked_probabilities(probabilities)
    for share in (prevalence, elsewhere):
        if not 0 < share < 1:
            raise ValueError(f"a prevalence is between 0 and 1, not {share}")
    odds = elsewhere / (1 - elsewhere) * (1 - prevalence) / prevalence
    return probabilities * odds / (probabilities * odds + (1 - probabilities))
