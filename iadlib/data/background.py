"""Photographs without their background: every pixel farther than a radius from the main object becomes black.

A comparison with unmasked photographs shows what the background, such as lint on a cloth, costs a detector. The object
is found in each photograph by itself, in the same way in all of them: neither labels nor ground truth are used.

The frame of the photograph shows the background, so pixels whose colour is unlikely under the frame's colours are taken
for the object. They give the colours of the object, and each pixel goes to the one of the two under which it is more
likely. The object is the largest connected piece, with its holes filled. The constants were chosen on normal training
images alone, those of the rendered flat connector on smooth cloth, on folded cloth and on a grey mat, of a draw that no
reported result uses. The method is for photographs of one part: of several separate parts it keeps one.

What is missing from the outline of a part is missing from its silhouette: a corner that is cut off by more than the
radius is in the black area. Only a radius larger than the defects keeps their surroundings visible.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy  # its parts are imported when they are used
from PIL import Image

from iadlib.data.category import Category
from iadlib.data.errors import DataError, raise_together
from iadlib.data.images import read_header, read_image
from iadlib.data.photographs import ENDINGS, files_below
from iadlib.files import require_new, whole_folder

WORKING_SIDE = 256  # pixels; the shorter side of larger photographs is reduced to it while looking for the object
FRAME_SHARE = 1 / 32  # of the shorter side, at each edge of the photograph
FINEST_SHARE = 1 / 64  # of the shorter side; narrower things, such as lint and printed lines, are no object
UNLIKELY = 5.0  # standard deviations, which pixels of the frame rarely reach
SMALLEST_SHARE = 0.01  # of the photograph
REFINEMENTS = 2
NOTE = """\
> A copy of {name} without its background: everything farther than {radius:g} pixels of a photograph from the object is
> black. Made by `python -m iadlib mask`.

"""


def find_object(image: np.ndarray) -> np.ndarray:
    """The silhouette (H, W) of the main object of a photograph (H, W, 3) uint8, its holes filled.

    A hole belongs to the part, since what is visible through it is inspected too. Where no object is found, in a
    uniform image or where the object fills the frame, all is True: there is no background.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"a photograph is an array (H, W, 3) uint8, not {image.shape} {image.dtype}")
    full = image.shape[:2]
    scale = max(1, min(full) / WORKING_SIDE)
    height, width = (max(1, round(side / scale)) for side in full)
    reduced = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    finest = max(1, round(min(height, width) * FINEST_SHARE))
    colours = scipy.ndimage.median_filter(np.asarray(reduced), (2 * finest + 1, 2 * finest + 1, 1)).astype(float)
    frame = np.ones((height, width), dtype=bool)
    margin = max(1, round(min(height, width) * FRAME_SHARE))
    frame[margin:-margin, margin:-margin] = False
    distance, _ = _squared_distance(colours, frame)
    unlike = distance > UNLIKELY**2
    found = _one_piece(unlike, finest)
    for _ in range(REFINEMENTS):
        inside = scipy.ndimage.binary_erosion(found, iterations=finest) & unlike  # without the holes
        # Without the shadow and the blurred edge.
        outside = ~scipy.ndimage.binary_dilation(found, iterations=2 * finest)
        if found.mean() < SMALLEST_SHARE or not inside.any() or not outside.any():
            break
        unlike = np.add(*_squared_distance(colours, outside)) > np.add(*_squared_distance(colours, inside))
        found = _one_piece(unlike, finest)
    if found.mean() < SMALLEST_SHARE:
        return np.ones(full, dtype=bool)
    return np.asarray(Image.fromarray(found.astype(np.float32)).resize(full[::-1], Image.Resampling.BILINEAR)) >= 0.5


def _squared_distance(colours: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, float]:
    """Squared Mahalanobis distance (H, W) of colours (H, W, 3) from those `where`, and their log-determinant.

    The mean of the colours is a linear function of row and column, as brightness is under a softbox. The sum of the two
    values is -2 times the logarithm of a normal density, up to a constant.
    """
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, side) for side in where.shape), indexing="ij")
    plane = np.stack([np.ones(where.shape), rows, columns], axis=-1)
    coefficients, *_ = np.linalg.lstsq(plane[where], colours[where], rcond=None)
    residual = colours - plane @ coefficients
    # A variance of one grey level is added, so that rounding errors are not unlikely on a uniform background.
    covariance = np.cov(residual[where].T, bias=True) + np.eye(3)
    distance = (residual @ np.linalg.inv(covariance) * residual).sum(axis=2)
    return distance, float(np.linalg.slogdet(covariance)[1])


def _one_piece(pixels: np.ndarray, finest: int) -> np.ndarray:
    """The largest connected piece (H, W): gaps up to twice `finest` are closed, holes filled, finer parts removed."""
    disc = np.hypot(*np.mgrid[-finest : finest + 1, -finest : finest + 1]) <= finest + 0.3
    closed = scipy.ndimage.binary_closing(np.pad(pixels, finest), disc)[finest:-finest, finest:-finest]
    labelled, count = scipy.ndimage.label(scipy.ndimage.binary_opening(scipy.ndimage.binary_fill_holes(closed), disc))
    if not count:
        return np.zeros_like(pixels)
    return labelled == 1 + np.bincount(labelled.ravel())[1:].argmax()


def black_out(image: np.ndarray, silhouette: np.ndarray, radius: float) -> np.ndarray:
    """A copy of an image (H, W, 3), black farther than `radius` pixels from the silhouette (H, W).

    The distance is from pixel centre to the nearest pixel centre of the silhouette; radius 0 keeps the silhouette.
    """
    _require_radius(radius)
    if silhouette.shape != image.shape[:2] or silhouette.dtype != bool:
        raise ValueError(
            f"the silhouette of an image {image.shape[:2]} is boolean and of its size, "
            f"not {silhouette.dtype} {silhouette.shape}"
        )
    if not silhouette.any():
        raise ValueError("the silhouette is empty: there is nothing to measure a distance from")
    distances = scipy.ndimage.distance_transform_edt(~silhouette)
    return np.where((distances <= radius)[:, :, None], image, 0).astype(image.dtype)


def _require_radius(radius: float) -> None:
    if not 0 <= radius < np.inf:
        raise ValueError(f"a radius is 0 pixels or more, not {radius}")


def mask_category(
    category: Category, out: str | Path, radii: Sequence[float], with_unmasked: bool = False
) -> list[Path]:
    """Copies of a category with every photograph blacked out beyond a radius in pixels from its object, as 8-bit PNG.

    With one radius, `out` becomes the copy. With several, or `with_unmasked`, it becomes a folder of copies: `none`,
    where photographs are unchanged but for files of 16 bit, which become 8-bit PNG, and `radius_N` for each; the object
    of a photograph is found once. Everything else in the category is copied byte for byte, except for its README.md,
    which states at its beginning how the copy was made. Returns the photographs in which no object was found, and of
    which nothing was blacked out.
    """
    out = require_new(out)
    for radius in radii:
        _require_radius(radius)
    names = [f"radius_{radius:g}" for radius in radii]
    if not radii or len(set(names)) < len(names):
        raise ValueError(f"one radius expected, or several different ones, not {list(radii)}")
    if category.layout == "magnetic_tile":
        raise DataError(f"{category.root}: a magnetic tile fills its photograph, which has no background to black out")
    if out.resolve().is_relative_to(category.root.resolve()):
        raise ValueError(f"{out} is inside {category.root}, which stays unchanged; name a folder elsewhere")
    several = with_unmasked or len(radii) > 1
    below = {"none": None, **dict(zip(names, radii, strict=True))} if several else {"": radii[0]}
    from iadlib.parallel import in_parallel

    bits = category.bits
    with whole_folder(out) as folder:
        _copy_other_files(category, [folder / name for name in below], below)
        tasks = [
            (path, bits, {folder / name / path.relative_to(category.root): radius for name, radius in below.items()})
            for path in category.samples["image"]
        ]
        found = in_parallel(_mask_photograph, tasks, f"masking {category.name}")
        for name, radius in below.items():
            if radius is not None:
                _write_note(folder / name / "README.md", category.name, radius)
    return list(category.samples["image"][~np.array(found)])


def _copy_other_files(category: Category, copies: list[Path], below: dict) -> None:
    """Copy everything except the photographs, byte for byte."""
    problems: list[str] = []
    left_out = {*category.samples["image"], *(path for paths in category.unused_files.values() for path in paths)}
    for path, _ in files_below(category.root, problems):
        if path in left_out and (path.suffix.lower() in ENDINGS):
            continue
        for copy in copies:
            target = copy / path.relative_to(category.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    if problems:
        raise_together(f"{category.root}: files that cannot be copied:", problems)


def _mask_photograph(path: Path, bits: int, targets: dict[Path, float | None]) -> bool:
    """Write the copies of one photograph, and return whether an object was found in it."""
    image = read_image(path, bits)
    silhouette = find_object(image)
    for target, radius in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        if radius is None and not read_header(path).deep:
            shutil.copyfile(path, target)
        else:
            masked = image if radius is None else black_out(image, silhouette, radius)
            Image.fromarray(masked).save(target.with_suffix(".png"))
    return not silhouette.all()


def _write_note(readme: Path, name: str, radius: float) -> None:
    before = readme.read_bytes() if readme.is_file() else b""
    readme.write_bytes(NOTE.format(radius=radius, name=name).encode() + before)
