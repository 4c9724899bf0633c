"""AnoDDPM: Wyatt et al., "AnoDDPM: Anomaly Detection with Denoising Diffusion Probabilistic Models using Simplex
Noise", CVPR Workshops 2022.

A U-Net learns on normal images to estimate the noise in noised images, at every level of noise. A test image is
diffused for `depth` of T steps (the paper's lambda) and denoised step by step; the reconstruction looks like a normal
image, and its squared difference to the test image is the map. Simplex noise of several octaves, unlike Gaussian noise,
hides structures as large as an anomaly.

Where we differ from the paper and its code: images have three channels, each with noise of its own. Simplex noise is
two-dimensional, where the code cuts slices out of three dimensions; see `iadlib.noise`. It is divided by its standard
deviation, known in closed form, so that the schedule holds; the code does not do that.

Denoising may skip steps (`reverse_steps` below `depth`): it follows equation 12 of Song, Meng and Ermon, "Denoising
Diffusion Implicit Models", ICLR 2021, in which `stochasticity` 1 with every step is the ancestral sampling of DDPM
(with the smaller of its two variances; the code takes the larger), and 0 adds no noise. Its estimate of the image is
clipped to the range of images, where the code clips the noised image. All test images get the same noise, which depends
on `seed`, so that a score depends neither on the batch nor on a draw of its own. `trained_timesteps` limits training to
the levels of noise that detection uses, as the code does (800 there). The U-Net is that of diffusers, with strided
convolutions where the authors' has residual blocks that resample; an attention head has the largest number of channels
that divides those of all its levels and half of the last level's, where the authors fix the number of heads.
`patch_size` above 1 folds squares of pixels into channels before the network, which makes it cheaper. Images whose
sides the levels do not divide are padded by reflection. The image score, the smoothed map's maximum, is ours: the paper
segments, and gives no image score.

By default squared differences are divided by the error of good images at the same place, since edges and textures are
hard to reconstruct in good images, too. This error is the mean over some training images, smoothed like a map, plus a
fifth of its own mean over all places, so that it is nowhere near 0.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iadlib.detectors.base import Detector, smooth_maps
from iadlib.detectors.training import seeded, train
from iadlib.features import resolve_device
from iadlib.noise import simplex_noise
from iadlib.progress import track

NOISES = ("simplex", "gaussian")
REFERENCE_IMAGES = 48  # training images, at most, whose errors are those of good images
LEAST_ERROR = 0.2  # added to the errors of good images, relative to their mean over all places


@dataclass(kw_only=True, eq=False)
class AnoDDPM(Detector):
    title: ClassVar = "AnoDDPM"
    cuts: ClassVar = {"residual": "distance"}
    # The network has the average of the weights over the training; `errors_` (1, 1, H, W) are those of good images.
    learned: ClassVar = ("network_", "losses_", "errors_")
    slow: ClassVar = True
    image_size: ClassVar = 96

    noise: str = "simplex"  # or "gaussian"
    octaves: int = 6  # of the simplex noise
    persistence: float = 0.8  # amplitude of an octave relative to the one before
    largest_structure: float = 64.0  # wavelength of the first octave in pixels; each further one is half as long
    timesteps: int = 1000  # T of the noise schedule
    trained_timesteps: int = 250  # training uses the levels of noise of the first of these steps
    depth: int = 50  # lambda: steps by which a test image is diffused
    reverse_steps: int = 1  # evaluations of the network to denoise it
    stochasticity: float = 0.0  # eta of DDIM: 1 for the ancestral sampling of DDPM, 0 for no noise
    reconstructions: int = 8  # with different noise, averaged before the comparison with the image
    channels: tuple[int, ...] = (16, 32, 64)  # of the U-Net's levels, the finest first
    layers_per_level: int = 1
    attention: tuple[int, ...] = ()  # levels with attention, 0 the finest, besides the middle of the U-Net
    relative_errors: bool = True  # to those of training images at the same place
    patch_size: int = 2  # side of the squares of pixels that are folded into channels
    steps: int = 150
    learning_rate: float = 0.002
    training_batch_size: int = 8
    average_decay: float = 0.98  # of the moving average of the weights; smaller in the first steps
    max_gradient_norm: float | None = 1.0  # gradients are clipped to this norm; None: not clipped
    image_score: str = "map"
    smoothing_sigma: float = 2.0

    def __post_init__(self):
        super().__post_init__()
        self._require_choice(noise=NOISES)
        if not 0 <= self.depth <= self.trained_timesteps <= self.timesteps or self.trained_timesteps < 1:
            raise ValueError(
                f"depth {self.depth}, trained_timesteps {self.trained_timesteps}, timesteps {self.timesteps}: "
                "0 <= depth <= trained_timesteps <= timesteps is required, and trained_timesteps of 1 or more"
            )
        if not 1 <= self.reverse_steps <= max(1, self.depth):
            raise ValueError(f"reverse_steps {self.reverse_steps}: 1 to {max(1, self.depth)}, the depth")
        if self.octaves < 1 or self.largest_structure < 2**self.octaves:
            raise ValueError(
                f"octaves {self.octaves}, largest_structure {self.largest_structure}: 1 octave or more, each of "
                "half the wavelength of the one before, the last of at least 2 pixels"
            )
        self._require_share("stochasticity", "persistence", "average_decay")
        self._require_at_least(1, "reconstructions", "patch_size", "steps", "training_batch_size", "layers_per_level")
        self._require_positive("learning_rate", "max_gradient_norm")
        if not self.channels or any(width % 8 for width in self.channels):
            raise ValueError(f"channels {list(self.channels)}: a multiple of 8 for each level")
        if any(not 0 <= level < len(self.channels) for level in self.attention):
            raise ValueError(f"attention {list(self.attention)}: levels from 0 to {len(self.channels) - 1}")

    def fit(self, train_images: Tensor, validation_images: Tensor | None = None) -> Self:
        """Train the U-Net and keep the moving average of its weights; validation images are not used."""
        device = resolve_device(self.device)
        self.build()
        network = self.network_.train().requires_grad_(True)
        network.to(memory_format=self._memory_format(network))

        def loss(images: Tensor) -> Tensor:
            count, _, height, width = images.shape
            step = torch.randint(1, self.trained_timesteps + 1, (count,), device=device)
            noise = self._noise(count, height, width)
            return F.mse_loss(self._estimate(network, self.diffused(images, noise, step), step), noise)

        self.losses_ = train(
            loss,
            [self._padded(train_images * 2 - 1)],
            [torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=0, fused=True)],
            steps=self.steps,
            batch_size=self.training_batch_size,
            seed=self.seed,
            device=device,
            description="anoddpm: U-Net",
            max_gradient_norm=self.max_gradient_norm,
            average_decay=self.average_decay,
        )
        network.eval().requires_grad_(False).to(memory_format=self._memory_format(network))
        self.errors_ = torch.ones(1, 1, 1, 1, device=device)
        if self.relative_errors:
            self.errors_ = self._errors(train_images[:: math.ceil(len(train_images) / REFERENCE_IMAGES)])
        return self

    def _errors(self, images: Tensor) -> Tensor:
        """The mean squared error (1, 1, H, W) of good images, smoothed, and above 0 everywhere."""
        batches = track(images.split(self.batch_size), "anoddpm: errors of training images")
        with torch.inference_mode():
            residuals = [self._residual(batch) for batch in batches]
        error = torch.cat(residuals).mean(dim=(0, 1), keepdim=True)
        smooth = smooth_maps(error, error.shape[-2:], self.smoothing_sigma).unsqueeze(1)
        return (smooth + LEAST_ERROR * error.mean()).clamp(min=torch.finfo(error.dtype).tiny)

    def build(self) -> None:
        with seeded(self.seed):
            self.network_ = self._new_network().eval().requires_grad_(False)

    def stations(self, images: Tensor, own: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
        residual = self._residual(images)  # (N, 3, H, W)
        yield "residual", residual
        yield "scores", residual.mean(dim=1, keepdim=True) / self.errors_

    def _residual(self, images: Tensor) -> Tensor:
        images = images.to(resolve_device(self.device))
        return (images - self.reconstruct(images)).square()

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [0, 1], diffused by `depth` steps and denoised."""
        if self.depth == 0:
            return images
        height, width = images.shape[-2:]
        padded = self._padded(images * 2 - 1)
        generator = torch.Generator().manual_seed(self.seed)
        total = torch.zeros_like(padded)
        for _ in range(self.reconstructions):
            noise = self._noise(1, *padded.shape[-2:], generator)
            total += self._denoised(self.diffused(padded, noise, self.depth), generator)
        return (total[..., :height, :width] / self.reconstructions + 1) / 2

    def diffused(self, images: Tensor, noise: Tensor, step: Tensor | int) -> Tensor:
        """q(x_t | x_0) after `step` of the `timesteps`; 0 leaves the images as they are."""
        signal = self._signal[torch.as_tensor(step)].view(-1, 1, 1, 1)
        return signal.sqrt() * images + (1 - signal).sqrt() * noise

    def _denoised(self, noised: Tensor, generator: torch.Generator) -> Tensor:
        """Images in [-1, 1] from images that were diffused by `depth` steps."""
        steps = torch.linspace(self.depth, 0, self.reverse_steps + 1).round().long().tolist()
        for step, following in pairwise(steps):
            step_of_each = torch.full((len(noised),), step, device=noised.device)
            noise = self._estimate(self.network_, noised, step_of_each)
            fresh = self._noise(1, *noised.shape[-2:], generator) if self.stochasticity and following else 0.0
            signal, next_signal = float(self._signal[step]), float(self._signal[following])
            noised = reverse_step(noised, noise, signal, next_signal, self.stochasticity, fresh)
        return noised

    def _estimate(self, network: nn.Module, noised: Tensor, step: Tensor) -> Tensor:
        """The network's estimate of the noise; its own count of steps starts at 0."""
        folded = F.pixel_unshuffle(noised, self.patch_size).contiguous(memory_format=self._memory_format(network))
        return F.pixel_shuffle(network(folded, step - 1).sample, self.patch_size)

    def _noise(self, count: int, height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
        """Noise (count, 3, height, width) of unit variance, from the generator or else from PyTorch's own."""
        device = resolve_device(self.device)
        source = device if generator is None else generator.device
        if self.noise == "gaussian":
            return torch.randn(count, 3, height, width, generator=generator, device=source).to(device)
        maps = simplex_noise(
            3 * count, height, width, self.largest_structure, self.octaves, self.persistence, generator, source
        )
        return maps.to(device).unflatten(0, (count, 3))

    def _padded(self, images: Tensor) -> Tensor:
        """Images padded by reflection, at the bottom and on the right, to sides that all levels divide."""
        multiple = self.patch_size * 2 ** (len(self.channels) - 1)
        height, width = images.shape[-2:]
        missing_height, missing_width = -height % multiple, -width % multiple
        if missing_height >= height or missing_width >= width:
            raise ValueError(
                f"images of {(height, width)} are too small to be padded to multiples of {multiple}: "
                f"sides of more than {multiple // 2} pixels are needed"
            )
        return F.pad(images, (0, missing_width, 0, missing_height), mode="reflect")

    def _new_network(self) -> nn.Module:
        from diffusers import UNet2DModel  # importing it takes seconds

        levels = range(len(self.channels))
        network = UNet2DModel(
            in_channels=3 * self.patch_size**2,
            out_channels=3 * self.patch_size**2,
            block_out_channels=self.channels,
            layers_per_block=self.layers_per_level,
            down_block_types=["AttnDownBlock2D" if level in self.attention else "DownBlock2D" for level in levels],
            up_block_types=["AttnUpBlock2D" if level in self.attention else "UpBlock2D" for level in reversed(levels)],
            attention_head_dim=math.gcd(*(self.channels[level] for level in self.attention), self.channels[-1] // 2),
            norm_num_groups=min(32, math.gcd(*self.channels)),
        )
        return network.to(resolve_device(self.device), memory_format=torch.channels_last)

    def _memory_format(self, network: nn.Module) -> torch.memory_format:
        """The faster one: on a CPU, gradients of group normalisation are slow in channels_last."""
        slow = network.training and resolve_device(self.device).type == "cpu"
        return torch.contiguous_format if slow else torch.channels_last

    @cached_property
    def _signal(self) -> Tensor:
        """Share of the variance that belongs to the image after 0 to T steps, (T + 1,)."""
        products = (1 - torch.linspace(0.0001, 0.02, self.timesteps)).cumprod(dim=0)  # DDPM, section 4
        return torch.cat([torch.ones(1), products]).to(resolve_device(self.device))


def reverse_step(
    noised: Tensor, noise: Tensor, signal: float, next_signal: float, stochasticity: float, fresh: Tensor | float
) -> Tensor:
    """One step from the signal share `signal` to `next_signal`: equations 12 and 16 of DDIM with estimated `noise`."""
    image = ((noised - (1 - signal) ** 0.5 * noise) / signal**0.5).clamp(-1, 1)
    noise = (noised - signal**0.5 * image) / (1 - signal) ** 0.5  # for the clamped image
    variance = stochasticity**2 * (1 - next_signal) / (1 - signal) * (1 - signal / next_signal)  # sigma^2
    return next_signal**0.5 * image + (1 - next_signal - variance) ** 0.5 * noise + variance**0.5 * fresh
