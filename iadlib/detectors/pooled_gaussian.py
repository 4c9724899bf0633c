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
half a side apart. In a cell, one Gaussian describes the averages of the finer layers together (`cell_layers`), as in
PaDiM; the coarsest layer sees far beyond a cell, and hides what is in it. In cells, averages are divided by each
channel's standard deviation over all cells, since the shrinkage of Ledoit and Wolf draws all variances towards their
mean. A covariance of a cell contains a share (`shared`) of the covariance of all cells of its grid, each about its own
mean. Cells in which normal images differ more have larger distances, which are brought to one mean and standard
deviation (`evened`); with few training images, those of a cell are drawn to those of all cells (`PRIOR`). The distance
by a grid is then that of its most anomalous cell. With these distances standardised on normal validation images, z_g,
the score is log(1 + sum of exp z_g). For an anomalous image it is close to the largest z_g: that of the cells where a
part is missing in its place, that of the whole image where it may lie anywhere. With `grids=(1,)` images are ordered as
in the paper. The cut "distances" is this score, as one channel.

Averages over a cell are too coarse to mark a part: the detector gives no map. With `own`, a training image is compared
with the Gaussians of the other images, see `without_itself`. The shared part of the covariances still contains the
image, so that these distances are too small: on rendered pushpins, by 2 to 3 % with 100 training images, and by 16 %
with 10.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from iadlib.detectors.base import LEAST_WITHOUT_ONE, Detector, check_own, without_itself
from iadlib.features import Backbone, resolve_device
from iadlib.progress import track

RIDGE = 1e-6  # variance added to every channel: identical training images have none
PRIOR = 40  # with so many training images, a cell's own statistics weigh as much as those of all cells
LEAST_SPREAD = 0.05  # standard deviation of a grid's distance, relative to its mean: few images may agree by chance


@dataclass(kw_only=True, eq=False)
class PooledGaussian(Detector):
    title: ClassVar = "Pooled Gaussian"
    cuts: ClassVar = {"embedding": "features", "distances": "distance"}
    whole: ClassVar = ("embedding", "distances")
    # A family is the Gaussians of all P cells of a grid, of d channels each. Flat, one family after the other: means
    # (P, d), lower Cholesky factors of the covariances (P, d, d), and the share of each covariance that is taken not to
    # change without an image (P,). For all cells of all grids, factor and summand that make distances comparable (2,
    # cells). Number of training images (), mean and standard deviation of each grid's distance (G, 2).
    learned: ClassVar = ("mean_", "factor_", "unchanged_", "level_", "count_", "scales_")
    paths: ClassVar = ("checkpoint",)
    least_images: ClassVar = 2
    localises: ClassVar = False

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int | str, ...] = (1, 2, 3, 4)  # of the backbone: numbers, or names of modules
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    grids: tuple[int, ...] = (1, 5)  # a cell's side is one g-th of the image's
    cell_layers: tuple[int | str, ...] = (1, 2, 3)  # those of `layers` that describe cells, together
    shared: float = 0.5  # share of the covariance of all cells of a grid in that of each cell

    def __post_init__(self):
        super().__post_init__()
        if not self.grids or min(self.grids) < 1:
            raise ValueError(f"grids {list(self.grids)}: one or more whole numbers, 1 or more")
        once = len(set(self.cell_layers)) == len(self.cell_layers) > 0
        if max(self.grids) > 1 and not (once and set(self.cell_layers) <= set(self.layers)):
            raise ValueError(
                f"cell_layers {list(self.cell_layers)}: one or more of `layers` {list(self.layers)}, each once; "
                "give both, or grids [1] for no cells"
            )
        self._require_share("shared")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Fit the Gaussians of the whole image and of all cells; validation images give the scales of the distances.

        Without validation images the training images give the scales, each compared with the others.
        """
        count, device = len(train_images), resolve_device(self.device)
        if count < 2:
            raise ValueError("one training image: covariances need two or more")
        pooled = self._pooled_in_batches(train_images)
        fitted = [gaussians(averages, self.shared) for averages in pooled]
        self.mean_, self.factor_, self.unchanged_ = (
            torch.cat([part.flatten() for part in parts]).float().to(device) for parts in zip(*fitted, strict=True)
        )
        self.count_ = torch.tensor(count, device=device)
        own = torch.arange(count) if count >= LEAST_WITHOUT_ONE else None
        # The distances of images to Gaussians that were fitted to them say nothing.
        weight = 0.0 if own is None else count / (count + PRIOR)
        by_cell = self._by_cell(pooled, own)
        self.level_ = torch.cat([evened(distances, weight) for distances in by_cell], dim=1)
        if validation_images is not None:
            by_cell = self._by_cell(self._pooled_in_batches(validation_images), None)
        distances = self._by_grid(by_cell)
        mean = distances.mean(dim=1).clamp(min=RIDGE)
        self.scales_ = torch.stack([mean, distances.std(dim=1, correction=0).maximum(LEAST_SPREAD * mean)], dim=1)
        return self

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        pooled = self.pooled(images)  # (P, N, d) a family
        embedding = [averages.transpose(0, 1).flatten(1) for averages in pooled]
        yield "embedding", torch.cat(embedding, dim=1)[:, :, None, None]  # (N, sum of P d, 1, 1)
        mean, deviation = self.scales_.T[:, :, None]
        standardised = (self._by_grid(self._by_cell(pooled, own)) - mean) / deviation  # (G, N)
        scores = F.softplus(standardised.logsumexp(dim=0))  # (N,)
        yield "distances", scores[:, None, None, None]  # (N, 1, 1, 1)
        yield "image_scores", scores

    def pooled(self, images: Tensor) -> list[Tensor]:
        """For every family of Gaussians, what it describes: the averages (P, N, d) of its layers in its cells."""
        maps = self._backbone(images)
        found = []
        for grid, layers in self._families:
            averages = [cell_averages(maps[layer], self.grids[grid]).flatten(2).permute(2, 0, 1) for layer in layers]
            found.append(torch.cat(averages, dim=2))
        return found

    def _pooled_in_batches(self, images: Tensor) -> list[Tensor]:
        batches = track(images.split(self.batch_size), "pooled_gaussian: features")
        return [torch.cat(parts, dim=1) for parts in zip(*map(self.pooled, batches), strict=True)]

    @property
    def _families(self) -> list[tuple[int, list[int]]]:
        """Of every family of Gaussians, the number of its grid and the numbers of its layers."""
        alone = [[layer] for layer in range(len(self.layers))]
        together = [[self.layers.index(layer) for layer in self.cell_layers if layer in self.layers]]
        return [(grid, layers) for grid, side in enumerate(self.grids) for layers in (alone if side == 1 else together)]

    def _by_grid(self, by_cell: list[Tensor]) -> Tensor:
        """Distances (G, N) by every grid: that of the most anomalous cell."""
        levels = self.level_[:, :, None].split([len(distances) for distances in by_cell], dim=1)
        return torch.stack(
            [
                (factor * distances + summand).amax(dim=0)
                for distances, (factor, summand) in zip(by_cell, levels, strict=True)
            ]
        )

    def _by_cell(self, pooled: list[Tensor], own: Tensor | None) -> list[Tensor]:
        """For every grid, the distances (P, N) of all cells: the sums of its families' distances."""
        if own is not None:
            check_own(own, int(self.count_))
        shapes = [(averages.shape[0], averages.shape[2]) for averages in pooled]
        means = self.mean_.split([cells * channels for cells, channels in shapes])
        factors = self.factor_.split([cells * channels**2 for cells, channels in shapes])
        unchanged = self.unchanged_.split([cells for cells, _ in shapes])
        by_grid = [0.0] * len(self.grids)
        for (grid, _), averages, mean, factor, share in zip(
            self._families, pooled, means, factors, unchanged, strict=True
        ):
            cells, _, channels = averages.shape
            residual = averages - mean.unflatten(0, (cells, 1, channels))
            lower = factor.unflatten(0, (cells, channels, channels))
            whitened = torch.linalg.solve_triangular(lower, residual.mT, upper=False).mT  # (P, N, d)
            if own is not None:
                whitened = without_itself(whitened, int(self.count_), share[:, None, None])
            by_grid[grid] = by_grid[grid] + whitened.norm(dim=2)
        return by_grid

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)


def gaussians(averages: Tensor, shared: float) -> tuple[Tensor, Tensor, Tensor]:
    """Means (P, 1, d), Cholesky factors of covariances (P, d, d) and shares `unchanged_` (P,) of averages (P, n, d)."""
    from sklearn.covariance import ledoit_wolf  # here, because its import takes time and only `fit` needs it

    exact = averages.double().cpu()
    mean = exact.mean(dim=1, keepdim=True)
    residuals = exact - mean
    deviation = (residuals.square().mean(dim=(0, 1)) + RIDGE).sqrt()
    if len(residuals) == 1:  # the whole image, as in the paper
        deviation, shared = torch.ones_like(deviation), 0.0
    standardised = residuals / deviation
    together, _ = ledoit_wolf(standardised.flatten(0, 1).numpy(), assume_centered=True)
    alone, shrinkages = zip(*(ledoit_wolf(cell.numpy(), assume_centered=True) for cell in standardised), strict=True)
    mixed = (1 - shared) * torch.from_numpy(np.stack(alone)) + shared * torch.from_numpy(together)
    covariances = mixed * deviation * deviation[:, None]
    unchanged = [1 - (1 - shared) * (1 - shrinkage) for shrinkage in shrinkages]
    covariances.diagonal(dim1=1, dim2=2).add_(RIDGE)
    return mean, torch.linalg.cholesky(covariances), torch.tensor(unchanged)


def evened(distances: Tensor, weight: float) -> Tensor:
    """Factor and summand (2, P) that give distances (P, n) in all cells the same mean and standard deviation.

    With a `weight` below 1, the statistics of a cell are drawn to those of all cells; with 0, nothing changes.
    """
    means, variances = distances.mean(dim=1), distances.var(dim=1, correction=0)
    mean, variance = means.mean(), variances.mean() + RIDGE
    factor = (variance / (weight * variances + (1 - weight) * variance)).sqrt()
    return torch.stack([factor, mean - factor * (weight * means + (1 - weight) * mean)])


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
