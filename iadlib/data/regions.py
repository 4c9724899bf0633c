"""Ground truth: from mask files to `Region`s, and the number of pixels of each that suffice to have found it.

MVTec LOCO AD (Bergmann et al. 2022): one file is one region, never split or merged; its only positive value names the
defect type, whose entry in `defects_config.json` gives the saturation of the region. The data set's own code lets a
tiny region saturate at 0 pixels; here it is 1 at least.

MVTec AD and magnetic tile: every connected component is a region and saturates at its own area, which makes sPRO the
PRO of Bergmann et al. (2021). Pixels that touch at a corner belong together (8-connectivity), as in the evaluation code
published with MVTec AD: a thin diagonal scratch is one region, not a chain of pixels.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy  # its parts are imported when they are used

from iadlib.data.errors import DataError, Fields, misfits
from iadlib.data.images import decode
from iadlib.types import Region

_FIELDS: Fields = {
    "defect_name": ("a text", lambda value: isinstance(value, str)),
    "pixel_value": ("a whole number from 1 to 255", lambda value: type(value) is int and 1 <= value <= 255),
    "saturation_threshold": ("a number above 0", lambda value: type(value) in (int, float) and 0 < value < math.inf),
    "relative_saturation": ("true or false", lambda value: isinstance(value, bool)),
}


@dataclass(frozen=True)
class DefectType:
    """An entry of `defects_config.json`: how a defect's pixels are marked, and how many of them count as found."""

    defect_name: str
    pixel_value: int
    saturation_threshold: float
    relative_saturation: bool

    def saturation_area(self, area: int) -> int:
        """Pixels, 1 or more, that suffice to have found a region of this type of `area` pixels.

        >>> DefectType("bent", 249, 0.57, relative_saturation=True).saturation_area(100)  # 0.57 * 100 < 57 in binary
        56
        >>> DefectType("missing", 255, 500, relative_saturation=False).saturation_area(350)
        350
        """
        enough = self.saturation_threshold * area if self.relative_saturation else min(self.saturation_threshold, area)
        return max(1, int(enough))


def read_defect_types(path: Path) -> dict[int, DefectType]:
    """The defect types of a `defects_config.json`, by pixel value."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; it lists the defect types of a category in MVTec LOCO AD layout") from error
    except ValueError as error:
        raise DataError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(entries, list):
        raise DataError(f"{path}: a list of defect types expected, not {type(entries).__name__}")
    types = [_defect_type(entry, f"{path}: entry {number}") for number, entry in enumerate(entries, start=1)]
    by_value = {defect_type.pixel_value: defect_type for defect_type in types}
    for defect_type in types:
        if by_value[defect_type.pixel_value] != defect_type:
            raise DataError(f"{path}: pixel_value {defect_type.pixel_value} belongs to more than one defect type")
    return by_value


def read_loco_regions(
    masks: Sequence[Path], size: tuple[int, int], defect_types: Mapping[int, DefectType]
) -> list[Region]:
    """One region a file, for an image of `size` (height, width)."""
    regions = []
    for path in masks:
        values = _read_mask(path, size)
        positive = np.unique(values[values != 0]).tolist()
        if not positive:
            raise DataError(f"{path}: the mask is empty; a mask marks one region")
        if len(positive) > 1:
            raise DataError(f"{path}: one positive pixel value expected, not {listed(positive)}")
        if positive[0] not in defect_types:
            known = ", ".join(f"{value} ({known.defect_name})" for value, known in defect_types.items())
            raise DataError(f"{path}: pixel value {positive[0]} is unknown; defects_config.json has {known}")
        defect_type = defect_types[positive[0]]
        mask = values != 0
        regions.append(Region(mask, defect_type.saturation_area(int(mask.sum())), defect_type.defect_name))
    return regions


def read_binary_regions(path: Path, size: tuple[int, int], defect_name: str) -> list[Region]:
    """The components of a mask of MVTec AD, whose only values are 0 and 255, for an image of `size`."""
    values = _read_mask(path, size)
    strange = np.setdiff1d(values, [0, 255]).tolist()
    if strange:
        raise DataError(f"{path}: the values of a mask are 0 and 255, not {listed(strange)}")
    if not values.any():
        raise DataError(f"{path}: the mask is empty; the mask of a defective image marks at least one pixel")
    return _component_regions(values != 0, defect_name)


def read_fringed_regions(path: Path, size: tuple[int, int], defect_name: str) -> list[Region]:
    """The components of a magnetic-tile mask for an image of `size`; none where the mask is empty."""
    return _component_regions(_above_half(_read_mask(path, size)), defect_name)


def marks_anything(path: Path) -> bool:
    """Whether a magnetic-tile mask has any region."""
    return bool(_above_half(grey_values(path)).any())


def _above_half(values: np.ndarray) -> np.ndarray:
    # The masks have soft edges: values of at least half of the range belong to the defect.
    return values >= 128


def _component_regions(mask: np.ndarray, defect_name: str) -> list[Region]:
    found = components(mask)
    return [Region.from_box(part, box, mask.shape, int(np.count_nonzero(part)), defect_name) for box, part in found]


def components(mask: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """The bounding box of every 8-connected component of a mask (H, W), and its pixels inside it, boolean."""
    labelled, _ = scipy.ndimage.label(mask, structure=np.ones((3, 3)))
    for label, box in enumerate(scipy.ndimage.find_objects(labelled), start=1):
        yield box, labelled[box] == label


def _read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    values = grey_values(path)
    if values.shape != size:
        height, width = values.shape
        raise DataError(f"{path}: the mask is {height} x {width} (height x width), its image {size[0]} x {size[1]}")
    return values


def grey_values(path: Path, entries: bool = False) -> np.ndarray:
    """Values (H, W) of a mask with one channel, or with equal ones.

    A palette counts by the colours it shows; with `entries`, one of other colours than greys counts by its entries.
    A mask with pixels that are marked and transparent is refused: its values and its transparency contradict.
    """
    image = decode(path)
    shown = {"P": "RGB", "PA": "RGB", "1": "L"}.get(image.mode)
    values = np.asarray(image.convert(shown) if shown else image)
    if values.ndim == 3:
        channels = values[:, :, : 1 if image.mode == "LA" else 3]
        if (channels == channels[:, :, :1]).all():
            values = channels[:, :, 0]
        elif entries and shown:
            values = np.asarray(image.convert("P"))
        else:
            raise DataError(f"{path}: a grey mask expected, not one in colours")
    if "A" in image.getbands() or "transparency" in image.info:
        transparent = np.asarray(image.convert("RGBA"))[:, :, 3] == 0
        if (transparent & (values > 0)).any():
            raise DataError(f"{path}: some marked pixels are transparent; save the mask without transparency, on black")
    return values


def _defect_type(entry: object, where: str) -> DefectType:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: an object with {', '.join(_FIELDS)} expected, not {type(entry).__name__}")
    for problem in [*(f"{field} is missing" for field in _FIELDS if field not in entry), *misfits(entry, _FIELDS)]:
        raise DataError(f"{where}: {problem}")
    if entry["relative_saturation"] and entry["saturation_threshold"] > 1:
        raise DataError(f"{where}: a relative saturation_threshold is 1 at most, not {entry['saturation_threshold']}")
    return DefectType(**{field: entry[field] for field in _FIELDS})


def listed(values: Sequence[int]) -> str:
    """The first values as text."""
    return ", ".join(map(str, values[:5])) + (" ..." if len(values) > 5 else "")
