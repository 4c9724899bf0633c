"""Photographs as arrays: decoded by Pillow, resized with its antialiased bilinear filter.

Pillow resizes 8-bit values, so that the result does not depend on the number of threads or on the processor; resized
values are therefore multiples of 1/255.

A camera of 10 or 12 bit stores its values in files of 16 bit, and nothing in the file gives the depth. The depth is a
property of a category: `bit_depth` takes it from all of its photographs, and every photograph is then read with it.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageOps

from iadlib.data.errors import DataError

if TYPE_CHECKING:
    import torch

DEPTHS = (8, 10, 12, 14, 16)  # bits
DISTORTED = 1.5  # ratio of sides, relative to that of the fit, from which on a photograph is clearly distorted
HOW_TO_GIVE_BITS = "give the depth of the camera as `bits` (`--bits` on the command line): 8, 10, 12, 14 or 16"


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels: upright size (height, width), EXIF orientation, and whether they are deeper."""

    size: tuple[int, int]
    orientation: int  # that remains to be applied: 1 is upright, 5 to 8 swap height and width
    deep: bool  # more than 8 bit

    @property
    def stored(self) -> tuple[int, int]:
        """The size (height, width) before the turn."""
        return self.size[::-1] if self.orientation >= 5 else self.size


def read_image(path: str | Path, bits: int | None = None) -> np.ndarray:
    """One photograph as uint8 (H, W, 3), upright by its EXIF orientation.

    Grey becomes RGB and an alpha channel is dropped. A file of 16 bit is reduced to its upper 8 of `bits` bits; see
    `bit_depth`. Without `bits`, only a value above 2**14 - 1 shows that the depth is 16; any other file of 16 bit is
    refused. Raises `DataError` if the file is missing, truncated, no image, or has values beyond its depth.
    """
    require_depth(bits)
    with _opened(path) as image:
        deep = _is_deep(image)
    if deep:
        values = _deep_values(path)
        return _eight_bit(values if values.ndim == 3 else np.repeat(values[:, :, None], 3, axis=2), bits, path)
    image = decode(path)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def load_images(paths: Iterable[str | Path], size: tuple[int, int], bits: int | None = None) -> torch.Tensor:
    """Photographs resized to `size` (height, width), as float32 (N, 3, height, width) in [0, 1].

    `bits` is the depth of photographs in files of 16 bit, see `read_image`. The photographs are read one by one into
    the result: the memory beyond it is that of one photograph.
    """
    import torch  # imported here because it takes seconds and most readers of a category do not need it

    paths = list(paths)
    height, width = size
    images = np.empty((len(paths), 3, height, width), dtype=np.float32)
    for path, target in zip(paths, images, strict=True):
        resized = Image.fromarray(read_image(path, bits)).resize((width, height), Image.Resampling.BILINEAR)
        np.divide(np.asarray(resized).transpose(2, 0, 1), np.float32(255), out=target)
    return torch.from_numpy(images)


def read_header(path: str | Path) -> Header:
    """The header of a photograph; its pixels are not read."""
    with _opened(path) as image:
        orientation = _orientation(image)
        if image.format == "PNG" and "exif" not in image.info:
            orientation = _orientation_behind_pixels(path)
        return Header(image.size if orientation >= 5 else image.size[::-1], orientation, _is_deep(image))


def bit_depth(paths: Iterable[str | Path]) -> int:
    """The depth of photographs in files of 16 bit: 8, 10, 12, 14 or 16, the least that holds their largest value.

    Only the headers of 8-bit files are read; the depth is 8 where there are no others. Raises `DataError` where the
    largest value is in the lower half of the range: the photographs may then be dark ones of a deeper camera.
    """
    largest, brightest = -1, None
    for path in paths:
        if read_header(path).deep and (value := int(_deep_values(path).max())) > largest:
            largest, brightest = value, path
    if brightest is None:
        return 8
    depth = next(depth for depth in DEPTHS if largest < 2**depth)
    if largest < 2 ** (depth - 1):
        raise DataError(
            f"{brightest}: {largest} is the largest value in these photographs of more than 8 bit, too dark to tell "
            f"a depth of {depth} bit from a greater one; {HOW_TO_GIVE_BITS}"
        )
    return depth


def require_depth(bits: int | None) -> None:
    """Raise `ValueError` where `bits` is neither None nor one of DEPTHS."""
    if bits is not None and bits not in DEPTHS:
        raise ValueError(f"bits is the depth of a camera, {', '.join(map(str, DEPTHS))} or None, not {bits!r}")


def fit_size(sizes: Sequence[tuple[int, int]], image_size: int | Sequence[int], multiple: int = 32) -> tuple[int, int]:
    """The one (height, width) that photographs of these `sizes` are resized to.

    A pair `image_size` is returned unchanged. A number n asks for about n x n pixels in area at the photographs' own
    aspect ratio, median height by median width. Nothing is enlarged beyond that median size, except to the smallest
    multiple.

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


def mixed_orientations(sizes: Sequence[tuple[int, int]]) -> str | None:
    """A warning where some photographs are higher than wide and others wider than high, else None."""
    upright = sum(height > width for height, width in sizes)
    lying = sum(height < width for height, width in sizes)
    if not upright or not lying:
        return None
    return (
        f"photographs higher than wide: {upright}, wider than high: {lying}; resizing all of them to one size distorts "
        "them, so turn photographs of the same part the same way"
    )


def shape_warning(files: Iterable[Path], size: Sequence[int]) -> str | None:
    """A warning where a photograph has clearly another ratio of height to width than `size`, else None.

    Files that cannot be read are passed over.
    """
    for file in files:
        with suppress(DataError):
            height, width = read_header(file).size
            ratio = height / width / (size[0] / size[1])
            if max(ratio, 1 / ratio) > DISTORTED:
                shape = f"photographs have another shape than those of the fit, {file} for example"
                return f"{shape}; resizing distorts them, so their scores say little"
    return None


def decode(path: str | Path) -> Image.Image:
    """The upright picture in Pillow's own mode, all of it read, the file closed."""
    with _opened(path) as image:
        return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # a PNG may have its EXIF block behind its pixels
    return ImageOps.exif_transpose(image) if _orientation(image) > 1 else image.copy()


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """The picture with only its header read; every failure becomes a `DataError`."""
    try:
        with Image.open(path) as image:
            if image.format != "MPO" and (count := getattr(image, "n_frames", 1)) > 1:  # MPO: a phone's second picture
                raise DataError(f"{path}: holds {count} pictures; save each that is to be read as a file of its own")
            yield image
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such image") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: more than 179 million pixels, which is refused; cut it, or make it smaller"
        ) from error
    # A broken file makes Pillow raise almost anything: OSError, SyntaxError, ValueError, struct.error, KeyError ...
    except Exception as error:
        raise DataError(f"{path}: not readable as an image ({error})") from error


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation that remains to be applied: 1 is upright, 5 to 8 swap height and width."""
    # Pillow turns a TIFF itself. For a PNG without EXIF at its head, it would decode all pixels to look at its end.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    return _known(image.getexif())


def _known(exif: Image.Exif) -> int:
    """The orientation; 1 where it is none of those that EXIF knows."""
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def _orientation_behind_pixels(path: str | Path) -> int:
    """The EXIF orientation of a PNG whose EXIF block follows its pixels, found without reading these."""
    with Path(path).open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                exif = Image.Exif()
                exif.load(file.read(length))
                return _known(exif)
            file.seek(length + 4, 1)
    return 1


# -- more than 8 bit --------------------------------------------------------------------------------------------------


def _is_deep(image: Image.Image) -> bool:
    """Whether the file of an image has values of more than 8 bit."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return True
    if image.format == "TIFF":
        return max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))) > 8
    return any(";16" in _raw_mode(tile) for tile in image.tile)


def _deep_values(path: str | Path) -> np.ndarray:
    """The values of an upright photograph of more than 8 bit as uint16, (H, W) or (H, W, 3) without alpha."""
    with _opened(path) as image:
        raw_mode = _raw_mode(image.tile[0]) if image.tile else ""
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            values = np.asarray(_upright(image))
            if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
                raise DataError(
                    f"{path}: pixel values of 8 or 16 bit expected, not {values.dtype} up to {values.max()}"
                )
            return values.astype(np.uint16)
        name, _, order = raw_mode.partition(";16")
        in_planes = image.format == "TIFF" and image.tag_v2.get(ExifTags.Base.PlanarConfiguration, 1) != 1
        if name not in ("RGB", "RGBA", "RGBX", "LA") or not order or in_planes:
            raise DataError(f"{path}: this kind of 16 bit is not read; save it as a PNG of 16 bit, grey or RGB")
        upper = np.asarray(_upright(image))
    # Pillow keeps the upper 8 of 16 bit in images of several channels; in the other byte order, it keeps the lower 8.
    with _opened(path) as image:
        big = order == "B" or (order == "N" and sys.byteorder == "big")
        lower_mode = "RGBA" if name == "LA" else f"{name};16{'L' if big else 'B'}"
        image.tile = [_with_raw_mode(tile, lower_mode) for tile in image.tile]
        lower = np.asarray(_upright(image))
    if name == "LA":  # the bytes of grey and alpha, two each, were read as four channels
        return upper[:, :, 0].astype(np.uint16) << 8 | lower[:, :, 1]
    return upper[:, :, :3].astype(np.uint16) << 8 | lower[:, :, :3]


def _raw_mode(tile) -> str:
    """How the pixels of a piece of a file are stored, in Pillow's notation."""
    arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    return arguments[0] if arguments and isinstance(arguments[0], str) else ""


def _with_raw_mode(tile, raw_mode: str):
    return tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)


def _eight_bit(values: np.ndarray, bits: int | None, path: str | Path) -> np.ndarray:
    """The upper 8 of `bits` bits of uint16 values."""
    largest = int(values.max())
    if bits is None and largest < 2**14:
        raise DataError(
            f"{path}: a photograph of more than 8 bit, whose depth cannot be taken from it alone; {HOW_TO_GIVE_BITS}"
        )
    bits = bits or 16
    if largest >= 2**bits:
        raise DataError(f"{path}: its largest value {largest} is beyond {bits} bit; {HOW_TO_GIVE_BITS}")
    return (values >> (bits - 8)).astype(np.uint8)
