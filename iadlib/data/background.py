"""Photographs without their background: every pixel farther than a radius from the main object becomes black.

It shows whether what a detector makes of the background, lint on the cloth for one, costs it anything. The object is
found in the photograph itself, and in every photograph alike: no label and no ground truth is looked at.

The frame of the photograph shows the background, so pixels whose colour would surprise there are taken for the object.
What that finds says what the object looks like, and each pixel goes to the one of the two that it surprises less. The
object is the largest piece, its holes filled. The constants were chosen on normal training images alone, those of the
rendered flat connector on smooth cloth, on folded cloth and on a grey mat, of a draw that nothing is reported of. For
photographs of one part: of several that lie apart, as in a kit, at most one would be kept.

What is missing from the outline of a part is missing from its silhouette: a corner that is cut off by more than the
radius lies in the black. Only a radius larger than the defects keeps their surroundings in sight.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from iadlib.data.category import Category
from iadlib.data.errors import DataError
from iadlib.data.images import read_image
from iadlib.data.layouts import load_category

WORKING_SIDE = 256  # pixels; the shorter side of larger photographs is reduced to it while looking for the object
FRAME_SHARE = 1 / 32  # of the shorter side, at each edge of the photograph
FINEST_SHARE = 1 / 64  # of the shorter side: what is narrower, as lint and printed lines are, is no object
SURPRISING = 5.0  # standard deviations: the frame's own pixels rarely reach it
SMALLEST_SHARE = 0.01  # of the photograph
REFINEMENTS = 2
NOTE = """\
> A copy of {name} without its background: what is farther than {radius:g} pixels of a photograph from the object is
> black. Made by `python -m iadlib mask`.

"""


def find_object(image: np.ndarray) -> np.ndarray:
    """The silhouette (H, W) of the main object of a photograph (H, W, 3) uint8, its holes filled.

    A hole belongs to the part, since what one sees in it is inspected too. Where no object is found, in a uniform image
    or where the object fills the frame, all is True: nothing is background, and nothing is taken away.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"a photograph is an array (H, W, 3) uint8, not {image.shape} {image.dtype}")
    full = image.shape[:2]
    scale = max(1, min(full) / WORKING_SIDE)
    height, width = (max(1, round(side / scale)) for side in full)
    reduced = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    finest = max(1, round(min(height, width) * FINEST_SHARE))
    colours = ndimage.median_filter(np.asarray(reduced), (2 * finest + 1, 2 * finest + 1, 1)).astype(float)
    frame = np.ones((height, width), dtype=bool)
    margin = max(1, round(min(height, width) * FRAME_SHARE))
    frame[margin:-margin, margin:-margin] = False
    distance, _ = _surprise(colours, frame)
    unlike = distance > SURPRISING**2
    found = _one_piece(unlike, finest)
    for _ in range(REFINEMENTS):
        inside = ndimage.binary_erosion(found, iterations=finest) & unlike  # without the holes
        outside = ~ndimage.binary_dilation(found, iterations=2 * finest)  # without the shadow and the blurred edge
        if found.mean() < SMALLEST_SHARE or not inside.any() or not outside.any():
            break
        unlike = np.add(*_surprise(colours, outside)) > np.add(*_surprise(colours, inside))
        found = _one_piece(unlike, finest)
    if found.mean() < SMALLEST_SHARE:
        return np.ones(full, dtype=bool)
    return np.asarray(Image.fromarray(found.astype(np.float32)).resize(full[::-1], Image.Resampling.BILINEAR)) >= 0.5


def _surprise(colours: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, float]:
    """Squared Mahalanobis distance (H, W) of colours (H, W, 3) from those `where`, and their log-determinant.

    Their mean varies over the image as a plane, as brightness does under a softbox. Their sum is -2 times the logarithm
    of a normal density, but for a constant.
    """
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, side) for side in where.shape), indexing="ij")
    plane = np.stack([np.ones(where.shape), rows, columns], axis=-1)
    coefficients, *_ = np.linalg.lstsq(plane[where], colours[where], rcond=None)
    residual = colours - plane @ coefficients
    # One grey level more, so that a uniform background does not make a mere rounding surprising.
    covariance = np.cov(residual[where].T, bias=True) + np.eye(3)
    distance = (residual @ np.linalg.inv(covariance) * residual).sum(axis=2)
    return distance, float(np.linalg.slogdet(covariance)[1])


def _one_piece(pixels: np.ndarray, finest: int) -> np.ndarray:
    """The largest connected piece (H, W), gaps up to twice `finest` closed, holes filled, what is finer cut off."""
    disc = np.hypot(*np.mgrid[-finest : finest + 1, -finest : finest + 1]) <= finest + 0.3
    closed = ndimage.binary_closing(np.pad(pixels, finest), disc)[finest:-finest, finest:-finest]
    labelled, count = ndimage.label(ndimage.binary_opening(ndimage.binary_fill_holes(closed), disc))
    if not count:
        return np.zeros_like(pixels)
    return labelled == 1 + np.bincount(labelled.ravel())[1:].argmax()


def black_out(image: np.ndarray, silhouette: np.ndarray, radius: float) -> np.ndarray:
    """A copy of an image (H, W, 3), black farther than `radius` pixels from the silhouette (H, W).

    The distance is from pixel centre to the nearest pixel centre of the silhouette; radius 0 keeps the silhouette.
    """
    if not radius >= 0:
        raise ValueError(f"a radius is 0 pixels or more, not {radius}")
    if silhouette.shape != image.shape[:2] or silhouette.dtype != bool:
        raise ValueError(
            f"the silhouette of an image {image.shape[:2]} is boolean and of its size, "
            f"not {silhouette.dtype} {silhouette.shape}"
        )
    if not silhouette.any():
        raise ValueError("the silhouette is empty: nothing to count a radius from")
    kept = ndimage.distance_transform_edt(~silhouette) <= radius
    return np.where(kept[:, :, None], image, 0).astype(image.dtype)


def mask_category(
    category: Category, out: Path, radius: float, objects: Mapping[Path, np.ndarray] | None = None
) -> Category:
    """A copy of a category with every photograph blacked out beyond `radius` pixels from its object, as PNG of 8 bit.

    `objects`: the silhouette by photograph, for who makes several copies; found in each photograph where None.
    Everything else in the folder is copied byte for byte, but for its README.md, which says first what was done to the
    copy. The folder `out` appears when it is complete. The copy is returned as `load_category` opens it, with its
    defaults where it has a validation split to draw.
    """
    if category.layout == "magnetic_tile":
        raise DataError(f"{category.root}: a magnetic tile fills its photograph, which has no background to black out")
    if not radius >= 0:
        raise ValueError(f"a radius is 0 pixels or more, not {radius}")
    if out.exists():
        raise FileExistsError(f"{out} exists; remove it, or name a folder that does not exist")
    if out.resolve().is_relative_to(category.root.resolve()):
        raise ValueError(f"{out} lies inside {category.root}, which stays as it is; name a folder elsewhere")
    photographs = set(category.samples["image"])
    # `rglob` would pass by folders that are links.
    files = sorted(
        Path(folder, name) for folder, _, names in os.walk(category.root, followlinks=True) for name in names
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", suffix=".partial", dir=out.parent) as workplace:
        unfinished = Path(workplace) / out.name
        for path in tqdm(files, desc=f"masking {category.name}", leave=False, disable=None):
            copy = unfinished / path.relative_to(category.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path in photographs:
                image = read_image(path)
                silhouette = find_object(image) if objects is None else objects[path]
                Image.fromarray(black_out(image, silhouette, radius)).save(copy.with_suffix(".png"))
            else:
                copy.write_bytes(path.read_bytes())
        readme = unfinished / "README.md"
        before = readme.read_bytes() if readme.is_file() else b""
        readme.write_bytes(NOTE.format(radius=radius, name=category.name).encode() + before)
        unfinished.replace(out)
    return load_category(out)
