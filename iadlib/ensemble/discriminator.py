"""The ensemble's discriminator: SimpleNet's (Liu et al., CVPR 2023, arXiv:2303.15140) on joint feature maps.

Two layers learn to answer at least the margin for features of normal images, and at most minus the margin for the same
features with noise, the artificial anomalies. The output is positive for normal.

What the thesis leaves open are parameters here. Noise is white over the patches ("gaussian"), or of the structures that
simplex noise has over the patch grid ("simplex"). Its scale is relative to the features' own spread: one for all
channels of a member, or of the joint maps ("isotropic": the root of their mean variance), each channel's own
("proportional"), or, of the same mean size, in proportion to each channel's variance ("squared"). What the
discriminator learns to look at follows from it: the best test against weak noise weighs a channel by how large the
noise in it is, measured in its own spread. Proportional noise makes all channels alike; "squared" noise weighs them as
a Euclidean distance does.

And noise may enter at two places: into the joint maps, or into every member's maps before they are brought together.
Joint maps lie along principal axes, some of which hardly vary: isotropic noise is far outside of the normal features
there, and may be recognised by these axes alone. What disturbs a member passes through the same PCA as the member's
own features. A distance to what is normal, disturbed below zero, is reflected: no image could show a negative one.

Unlike SimpleNet's code, AdamW instead of Adam: its weight decay does not pass through the gradient's scaling.
"""

from collections.abc import Callable, Sequence

import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from iadlib.detectors.training import train
from iadlib.ensemble.transforms import largest_grid, resized

NOISES = ("gaussian", "simplex")
SHAPES = ("isotropic", "proportional", "squared")
LARGEST_STRUCTURE = 8.0  # patches, of simplex noise


class Discriminator(nn.Module):
    """Scores (N, 1, h, w), positive for normal, of maps (N, C, h, w): the mean over `heads` that differ in their first
    weights alone, each of two layers.

    `projected` lists the first channels, how many of them, that a linear layer maps before the heads see them; it is
    trained with them. 0 for none.
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
        answers = self.answers(self.project(vectors_of(maps))).mean(dim=1)
        return answers.view(len(maps), 1, *maps.shape[-2:])

    def answers(self, vectors: Tensor) -> Tensor:
        """(n, heads), for projected vectors (n, C)."""
        return torch.cat([head(vectors) for head in self.heads], dim=1)

    def project(self, vectors: Tensor) -> Tensor:
        if self.projection is None:
            return vectors
        return torch.cat([self.projection(vectors[:, : self.projected]), vectors[:, self.projected :]], dim=1)


def fit_discriminator(
    discriminator: Discriminator,
    maps: Sequence[Tensor],
    *,
    join: Callable[[Sequence[Tensor]], Tensor] | None = None,
    reflected: Sequence[bool] = (False,),
    noise: str,
    noise_scale: float,
    noise_shape: str,
    margin: float,
    steps: int,
    images_per_step: int,
    patches_per_step: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    device: torch.device,
    description: str,
    after_step: Callable[[], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Train on normal maps; the loss and the AUROC on artificial anomalies at every step, (steps,) each.

    `maps` are those of the members, one (N, C, h, w) each, and `join` makes one map of them: noise enters before it,
    `reflected` at zero where a member's map is a distance. Without `join`, there is one joint map, and noise enters
    behind the projection. A step takes some patches of some images, on the largest grid among the members. A projection
    learns with its own rate, half of the heads', as SimpleNet's adapter does. The batch's AUROC is taken before the
    step learns from it.
    """
    spreads = [
        (noise_scale * spread_of(each, noise_shape, about_zero)).to(device)
        for each, about_zero in zip(maps, reflected, strict=True)
    ]
    aurocs = []

    def loss(*batch: Tensor) -> Tensor:
        grid = largest_grid(batch)
        chosen = torch.randperm(len(batch[0]) * grid[0] * grid[1], device=device)[:patches_per_step]
        image, place = chosen // (grid[0] * grid[1]), chosen % (grid[0] * grid[1])

        def picked(maps: Tensor) -> Tensor:
            return resized(maps, grid).flatten(2)[image, :, place][:, :, None, None]  # (patches, C, 1, 1)

        def noise_like(vectors: Tensor) -> Tensor:
            if noise == "gaussian":
                return torch.randn_like(vectors)
            return picked(drawn_noise((len(batch[0]), vectors.shape[1], *grid), noise, device))

        own = [picked(each) for each in batch]
        drawn = [noise_like(each) * spread for each, spread in zip(own, spreads, strict=True)]
        normal = discriminator.project(vectors_of(own[0] if join is None else join(own)))
        if join is None:
            anomalous = normal + vectors_of(drawn[0])
        else:
            disturbed = [
                (each + d).abs() if distance else each + d
                for each, d, distance in zip(own, drawn, reflected, strict=True)
            ]
            anomalous = discriminator.project(vectors_of(join(disturbed)))
        kept, rejected = discriminator.answers(torch.cat([normal, anomalous])).chunk(2)
        aurocs.append(separation(kept.detach().mean(dim=1), rejected.detach().mean(dim=1)))
        return (margin - kept).clamp(min=0).mean() + (margin + rejected).clamp(min=0).mean()

    groups = [{"params": discriminator.heads.parameters(), "lr": learning_rate, "weight_decay": weight_decay}]
    if discriminator.projection is not None:
        groups.append({"params": discriminator.projection.parameters(), "lr": learning_rate / 2})
    discriminator.train().requires_grad_(True)
    losses = train(
        loss,
        list(maps),
        [torch.optim.AdamW(groups, fused=True)],
        steps=steps,
        batch_size=images_per_step,
        seed=seed,
        device=device,
        description=description,
        after_step=after_step,
    )
    discriminator.eval().requires_grad_(False)
    return losses, torch.tensor(aurocs)


def spread_of(maps: Tensor, noise_shape: str, about_zero: bool = False) -> Tensor:
    """By channel (C, 1, 1), from standard deviations, or, about zero, from root mean squares."""
    variance = maps.square().mean(dim=(0, 2, 3)) if about_zero else maps.var(dim=(0, 2, 3))
    if noise_shape == "isotropic":
        spread = variance.mean().sqrt().expand_as(variance)
    elif noise_shape == "proportional":
        spread = variance.sqrt()
    else:
        spread = variance / variance.mean().sqrt()  # relative to the own spread, 1 in the root mean square
    return spread.view(-1, 1, 1)


def drawn_noise(shape: Sequence[int], noise: str, device: torch.device) -> Tensor:
    """Noise (N, C, h, w) of unit variance, of PyTorch's own generator."""
    if noise == "gaussian":
        return torch.randn(*shape, device=device)
    from iadlib.detectors.anoddpm import simplex_noise  # imports diffusers, which takes seconds

    count, channels, height, width = shape
    fields = simplex_noise(count * channels, height, width, LARGEST_STRUCTURE, 3, device=device)
    return fields.view(count, channels, height, width)


def separation(normal: Tensor, anomalous: Tensor) -> float:
    """AUROC of answers, of which normal ones should be the higher."""
    answers = torch.cat([normal.flatten(), anomalous.flatten()]).cpu().numpy()
    ranks = rankdata(answers)[: normal.numel()]
    return float((ranks.mean() - (normal.numel() + 1) / 2) / anomalous.numel())


def vectors_of(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).flatten(0, 2)  # (N h w, C)
