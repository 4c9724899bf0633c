"""Join the feature maps of several members: PCA, one grid, concatenation, in either order.

Heller et al., "Multisource neural network feature map fusion", 2023, define two blocks. The *individual transformation*
reduces each member by its own PCA, resizes to the largest grid among the members and concatenates. The *global
transformation* resizes and concatenates first, and reduces all channels by one PCA. Both take lists of maps, one
(N, C, h, w) a member, and return one (N, C', h', w').

The PCA is exact: its covariance is summed batch by batch in double precision, so that the features of a whole data set
need not fit in memory. Eigenvectors have the sign that makes their largest entry positive.

Additions to the paper: `equalise` brings features to one scale before everything else, so that a member with large
numbers does not dominate a PCA, a distance or a learning rate. It divides every member by the root of its total
variance ("members"), or every channel by its standard deviation ("channels"). And the number of kept components may be
given as a share of the variance.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

Maps = Sequence[Tensor]  # one (N, C, h, w) a member
Stream = Callable[[], Iterable[Maps]]  # each call yields the maps of all training images, batch by batch
Kept = str | float | int | tuple[int, ...]
EQUALISED = ("none", "members", "channels")


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """`mean` (C,), `axes` (C, C) in rows by descending variance, and their `variances` (C,); all float32."""

    mean: Tensor
    axes: Tensor
    variances: Tensor

    def project(self, maps: Tensor, count: int) -> Tensor:
        """Coordinates (N, count, h, w) of maps (N, C, h, w) along the first axes."""
        centred = maps - self.mean.view(1, -1, 1, 1)
        return torch.einsum("nchw,kc->nkhw", centred, self.axes[:count])

    def cumulative(self) -> Tensor:
        """The share (C,) of the variance that the first 1, 2, ... axes explain."""
        return self.variances.cumsum(0) / self.variances.sum()

    def count_for(self, share: float) -> int:
        """How many axes explain at least this share of the variance."""
        return int(torch.searchsorted(self.cumulative(), share * (1 - 1e-6))) + 1


class Covariance:
    """The covariance of the vectors at all places of maps (N, C, h, w), summed batch by batch."""

    def __init__(self):
        self.count, self.shift = 0, None

    def add(self, maps: Tensor) -> None:
        vectors = maps.permute(0, 2, 3, 1).flatten(0, 2).double()  # (n, C)
        if self.shift is None:
            self.shift = vectors.mean(dim=0)  # near the mean, so that the difference of large numbers stays exact
            self.total = torch.zeros_like(self.shift)
            self.products = torch.zeros(len(self.shift), len(self.shift), dtype=torch.float64, device=vectors.device)
        vectors = vectors - self.shift
        self.count += len(vectors)
        self.total += vectors.sum(dim=0)
        self.products += vectors.T @ vectors

    def to(self, device: torch.device) -> Self:
        """The same sums on another device."""
        moved = type(self)()
        moved.count = self.count
        moved.shift, moved.total, moved.products = (
            tensor.to(device) for tensor in (self.shift, self.total, self.products)
        )
        return moved

    def matrix(self) -> Tensor:
        """(C, C), in double precision."""
        if self.count < 2:
            raise ValueError(f"a PCA needs two vectors or more, not {self.count}")
        return (self.products - torch.outer(self.total, self.total) / self.count) / (self.count - 1)

    def scale(self, equalise: str) -> Tensor:
        """The divisors (C,) of the channels; 1 for a channel without variance."""
        variances = self.matrix().diagonal().clamp(min=0)
        if equalise == "none":
            return torch.ones_like(variances).float()
        if equalise == "members":
            variances = variances.sum().expand_as(variances)
        spread = variances.sqrt().float()
        return torch.where(spread > 0, spread, 1.0)

    def components(self, scale: Tensor | None = None) -> PrincipalComponents:
        """The PCA of the vectors, divided by `scale` (C,) if it is given."""
        scale = torch.ones_like(self.shift) if scale is None else scale.double()
        variances, axes = torch.linalg.eigh(self.matrix() / torch.outer(scale, scale))
        variances, axes = variances.flip(0).clamp(min=0), axes.flip(1).T
        largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
        axes = axes * largest.sign()
        mean = (self.shift + self.total / self.count) / scale
        return PrincipalComponents(mean.float(), axes.float(), variances.float())


def covariances(stream: Iterable[Maps]) -> list[Covariance]:
    """The covariance of each member, in one pass."""
    sums: list[Covariance] = []
    for maps in stream:
        sums = sums or [Covariance() for _ in maps]
        for each, covariance in zip(maps, sums, strict=True):
            covariance.add(each)
    if not sums:
        raise ValueError("a PCA needs two vectors or more, not 0")
    return sums


def resized(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps (N, C, h, w) on another grid, bilinear."""
    return maps if maps.shape[-2:] == grid else F.interpolate(maps, size=grid, mode="bilinear", align_corners=False)


def largest_grid(maps: Maps) -> tuple[int, int]:
    """The (height, width) with the most places among the maps."""
    return max((tuple(each.shape[-2:]) for each in maps), key=lambda grid: grid[0] * grid[1])


def kept_by_rule(channels: Sequence[int]) -> list[int]:
    """The thesis's rule: the first member's channel count, divided evenly; a remainder goes to the first members.

    No member keeps more components than it has channels.

    >>> kept_by_rule([100, 40, 64])
    [34, 33, 33]
    """
    share, rest = divmod(channels[0], len(channels))
    return [min(own, share + (index < rest)) for index, own in enumerate(channels)]


@dataclass(kw_only=True, eq=False)
class Transform(ABC):
    """The hyperparameters and the learned state that both transformations share."""

    kept: Kept = "thesis"
    equalise: str = "none"

    def __post_init__(self):
        if self.equalise not in EQUALISED:
            raise ValueError(f"equalise {self.equalise!r}: one of {', '.join(EQUALISED)}")

    @abstractmethod
    def fit(self, stream: Stream, sums: Sequence[Covariance] | None = None) -> Self:
        """Fit to all training images; `sums` are the members' covariances if they are known already."""

    @abstractmethod
    def __call__(self, maps: Maps) -> Tensor:
        """The joint maps of one batch."""

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """The learned state, as tensors by name."""
        state = {"counts": torch.tensor(self.counts_)}
        state |= {f"scale.{index}": scale for index, scale in enumerate(self.scales_)}
        for index, components in enumerate(self.components_):
            state |= {f"{index}.{name}": tensor for name, tensor in vars(components).items()}
        return {prefix + key: tensor for key, tensor in state.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the state that `state_dict` returned."""
        self.counts_ = state["counts"].tolist()
        self.scales_ = [state[f"scale.{index}"] for index in range(sum(key.startswith("scale.") for key in state))]
        self.components_ = [
            PrincipalComponents(*(state[f"{index}.{field.name}"] for field in fields(PrincipalComponents)))
            for index in range(len(self.counts_))
        ]


@dataclass(kw_only=True, eq=False)
class IndividualTransform(Transform):
    """A PCA of each member, then the largest grid, then concatenation.

    `kept` is the number of components of each member: "thesis" for the thesis's rule (`kept_by_rule`), a float for a
    share of each member's variance, an int for the same number of each, or a number for each.
    """

    def fit(self, stream: Stream, sums: Sequence[Covariance] | None = None) -> Self:
        sums = covariances(stream()) if sums is None else sums
        self.scales_ = [each.scale(self.equalise) for each in sums]
        self.components_ = [each.components(scale) for each, scale in zip(sums, self.scales_, strict=True)]
        self.counts_ = counts_of(self.kept, self.components_)
        return self

    def __call__(self, maps: Maps) -> Tensor:
        grid = largest_grid(maps)
        parts = zip(maps, self.components_, self.counts_, self.scales_, strict=True)
        return torch.cat([resized(c.project(_divided(m, scale), count), grid) for m, c, count, scale in parts], dim=1)


@dataclass(kw_only=True, eq=False)
class GlobalTransform(Transform):
    """The largest grid, then concatenation, then one PCA of all channels.

    `kept` is "thesis" for the first member's channel count, a float for a share of the variance, or a number.
    """

    def fit(self, stream: Stream, sums: Sequence[Covariance] | None = None) -> Self:
        first = next(iter(stream()))
        self.scales_ = [torch.ones(each.shape[1], device=each.device) for each in first]
        if self.equalise != "none":
            self.scales_ = [each.scale(self.equalise) for each in sums or covariances(stream())]
        self.components_ = [each.components() for each in covariances([self._joined(maps)] for maps in stream())]
        kept = first[0].shape[1] if self.kept == "thesis" else self.kept
        self.counts_ = counts_of(kept, self.components_)
        return self

    def __call__(self, maps: Maps) -> Tensor:
        return self.components_[0].project(self._joined(maps), self.counts_[0])

    def _joined(self, maps: Maps) -> Tensor:
        grid = largest_grid(maps)
        parts = zip(maps, self.scales_, strict=True)
        return torch.cat([resized(_divided(each, scale), grid) for each, scale in parts], dim=1)


def counts_of(kept: Kept, components: Sequence[PrincipalComponents]) -> list[int]:
    """The number of components of each PCA that `kept` asks for, at most all of them."""
    channels = [len(each.mean) for each in components]
    if kept == "thesis":
        return kept_by_rule(channels)
    if isinstance(kept, float):
        return [each.count_for(kept) for each in components]
    given = [kept] * len(channels) if isinstance(kept, int) else list(kept)
    if len(given) != len(channels):
        raise ValueError(f"kept {given}: one number of components for each of the {len(channels)} PCAs")
    return [min(own, count) for own, count in zip(channels, given, strict=True)]


def _divided(maps: Tensor, scale: Tensor) -> Tensor:
    return maps / scale.view(1, -1, 1, 1)
