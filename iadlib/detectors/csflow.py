"""CS-Flow: Rudolph et al., "Fully Convolutional Cross-Scale-Flows for Image-based Defect Detection", WACV 2022,
arXiv:2110.02855.

A frozen backbone is applied to the image at three sizes, each half the one before. A normalising flow transforms the
three feature maps together into three maps of the same shapes that are independent standard normal for normal images:
every coupling block changes one half of each map's channels by a scale and a shift, which a small network computes from
the other halves of all three maps. The score of a position is the sum of z squared over the channels; the score of an
image, in the paper, the mean of z squared over all scales.

Where we differ from the paper and its code: the three images need not be exact halves. Odd sides of a finer grid are
rounded up in the coarser one, and upsampling goes to the size of the finer grid; grids below 3 x 3 raise an error,
because the scales would coincide. Smaller copies of the image are resized with antialiasing. Gamma is one number for
each channel, not for each scale; all scales share the order of channels; outputs are not clamped. The map is the mean
over the three upsampled scales, where the paper shows each separately, and it is smoothed. The paper's image score,
the mean of z squared, is the `image_score` "latent"; the default is the mean of the map's highest values, since an
anomaly that covers few of many positions hardly changes the mean of all.
`standardise` divides every channel by its standard deviation over the training images before the flow, which the code
does not do. The flow is a plain list of modules, because FrEIA's sequence passes one tensor and its graph fixes the
maps' size. Couplings follow FrEIA's convention: they take and return lists of tensors and the log-determinant, and
`rev` inverts them. They have no `jac`, `dims_in` and `output_dims`, and cannot be part of a FrEIA graph.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iadlib.detectors.base import Detector
from iadlib.detectors.training import seeded, train
from iadlib.features import Backbone, resolve_device
from iadlib.progress import track
from iadlib.stored import stored

SCALES = 3
PROBE = 128  # side of an image, to find the layer's stride


@dataclass(kw_only=True, eq=False)
class CSFlow(Detector):
    title: ClassVar = "CS-Flow"
    cuts: ClassVar = {"embedding": "features", "latent": "deviation"}
    # per-channel mean and standard deviation of each scale (3, C), the flow, and its loss at every step
    learned: ClassVar = ("mean_", "std_", "flow_", "losses_")
    paths: ClassVar = ("checkpoint",)
    image_score_choices: ClassVar = ("top", "map", "latent")

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layer: int | str = 3  # of the backbone: an index or the name of a module
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    standardise: bool = True  # divide features by their standard deviation over the training images
    kernel_sizes: tuple[int, ...] = (3, 3, 3, 5)  # of the networks in the coupling blocks, one for each block
    hidden_channels: int = 32  # of these networks
    clamp: float = 3.0  # bound of the logarithm of a coupling's scale
    epochs: int = 8
    training_batch_size: int = 4
    learning_rate: float = 0.002
    weight_decay: float = 1e-5
    max_gradient_norm: float = 1.0  # gradients are clipped to this norm

    def __post_init__(self):
        super().__post_init__()
        if not self.kernel_sizes or any(size < 1 or size % 2 == 0 for size in self.kernel_sizes):
            raise ValueError(f"kernel_sizes {list(self.kernel_sizes)}: one odd number for each coupling block")
        self._require_at_least(1, "hidden_channels", "epochs", "training_batch_size")
        self._require_positive("clamp", "learning_rate", "max_gradient_norm")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Train the flow; validation images are not used."""
        batches = track(train_images.split(self.batch_size), "csflow: features")
        pyramid = stored(map(self.pyramid, batches), len(train_images))  # three of (n, C, h, w)
        device = resolve_device(self.device)
        self.mean_ = torch.stack([maps.mean(dim=(0, 2, 3)) for maps in pyramid]).to(device)
        self.std_ = torch.stack([maps.std(dim=(0, 2, 3)) for maps in pyramid]).clamp(min=1e-6).to(device)
        if not self.standardise:
            self.mean_, self.std_ = torch.zeros_like(self.mean_), torch.ones_like(self.std_)
        self.build()
        self.flow_.train().requires_grad_(True)
        optimiser = torch.optim.Adam(
            self.flow_.parameters(), lr=self.learning_rate, eps=1e-4, weight_decay=self.weight_decay, fused=True
        )
        batch_size = min(self.training_batch_size, len(train_images))
        self.losses_ = train(
            lambda *maps: negative_log_likelihood(*self.flow_(self._standardised(maps))),
            pyramid,
            [optimiser],
            steps=self.epochs * (len(train_images) // batch_size),
            batch_size=batch_size,
            seed=self.seed,
            device=device,
            description="csflow: flow",
            max_gradient_norm=self.max_gradient_norm,
        )
        self.flow_.eval().requires_grad_(False)
        return self

    def build(self) -> None:
        channels = self.pyramid(torch.zeros(1, 3, PROBE, PROBE))[0].shape[1]
        with seeded(self.seed):
            self.flow_ = CrossScaleFlow(channels, self.kernel_sizes, self.hidden_channels, self.clamp)
        self.flow_.eval().requires_grad_(False)
        self.flow_.to(resolve_device(self.device), memory_format=torch.channels_last)

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        pyramid = self.pyramid(images)
        yield "embedding", _on_finest(pyramid)  # (N, 3 C, h, w)
        latent, _ = self.flow_(self._standardised(pyramid))
        squares = _on_finest([_squared(z) for z in latent])  # (N, 3, h, w)
        yield "latent", _of_length(_on_finest(latent), squares.sqrt())  # (N, 3 C, h, w)
        yield "scores", squares.mean(dim=1, keepdim=True)  # (N, 1, h, w)
        if self.image_score == "latent":
            yield "image_scores", torch.cat([z.flatten(1) for z in latent], dim=1).square().mean(dim=1)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps of the image and of two smaller copies, from the finest to the coarsest."""
        maps = [self._backbone(images)[0]]
        stride = self._stride
        if min(maps[0].shape[-2:]) < SCALES:
            raise ValueError(
                f"images of {tuple(images.shape[-2:])} are too small for three scales of layer {self.layer} of "
                f"{self.backbone}: height and width of {(SCALES - 1) * stride + 1} pixels or more are needed"
            )
        for _ in range(1, SCALES):
            size = [stride * ((side + 1) // 2) for side in maps[-1].shape[-2:]]
            smaller = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
            maps.append(self._backbone(smaller)[0])
        return maps

    def _standardised(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        moments = zip(pyramid, self.mean_, self.std_, strict=True)
        return [(maps - mean.view(-1, 1, 1)) / std.view(-1, 1, 1) for maps, mean, std in moments]

    @cached_property
    def _stride(self) -> int:
        return PROBE // self._backbone(torch.zeros(1, 3, PROBE, PROBE))[0].shape[-1]

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, (self.layer,), self.checkpoint, self.device)


def negative_log_likelihood(latent: Sequence[Tensor], log_determinant: Tensor) -> Tensor:
    """Equation 4, per dimension and without the constant; the mean over the images."""
    squares = sum(z.square().flatten(1).sum(dim=1) for z in latent)  # (N,)
    return (squares / 2 - log_determinant).mean() / sum(z[0].numel() for z in latent)


class CrossScaleFlow(nn.Module):
    """A sequence of coupling blocks: maps in, maps and the log-determinant of the Jacobian (N,) out."""

    def __init__(self, channels: int, kernel_sizes: Sequence[int], hidden_channels: int, clamp: float):
        super().__init__()
        self.blocks = nn.ModuleList(CrossScaleCoupling(channels, size, hidden_channels, clamp) for size in kernel_sizes)

    def forward(self, maps: Sequence[Tensor], rev: bool = False) -> tuple[list[Tensor], Tensor]:
        maps, total = list(maps), 0
        for block in reversed(self.blocks) if rev else self.blocks:
            maps, log_determinant = block(maps, rev=rev)
            total = total + log_determinant
        return maps, total


class CrossScaleCoupling(nn.Module):
    """Shuffle the channels, then change each half of them, given the other half of all scales (figure 3)."""

    def __init__(self, channels: int, kernel_size: int, hidden_channels: int, clamp: float):
        super().__init__()
        self.clamp = clamp
        self.first = channels // 2
        second = channels - self.first
        self.register_buffer("order", torch.randperm(channels))
        self.register_buffer("order_back", self.order.argsort())
        self.of_first = CrossScaleNetwork(self.first, 2 * second, hidden_channels, kernel_size)
        self.of_second = CrossScaleNetwork(second, 2 * self.first, hidden_channels, kernel_size)

    def forward(self, maps: Sequence[Tensor], rev: bool = False) -> tuple[list[Tensor], Tensor]:
        if not rev:
            maps = [features[:, self.order] for features in maps]
        first, second = ([m[:, : self.first] for m in maps], [m[:, self.first :] for m in maps])
        if rev:
            second, log_second = self._changed(second, self.of_first(first), rev)
            first, log_first = self._changed(first, self.of_second(second), rev)
        else:
            first, log_first = self._changed(first, self.of_second(second), rev)
            second, log_second = self._changed(second, self.of_first(first), rev)
        joined = [torch.cat(halves, dim=1) for halves in zip(first, second, strict=True)]
        if rev:
            joined = [features[:, self.order_back] for features in joined]
        return joined, log_first + log_second

    def _changed(self, maps: list[Tensor], coefficients: list[Tensor], rev: bool) -> tuple[list[Tensor], Tensor]:
        changed, log_determinant = [], 0
        for features, coefficient in zip(maps, coefficients, strict=True):
            scale, shift = coefficient.chunk(2, dim=1)
            scale = self.clamp * 0.636 * torch.atan(scale / self.clamp)  # 0.636 = 2 / pi: within +-clamp
            changed.append((features - shift) * (-scale).exp() if rev else features * scale.exp() + shift)
            log_determinant = log_determinant + scale.flatten(1).sum(dim=1)
        return changed, -log_determinant if rev else log_determinant


class CrossScaleNetwork(nn.Module):
    """Two convolutions for each scale; the second layer also takes the neighbouring scales.

    The output is multiplied by a learned gamma for every channel and scale that starts at 0, so that an untrained flow
    only shuffles channels.
    """

    def __init__(self, channels: int, out_channels: int, hidden_channels: int, kernel_size: int):
        super().__init__()
        padding = kernel_size // 2

        def convolutions(count: int, before: int, after: int, **options: int) -> nn.ModuleList:
            layers = (nn.Conv2d(before, after, kernel_size, padding=padding, **options) for _ in range(count))
            return nn.ModuleList(layers)

        self.enter = convolutions(SCALES, channels, hidden_channels)
        self.leave = convolutions(SCALES, hidden_channels, out_channels)
        self.up = convolutions(SCALES - 1, hidden_channels, out_channels)
        self.down = convolutions(SCALES - 1, hidden_channels, out_channels, stride=2)
        self.gamma = nn.Parameter(torch.zeros(SCALES, out_channels, 1, 1))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        hidden = [F.leaky_relu(enter(features), 0.1) for enter, features in zip(self.enter, maps, strict=True)]
        out = [leave(features) for leave, features in zip(self.leave, hidden, strict=True)]
        for finer in range(SCALES - 1):
            grid = out[finer].shape[-2:]
            coarser = F.interpolate(hidden[finer + 1], size=grid, mode="bilinear", align_corners=False)
            out[finer] = out[finer] + self.up[finer](coarser)
            out[finer + 1] = out[finer + 1] + self.down[finer](hidden[finer])
        return [gamma * features for gamma, features in zip(self.gamma, out, strict=True)]


def _squared(z: Tensor) -> Tensor:
    """The sum of squares over the channels, (N, 1, h, w)."""
    return z.square().sum(dim=1, keepdim=True)


def _of_length(vectors: Tensor, lengths: Tensor) -> Tensor:
    """Vectors of all scales (N, S C, h, w), each with the length (N, S, h, w) given: interpolation shortens them."""
    scaled = [
        each * (length / _squared(each).sqrt().clamp(min=1e-6))
        for each, length in zip(vectors.chunk(SCALES, dim=1), lengths.split(1, dim=1), strict=True)
    ]
    return torch.cat(scaled, dim=1)


def _on_finest(maps: Sequence[Tensor]) -> Tensor:
    """Maps of all scales on the first one's grid, concatenated."""
    grid = maps[0].shape[-2:]
    return torch.cat([F.interpolate(m, size=grid, mode="bilinear", align_corners=False) for m in maps], dim=1)
