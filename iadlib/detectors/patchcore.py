"""PatchCore: Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, arXiv:2106.08265.

Every patch of every normal image is described by features of a frozen backbone, averaged over a neighbourhood. A
coreset of these descriptions, chosen by the greedy k-centre algorithm, is the memory bank. The score of a patch is the
distance to its nearest neighbour in the bank; the score of an image is its largest patch score.

Where we differ from the paper and its code: see `iadlib.features` for the neighbourhood average. The greedy selection
is exact, where the code approximates distances with ten random anchors; its first point and the random projection
depend on `seed`. The `image_score` "patch" is the code's, the largest patch score, to which `reweighting_neighbours` =
b applies equation 7; the default is the mean of the map's highest values. The equation's exponentials take raw
distances, so its effect depends on the scale of the features: at the distances that EfficientNet-Lite0 gives (tens),
the weight is close to 1 and changes nothing. Images are resized, not cropped, because an anomaly may lie at the border.

`count_padding`, as in the code, tells a patch where it lies: features at an edge or in a corner are smaller, so that
they have neighbours in the bank from the same place alone, and distances between them are smaller too.

The selection needs the projected features of all training patches, and these alone are kept if the features themselves
take more than FEATURE_BYTES. Then the features of the chosen patches are computed a second time, from the same batches:
the bank is the same.

With `own`, the entries of the bank that come from the same training image are left out. Otherwise the difference would
be zero wherever the coreset contains the patch itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor

from iadlib.detectors.base import Detector
from iadlib.features import Backbone, patch_features, resolve_device
from iadlib.progress import track
from iadlib.stored import FEATURE_BYTES

POOL = 4096  # candidates of the coreset's selection that are compared with each new centre
BLOCK = 2**20  # distances computed at a time on a CPU: they fit into its cache
BLOCK_CUDA = 2**28


@dataclass(kw_only=True, eq=False)
class PatchCore(Detector):
    title: ClassVar = "PatchCore"
    cuts: ClassVar = {"embedding": "features", "difference": "distance"}
    learned: ClassVar = ("memory_", "memory_image_")  # (M, C) and, ascending, the training image of each entry (M,)
    paths: ClassVar = ("checkpoint",)
    image_score_choices: ClassVar = ("top", "map", "patch")

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int, ...] = (2, 3)  # of the backbone, the finest first
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    patch_size: int = 3  # side of the neighbourhood that is averaged, in patches
    count_padding: bool = True  # average over the whole neighbourhood, with zeros outside of the map
    embedding_dimension: int | None = None  # channels kept by pooling; None: all
    coreset_fraction: float = 0.05  # share of the training patches that are kept
    projection_dimension: int | None = 128  # of the random projection for the selection alone; None: no projection
    reweighting_neighbours: int = 0  # b of equation 7, for "patch"; 0: no re-weighting

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.coreset_fraction <= 1:
            raise ValueError(f"coreset_fraction {self.coreset_fraction}: above 0 and at most 1")
        self._require_odd("patch_size")
        self._require_at_least(0, "reweighting_neighbours")
        if self.reweighting_neighbours and self.image_score != "patch":
            raise ValueError('reweighting_neighbours: equation 7 is for image_score "patch"')
        self._require_at_least(1, "embedding_dimension", "projection_dimension")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Fill the memory bank; validation images are not used."""
        device, batches = resolve_device(self.device), train_images.split(self.batch_size)
        _, dimension, height, width = self.patches(train_images[:1]).shape
        total = len(train_images) * height * width
        generator = torch.Generator().manual_seed(self.seed)
        start = int(torch.randint(total, (1,), generator=generator))
        projection = self._projection(dimension, generator)
        vectors, compared = self._training_vectors(batches, total, dimension, projection)
        count = max(1, int(self.coreset_fraction * total))
        chosen = greedy_k_centre(compared.to(device), count, start).sort().values
        del compared
        memory = self._computed_again(batches, chosen, height * width) if vectors is None else vectors[chosen]
        self.memory_ = memory.to(device)
        self.memory_image_ = (chosen // (height * width)).to(device)
        return self

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        embedding = self.patches(images)  # (N, C, h, w)
        yield "embedding", embedding
        nearest = self._nearest(embedding, own)  # (N, h, w) entries of the bank
        difference = (embedding - self.memory_[nearest].permute(0, 3, 1, 2)).abs()  # (N, C, h, w)
        yield "difference", difference
        scores = difference.norm(dim=1, keepdim=True)  # (N, 1, h, w)
        yield "scores", scores
        if self.image_score == "patch":
            yield "image_scores", self._image_scores(embedding, nearest, scores)

    def patches(self, images: Tensor) -> Tensor:
        maps = self._backbone(images)
        return patch_features(maps, self.patch_size, self.embedding_dimension, self.count_padding)  # (N, C, h, w)

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)

    def _vectors(self, images: Tensor) -> Tensor:
        return self.patches(images).permute(0, 2, 3, 1).flatten(0, 2).cpu().contiguous()  # (N h w, C)

    def _projection(self, dimension: int, generator: torch.Generator) -> Tensor | None:
        """A random matrix (C, projection_dimension); None where vectors are compared as they are."""
        if self.projection_dimension is None or self.projection_dimension >= dimension:
            return None
        return torch.randn(dimension, self.projection_dimension, generator=generator)

    def _training_vectors(
        self, batches: Sequence[Tensor], total: int, dimension: int, projection: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        """Vectors (n h w, C) of all training patches, None if they are too large, and what the selection compares."""
        keep = projection is None or total * dimension * torch.float32.itemsize <= FEATURE_BYTES
        vectors = torch.empty(total, dimension) if keep else None
        compared = vectors if projection is None else torch.empty(total, projection.shape[1])
        first = 0
        for batch in track(batches, "patchcore: features"):
            part = self._vectors(batch)
            rows = slice(first, first + len(part))
            first = rows.stop
            if vectors is not None:
                vectors[rows] = part
            if projection is not None:
                compared[rows] = part @ projection / projection.shape[1] ** 0.5
        return vectors, compared

    def _computed_again(self, batches: Sequence[Tensor], chosen: Tensor, per_image: int) -> Tensor:
        """The vectors (M, C) of the patches `chosen`, ascending, without those of the others in memory."""
        parts, first = [], 0
        for batch in track(batches, "patchcore: features of the memory bank"):
            last = first + len(batch) * per_image
            rows = chosen[(chosen >= first) & (chosen < last)] - first
            if len(rows):
                parts.append(self._vectors(batch)[rows])
            first = last
        return torch.cat(parts)

    def _nearest(self, embedding: Tensor, own: Tensor | None) -> Tensor:
        """The nearest entry (N, h, w) of the bank for every patch."""
        n, _, height, width = embedding.shape
        queries = embedding.permute(0, 2, 3, 1).flatten(1, 2)  # (N, h w, C)
        if own is None:
            return nearest_neighbours(queries.flatten(0, 1), self.memory_).view(n, height, width)
        found = [
            nearest_neighbours(image, self.memory_, excluded=self._entries_of(int(index)))
            for image, index in zip(queries, own, strict=True)
        ]
        return torch.stack(found).view(n, height, width)

    def _entries_of(self, image: int) -> slice:
        """The entries of the bank that come from a training image."""
        bounds = torch.tensor([image, image + 1], device=self.memory_image_.device)
        first, last = torch.searchsorted(self.memory_image_, bounds).tolist()
        if last - first == len(self.memory_):
            raise ValueError("the memory bank comes from a single image, and nothing remains without it")
        return slice(first, last)

    def _image_scores(self, embedding: Tensor, nearest: Tensor, scores: Tensor) -> Tensor:
        """Equations 6 and 7: s = (1 - exp|m_test - m*| / sum over N_b(m*) of exp|m_test - m|) |m_test - m*|."""
        patch_scores, patch = scores.flatten(1).max(dim=1)  # s*, (N,)
        if self.reweighting_neighbours < 2:
            return patch_scores
        rows = torch.arange(embedding.shape[0], device=embedding.device)
        m_test = embedding.flatten(2)[rows, :, patch]  # (N, C)
        m_star = nearest.flatten(1)[rows, patch]  # (N,)
        count = min(self.reweighting_neighbours, len(self.memory_))
        neighbours = nearest_neighbours(self.memory_[m_star], self.memory_, count)  # (N, b), including m*
        distances = (m_test.unsqueeze(1) - self.memory_[neighbours]).norm(dim=2)  # (N, b)
        share = torch.exp(patch_scores - distances.logsumexp(dim=1))
        return (1 - share) * patch_scores


def nearest_neighbours(queries: Tensor, bank: Tensor, count: int = 1, excluded: slice = slice(0)) -> Tensor:
    """Rows (n, count) of `bank` (M, C) nearest to `queries` (n, C), the nearest first, without the rows `excluded`.

    Exact search by matrix products, a block of queries at a time.
    """
    squares = bank.square().sum(dim=1)
    squares[excluded] = torch.inf
    step = max(1, (BLOCK_CUDA if bank.is_cuda else BLOCK) // len(bank))
    parts = []
    for block in queries.split(step):
        distances = torch.addmm(squares, block, bank.T, alpha=-2)  # squared, less the query's own square
        nearest = distances.min(dim=1, keepdim=True) if count == 1 else distances.topk(count, largest=False)
        parts.append(nearest.indices)
    return torch.cat(parts)


def greedy_k_centre(points: Tensor, count: int, start: int = 0) -> Tensor:
    """Indices (count,) of the chosen rows of `points` (n, d), in order of choice; of equally far ones, the first.

    Algorithm 1 of the paper (farthest point first), exact. The plain algorithm updates the distances of all points
    after every choice and is bound by memory traffic. Distances to the chosen set only decrease. So a pool of the
    currently farthest points decides many choices in a row: as long as the farthest point of the pool is farther than
    `bound`, the largest distance outside the pool, no point outside can be farther. Otherwise the distances of all
    points to all new centres are updated by matrix products, and a new pool is taken.
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
    centre_squares, transposed = squares[centres], points[centres].T
    step = max(1, (BLOCK_CUDA if points.is_cuda else BLOCK) // len(centres))
    for first in range(0, len(points), step):
        rows = slice(first, first + step)
        relative = torch.addmm(centre_squares, points[rows], transposed, alpha=-2).amin(dim=1)
        torch.minimum(distances[rows], squares[rows] + relative, out=distances[rows])
    distances[centres] = -torch.inf


def _choose_from_pool(distances: Tensor, points: Tensor, squares: Tensor, count: int) -> list[int]:
    """The next centres, one to `count`: as many as the pool of the farthest points can decide."""
    values, farthest = distances.topk(min(POOL + 1, len(points)))
    all_points = len(farthest) == len(points)
    bound = -torch.inf if all_points else float(values[-1])
    pool = (farthest if all_points else farthest[:POOL]).sort().values  # by index: ties as in the plain algorithm
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
