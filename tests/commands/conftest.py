"""Photographs of a small plate, and a detector that is fitted to them once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iadlib.commands.fit import FitSettings, fit


def plate(number: int, defective: bool = False, size: tuple[int, int] = (64, 96)) -> Image.Image:
    """A photograph (height, width) of a textured plate, with a bright square if it is defective."""
    pixels = np.random.default_rng(number).integers(100, 140, (*size, 3)).astype(np.uint8)
    if defective:
        pixels[20:36, 30:46] = 255
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def good_parts(tmp_path_factory) -> Path:
    """A folder with nothing but photographs of good parts."""
    folder = tmp_path_factory.mktemp("parts") / "good"
    folder.mkdir()
    for number in range(10):
        plate(number).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def result(good_parts, tmp_path_factory) -> Path:
    """The folder of a detector that is fitted to the good parts."""
    out = tmp_path_factory.mktemp("fitted") / "result"
    fit([good_parts], "padim", out, FitSettings(image_size=64, hyperparameters={"channels": 20}))
    return out
