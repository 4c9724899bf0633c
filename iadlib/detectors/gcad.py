"""GCAD: Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
Localization", IJCV 2022, doi:10.1007/s11263-022-01578-9.

A frozen teacher describes every patch of an image. In the local branch a student learns to regress the teacher's
features from the neighbourhood of the patch: it fails where the neighbourhood looks new. In the global branch an
autoencoder compresses the whole image to a short vector and reconstructs the teacher's features from it, so that it can
only reproduce what normal images have in common. Its reconstruction is blurred even for normal images. Therefore a
regression network learns to predict the reconstruction from the teacher's features: the two differ where an image
violates what normal images have in common, although every patch of it is known. Squared differences of both branches
are standardised on normal validation images and added; the score of an image is the maximum of the sum, here by default
the mean of its highest values.

Where we differ from the paper, whose code was never published: the teacher is a backbone with ImageNet weights, where
the paper distils a network of limited receptive field from one and uses two receptive fields, 17 and 33 pixels. By
default each branch is standardised with the mean and the standard deviation of the image scores that its own map gives
the validation images, where the paper takes all pixels of the map: a branch in which good images differ more weighs
less. With fewer than LEAST_SCORES images all patches are taken, too. The teacher's features are standardised by
channel. The autoencoder and, unless `student_layer` is None, the student take features of the same backbone in place of
the image: with the few steps that a CPU allows, networks that start from pixels do not learn enough. All features of
the training images are computed once. The encoder ends with a linear layer over the whole grid, so that a detector fits
one image size. The regression network is a small U-Net. All networks are trained together, on fixed schedules. Without
validation images, training images take their place, whose differences are smaller than those of new images.

The cuts "local" and "global" are the differences of the branches; "deviation" is both together, weighted as in the sum,
so that the square of their norm is the score of the patch but for a constant. `own` changes nothing, since all networks
were trained on the training images.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iadlib.detectors.base import Detector, smooth_maps
from iadlib.detectors.training import seeded, train
from iadlib.features import Backbone, resolve_device
from iadlib.progress import track
from iadlib.stored import stored

SLOPE = 0.1  # of the leaky rectifiers
LEAST_SCORES = 5  # validation images: fewer scores have no reliable standard deviation


@dataclass(kw_only=True, eq=False)
class GCAD(Detector):
    title: ClassVar = "GCAD"
    cuts: ClassVar = {
        **{"embedding": "features", "latent": "features"},
        **{"local": "deviation", "global": "deviation", "deviation": "deviation"},
    }
    whole: ClassVar = ("latent",)
    # per-channel mean and standard deviation (C,) of the teacher's features and (B,) of the student's input, the
    # networks, the losses, and mean and standard deviation of both branches on validation images (2, 2)
    learned: ClassVar = (
        *("mean_", "std_", "input_mean_", "input_std_"),
        *("student_", "autoencoder_", "regression_", "losses_", "scales_"),
    )
    paths: ClassVar = ("checkpoint",)

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int, ...] = (3,)  # of the backbone, the teacher's features; the finest first
    student_layer: int | None = 2  # of the backbone, finer than `layers`: the student's input; None: the image
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    latent_dimension: int = 32  # numbers to which the autoencoder compresses an image
    hidden_channels: int = 64  # of all networks
    steps: int = 1200
    training_batch_size: int = 4
    learning_rate: float = 0.003
    weight_decay: float = 1e-5
    standardised_by: str = "images"  # image scores of validation images; or "patches": all values of their maps

    def __post_init__(self):
        super().__post_init__()
        self._require_at_least(1, "latent_dimension", "hidden_channels", "steps", "training_batch_size")
        self._require_positive("learning_rate")
        self._require_choice(standardised_by=("images", "patches"))
        if self.student_layer is not None and not 0 <= self.student_layer < min(self.layers):
            raise ValueError(
                f"student_layer {self.student_layer}: must be finer than layers {list(self.layers)}, or null"
            )

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Train the networks, then standardise the branches on the validation images, or else the training images."""
        batches = track(train_images.split(self.batch_size), "gcad: features")
        if self.student_layer is None:  # the images are in memory already
            inputs, [targets] = train_images, stored((self._features(each)[1:] for each in batches), len(train_images))
        else:
            inputs, targets = stored(map(self._features, batches), len(train_images))
        device = resolve_device(self.device)
        self.mean_, self.std_ = (each.to(device) for each in _moments(targets))
        self.input_mean_, self.input_std_ = (each.to(device) for each in _moments(inputs))
        self.build()
        networks = nn.ModuleList([self.student_, self.autoencoder_, self.regression_])
        networks.train().requires_grad_(True)

        def loss(features: Tensor, target: Tensor) -> Tensor:
            return sum(self.distances(*self._standardised(features, target)))

        optimiser = torch.optim.Adam(
            networks.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        self.losses_ = train(
            loss,
            [inputs, targets],
            [optimiser],
            steps=self.steps,
            batch_size=self.training_batch_size,
            seed=self.seed,
            device=device,
            description="gcad: both branches",
            schedulers=[torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)],
        )
        networks.eval().requires_grad_(False)
        self._fit_scales(train_images if validation_images is None else validation_images)
        return self

    def build(self) -> None:
        device = resolve_device(self.device)
        with torch.inference_mode():
            inputs, targets = self._features(torch.zeros(1, 3, *self.image_size_))
        channels, grid, hidden = targets.shape[1], targets.shape[-2:], self.hidden_channels
        with seeded(self.seed):
            self.student_ = Student(inputs.shape[1], channels, hidden, inputs.shape[-1] / grid[1])
            self.autoencoder_ = Autoencoder(channels, hidden, self.latent_dimension, grid)
            self.regression_ = Regression(channels, hidden)
        for network in (self.student_, self.autoencoder_, self.regression_):
            network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        features, embedding = self._standardised(*self._features(images))
        yield "embedding", embedding  # (N, C, h, w)
        latent = self.autoencoder_.encode(embedding)
        yield "latent", latent[..., None, None]  # (N, latent_dimension, 1, 1)
        local = self.student_(features, embedding.shape[-2:]) - embedding
        yield "local", local  # (N, C, h, w)
        distant = self.regression_(embedding) - self.autoencoder_.decode(latent)
        yield "global", distant  # (N, C, h, w)
        branches = torch.cat([_squared(local), _squared(distant)], dim=1)
        yield "branches", branches  # (N, 2, h, w)
        means, deviations = self.scales_.T[..., None, None]  # (2, 1, 1) each
        weights = (embedding.shape[1] * deviations).rsqrt()
        yield "deviation", torch.cat([weights[0] * local, weights[1] * distant], dim=1)  # (N, 2 C, h, w)
        yield "scores", ((branches - means) / deviations).sum(dim=1, keepdim=True)  # (N, 1, h, w)

    def distances(self, features: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mean squared differences that student, autoencoder and regression network minimise.

        The regression network's does not train the autoencoder, which would learn what is easy to predict.
        """
        reconstruction = self.autoencoder_(target)
        return (
            F.mse_loss(self.student_(features, target.shape[-2:]), target),
            F.mse_loss(reconstruction, target),
            F.mse_loss(self.regression_(target), reconstruction.detach()),
        )

    def _fit_scales(self, images: Tensor) -> None:
        """Mean and standard deviation of each branch on normal images: of their scores, or of all of their patches."""
        by_image = self.standardised_by == "images" and len(images) >= LEAST_SCORES
        parts = []
        for batch in images.split(self.batch_size):
            with torch.inference_mode():
                branches = next(value for name, value in self.stations(batch) if name == "branches")
                maps = branches.transpose(0, 1)  # (2, N, h, w)
                parts.append(torch.stack([self._image_scores(each) for each in maps]) if by_image else maps.flatten(1))
        scores = torch.cat(parts, dim=1)  # (2, N) or (2, N h w)
        self.scales_ = torch.stack([scores.mean(dim=1), scores.std(dim=1).clamp(min=1e-6)], dim=1)

    def _image_scores(self, maps: Tensor) -> Tensor:
        return self.score_of(smooth_maps(maps.unsqueeze(1), self.image_size_, self.smoothing_sigma))

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The student's input (N, B, H', W') and the teacher's features (N, C, h, w), as the backbone has them."""
        maps = self._backbone(images)
        inputs = images.to(maps[0].device)
        if self.student_layer is not None:
            inputs, *maps = maps
        grid = maps[0].shape[-2:]
        aligned = [F.interpolate(each, size=grid, mode="bilinear", align_corners=False) for each in maps]
        return inputs, torch.cat(aligned, dim=1)

    def _standardised(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        inputs = (inputs - self.input_mean_.view(-1, 1, 1)) / self.input_std_.view(-1, 1, 1)
        return inputs, (targets - self.mean_.view(-1, 1, 1)) / self.std_.view(-1, 1, 1)

    @cached_property
    def _backbone(self) -> Backbone:
        first = () if self.student_layer is None else (self.student_layer,)
        return Backbone(self.backbone, (*first, *self.layers), self.checkpoint, self.device)


class Student(nn.Module):
    """Maps of a fine grid in, maps of a grid `stride` times coarser out; the receptive field is limited."""

    def __init__(self, in_channels: int, channels: int, hidden: int, stride: float):
        super().__init__()
        halvings = max(0, round(math.log2(stride)))
        self.layers = nn.Sequential(
            _convolution(in_channels, hidden),
            *(_convolution(hidden, hidden, stride=2) for _ in range(halvings)),
            _convolution(hidden, hidden),
            _convolution(hidden, hidden),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, features: Tensor, grid: Sequence[int]) -> Tensor:
        return _resized(self.layers(features), grid)


class Autoencoder(nn.Module):
    """Maps (N, C, h, w) of a fixed grid through a vector (N, L) back to maps."""

    def __init__(self, channels: int, hidden: int, latent_dimension: int, grid: Sequence[int]):
        super().__init__()
        self.grids = [tuple(grid)]
        for _ in range(2):
            self.grids.append(tuple(-(-side // 2) for side in self.grids[-1]))
        height, width = self.grids[-1]
        self.enter = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LeakyReLU(SLOPE),
            _convolution(hidden, hidden, stride=2),
            _convolution(hidden, hidden, stride=2),
        )
        self.compress = nn.Linear(hidden * height * width, latent_dimension)
        self.expand = nn.Linear(latent_dimension, hidden * height * width)
        self.stages = nn.ModuleList(_convolution(hidden, hidden) for _ in self.grids)
        self.leave = nn.Conv2d(hidden, channels, 1)

    def encode(self, features: Tensor) -> Tensor:
        return self.compress(self.enter(features).flatten(1))  # (N, L)

    def decode(self, latent: Tensor) -> Tensor:
        maps = F.leaky_relu(self.expand(latent), SLOPE).unflatten(1, (-1, *self.grids[-1]))
        for stage, grid in zip(self.stages, reversed(self.grids), strict=True):
            maps = stage(_resized(maps, grid))
        return self.leave(maps)

    def forward(self, features: Tensor) -> Tensor:
        return self.decode(self.encode(features))


class Regression(nn.Module):
    """A U-Net that halves the grid twice: maps (N, C, h, w) to maps of the same shape."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.LeakyReLU(SLOPE))
        self.down = nn.ModuleList(_convolution(hidden, hidden, stride=2) for _ in range(2))
        self.middle = _convolution(hidden, hidden)
        self.up = nn.ModuleList(_convolution(2 * hidden, hidden) for _ in range(2))
        self.leave = nn.Conv2d(hidden, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        maps = [self.enter(features)]
        for stage in self.down:
            maps.append(stage(maps[-1]))
        current = self.middle(maps.pop())
        for stage in self.up:
            skipped = maps.pop()
            current = stage(torch.cat([_resized(current, skipped.shape[-2:]), skipped], dim=1))
        return self.leave(current)


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.LeakyReLU(SLOPE))


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel."""
    return features.mean(dim=(0, 2, 3)), features.std(dim=(0, 2, 3)).clamp(min=1e-6)


def _squared(difference: Tensor) -> Tensor:
    return difference.square().mean(dim=1, keepdim=True)


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
