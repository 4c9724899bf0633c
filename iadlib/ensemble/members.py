"""Detectors as members of an ensemble: what they show at their cuts, with one backbone for all that use the same.

Members with the same backbone and weights see its maps of a batch once: the network runs to the deepest layer that any
of them asks for, and each takes its own layers. That is what makes an ensemble cheaper than its members one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from iadlib.detectors import Detector
from iadlib.detectors.base import under
from iadlib.features import Backbone
from iadlib.progress import track


@dataclass(frozen=True, eq=False)
class Members:
    """Detectors by name, each with the cut where it is cut off."""

    detectors: dict[str, Detector]
    cuts: dict[str, str]

    def features(self, images: Tensor, own: Tensor | None = None) -> list[Tensor]:
        """One (N, C, h, w) a member; `own` (N,): indices of training images, which must not meet themselves."""
        with torch.inference_mode():
            return [
                next(value for station, value in detector.stations(images, own) if station == self.cuts[name])
                for name, detector in self.detectors.items()
            ]

    def training_maps(self, images: Tensor, batch_size: int) -> list[Tensor]:
        """What they show of all the images that they were fitted to, one (N, C, h, w) a member, on the CPU.

        Held in memory: for 350 images at the published settings, 2 to 10 GB a member.
        """
        batches = torch.arange(len(images)).split(batch_size)
        shown = [
            [maps.cpu() for maps in self.features(images[own], own)]
            for own in track(batches, "ensemble: the members' features")
        ]
        return [torch.cat(parts) for parts in zip(*shown, strict=True)]

    def maps(self, images: Tensor, batch_size: int) -> list[Tensor]:
        """What they show of other images, likewise."""
        shown = [[maps.cpu() for maps in self.features(batch)] for batch in images.split(batch_size)]
        return [torch.cat(parts) for parts in zip(*shown, strict=True)]

    def share_backbones(self) -> None:
        """Let members with the same backbone use one; their results stay the same."""
        with_backbone = [d for d in self.detectors.values() if hasattr(type(d), "_backbone")]

        def weights(detector: Detector) -> tuple[str, str, str]:
            return detector.backbone, str(detector.checkpoint), detector.device

        for _, group in groupby(sorted(with_backbone, key=weights), key=weights):
            detectors = list(group)
            if len(detectors) > 1:
                shared = SharedBackbone([detector._backbone for detector in detectors])
                for detector in detectors:
                    detector._backbone = shared.for_layers(detector._backbone.layers)

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        state = {}
        for name, detector in self.detectors.items():
            state |= detector.state_dict(f"{prefix}{name}.")
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, detector in self.detectors.items():
            detector.load_state_dict(under(state, name))


class SharedBackbone:
    """One network for several users: the maps of the batch that was asked for last are kept."""

    def __init__(self, backbones: Sequence[Backbone]):
        layers = {layer for backbone in backbones for layer in backbone.layers}
        if len({type(layer) for layer in layers}) > 1:
            raise ValueError(f"layers {sorted(map(str, layers))}: numbers or names of modules, not both")
        self.layers = tuple(sorted(layers))
        first = backbones[0]
        self.backbone = Backbone(first.name, self.layers, first.checkpoint, first.device)
        self._images, self._maps = None, None

    def __call__(self, images: Tensor) -> list[Tensor]:
        if images is not self._images:
            self._images, self._maps = images, self.backbone(images)
        return self._maps

    def for_layers(self, layers: Sequence[int | str]) -> "SomeLayers":
        return SomeLayers(self, tuple(layers))


@dataclass(frozen=True, eq=False)
class SomeLayers:
    """A member's view of a shared backbone; to the member, it is a `Backbone`."""

    shared: SharedBackbone
    layers: tuple[int | str, ...]

    def __call__(self, images: Tensor) -> list[Tensor]:
        maps = self.shared(images)
        return [maps[self.shared.layers.index(layer)] for layer in self.layers]

    @property
    def network(self) -> torch.nn.Module:
        return self.shared.backbone.network
