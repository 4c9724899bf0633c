"""Reverse distillation: Deng and Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022,
arXiv:2201.10703.

A frozen teacher describes an image at three scales. A bottleneck fuses the three maps and compresses them to half the
coarsest grid, the one-class embedding, and a student decoder, built as the teacher in reverse, reconstructs all three
maps from it. Bottleneck and decoder are trained on normal images only: where the directions of teacher and student
features differ, the image is anomalous.

Where we differ from the paper and its code: the loss follows the code and compares whole maps, flattened to one vector
for each image and scale (1 - cosine, summed over the scales), where the paper's loss averages the cosine distances of
the positions. The fusion ends with the 1 x 1 convolution that the paper describes; the code leaves it to the first
residual block. The code evaluates on the test set while it trains; here the schedule is fixed and the last weights are
kept. Teacher maps of the training images are computed once, not once an epoch: without augmentation they do not change.
The teacher may be any backbone whose chosen layers halve their grid from one to the next. Where a teacher map has
negative values, the student map compared with it may have them too, but the input of the next stage is rectified.
Widths follow the teacher's channels: residual blocks are half as wide inside as outside, as in a WideResNet-50-2, and
the embedding has twice the coarsest map's channels. Transposed convolutions double a grid, so that an odd side is
obtained by cropping, or by repeating the border where the backbone rounds down. Upsampling is bilinear without aligned
corners.

The code's image score is the smoothed map's maximum; the default is the mean of its highest values. The cut
"difference" is the absolute difference of the normalised teacher and student maps of all scales on the finest grid: the
sum of its squares over a scale's channels is twice that scale's cosine distance. The student was trained on the
training images, so that their differences are smaller than those of new normal images; `own` changes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iadlib.detectors.base import Detector
from iadlib.detectors.training import seeded, train
from iadlib.features import Backbone, resolve_device
from iadlib.progress import track
from iadlib.stored import stored

PROBE = 64  # side of a random image, to find the channels of the backbone's maps and which maps are never negative


@dataclass(kw_only=True, eq=False)
class ReverseDistillation(Detector):
    title: ClassVar = "Reverse distillation"
    cuts: ClassVar = {"embedding": "features", "difference": "distance"}
    learned: ClassVar = ("bottleneck_", "decoder_", "losses_")
    paths: ClassVar = ("checkpoint",)

    backbone: str = "tf_efficientnet_lite0"  # timm's name, of the teacher
    layers: tuple[int, ...] = (1, 2, 3)  # of the backbone, the finest first
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    blocks: tuple[int, ...] = (1, 1, 1, 1)  # residual blocks of the embedding, then of the decoder, the coarsest first
    epochs: int = 20
    learning_rate: float = 0.005
    training_batch_size: int = 8

    def __post_init__(self):
        super().__post_init__()
        if sorted(set(self.layers)) != list(self.layers):
            raise ValueError(f"layers {list(self.layers)}: ascending, each once")
        if len(self.blocks) != len(self.layers) + 1 or min(self.blocks) < 1:
            raise ValueError(
                f"blocks {list(self.blocks)}: 1 or more for the embedding and for each of {len(self.layers)} layers"
            )
        self._require_at_least(1, "epochs", "training_batch_size")
        self._require_positive("learning_rate")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Train bottleneck and decoder; validation images are not used."""
        batches = track(train_images.split(self.batch_size), "reverse distillation: features")
        teacher_maps = stored(map(self.teacher, batches), len(train_images))  # (n, C, h, w) for each scale
        self.build()
        parameters = [*self.bottleneck_.parameters(), *self.decoder_.parameters()]
        for module in (self.bottleneck_, self.decoder_):
            module.train().requires_grad_(True)
        batch_size = min(self.training_batch_size, len(train_images))
        self.losses_ = train(
            lambda *batch: distillation_loss(batch, self.student(batch)),
            teacher_maps,
            [torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.999), fused=True)],
            steps=self.epochs * (len(train_images) // batch_size),
            batch_size=batch_size,
            seed=self.seed,
            device=resolve_device(self.device),
            description="reverse distillation: student",
        )
        for module in (self.bottleneck_, self.decoder_):
            module.eval().requires_grad_(False)
        return self

    def build(self) -> None:
        with seeded(self.seed):
            probe = self._backbone(torch.rand(1, 3, PROBE, PROBE))
            channels = [maps.shape[1] for maps in probe]
            rectified = [bool((maps >= 0).all()) for maps in probe]
            self.bottleneck_ = Bottleneck(channels, self.blocks[0])
            self.decoder_ = Decoder(channels, self.blocks[1:], rectified)
        for module in (self.bottleneck_, self.decoder_):
            module.eval().requires_grad_(False)
            module.to(resolve_device(self.device), memory_format=torch.channels_last)

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        teacher_maps = self.teacher(images)
        embedding = self.bottleneck_(teacher_maps)  # (N, 2 C, h / 2, w / 2) of the coarsest map's C, h and w
        yield "embedding", embedding
        student_maps = self.decoder_(embedding, [maps.shape[-2:] for maps in teacher_maps])
        grid = teacher_maps[0].shape[-2:]
        differences = [
            _resized((F.normalize(teacher, dim=1) - F.normalize(student, dim=1)).abs(), grid)
            for teacher, student in zip(teacher_maps, student_maps, strict=True)
        ]
        yield "difference", torch.cat(differences, dim=1)  # (N, sum of C, h, w) of the finest map's h and w
        distances = [
            1 - F.cosine_similarity(teacher, student, dim=1).unsqueeze(1)  # equation 1
            for teacher, student in zip(teacher_maps, student_maps, strict=True)
        ]
        yield "scores", sum(_resized(distance, images.shape[-2:]) for distance in distances)  # (N, 1, H, W)

    def teacher(self, images: Tensor) -> list[Tensor]:
        """The frozen backbone's maps, from the finest to the coarsest."""
        maps = self._backbone(images)
        grids = [tuple(features.shape[-2:]) for features in maps]
        for finer, coarser in pairwise(grids):
            if any(b not in (a // 2, (a + 1) // 2) for a, b in zip(finer, coarser, strict=True)):
                raise ValueError(
                    f"layers {list(self.layers)} of {self.backbone} have grids of {grids}, but each must be half "
                    "the one before: choose consecutive layers"
                )
        if min(maps[-1].shape[-2:]) < 3:  # batch normalisation needs several positions, even of one image
            stride = self._backbone.network.feature_info[self.layers[-1]]["reduction"]
            raise ValueError(
                f"images of {tuple(images.shape[-2:])} are too small for layer {self.layers[-1]} of {self.backbone}: "
                f"height and width of {3 * stride} pixels or more are needed"
            )
        return maps

    def student(self, teacher_maps: Sequence[Tensor]) -> list[Tensor]:
        """The reconstruction of the teacher's maps, in the same order and shapes."""
        return self.decoder_(self.bottleneck_(teacher_maps), [maps.shape[-2:] for maps in teacher_maps])

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)


def distillation_loss(teacher_maps: Sequence[Tensor], student_maps: Sequence[Tensor]) -> Tensor:
    """Sum over the scales of 1 - cosine similarity of the flattened maps, mean over the images."""
    pairs = zip(teacher_maps, student_maps, strict=True)
    return sum((1 - F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1)).mean() for a, b in pairs)


class Bottleneck(nn.Module):
    """One-class bottleneck embedding: maps fused on the coarsest grid, then a residual stage that halves the grid."""

    def __init__(self, channels: Sequence[int], blocks: int):
        super().__init__()
        self.paths = nn.ModuleList()
        for scale in range(len(channels)):
            steps = pairwise(channels[scale:])
            self.paths.append(nn.Sequential(*(_normalised(nn.Conv2d(a, b, 3, 2, 1, bias=False)) for a, b in steps)))
        self.fusion = _normalised(nn.Conv2d(len(channels) * channels[-1], channels[-1], 1, bias=False))
        self.embedding = _residual_stage(channels[-1], 2 * channels[-1], blocks, nn.Conv2d, kernel_size=3, padding=1)
        _initialise(self)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        grid = maps[-1].shape[-2:]
        fused = [_fitted(path(features), grid) for path, features in zip(self.paths, maps, strict=True)]
        return self.embedding(self.fusion(torch.cat(fused, dim=1)))


class Decoder(nn.Module):
    """The student: the teacher's stages in reverse order, with transposed convolutions instead of strided ones.

    The input of every stage is rectified; the map compared with the teacher's is rectified where `rectified` is true.
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[int], rectified: Sequence[bool]):
        super().__init__()
        widths = [2 * channels[-1], *reversed(channels)]  # from the embedding to the finest map
        self.stages = nn.ModuleList(
            _residual_stage(before, after, count, nn.ConvTranspose2d, kernel_size=2)
            for (before, after), count in zip(pairwise(widths), blocks, strict=True)
        )
        for stage in self.stages:
            stage[-1].activation = nn.Identity()
        self.rectified = list(reversed(rectified))
        _initialise(self)

    def forward(self, embedding: Tensor, grids: Sequence[Sequence[int]]) -> list[Tensor]:
        """One map a grid; `grids` (height, width) go from the finest to the coarsest, as the teacher's maps do."""
        maps, features = [], embedding
        for stage, rectified, grid in zip(self.stages, self.rectified, reversed(grids), strict=True):
            signed = _fitted(stage(features), grid)
            features = F.relu(signed)
            maps.insert(0, features if rectified else signed)
        return maps


class ResidualBlock(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions with a shortcut; `resampling` replaces the 3 x 3 one and changes the grid."""

    def __init__(self, before: int, after: int, resampling: type[nn.Module] | None = None, **kernel: int):
        super().__init__()
        width = max(1, after // 2)
        if resampling is None:
            middle = nn.Conv2d(width, width, 3, padding=1, bias=False)
            self.shortcut = nn.Identity()
        else:
            middle = resampling(width, width, stride=2, bias=False, **kernel)
            narrow = {"kernel_size": 1} if resampling is nn.Conv2d else kernel
            convolution = resampling(before, after, stride=2, bias=False, **narrow)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(after))
        self.residual = nn.Sequential(
            _normalised(nn.Conv2d(before, width, 1, bias=False)),
            _normalised(middle),
            nn.Conv2d(width, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )

        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.residual(features) + self.shortcut(features))


def _residual_stage(before: int, after: int, blocks: int, resampling: type[nn.Module], **kernel: int) -> nn.Sequential:
    rest = (ResidualBlock(after, after) for _ in range(blocks - 1))
    return nn.Sequential(ResidualBlock(before, after, resampling, **kernel), *rest)


def _normalised(convolution: nn.Module) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True))


def _initialise(network: nn.Module) -> None:
    """Kaiming's normal initialisation of convolutions, as in the code; transposed ones keep PyTorch's."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _fitted(maps: Tensor, grid: Sequence[int]) -> Tensor:
    """Maps cropped, or padded by repeating the border, at the bottom and on the right, to that grid."""
    height, width = grid
    maps = maps[..., :height, :width]
    missing = (0, width - maps.shape[-1], 0, height - maps.shape[-2])
    return F.pad(maps, missing, mode="replicate") if any(missing) else maps


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
