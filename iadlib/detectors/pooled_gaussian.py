"""One Gaussian of the pooled features: Rippel, Mertens and Merhof, "Modeling the Distribution of Normal Data in
Pre-Trained Deep Features for Anomaly Detection", ICPR 2020, arXiv:2005.14140.

Every image is described by the averages, over all positions, of the feature maps of a frozen backbone. For each layer,
one Gaussian is fitted to the descriptions of the normal images, with the covariance of Ledoit and Wolf. The score of an
image is the sum over the layers of its Mahalanobis distances (not squared). Sugawara and Imamura, "PUAD: Frustratingly
Simple Method for Robust Anomaly Detection", ICIP 2024, arXiv:2402.15143, add such a score to that of a local detector.

Where we differ from the paper and its code: layers are the last ones of each stride, where the code takes all nine
stages of EfficientNet-B4 with its stem and head; images keep their aspect ratio; besides the whole image, every cell of
a grid has Gaussians of its own (`grids`), so that a part which is missing in its place weighs more than in the average
over the image. The distance by a grid is that of its most anomalous cell, divided by its mean over normal validation
images; distances by all grids are added. With `grids=(1,)` the score is that of the paper, up to this factor.

Averages over a cell are too coarse to mark a part: the detector gives no map. With `own`, a training
image is compared with the Gaussians of the other images, see `without_itself`.
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


@dataclass(kw_only=True, eq=False)
class PooledGaussian(Detector):
    title: ClassVar = "Pooled Gaussian"
    cuts: ClassVar = {"embedding": "features", "distances": "distance"}
    whole: ClassVar = ("embedding", "distances")
    # Of the P cells of all grids: means (P, 1, d), lower Cholesky factors of block-diagonal covariances (P, d, d) and
    # shrinkage (P, L) of the L layers. Channels (L,), number of training images (), scale of each grid's distance (G,).
    learned: ClassVar = ("mean_", "factor_", "channels_", "shrinkage_", "count_", "scale_")
    paths: ClassVar = ("checkpoint",)
    least_images: ClassVar = 2
    localises: ClassVar = False

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int | str, ...] = (1, 2, 3, 4)  # of the backbone: numbers, or names of modules
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    grids: tuple[int, ...] = (1, 3, 5)  # cells a side

    def __post_init__(self):
        super().__post_init__()
        if not self.grids or min(self.grids) < 1:
            raise ValueError(f"grids {list(self.grids)}: one or more numbers of cells a side, 1 or more")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Fit one Gaussian for each layer and cell; validation images give the scales.

        Without validation images the training images give the scales, each compared with the others.
        """
        from sklearn.covariance import ledoit_wolf  # here, because its import takes time and only `fit` needs it

        count, device = len(train_images), resolve_device(self.device)
        if count < 2:
            raise ValueError("one training image: covariances need two or more")
        batches = track(train_images.split(self.batch_size), "pooled_gaussian: features")
        pooled = [torch.cat(parts, dim=1) for parts in zip(*map(self.pooled, batches), strict=True)]  # (P, n, C) each
        factors, shrinkage = [], []
        for cells in zip(*pooled, strict=True):  # the layers of one cell
            covariances, weights = zip(*(ledoit_wolf(each.double().cpu().numpy()) for each in cells), strict=True)
            covariance = torch.block_diag(*map(torch.from_numpy, covariances))  # (d, d)
            covariance.diagonal().add_(RIDGE)
            factors.append(torch.linalg.cholesky(covariance).float())
            shrinkage.append(weights)
        self.mean_ = torch.cat(pooled, dim=2).mean(dim=1, keepdim=True)  # (P, 1, d)
        self.factor_ = torch.stack(factors).to(device)
        self.channels_ = torch.tensor([each.shape[2] for each in pooled], device=device)
        self.shrinkage_ = torch.tensor(shrinkage, dtype=torch.float32, device=device)
        self.count_ = torch.tensor(count, device=device)
        self.scale_ = torch.ones(len(self.grids), device=device)
        if validation_images is None:
            own = torch.arange(count) if count >= LEAST_WITHOUT_ONE else None
            distances = self._distances(torch.cat(pooled, dim=2), own)
        else:
            batches = validation_images.split(self.batch_size)
            embeddings = [torch.cat(self.pooled(batch), dim=2) for batch in batches]
            distances = self._distances(torch.cat(embeddings, dim=1), None)
        self.scale_ = self._by_grid(distances).mean(dim=1).clamp(min=RIDGE)
        return self

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        embedding = torch.cat(self.pooled(images), dim=2)  # (P, N, d)
        yield "embedding", as_channels(embedding)  # (N, P d, 1, 1)
        distances = self._by_grid(self._distances(embedding, own)).T  # (N, G), 1 for the average normal image
        yield "distances", distances[:, :, None, None].contiguous()  # (N, G, 1, 1)
        yield "image_scores", distances.sum(dim=1)  # (N,)

    def pooled(self, images: Tensor) -> list[Tensor]:
        """The averages of each layer's map in the cells of all grids: one (P, N, C) a layer."""
        maps = self._backbone(images)
        averages = [[F.adaptive_avg_pool2d(each, side).flatten(2) for side in self.grids] for each in maps]
        return [torch.cat(of_layer, dim=2).permute(2, 0, 1) for of_layer in averages]

    def _distances(self, embedding: Tensor, own: Tensor | None) -> Tensor:
        """Mahalanobis distances (P, N, L) of embeddings (P, N, d)."""
        whitened = torch.linalg.solve_triangular(self.factor_, (embedding - self.mean_).mT, upper=False).mT
        by_layer = list(whitened.split(self.channels_.tolist(), dim=2))  # L of (P, N, C)
        if own is not None:
            count = int(self.count_)
            check_own(own, count)
            pairs = zip(by_layer, self.shrinkage_.T[:, :, None, None], strict=True)
            by_layer = [without_itself(part, count, shrinkage) for part, shrinkage in pairs]
        return torch.stack([each.norm(dim=2) for each in by_layer], dim=2)

    def _by_grid(self, distances: Tensor) -> Tensor:
        """Scaled distances (G, N) by every grid from those (P, N, L) of its cells and layers."""
        cells = distances.sum(dim=2).split([side**2 for side in self.grids])
        return torch.stack([each.amax(dim=0) for each in cells]) / self.scale_[:, None]

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)


def as_channels(values: Tensor) -> Tensor:
    """Values (P, N, C) of cells as maps (N, P C, 1, 1) of the image as a whole."""
    return values.transpose(0, 1).flatten(1)[:, :, None, None]
