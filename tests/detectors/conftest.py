"""Every detector with its class defaults, fitted once for all tests to small images with a planted defect."""

import pytest
import torch

from iadlib.detectors import DETECTORS, create, detector_class
from tests.conftest import textured

HEIGHT, WIDTH = 96, 64
DEFECT = (slice(52, 72), slice(28, 48))
TRAINING_IMAGES = {"simplenet": 34}  # it learns from batches of 1,024 patches; 12 images are enough for the others
STEPS = {"draem": 320, "anoddpm": 12}  # instead of hundreds; everything else is a default


def striped(count: int, seed: int) -> torch.Tensor:
    return textured(count, seed, (HEIGHT, WIDTH))


@pytest.fixture(scope="session")
def training_images() -> torch.Tensor:
    return striped(12, seed=1)


@pytest.fixture(scope="session")
def judged_images() -> torch.Tensor:
    """Two good images, then the same two with a bright square at DEFECT."""
    good = striped(2, seed=2)
    defective = good.clone()
    defective[:, :, *DEFECT] = 1.0
    return torch.cat([good, defective])


@pytest.fixture(scope="session", params=list(DETECTORS))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def settings(name) -> dict:
    """The class defaults, with fewer steps where they take minutes."""
    assert (name in STEPS) == detector_class(name).slow
    return {"steps": STEPS[name]} if name in STEPS else {}


@pytest.fixture(scope="session")
def fitted(name, settings):
    images = striped(TRAINING_IMAGES.get(name, 12), seed=1)
    return create(name, **settings).fit(images[2:], images[:2])
