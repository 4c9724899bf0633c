"""What was drawn on photographs, in the formats of common tools, read into masks.

- Images of masks (PNG, TIFF or BMP), found by their names below the folder of annotations. With one defect in a file:
  `<photograph>_<defect>.png`, `<photograph>/<defect>.png` or `<defect>/<photograph>.png`, the first two with _1, _2 …
  after the defect where there are several. With several in one file, distinguished by their `grey`: `<photograph>.png`.
  Every connected component is a region; pixels that touch at a corner belong together.
- labelme: `<photograph>.json`. Every polygon, rectangle or circle is a region; those of one label and group are one.
- COCO: a `.json` of any name. Every annotation is a region, given as polygons or as a run-length code, plain or
  compressed.

`<photograph>` is the path of a photograph below their folder, without its ending. A name that can be read in two ways
is an error, and so is a photograph that was drawn on in two of these formats, and a file in any other format. A pixel
is inside an outline if its centre is; x = 0 is the left edge of the first pixel. The converters of labelme and COCO
differ by up to a pixel.

A camera may store a photograph lying on its side, with the turn that makes it upright in its EXIF data. A drawing of
the size of the upright photograph is upright; one of the stored size was made by a tool that ignores EXIF data, and is
turned as the photograph is. The two cannot be distinguished where the turn does not swap height and width.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import ExifTags, Image, ImageOps

from iadlib.data.description import Defect
from iadlib.data.errors import DataError, Findings
from iadlib.data.images import read_header
from iadlib.data.layouts import MASK_ENDINGS
from iadlib.data.photographs import normal_form
from iadlib.data.regions import components, grey_values, listed

LOSSY_ENDINGS = (".jpg", ".jpeg")
MASK_NAMES = "<photograph>.png, <photograph>_<defect>.png, <photograph>/<defect>.png or <defect>/<photograph>.png"
CORNERS_OF_A_CIRCLE = 256
LARGEST_COORDINATE = 1e6  # pixels; farther points are not on a photograph

Marked = Iterator[tuple[str, np.ndarray]]  # defect, mask (H, W) of one region


@dataclass(frozen=True)
class Photograph:
    """A photograph before its pixels are read.

    `below` is its path below their folder. `size` is (height, width) upright, `stored` as in the file; None where the
    file is not readable. `orientation` is EXIF's, 1 where there is nothing to turn. `deep`: more than 8 bit.
    """

    path: Path
    below: str
    size: tuple[int, int] | None = None
    stored: tuple[int, int] | None = None
    orientation: int = 1
    deep: bool = False

    @classmethod
    def at(cls, path: Path, below: str) -> "Photograph":
        """A photograph with the values of its header."""
        header = read_header(path)
        return cls(path, below, header.size, header.stored, header.orientation, header.deep)

    def upright(self, mask: np.ndarray, where: str) -> np.ndarray:
        """A mask that was drawn on this photograph, turned where it was drawn on the stored one."""
        if mask.shape == self.size:
            return mask
        self.expect(mask.shape, where)
        drawn = Image.fromarray(mask)
        drawn.getexif()[ExifTags.Base.Orientation] = self.orientation
        return np.asarray(ImageOps.exif_transpose(drawn))

    def expect(self, size: Sequence[int], where: str) -> None:
        """Raise `DataError` where this is neither the upright size nor the stored one."""
        if tuple(size) not in (self.size, self.stored):
            height, width = self.size
            raise DataError(
                f"{where}: drawn on {size[0]} x {size[1]} (height x width), but {self.path} is {height} x {width}"
            )


@dataclass(frozen=True)
class Drawing:
    """What one mask, or one entry of a file, marks: nothing, or a number of regions.

    `where` is for messages. `source` is its format and, except for masks of one defect, its file. `paint()` makes the
    masks, at the size they were drawn.
    """

    where: str
    source: str
    paint: Callable[[], Marked]
    size: tuple[int, int] | None = None  # None: that of the mask's file


def mask_readings(name: str, photographs: Mapping[str, Photograph], defects: Mapping[str, Defect]) -> set:
    """Every (photograph, defect) that a mask of this name may be meant for; the defect is None for all of them."""
    found = {(name, None)} if name in photographs else set()
    for defect in defects:
        match = re.fullmatch(rf"(.+)[_/]{re.escape(defect)}(_\d+)?", name)
        if match and match[1] in photographs:
            found.add((match[1], defect))
        if name.startswith(f"{defect}/") and name.removeprefix(f"{defect}/") in photographs:
            found.add((name.removeprefix(f"{defect}/"), defect))
    return found


def find_drawings(
    files: Mapping[str, Path], photographs: Mapping[str, Photograph], defects: Mapping[str, Defect], findings: Findings
) -> dict[str, list[Drawing]]:
    """Drawings by the name of their photograph, from files by their path below the folder of annotations.

    Every file that is not used is a problem.
    """
    found: dict[str, list[Drawing]] = defaultdict(list)
    listed: set[str] | None = None
    for below, path in files.items():
        name, ending = below.removesuffix(path.suffix), path.suffix.lower()
        try:
            if ending in MASK_ENDINGS:
                photograph, drawing = _mask(path, name, photographs, defects, findings.soft_edges)
                found[photograph].append(drawing)
            elif ending == ".json":
                content = _read_json(path)
                if "shapes" in content:
                    photograph = _its_photograph(name, photographs, path)
                    found[photograph] += _labelme(path, content, defects, findings.problems)
                elif {"images", "annotations", "categories"} <= content.keys():
                    drawings = _coco(path, content, photographs, defects, findings.problems)
                    listed = (listed or set()) | drawings.keys()
                    for photograph, drawn in drawings.items():
                        found[photograph] += drawn
                else:
                    raise DataError(f"{path}: neither of labelme (shapes) nor COCO (images, annotations, categories)")
            elif ending in LOSSY_ENDINGS:
                raise DataError(f"{path}: a JPEG does not keep the values of a mask; save it as PNG")
            else:
                raise DataError(
                    f"{path}: not read as an annotation; export it as a PNG mask, labelme or COCO, or move it elsewhere"
                )
        except DataError as error:
            findings.problems.append(str(error))
    for name, drawings in found.items():
        sources = sorted({drawing.source for drawing in drawings})
        if len(sources) > 1:
            findings.problems.append(f"{photographs[name].path}: drawn on in more than one way: {'; '.join(sources)}")
    if listed is not None:
        unlisted = [photographs[name].path for name in photographs if name not in listed and not found.get(name)]
        findings.suspicious.extend(f"{path}: in no COCO file, and therefore taken as good" for path in unlisted)
    return {name: drawings for name, drawings in found.items() if drawings}


# -- images of masks --------------------------------------------------------------------------------------------------


def _mask(
    path: Path, name: str, photographs: Mapping, defects: Mapping[str, Defect], soft_edges: list[str]
) -> tuple[str, Drawing]:
    """The photograph, and its drawing; when that is painted, the file is added to `soft_edges` if it has some."""
    readings = mask_readings(name, photographs, defects)
    if len(readings) > 1:
        meant = " or ".join(
            f"{defect or 'all defects'} on {photograph}" for photograph, defect in sorted(readings, key=str)
        )
        raise DataError(f"{path}: this name can be read in two ways, as {meant}; rename the mask or the defect")
    if not readings:
        for photograph in sorted(photographs, key=len, reverse=True):
            rest = re.fullmatch(rf"{re.escape(photograph)}[_/](.+?)|(.+)/{re.escape(photograph)}", name)
            if rest:
                raise DataError(f"{path}: no defect {rest[1] or rest[2]!r}; the description has {', '.join(defects)}")
        raise DataError(f"{path}: a mask without a photograph; {MASK_NAMES} expected")
    [(photograph, defect)] = readings
    if defect is not None:
        return photograph, Drawing(f"{path}", "masks of one defect each", partial(_paint_one, path, defect, soft_edges))
    source = f"all defects in {path.name}"
    greys = {known.grey: name for name, known in defects.items() if known.grey is not None}
    if greys:
        return photograph, Drawing(f"{path}", source, partial(_paint_greys, path, greys))
    if len(defects) > 1:
        raise DataError(
            f"{path}: which defect? Give each its `grey` in the description, or name the defect in the file"
        )
    return photograph, Drawing(f"{path}", source, partial(_paint_one, path, next(iter(defects)), soft_edges))


def _paint_one(path: Path, defect: str, soft_edges: list[str]) -> Marked:
    values = _mask_values(path)
    positive = _positive(values)
    if len(positive) > 1:
        if positive[-1] < 128:
            raise DataError(f"{path}: one positive value expected in a mask of one defect, not {listed(positive)}")
        soft_edges.append(f"{path}: {len(positive)} grey values")
        values = values >= 128
    yield from ((defect, component) for component in _masks_of_components(values > 0))


def _paint_greys(path: Path, greys: Mapping[int, str]) -> Marked:
    values = _mask_values(path)
    unknown = [value for value in _positive(values) if value not in greys]
    if unknown:
        known = ", ".join(f"{grey} ({name})" for grey, name in greys.items())
        raise DataError(f"{path}: no defect has grey {listed(unknown)}; the description has {known}")
    for grey, name in greys.items():
        yield from ((name, component) for component in _masks_of_components(values == grey))


def _mask_values(path: Path) -> np.ndarray:
    """Values (H, W) of a mask; tools use the entries of a palette of colours."""
    values = grey_values(path, entries=True)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path}: mask values of 8 or 16 bit expected, not {values.dtype}")
    return values


def _positive(values: np.ndarray) -> list[int]:
    return [value for value in np.flatnonzero(np.bincount(values.ravel())).tolist() if value]


def _masks_of_components(mask: np.ndarray) -> Iterator[np.ndarray]:
    """The mask (H, W) of one connected component after the other."""
    for box, part in components(mask):
        component = np.zeros_like(mask)
        component[box] = part
        yield component


# -- outlines ---------------------------------------------------------------------------------------------------------


def _labelme(path: Path, content: dict, defects: Mapping[str, Defect], problems: list[str]) -> list[Drawing]:
    size, shapes = (content.get("imageHeight"), content.get("imageWidth")), content["shapes"]
    if not all(type(side) is int for side in size) or not isinstance(shapes, list):
        raise DataError(f"{path}: not as labelme writes it: imageHeight, imageWidth and a list of shapes expected")
    source = f"labelme file {path.name}"
    groups: dict[tuple, list] = {}
    for number, shape in enumerate(shapes, start=1):
        where = f"{path}: shape {number}"
        try:
            label, outline = _shape(shape, where)
            if label not in defects:
                raise DataError(f"{where}: no defect {label!r}; the description has {', '.join(defects)}")
            group = shape.get("group_id")
            groups.setdefault((label, number if group is None else f"group {group}"), []).append((where, outline))
        except DataError as error:
            problems.append(str(error))
    drawings = [
        Drawing(entries[0][0], source, partial(_paint_outlines, label, size, [outline for _, outline in entries]), size)
        for (label, _), entries in groups.items()
    ]
    return drawings if shapes else [Drawing(f"{path}", source, partial(_paint_outlines, "", size, []), size)]


def _shape(shape: dict, where: str) -> tuple[str, np.ndarray]:
    """Label and outline (corners, 2), x before y."""
    try:
        label, kind = shape["label"], shape.get("shape_type", "polygon")
        points = _points(shape["points"])
        if not isinstance(label, str):
            raise ValueError(f"the label {label!r}")
        label = normal_form(label)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where}: not as labelme writes it: a label and points (x, y) expected") from error
    where = f"{where} ({label})"
    if kind == "polygon" and len(points) >= 3:
        return label, points
    if kind == "rectangle" and len(points) in (2, 4):
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return label, np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if kind == "circle" and len(points) == 2:
        centre, rim = points
        angles = np.linspace(0, 2 * math.pi, CORNERS_OF_A_CIRCLE, endpoint=False)
        return label, centre + np.linalg.norm(rim - centre) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind in ("polygon", "rectangle", "circle"):
        raise DataError(f"{where}: a {kind} of {len(points)} points")
    raise DataError(f"{where}: a shape of type {kind!r} has no area; draw a polygon, a rectangle or a circle")


def _coco(
    path: Path, content: dict, photographs: Mapping[str, Photograph], defects: Mapping, problems: list[str]
) -> dict[str, list[Drawing]]:
    """Drawings by photograph; [] for those that are listed without an annotation."""
    try:
        categories = {entry["id"]: normal_form(entry["name"]) for entry in content["categories"]}
        images = {entry["id"]: (entry["file_name"], (entry["height"], entry["width"])) for entry in content["images"]}
        annotations = [(entry.get("id", number), entry) for number, entry in enumerate(content["annotations"], start=1)]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not as COCO defines it: {type(error).__name__} {error}") from error
    if len(images) < len(content["images"]):  # whose annotations would go to the last of them
        counts = Counter(entry["id"] for entry in content["images"])
        raise DataError(f"{path}: {max(counts.values())} images have the id {counts.most_common(1)[0][0]!r}")
    names = {}
    for key, (file_name, _) in images.items():
        try:
            names[key] = _its_photograph(str(file_name), photographs, path)
        except DataError as error:
            problems.append(str(error))
    found: dict[str, list[Drawing]] = {name: [] for name in names.values()}
    for number, entry in annotations:
        where = f"{path}: annotation {number}"
        try:
            if entry.get("image_id") not in images:
                raise DataError(f"{where}: no image {entry.get('image_id')!r} in this file")
            label = categories.get(entry.get("category_id"))
            if label not in defects:
                raise DataError(f"{where}: no defect {label!r}; the description has {', '.join(defects)}")
            file_name, size = images[entry["image_id"]]
            drawing = _segmentation(entry.get("segmentation"), label, size, f"{where} ({label}, {file_name})", path)
            if entry["image_id"] in names:
                found[names[entry["image_id"]]].append(drawing)
        except DataError as error:
            problems.append(str(error))
        except TypeError as error:  # a list or an object instead of a number or a name
            problems.append(f"{where}: not as COCO defines it ({error})")
    return found


def _segmentation(segmentation: object, label: str, size: tuple[int, int], where: str, path: Path) -> Drawing:
    source = f"COCO file {path.name}"
    if not segmentation:
        raise DataError(f"{where}: no segmentation, at most a box; its outline is needed")
    try:
        if isinstance(segmentation, dict):
            counts, coded = segmentation["counts"], tuple(segmentation["size"])
            if len(coded) != 2:
                raise ValueError(f"a size of {len(coded)} numbers")
            runs = np.array(_uncompressed(counts) if isinstance(counts, str) else counts, dtype=np.int64)
            if (runs < 0).any() or runs.sum() != math.prod(coded):
                raise ValueError(f"{runs.sum()} pixels in the run-length code of an image of {coded}")
            return Drawing(where, source, partial(_paint_runs, label, coded, runs), coded)
        outlines = [_points(np.reshape(polygon, (-1, 2))) for polygon in segmentation]
        if min(map(len, outlines)) < 3:
            raise ValueError("a polygon of fewer than three points")
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise DataError(f"{where}: its segmentation is neither polygons nor a run-length code ({error})") from error
    return Drawing(where, source, partial(_paint_outlines, label, size, outlines), size)


def _paint_outlines(label: str, size: tuple[int, int], outlines: Sequence[np.ndarray]) -> Marked:
    mask = np.logical_or.reduce([filled(outline, size) for outline in outlines])
    if mask.any():
        yield label, mask


def _paint_runs(label: str, size: tuple[int, int], runs: np.ndarray) -> Marked:
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F")
    if mask.any():
        yield label, mask


def filled(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels (height, width) whose centres lie inside an outline (corners, 2), x before y, by the even-odd rule.

    >>> filled(np.array([(1, 0), (3, 0), (3, 2), (1, 2)]), (3, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    height, width = size
    crossed = np.zeros((height, width + 1), dtype=bool)
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        (x0, y0), (x1, y1) = sorted((start, end), key=lambda point: point[1])
        rows = np.arange(max(0, math.ceil(y0 - 0.5)), min(height, math.ceil(y1 - 0.5)))
        if len(rows):
            crossings = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            crossed[rows, np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)] ^= True
    return np.logical_xor.accumulate(crossed, axis=1)[:, :width]


def _uncompressed(text: str) -> list[int]:
    """The runs of a compressed run-length code: 5 bits a character, lowest first; differences after the third."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _points(values: object) -> np.ndarray:
    points = np.asarray(values, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) <= LARGEST_COORDINATE).all():
        raise ValueError("pairs of numbers in pixels expected")
    return points


def _its_photograph(name: str, photographs: Mapping[str, Photograph], path: Path) -> str:
    """The photograph of a file name, with or without an ending: that path, or the only one with that last name."""
    whole = PurePosixPath(normal_form(name).replace("\\", "/"))
    bare = [whole, whole.parent / whole.stem]
    for candidate in bare:
        if str(candidate) in photographs:
            return str(candidate)
    last = {candidate.name for candidate in bare}
    found = [known for known in photographs if PurePosixPath(known).name in last]
    if len(found) != 1:
        raise DataError(f"{path}: {'no photograph' if not found else f'{len(found)} photographs'} of the name {name}")
    return found[0]


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as JSON ({error})") from error
    return content if isinstance(content, dict) else {}
