"""Output-level ensembles, the baselines of the feature-level one: the scores and maps of the members are combined.

Without labels they are combined as `iadlib.metrics.combining` describes; the weights of a member's scores and maps say
how well the scores tell artificial anomalies from the validation images, and how well the maps show them
(`compositions`).

Labels allow more: stacking by logistic regression, and CAWPE (Large, Lines and Bagnall, "A probabilistic classifier
ensemble weighting scheme based on cross-validated accuracy estimates", 2019). Labelled images exist in the test split
only, so that both are cross-fitted: an image is judged by what was fitted to other images. Tables say so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from iadlib.detectors import Detector, create, detector_class
from iadlib.ensemble.compositions import CAWPE_POWER, changed_compositions, changed_places, weights_of
from iadlib.ensemble.feature import MEMBERS
from iadlib.ensemble.members import Members, check_validation
from iadlib.metrics.combining import COMBINATIONS, WITH_WEIGHTS, combined
from iadlib.metrics.entries import MEAN
from iadlib.types import Prediction


@dataclass(kw_only=True, eq=False)
class OutputEnsemble(Detector):
    """`members`: detector -> its hyperparameters. Their maps are smoothed already and are not smoothed again.

    Members that give no maps count for the image scores only.
    """

    title: ClassVar = "Output ensemble"
    cuts: ClassVar = {}
    # The members' state, their predictions for the validation images: (members, N) and, of those members that
    # localise, (members, N, H, W); and the weights of their scores and maps (members, 2).
    learned: ClassVar = ("members_", "validation_scores_", "validation_maps_", "weights_")

    members: dict[str, dict] = field(default_factory=lambda: {name: {} for name in MEMBERS})
    combination: str = MEAN  # one of COMBINATIONS
    smoothing_sigma: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self._require_choice(combination=COMBINATIONS)
        if not self.members:
            raise ValueError("members: one detector or more")

    @property
    def localises(self) -> bool:
        """Whether one of the members can say where an anomaly is."""
        return any(detector_class(name).localises for name in self.members)

    @property
    def paths(self) -> tuple[str, ...]:
        """The names of the members' fields that are paths."""
        return tuple({path: None for name in self.members for path in detector_class(name).paths})

    def fit(
        self,
        train_images: Tensor,
        validation_images: Tensor | None = None,
        fitted: dict[str, Detector] | None = None,
    ) -> Self:
        """Fit the members, and keep their predictions for the validation images.

        Members that are `fitted` to the same images already are copied. With the combinations `WITH_WEIGHTS`,
        artificial anomalies of the validation images give the weights.
        """
        if validation_images is None:
            raise ValueError("validation_images: needed to standardise the members' scores")
        check_validation(len(validation_images))
        self.members_ = self._new_members()
        self.members_.fit(train_images, validation_images, fitted)
        predictions = [detector.predict(validation_images) for detector in self.members_.detectors.values()]
        maps = [prediction.maps for prediction in predictions if prediction.maps is not None]
        self.validation_scores_ = torch.from_numpy(np.stack([prediction.scores for prediction in predictions]))
        self.validation_maps_ = torch.from_numpy(np.stack(maps)) if maps else torch.empty(0)
        self.members_.share_backbones()
        self.weights_ = torch.ones(len(predictions), 2)
        if self.combination in WITH_WEIGHTS:
            changed = changed_compositions(validation_images)
            places = changed_places(changed, validation_images)
            batches = [self._predictions(batch) for batch in changed.split(self.batch_size)]
            artificial = [Prediction.concatenated(parts) for parts in zip(*batches, strict=True)]
            pairs = zip(predictions, artificial, strict=True)
            self.weights_ = torch.tensor([weights_of(normal, found, places) for normal, found in pairs])
        return self

    def build(self) -> None:
        self.members_ = self._new_members()
        self.members_.share_backbones()

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        joint = combined(self._predictions(images), self._normal(), self.combination, self.weights_.tolist())
        if joint.maps is not None:
            yield "scores", torch.from_numpy(joint.maps)[:, None]  # (N, 1, H, W)
        yield "image_scores", torch.from_numpy(joint.scores)  # (N,)

    def _predictions(self, images: Tensor) -> list[Prediction]:
        """Every member's prediction for one batch."""
        # Not `predict`, which would split the batch: a shared backbone recognises a batch by its identity.
        return [detector._predict_batch(images) for detector in self.members_.detectors.values()]

    def _normal(self) -> list[Prediction]:
        """Every member's prediction for the validation images."""
        scores, maps = self.validation_scores_.cpu().numpy(), iter(self.validation_maps_.cpu().numpy())
        detectors = self.members_.detectors.values()
        return [
            Prediction(of_images, next(maps) if detector.localises else None)
            for detector, of_images in zip(detectors, scores, strict=True)
        ]

    def _described(self) -> dict:
        described = super()._described()
        described["hyperparameters"]["members"] = self._new_members().hyperparameters()
        return described

    def _new_members(self) -> Members:
        execution = {"seed": self.seed, "device": self.device}
        return Members({name: create(name, **values | execution) for name, values in self.members.items()}, {})


def stacked(scores: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Probabilities (N,) of a logistic regression on the members' scores (N, M), cross-fitted over `folds`."""
    out = np.empty(len(labels))
    for training, held_out in _folds(labels, folds, seed):
        out[held_out] = _regression().fit(scores[training], labels[training]).predict_proba(scores[held_out])[:, 1]
    return out


def cawpe(scores: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Members' probabilities (N,), weighted by their cross-validated accuracies to the fourth power, cross-fitted.

    Every member, a column of `scores` (N, M), has its own logistic regression in each fold; its accuracy is estimated
    by another cross-validation inside the fold's training images.
    """
    out = np.empty(len(labels))
    for training, held_out in _folds(labels, folds, seed):
        probabilities, weights = [], []
        for member in scores.T[:, :, None]:
            inner = StratifiedKFold(folds, shuffle=True, random_state=seed)
            known = member[training], labels[training]
            weights.append(cross_val_score(_regression(), *known, cv=inner, scoring="accuracy").mean() ** CAWPE_POWER)
            probabilities.append(_regression().fit(*known).predict_proba(member[held_out])[:, 1])
        out[held_out] = np.average(probabilities, axis=0, weights=weights)
    return out


def _regression() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression())


def _folds(labels: np.ndarray, folds: int, seed: int):
    smallest = min(np.bincount(labels.astype(int), minlength=2))
    if smallest < folds:
        raise ValueError(f"{folds} folds need {folds} images of each class or more; the smaller class has {smallest}")
    return StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
