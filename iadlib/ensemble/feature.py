"""The feature-level ensemble: trained detectors, cut off inside; their feature maps brought together; one small
discriminator on the joint representation.

The road: every member shows its map at its cut (`members`); a difference to memory may pass a linear projection; the
maps are reduced by PCA, resized and concatenated (`transforms`, after Heller et al. 2023); a discriminator tells them
from the same maps with noise (`discriminator`, after SimpleNet). A patch is as anomalous as the discriminator's answer
is negative; an image, as its map's maximum after smoothing.

Training images see themselves in what the members have learned. Members that can leave an image out do so: PatchCore
leaves its patches out of the memory, PaDiM leaves it out of the Gaussians.

`PRESETS["thesis"]` is the design of the thesis word for word. What differs in the default, and why, stands with
`FeatureEnsemble.PRESETS`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from iadlib.detectors import Detector, create
from iadlib.detectors.base import check_images
from iadlib.detectors.training import seeded
from iadlib.ensemble.discriminator import NOISES, SHAPES, Discriminator, fit_discriminator, vectors_of
from iadlib.ensemble.members import Members
from iadlib.ensemble.transforms import GlobalTransform, IndividualTransform, Kept
from iadlib.features import resolve_device
from iadlib.progress import track

TRANSFORMS = {"individual": IndividualTransform, "global": GlobalTransform}
PROJECTIONS = ("none", "adapter", "joint")
PRESETS = {
    "thesis": {
        "members": {"patchcore": "difference", "simplenet": "adapted"},
        "transform": "individual",
        "kept": "thesis",
        "equalise": False,
        "projection": "adapter",
        "noise": "gaussian",
        "noise_shape": "isotropic",
    },
}


@dataclass(kw_only=True, eq=False)
class FeatureEnsemble(Detector):
    """`members`: detector -> cut, and `settings`: detector -> its hyperparameters.

    `projection` is that of every member cut at its "difference": "adapter", trained as SimpleNet's is, with a
    discriminator of its own, before the PCA; "joint", of the first member alone, trained with the ensemble's
    discriminator after the PCA; or "none". `kept` and `equalise` are the transform's; see there.
    """

    cuts: ClassVar = ("joint",)
    # the members' state, the width of every map that goes into a layer, the layers, and the curves of their learning
    learned: ClassVar = ("members_", "widths_", "projections_", "transform_", "discriminator_", "losses_", "aurocs_")

    members: dict[str, str] = field(default_factory=lambda: dict(PRESETS["thesis"]["members"]))
    settings: dict[str, dict] = field(default_factory=dict)
    transform: str = "individual"
    kept: Kept = "thesis"
    equalise: bool = False
    projection: str = "adapter"
    projection_steps: int = 100
    noise: str = "gaussian"
    noise_shape: str = "isotropic"
    noise_scale: float = 1.0
    hidden_channels: int = 256
    margin: float = 0.5
    steps: int = 300
    images_per_step: int = 4
    patches_per_step: int = 1024
    learning_rate: float = 0.002
    weight_decay: float = 1e-5

    def __post_init__(self):
        if not self.members:
            raise ValueError("members: one detector or more, each with its cut")
        for name, choices in (
            ("transform", TRANSFORMS),
            ("projection", PROJECTIONS),
            ("noise", NOISES),
            ("noise_shape", SHAPES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r}: one of {', '.join(choices)}")
        if unknown := sorted(set(self.settings) - set(self.members)):
            raise ValueError(f"settings of {unknown[0]!r}, which is no member")
        for name, cut in self.members.items():
            has = type(create(name)).cuts
            if cut not in has:
                raise ValueError(f"members: {name} has no cut {cut!r}; it has {', '.join(has)}")
        for name in ("noise_scale", "margin", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: above 0")
        for name in ("steps", "projection_steps", "hidden_channels", "images_per_step"):
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
        monitor: Callable[[int], None] | None = None,
    ) -> Self:
        """Fit the members, unless they come `fitted` to the same images, then what joins them.

        `monitor` is called with the number of the step after every step of the discriminator; it may look, and what
        it sees changes nothing.
        """
        check_images(train_images)
        self.members_ = self._members()
        for name, detector in self.members_.detectors.items():
            if fitted is None:
                detector.fit(train_images, validation_images)
            else:
                detector.load_state_dict(fitted[name].state_dict())
        self.members_.share_backbones()
        shown = [maps.shape[1] for maps in self.members_.features(train_images[:1])]
        self.widths_ = torch.tensor([*shown, 0, 0])
        self.projections_ = self._new_projections()
        for index, name in enumerate(self.members):
            if name in self.projections_:
                self._fit_projection(name, torch.cat([m[index].cpu() for m in self._raw(train_images, name)]))
        self.transform_ = TRANSFORMS[self.transform](kept=self.kept, equalise=self.equalise)
        self.transform_.fit(lambda: self._stream(train_images, "PCA"))
        joint = torch.cat([self.transform_(maps).cpu() for maps in self._stream(train_images, "joint maps")])
        first = self.transform_.counts_[0]
        self.widths_ = torch.tensor([*shown, joint.shape[1], first if self.projection == "joint" else 0])
        self.discriminator_ = self._new_discriminator()
        self.losses_, self.aurocs_ = self._learn(self.discriminator_, joint, self.steps, "discriminator", monitor)
        return self

    def _fit_projection(self, name: str, maps: Tensor) -> None:
        with seeded(self.seed):
            own = Discriminator(maps.shape[1], self.hidden_channels, projected=maps.shape[1])
        own.to(resolve_device(self.device))
        self._learn(own, maps, self.projection_steps, f"projection of {name}")
        self.projections_[name] = own.projection

    def _learn(
        self,
        discriminator: Discriminator,
        maps: Tensor,
        steps: int,
        what: str,
        monitor: Callable[[int], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        numbers = iter(range(1, steps + 1))
        return fit_discriminator(
            discriminator,
            maps,
            noise=self.noise,
            noise_scale=self.noise_scale,
            noise_shape=self.noise_shape,
            margin=self.margin,
            steps=steps,
            images_per_step=self.images_per_step,
            patches_per_step=self.patches_per_step,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            seed=self.seed,
            device=resolve_device(self.device),
            description=f"ensemble: {what}",
            after_step=(lambda: monitor(next(numbers))) if monitor else None,
        )

    def build(self) -> None:
        self.members_ = self._members()
        self.members_.share_backbones()
        self.projections_ = self._new_projections()
        self.transform_ = TRANSFORMS[self.transform](kept=self.kept, equalise=self.equalise)
        self.discriminator_ = self._new_discriminator()

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        joint = self.transform_(self._projected(self.members_.features(images, own)))  # (N, C, h, w)
        yield "joint", joint
        yield "scores", -self.discriminator_(joint)  # (N, 1, h, w)

    def _members(self) -> Members:
        made = {
            name: create(name, **self.settings.get(name, {}) | {"seed": self.seed, "device": self.device})
            for name in self.members
        }
        return Members(made, dict(self.members))

    def _new_projections(self) -> nn.ModuleDict:
        made = {}
        for (name, cut), width in zip(self.members.items(), self.widths_.tolist(), strict=False):
            if self.projection == "adapter" and cut == "difference":
                made[name] = nn.Linear(width, width)
        return nn.ModuleDict(made).eval().requires_grad_(False).to(resolve_device(self.device))

    def _new_discriminator(self) -> Discriminator:
        *_, joint, projected = self.widths_.tolist()
        with seeded(self.seed):
            discriminator = Discriminator(joint, self.hidden_channels, projected)
        return discriminator.eval().requires_grad_(False).to(resolve_device(self.device))

    def _raw(self, images: Tensor, what: str) -> Iterator[list[Tensor]]:
        """What the members show of the training images, batch by batch."""
        indices = torch.arange(len(images)).split(self.batch_size)
        for chosen in track(indices, f"ensemble: {what}"):
            yield self.members_.features(images[chosen], chosen)

    def _stream(self, images: Tensor, what: str) -> Iterator[list[Tensor]]:
        return (self._projected(maps) for maps in self._raw(images, what))

    def _projected(self, maps: Sequence[Tensor]) -> list[Tensor]:
        out = []
        for name, each in zip(self.members, maps, strict=True):
            if name in self.projections_:
                vectors = self.projections_[name](vectors_of(each))
                each = vectors.unflatten(0, (len(each), *each.shape[-2:])).permute(0, 3, 1, 2)
            out.append(each)
        return out
