"""Output-level ensembles, the baselines of the feature-level one: members keep their scores and maps to themselves, and
these are combined.

Scores of different methods have different units. Without labels, they are standardised by the mean and spread of the
normal validation images, maps by those of the validation images' pixels; then averaged, or the largest is taken, or
members vote: one vote a member whose value lies above the given quantile of the validation's. With labels there is more
to be had: stacking by logistic regression, and CAWPE (Large, Lines and Bagnall, "A probabilistic classifier ensemble
weighting scheme based on cross-validated accuracy estimates", 2019). Labels exist in the test split alone, so that both
are cross-fitted: what judges an image has been fitted to other images. Tables say so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from iadlib.detectors import Detector, create
from iadlib.ensemble.members import Members
from iadlib.types import Prediction

COMBINATIONS = ("mean", "maximum", "vote")
VOTE_QUANTILE = 0.95
CAWPE_POWER = 4  # the exponent of a member's accuracy, as published


@dataclass(kw_only=True, eq=False)
class OutputEnsemble(Detector):
    """`members`: detector -> its hyperparameters. Their maps are smooth already, and are not smoothed again."""

    cuts: ClassVar = ()
    # the members' state, and what they say of the validation images: (members, N) and (members, N, H, W)
    learned: ClassVar = ("members_", "validation_scores_", "validation_maps_")

    members: dict[str, dict] = field(default_factory=dict)
    combination: str = "mean"
    smoothing_sigma: float = 0.0

    def __post_init__(self):
        if self.combination not in COMBINATIONS:
            raise ValueError(f"combination {self.combination!r}: one of {', '.join(COMBINATIONS)}")
        if not self.members:
            raise ValueError("members: one detector or more")

    def fit(self, train_images: Tensor, validation_images: Tensor, fitted: dict[str, Detector] | None = None) -> Self:
        """Fit the members, unless they come `fitted`, and keep what they say of the validation images."""
        members = self._members()
        for name, detector in members.detectors.items():
            if fitted is None:
                detector.fit(train_images, validation_images)
            else:
                detector.load_state_dict(fitted[name].state_dict())
        said = [detector.predict(validation_images) for detector in members.detectors.values()]
        self.validation_scores_ = torch.from_numpy(np.stack([prediction.scores for prediction in said]))
        self.validation_maps_ = torch.from_numpy(np.stack([prediction.maps for prediction in said]))
        self.members_ = members
        self.members_.share_backbones()
        return self

    def build(self) -> None:
        self.members_ = self._members()
        self.members_.share_backbones()

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        # `predict` would cut the batch anew, and a backbone that members share knows a batch by its identity.
        said = [Prediction(*detector._predict_batch(images)) for detector in self.members_.detectors.values()]
        normal = zip(self.validation_scores_.cpu().numpy(), self.validation_maps_.cpu().numpy(), strict=True)
        together = combined(said, [Prediction(*each) for each in normal], self.combination)
        yield "scores", torch.from_numpy(together.maps)[:, None]  # (N, 1, H, W)
        yield "image_scores", torch.from_numpy(together.scores)  # (N,)

    def _members(self) -> Members:
        execution = {"seed": self.seed, "device": self.device}
        return Members({name: create(name, **values | execution) for name, values in self.members.items()}, {})


def combined(said: Sequence[Prediction], validation: Sequence[Prediction], combination: str) -> Prediction:
    """One prediction of several members', each brought to the scale of its own on normal validation images."""
    parts = [(prediction.scores, prediction.maps) for prediction in said]
    references = [(prediction.scores, prediction.maps) for prediction in validation]
    if combination == "vote":
        votes = [
            [
                (value > np.quantile(normal, VOTE_QUANTILE)).astype(np.float32)
                for value, normal in zip(*pair, strict=True)
            ]
            for pair in zip(parts, references, strict=True)
        ]
        return Prediction(*(np.mean(values, axis=0, dtype=np.float32) for values in zip(*votes, strict=True)))
    scaled = [
        [standardised(value, normal) for value, normal in zip(*pair, strict=True)]
        for pair in zip(parts, references, strict=True)
    ]
    join = np.mean if combination == "mean" else np.max
    return Prediction(*(join(values, axis=0).astype(np.float32) for values in zip(*scaled, strict=True)))


def standardised(values: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """In units of the spread that normal values have; a spread of nothing counts as one."""
    spread = float(normal.std())
    return (values - float(normal.mean())) / (spread if spread > 0 else 1.0)


def stacked(scores: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Probabilities (N,) of a logistic regression on the members' scores (N, M), cross-fitted over `folds`."""
    out = np.empty(len(labels))
    for learn, judge in _folds(labels, folds, seed):
        out[judge] = _regression().fit(scores[learn], labels[learn]).predict_proba(scores[judge])[:, 1]
    return out


def cawpe(scores: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Members' probabilities (N,) weighted by their cross-validated accuracies to the fourth power, cross-fitted.

    Within what an image may not see, every member (a column of `scores` (N, M)) has a logistic regression of its own,
    and its accuracy there is estimated by another cross-validation.
    """
    out = np.empty(len(labels))
    for learn, judge in _folds(labels, folds, seed):
        probabilities, weights = [], []
        for member in scores.T[:, :, None]:
            inner = StratifiedKFold(folds, shuffle=True, random_state=seed)
            accuracy = cross_val_score(_regression(), member[learn], labels[learn], cv=inner, scoring="accuracy").mean()
            weights.append(accuracy**CAWPE_POWER)
            probabilities.append(_regression().fit(member[learn], labels[learn]).predict_proba(member[judge])[:, 1])
        out[judge] = np.average(probabilities, axis=0, weights=weights)
    return out


def _regression() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression())


def _folds(labels: np.ndarray, folds: int, seed: int):
    smallest = min(np.bincount(labels.astype(int), minlength=2))
    if smallest < folds:
        raise ValueError(f"{folds} folds need {folds} images of each class or more; the smaller class has {smallest}")
    return StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
