"""The feature-level ensemble: trained detectors, cut off inside; their feature maps brought together; one small
discriminator on the joint representation.

The road: every member shows its map at its cut (`members`); a distance to what is normal may pass a linear projection;
the maps are reduced by PCA, resized and concatenated (`transforms`, after Heller et al. 2023); a discriminator tells
them from the same maps with noise (`discriminator`, after SimpleNet). A patch is as anomalous as the discriminator's
answer is negative; an image, as its most anomalous patch.

Training images see themselves in what the members have learned. Members that can leave an image out do so: PatchCore
leaves its patches out of the memory, PaDiM leaves it out of the Gaussians.

`PRESETS["thesis"]` is the design of the thesis, word for word where it has words. The default is a hybrid: a member
that is cut at a distance to what is normal has a score already, that distance's norm, and it is averaged with the
discriminator's answer, both standardised on normal validation images (`distances`). For reverse distillation, whose
score is made of cosines, the norm is a near relative of its score, and nothing keeps training images from what it has
learned of them.

The default differs otherwise in where noise enters: at the members (`noise_place`), weighed by channel as a distance
weighs them (`noise_shape`), on features of one scale (`equalise`), and no projection is learned on that task. The mean
of three heads depends less on chance than one. And smoothing, which helps a map, costs an image score: the thesis takes
the maximum of the smoothed map, the default that of the patches, as PatchCore does (`image_score`). The scale of the
noise was chosen on development draws (`benchmarks/ensemble_designs.py`). `params/ensemble.yaml` names the designs that
the study compares, and says with what noise and how many steps the thesis's design is judged.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from iadlib.detectors import Detector, create
from iadlib.detectors.base import check_images, to_maps
from iadlib.detectors.training import seeded
from iadlib.ensemble.discriminator import NOISES, SHAPES, Discriminator, fit_discriminator, vectors_of
from iadlib.ensemble.members import Members
from iadlib.ensemble.transforms import EQUALISED, GlobalTransform, IndividualTransform, Kept, resized
from iadlib.features import resolve_device

TRANSFORMS = {"individual": IndividualTransform, "global": GlobalTransform}
PROJECTIONS = ("none", "adapter", "joint")
PLACES = ("members", "joint")
IMAGE_SCORES = ("patches", "map")
DISTANCES = ("difference", "deviation")  # cuts where the norm of what is shown is a distance to what is normal
UNSIGNED = ("difference",)  # and where every channel is one, never negative
PRESETS = {
    "thesis": {
        "members": {"patchcore": "difference", "simplenet": "adapted"},
        "transform": "individual",
        "kept": "thesis",
        "equalise": "none",
        "projection": "adapter",
        "noise": "gaussian",
        "noise_place": "joint",
        "heads": 1,
        "distances": False,
        "image_score": "map",
        "noise_shape": "isotropic",
    },
}


@dataclass(kw_only=True, eq=False)
class FeatureEnsemble(Detector):
    """`members`: detector -> cut, and `settings`: detector -> its hyperparameters.

    `projection` is that of every member cut at its "difference", a distance to what is normal: "adapter", trained as
    SimpleNet's is, with a discriminator of its own and isotropic noise behind it, before the PCA; "joint", of the first
    member alone, trained with the ensemble's discriminator after the PCA; or "none". `kept` and `equalise` are the
    transform's; `noise`, `noise_shape` and where it enters, `noise_place`, the discriminator's; see there. `distances`:
    average its answer with the norms of the members that are cut at a "difference" or a "deviation". `image_score`: the
    largest of the "patches", or the smoothed "map"'s maximum.
    """

    cuts: ClassVar = ("joint",)
    # the members' state, the width of every map that goes into a layer, the layers, and the curves of their learning
    learned: ClassVar = (
        "members_",
        "widths_",
        "projections_",
        "transform_",
        "discriminator_",
        "scales_",
        "losses_",
        "aurocs_",
    )

    members: dict[str, str] = field(default_factory=lambda: dict(PRESETS["thesis"]["members"]))
    settings: dict[str, dict] = field(default_factory=dict)
    transform: str = "individual"
    kept: Kept = "thesis"
    equalise: str = "channels"
    projection: str = "none"
    projection_steps: int = 100
    noise: str = "gaussian"
    noise_place: str = "members"
    noise_shape: str = "squared"
    noise_scale: float = 0.25
    distances: bool = True
    image_score: str = "patches"
    heads: int = 3
    hidden_channels: int = 256
    margin: float = 0.5
    steps: int = 200
    images_per_step: int = 8
    patches_per_step: int = 512
    learning_rate: float = 0.002
    weight_decay: float = 1e-5

    def __post_init__(self):
        if not self.members:
            raise ValueError("members: one detector or more, each with its cut")
        for name, choices in (
            ("transform", TRANSFORMS),
            ("projection", PROJECTIONS),
            ("equalise", EQUALISED),
            ("noise", NOISES),
            ("noise_place", PLACES),
            ("noise_shape", SHAPES),
            ("image_score", IMAGE_SCORES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r}: one of {', '.join(choices)}")
        if unknown := sorted(set(self.settings) - set(self.members)):
            raise ValueError(f"settings of {unknown[0]!r}, which is no member")
        for name, cut in self.members.items():
            has = type(create(name)).cuts
            if cut not in has:
                raise ValueError(f"members: {name} has no cut {cut!r}; it has {', '.join(has)}")
        if self.projection == "adapter" and not set(self.members.values()) & set(UNSIGNED):
            raise ValueError(
                f"projection 'adapter': no member is cut at a {UNSIGNED[0]!r}, and there is nothing to project"
            )
        if self.projection == "joint" and self.noise_place == "joint" and self.noise_shape != "isotropic":
            raise ValueError(
                f"noise_shape {self.noise_shape!r} by channel, behind a projection that mixes the channels: "
                "isotropic noise, or noise_place 'members'"
            )
        for name in ("noise_scale", "margin", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: above 0")
        for name in ("steps", "projection_steps", "heads", "hidden_channels", "images_per_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: 1 or more")

    @classmethod
    def preset(cls, name: str, **hyperparameters) -> Self:
        """The ensemble of a named design, with hyperparameters that it leaves open."""
        if name not in PRESETS:
            raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
        if fixed := sorted(set(hyperparameters) & set(PRESETS[name])):
            raise ValueError(f"the preset {name!r} has its own {fixed[0]}")
        return cls(**PRESETS[name], **hyperparameters)

    def fit(
        self,
        train_images: Tensor,
        validation_images: Tensor | None = None,
        fitted: dict[str, Detector] | None = None,
        shown: tuple[Sequence[Tensor], Sequence[Tensor]] | None = None,
        monitor: Callable[[int], None] | None = None,
    ) -> Self:
        """Fit the members, unless they come `fitted` to the same images, then what joins them.

        `shown` is what the members show of the training and of the validation images, for those who fit many ensembles
        to the same members (`Members.training_maps`, `Members.maps`). Validation images are needed with `distances`.
        `monitor` is called with the number of the step after every step of the discriminator; it may look, and what
        it sees changes nothing.
        """
        check_images(train_images)
        if self._judges_by_distance() and validation_images is None:
            raise ValueError("validation_images: needed to bring distances and the discriminator to one scale")
        self.members_ = self._members()
        for name, detector in self.members_.detectors.items():
            if fitted is None:
                detector.fit(train_images, validation_images)
            else:
                detector.load_state_dict(fitted[name].state_dict())
        self.members_.share_backbones()
        device = resolve_device(self.device)
        maps = list(shown[0] if shown else self.members_.training_maps(train_images, self.batch_size))
        widths = [each.shape[1] for each in maps]
        self.widths_ = torch.tensor([*widths, 0, 0])
        self.scales_ = torch.zeros(0, 4)
        self.projections_ = self._new_projections()
        for index, name in enumerate(self.members):
            if name in self.projections_:
                self._fit_projection(name, maps[index])
                parts = maps[index].split(self.batch_size)
                maps[index] = torch.cat([self._projected(name, part.to(device)).cpu() for part in parts])

        def stream() -> Iterator[list[Tensor]]:
            for start in range(0, len(train_images), self.batch_size):
                yield [each[start : start + self.batch_size].to(device) for each in maps]

        self.transform_ = TRANSFORMS[self.transform](kept=self.kept, equalise=self.equalise).fit(stream)
        kept = sum(self.transform_.counts_)
        first = self.transform_.counts_[0] if self.projection == "joint" else 0
        self.widths_ = torch.tensor([*widths, kept, first])
        self.discriminator_ = self._new_discriminator()
        if self.noise_place == "members":
            reflected = [cut in UNSIGNED and name not in self.projections_ for name, cut in self.members.items()]
            how = {"maps": maps, "join": self.transform_, "reflected": reflected}
        else:
            how = {"maps": [torch.cat([self.transform_(batch).cpu() for batch in stream()])]}
        self.losses_, self.aurocs_ = self._learn(
            self.discriminator_, steps=self.steps, description="ensemble: discriminator", monitor=monitor, **how
        )
        if self._judges_by_distance():
            seen = shown[1] if shown else self.members_.maps(validation_images, self.batch_size)
            self.scales_ = self._measured(seen, validation_images.shape[-2:])
        return self

    def _judges_by_distance(self) -> bool:
        return self.distances and any(cut in DISTANCES for cut in self.members.values())

    def _measured(self, shown: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """By part of the score (parts, 4): mean and spread of normal maps' pixels, and of normal images' scores."""
        batches = zip(*(each.split(self.batch_size) for each in shown), strict=True)
        with torch.inference_mode():
            parts = [self._parts([each.to(resolve_device(self.device)) for each in batch])[1] for batch in batches]
        rows = []
        for part in zip(*parts, strict=True):
            maps = to_maps(torch.cat(part), size, self.smoothing_sigma)
            scores = self._largest(torch.cat(part), size).numpy()
            rows.append([maps.mean(), maps.std() or 1.0, scores.mean(), scores.std() or 1.0])
        return torch.tensor(rows)

    def _largest(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """Image scores (N,), on the CPU, of patch scores (N, 1, h, w)."""
        if self.image_score == "patches":
            return scores.amax(dim=(1, 2, 3)).cpu()
        return torch.from_numpy(to_maps(scores, size, self.smoothing_sigma).max(axis=(1, 2)))

    def _fit_projection(self, name: str, maps: Tensor) -> None:
        with seeded(self.seed):
            own = Discriminator(maps.shape[1], self.hidden_channels, maps.shape[1], self.heads)
        own.to(resolve_device(self.device))
        # A projection mixes the channels: behind it, noise by channel would be that of others.
        how = {"maps": [maps], "steps": self.projection_steps, "noise_shape": "isotropic"}
        self._learn(own, description=f"ensemble: projection of {name}", **how)
        self.projections_[name] = own.projection

    def _learn(
        self, discriminator: Discriminator, monitor: Callable[[int], None] | None = None, **how
    ) -> tuple[Tensor, Tensor]:
        numbers = iter(range(1, how["steps"] + 1))
        how = {"noise_shape": self.noise_shape} | how
        return fit_discriminator(
            discriminator,
            noise=self.noise,
            noise_scale=self.noise_scale,
            margin=self.margin,
            images_per_step=self.images_per_step,
            patches_per_step=self.patches_per_step,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            seed=self.seed,
            device=resolve_device(self.device),
            after_step=(lambda: monitor(next(numbers))) if monitor else None,
            **how,
        )

    def build(self) -> None:
        self.members_ = self._members()
        self.members_.share_backbones()
        self.projections_ = self._new_projections()
        self.transform_ = TRANSFORMS[self.transform](kept=self.kept, equalise=self.equalise)
        self.discriminator_ = self._new_discriminator()

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        joint, scores, image_scores = self.judged(self.members_.features(images, own), images.shape[-2:])
        yield "joint", joint  # (N, C, h, w)
        yield "scores", scores  # (N, 1, h, w)
        yield "image_scores", image_scores  # (N,)

    def judged(self, shown: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Joint maps (N, C, h, w), scores (N, 1, h, w) and image scores (N,), from what the members show of images."""
        joint, parts = self._parts(shown)
        maxima = [self._largest(part, size) for part in parts]
        if not len(self.scales_):  # nothing to average, or still learning
            return joint, parts[0], maxima[0]
        grid = joint.shape[-2:]
        scales = self.scales_.tolist()
        scores = [
            (resized(part, grid) - mean) / spread for part, (mean, spread, _, _) in zip(parts, scales, strict=True)
        ]
        images = [(value - mean) / spread for value, (_, _, mean, spread) in zip(maxima, scales, strict=True)]
        return joint, torch.stack(scores).mean(dim=0), torch.stack(images).mean(dim=0)

    def _parts(self, shown: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Joint maps, and what is to be averaged: the discriminator's answer, turned, and the distances."""
        named = list(zip(self.members.items(), shown, strict=True))
        joint = self.transform_([self._projected(name, maps) for (name, _), maps in named])
        parts = [-self.discriminator_(joint)]
        if self.distances:
            parts += [maps.norm(dim=1, keepdim=True) for (_, cut), maps in named if cut in DISTANCES]
        return joint, parts

    def _members(self) -> Members:
        made = {
            name: create(name, **self.settings.get(name, {}) | {"seed": self.seed, "device": self.device})
            for name in self.members
        }
        return Members(made, dict(self.members))

    def _new_projections(self) -> nn.ModuleDict:
        made = {}
        for (name, cut), width in zip(self.members.items(), self.widths_.tolist(), strict=False):
            if self.projection == "adapter" and cut in UNSIGNED:
                made[name] = nn.Linear(width, width)
        return nn.ModuleDict(made).eval().requires_grad_(False).to(resolve_device(self.device))

    def _new_discriminator(self) -> Discriminator:
        *_, joint, projected = self.widths_.tolist()
        with seeded(self.seed):
            discriminator = Discriminator(joint, self.hidden_channels, projected, self.heads)
        return discriminator.eval().requires_grad_(False).to(resolve_device(self.device))

    def _projected(self, name: str, maps: Tensor) -> Tensor:
        if name not in self.projections_:
            return maps
        vectors = self.projections_[name](vectors_of(maps))
        return vectors.unflatten(0, (len(maps), *maps.shape[-2:])).permute(0, 3, 1, 2)
