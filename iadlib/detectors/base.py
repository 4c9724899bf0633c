"""What all detectors share: the contract, prediction in batches, and files of what was learned.

A detector is a dataclass: its fields are hyperparameters, and the attributes named in `learned` hold what `fit`
learns. Its method is one generator, `stations`, that yields a name and a value after every step that somebody may want
to see: `predict` runs it to the end, `features` stops at a cut.
"""

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self, final

import numpy as np
import scipy  # its parts are imported when they are used
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from iadlib.features import resolve_device
from iadlib.files import whole_file
from iadlib.params import check_values
from iadlib.types import Prediction

EXECUTION = ("device", "batch_size")  # hyperparameters that change no result: neither saved nor compared
LEAST_WITHOUT_ONE = 3  # training images, where one is left out of a covariance: two remain
MOST_SMOOTHING = 1000  # pixels: the largest `smoothing_sigma`
TOP_SHARE = 0.005  # of a map's pixels: see `top_mean`
SIZE = "image_size_"  # name of the fitted size in a state dictionary


@dataclass(kw_only=True, eq=False)
class Detector(ABC):
    """The base of all detectors.

    The class variables are all that other modules need to know about a detector. `cuts` names the stations where an
    ensemble may take features from, in the order of the method, with what is found there:

    - "features": a description of every patch;
    - "distance": channels that are never negative and whose norm is a distance to what is normal;
    - "deviation": signed channels whose norm is a distance to what is normal.

    Cuts in `whole` describe the image as a whole: features there are (N, C, 1, 1). A detector that cannot say where an
    anomaly is sets `localises` to False: it gives no map, and counts for image metrics only.

    Hyperparameters: `image_score` is "top", the mean of the highest 0.5 % of the smoothed map, or "map", its maximum,
    which varies more; it changes nothing for methods with an image score of their own. `smoothing_sigma` is the
    standard deviation, in pixels of the image, of the Gaussian that smooths maps (0: no smoothing); `batch_size` is the
    number of images that pass a network together; `device` is "auto", "cpu" or "cuda"; `seed` decides all random
    numbers.
    """

    title: ClassVar[str]  # as tables and figures print it
    cuts: ClassVar[dict[str, str]]
    learned: ClassVar[tuple[str, ...]]  # attributes that `fit` sets: tensors, and modules that `build` creates
    paths: ClassVar[tuple[str, ...]] = ()  # fields that are paths: saved, but not compared when a file is loaded
    whole: ClassVar[tuple[str, ...]] = ()  # cuts without places
    localises: ClassVar[bool] = True  # False: predictions have no maps
    slow: ClassVar[bool] = False  # takes long to fit or to predict with its defaults
    least_images: ClassVar[int] = 1  # training images that `fit` needs
    image_score_choices: ClassVar[tuple[str, ...]] = ("top", "map")  # the values that `image_score` may have
    image_size: ClassVar[int] = 224  # the default working size: about n x n pixels at the photographs' aspect ratio

    image_score: str = "top"
    smoothing_sigma: float = 4.0
    batch_size: int = 16
    device: str = "auto"
    seed: int = 0

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "fit" in vars(cls):
            cls.fit = _checking_images(cls.fit)

    def __post_init__(self):
        for name, value in check_values(type(self), vars(self), type(self).__name__).items():
            setattr(self, name, value)
        self._check_base_fields()

    @abstractmethod
    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Learn from normal images (N, 3, H, W) in [0, 1].

        In every subclass, both arguments are checked and the images' size is kept as `image_size_` (height, width)
        before its `fit` runs.
        """

    def build(self) -> None:  # noqa: B027
        """Create the modules named in `learned` with weights that depend on `seed`; learned tensors may exist."""

    @abstractmethod
    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        """The method from top to bottom for one batch, as (name, value).

        A station "scores" (N, 1, h, w) is required of detectors that localise, higher = more anomalous. "image_scores"
        (N,) is required of the others, and is for methods whose image score is not computed by `score_of`. `own` (N,)
        are indices of training images: such an image is compared with what was learned from the others, by methods
        that can leave it out.
        """

    def score_of(self, maps: Tensor) -> Tensor:
        """The image scores (N,) of smoothed maps (N, H, W), for methods without a station "image_scores"."""
        return top_mean(maps) if self.image_score == "top" else maps.amax(dim=(1, 2))

    @final
    def predict(self, images: Tensor) -> Prediction:
        """Scores (N,) and maps (N, H, W) of images (N, 3, H, W) in [0, 1] of the size of the training images.

        The maps are None where the detector does not localise.
        """
        self._require_ready(images)
        return Prediction.concatenated([self._predict_batch(batch) for batch in images.split(self.batch_size)])

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
    def losses(self) -> dict[str, Tensor]:
        """Phase of the training -> the loss (steps,) at every step; empty without gradient descent."""
        self._require_fitted()
        return {"loss": self.losses_} if "losses_" in self.learned else {}

    @final
    def hyperparameters(self) -> dict:
        """The values of all fields, without those that change no result."""
        return {name: value for name, value in asdict(self).items() if name not in EXECUTION}

    @final
    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """The learned state and the image size, as tensors by name."""
        self._require_fitted()
        state = {SIZE: torch.tensor(self.image_size_)}
        for name in self.learned:
            value = getattr(self, name)
            state |= {name: value} if isinstance(value, Tensor) else value.state_dict(prefix=f"{name}.")
        return {prefix + key: tensor for key, tensor in state.items()}

    @final
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the state that `state_dict` of a detector with the same hyperparameters returned."""
        self.image_size_ = tuple(state[SIZE].tolist())
        state = {key: tensor.to(resolve_device(self.device)) for key, tensor in state.items() if key != SIZE}
        plain = [name for name in self.learned if name in state]
        for name in plain:
            setattr(self, name, state[name])
        self.build()
        for name in set(self.learned) - set(plain):
            getattr(self, name).load_state_dict(under(state, name))

    @final
    def save(self, path: str | Path) -> None:
        """Write hyperparameters and learned state into one .safetensors file, whole or not at all."""
        state = {key: tensor.detach().contiguous().cpu() for key, tensor in self.state_dict().items()}
        metadata = {"detector": json.dumps(self._described(), sort_keys=True)}  # one, since several have no fixed order
        with whole_file(path) as unfinished:
            try:
                save_file(state, unfinished, metadata=metadata)
            except SafetensorError as error:  # the disk is full
                raise OSError(f"{path}: cannot be written ({error})") from error

    @final
    def load(self, path: str | Path) -> Self:
        """Take the learned state from a file that a detector with the same hyperparameters saved."""
        try:
            with safe_open(path, framework="pt") as file:
                self._require_same(json.loads((file.metadata() or {}).get("detector", "{}")), path)
                # Clones are aligned in memory as new tensors are: else the last bits of a prediction may differ.
                state = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not a complete .safetensors file of a detector ({error})") from error
        for name in (SIZE, *self.learned):
            if name not in state and not under(state, name):
                raise ValueError(f"{path}: saved by an older version, without {name}; fit the detector again")
        self.load_state_dict(state)
        return self

    def _described(self) -> dict:
        """What a file says of this detector: the class, and all hyperparameters, so that a changed default is seen."""
        return {"class": type(self).__name__, "hyperparameters": self.hyperparameters()}

    def _require_same(self, saved: dict, path: str | Path) -> None:
        """Raise unless the file was saved by this class with the same hyperparameters, paths excepted."""
        own = json.loads(json.dumps(self._described()))
        if saved.get("class") != own["class"]:
            raise ValueError(f"{path}: saved by {saved.get('class', 'another program')}, but this is {own['class']}")
        theirs, ours = (_flat(_without(values["hyperparameters"], self.paths)) for values in (saved, own))
        if unknown := sorted(ours.keys() - theirs.keys()):
            raise ValueError(f"{path}: saved by an older version, without {unknown[0]}; fit the detector again")
        for name in sorted(theirs.keys() | ours.keys()):
            if theirs.get(name) != ours.get(name):
                raise ValueError(
                    f"{path}: saved by {own['class']} with {name} {theirs.get(name)!r}, "
                    f"but this one has {name} {ours.get(name)!r}"
                )

    def _predict_batch(self, images: Tensor) -> Prediction:
        with torch.inference_mode():
            values, maps = dict(self.stations(images)), None
            if self.localises:
                maps = to_maps(values["scores"], images.shape[-2:], self.smoothing_sigma)  # (N, H, W)
            scores = values["image_scores"] if "image_scores" in values else self.score_of(torch.from_numpy(maps))
            scores = scores.cpu().numpy()
        return Prediction(scores.astype(np.float32), maps)

    def _require_ready(self, images: Tensor) -> None:
        self._require_fitted()
        self._check_base_fields()
        check_images(images, self.image_size_)

    def _require_fitted(self) -> None:
        if not all(hasattr(self, name) for name in (*self.learned, SIZE)):
            raise RuntimeError(f"this {type(self).__name__} is not fitted: call fit or load first")

    def _check_base_fields(self) -> None:
        self._require_at_least(1, "batch_size")
        if not 0 <= self.smoothing_sigma <= MOST_SMOOTHING:
            raise ValueError(f"smoothing_sigma {self.smoothing_sigma}: 0 to {MOST_SMOOTHING} pixels")
        self._require_choice(image_score=self.image_score_choices)

    def _require_at_least(self, least: float, *names: str) -> None:
        """Raise on a field below `least`; None means no limit and passes."""
        for name in names:
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name} {value}: {least} or more")

    def _require_positive(self, *names: str) -> None:
        for name in names:
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} {value}: above 0")

    def _require_share(self, *names: str) -> None:
        for name in names:
            if (value := getattr(self, name)) is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} {value}: 0 to 1")

    def _require_odd(self, *names: str) -> None:
        for name in names:
            if (value := getattr(self, name)) < 1 or value % 2 == 0:
                raise ValueError(f"{name} {value}: an odd number, 1 or more")

    def _require_choice(self, **choices: tuple[str, ...]) -> None:
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r}: one of {', '.join(allowed)}")


def _checking_images(fit: Callable) -> Callable:
    """`fit` of a subclass, preceded by the checks that all detectors share."""

    @functools.wraps(fit)
    def checked(self: Detector, train_images: Tensor, validation_images: Tensor | None = None, **options) -> Detector:
        self._check_base_fields()
        check_images(train_images)
        size = tuple(train_images.shape[-2:])
        if validation_images is not None:
            check_images(validation_images, size)
        self.image_size_ = size
        return fit(self, train_images, validation_images, **options)

    return checked


def _without(values: dict, names: tuple[str, ...]) -> dict:
    """A dictionary without some names, at any depth."""
    return {
        name: _without(value, names) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in names
    }


def _flat(values: dict) -> dict:
    """A dictionary of dictionaries as one, with names such as settings.DETECTOR.layers."""
    flat = {}
    for name, value in values.items():
        inner = {f".{key}": each for key, each in _flat(value).items()} if isinstance(value, dict) else {"": value}
        flat |= {name + key: each for key, each in inner.items()}
    return flat


def under(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The entries of a state whose names start with `name` and a dot, without this prefix."""
    return {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}


def to_maps(scores: Tensor, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Patch scores (N, 1, h, w) as maps (N, H, W): bilinear, then smoothed."""
    return smooth_maps(scores, size, sigma).cpu().numpy()


def smooth_maps(scores: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """`to_maps` as a tensor on the device of the scores.

    Upsampling and smoothing are linear along each axis: both together are one matrix for rows and one for columns.
    """
    if sigma == 0 and tuple(scores.shape[-2:]) == tuple(size):
        return scores.squeeze(1)
    sides = zip(scores.shape[-2:], size, strict=True)
    rows, columns = (smooth_upsampling(int(side), int(length), sigma).to(scores) for side, length in sides)
    return rows @ scores.squeeze(1) @ columns.T


@functools.lru_cache
def smooth_upsampling(side: int, length: int, sigma: float) -> Tensor:
    """The matrix (length, side) that upsamples a row of `side` patches to `length` pixels bilinearly and smooths it."""
    with torch.inference_mode(False):
        rows = F.interpolate(torch.eye(side, dtype=torch.float64)[:, None], size=length, mode="linear")[:, 0].numpy()
        if sigma > 0:
            rows = scipy.ndimage.gaussian_filter1d(rows, sigma, axis=1)
        return torch.from_numpy(rows.T.copy()).float()


def top_mean(maps: Tensor) -> Tensor:
    """Image scores (N,): the mean of the highest 0.5 % of each map (N, H, W), steadier than its maximum."""
    values = maps.flatten(1)
    return values.topk(max(1, round(TOP_SHARE * values.shape[1])), dim=1).values.mean(dim=1)


def check_own(own: Sequence[int] | Tensor, count: int) -> None:
    """Raise `ValueError` unless `own` are indices of `count` training images, of which there are enough."""
    if count < LEAST_WITHOUT_ONE or not all(0 <= int(index) < count for index in own):
        raise ValueError(
            f"own {list(map(int, own))}: indices below {count}, of {LEAST_WITHOUT_ONE} training images or more"
        )


def without_itself(deviation: Tensor, count: int, shrinkage: float | Tensor) -> Tensor:
    """Whitened deviations (..., D) of training images from the Gaussian of the `count` - 1 other images.

    A training image lies closer to a Gaussian that was fitted to it than a new image does. No Gaussian is fitted again
    without it, since the change has a closed form.

    The covariance S is that of Ledoit and Wolf, with the weight w = `shrinkage` of its target; it divides by n. Without
    image i, the residual r grows to r n / (n - 1), and the sample covariance becomes n / (n - 1) times
    (S - r r^T / (n - 1)). The whole, taken to have the same shrinkage and a target that grows alike, is
    n / (n - 1) (S - b r r^T) with b = (1 - w) / (n - 1), so that its inverse root stretches the deviation u by
    (1 - b |u|^2)^(-1/2).
    """
    growth, b = count / (count - 1), (1 - shrinkage) / (count - 1)
    remaining = 1 - b * deviation.square().sum(dim=-1, keepdim=True)  # above 0, but for rounding
    return deviation * (growth / remaining.clamp(min=1e-6)).sqrt()


def check_images(images: Tensor, size: tuple[int, int] | None = None) -> None:
    """Raise unless these are images (N, 3, H, W), N >= 1, float, in [0, 1], and of `size` (H, W) where it is given."""
    height, width = size or ("H", "W")
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        found = f"{images.dtype} {tuple(images.shape)}" if hasattr(images, "shape") else type(images).__name__
        raise ValueError(f"images must be a float tensor of shape (N, 3, {height}, {width}), not {found}")
    if not len(images):
        raise ValueError("no image given")
    if size is not None and tuple(images.shape[-2:]) != tuple(size):
        found = " x ".join(map(str, images.shape[-2:]))
        raise ValueError(
            f"images are {found} pixels (height x width), but the detector was fitted to {height} x {width}: "
            "resize them, or fit the detector at their size"
        )
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"images must lie in [0, 1]; these range from {low:g} to {high:g}")
