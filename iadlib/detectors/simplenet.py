"""SimpleNet: Liu et al., "SimpleNet: A Simple Network for Image Anomaly Detection and Localization", CVPR 2023,
arXiv:2303.15140.

Patch features of a frozen backbone pass through a linear adapter, which adapts them to the product's images. Adapted
features with Gaussian noise serve as anomalous ones, and a small discriminator learns to give normal features at least
the margin and noisy ones at most minus the margin. The score of a patch is the negative output of the discriminator;
the score of an image is its largest patch score.

Where we differ from the paper and its code: see `iadlib.features` for the neighbourhood average. Images are resized,
not cropped. Features of the training images are computed once. A batch is drawn from the patches of all images, not
from all patches of 8 images (10,368 patches on grids of 36 x 36), so that the batch normalisation in the discriminator
sees more variety. The code keeps the epoch with the best AUROC on the test images, which hides that the weights drift
once the loss is zero; here the schedule is fixed, and the moving average of the weights is kept. `most_steps` ends the
training before that drift when many images make many steps: with the class defaults but no such limit on 256
photographs, the image AUROC fell from 0.87 after 192 steps to 0.83 after 384 and 768, and to between 0.64 and 0.76
after 1,536 (by the code's image score). The default image score is the mean of the smoothed map's highest values;
"patch" is the code's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from iadlib.detectors.base import Detector
from iadlib.detectors.training import seeded, train
from iadlib.features import Backbone, patch_features, resolve_device
from iadlib.progress import track
from iadlib.stored import stored


@dataclass(kw_only=True, eq=False)
class SimpleNet(Detector):
    title: ClassVar = "SimpleNet"
    cuts: ClassVar = {"embedding": "features", "adapted": "features"}
    learned: ClassVar = ("adapter_", "discriminator_", "losses_")
    paths: ClassVar = ("checkpoint",)
    image_score_choices: ClassVar = ("top", "map", "patch")

    backbone: str = "tf_efficientnet_lite0"  # timm's name
    layers: tuple[int, ...] = (2, 3)  # of the backbone, the finest first
    checkpoint: str | None = None  # file with the backbone's weights; None: packaged or downloaded weights
    patch_size: int = 3  # side of the neighbourhood that is averaged, in patches
    embedding_dimension: int | None = None  # channels kept by pooling; None: all
    hidden_channels: int = 256  # of the discriminator
    noise_std: float = 3.0  # in units of the features, so that the right value depends on the backbone
    margin: float = 0.5
    epochs: int = 8  # passes over all patches of the training images
    most_steps: int | None = 400  # ends the training earlier; None: no limit
    training_batch_size: int = 1024  # patches
    adapter_learning_rate: float = 0.001
    discriminator_learning_rate: float = 0.002
    weight_decay: float = 1e-5  # of the discriminator
    # Highest decay of the moving average of the weights; 1: over about the last tenth of the steps; None: no average
    average_decay: float | None = 1.0

    def __post_init__(self):
        super().__post_init__()
        self._require_odd("patch_size")
        self._require_at_least(1, "hidden_channels", "epochs", "most_steps")
        if self.training_batch_size < 2:
            raise ValueError(f"training_batch_size {self.training_batch_size}: 2 or more, for batch normalisation")
        self._require_share("average_decay")
        self._require_positive("noise_std", "margin", "adapter_learning_rate", "discriminator_learning_rate")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Train adapter and discriminator; validation images are not used."""
        batches = track(train_images.split(self.batch_size), "simplenet: features")
        [embedding] = stored(([self.patches(batch)] for batch in batches), len(train_images))
        vectors = _vectors(embedding)  # (n h w, C), no copy
        self.build()
        for module in (self.adapter_, self.discriminator_):
            module.train().requires_grad_(True)

        def loss(features: Tensor) -> Tensor:
            normal = self.adapter_(features)
            noisy = normal + self.noise_std * torch.randn_like(normal)
            outputs = self.discriminator_(torch.cat([normal, noisy]))
            return truncated_l1(*outputs.chunk(2), self.margin)

        batch_size = min(self.training_batch_size, len(vectors))
        steps = self.epochs * (len(vectors) // batch_size)
        self.losses_ = train(
            loss,
            [vectors],
            [
                torch.optim.AdamW(self.adapter_.parameters(), lr=self.adapter_learning_rate, fused=True),
                torch.optim.Adam(
                    self.discriminator_.parameters(),
                    lr=self.discriminator_learning_rate,
                    weight_decay=self.weight_decay,
                    fused=True,
                ),
            ],
            steps=steps if self.most_steps is None else min(steps, self.most_steps),
            batch_size=batch_size,
            seed=self.seed,
            device=resolve_device(self.device),
            description="simplenet: discriminator",
            average_decay=self.average_decay,
        )
        for module in (self.adapter_, self.discriminator_):
            module.eval().requires_grad_(False)
        return self

    def build(self) -> None:
        channels = self.patches(torch.zeros(1, 3, 64, 64)).shape[1]
        with seeded(self.seed):
            self.adapter_ = nn.Linear(channels, channels)
            self.discriminator_ = nn.Sequential(
                nn.Linear(channels, self.hidden_channels),
                nn.BatchNorm1d(self.hidden_channels),
                nn.LeakyReLU(0.2),
                nn.Linear(self.hidden_channels, 1, bias=False),
            )
            for module in (self.adapter_, *self.discriminator_):
                if isinstance(module, nn.Linear):
                    nn.init.xavier_normal_(module.weight)
        for module in (self.adapter_, self.discriminator_):
            module.eval().requires_grad_(False).to(resolve_device(self.device))

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        embedding = self.patches(images)  # (N, C, h, w)
        yield "embedding", embedding
        vectors = self.adapter_(_vectors(embedding))  # (N h w, C)
        adapted = vectors.unflatten(0, (embedding.shape[0], *embedding.shape[2:])).permute(0, 3, 1, 2)
        yield "adapted", adapted  # (N, C, h, w)
        scores = -self.discriminator_(vectors).view(embedding.shape[0], 1, *embedding.shape[2:])
        yield "scores", scores  # (N, 1, h, w)
        if self.image_score == "patch":
            yield "image_scores", scores.amax(dim=(1, 2, 3))

    def patches(self, images: Tensor) -> Tensor:
        return patch_features(self._backbone(images), self.patch_size, self.embedding_dimension)  # (N, C, h, w)

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self.backbone, self.layers, self.checkpoint, self.device)


def truncated_l1(normal: Tensor, anomalous: Tensor, margin: float) -> Tensor:
    """Equation 6: mean shortfall of normal outputs below the margin, plus mean excess of the others above -margin."""
    return (margin - normal).clamp(min=0).mean() + (margin + anomalous).clamp(min=0).mean()


def _vectors(embedding: Tensor) -> Tensor:
    return embedding.permute(0, 2, 3, 1).flatten(0, 2)  # (N h w, C)
