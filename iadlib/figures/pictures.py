"""A photograph beside its map as one small picture, drawn with numpy and Pillow alone.

Matplotlib takes more than ten times as long for such a picture, and a second to be imported. Commands write one picture
for every photograph.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from iadlib.types import Region

LONGER_SIDE = 480  # pixels of each of the two halves
GAP = 8  # pixels
OUTLINE = (0, 229, 255)
MAP_SHARE = 0.75  # weight of the colours of the map in the right half; the photograph has the rest
# Every fifteenth colour of matplotlib's colour map inferno.
_INFERNO = bytes.fromhex("""
    000004 0a0722 1e0c45 380962 510e6c 69166e 801f6c 982766 b0315b c63d4d d94d3d e9612b
    f47918 fa9407 fcb014 f8cd37 f2ea69 fcffa4
""")


def heat_map_picture(
    image: np.ndarray, heat: np.ndarray, regions: Sequence[Region], low: float, high: float, heading: str = ""
) -> Image.Image:
    """A photograph with its ground truth outlined, and beside it the same photograph under its map.

    `image` is uint8, (H, W, 3) or (H, W). `heat` has any size and is stretched to the image; `low` and `high` are
    the ends of its colour scale. Where the map exceeds `high`, the scale ends at the map's highest value, so that the
    place of a strong anomaly stands out from what is anomalous around it. The masks of `regions` have the image's size.
    Both halves are scaled to 480 pixels on their longer side. Saving a JPEG takes a few milliseconds, a PNG 0.1 s or
    more.
    """
    _check(image, heat, regions)
    high = max(high, float(heat.max()))
    size = size_within(image.shape, LONGER_SIDE, LONGER_SIDE)
    left = scaled(image, size)
    left = left if left.mode == "RGB" else left.convert("RGB")
    values = np.asarray(scaled(heat.astype(np.float32, copy=False), size))
    halves = [left, Image.blend(left, Image.fromarray(inferno(values, low, high)), MAP_SHARE)]
    edges = outlines(regions, size) if regions else None
    text, box = _measured(heading)
    top = box[3] + GAP if heading else 0
    picture = Image.new("RGB", (max(2 * size[0] + GAP, box[2] + GAP), top + size[1]), "white")
    if heading:
        ImageDraw.Draw(picture).multiline_text((0, GAP // 2), text, fill="black", font=_font())
    for index, half in enumerate(halves):
        if edges is not None:
            half.paste(OUTLINE, mask=edges)
        picture.paste(half, (index * (size[0] + GAP), top))
    return picture


def size_within(shape: tuple[int, ...], width: float, height: float) -> tuple[int, int]:
    """The width and height, in pixels, of an image (H, W, ...) that is scaled to fit into a box."""
    scale = min(width / shape[1], height / shape[0])
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def scaled(array: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """An array (H, W) or (H, W, 3) as a picture of that width and height."""
    return Image.fromarray(array).resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def outlined(image: np.ndarray, regions: Sequence[Region]) -> np.ndarray:
    """The image, (H, W, 3) or (H, W), in colours with the borders of its regions; their masks may have another size."""
    picture = Image.fromarray(image).convert("RGB")
    if regions:
        picture.paste(OUTLINE, mask=outlines(regions, picture.size))
    return np.asarray(picture)


def outlines(regions: Sequence[Region], size: tuple[int, int]) -> Image.Image:
    """The borders of all regions as one mask (mode L) of the given width and height.

    One label image serves all regions, so that memory does not grow with their number. A region that becomes smaller
    than a pixel is still drawn.
    """
    labels = np.zeros(regions[0].mask.shape, dtype=np.uint8 if len(regions) < 256 else np.uint16)
    for number, region in enumerate(regions, start=1):
        np.copyto(labels, number, where=region.mask)
    height, width = labels.shape
    if size[0] < width:
        labels = _pooled(labels, max(1, width // size[0]))
    else:
        rows, columns = np.arange(size[1]) * height // size[1], np.arange(size[0]) * width // size[0]
        labels = labels[rows[:, None], columns]
    edges = np.zeros(labels.shape, dtype=np.uint8)
    for before, after in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        border = labels[before] != labels[after]
        edges[before] |= border
        edges[after] |= border
    shrunk = Image.fromarray(edges * np.uint8(255)).resize(size, Image.Resampling.BOX)
    return shrunk.point(lambda covered: 255 if covered else 0)


def inferno(values: np.ndarray, low: float, high: float, levels: int = 256) -> np.ndarray:
    """Colours (H, W, 3), uint8, of values (H, W); values outside `low` and `high` get the colours of the ends.

    Fewer `levels` than 256 are shades in steps, which make a PNG file smaller.
    """
    share = (values - low) / (high - low) if high > low else np.zeros_like(values)
    steps = (share.clip(0, 1) * (levels - 1)).round()
    return _colours()[(steps * (255 / (levels - 1))).astype(np.uint8)]


@cache
def _colours() -> np.ndarray:
    anchors = np.frombuffer(_INFERNO, dtype=np.uint8).reshape(-1, 3)
    at = np.linspace(0, 255, len(anchors))
    return np.stack([np.interp(np.arange(256), at, channel) for channel in anchors.T], axis=1).round().astype(np.uint8)


def _pooled(labels: np.ndarray, factor: int) -> np.ndarray:
    """The highest label of every block of factor x factor pixels; incomplete blocks at the ends count, too."""
    for _ in range(2):  # rows, then columns
        pooled = labels[::factor].copy()
        for start in range(1, factor):
            others = labels[start::factor]
            np.maximum(pooled[: len(others)], others, out=pooled[: len(others)])
        labels = pooled.T
    return labels


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has Greek and Cyrillic letters, or else Pillow's own font."""
    package = find_spec("matplotlib")
    path = Path(package.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if package else None
    return ImageFont.truetype(path, 13) if path and path.is_file() else ImageFont.load_default(13)


@cache
def _drawable(character: str) -> str:
    """The character, or its code as in a Python string if the font has no glyph for it or it is not printable."""
    if character == "\n" or (character.isascii() and character.isprintable()):
        return character
    if character.isprintable() and bytes(_font().getmask(character)) != bytes(_font().getmask("\uffff")):
        return character
    return character.encode("unicode_escape").decode()


def _measured(heading: str) -> tuple[str, tuple[int, int, int, int]]:
    """The text as the font can draw it, and its box: left, top, right, bottom."""
    text = "".join(_drawable(character) for character in heading)
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=_font())
    return text, tuple(int(np.ceil(end)) for end in box)


def _check(image: np.ndarray, heat: np.ndarray, regions: Sequence[Region]) -> None:
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(f"a photograph is uint8 (H, W, 3) or (H, W), not {image.dtype} {image.shape}")
    if heat.ndim != 2 or not np.isfinite(heat).all():
        raise ValueError(f"a map is (H, W) with finite values; this one is {heat.shape}, or has NaN or infinite values")
    for region in regions:
        if region.mask.shape != image.shape[:2]:
            raise ValueError(f"the photograph is {image.shape[:2]}, but a region's mask is {region.mask.shape}")
