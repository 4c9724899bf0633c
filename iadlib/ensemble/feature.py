"""The feature-level ensemble: fitted detectors give the features at their cuts, and a small head judges them together.

Every member gives its map at its cut (`members`), and the head turns the maps of all members into scores (`head`).

Training images are compared with what the members have learned from the other training images, by members that can
leave an image out: PatchCore leaves its patches out of the memory bank, PaDiM leaves it out of the Gaussians.

`PRESETS["thesis"]` is the thesis's design wherever the thesis defines it. The default is a hybrid: the norm of a map
that is a distance to normal features is a score by itself. It is combined with the discriminator's score, both
standardised on normal validation images (`distances`), with weights that artificial anomalies of composition decide
(`compositions`): maps as a mean, image scores as a soft maximum (`iadlib.metrics.combining`). Reverse distillation's
own score is made of cosines, so that the norm at its cut is only similar to it. Neither it nor the members that are
trained, CS-Flow, the asymmetric student-teacher, SimpleNet and GCAD, can leave a training image out: the discriminator
learns from features that are more normal than those of new images. They are members because the ensemble finds more
with them on development images (`params/ensemble.yaml`).

Further differences of the default to the thesis: noise is added to the members' maps (`noise_place`), with the weights
of a distance (`noise_shape`), on features of one scale (`equalise`), and no projection is learned. The mean of three
heads depends less on chance than one. The score of an image is the maximum of the smoothed map in the thesis, and the
mean of its highest 0.5 % by default (`image_score`). The scale of the noise was chosen on development draws
(`benchmarks/ensemble_designs.py`). `params/ensemble.yaml` holds the designs that the study compares, and the noise and
the steps that the thesis's design is judged with.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Self

from torch import Tensor

from iadlib.detectors import Detector, create, detector_class
from iadlib.detectors.base import LEAST_WITHOUT_ONE
from iadlib.ensemble.compositions import changed_compositions, changed_places
from iadlib.ensemble.head import DISTANCES, Artificial, JointHead
from iadlib.ensemble.members import Members, check_validation
from iadlib.ensemble.settings import CHOICES, HeadSettings, settings_of

# The members by default, with their cuts: four that look at patches, GCAD, which has a branch for patches and one for
# the image as a whole, and two that look at the image as a whole.
MEMBERS = {
    "patchcore": "difference",
    "csflow": "latent",
    "asymmetric_student_teacher": "difference",
    "simplenet": "adapted",
    "gcad": "deviation",
    "set_features": "distances",
    "pooled_gaussian": "distances",
}
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
        "weights": "equal",
        "noise_shape": "isotropic",
    },
}


@dataclass(kw_only=True, eq=False)
class FeatureEnsemble(HeadSettings, Detector):
    """`members`: detector -> cut; `settings`: detector -> its hyperparameters. The other fields are the head's."""

    title: ClassVar = "Feature ensemble"
    cuts: ClassVar = {"joint": "features"}
    learned: ClassVar = ("members_", "head_")
    image_score_choices: ClassVar = CHOICES["image_score"]
    least_images: ClassVar = LEAST_WITHOUT_ONE  # one is left out of the members' statistics

    members: dict[str, str] = field(default_factory=lambda: dict(MEMBERS))
    settings: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self):
        super().__post_init__()
        if not self.members:
            raise ValueError("members: one detector or more, each with its cut")
        if unknown := sorted(set(self.settings) - set(self.members)):
            raise ValueError(f"settings of {unknown[0]!r}, which is not a member")
        check_whole(self.members, self._new_head().distances)  # a new head checks its hyperparameters

    @classmethod
    def preset(cls, name: str, **hyperparameters) -> Self:
        """The ensemble of a named design; `hyperparameters` are those that the design does not define."""
        if name not in PRESETS:
            raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
        if fixed := sorted(set(hyperparameters) & set(PRESETS[name])):
            raise ValueError(f"the preset {name!r} defines {fixed[0]}")
        return cls(**PRESETS[name], **hyperparameters)

    @classmethod
    def of(cls, detectors: dict[str, Detector], cuts: dict[str, str], head: JointHead) -> Self:
        """The ensemble of fitted detectors, all with the seed of the head, which was fitted to their maps."""
        members = Members(dict(detectors), dict(cuts))
        ensemble = cls(members=dict(cuts), settings=members.hyperparameters(), **settings_of(head))
        [ensemble.image_size_] = {detector.image_size_ for detector in detectors.values()}
        ensemble.members_, ensemble.head_ = members, head
        return ensemble

    @property
    def paths(self) -> tuple[str, ...]:
        """The names of the members' fields that are paths."""
        return tuple({path: None for name in self.members for path in detector_class(name).paths})

    @property
    def localises(self) -> bool:
        """Whether features of one of the members have places."""
        return any(cut not in detector_class(name).whole for name, cut in self.members.items())

    @property
    def losses(self) -> dict[str, Tensor]:
        """The loss of the discriminator at every step (steps,)."""
        self._require_fitted()
        return {"discriminator": self.head_.losses_}

    def fit(
        self,
        train_images: Tensor,
        validation_images: Tensor | None = None,
        fitted: dict[str, Detector] | None = None,
    ) -> Self:
        """Fit the members, then the head; members that are `fitted` to the same images already are copied.

        Validation images are needed with `distances`.
        """
        head = self._new_head()
        if head.needs_validation and validation_images is None:
            raise ValueError("validation_images: needed to standardise distances and the discriminator's score")
        if head.needs_validation:
            check_validation(len(validation_images))
        self.members_ = self._new_members()
        self.members_.fit(train_images, validation_images, fitted)
        self.members_.share_backbones()
        training = self.members_.training_maps(train_images, self.batch_size)
        validation = self.members_.maps(validation_images, self.batch_size) if head.needs_validation else None
        artificial = None
        if head.needs_artificial:
            changed = changed_compositions(validation_images)
            places = changed_places(changed, validation_images)
            artificial = Artificial(self.members_.maps(changed, self.batch_size), places)
        self.head_ = head.fit(training, validation, train_images.shape[-2:], artificial)
        return self

    def build(self) -> None:
        self.members_ = self._new_members()
        self.members_.share_backbones()
        self.head_ = self._new_head()

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        maps = self.members_.features(images, own)
        joint = self.head_.joint(maps)
        yield "joint", joint  # (N, C, h, w)
        scores, image_scores = self.head_.score(joint, maps, images.shape[-2:])
        yield "scores", scores  # (N, 1, h, w)
        yield "image_scores", image_scores  # (N,)

    def _described(self) -> dict:
        described = super()._described()
        described["hyperparameters"]["settings"] = self._new_members().hyperparameters()
        return described

    def _new_members(self) -> Members:
        execution = {"seed": self.seed, "device": self.device}
        detectors = {name: create(name, **self.settings.get(name, {}) | execution) for name in self.members}
        return Members(detectors, dict(self.members))

    def _new_head(self) -> JointHead:
        return JointHead(kinds=kinds_of(self.members), **settings_of(self))


def of_patches(members: dict[str, str]) -> list[str]:
    """Those of the members, by detector and cut, whose features have places; all where none has."""
    return [name for name, cut in members.items() if cut not in detector_class(name).whole] or [*members]


def check_whole(members: dict[str, str], distances: bool) -> None:
    """Raise `ValueError` for a member that sees the image as a whole, where others do not, but adds no distance."""
    kinds, joined = kinds_of(members), of_patches(members)
    for name in members:
        if name not in joined and not (distances and kinds[name] in DISTANCES):
            raise ValueError(
                f"{name} cut at {members[name]!r} sees the image as a whole: beside members with patches, its cut must "
                "be a distance, and `distances` be set"
            )


def kinds_of(members: dict[str, str]) -> dict[str, str]:
    """Member -> the kind of its cut, from member -> cut; ValueError where a detector has no such cut."""
    kinds = {}
    for name, cut in members.items():
        cuts = detector_class(name).cuts
        if cut not in cuts:
            raise ValueError(f"members: {name} has no cut {cut!r}; it has {', '.join(cuts) or 'none'}")
        kinds[name] = cuts[cut]
    return kinds
