"""Small, non-square images with a planted defect, for every test that needs some."""

import os

import pytest
import torch

os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
torch.set_num_threads(1)  # as in fits: then no number depends on how many cores there are

HEIGHT, WIDTH = 64, 48
DEFECT = (slice(36, 52), slice(20, 36))


def textured(count: int, seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> torch.Tensor:
    """Images (count, 3, height, width) of diagonal stripes of random phase, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    phase = torch.rand(count, 1, 1, generator=generator) * 6
    stripes = 0.5 + 0.25 * torch.sin((rows + columns) / 3 + phase)
    noise = 0.02 * torch.randn(count, 3, *size, generator=generator)
    return (stripes.unsqueeze(1) + noise).clamp(0, 1)


@pytest.fixture(scope="session")
def normal_images() -> torch.Tensor:
    return textured(8, seed=1)


@pytest.fixture(scope="session")
def test_images() -> torch.Tensor:
    """Two good images, then the same two with a bright square at DEFECT."""
    good = textured(2, seed=2)
    defective = good.clone()
    defective[:, :, *DEFECT] = 1.0
    return torch.cat([good, defective])
