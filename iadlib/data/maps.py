"""Anomaly maps that any program wrote: TIFF files, or arrays in an .npz file."""

from pathlib import Path

import numpy as np
from PIL import Image

from iadlib.data.errors import DataError
from iadlib.data.photographs import normal_form, visible

ENDINGS = (".tiff", ".tif")


def read_map(source: Path, name: str) -> np.ndarray:
    """The anomaly map of the image `name`, as in "good/000": finite float32 (H, W).

    `source` is an .npz file with an array of that name, or a folder with a TIFF file of that name. Raises `DataError`
    where the map is missing, unreadable, not of one channel, or has values that are not finite.
    """
    if source.suffix.lower() == ".npz":
        return _checked(_read_array(source, name), f"{source}: the array {name!r}")
    path = _find_tiff(source, name)
    return _checked(_read_tiff(path), f"{path}")


def _read_array(source: Path, name: str) -> np.ndarray:
    try:
        with source.open("rb") as file, np.load(file) as arrays:
            if name in arrays:
                return arrays[name]
            names = {normal_form(known): known for known in arrays.files}
            if normal_form(name) in names:
                return arrays[names[normal_form(name)]]
    except FileNotFoundError as error:
        raise DataError(f"{source}: no such file of anomaly maps") from error
    # A broken archive makes NumPy raise almost anything: BadZipFile, zlib.error, ValueError, EOFError, OSError ...
    except Exception as error:
        raise DataError(f"{source}: not readable as an .npz file of arrays ({error})") from error
    some = ", ".join(list(names)[:3]) or "none"
    raise DataError(
        f"{source}: no array {name!r}; it has {len(names)} arrays: {some}{' ...' if len(names) > 3 else ''}"
    )


def _find_tiff(folder: Path, name: str) -> Path:
    place = folder / name
    for path in visible(place.parent):
        if normal_form(path.stem) == normal_form(place.name) and path.suffix.lower() in ENDINGS:
            return path
    raise DataError(f"{place}.tiff: no such anomaly map")


def _read_tiff(path: Path) -> np.ndarray:
    import tifffile  # imported here because reading photographs does not need it

    try:
        return tifffile.imread(path)
    except Exception as first:
        # tifffile needs another package for compressed files; Pillow reads those of 8 and 16 bit and of float32.
        try:
            with Image.open(path, formats=["TIFF"]) as image:
                return np.asarray(image)
        except Exception:
            raise DataError(f"{path}: not a readable TIFF; save the map without compression ({first})") from first


def _checked(values: np.ndarray, where: str) -> np.ndarray:
    shape = values.shape
    while values.ndim > 2 and 1 in values.shape:
        values = values.squeeze(axis=values.shape.index(1))
    if values.ndim != 2 or not values.size:
        raise DataError(f"{where}: a map (H, W) of one channel expected, not an array of shape {shape}")
    if values.dtype.kind not in "fiub":
        raise DataError(f"{where}: a map of numbers expected, not of {values.dtype}")
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite and is refused below
        values = values.astype(np.float32)
    if not (finite := np.isfinite(values)).all():
        count = int((~finite).sum())
        raise DataError(f"{where}: {count} of {values.size} values are NaN or infinite; a map has finite values")
    return values
