"""One Gaussian of the pooled features: Rippel, Mertens and Merhof, "Modeling the Distribution of Normal Data in
Pre-Trained Deep Features for Anomaly Detection", ICPR 2020, arXiv:2005.14140.

Every image is described by the averages, over all positions, of the feature maps of a frozen backbone. For each layer,
one Gaussian is fitted to the descriptions of the normal images, with the covariance of Ledoit and Wolf. The score of an
image is the sum over the layers of its Mahalanobis distances (not squared). Sugawara and Imamura, "PUAD: Frustratingly
Simple Method for Robust Anomaly Detection", ICIP 2024, arXiv:2402.15143, add such a score to that of a local detector.

Where we differ from the paper and its code: layers are the last ones of each stride, where the code takes all nine
stages of EfficientNet-B4 with its stem and head; images keep their aspect ratio.

The average over all positions does not say which position makes an image anomalous: the detector gives no map. With
`own`, a training image is compared with the Gaussians of the other images, see `without_itself`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor

from iadlib.detectors.base import Detector, check_own, without_itself
from iadlib.features import Backbone, resolve_device
from iadlib.progress import track

RIDGE = 1e-6  # variance added to every channel: identical training images have none


@dataclass(kw_only=True, eq=False)
class PooledGaussian(Detector):
    title: ClassVar = "Pooled Gaussian"
    cuts: ClassVar = {"embedding": "features", "deviation": "deviation"}
    # Means (d,), lower Cholesky factor of the block-diagonal covariance (d, d), channels (L,) and shrinkage (L,) of the
    # L layers, number of training images ().
    learned: ClassVar = ("mean_", "factor_", "channels_", "shrinkage_", "count_")
    paths: ClassVar = ("checkpoint",)
    least_images: ClassVar = 2
    localises: ClassVar = False

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int | str, ...] = (1, 2, 3, 4)  # of the backbone: numbers, or names of modules
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Fit one Gaussian for each layer; validation images are not used."""
        from sklearn.covariance import ledoit_wolf  # here, because its import takes time and only `fit` needs it

        count, device = len(train_images), resolve_device(self.device)
        if count < 2:
            raise ValueError("one training image: covariances need two or more")
        batches = track(train_images.split(self.batch_size), "pooled_gaussian: features")
        pooled = [torch.cat(parts) for parts in zip(*map(self.pooled, batches), strict=True)]  # (n, C) a layer
        covariances, shrinkage = zip(*(ledoit_wolf(each.double().cpu().numpy()) for each in pooled), strict=True)
        covariance = torch.block_diag(*map(torch.from_numpy, covariances))  # (d, d)
        covariance.diagonal().add_(RIDGE)
        self.mean_ = torch.cat(pooled, dim=1).mean(dim=0)  # (d,)
        self.factor_ = torch.linalg.cholesky(covariance).float().contiguous().to(device)
        self.channels_ = torch.tensor([each.shape[1] for each in pooled], device=device)
        self.shrinkage_ = torch.tensor(shrinkage, dtype=torch.float32, device=device)
        self.count_ = torch.tensor(count, device=device)
        return self

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        embedding = torch.cat(self.pooled(images), dim=1)  # (N, d)
        yield "embedding", embedding[:, :, None, None]  # (N, d, 1, 1)
        residual = (embedding - self.mean_).T  # (d, N)
        whitened = torch.linalg.solve_triangular(self.factor_, residual, upper=False).T  # (N, d)
        by_layer = list(whitened.split(self.channels_.tolist(), dim=1))
        if own is not None:
            count = int(self.count_)
            check_own(own, count)
            pairs = zip(by_layer, self.shrinkage_.tolist(), strict=True)
            by_layer = [without_itself(part, count, shrinkage) for part, shrinkage in pairs]
        yield "deviation", torch.cat(by_layer, dim=1)[:, :, None, None]  # (N, d, 1, 1)
        distances = torch.stack([each.norm(dim=1) for each in by_layer])  # (L, N), Mahalanobis distances
        yield "image_scores", distances.sum(dim=0)  # (N,)

    def pooled(self, images: Tensor) -> list[Tensor]:
        """The average of each layer's map over all positions: one (N, C) a layer."""
        return [features.mean(dim=(2, 3)) for features in self._backbone(images)]

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)
