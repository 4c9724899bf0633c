"""PatchCore: Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, arXiv:2106.08265.

Every patch of every normal image is described by locally aware features of a frozen backbone. A coreset of these
descriptions, chosen by greedy k-centre, is the memory bank. A patch is as anomalous as it is far from its nearest
neighbour in the bank; an image, as its most anomalous patch, re-weighted by how crowded the bank is there.

Where we differ from the paper and its code: see `iadlib.features` for the neighbourhood average. The greedy selection
is exact, where the code approximates the distances by ten random anchors; its first point and the projection are drawn
from `seed`. The image score is the largest patch score, as in the code; `reweighting_neighbours` = b turns equation 7
on. Its exponentials take raw distances, so what it does depends on the scale of the features: at the distances that
EfficientNet-Lite0 gives (tens), the weight is next to 1 and changes nothing. Images are resized, not cropped: an
anomaly may lie at the border.

Training images that ask for their own "difference" give their index as `own`: entries of the bank that stem from the
same image are then left out. Otherwise the difference would be zero wherever the coreset kept the patch itself, and
would say nothing about test time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import faiss
import numpy as np
import torch
from torch import Tensor

from iadlib.detectors.base import Detector, check_images
from iadlib.detectors.coreset import greedy_k_centre
from iadlib.features import Backbone, patch_features, resolve_device
from iadlib.progress import track


@dataclass(kw_only=True, eq=False)
class PatchCore(Detector):
    """`projection_dimension` serves the selection of the coreset alone (None: none); distances use all channels."""

    cuts: ClassVar = ("embedding", "difference")
    learned: ClassVar = ("memory_", "memory_image_")  # (M, C) and, ascending, the training image of each entry (M,)

    backbone: str = "tf_efficientnet_lite0"
    layers: tuple[int, ...] = (2, 3)
    checkpoint: str | None = None
    patch_size: int = 3
    embedding_dimension: int | None = None
    coreset_fraction: float = 0.1
    projection_dimension: int | None = 128
    reweighting_neighbours: int = 0

    def __post_init__(self):
        self.layers = tuple(self.layers)
        if not 0 < self.coreset_fraction <= 1:
            raise ValueError(f"coreset_fraction {self.coreset_fraction}: a share, above 0 and at most 1")
        if self.patch_size < 1 or self.patch_size % 2 == 0:
            raise ValueError(f"patch_size {self.patch_size}: an odd number of patches, 1 or more")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Fill the memory bank; the validation images are not needed."""
        check_images(train_images)
        batches = train_images.split(self.batch_size)
        parts = []
        for batch in track(batches, "patchcore: features"):
            parts.append(self.patches(batch).permute(0, 2, 3, 1).flatten(0, 2).cpu())  # (n h w, C)
        vectors = torch.cat(parts)
        image = torch.arange(len(train_images)).repeat_interleave(len(vectors) // len(train_images))
        chosen = self._coreset(vectors).sort().values
        self.memory_ = vectors[chosen].to(resolve_device(self.device))
        self.memory_image_ = image[chosen].to(resolve_device(self.device))
        return self

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        embedding = self.patches(images)  # (N, C, h, w)
        yield "embedding", embedding
        nearest = self._nearest(embedding, own)  # (N, h, w) entries of the bank
        difference = (embedding - self.memory_[nearest].permute(0, 3, 1, 2)).abs()  # (N, C, h, w)
        yield "difference", difference
        scores = difference.norm(dim=1, keepdim=True)  # (N, 1, h, w)
        yield "scores", scores
        yield "image_scores", self._image_scores(embedding, nearest, scores)

    def patches(self, images: Tensor) -> Tensor:
        return patch_features(self._backbone(images), self.patch_size, self.embedding_dimension)  # (N, C, h, w)

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)

    def _coreset(self, vectors: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        start = int(torch.randint(len(vectors), (1,), generator=generator))
        dimension = vectors.shape[1]
        if self.projection_dimension is not None and self.projection_dimension < dimension:
            projection = torch.randn(dimension, self.projection_dimension, generator=generator)
            vectors = vectors @ projection / self.projection_dimension**0.5
        count = max(1, int(self.coreset_fraction * len(vectors)))
        return greedy_k_centre(vectors.to(resolve_device(self.device)), count, start)

    def _nearest(self, embedding: Tensor, own: Tensor | None) -> Tensor:
        n, _, height, width = embedding.shape
        queries = embedding.permute(0, 2, 3, 1).flatten(1, 2)  # (N, h w, C)
        if own is None:
            return self._search(queries.flatten(0, 1), 1).view(n, height, width)
        found = [self._search(image, 1, int(index)) for image, index in zip(queries, own, strict=True)]
        return torch.stack(found).view(n, height, width)

    def _search(self, queries: Tensor, count: int, own: int | None = None) -> Tensor:
        """Entries (n, count) of the bank nearest to the queries (n, C), the nearest first."""
        first, behind = 0, 0
        if own is not None:
            bounds = torch.tensor([own, own + 1], device=self.memory_image_.device)
            first, behind = torch.searchsorted(self.memory_image_, bounds).tolist()
            if behind - first == len(self.memory_):
                raise ValueError("all entries of the memory bank stem from one image; leaving it out leaves nothing")
        count = min(count, len(self.memory_) - (behind - first))
        if queries.is_cuda:
            distances = torch.cdist(queries, self.memory_)
            distances[:, first:behind] = torch.inf
            return distances.topk(count, largest=False).indices
        others = faiss.IDSelectorNot(faiss.IDSelectorRange(first, behind))
        parameters = faiss.SearchParameters(sel=others) if behind > first else None
        return torch.from_numpy(self._index.search(queries.contiguous().numpy(), count, params=parameters)[1])

    @property
    def _index(self) -> faiss.IndexFlatL2:
        memory, index = getattr(self, "_indexed", (None, None))
        if memory is not self.memory_:  # fitted or loaded since
            index = faiss.IndexFlatL2(self.memory_.shape[1])
            index.add(np.ascontiguousarray(self.memory_.numpy()))
            self._indexed = (self.memory_, index)
        return index

    def _image_scores(self, embedding: Tensor, nearest: Tensor, scores: Tensor) -> Tensor:
        """Equations 6 and 7: s = (1 - exp|m_test - m*| / sum over N_b(m*) of exp|m_test - m|) |m_test - m*|."""
        patch_scores, patch = scores.flatten(1).max(dim=1)  # s*, (N,)
        if self.reweighting_neighbours < 2:
            return patch_scores
        rows = torch.arange(len(embedding), device=embedding.device)
        m_test = embedding.flatten(2)[rows, :, patch]  # (N, C)
        m_star = nearest.flatten(1)[rows, patch]  # (N,)
        neighbours = self._search(self.memory_[m_star], self.reweighting_neighbours)  # (N, b), m* among them
        distances = (m_test.unsqueeze(1) - self.memory_[neighbours]).norm(dim=2)  # (N, b)
        share = torch.exp(patch_scores - distances.logsumexp(dim=1))
        return (1 - share) * patch_scores
