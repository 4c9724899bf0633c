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

from iadlib.detectors.base import Detector
from iadlib.features import Backbone, patch_features, resolve_device
from iadlib.progress import track

POOL = 4096  # candidates of the coreset's selection that are looked at together
CHUNK = 16384  # rows of one matrix product, to bound memory


@dataclass(kw_only=True, eq=False)
class PatchCore(Detector):
    """`projection_dimension` serves the selection of the coreset alone (None: none); distances use all channels."""

    title: ClassVar = "PatchCore"
    cuts: ClassVar = {"embedding": "features", "difference": "distance"}
    learned: ClassVar = ("memory_", "memory_image_")  # (M, C) and, ascending, the training image of each entry (M,)
    paths: ClassVar = ("checkpoint",)

    backbone: str = "tf_efficientnet_lite0"
    layers: tuple[int, ...] = (2, 3, 4)
    checkpoint: str | None = None
    patch_size: int = 3
    embedding_dimension: int | None = None
    coreset_fraction: float = 0.1
    projection_dimension: int | None = 128
    reweighting_neighbours: int = 0

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.coreset_fraction <= 1:
            raise ValueError(f"coreset_fraction {self.coreset_fraction}: a share, above 0 and at most 1")
        self._require_odd("patch_size")
        self._require_at_least(0, "reweighting_neighbours")
        self._require_at_least(1, "embedding_dimension", "projection_dimension")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Fill the memory bank; the validation images are not needed."""
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


def greedy_k_centre(points: Tensor, count: int, start: int = 0) -> Tensor:
    """Indices (count,) of the chosen rows of `points` (n, d), in order of choice; of equally far ones, the first.

    Algorithm 1 of the paper (farthest point first), exact and fast. The plain loop chooses the point that is farthest
    from all points chosen so far, and passes over all points after every choice: memory traffic bounds it. Distances
    to the chosen set only shrink. So a pool of the currently farthest points is enough for many choices in a row: as
    long as the pool's best is farther than `bound`, the largest distance outside the pool, no point outside can be
    the farthest. When it is not, everybody is brought up to date against all new centres in one matrix product, and a
    new pool is taken.
    """
    if not 1 <= count <= len(points):
        raise ValueError(f"{count} centres of {len(points)} points: 1 to {len(points)} can be chosen")
    squares = points.square().sum(1)  # (n,)
    distances = torch.full_like(squares, torch.inf)  # squared, to the nearest centre; -inf for a chosen one
    chosen, known = [start], 0
    while len(chosen) < count:
        _update(distances, points, squares, chosen[known:])
        known = len(chosen)
        chosen += _choose_from_pool(distances, points, squares, count - known)
    return torch.tensor(chosen)


def _update(distances: Tensor, points: Tensor, squares: Tensor, centres: list[int]) -> None:
    for first in range(0, len(points), CHUNK):
        rows = slice(first, first + CHUNK)
        relative = squares[centres] - 2 * (points[rows] @ points[centres].T)  # (rows, centres)
        torch.minimum(distances[rows], squares[rows] + relative.amin(1), out=distances[rows])
    distances[centres] = -torch.inf


def _choose_from_pool(distances: Tensor, points: Tensor, squares: Tensor, count: int) -> list[int]:
    """The next centres, one to `count`: as many as the farthest points alone can decide."""
    values, farthest = distances.topk(min(POOL + 1, len(points)))
    everybody = len(farthest) == len(points)
    bound = -torch.inf if everybody else float(values[-1])
    pool = (farthest if everybody else farthest[:POOL]).sort().values  # by index: ties fall as in the plain loop
    pool_points, pool_squares, pool_distances = points[pool], squares[pool], distances[pool]
    chosen = [int(distances.argmax())]
    pool_distances[pool == chosen[0]] = -torch.inf
    while len(chosen) < count:
        newest = chosen[-1]
        relative = squares[newest] - 2 * (pool_points @ points[newest])
        pool_distances = torch.minimum(pool_distances, pool_squares + relative)
        best = int(pool_distances.argmax())
        if not float(pool_distances[best]) > bound:
            break
        chosen.append(int(pool[best]))
        pool_distances[best] = -torch.inf
    return chosen
