"""The ensemble's discriminator: SimpleNet's (Liu et al., CVPR 2023, arXiv:2303.15140) on joint feature maps.

Two layers learn to answer at least the margin for features of normal images, and at most minus the margin for the same
features with noise, the artificial anomalies. The output is positive for normal.

What the thesis leaves open are parameters here. Noise is white over the patches ("gaussian"), or of the structures that
simplex noise has over the patch grid ("simplex"). Its scale is relative to the features' own spread, either one for all
channels ("isotropic": the root of their mean variance) or each channel's own ("proportional"). After a PCA these differ
much: isotropic noise is far outside of the normal features along the axes of small variance, so that the discriminator
may learn from these alone.
"""

from collections.abc import Callable, Sequence

import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from iadlib.detectors.training import train

NOISES = ("gaussian", "simplex")
SHAPES = ("isotropic", "proportional")
LARGEST_STRUCTURE = 8.0  # patches, of simplex noise


class Discriminator(nn.Module):
    """Scores (N, 1, h, w), positive for normal, of maps (N, C, h, w).

    `projected` lists the first channels, how many of them, that a linear layer maps before the two layers see them; it
    is trained with them. 0 for none.
    """

    def __init__(self, channels: int, hidden_channels: int, projected: int = 0):
        super().__init__()
        self.projected = projected
        self.projection = nn.Linear(projected, projected) if projected else None
        self.layers = nn.Sequential(
            nn.Linear(channels, hidden_channels),
            nn.BatchNorm1d(hidden_channels),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden_channels, 1, bias=False),
        )
        for module in (self.projection, *self.layers):
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)

    def forward(self, maps: Tensor) -> Tensor:
        answers = self.of_vectors(vectors_of(maps))
        return answers.view(len(maps), 1, *maps.shape[-2:])

    def of_vectors(self, vectors: Tensor) -> Tensor:
        """Answers (n, 1) for vectors (n, C)."""
        return self.layers(self.project(vectors))

    def project(self, vectors: Tensor) -> Tensor:
        if self.projection is None:
            return vectors
        return torch.cat([self.projection(vectors[:, : self.projected]), vectors[:, self.projected :]], dim=1)


def fit_discriminator(
    discriminator: Discriminator,
    maps: Tensor,
    *,
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
    """Train on normal maps (N, C, h, w); the loss and the AUROC on artificial anomalies at every step, (steps,) each.

    A step takes some patches of some images. A projection learns with its own rate, half of the layers', as SimpleNet's
    adapter does. The batch's AUROC is taken before the step learns from it.
    """
    variance = maps.var(dim=(0, 2, 3))  # (C,)
    spread = variance.sqrt() if noise_shape == "proportional" else variance.mean().sqrt().expand_as(variance)
    spread = (noise_scale * spread).to(device)
    aurocs = []

    def loss(batch: Tensor) -> Tensor:
        drawn = drawn_noise(batch.shape, noise, device)
        chosen = torch.randperm(batch.shape[0] * batch.shape[2] * batch.shape[3], device=device)[:patches_per_step]
        normal = vectors_of(batch)[chosen]
        anomalous = discriminator.project(normal) + vectors_of(drawn)[chosen] * spread
        answers = discriminator.layers(torch.cat([discriminator.project(normal), anomalous]))
        kept, rejected = answers.chunk(2)
        aurocs.append(separation(kept.detach(), rejected.detach()))
        return (margin - kept).clamp(min=0).mean() + (margin + rejected).clamp(min=0).mean()

    groups = [{"params": discriminator.layers.parameters(), "lr": learning_rate, "weight_decay": weight_decay}]
    if discriminator.projection is not None:
        groups.append({"params": discriminator.projection.parameters(), "lr": learning_rate / 2})
    discriminator.train().requires_grad_(True)
    losses = train(
        loss,
        [maps],
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
