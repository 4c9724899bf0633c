"""One Gaussian of the pooled features: Rippel, Mertens and Merhof, "Modeling the Distribution of Normal Data in
Pre-Trained Deep Features for Anomaly Detection", ICPR 2020, arXiv:2005.14140.

Every image is described by the averages, over all positions, of the feature maps of a frozen backbone. For each layer,
one Gaussian is fitted to the descriptions of the normal images, with the covariance of Ledoit and Wolf. The score of an
image is the sum over the layers of its Mahalanobis distances (not squared). Sugawara and Imamura, "PUAD: Frustratingly
Simple Method for Robust Anomaly Detection", ICIP 2024, arXiv:2402.15143, add such a score to that of a local detector.

Where we differ from the paper and its code: layers are the last ones of each stride, where the code takes all nine
stages of EfficientNet-B4 with its stem and head, and images keep their aspect ratio. Besides the whole image, cells
have Gaussians of their own (`grids`), so that a part which is missing in its place weighs more than in the average over
the image: the cells of a grid of g have a side of 1 / g of the image, rounded up to whole positions of a map, and lie
half a side apart. A covariance of a cell contains a share (`shared`) of the covariance of all cells of its grid, each
about its own mean. The distance by a grid is that of its most anomalous cell. With these distances standardised on
normal validation images, z_g, the score is log(1 + sum of exp z_g). For an anomalous image it is close to the largest
z_g: that of the cells where a part is missing in its place, that of the whole image where it may lie anywhere. With
`grids=(1,)` images are ordered as in the paper. The cut "distances" is this score, as one channel.

Averages over a cell are too coarse to mark a part: the detector gives no map. With `own`, a training image is compared
with the Gaussians of the other images, see `without_itself`. The shared part of the covariances still contains the
image, so that these distances are too small: on rendered pushpins, by 6 to 9 % with 100 training images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from iadlib.detectors.base import LEAST_WITHOUT_ONE, Detector, check_own, without_itself
from iadlib.features import Backbone, resolve_device
from iadlib.progress import track

RIDGE = 1e-6  # variance added to every channel: identical training images have none
LEAST_SPREAD = 0.05  # standard deviation of a grid's distance, relative to its mean: few images may agree by chance


@dataclass(kw_only=True, eq=False)
class PooledGaussian(Detector):
    title: ClassVar = "Pooled Gaussian"
    cuts: ClassVar = {"embedding": "features", "distances": "distance"}
    whole: ClassVar = ("embedding", "distances")
    # Of the P cells of all grids and the L layers with C channels each: means (P, 1, sum of C), lower Cholesky factors
    # of the covariances (P, sum of C^2), share of each covariance that is taken not to change without an image (P, L).
    # Channels (L,), number of training images (), mean and standard deviation of each grid's distance (G, 2).
    learned: ClassVar = ("mean_", "factor_", "unchanged_", "channels_", "count_", "scales_")
    paths: ClassVar = ("checkpoint",)
    least_images: ClassVar = 2
    localises: ClassVar = False

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int | str, ...] = (1, 2, 3, 4)  # of the backbone: numbers, or names of modules
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    grids: tuple[int, ...] = (1, 5)  # a cell's side is one g-th of the image's
    shared: float = 0.3  # share of the covariance of all cells of a grid in that of each cell

    def __post_init__(self):
        super().__post_init__()
        if not self.grids or min(self.grids) < 1:
            raise ValueError(f"grids {list(self.grids)}: one or more whole numbers, 1 or more")
        self._require_share("shared")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Fit one Gaussian for each layer and cell; validation images give the scales of the grids' distances.

        Without validation images the training images give the scales, each compared with the others.
        """
        count, device = len(train_images), resolve_device(self.device)
        if count < 2:
            raise ValueError("one training image: covariances need two or more")
        batches = track(train_images.split(self.batch_size), "pooled_gaussian: features")
        pooled = [torch.cat(parts, dim=1) for parts in zip(*map(self.pooled, batches), strict=True)]  # (P, n, C) each
        covariances, unchanged = zip(*(self._covariances(each.double().cpu()) for each in pooled), strict=True)
        self.mean_ = torch.cat(pooled, dim=2).mean(dim=1, keepdim=True)  # (P, 1, d)
        self.factor_ = torch.cat([torch.linalg.cholesky(each).float().flatten(1) for each in covariances], dim=1)
        self.factor_, self.unchanged_ = self.factor_.to(device), torch.stack(unchanged, dim=1).float().to(device)
        self.channels_ = torch.tensor([each.shape[2] for each in pooled], device=device)
        self.count_ = torch.tensor(count, device=device)
        if validation_images is None:
            own = torch.arange(count) if count >= LEAST_WITHOUT_ONE else None
            distances = self._by_grid(torch.cat(pooled, dim=2), own)
        else:
            embeddings = [torch.cat(self.pooled(each), dim=2) for each in validation_images.split(self.batch_size)]
            distances = self._by_grid(torch.cat(embeddings, dim=1), None)
        mean = distances.mean(dim=1).clamp(min=RIDGE)
        self.scales_ = torch.stack([mean, distances.std(dim=1, correction=0).maximum(LEAST_SPREAD * mean)], dim=1)
        return self

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        embedding = torch.cat(self.pooled(images), dim=2)  # (P, N, d)
        yield "embedding", as_channels(embedding)  # (N, P d, 1, 1)
        mean, deviation = self.scales_.T[:, :, None]
        standardised = (self._by_grid(embedding, own) - mean) / deviation  # (G, N)
        scores = F.softplus(standardised.logsumexp(dim=0))  # (N,)
        yield "distances", scores[:, None, None, None]  # (N, 1, 1, 1)
        yield "image_scores", scores

    def pooled(self, images: Tensor) -> list[Tensor]:
        """The averages of each layer's map in the cells of all grids: one (P, N, C) a layer."""
        maps = self._backbone(images)
        averages = [[cell_averages(each, side).flatten(2) for side in self.grids] for each in maps]
        return [torch.cat(of_layer, dim=2).permute(2, 0, 1) for of_layer in averages]

    def _covariances(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Covariances (P, C, C) of one layer's averages (P, n, C), and their shares `unchanged_` (P,)."""
        from sklearn.covariance import ledoit_wolf  # here, because its import takes time and only `fit` needs it

        found, unchanged = [], []
        for cells in pooled.split([cells_of(side) for side in self.grids]):
            residuals = cells - cells.mean(dim=1, keepdim=True)
            together, _ = ledoit_wolf(residuals.flatten(0, 1).numpy(), assume_centered=True)
            shared = self.shared if len(cells) > 1 else 0.0
            for residual in residuals:
                alone, shrinkage = ledoit_wolf(residual.numpy(), assume_centered=True)
                found.append(torch.from_numpy((1 - shared) * alone + shared * together))
                unchanged.append(1 - (1 - shared) * (1 - shrinkage))
        covariances = torch.stack(found)
        covariances.diagonal(dim1=1, dim2=2).add_(RIDGE)
        return covariances, torch.tensor(unchanged)

    def _by_grid(self, embedding: Tensor, own: Tensor | None) -> Tensor:
        """Distances (G, N) of embeddings (P, N, d) by every grid: the largest over its cells, of the sum of layers."""
        channels = self.channels_.tolist()
        if own is not None:
            check_own(own, int(self.count_))
        residuals = (embedding - self.mean_).split(channels, dim=2)
        factors = self.factor_.split([each**2 for each in channels], dim=1)
        distances = 0
        for residual, factor, unchanged in zip(residuals, factors, self.unchanged_.T, strict=True):
            factor = factor.unflatten(1, (residual.shape[2], -1))
            whitened = torch.linalg.solve_triangular(factor, residual.mT, upper=False).mT  # (P, N, C)
            if own is not None:
                whitened = without_itself(whitened, int(self.count_), unchanged[:, None, None])
            distances = distances + whitened.norm(dim=2)
        return torch.stack([each.amax(dim=0) for each in distances.split([cells_of(side) for side in self.grids])])

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)


def cells_of(side: int) -> int:
    """The number of cells of a grid."""
    return (2 * side - 1) ** 2


def cell_averages(maps: Tensor, side: int) -> Tensor:
    """The averages (N, C, 2 side - 1, 2 side - 1) of maps (N, C, h, w) in cells that lie half a cell apart."""
    rows, columns = (averaging(length, side).to(maps) for length in maps.shape[-2:])
    return rows @ maps @ columns.T


def averaging(length: int, side: int) -> Tensor:
    """The matrix (2 side - 1, length) that averages a row of positions over every cell."""
    matrix = torch.zeros(2 * side - 1, length)
    for cell, row in enumerate(matrix):
        first, end = cell * length // (2 * side), -(-(cell + 2) * length // (2 * side))
        row[first:end] = 1 / (end - first)
    return matrix


def as_channels(values: Tensor) -> Tensor:
    """Values (P, N, C) of cells as maps (N, P C, 1, 1) of the image as a whole."""
    return values.transpose(0, 1).flatten(1)[:, :, None, None]
