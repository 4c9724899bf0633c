"""DRAEM: Zavrtanik, Kristan and Skocaj, "DRAEM - A discriminatively trained reconstruction embedding for surface
anomaly detection", ICCV 2021, arXiv:2108.07610.

Anomalies are painted onto normal images: a random texture inside a thresholded Perlin mask. A reconstructive network
learns to restore the normal image, and a discriminative network, which takes the image and its reconstruction, learns
to segment the painted anomalies. The map is the discriminative network's probability of an anomaly; the image score is
the map's maximum after averaging over a square.

Where we differ from the paper and its code: textures come from a folder, such as the Describable Textures Dataset, if
`textures` names one. Otherwise a third of them are one colour, a third coloured Perlin noise, and a third another
training image cut into shuffled blocks. All textures are changed by three random colour operations: gamma and
brightness change a whole image alike, hue changes but saturation does not, and textures are not rotated by up to 45
degrees as in the code. The lattice of the Perlin noise is rotated, where the code rotates the finished noise. Training
images are not rotated, which would turn images of a product with a fixed orientation into anomalous ones. Half of the
images of each batch are drawn to get an anomaly, where the code draws for every image, so that a batch of two has one.
Weights are initialised as PyTorch does, except that the discriminative network begins with `initial_probability` of an
anomaly at every pixel, as the focal loss's paper recommends where few pixels are anomalous. By default the learning
rate rises during a tenth of the steps and then falls as half a cosine: with batches as small as a CPU allows, some
seeds learn little with the code's rate, which falls after 80 % and 90 % of the steps. After the training, the moving
averages of the batch normalisations are replaced by averages over training images for the final weights (Wu and
Johnson, "Rethinking 'Batch' in BatchNorm", 2021, arXiv:2105.07576, section 3): moving averages over small batches lag
behind weights that change quickly. Decoders upsample to the encoder's grids, so that any sides of 32 pixels or more are
possible, bilinearly without aligned corners, where the code aligns them.
"""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iadlib.detectors.base import Detector
from iadlib.detectors.training import seeded, train
from iadlib.features import resolve_device
from iadlib.noise import paint_anomalies, texture_files

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SMALLEST_SIDE = 32  # pixels; one on the last of six levels
FOCUS = 2.0  # gamma of the focal loss
STATISTICS_BATCHES, STATISTICS_BATCH_SIZE = 8, 8  # of the batch normalisations, after the training


@dataclass(kw_only=True, eq=False)
class DRAEM(Detector):
    title: ClassVar = "DRAEM"
    cuts: ClassVar = {"residual": "distance", "discriminative": "features"}
    learned: ClassVar = ("reconstructive_", "discriminative_", "losses_")
    paths: ClassVar = ("textures",)
    slow: ClassVar = True
    image_size: ClassVar = 128

    reconstructive_width: int = 8  # channels of the first level
    discriminative_width: int = 8
    textures: str | None = None  # folder of photographs to paint anomalies with; None: noise and training images
    perlin_octaves: int = 4  # Perlin noise has 2 ** 0 to 2 ** perlin_octaves cells a side
    perlin_threshold: float = 0.5  # anomalies lie where the noise exceeds it
    lowest_opacity: float = 0.1  # of a painted anomaly; the highest is 1
    initial_probability: float = 0.05  # of an anomaly at a pixel, about as many as are painted; 0.5: no preference
    score_window: int = 7  # side of the square that the map is averaged over for the image score, in pixels
    steps: int = 800
    training_batch_size: int = 2
    learning_rate: float = 0.005  # the highest
    schedule: str = "warm"  # rises for a tenth of the steps, then falls to 0; "steps": falls after 80 % and 90 %
    smoothing_sigma: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self._require_at_least(1, "reconstructive_width", "discriminative_width", "steps", "training_batch_size")
        self._require_at_least(0, "perlin_octaves")
        self._require_positive("learning_rate")
        self._require_share("lowest_opacity")
        if not 0 < self.initial_probability < 1:
            raise ValueError(f"initial_probability {self.initial_probability}: above 0 and below 1")
        self._require_odd("score_window")
        self._require_choice(schedule=("warm", "steps"))

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Train both networks together; validation images are not used."""
        if min(train_images.shape[-2:]) < SMALLEST_SIDE:
            size = " x ".join(map(str, train_images.shape[-2:]))
            raise ValueError(
                f"images of {size} pixels are too small: sides of {SMALLEST_SIDE} pixels or more are needed"
            )
        if len(train_images) < 2:
            raise ValueError("one training image: batch normalisation needs two or more")
        textures = None if self.textures is None else texture_files(self.textures)
        self.build()
        for network in (self.reconstructive_, self.discriminative_):
            network.train().requires_grad_(True)
        parameters = [*self.reconstructive_.parameters(), *self.discriminative_.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=self.learning_rate, fused=True)

        paint = functools.partial(
            paint_anomalies,
            sources=train_images,
            textures=textures,
            octaves=self.perlin_octaves,
            threshold=self.perlin_threshold,
            lowest_opacity=self.lowest_opacity,
        )

        def loss(images: Tensor) -> Tensor:
            painted, masks = paint(images)
            reconstruction = self.reconstructive_(painted)
            logits = self.discriminative_(torch.cat([reconstruction, painted], dim=1))
            similarity = structural_similarity(reconstruction, images)
            return F.mse_loss(reconstruction, images) + (1 - similarity).mean() + focal_loss(logits, masks)

        self.losses_ = train(
            loss,
            [train_images],
            [optimiser],
            steps=self.steps,
            batch_size=self.training_batch_size,
            seed=self.seed,
            device=resolve_device(self.device),
            description="draem: both networks",
            schedulers=[torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)],
        )
        self._estimate_statistics(paint, train_images)
        return self

    def _rate(self, step: int) -> float:
        """The learning rate of a step relative to the highest."""
        if self.schedule == "steps":
            return 0.2 ** sum(step >= math.ceil(share * self.steps) for share in (0.8, 0.9))
        rise = 0.1 * self.steps
        return min((step + 1) / rise, (1 + math.cos(math.pi * max(0, step - rise) / (self.steps - rise))) / 2)

    @torch.no_grad()
    def _estimate_statistics(self, paint: Callable[[Tensor], tuple[Tensor, Tensor]], images: Tensor) -> None:
        """Replace the moving averages of the batch normalisations by averages for the final weights."""
        networks = nn.ModuleList([self.reconstructive_, self.discriminative_]).requires_grad_(False)
        norms = [module for module in networks.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average of all batches
        with seeded(self.seed):
            for _ in range(STATISTICS_BATCHES):
                chosen = torch.randperm(len(images))[:STATISTICS_BATCH_SIZE]
                painted, _ = paint(images[chosen].to(resolve_device(self.device)))
                self.discriminative_(torch.cat([self.reconstructive_(painted), painted], dim=1))
        networks.eval()

    def build(self) -> None:
        with seeded(self.seed):
            self.reconstructive_ = ReconstructiveNetwork(self.reconstructive_width)
            self.discriminative_ = DiscriminativeNetwork(self.discriminative_width)
            odds = self.initial_probability / (1 - self.initial_probability)
            with torch.no_grad():
                self.discriminative_.output.bias.copy_(torch.tensor([0.0, math.log(odds)]))
        for network in (self.reconstructive_, self.discriminative_):
            network.eval().requires_grad_(False)
            network.to(resolve_device(self.device), memory_format=torch.channels_last)

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        images = images.to(resolve_device(self.device), memory_format=torch.channels_last)
        reconstruction = self.reconstructive_(images)
        yield "residual", (images - reconstruction).abs()  # (N, 3, H, W)
        features = self.discriminative_.features(torch.cat([reconstruction, images], dim=1))
        yield "discriminative", features  # (N, width, H, W)
        scores = self.discriminative_.output(features).softmax(dim=1)[:, 1:]  # (N, 1, H, W)
        yield "scores", scores
        window = self.score_window
        averages = F.avg_pool2d(scores, window, stride=1, padding=window // 2)
        yield "image_scores", averages.amax(dim=(1, 2, 3))  # equation 7


def focal_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, of logits (N, 2, H, W); the mean over pixels."""
    log_probability = F.log_softmax(logits, dim=1).gather(1, masks.long().unsqueeze(1))  # of the truth, (N, 1, H, W)
    return -((1 - log_probability.exp()) ** FOCUS * log_probability).mean()


def structural_similarity(images: Tensor, others: Tensor) -> Tensor:
    """SSIM at every pixel (N, C, H, W) of images in [0, 1], in Gaussian windows, with zero padding.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, equation 13.
    """
    place = torch.arange(SSIM_WINDOW, device=images.device) - SSIM_WINDOW // 2
    weights = torch.exp(-place.square() / (2 * SSIM_SIGMA**2))
    weights = weights / weights.sum()
    channels = images.shape[1]

    def local(values: Tensor) -> Tensor:
        rows = weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        values = F.conv2d(values, rows, padding=(SSIM_WINDOW // 2, 0), groups=channels)
        return F.conv2d(values, rows.mT, padding=(0, SSIM_WINDOW // 2), groups=channels)

    mean, mean_other = local(images), local(others)
    variance, variance_other = local(images.square()) - mean.square(), local(others.square()) - mean_other.square()
    covariance = local(images * others) - mean * mean_other
    luminance = (2 * mean * mean_other + 0.01**2) / (mean.square() + mean_other.square() + 0.01**2)
    return luminance * (2 * covariance + 0.03**2) / (variance + variance_other + 0.03**2)


class ReconstructiveNetwork(nn.Module):
    """An encoder of five levels and a decoder without skip connections."""

    def __init__(self, width: int):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.encoder = nn.ModuleList(_block(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True))
        upwards = [8 * width, 4 * width, 2 * width, width, width]
        self.decoder = nn.ModuleList(nn.Sequential(_block(a, a), _convolution(a, b)) for a, b in pairwise(upwards))
        self.output = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        features, grids = images, []
        for level, block in enumerate(self.encoder):
            features = block(F.max_pool2d(features, 2) if level else features)
            grids.append(features.shape[-2:])
        for block, grid in zip(self.decoder, reversed(grids[:-1]), strict=True):
            features = block(F.interpolate(features, size=grid, mode="bilinear", align_corners=False))
        return self.output(features)


class DiscriminativeNetwork(nn.Module):
    """A U-Net of six levels: reconstruction and image (N, 6, H, W) in, two logits for each pixel (N, 2, H, W) out."""

    def __init__(self, width: int):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width]
        self.encoder = nn.ModuleList(_block(a, b) for a, b in zip([6, *widths[:-1]], widths, strict=True))
        pairs = list(pairwise([8 * width, 8 * width, 4 * width, 2 * width, width, width]))
        skips = widths[-2::-1]
        self.upwards = nn.ModuleList(_convolution(a, b) for a, b in pairs)
        self.decoder = nn.ModuleList(_block(b + skip, b) for (_, b), skip in zip(pairs, skips, strict=True))
        self.output = nn.Conv2d(width, 2, 3, padding=1)

    def features(self, images: Tensor) -> Tensor:
        """Features (N, width, H, W) that the last convolution turns into logits."""
        features, skipped = images, []
        for level, block in enumerate(self.encoder):
            features = block(F.max_pool2d(features, 2) if level else features)
            skipped.append(features)
        for convolution, block, skip in zip(self.upwards, self.decoder, reversed(skipped[:-1]), strict=True):
            features = F.interpolate(features, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            features = block(torch.cat([convolution(features), skip], dim=1))
        return features

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.features(images))


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(_convolution(before, after), _convolution(after, after))
