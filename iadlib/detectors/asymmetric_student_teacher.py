"""Asymmetric student-teacher (AST): Rudolph et al., "Asymmetric Student-Teacher Networks for Industrial Anomaly
Detection", WACV 2023, arXiv:2210.07829. The part for colour images; depth is not used.

A teacher, a conditional real-NVP, learns to transform features of normal images, given their position in the image,
into standard normal ones. A student, a plain convolutional network, learns to give the same output for the same input.
The student is no normalising flow, so that its output on anomalous features, which it was not trained on, differs from
the teacher's. The score of a patch is the mean squared difference of the outputs; the score of an image is its largest
patch score.

Where we differ from the paper and its code: teacher and student are trained on features that are computed once. The
teacher's coupling blocks are FrEIA's, with its soft clamp; the networks inside have one hidden layer, 3 x 3 kernels in
all blocks, leaky rectifiers, zero padding, and a gamma for every channel. The student's first convolution is not
rectified; its leaky rectifiers have the teacher's slope of 0.1, the code's 0.01. Gradients are clipped at a norm of 1.
`standardise` first divides every channel by its standard deviation over the training images, which both networks
otherwise have to learn. The map is smoothed. The default image score is the mean of its highest values; "patch" is the
code's, the largest patch score before smoothing.

The cut "difference" is the absolute difference of the outputs. The student was trained on the training images, so that
their differences are smaller than those of new normal images; `own` changes nothing.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from FrEIA.framework import SequenceINN
from FrEIA.modules import GLOWCouplingBlock, InvertibleModule
from torch import Tensor, nn

from iadlib.detectors.base import Detector
from iadlib.detectors.training import seeded, train
from iadlib.features import Backbone, resolve_device
from iadlib.progress import track
from iadlib.stored import stored


@dataclass(kw_only=True, eq=False)
class AsymmetricStudentTeacher(Detector):
    title: ClassVar = "Asymmetric student-teacher"
    cuts: ClassVar = {"embedding": "features", "latent": "deviation", "difference": "distance"}
    # per-channel mean and standard deviation (C,), both networks, and their losses: the teacher's, then the student's
    learned: ClassVar = ("mean_", "std_", "teacher_", "student_", "losses_")
    paths: ClassVar = ("checkpoint",)
    image_score_choices: ClassVar = ("top", "map", "patch")

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layer: int | str = 3  # of the backbone: an index or the name of a module
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    standardise: bool = True  # divide features by their standard deviation over the training images
    position_channels: int = 32  # of the positional encoding, a multiple of 4
    teacher_blocks: int = 4  # coupling blocks of the flow
    teacher_hidden_channels: int = 64
    clamp: float = 1.9  # bound of the logarithm of a coupling's scale
    student_blocks: int = 2  # residual blocks
    student_hidden_channels: int = 64
    teacher_epochs: int = 10
    student_epochs: int = 10
    training_batch_size: int = 8
    learning_rate: float = 0.001
    weight_decay: float = 1e-5
    max_gradient_norm: float = 1.0  # gradients are clipped to this norm

    def __post_init__(self):
        super().__post_init__()
        if self.position_channels < 4 or self.position_channels % 4:
            raise ValueError(f"position_channels {self.position_channels}: a multiple of 4")
        self._require_at_least(
            1,
            "teacher_blocks",
            "teacher_hidden_channels",
            "student_blocks",
            "student_hidden_channels",
            "teacher_epochs",
            "student_epochs",
            "training_batch_size",
        )
        self._require_positive("clamp", "learning_rate", "max_gradient_norm")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Train the teacher, then the student; validation images are not used."""
        batches = track(train_images.split(self.batch_size), "asymmetric student-teacher: features")
        [embedding] = stored(([self.embedding(batch)] for batch in batches), len(train_images))  # (n, C, h, w)
        device = resolve_device(self.device)
        self.mean_ = embedding.mean(dim=(0, 2, 3)).to(device)
        self.std_ = embedding.std(dim=(0, 2, 3)).clamp(min=1e-6).to(device)
        if not self.standardise:
            self.mean_, self.std_ = torch.zeros_like(self.mean_), torch.ones_like(self.std_)
        self.build()

        def distance(features: Tensor) -> Tensor:
            features = self._standardised(features)
            with torch.no_grad():
                target, _ = self.teacher_(features)
            return F.mse_loss(self.student_(features), target)

        self.losses_ = torch.cat(
            [
                self._train(
                    self.teacher_,
                    lambda features: negative_log_likelihood(*self.teacher_(self._standardised(features))),
                    embedding,
                    self.teacher_epochs,
                    "teacher",
                ),
                self._train(self.student_, distance, embedding, self.student_epochs, "student"),
            ]
        )
        return self

    def _train(
        self, network: nn.Module, loss: Callable[[Tensor], Tensor], embedding: Tensor, epochs: int, name: str
    ) -> Tensor:
        network.train().requires_grad_(True)
        batch_size = min(self.training_batch_size, len(embedding))
        losses = train(
            loss,
            [embedding],
            [torch.optim.Adam(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)],
            steps=epochs * (len(embedding) // batch_size),
            batch_size=batch_size,
            seed=self.seed,
            device=resolve_device(self.device),
            description=f"asymmetric student-teacher: {name}",
            max_gradient_norm=self.max_gradient_norm,
        )
        network.eval().requires_grad_(False)
        return losses

    def build(self) -> None:
        channels = self.embedding(torch.zeros(1, 3, 64, 64)).shape[1]
        with seeded(self.seed):
            self.teacher_ = Teacher(
                channels, self.position_channels, self.teacher_blocks, self.teacher_hidden_channels, self.clamp
            )
            self.student_ = Student(channels, self.position_channels, self.student_blocks, self.student_hidden_channels)
        for network in (self.teacher_, self.student_):
            network.eval().requires_grad_(False)
            network.to(resolve_device(self.device), memory_format=torch.channels_last)

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        embedding = self.embedding(images)  # (N, C, h, w)
        yield "embedding", embedding
        features = self._standardised(embedding)
        latent, _ = self.teacher_(features)
        yield "latent", latent  # (N, C, h, w)
        difference = (latent - self.student_(features)).abs()
        yield "difference", difference
        scores = difference.square().mean(dim=1, keepdim=True)  # (N, 1, h, w)
        yield "scores", scores
        if self.image_score == "patch":
            yield "image_scores", scores.amax(dim=(1, 2, 3))

    @property
    def losses(self) -> dict[str, Tensor]:
        self._require_fitted()
        teacher_steps = len(self.losses_) * self.teacher_epochs // (self.teacher_epochs + self.student_epochs)
        return {"teacher": self.losses_[:teacher_steps], "student": self.losses_[teacher_steps:]}

    def embedding(self, images: Tensor) -> Tensor:
        return self._backbone(images)[0]  # (N, C, h, w)

    def _standardised(self, embedding: Tensor) -> Tensor:
        return (embedding - self.mean_.view(-1, 1, 1)) / self.std_.view(-1, 1, 1)

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, (self.layer,), self.checkpoint, self.device)


def negative_log_likelihood(latent: Tensor, log_determinant: Tensor) -> Tensor:
    """Of a standard normal, per dimension and without the constant; the mean over the images."""
    return (latent.square().flatten(1).sum(dim=1) / 2 - log_determinant).mean() / latent[0].numel()


def positional_encoding(channels: int, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Sines and cosines (channels, height, width): half of the channels encode the row, half the column."""
    frequencies = torch.exp(-math.log(10000) * torch.arange(channels // 4, device=device) / (channels // 4))

    def waves(length: int) -> Tensor:
        angles = frequencies.view(-1, 1) * torch.arange(length, device=device)  # (channels / 4, length)
        return torch.cat([angles.sin(), angles.cos()])

    rows, columns = waves(height).unsqueeze(2), waves(width).unsqueeze(1)
    return torch.cat([rows.expand(-1, -1, width), columns.expand(-1, height, -1)])


class Shuffle(InvertibleModule):
    """A fixed random order of the channels, from PyTorch's generator; FrEIA's own module re-seeds NumPy's."""

    def __init__(self, dims_in: Sequence[tuple[int, ...]], dims_c: Sequence[tuple[int, ...]] = ()):
        super().__init__(dims_in, dims_c)
        self.register_buffer("order", torch.randperm(dims_in[0][0]))
        self.register_buffer("order_back", self.order.argsort())

    def forward(self, x, c=None, rev: bool = False, jac: bool = True):
        return [x[0][:, self.order_back if rev else self.order]], 0.0

    def output_dims(self, input_dims):
        return input_dims


class Teacher(nn.Module):
    """Real-NVP: maps (N, C, h, w) in; maps of the same shape and the log-determinant of the Jacobian (N,) out."""

    def __init__(self, channels: int, position_channels: int, blocks: int, hidden_channels: int, clamp: float):
        super().__init__()
        self.position_channels = position_channels
        grid = (1, 1)  # required by FrEIA; no layer here depends on it
        self.flow = SequenceINN(channels, *grid)
        for _ in range(blocks):
            self.flow.append(Shuffle)
            self.flow.append(
                GLOWCouplingBlock,
                cond=0,
                cond_shape=(position_channels, *grid),
                subnet_constructor=lambda before, after: Subnet(before, after, hidden_channels),
                clamp=clamp,
            )

    def forward(self, features: Tensor, rev: bool = False) -> tuple[Tensor, Tensor]:
        position = positional_encoding(self.position_channels, *features.shape[-2:], features.device)
        return self.flow(features, c=[position.expand(features.shape[0], -1, -1, -1)], rev=rev)


class Subnet(nn.Module):
    """Scale and shift of a coupling, times a learned gamma for every channel that starts at 0."""

    def __init__(self, channels: int, out_channels: int, hidden_channels: int):
        super().__init__()
        self.enter = nn.Conv2d(channels, hidden_channels, 3, padding=1)
        self.leave = nn.Conv2d(hidden_channels, out_channels, 3, padding=1)
        self.gamma = nn.Parameter(torch.zeros(out_channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.gamma * self.leave(F.leaky_relu(self.enter(features), 0.1))


class Student(nn.Module):
    """A residual convolutional network with no bottleneck and no inverse: maps (N, C, h, w) to maps of that shape."""

    def __init__(self, channels: int, position_channels: int, blocks: int, hidden_channels: int):
        super().__init__()
        self.position_channels = position_channels
        self.enter = nn.Conv2d(channels + position_channels, hidden_channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(hidden_channels, hidden_channels, 3, padding=1),
                nn.BatchNorm2d(hidden_channels),
                nn.LeakyReLU(0.1),
                nn.Conv2d(hidden_channels, hidden_channels, 3, padding=1),
                nn.BatchNorm2d(hidden_channels),
                nn.LeakyReLU(0.1),
            )
            for _ in range(blocks)
        )
        self.leave = nn.Conv2d(hidden_channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        position = positional_encoding(self.position_channels, *features.shape[-2:], features.device)
        hidden = self.enter(torch.cat([features, position.expand(features.shape[0], -1, -1, -1)], dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.leave(hidden)
