"""SINBAD: Cohen, Tzachor and Hoshen, "Set Features for Anomaly Detection", TMLR 2024, arXiv:2311.14773 (first version
arXiv:2302.12245).

An image is a set of patches, each with the features of a layer of a frozen backbone. The set is described by cumulative
histograms of random projections of these features: they depend on how many patches are of a kind and not on where the
patches lie. The score is the distance to the nearest training image after whitening. Layers and crops of the image have
sets of their own; their scores are averaged, each divided by its mean over normal validation images.

Where we differ from the paper and its code: besides the histograms of every layer, those of all layers together are
whitened, so that correlations between layers count. Their distance is half of the layers' score (`joint` False: each
layer alone, as published). By default, crops are windows of the feature maps of the whole image, which
needs one pass of the backbone; with `crop_side`, every crop of the image is resized and passes it alone, as published.
All crops of a layer share projections and thresholds. `repeats` draws further projections for all sets, where the code
does so for the raw pixels alone, and scores are averaged, where the code takes the median of those of the pixels.

A histogram that counts too few patches of a kind does not say where one is missing, and a crop is too coarse to mark a
part: the detector gives no map. With `own`, a training image is compared with the other images, and the whitening is
that of the other images: see `without_own`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from iadlib.detectors.base import LEAST_WITHOUT_ONE, Detector, check_own
from iadlib.features import Backbone, resolve_device
from iadlib.progress import track

STRIDE = 0.25  # between neighbouring crops, relative to the side of the image
ENDS = (0.01, 0.99)  # quantiles of the projected patches, between which the thresholds lie
IMAGES = 32  # training images whose patches give these quantiles
PATCHES = 10_000  # of them, at most, for each set
PIXEL_GRID = 56  # values a side of the set of pixels
LEAST = 1e-6  # variance and distance are never smaller: identical training images have neither


@dataclass(kw_only=True, eq=False)
class SetFeatures(Detector):
    title: ClassVar = "SINBAD"
    cuts: ClassVar = {"distances": "distance"}
    whole: ClassVar = ("distances",)
    # Projections of all S sets, one set below the other (channels, r); thresholds (S, r, K). A space is a set, a repeat
    # and a crop, or with `joint` all layers, a repeat and a crop. For the D spaces of single sets: means (D, 1, d) and
    # whitening directions (D, d, k), and below these the directions of all layers together, one layer after the other.
    # For all E spaces: variances along the directions (E, 1, k) and elsewhere (E, 1), the n training images (E, n, k),
    # the scale of distances (E, 1). k is n - 1, or the number of values in the longest histogram if that is smaller.
    learned: ClassVar = (
        "projection_",
        "threshold_",
        "mean_",
        "direction_",
        "variance_",
        "rest_",
        "training_",
        "scale_",
    )
    paths: ClassVar = ("checkpoint",)
    least_images: ClassVar = LEAST_WITHOUT_ONE
    localises: ClassVar = False

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int, ...] = (1, 2, 3, 4)  # of the backbone; each is a set of its own
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    projections: int = 200  # directions in one histogram
    thresholds: int = 5  # of the cumulative histogram along each direction
    crops: tuple[float, ...] = (1.0,)  # sides of the crops, relative to the image's
    crop_side: int | None = None  # pixels that every crop is resized to; None: crops are windows of the maps
    pixel_weight: float = 0.0  # of the set of the image's own pixels, relative to that of all layers; 0: no such set
    shrinkage: float = 0.1  # share of the mean variance in the covariance that whitens
    joint: bool = True  # also whiten the histograms of all layers together, for half of the layers' score
    neighbours: int = 1  # the distance is the mean over so many nearest training images; 0: the distance to the mean
    repeats: int = 1  # draws of the projections

    def __post_init__(self):
        super().__post_init__()
        self._require_at_least(1, "projections", "thresholds", "repeats", "crop_side")
        self._require_at_least(0, "neighbours", "pixel_weight")
        self._require_positive("shrinkage")  # else there is no distance out of the training images' span
        self._require_share("shrinkage")
        if not self.crops or not all(0 < side <= 1 for side in self.crops):
            raise ValueError(f"crops {list(self.crops)}: one or more sides, above 0 and at most 1")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Draw projections, whiten the histograms of the training images; validation images give the scales.

        Without validation images the training images give the scales, each compared with the others.
        """
        if len(train_images) < self.least_images:
            raise ValueError(f"{len(train_images)} training images: {self.least_images} or more are needed")
        self._draw(train_images)
        batches = track(train_images.split(self.batch_size), "set_features: histograms")
        histograms = torch.cat([self.histograms(batch) for batch in batches], dim=1)  # (D, n, d)
        self._whiten(histograms)
        self.scale_ = torch.ones_like(self.rest_)
        if validation_images is None:
            distances = self.distances(histograms, torch.arange(len(train_images)))
        else:
            given = validation_images.split(self.batch_size)
            distances = torch.cat([self.distances(self.histograms(batch)) for batch in given], dim=1)
        self.scale_ = distances.mean(dim=1, keepdim=True).clamp(min=LEAST)
        return self

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        distances = self.distances(self.histograms(images), own).T  # (N, E), 1 for the average normal image
        yield "distances", distances[:, :, None, None].contiguous()  # (N, E, 1, 1)
        by_set = distances.unflatten(1, (len(self.threshold_) + self._joined, -1)).mean(dim=2).T
        counts = [len(self.layers), len(self.threshold_) - len(self.layers), int(self._joined)]
        layers, pixels, together = by_set.split(counts)  # (sets, N) each
        scores = layers.mean(dim=0)
        if self._joined:
            scores = (scores + together[0]) / 2
        yield "image_scores", scores + self.pixel_weight * pixels.sum(dim=0)  # (N,)

    def histograms(self, images: Tensor) -> Tensor:
        """Cumulative histograms (D, N, d): the share of the patches below every threshold, in every space."""
        by_set: list[list[Tensor]] = [[] for _ in self.threshold_]
        for crop in self.cropped(images):
            maps = self.sets(crop)
            projections = self.projection_.split([each.shape[1] for each in maps])
            for found, features, directions, thresholds in zip(by_set, maps, projections, self.threshold_, strict=True):
                projected = torch.einsum("nchw,cr->nrhw", features, directions)
                sides, shares = (1.0,) if self.crop_side else self.crops, []
                for limits in thresholds.T:  # one threshold at a time, to save memory
                    below = (projected < limits[:, None, None]).float()  # (N, r, h, w)
                    shares.append(torch.cat([averages(below, side) for side in sides], dim=2))  # (N, r, crops)
                shares = torch.stack(shares, dim=2).flatten(1, 2)  # (N, r K, crops)
                found.append(shares.unflatten(1, (self.repeats, -1)).permute(1, 3, 0, 2))  # (repeats, crops, N, d)
        return torch.cat([torch.cat(found, dim=1).flatten(0, 1) for found in by_set])

    def cropped(self, images: Tensor) -> list[Tensor]:
        """The images, or with `crop_side` all of their crops (N, 3, crop_side, crop_side)."""
        if self.crop_side is None:
            return [images]
        found = []
        for side in self.crops:
            rows, columns = (windows(length, side) for length in images.shape[-2:])
            found += [images[..., down, right] for down in rows for right in columns]
        return [F.interpolate(each, size=(self.crop_side,) * 2, mode="bilinear", antialias=True) for each in found]

    def sets(self, images: Tensor) -> list[Tensor]:
        """The maps (N, C, h, w) of all sets: those of the layers, and the pixels on a coarse grid."""
        maps = list(self._backbone(images))
        if self.pixel_weight > 0:
            grid = [min(PIXEL_GRID, side) for side in images.shape[-2:]]
            maps.append(F.adaptive_avg_pool2d(images.to(maps[0].device), grid))
        return maps

    def distances(self, histograms: Tensor, own: Tensor | None = None) -> Tensor:
        """Scaled distances (E, N) of histograms (D, N, d) to the nearest training images, in all spaces."""
        residual = histograms - self.mean_
        alone, together = self.direction_.split([len(residual), len(self.direction_) - len(residual)])
        squares, whitened = residual.square().sum(dim=2), residual @ alone  # (D, N) and (D, N, k)
        if self._joined:
            parts = residual[: len(together)] @ together  # of all layers, which come first
            squares = torch.cat([squares, self._over_layers(squares[: len(together)])])  # (E, N)
            whitened = torch.cat([whitened, self._over_layers(parts)])  # (E, N, k)
        inside = (whitened.square() * self.variance_).sum(dim=2)  # of the residual, in the training images' span
        outside = (squares - inside).clamp(min=0) / self.rest_  # (E, N)
        to_mean, to_training = without_own(whitened, self.training_, self.shrinkage, own)
        if self.neighbours == 0:
            return (to_mean + outside).clamp(min=0).sqrt() / self.scale_
        count = min(self.neighbours, to_training.shape[2] - (own is not None))
        nearest = to_training.topk(count, dim=2, largest=False).values  # (E, N, count), squared
        return (nearest.clamp(min=0) + outside[:, :, None]).sqrt().mean(dim=2) / self.scale_

    def _draw(self, images: Tensor) -> None:
        """Projections, and thresholds from the patches of some training images."""
        generator = torch.Generator().manual_seed(self.seed)
        device = resolve_device(self.device)
        chosen = images[torch.randperm(len(images), generator=generator)[:IMAGES]]
        by_batch = [self.sets(crop) for batch in chosen.split(self.batch_size) for crop in self.cropped(batch)]
        projections, thresholds = [], []
        share = torch.arange(1, self.thresholds + 1) / (self.thresholds + 1)
        for parts in zip(*by_batch, strict=True):
            patches = torch.cat([part.permute(0, 2, 3, 1).flatten(0, 2).cpu() for part in parts])  # (patches, C)
            patches = patches[torch.randperm(len(patches), generator=generator)[:PATCHES]]
            projections.append(torch.randn(patches.shape[1], self.repeats * self.projections, generator=generator))
            ordered = (patches @ projections[-1]).sort(dim=0).values  # (patches, r)
            low, high = (ordered[round(end * (len(ordered) - 1))] for end in ENDS)
            thresholds.append(low[:, None] + (high - low)[:, None] * share)  # (r, K)
        self.projection_, self.threshold_ = torch.cat(projections).to(device), torch.stack(thresholds).to(device)

    @property
    def _joined(self) -> bool:
        return self.joint and len(self.layers) > 1

    def _over_layers(self, values: Tensor) -> Tensor:
        """The sums over the layers, for every repeat and crop."""
        return values.unflatten(0, (len(self.layers), -1)).sum(dim=0)

    def _whiten(self, histograms: Tensor) -> None:
        """The mean and the shrunk covariance of the training images in every space, in their span and out of it."""
        exact = histograms.double()  # (D, n, d)
        mean = exact.mean(dim=1, keepdim=True)
        residuals = [exact - mean]
        if self._joined:
            by_layer = residuals[0].unflatten(0, (len(self.threshold_), -1))[: len(self.layers)]  # (L, D / S, n, d)
            residuals.append(by_layer.permute(1, 2, 0, 3).flatten(2))  # (D / S, n, L d)
        kept = min(exact.shape[1] - 1, residuals[-1].shape[2])  # residuals sum to zero, so that they span no more
        found = [whitening(each, self.shrinkage, kept) for each in residuals]
        directions, variances, rests = zip(*found, strict=True)
        training = [residual @ along for residual, along in zip(residuals, directions, strict=True)]
        by_layer = [each.unflatten(1, (-1, exact.shape[2])).transpose(0, 1).flatten(0, 1) for each in directions]
        self.mean_ = mean.float()
        self.direction_, self.variance_, self.rest_, self.training_ = (
            torch.cat(parts).float() for parts in (by_layer, variances, rests, training)
        )

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)


def whitening(residuals: Tensor, shrinkage: float, kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """Directions (D, d, kept) in the span of residuals (D, n, d), divided by the standard deviation along them.

    With the shrunk variances along the directions (D, 1, kept), and the variance elsewhere (D, 1). If there are fewer
    than `kept` directions, the others are 0.
    """
    _, singular, directions = torch.linalg.svd(residuals, full_matrices=False)
    known = min(kept, residuals.shape[2])
    variances = singular[:, None, :known].square() / residuals.shape[1]
    rest = shrinkage * variances.sum(dim=2) / residuals.shape[2] + LEAST
    variances = (1 - shrinkage) * variances + rest[:, :, None]
    directions = directions[:, :known].mT / variances.sqrt()
    return F.pad(directions, (0, kept - known)), F.pad(variances, (0, kept - known)), rest


def windows(length: int, side: float) -> list[slice]:
    """The crops of that relative side along `length` pixels or patches, a quarter of the length apart.

    Their number depends on `side` alone, so that maps of any size have the same crops.
    """
    size, count = max(1, round(side * length)), math.floor((1 - side) / STRIDE + 1e-9) + 1
    starts = [min(round(STRIDE * length * number), length - size) for number in range(count)]
    return [slice(start, start + size) for start in starts]


def averages(maps: Tensor, side: float) -> Tensor:
    """The averages (N, C, crops) of maps (N, C, h, w) in all crops of that relative side, row by row."""
    rows, columns = (windows(length, side) for length in maps.shape[-2:])
    return torch.stack([maps[..., down, right].mean(dim=(2, 3)) for down in rows for right in columns], dim=2)


def without_own(
    whitened: Tensor, training: Tensor, shrinkage: float, own: Sequence[int] | Tensor | None
) -> tuple[Tensor, Tensor]:
    """Squared distances of whitened images (D, N, k) to the mean (D, N) and to the training images (D, N, n).

    With `own` (N,), image number own[i] of the training images is compared with the others: it is no neighbour of
    itself, and mean and covariance are those of the others. Without an image of the whitened position u the covariance
    becomes n / (n - 1) (I - c u u^T), c = (1 - shrinkage) / (n - 1), where the shrinkage's variance grows alike; so w^T
    w becomes (w^T w + c (w^T u)^2 / (1 - c u^T u)) (n - 1) / n. The distance u to the mean becomes u n / (n - 1).
    """
    to_mean = whitened.square().sum(dim=2)
    products = whitened @ training.mT  # (D, N, n)
    to_training = to_mean[:, :, None] - 2 * products + training.square().sum(dim=2)[:, None]
    if own is None:
        return to_mean, to_training
    count, own = training.shape[1], torch.as_tensor(own, device=training.device)
    check_own(own, count)
    c = (1 - shrinkage) / (count - 1)
    remaining = (1 - c * to_mean).clamp(min=1e-6)  # above 0, but for rounding
    along = to_mean[:, :, None] - products  # of the difference to each training image, with u
    to_training = to_training + c * along.square() / remaining[:, :, None]
    to_training[:, torch.arange(len(own)), own] = torch.inf
    return to_mean / remaining * (count / (count - 1)), to_training * ((count - 1) / count)
