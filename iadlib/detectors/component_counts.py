"""Component counts: an image as the composition of its parts, after Liu et al., "Component-aware anomaly detection
framework for adjustable and logical industrial visual inspection" (ComAD), arXiv:2305.08509, and the patch histograms
of Kim et al., "Few Shot Part Segmentation Reveals Compositional Logic for Industrial Anomaly Detection" (PSAD), AAAI
2024, and of Hsieh and Lai, "CSAD: Unsupervised Component Segmentation for Logical Anomaly Detection", BMVC 2024.

Patch features of a frozen backbone are grouped by k-means; the patches of one cluster form a component. An image is
described by some properties of each component: its area, the number of its connected regions, its mean colour, its
mean position and the mean distance of its patches to the cluster's centre. The score of an image is its Mahalanobis
distance to the descriptions of the training images.

Where we differ from the papers: ComAD segments the image by clustering the features of a transformer and compares areas
and colours of components; PSAD and CSAD train a segmentation network, PSAD with a few labelled images, and compare
histograms. Here nothing is trained beyond k-means, no label is used, and the papers' additional branch for structural
anomalies is left out: an ensemble may add it. Areas are square roots of shares and counts are square roots, so that
their variance depends less on their mean. Every property has a Gaussian of its own with Ledoit and Wolf's shrinkage,
whose distance is divided by the root mean square that training images have when each is compared with the others. The
squares of all properties and of several repetitions of k-means are averaged.

The whitening S^(-1/2) is symmetric, so that every whitened channel still belongs to one component, and the square of
the image score is the sum of the squares of the components' contributions. The map shows at every patch the
distance of the patch to the centre of its cluster and, where its component is larger than in the training images on
average, the component's contribution, both divided by what training images have. A component that is too small or
missing changes the image score; the map shows only the patches that lie in its place.

With `own`, a training image is compared with the Gaussians of the other images (see `without_itself`). The centres of
the clusters, to which it contributed a few of many patches, stay the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
import scipy  # its parts are imported when they are used
import torch
import torch.nn.functional as F
from torch import Tensor

from iadlib.detectors.base import LEAST_WITHOUT_ONE, Detector, check_own, without_itself
from iadlib.features import Backbone, patch_features, resolve_device
from iadlib.progress import track
from iadlib.stored import stored

PROPERTIES = {"area": 1, "count": 1, "colour": 3, "position": 2, "distance": 1}  # name -> numbers for each component


@dataclass(kw_only=True, eq=False)
class ComponentCounts(Detector):
    title: ClassVar = "Component counts"
    cuts: ClassVar = {"embedding": "features", "composition": "features", "deviation": "deviation"}
    whole: ClassVar = ("composition", "deviation")
    # of R repetitions with K components, P properties and D numbers: centres (R, K, C), root mean square distance of
    # patches to them (R, K), mean areas (R, K), means (R, D), symmetric whitening matrices (R, D, D) with a block for
    # each property, Ledoit and Wolf's shrinkages (R, P), the distances' scales (R, P), the components' contributions to
    # a training image's distance (R, K), number of training images ()
    learned: ClassVar = (
        *("centres_", "radii_", "areas_", "mean_", "whitening_"),
        *("shrinkage_", "scales_", "shares_", "count_"),
    )
    paths: ClassVar = ("checkpoint",)
    least_images: ClassVar = LEAST_WITHOUT_ONE

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int, ...] = (2, 3)  # of the backbone, the finest first
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    patch_size: int = 3  # side of the neighbourhood that is averaged, in patches
    components: int = 16  # clusters of k-means
    repetitions: int = 3  # of k-means, each from other starting points
    clustered_patches: int = 20000  # training patches that k-means is fitted to, at most, drawn at random
    properties: tuple[str, ...] = ("area", "distance")  # of a component: some of PROPERTIES
    regularisation: float = 1e-4  # added to the diagonal of every covariance

    def __post_init__(self):
        super().__post_init__()
        if unknown := [name for name in self.properties if name not in PROPERTIES]:
            raise ValueError(f"properties {unknown[0]!r}: some of {', '.join(PROPERTIES)}")
        if not self.properties or len(set(self.properties)) < len(self.properties):
            raise ValueError(f"properties {list(self.properties)}: one or more, each once")
        self._require_odd("patch_size")
        self._require_at_least(2, "components")
        self._require_at_least(1, "repetitions", "clustered_patches")
        self._require_positive("regularisation")  # else a covariance may be singular

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Group the patches and fit the Gaussians of the compositions; validation images are not used."""
        if len(train_images) < self.least_images:
            least = f"covariances without one of them need {self.least_images} or more"
            raise ValueError(f"{len(train_images)} training images: {least}")
        batches = train_images.split(self.batch_size)
        tracked = track(batches, "component counts: features")
        [embedding] = stored(([self.patches(batch)] for batch in tracked), len(train_images))  # (n, C, h, w)
        self.centres_ = self._cluster(embedding)  # (R, K, C)
        labels, distances = self._assign_all(embedding)  # (n, R, h, w) each
        by_repetition = zip(labels.flatten(2).unbind(1), distances.flatten(2).unbind(1), strict=True)  # saves memory
        areas, radii = zip(*(self._of_components(*each) for each in by_repetition), strict=True)
        self.areas_, self.radii_ = torch.stack(areas), torch.stack(radii)  # (R, K) each
        described = zip(batches, labels.split(self.batch_size), distances.split(self.batch_size), strict=True)
        composition = torch.cat([self._describe(*each) for each in described])  # (n, R, D)
        self.count_ = torch.tensor(len(train_images), device=composition.device)
        self.mean_ = composition.nanmean(dim=0).nan_to_num()
        self._fit_gaussians(self._filled(composition))
        return self

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        embedding = self.patches(images)  # (N, C, h, w)
        yield "embedding", embedding
        labels, distances = self._assign(embedding)  # (N, R, h, w)
        composition = self._filled(self._describe(images, labels, distances))  # (N, R, D)
        yield "composition", composition.flatten(1)[..., None, None]  # (N, R D, 1, 1)
        deviation = self._deviation(composition, own)  # (N, R, D)
        yield "deviation", deviation.flatten(1)[..., None, None]  # (N, R D, 1, 1)
        contribution = self._shares(deviation) / self.shares_ * (self._areas(labels) > self.areas_)  # (N, R, K)
        relative = distances / self._of_patches(self.radii_.expand(images.shape[0], -1, -1), labels)
        scores = torch.hypot(self._of_patches(contribution, labels), relative).mean(dim=1, keepdim=True)
        yield "scores", scores  # (N, 1, h, w)
        yield "image_scores", deviation.flatten(1).norm(dim=1)

    def patches(self, images: Tensor) -> Tensor:
        return patch_features(self._backbone(images), self.patch_size)  # (N, C, h, w)

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)

    @cached_property
    def _blocks(self) -> list[slice]:
        """Where the numbers of each property stand among the D of a repetition."""
        ends = np.cumsum([0] + [PROPERTIES[name] * self.components for name in self.properties])
        return [slice(int(first), int(last)) for first, last in pairwise(ends)]

    def _cluster(self, embedding: Tensor) -> Tensor:
        """Centres (R, K, C) of k-means, in one thread: the last bits of scikit-learn's depend on their number."""
        from sklearn.cluster import KMeans  # here, because its import takes time and only `fit` needs it
        from threadpoolctl import threadpool_limits

        vectors = embedding.permute(0, 2, 3, 1).flatten(0, 2)  # (n h w, C), no copy
        if len(vectors) < self.components:
            raise ValueError(f"components {self.components}: the training images have {len(vectors)} patches")
        generator = torch.Generator().manual_seed(self.seed)
        count = max(self.clustered_patches, self.components)
        centres = []
        for repetition in track(range(self.repetitions), "component counts: components"):
            drawn = vectors[torch.randperm(len(vectors), generator=generator)[:count]]
            with threadpool_limits(1):
                means = KMeans(self.components, random_state=self.seed + repetition).fit(drawn.numpy())
            centres.append(torch.from_numpy(means.cluster_centers_))
        return torch.stack(centres).to(resolve_device(self.device))

    def _of_components(self, labels: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        """The mean areas (K,), and the root mean square distances of patches (n, h w) to their centres (K,)."""
        every = torch.arange(self.components, device=labels.device)
        members = (labels[..., None] == every).to(distances.dtype)  # (n, h w, K)
        squares = torch.einsum("npk,np->k", members, distances.square())
        counts = torch.bincount(labels.flatten(), minlength=self.components)
        return counts / labels.numel(), (squares / counts.clamp(min=1)).sqrt().clamp(min=1e-6)

    def _assign_all(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """`_assign` for all training images, whose features may lie in a file, in batches."""
        device = self.centres_.device
        labels = torch.empty(len(embedding), self.repetitions, *embedding.shape[-2:], dtype=torch.long, device=device)
        distances = torch.empty(labels.shape, device=device)
        batches = (each.split(self.batch_size) for each in (embedding, labels, distances))
        for features, *parts in zip(*batches, strict=True):
            # Copies are aligned in memory as new tensors are: the last bits of a distance may depend on it.
            for part, found in zip(parts, self._assign(features.to(device, copy=True)), strict=True):
                part.copy_(found)
        return labels, distances

    def _assign(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """The component of every patch, and the distance to its centre, both (N, R, h, w)."""
        vectors = embedding.permute(0, 2, 3, 1).flatten(1, 2)  # (N, h w, C)
        products = torch.einsum("npc,rkc->nrpk", vectors, self.centres_)
        relative = self.centres_.square().sum(dim=2)[:, None] - 2 * products  # less the patch's own square
        least, labels = relative.min(dim=3)  # (N, R, h w)
        squares = least + vectors.square().sum(dim=2)[:, None]
        grid = embedding.shape[-2:]
        return labels.unflatten(2, grid), squares.clamp(min=0).sqrt().unflatten(2, grid)

    def _areas(self, labels: Tensor) -> Tensor:
        """The share (N, R, K) of an image's patches that belongs to each component."""
        return F.one_hot(labels.flatten(2), self.components).float().mean(dim=2)

    def _of_patches(self, values: Tensor, labels: Tensor) -> Tensor:
        """The values (N, R, K) of the components that patches (N, R, h, w) belong to."""
        return values.gather(2, labels.flatten(2)).view_as(labels)

    def _describe(self, images: Tensor, labels: Tensor, distances: Tensor) -> Tensor:
        """The properties (N, R, D) of all components; not a number where a component without a patch has none."""
        grid = labels.shape[-2:]
        members = F.one_hot(labels, self.components).movedim(4, 2).to(distances.dtype)  # (N, R, K, h, w)
        sizes = members.sum(dim=(3, 4))  # (N, R, K)
        colours = F.adaptive_avg_pool2d(images.to(distances.device), grid)  # (N, 3, h, w)
        rows = torch.linspace(0, 1, grid[0], device=colours.device).view(-1, 1).expand(grid)
        columns = torch.linspace(0, 1, grid[1], device=colours.device).expand(grid)
        described = []
        for name in self.properties:
            if name == "area":
                described.append((sizes / labels[0, 0].numel()).sqrt())
            elif name == "count":
                described.append(count_regions(members).sqrt())
            elif name == "distance":
                sums = torch.einsum("nrkhw,nrhw->nrk", members, distances)
                described.append(sums / sizes / self.radii_)
            else:
                places = torch.stack([rows, columns]).expand(images.shape[0], -1, -1, -1)
                values = colours if name == "colour" else places
                means = torch.einsum("nrkhw,nchw->nrkc", members, values) / sizes.unsqueeze(3)
                described.append(means.flatten(2))
        return torch.cat(described, dim=2)

    def _filled(self, composition: Tensor) -> Tensor:
        """The training mean in place of what a missing component does not have: its area and count tell."""
        return torch.where(composition.isnan(), self.mean_, composition)

    def _fit_gaussians(self, composition: Tensor) -> None:
        """The whitening matrices of compositions (n, R, D), and what training images have without themselves."""
        from sklearn.covariance import ledoit_wolf

        repetitions, dimension = self.mean_.shape
        self.whitening_ = torch.zeros(repetitions, dimension, dimension, device=composition.device)
        self.shrinkage_ = torch.zeros(repetitions, len(self.properties), device=composition.device)
        self.scales_ = torch.ones_like(self.shrinkage_)
        self.shares_ = torch.ones(repetitions, self.components, device=composition.device)
        samples = composition.double().cpu().numpy()
        for repetition in range(repetitions):
            for place, block in enumerate(self._blocks):
                covariance, shrinkage = ledoit_wolf(samples[:, repetition, block])
                covariance[np.diag_indices_from(covariance)] += self.regularisation
                values, vectors = np.linalg.eigh(covariance)
                whitening = torch.from_numpy(vectors / np.sqrt(values) @ vectors.T)
                self.whitening_[repetition, block, block] = whitening.to(composition)
                self.shrinkage_[repetition, place] = float(shrinkage)
        everyone = torch.arange(len(composition))
        deviation = self._deviation(composition, everyone)
        for place, block in enumerate(self._blocks):
            self.scales_[:, place] = deviation[..., block].square().sum(dim=2).mean(dim=0).sqrt().clamp(min=1e-6)
        self.scales_ *= self.scales_.numel() ** 0.5  # the squares of all blocks are averaged
        shares = self._shares(self._deviation(composition, everyone))
        self.shares_ = shares.square().mean(dim=0).sqrt().clamp(min=1e-6)

    def _deviation(self, composition: Tensor, own: Tensor | None) -> Tensor:
        """Whitened and scaled compositions (N, R, D)."""
        count = int(self.count_)
        if own is not None:
            check_own(own, count)
        residual = composition - self.mean_
        deviation = torch.einsum("nrd,rde->nre", residual, self.whitening_)
        parts = []
        for place, block in enumerate(self._blocks):
            part = deviation[..., block]
            if own is not None:
                part = without_itself(part, count, self.shrinkage_[:, place, None])
            parts.append(part / self.scales_[:, place, None])
        return torch.cat(parts, dim=2)

    def _shares(self, deviation: Tensor) -> Tensor:
        """The components' contributions (N, R, K) to the norm of deviations (N, R, D): their squares add up to its."""
        squares = torch.zeros(*deviation.shape[:2], self.components, device=deviation.device)
        for block in self._blocks:
            squares += deviation[..., block].square().unflatten(2, (self.components, -1)).sum(dim=3)
        return squares.sqrt()


def count_regions(members: Tensor) -> Tensor:
    """The number (N, R, K) of regions in masks (N, R, K, h, w), connected by sides or corners of their patches."""
    masks = members.flatten(0, 2).cpu().numpy() > 0
    within_a_mask = np.zeros((3, 3, 3), bool)
    within_a_mask[1] = True
    regions, count = scipy.ndimage.label(masks, within_a_mask)
    mask_of_region = np.zeros(count + 1, int)
    mask_of_region[regions] = np.arange(len(masks))[:, None, None]
    counts = np.bincount(mask_of_region[1:], minlength=len(masks))  # without the background, which is region 0
    return torch.from_numpy(counts).to(members).view(members.shape[:3])
