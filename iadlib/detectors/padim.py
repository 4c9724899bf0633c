"""PaDiM: Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization", ICPR
2021 workshops, arXiv:2011.08785.

Every position of the finest grid is described by the features of three layers of a frozen backbone, of which a random
subset of channels is kept. One Gaussian for each position is fitted to the normal images. The score of a patch is its
Mahalanobis distance (not squared) to the Gaussian of its position; the score of an image is the maximum of the smoothed
map.

Where we differ from the paper and its code: images are resized, not cropped, and distances are upsampled bilinearly.
The default image score is the mean of the map's highest values, which varies less than its maximum. By default, two
layers are used with all of their channels, so that scores do not depend on `seed`; without the finest layer, there are
a quarter of the positions. Two defaults are not in the paper. Features are averages over a neighbourhood of
`patch_size` positions a side, so that a Gaussian depends on how much of each feature there is near its position, and
less on the exact place. And every covariance contains a share, `shrinkage`, of the mean covariance of all positions,
since a few hundred images or fewer leave directions with too little variance. `patch_size=1, shrinkage=0` is the
paper's method.

The regulariser of the covariance, 0.01 in the paper, has the unit of the features' variance, so that its right value
depends on the backbone: it is the hyperparameter `regularisation`. No covariance is inverted: its Cholesky factor L,
computed in float64, is kept, and the station "deviation" is L^-1 (x - mean), whose norm is the Mahalanobis distance.
Gaussians are fitted for a limited number of positions at a time, so that memory holds the factors (h w, d, d), the kept
channels of the training images, and little more. If these channels take more than FEATURE_BYTES, they are computed in
several passes over the images, each for some of the positions: the Gaussians are the same.

With `own`, a training image is compared with the Gaussians of the other images. An image lies close to a Gaussian that
was fitted to it, and closer the fewer images there are. No Gaussian is fitted again for that, see `leave_one_out`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from iadlib.detectors.base import Detector, check_own
from iadlib.features import Backbone, resolve_device
from iadlib.progress import track
from iadlib.stored import FEATURE_BYTES

CHUNK_BYTES = 2**27  # of the float64 covariances, or of the samples if these are larger, that are computed together
ROUNDING = 1e-6  # of a covariance's trace: the least regulariser, since covariances wait as float32


@dataclass(kw_only=True, eq=False)
class PaDiM(Detector):
    title: ClassVar = "PaDiM"
    cuts: ClassVar = {"embedding": "features", "deviation": "deviation"}
    # kept channels (d,), means (d, h, w), lower Cholesky factors of the covariances (h w, d, d), number of images ()
    learned: ClassVar = ("channels_", "mean_", "factor_", "count_")
    paths: ClassVar = ("checkpoint",)
    least_images: ClassVar = 2  # a covariance of fewer is not defined

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int, ...] = (2, 3)  # of the backbone, the finest first
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    channels: int | None = None  # how many of all layers' channels are kept, at random; None: all
    patch_size: int = 5  # side of the neighbourhood of positions, an odd number, over which features are averaged
    shrinkage: float = 0.03  # share of the mean covariance of all positions in every covariance
    regularisation: float = 0.03  # added to the diagonal of every covariance

    def __post_init__(self):
        super().__post_init__()
        if sorted(set(self.layers)) != list(self.layers):
            raise ValueError(f"layers {list(self.layers)}: ascending, each once")
        self._require_at_least(1, "channels")
        self._require_odd("patch_size")
        self._require_share("shrinkage")
        self._require_positive("regularisation")  # else a covariance may be singular

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Fit one Gaussian for each position; validation images are not used."""
        if len(train_images) < 2:
            raise ValueError("one training image: covariances need two or more")
        self.channels_ = self._draw_channels()
        device = resolve_device(self.device)
        _, dimension, height, width = self.patches(train_images[:1]).shape
        positions = height * width
        mean = torch.empty(dimension, positions, device=device)
        factor = torch.empty(positions, dimension, dimension, device=device)
        at_once = max(1, FEATURE_BYTES // (len(train_images) * dimension * torch.float32.itemsize))
        for first in range(0, positions, at_once):
            chosen = slice(first, min(first + at_once, positions))
            estimate(self._samples(train_images, chosen), mean[:, chosen], factor[chosen])
        factorise(factor, self.shrinkage, self.regularisation)
        self.mean_, self.factor_ = mean.unflatten(1, (height, width)), factor  # (d, h, w), (h w, d, d)
        self.count_ = torch.tensor(len(train_images), device=device)
        return self

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        embedding = self.patches(images)  # (N, d, h, w)
        yield "embedding", embedding
        residual = (embedding - self.mean_).flatten(2).permute(2, 1, 0)  # (h w, d, N)
        with one_thread():
            whitened = torch.linalg.solve_triangular(self.factor_, residual, upper=False)  # (h w, d, N)
        deviation = whitened.permute(2, 1, 0).reshape(embedding.shape)  # (N, d, h, w)
        if own is not None:
            count = int(self.count_)
            check_own(own, count)
            deviation = leave_one_out(deviation, count, self.shrinkage)
        yield "deviation", deviation
        yield "scores", deviation.norm(dim=1, keepdim=True)  # (N, 1, h, w), equation 2

    def patches(self, images: Tensor) -> Tensor:
        """Averages of the kept channels on the first layer's grid; coarser layers are upsampled by repetition."""
        maps, side = self._backbone(images), self.patch_size
        aligned = [F.interpolate(features, size=maps[0].shape[-2:], mode="nearest") for features in maps]
        kept = torch.cat(aligned, dim=1)[:, self.channels_]  # (N, d, h, w)
        return F.avg_pool2d(kept, side, stride=1, padding=side // 2, count_include_pad=False)

    def _samples(self, images: Tensor, chosen: slice) -> Tensor:
        """Kept channels (n, d, p) of all images at some positions, on the CPU; those of a position are contiguous."""
        samples = torch.empty(len(images), chosen.stop - chosen.start, len(self.channels_)).mT
        parts = samples.split(self.batch_size)
        for batch, part in zip(track(images.split(self.batch_size), "padim: features"), parts, strict=True):
            part.copy_(self.patches(batch).flatten(2)[:, :, chosen])
        return samples

    def _draw_channels(self) -> Tensor:
        present = sum(self._backbone.network.feature_info[layer]["num_chs"] for layer in self.layers)
        wanted = present if self.channels is None else self.channels
        if wanted > present:
            raise ValueError(f"channels {wanted}: layers {list(self.layers)} of {self.backbone} have {present}")
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randperm(present, generator=generator)[:wanted]
        return drawn.sort().values.to(resolve_device(self.device))

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)


def estimate(samples: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Write the means of `samples` (n, d, p), by position, into `mean` (d, p), and their covariances, which divide by
    n - 1, into `covariance` (p, d, d).
    """
    count, dimension, positions = samples.shape
    at_once = max(1, CHUNK_BYTES // (8 * dimension * max(dimension, count)))
    for first in track(range(0, positions, at_once), "padim: Gaussians"):
        chosen = slice(first, first + at_once)
        here = samples[:, :, chosen].to(covariance.device, torch.float64).permute(2, 1, 0)  # (positions, d, n)
        centre = here.mean(dim=2, keepdim=True)
        residual = here - centre
        covariance[chosen] = residual @ residual.mT / (count - 1)
        mean[:, chosen] = centre.squeeze(2).T


def factorise(covariance: Tensor, shrinkage: float, regularisation: float) -> None:
    """Replace covariances (p, d, d) by the lower Cholesky factors of their mixture with their mean.

    The mixture has the mean with the weight `shrinkage`, and `regularisation` added to its diagonal (equation 1), or
    more where the covariance is so large that its rounding would be larger.
    """
    positions, dimension, _ = covariance.shape
    parts = covariance.split(max(1, CHUNK_BYTES // (8 * dimension**2)))
    shared = sum(part.sum(dim=0, dtype=torch.float64) for part in parts) / positions  # (d, d)
    for part in track(parts, "padim: factors"):
        mixed = (1 - shrinkage) * part.double() + shrinkage * shared
        diagonal = mixed.diagonal(dim1=1, dim2=2)
        diagonal += (ROUNDING * diagonal.sum(dim=1, keepdim=True)).clamp(min=regularisation)
        with one_thread():
            part.copy_(torch.linalg.cholesky(mixed))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for thousands of small matrices: threads would share each of them, and spend their time waiting."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def leave_one_out(deviation: Tensor, count: int, shrinkage: float = 0.0) -> Tensor:
    """Deviations (N, d, h, w) of training images from the Gaussians of the `count` - 1 other images.

    Without image i, the residual grows to r n / (n - 1), and the covariance S becomes a (S - b r r^T) with
    a = (n - 1) / (n - 2) and b = n / (n - 1)^2. What is mixed into S and added to it is taken to grow by a as well, so
    that b only shrinks, to (1 - shrinkage) b. With S = L L^T and the deviation u = L^-1 r, the covariance is
    a L (I - b u u^T) L^T, and (I - b u u^T)^(-1/2) only stretches u, by (1 - b |u|^2)^(-1/2).

    The mean covariance of all positions still contains the image, so that the norms are too small: on rendered
    pushpins and with the defaults, by 1 % with 100 training images, and by about 10 % with 30.
    """
    a, b = (count - 1) / (count - 2), (1 - shrinkage) * count / (count - 1) ** 2
    remaining = 1 - b * deviation.square().sum(dim=1, keepdim=True)  # above 0, but for rounding
    return deviation * (count / (count - 1)) / (a * remaining.clamp(min=1e-6)).sqrt()
