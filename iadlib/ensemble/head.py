"""What joins the members of a feature-level ensemble: from their feature maps to anomaly scores, without a detector.

A member's map that is a distance to normal features may pass a linear projection; the maps are reduced by PCA, resized
and concatenated (`transforms`, after Heller et al. 2023); a discriminator tells them from the same maps with noise
(`discriminator`, after SimpleNet). The score of a patch is the negative output of the discriminator. If `distances` is
set, it is combined with the norms of the members' distances, all standardised on normal validation images, with weights
that artificial anomalies decide (`compositions`): maps as a mean, image scores by default as a soft maximum, in which
an anomaly that one member alone sees counts more than in a mean (`iadlib.metrics.combining`).

A member that sees the image as a whole, with maps (N, C, 1, 1), says nothing about patches. Beside members that do, its
distance counts for the image score only, and the discriminator does not see it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from iadlib.detectors.base import smooth_maps, to_maps, top_mean, under
from iadlib.detectors.training import seeded
from iadlib.ensemble.compositions import weights_of
from iadlib.ensemble.discriminator import Discriminator, fit_discriminator, vectors_of
from iadlib.ensemble.settings import CHOICES, HeadSettings
from iadlib.ensemble.transforms import Covariance, GlobalTransform, IndividualTransform, resized
from iadlib.features import resolve_device
from iadlib.metrics.combining import TEMPERATURE
from iadlib.metrics.entries import MEAN, SOFT
from iadlib.stored import stored
from iadlib.types import Prediction

Item = TypeVar("Item")
TRANSFORMS = {"individual": IndividualTransform, "global": GlobalTransform}
DISTANCES = ("distance", "deviation")  # kinds of cuts whose norm is a distance to normal features
UNSIGNED = "distance"  # the kind whose channels are never negative


class Artificial(NamedTuple):
    """Artificial anomalies of composition."""

    maps: Sequence[Tensor]  # the members' maps (M, C, h, w) of their images
    places: np.ndarray  # (M, H, W) bool: the changed pixels


@dataclass(kw_only=True, eq=False)
class JointHead(HeadSettings):
    """`kinds`: member -> the kind of its cut, see `Detector.cuts`. Maps are (N, C, h, w), one for every member."""

    kinds: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r}: one of {', '.join(choices)}")
        if self.projection == "adapter" and UNSIGNED not in self.kinds.values():
            raise ValueError(f"projection 'adapter': no member has a cut of the kind {UNSIGNED!r} to project")
        if self.projection == "joint" and self.noise_place == "joint" and self.noise_shape != "isotropic":
            raise ValueError(
                f"noise_shape {self.noise_shape!r} by channel, after a projection that mixes the channels: "
                "choose isotropic noise, or noise_place 'members'"
            )
        for name in ("noise_scale", "margin", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: above 0")
        for name in ("steps", "projection_steps", "heads", "hidden_channels", "images_per_step", "patches_per_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: 1 or more")

    @property
    def needs_validation(self) -> bool:
        """Whether there are distances to be combined with the discriminator's score."""
        return self.distances and any(kind in DISTANCES for kind in self.kinds.values())

    @property
    def needs_artificial(self) -> bool:
        """Whether artificial anomalies decide the weights of distances and the discriminator's score."""
        return self.needs_validation and self.weights == "artificial"

    def fit(
        self,
        train_maps: Sequence[Tensor],
        validation_maps: Sequence[Tensor] | None,
        size: tuple[int, int],
        artificial: Artificial | None = None,
        covariances: Sequence[Covariance] | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> Self:
        """Fit to the members' maps of images of `size` (height, width).

        Validation maps are needed with `distances`, and artificial anomalies with `weights` "artificial", too.
        `covariances` are those of the training maps, if they are known already. `after_step` is called after every
        training step of the discriminator; it must not change the head.
        """
        if self.needs_validation and validation_maps is None:
            raise ValueError("validation images: needed to standardise distances and the discriminator's score")
        if self.needs_artificial and artificial is None:
            raise ValueError("artificial anomalies: needed for the weights of distances and the discriminator's score")
        widths = self._widths(train_maps)
        self.widths_, self.scales_ = torch.tensor([*widths, 0, 0]), torch.zeros(0, 6)
        kinds, maps = self._joined(self.kinds.items()), self._joined(train_maps)
        self.projections_ = self._new_projections()
        if self.projection == "adapter" and not self.projections_:
            raise ValueError("projection 'adapter': no member with patches has a distance to project")
        for index, (name, _) in enumerate(kinds):
            if name in self.projections_:
                maps[index] = self._fit_projection(name, maps[index])

        def stream() -> Iterator[list[Tensor]]:
            return self.batches(maps)

        self.transform_ = TRANSFORMS[self.transform](kept=self.kept, equalise=self.equalise)
        if covariances is None or self.projections_:
            self.transform_.fit(stream)
        else:
            self.transform_.fit(stream, [each.to(resolve_device(self.device)) for each in self._joined(covariances)])
        projected = self.transform_.counts_[0] if self.projection == "joint" else 0
        self.widths_ = torch.tensor([*widths, sum(self.transform_.counts_), projected])
        self.discriminator_ = self._new_discriminator()
        if self.noise_place == "members":
            distances = [kind == UNSIGNED and name not in self.projections_ for name, kind in kinds]
            how = {"join": self.transform_, "distances": distances}
        else:
            maps, how = stored(([self.transform_(batch)] for batch in stream()), len(maps[0])), {}
        self.losses_, self.aurocs_ = fit_discriminator(
            self.discriminator_, maps, self, "ensemble: discriminator", after_step=after_step, **how
        )
        if self.needs_validation:
            self.scales_ = self._scales(validation_maps, artificial, size)
        return self

    def with_scoring(
        self,
        validation_maps: Sequence[Tensor],
        size: tuple[int, int],
        artificial: Artificial | None = None,
        **changes,
    ) -> Self:
        """The same fitted head with other values of the settings in SCORING, or other `kinds`.

        `kinds` may differ in members that see the image as a whole, which the training does not use.
        """
        other = replace(self, **changes)
        for name in ("projections_", "transform_", "discriminator_", "losses_", "aurocs_"):
            setattr(other, name, getattr(self, name))
        other.widths_ = torch.tensor([*other._widths(validation_maps), *self.widths_[-2:].tolist()])
        if other.joined_members() != self.joined_members():
            raise ValueError(f"{', '.join(other.kinds)}: joins other members than {', '.join(self.kinds)} does")
        other.scales_ = torch.zeros(0, 6)
        if other.needs_validation:
            other.scales_ = other._scales(validation_maps, artificial, size)
        return other

    def predict(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Prediction:
        """Scores (N,) and anomaly maps (N, H, W) of images of `size`, from the members' maps.

        There are no anomaly maps where all members see the image as a whole.
        """
        found, localises = [], any(each.shape[-2:] != (1, 1) for each in maps)
        with torch.inference_mode():
            for batch in self.batches(maps):
                scores, image_scores = self.score(self.joint(batch), batch, size)
                shown = to_maps(scores, size, self.smoothing_sigma) if localises else None
                found.append(Prediction(image_scores.cpu().numpy(), shown))
        return Prediction.concatenated(found)

    def joined_members(self) -> list[str]:
        """The members whose maps are joined."""
        return self._joined(self.kinds)

    def joint(self, maps: Sequence[Tensor]) -> Tensor:
        """The joint maps (N, C, h, w) of one batch."""
        named = self._joined(zip(self.kinds, maps, strict=True))
        return self.transform_([self._projected(name, each) for name, each in named])

    def score(self, joint: Tensor, maps: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Patch scores (N, 1, h, w) and image scores (N,) of one batch, from its joint maps and the members' maps."""
        parts = self._parts(joint, maps)
        of_images = [self.image_scores(part, size) for part in parts]
        if not len(self.scales_):  # the discriminator's score alone
            return parts[0], of_images[0]
        grid, scores, images = joint.shape[-2:], [], []
        for part, values, scales in zip(parts, of_images, self.scales_.tolist(), strict=True):
            mean, spread, image_mean, image_spread, image_weight, weight = scales
            images.append((image_weight, (values - image_mean) / image_spread))
            if part.shape[-2:] != (1, 1) or grid == (1, 1):
                scores.append((weight, (resized(part, grid) - mean) / spread))
        combine = {SOFT: soft_maximum, MEAN: weighted_mean}[self.combination]
        return weighted_mean(scores), combine(images)

    def image_scores(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """Image scores (N,), on the CPU, of patch scores (N, 1, h, w)."""
        if self.image_score == "patch":
            return scores.amax(dim=(1, 2, 3)).cpu()
        if scores.shape[-2:] == (1, 1):
            return scores.flatten().cpu()
        return self._scores_of_maps(smooth_maps(scores, size, self.smoothing_sigma)).cpu()

    def _scores_of_maps(self, maps: Tensor) -> Tensor:
        return top_mean(maps) if self.image_score == "top" else maps.amax(dim=(1, 2))

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """The learned state, as tensors by name."""
        state = {name: getattr(self, name) for name in ("widths_", "scales_", "losses_", "aurocs_")}
        for name in ("projections_", "transform_", "discriminator_"):
            state |= getattr(self, name).state_dict(prefix=f"{name}.")
        return {prefix + key: tensor for key, tensor in state.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the state that `state_dict` of a head with the same hyperparameters returned."""
        state = {key: tensor.to(resolve_device(self.device)) for key, tensor in state.items()}
        for name in ("widths_", "scales_", "losses_", "aurocs_"):
            setattr(self, name, state[name].cpu())
        self.projections_, self.discriminator_ = self._new_projections(), self._new_discriminator()
        self.transform_ = TRANSFORMS[self.transform](kept=self.kept, equalise=self.equalise)
        for name in ("projections_", "transform_", "discriminator_"):
            getattr(self, name).load_state_dict(under(state, name))

    def batches(self, maps: Sequence[Tensor]) -> Iterator[list[Tensor]]:
        """The members' maps, batch by batch, on the head's device."""
        device = resolve_device(self.device)
        for batch in zip(*(each.split(self.batch_size) for each in maps), strict=True):
            yield [each.to(device) for each in batch]

    def _scales(
        self, validation_maps: Sequence[Tensor], artificial: Artificial | None, size: tuple[int, int]
    ) -> Tensor:
        """For every part of the score (parts, 6): mean and spread of normal pixels and of normal images; two weights.

        The weights are those of the image scores and of the maps.
        """
        normal_parts = self._all_parts(validation_maps)
        changed_parts = self._all_parts(artificial.maps) if self.needs_artificial else [None] * len(normal_parts)
        rows = []
        for part, changed in zip(normal_parts, changed_parts, strict=True):
            normal, weights = self._prediction(part, size), (1.0, 1.0)
            if changed is not None:
                weights = weights_of(normal, self._prediction(changed, size), artificial.places)
            pixels, images = normal.scores if normal.maps is None else normal.maps, normal.scores
            rows.append([pixels.mean(), pixels.std() or 1.0, images.mean(), images.std() or 1.0, *weights])
        return torch.tensor(rows)

    def _prediction(self, part: Tensor, size: tuple[int, int]) -> Prediction:
        """Scores of images, and maps where the part (N, 1, h, w) of the score has places."""
        if part.shape[-2:] == (1, 1):
            return Prediction(self.image_scores(part, size).numpy(), None)
        maps = smooth_maps(part, size, self.smoothing_sigma)
        scores = self.image_scores(part, size) if self.image_score == "patch" else self._scores_of_maps(maps)
        return Prediction(scores.cpu().numpy(), maps.cpu().numpy())

    def _all_parts(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The parts of the score (N, 1, h, w) of all images."""
        with torch.inference_mode():
            parts = [self._parts(self.joint(batch), batch) for batch in self.batches(maps)]
        return [torch.cat(part) for part in zip(*parts, strict=True)]

    def _parts(self, joint: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """The scores (N, 1, h, w) that are combined: the discriminator's, and the distances."""
        parts = [-self.discriminator_(joint)]
        if self.distances:
            named = zip(self.kinds.values(), maps, strict=True)
            parts += [each.norm(dim=1, keepdim=True) for kind, each in named if kind in DISTANCES]
        return parts

    def _widths(self, maps: Sequence[Tensor]) -> list[int]:
        """The members' channels; 0 for those that see the image as a whole, beside others that do not."""
        whole = [each.shape[-2:] == (1, 1) for each in maps]
        return [0 if alone and not all(whole) else each.shape[1] for alone, each in zip(whole, maps, strict=True)]

    def _joined(self, of_members: Iterable[Item]) -> list[Item]:
        """What belongs to the members whose maps are joined; the others have a width of 0."""
        widths = self.widths_.tolist()[: len(self.kinds)]
        return [each for each, width in zip(of_members, widths, strict=True) if width]

    def _fit_projection(self, name: str, maps: Tensor) -> Tensor:
        """Train the projection of one member, and return its projected maps."""
        with seeded(self.seed):
            own = Discriminator(maps.shape[1], self.hidden_channels, maps.shape[1], self.heads)
        own.to(resolve_device(self.device))
        # A projection mixes the channels: noise by channel would be that of others.
        settings = replace(self, steps=self.projection_steps, noise_shape="isotropic")
        fit_discriminator(own, [maps], settings, f"ensemble: projection of {name}")
        self.projections_[name] = own.projection
        [projected] = stored(([self._projected(name, batch)] for [batch] in self.batches([maps])), len(maps))
        return projected

    def _new_projections(self) -> nn.ModuleDict:
        widths = zip(self.kinds.items(), self.widths_.tolist(), strict=False)
        with seeded(self.seed):
            layers = {
                name: nn.Linear(width, width)
                for (name, kind), width in widths
                if self.projection == "adapter" and kind == UNSIGNED and width
            }
        return nn.ModuleDict(layers).eval().requires_grad_(False).to(resolve_device(self.device))

    def _new_discriminator(self) -> Discriminator:
        *_, joint, projected = self.widths_.tolist()
        with seeded(self.seed):
            discriminator = Discriminator(joint, self.hidden_channels, projected, self.heads)
        return discriminator.eval().requires_grad_(False).to(resolve_device(self.device))

    def _projected(self, name: str, maps: Tensor) -> Tensor:
        if name not in self.projections_:
            return maps
        vectors = self.projections_[name](vectors_of(maps))
        return vectors.unflatten(0, (maps.shape[0], *maps.shape[-2:])).permute(0, 3, 1, 2)


def weighted_mean(pairs: Sequence[tuple[float, Tensor]]) -> Tensor:
    """The mean of tensors of one shape, each with its weight."""
    return sum(weight * values for weight, values in pairs) / sum(weight for weight, _ in pairs)


def soft_maximum(pairs: Sequence[tuple[float, Tensor]]) -> Tensor:
    """A smooth form of the maximum of tensors of one shape; see `iadlib.metrics.combining`."""
    total = sum(weight for weight, _ in pairs)
    parts = torch.stack([values / TEMPERATURE + math.log(weight / total) for weight, values in pairs])
    return TEMPERATURE * parts.logsumexp(dim=0)
