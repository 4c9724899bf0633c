"""What all detectors share: walking the stations of a method, batch by batch, and keeping what was learned.

A detector is a frozen choice of hyperparameters (the dataclass fields) plus a learned state (the attributes named in
`learned`). Its method stands in one generator, `stations`, that yields a name and a value at every point where somebody
may want to stop: `predict` walks it to the end, `features` stops at a cut.
"""

import difflib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar, Self, final

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from torch import Tensor

from iadlib.features import resolve_device
from iadlib.types import Prediction

# Hyperparameters that say where and how fast, not what: a detector may be loaded with others.
EXECUTION = ("device", "batch_size")
# Paths of a machine, of a backbone's weights and of photographs that only `fit` sees: saved, not compared.
PATHS = ("checkpoint", "textures")


@dataclass(kw_only=True, eq=False)
class Detector(ABC):
    """Fields are hyperparameters; `smoothing_sigma` is in pixels of the image, 0 for none."""

    cuts: ClassVar[tuple[str, ...]]  # stations where an ensemble may cut, in the order of the road
    learned: ClassVar[tuple[str, ...]]  # attributes that `fit` sets: tensors, and modules that `build` makes

    smoothing_sigma: float = 4.0
    batch_size: int = 16
    device: str = "auto"
    seed: int = 0

    @abstractmethod
    def fit(self, train_images: Tensor, validation_images: Tensor) -> Self:
        """Learn from normal images (N, 3, H, W) in [0, 1] alone."""

    def build(self) -> None:  # noqa: B027
        """Set the modules named in `learned`, with fresh weights that depend on `seed`; tensors may be set already."""

    @abstractmethod
    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        """The method from top to bottom for one batch, as (name, value).

        A station "scores" (N, 1, h, w) is required, higher = more anomalous. "image_scores" (N,) serves methods whose
        image score is not the largest value of the map. `own` (N,) holds the images' indices in training, for methods
        in which a training image must not meet itself.
        """

    @final
    def predict(self, images: Tensor) -> Prediction:
        """Scores (N,) and maps (N, H, W) of images (N, 3, H, W) in [0, 1]."""
        self._require_ready(images)
        parts = [self._predict_batch(batch) for batch in images.split(self.batch_size)]
        return Prediction(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    @final
    def features(self, images: Tensor, cut: str, own: Tensor | None = None) -> Tensor:
        """The value (N, C, h, w) at station `cut`, on the CPU."""
        if cut not in self.cuts:
            raise ValueError(f"{type(self).__name__} has no cut {cut!r}; it has {', '.join(self.cuts)}")
        self._require_ready(images)
        if own is not None and len(own) != len(images):
            raise ValueError(f"own has {len(own)} indices for {len(images)} images")
        indices = [None] * len(images) if own is None else torch.as_tensor(own).split(self.batch_size)
        parts = []
        for batch, batch_own in zip(images.split(self.batch_size), indices, strict=False):
            with torch.inference_mode():
                parts.append(next(value for name, value in self.stations(batch, batch_own) if name == cut).cpu())
        return torch.cat(parts)

    @property
    def phases(self) -> dict[str, Tensor]:
        """The loss at every step (steps,), by what was learned, in that order; empty where no weights are learned."""
        self._require_fitted()
        return {"loss": self.losses_} if "losses_" in self.learned else {}

    @final
    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """What has been learned, as tensors by name."""
        self._require_fitted()
        state = {}
        for name in self.learned:
            value = getattr(self, name)
            state |= {name: value} if isinstance(value, Tensor) else value.state_dict(prefix=f"{name}.")
        return {prefix + key: tensor for key, tensor in state.items()}

    @final
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take what `state_dict` of a detector with the same hyperparameters has given."""
        state = {key: tensor.to(resolve_device(self.device)) for key, tensor in state.items()}
        plain = [name for name in self.learned if name in state]
        for name in plain:
            setattr(self, name, state[name])
        self.build()
        for name in set(self.learned) - set(plain):
            getattr(self, name).load_state_dict(under(state, name))

    @final
    def save(self, path: str | Path) -> None:
        """Write hyperparameters and learned state into one .safetensors file, whole or not at all."""
        path = Path(path)
        state = {key: tensor.detach().contiguous().cpu() for key, tensor in self.state_dict().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".partial")
        try:
            save_file(state, unfinished, metadata={"detector": self._described()})  # of several, the order is random
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    @final
    def load(self, path: str | Path) -> Self:
        """Take the learned state from a file that a detector with the same hyperparameters has saved."""
        try:
            with safe_open(path, framework="pt") as file:
                saved = (file.metadata() or {}).get("detector")
                if saved is None or _without_paths(saved) != _without_paths(self._described()):
                    raise ValueError(f"{path}: saved by {saved}, but this is {self._described()}")
                # Clones are aligned in memory as fresh tensors are: else the last bits of a prediction may differ.
                state = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path}: not a complete .safetensors file ({error})") from error
        self.load_state_dict(state)
        return self

    def _described(self) -> str:
        values = {name: value for name, value in asdict(self).items() if name not in EXECUTION}
        return f"{type(self).__name__} with {json.dumps(values, sort_keys=True)}"

    def _predict_batch(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            values = dict(self.stations(images))
            maps = to_maps(values["scores"], images.shape[-2:], self.smoothing_sigma)  # (N, H, W)
            scores = values["image_scores"].cpu().numpy() if "image_scores" in values else maps.max(axis=(1, 2))
        return scores.astype(np.float32), maps

    def _require_ready(self, images: Tensor) -> None:
        self._require_fitted()
        check_images(images)
        if self.batch_size < 1:
            raise ValueError(f"batch_size {self.batch_size}: 1 or more")
        if self.smoothing_sigma < 0:
            raise ValueError(f"smoothing_sigma {self.smoothing_sigma}: 0 or more pixels")

    def _require_fitted(self) -> None:
        if not all(hasattr(self, name) for name in self.learned):
            raise RuntimeError(f"this {type(self).__name__} has learned nothing yet: call fit or load first")


def _without_paths(described: str) -> tuple[str, dict]:
    """The detector's name and its hyperparameters, at any depth without PATHS."""

    def kept(values: dict) -> dict:
        return {
            name: kept(value) if isinstance(value, dict) else value
            for name, value in values.items()
            if name not in PATHS
        }

    name, _, values = described.partition(" with ")
    return name, kept(json.loads(values or "{}"))


def under(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The entries of a state whose names start with `name` and a dot, without these."""
    return {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}


def to_maps(scores: Tensor, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Patch scores (N, 1, h, w) as maps (N, H, W): bilinear, then smoothed."""
    maps = F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False).squeeze(1).cpu().numpy()
    return gaussian_filter(maps, sigma, axes=(1, 2)) if sigma > 0 else maps


def check_images(images: Tensor) -> None:
    """Raise unless these are images (N, 3, H, W), N >= 1, float, in [0, 1]."""
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        found = f"{images.dtype} {tuple(images.shape)}" if hasattr(images, "shape") else type(images).__name__
        raise ValueError(f"images are a float tensor (N, 3, H, W), not {found}")
    if not len(images):
        raise ValueError("no image given")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"images lie in [0, 1]; these reach from {low:g} to {high:g}")


def check_hyperparameters(detector: type[Detector], names: list[str]) -> None:
    """Raise on a name that is no field of the detector, with the likeliest meant."""
    known = [field.name for field in fields(detector)]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}"
            raise ValueError(f"{detector.__name__} has no hyperparameter {name!r}; {hint}")
