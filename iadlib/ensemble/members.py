"""Detectors as members of an ensemble: their features at the cuts, with one backbone for all that use the same.

Members with the same backbone and weights share one run of it for each batch: the network runs to the deepest layer
that any of them needs, and each takes its own layers. This makes an ensemble cheaper than its members one by one.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from iadlib.detectors import Detector
from iadlib.detectors.base import under
from iadlib.features import Backbone
from iadlib.progress import track
from iadlib.stored import stored

RECENT = 3  # batches: one, and two smaller copies of it that a detector may look at
FEW = 5  # validation images with which a spread is uncertain


def check_validation(count: int) -> None:
    """Raise `ValueError` for one validation image, whose scores have no spread, and warn of a few."""
    if count < 2:
        raise ValueError(f"{count} normal validation image: standardising the members' scores needs 2, better 10")
    if count < FEW:
        sentence = f"{count} normal validation images: the spread of the members' scores is uncertain; 10 are better"
        warnings.warn(sentence, stacklevel=3)


@dataclass(frozen=True, eq=False)
class Members:
    """Detectors by name, each with its cut."""

    detectors: dict[str, Detector]
    cuts: dict[str, str]

    def fit(self, train_images: Tensor, validation_images: Tensor | None, fitted: dict[str, Detector] | None) -> None:
        """Fit the detectors, or copy the state of those that are `fitted` already."""
        for name, detector in self.detectors.items():
            if fitted is None:
                detector.fit(train_images, validation_images)
            else:
                detector.load_state_dict(fitted[name].state_dict())

    def features(self, images: Tensor, own: Tensor | None = None) -> list[Tensor]:
        """The maps (N, C, h, w) of every member at its cut, for one batch; `own` (N,): see `Detector.stations`."""
        with torch.inference_mode():
            return [
                next(value for station, value in detector.stations(images, own) if station == self.cuts[name])
                for name, detector in self.detectors.items()
            ]

    def training_maps(self, images: Tensor, batch_size: int) -> list[Tensor]:
        """The maps of all training images, one (N, C, h, w) a member, on the CPU.

        They are large at the published settings, 2 to 10 GB a member for 350 images: see `stored`.
        """
        batches = list(zip(images.split(batch_size), torch.arange(len(images)).split(batch_size), strict=True))
        tracked = track(batches, "ensemble: the members' features")
        return stored((self.features(batch, own) for batch, own in tracked), len(images))

    def maps(self, images: Tensor, batch_size: int) -> list[Tensor]:
        """The maps of other images, likewise."""
        return stored((self.features(batch) for batch in images.split(batch_size)), len(images))

    def share_backbones(self) -> None:
        """Let members with the same backbone use one; their results stay the same."""
        share_backbones(self.detectors.values())

    def hyperparameters(self) -> dict[str, dict]:
        """Member -> all of its hyperparameters but the seed, which is the ensemble's."""
        found = {name: detector.hyperparameters() for name, detector in self.detectors.items()}
        for values in found.values():
            del values["seed"]
        return found

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """The learned state of all members, as tensors by name."""
        state = {}
        for name, detector in self.detectors.items():
            state |= detector.state_dict(f"{prefix}{name}.")
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the state that `state_dict` returned."""
        for name, detector in self.detectors.items():
            detector.load_state_dict(under(state, name))


def share_backbones(detectors: Iterable[Detector], keep_all: bool = False) -> list["SharedBackbone"]:
    """Let detectors with the same backbone and weights use one; `keep_all`: see `SharedBackbone`."""
    with_backbone = [detector for detector in detectors if hasattr(type(detector), "_backbone")]

    def weights(detector: Detector) -> tuple[str, str, str]:
        return detector.backbone, str(detector.checkpoint), detector.device

    all_shared = []
    for _, group in groupby(sorted(with_backbone, key=weights), key=weights):
        users = list(group)
        if len(users) > 1 or keep_all:
            shared = SharedBackbone([user._backbone for user in users], keep_all)
            for user in users:
                user._backbone = shared.for_layers(user._backbone.layers)
            all_shared.append(shared)
    return all_shared


class SharedBackbone:
    """One network for several detectors, which keeps the maps of the last batches so that it sees every batch once.

    With `keep_all` it keeps the maps of all batches, recognised by their place in memory: for many detectors applied to
    the same images, which must not change.
    """

    def __init__(self, backbones: Sequence[Backbone], keep_all: bool = False):
        layers = {layer for backbone in backbones for layer in backbone.layers}
        if len({type(layer) for layer in layers}) > 1:
            raise ValueError(f"layers {sorted(map(str, layers))}: numbers or names of modules, not both")
        self.layers, self.keep_all = tuple(sorted(layers)), keep_all
        first = backbones[0]
        self.backbone = Backbone(first.name, self.layers, first.checkpoint, first.device)
        self._kept: dict[object, tuple[Tensor, list[Tensor]]] = {}  # batches are kept: their address stays theirs

    def __call__(self, images: Tensor) -> list[Tensor]:
        key = (images.data_ptr(), images.shape, images.stride()) if self.keep_all else id(images)
        if key not in self._kept:
            if not self.keep_all and len(self._kept) == RECENT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = images, self.backbone(images)
        return self._kept[key][1]

    def for_layers(self, layers: Sequence[int | str]) -> "SomeLayers":
        """The view of a detector that uses these layers."""
        return SomeLayers(self, tuple(layers))


@dataclass(frozen=True, eq=False)
class SomeLayers:
    """One detector's view of a shared backbone, with the interface of a `Backbone`."""

    shared: SharedBackbone
    layers: tuple[int | str, ...]

    def __call__(self, images: Tensor) -> list[Tensor]:
        maps = self.shared(images)
        return [maps[self.shared.layers.index(layer)] for layer in self.layers]

    @property
    def network(self) -> torch.nn.Module:
        return self.shared.backbone.network
