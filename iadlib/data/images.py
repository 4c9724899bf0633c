"""Photographs as arrays: decoded by Pillow, resized with its antialiased bilinear filter.

Pillow resizes 8-bit values, so that the result does not depend on the number of threads or on the processor; the
price is that resized values are rounded to 1/255.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageOps

from iadlib.data.errors import DataError

if TYPE_CHECKING:
    import torch


def read_image(path: str | Path) -> np.ndarray:
    """One photograph as uint8 (H, W, 3), upright as its EXIF orientation says.

    Grey becomes RGB, 16 bit is scaled to 8 (65535 becomes 255), an alpha channel is dropped. Raises `DataError` if the
    file is missing, truncated, no image, or of more than 16 bit.
    """
    image = decode(path)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return np.repeat(_eight_bit(np.asarray(image), path)[:, :, None], 3, axis=2)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def load_images(paths: Iterable[str | Path], size: tuple[int, int]) -> torch.Tensor:
    """Photographs resized to `size` (height, width), as float32 (N, 3, height, width) in [0, 1].

    Read one by one into the result: memory beyond it is that of a single photograph.
    """
    import torch  # here, because it takes seconds, and who only looks at masks needs none

    paths = list(paths)
    height, width = size
    images = np.empty((len(paths), 3, height, width), dtype=np.float32)
    for path, target in zip(paths, images, strict=True):
        resized = Image.fromarray(read_image(path)).resize((width, height), Image.Resampling.BILINEAR)
        np.divide(np.asarray(resized).transpose(2, 0, 1), np.float32(255), out=target)
    return torch.from_numpy(images)


def image_sizes(paths: Iterable[str | Path]) -> list[tuple[int, int]]:
    """(height, width) of upright photographs, from the files' headers alone."""
    sizes = []
    for path in paths:
        with _opened(path) as image:
            lies_on_its_side = _orientation(image) >= 5
            sizes.append(image.size if lies_on_its_side else image.size[::-1])
    return sizes


def fit_size(sizes: Sequence[tuple[int, int]], image_size: int | Sequence[int], multiple: int = 32) -> tuple[int, int]:
    """The one (height, width) that photographs of these `sizes` are resized to.

    A pair `image_size` is meant as it stands. A number n asks for about n x n pixels in area, at the photographs' own
    shape: median height by median width. Nothing is enlarged beyond that median size, but for the smallest multiple.

    >>> fit_size([(1000, 2000)], 224)
    (160, 320)
    >>> fit_size([(128, 288)], 224)
    (128, 288)
    """
    if not isinstance(image_size, int):
        if len(image_size) != 2 or min(image_size) < 1:
            raise ValueError(f"image_size is a number of pixels or a pair (height, width), not {image_size}")
        return image_size[0], image_size[1]
    if image_size < 1:
        raise ValueError(f"image_size is 1 pixel or more, not {image_size}")
    if not sizes:
        raise DataError("no photographs to take a size from: give image_size as (height, width)")
    median = np.median(np.asarray(sizes), axis=0)
    scale = min(1.0, image_size / math.sqrt(median.prod()))
    largest = median // multiple
    height, width = np.clip(np.rint(median * scale / multiple), 1, np.maximum(largest, 1)).astype(int) * multiple
    return int(height), int(width)


def decode(path: str | Path) -> Image.Image:
    """The upright picture in Pillow's own mode, all of it read, the file closed."""
    with _opened(path) as image:
        image.load()
        return ImageOps.exif_transpose(image) if _orientation(image) > 1 else image.copy()


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """The picture with only its header read; whatever goes wrong with it becomes a `DataError`."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such image") from error
    # A broken file makes Pillow raise almost anything: OSError, SyntaxError, ValueError, struct.error, KeyError ...
    except Exception as error:
        raise DataError(f"{path}: not readable as an image ({error})") from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation that is left to apply: 1 is upright, 5 to 8 lie on their side."""
    # Pillow turns a TIFF itself. For a PNG without EXIF at its head, it would decode all pixels to look at its end.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _eight_bit(values: np.ndarray, path: str | Path) -> np.ndarray:
    """Grey values of 16 bit as uint8, rounded."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path}: pixel values of 8 or 16 bit expected, not {values.dtype} up to {values.max()}")
    return np.rint(values / 257).astype(np.uint8)
