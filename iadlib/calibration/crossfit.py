"""Calibrators fitted and judged on different images, although only the test split has anomalous ones.

Calibration needs anomalous images with labels, and only the test split has them. So the test images are split into
folds, stratified by kind; the probabilities of each fold come from a calibrator fitted to the other folds.
"""

from collections.abc import Sequence
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
    """Probabilities (N,), each from a copy of `calibrator` that was fitted without the image's fold.

    Folds have equal shares of every value of `strata` (N,), the labels where None. With `learn_from` (N,) bool, the
    calibrators are fitted to these images only, but every image gets a probability: to learn from one kind of anomaly
    and judge by another. Raises ValueError where a stratum has fewer images than there are folds.
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


def folds_for(kinds: Sequence[str], folds: int) -> int:
    """The largest number of folds, `folds` at most, with at least one image of every kind in each."""
    return min(folds, int(np.unique(kinds, return_counts=True)[1].min()))


def calibrated_twice(calibrator: Calibrator, scores: np.ndarray, kinds: np.ndarray, folds: int = 5) -> np.ndarray:
    """Probabilities (N,) of an ensemble: its members' scores (M, N) are calibrated and averaged, the average is
    calibrated again, and no label of a fold is used for its own probabilities.

    `kinds` (N,) name each image "good" or its kind of anomaly. Folds are nested: within the other folds, the second
    calibrator is fitted to averages of probabilities that are cross-fitted there.
    """
    scores, kinds = np.atleast_2d(scores), np.asarray(kinds)
    labels, probabilities = (kinds != "good").astype(int), np.empty(len(kinds))
    folds = folds_for(kinds, folds)
    for others, held in StratifiedKFold(folds, shuffle=True, random_state=0).split(kinds, kinds):
        strata = kinds[others]
        inner = folds_for(strata, folds)
        crossed = [cross_fit(calibrator, member[others], labels[others], inner, strata=strata) for member in scores]
        fitted = [deepcopy(calibrator).fit(member[others], labels[others]) for member in scores]
        first = [each.predict_proba(member[held]) for each, member in zip(fitted, scores, strict=True)]
        second = deepcopy(calibrator).fit(np.mean(crossed, axis=0), labels[others])
        probabilities[held] = second.predict_proba(np.mean(first, axis=0))
    return probabilities


def with_prevalence(probabilities: np.ndarray, prevalence: float, elsewhere: float) -> np.ndarray:
    """Probabilities (N,) learned where the share `prevalence` is anomalous, for where the share `elsewhere` is.

    By Bayes' rule the odds change by the ratio of the prior odds (Elkan 2001; Saerens et al. 2002). This holds if
    anomalous images look the same in both places, and normal images too.

    >>> round(float(with_prevalence([0.5], 0.5, 0.01)[0]), 6)
    0.01
    """
    probabilities = checked_probabilities(probabilities)
    for share in (prevalence, elsewhere):
        if not 0 < share < 1:
            raise ValueError(f"a prevalence is between 0 and 1, not {share}")
    odds = elsewhere / (1 - elsewhere) * (1 - prevalence) / prevalence
    return probabilities * odds / (probabilities * odds + (1 - probabilities))
