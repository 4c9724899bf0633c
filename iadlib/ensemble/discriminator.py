"""The ensemble's discriminator: SimpleNet's (Liu et al., CVPR 2023, arXiv:2303.15140) on joint feature maps.

Two layers learn to give features of normal images at least the margin, and the same features with noise, the
artificial anomalies, at most minus the margin. The output is positive for normal features.

The thesis leaves the noise open; here it has parameters. The noise is white over the patches ("gaussian"), or has the
structures of simplex noise on the patch grid ("simplex"). Its scale is relative to the spread of the features: the same
for all channels of a member, or of the joint maps ("isotropic": the root of their mean variance), each channel's own
("proportional"), or, with the same mean, in proportion to each channel's variance ("squared"). The shape of the noise
decides which channels the discriminator relies on. The best test against weak noise gives a channel a weight that grows
with the noise in units of the channel's spread: proportional noise gives all channels the same weight, and "squared"
noise gives them the weights of a Euclidean distance.

Noise is added either to the joint maps or to the maps of every member before they are joined. Joint maps lie along
principal axes, and some of these hardly vary: isotropic noise is far outside of the normal features there, and these
axes alone are enough to recognise it. Noise on a member passes through the same PCA as the member's features. A
distance to what is normal cannot be negative: where noise makes it negative, its absolute value is taken.

Difference to SimpleNet's code: AdamW instead of Adam, so that the weight decay is not scaled with the gradient.
"""

from collections.abc import Callable, Sequence

import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from iadlib.detectors.training import train
from iadlib.ensemble.settings import HeadSettings
from iadlib.ensemble.transforms import largest_grid, resized
from iadlib.features import resolve_device
from iadlib.noise import simplex_noise
from iadlib.stored import stored

LARGEST_STRUCTURE = 8.0  # patches, of simplex noise
OCTAVES = 3  # of simplex noise
IMAGES = 16  # that are resized or squared at a time
CHUNK = 1024  # vectors whose hidden layer fits into the cache of a processor


class Discriminator(nn.Module):
    """Scores (N, 1, h, w), positive for normal, of maps (N, C, h, w).

    The score is the mean of `heads` networks of two layers, which differ in their initial weights only. `projected` is
    the number of leading channels that pass a linear layer before the heads; it is trained with them. 0 for none.
    """

    def __init__(self, channels: int, hidden_channels: int, projected: int = 0, heads: int = 1):
        super().__init__()
        self.projected = projected
        self.projection = nn.Linear(projected, projected) if projected else None
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(channels, hidden_channels),
                nn.BatchNorm1d(hidden_channels),
                nn.LeakyReLU(0.2),
                nn.Linear(hidden_channels, 1, bias=False),
            )
            for _ in range(heads)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)

    def forward(self, maps: Tensor) -> Tensor:
        vectors = vectors_of(maps)
        chunks = [vectors] if vectors.is_cuda else vectors.split(CHUNK)
        scores = torch.cat([self.scores_by_head(self.project(chunk)).mean(dim=1) for chunk in chunks])
        return scores.view(maps.shape[0], 1, *maps.shape[-2:])

    def scores_by_head(self, vectors: Tensor) -> Tensor:
        """(n, heads), for projected vectors (n, C)."""
        return torch.cat([head(vectors) for head in self.heads], dim=1)

    def project(self, vectors: Tensor) -> Tensor:
        """Vectors (n, C) with their leading channels projected."""
        if self.projection is None:
            return vectors
        return torch.cat([self.projection(vectors[:, : self.projected]), vectors[:, self.projected :]], dim=1)


def fit_discriminator(
    discriminator: Discriminator,
    maps: Sequence[Tensor],
    settings: HeadSettings,
    description: str,
    join: Callable[[Sequence[Tensor]], Tensor] | None = None,
    distances: Sequence[bool] = (False,),
    after_step: Callable[[], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Train on normal maps; the loss and the AUROC on artificial anomalies at every step, (steps,) each.

    `maps` are those of the members, one (N, C, h, w) each, and `join` makes one map of them: noise is added before.
    `distances` says for every member whether its maps are distances, which stay positive with noise. Without `join`
    there is one joint map, and noise is added after the projection. A step uses some patches of some images, on the
    largest grid among the members. A projection has half the learning rate of the heads, as SimpleNet's adapter. The
    AUROC of a batch is computed before the step learns from it.
    """
    device, grid, margin = resolve_device(settings.device), largest_grid(maps), settings.margin
    size = grid[0] * grid[1]
    spreads = [
        (settings.noise_scale * spread_of(each, settings.noise_shape, about_zero)).to(device)
        for each, about_zero in zip(maps, distances, strict=True)
    ]
    patches = [vectors_of(_on_grid(each, grid)) for each in maps]  # (N h w, C), of which a step takes a few
    aurocs = []

    def noise_at(channels: int, images: int, chosen: Tensor) -> Tensor:
        if settings.noise == "gaussian":
            return torch.randn(len(chosen), channels, device=device)
        fields = simplex_fields(images, channels, grid, device).flatten(2)
        return fields[chosen // size, :, chosen % size]

    def loss(images: Tensor) -> Tensor:
        images = images.cpu()
        chosen = torch.randperm(len(images) * size)[: settings.patches_per_step]
        rows = images[chosen // size] * size + chosen % size
        normal = [each[rows].to(device) for each in patches]  # (n, C) each
        drawn = [
            noise_at(each.shape[1], len(images), chosen) * spread for each, spread in zip(normal, spreads, strict=True)
        ]
        if join is None:
            [vectors], [added] = normal, drawn
            vectors = discriminator.project(vectors)
            anomalous = vectors + added
        else:
            noisy = zip(normal, drawn, distances, strict=True)
            disturbed = [(each + added).abs() if distance else each + added for each, added, distance in noisy]
            vectors, anomalous = (discriminator.project(_joined(join, each)) for each in (normal, disturbed))
        kept, rejected = discriminator.scores_by_head(torch.cat([vectors, anomalous])).chunk(2)
        aurocs.append(separation(kept.detach().mean(dim=1), rejected.detach().mean(dim=1)))
        return (margin - kept).clamp(min=0).mean() + (margin + rejected).clamp(min=0).mean()

    rate = settings.learning_rate
    groups = [{"params": discriminator.heads.parameters(), "lr": rate, "weight_decay": settings.weight_decay}]
    if discriminator.projection is not None:
        groups.append({"params": discriminator.projection.parameters(), "lr": rate / 2})
    discriminator.train().requires_grad_(True)
    losses = train(
        loss,
        [torch.arange(len(maps[0]))],
        [torch.optim.AdamW(groups, fused=True)],
        steps=settings.steps,
        batch_size=settings.images_per_step,
        seed=settings.seed,
        device=device,
        description=description,
        after_step=after_step,
    )
    discriminator.eval().requires_grad_(False)
    return losses, torch.tensor(aurocs)


def spread_of(maps: Tensor, noise_shape: str, about_zero: bool = False) -> Tensor:
    """By channel (C,), from standard deviations, or, about zero, from root mean squares."""
    if about_zero:  # a few images at a time: their squares are copies
        sums = [batch.square().sum(dim=(0, 2, 3), dtype=torch.float64) for batch in maps.split(IMAGES)]
        variance = (sum(sums) / maps[:, 0].numel()).float()
    else:
        variance = maps.var(dim=(0, 2, 3))
    if noise_shape == "isotropic":
        return variance.mean().sqrt().expand_as(variance)
    if noise_shape == "proportional":
        return variance.sqrt()
    return variance / variance.mean().sqrt()  # relative to the channel's own spread, 1 in the root mean square


def simplex_fields(images: int, channels: int, grid: tuple[int, int], device: torch.device) -> Tensor:
    """Simplex noise (N, C, h, w) of unit variance, from PyTorch's own generator."""
    fields = simplex_noise(images * channels, *grid, LARGEST_STRUCTURE, OCTAVES, device=device)
    return fields.view(images, channels, *grid)


def separation(normal: Tensor, anomalous: Tensor) -> float:
    """AUROC of scores of which the normal ones should be the higher."""
    scores = torch.cat([normal.flatten(), anomalous.flatten()]).cpu().numpy()
    ranks = rankdata(scores)[: normal.numel()]
    return float((ranks.mean() - (normal.numel() + 1) / 2) / anomalous.numel())


def vectors_of(maps: Tensor) -> Tensor:
    """The vectors (N h w, C) at all places of maps (N, C, h, w)."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _on_grid(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[-2:]) == tuple(grid):
        return maps
    [found] = stored(([resized(batch, grid)] for batch in maps.split(IMAGES)), len(maps))
    return found


def _joined(join: Callable[[Sequence[Tensor]], Tensor], vectors: Sequence[Tensor]) -> Tensor:
    """Joint vectors (n, C') of the members' vectors (n, C) each."""
    return vectors_of(join([each[:, :, None, None] for each in vectors]))
