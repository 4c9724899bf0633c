r"""What only a person knows of their photographs: a YAML that names the defects and how the photographs are split.

    defects:
      missing_screw: {kind: logical, saturation_pixels: 400}    # 400 pixels of a region suffice to have found it
      scratch: {kind: structural, saturation_share: 0.5}        # half of a region suffices (default: all of it)
    split: {train: 0.7, validation: 0.1}    # of the photographs of parts without a defect; the rest is test
    annotations: masks                      # a folder, or a COCO file; default: labelme or COCO beside the photographs
    parts: {pattern: 'part(\d+)_'}          # photographs with the same text in the brackets show the same part
    empty_masks: left_out                   # or good: what photographs are whose masks are all empty
    bits: 12                                # depth of the camera, for photographs in files of 16 bit

Only `defects` is required. A defect may also have `grey`, its value in masks that show several defects, and
`one_region: true`: everything drawn of it on a photograph is one region, such as two wires that are swapped. Instead
of a pattern, `parts: {file: parts.csv}` names a table with the columns photograph and part. Paths are relative to the
YAML. Without `bits`, the depth is taken from all photographs, see `iadlib.data.images.bit_depth`.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from iadlib.data.errors import DataError, Fields, misfits
from iadlib.data.images import DEPTHS
from iadlib.data.photographs import normal_form
from iadlib.data.regions import DefectType
from iadlib.params import parse_yaml

KEYS = ("defects", "split", "annotations", "parts", "empty_masks", "bits")
KINDS = ("logical", "structural")
EMPTY_MASKS = ("left_out", "good")
FIELDS: Fields = {
    "annotations": ("the path of a folder or of a COCO file", lambda value: isinstance(value, str | None)),
    "empty_masks": (" or ".join(EMPTY_MASKS), lambda value: value in EMPTY_MASKS),
    "bits": (
        f"the depth of the camera, one of {DEPTHS}",
        lambda value: value is None or (type(value) is int and value in DEPTHS),
    ),
}
DEFECT_FIELDS: Fields = {
    "kind": ("logical or structural", lambda value: value in KINDS),
    "saturation_pixels": ("a whole number of 1 or more", lambda value: type(value) is int and value >= 1),
    "saturation_share": ("above 0 and 1 at most", lambda value: type(value) in (int, float) and 0 < value <= 1),
    "grey": ("a whole number from 1 to 65535", lambda value: type(value) is int and 1 <= value <= 65535),
    "one_region": ("true or false", lambda value: isinstance(value, bool)),
}


@dataclass(frozen=True)
class Defect:
    """One entry under `defects`; `grey` is None where it is not given."""

    kind: str = "structural"
    saturation_pixels: int | None = None
    saturation_share: float = 1.0
    grey: int | None = None
    one_region: bool = False

    def as_type(self, name: str, pixel_value: int) -> DefectType:
        """The entry of `defects_config.json`."""
        if self.saturation_pixels is not None:
            return DefectType(name, pixel_value, self.saturation_pixels, relative_saturation=False)
        return DefectType(name, pixel_value, self.saturation_share, relative_saturation=True)


@dataclass(frozen=True)
class Description:
    """See the module. `train` and `validation` are shares; `part_of` is the content of the table of parts."""

    path: Path
    defects: dict[str, Defect] = field(default_factory=dict)
    train: float = 0.7
    validation: float = 0.1
    annotations: Path | None = None
    pattern: re.Pattern | None = None
    part_of: dict[str, str] | None = None
    parts_file: Path | None = None
    empty_masks: str = EMPTY_MASKS[0]
    bits: int | None = None

    def parts(self, photographs: Iterable[str], problems: list[str]) -> dict[str, str]:
        """The part that each photograph, a path below their folder, shows; its own path without `parts`."""
        photographs = list(photographs)
        if self.pattern is not None:
            matches = {photograph: self.pattern.search(photograph) for photograph in photographs}
            problems += [
                f"{photograph}: the pattern of parts {self.pattern.pattern!r} in {self.path} finds no part in this name"
                for photograph, match in matches.items()
                if match is None or match[1] is None
            ]
            return {photograph: match[1] for photograph, match in matches.items() if match and match[1] is not None}
        if self.part_of is not None:
            missing = [photograph for photograph in photographs if photograph not in self.part_of]
            problems += [f"{photograph}: not in the table of parts that {self.path} names" for photograph in missing]
            unknown = sorted(set(self.part_of) - set(photographs))
            problems += [f"{self.path}: its table of parts has {name}, and there is no such file" for name in unknown]
            return {photograph: part for photograph, part in self.part_of.items() if photograph in photographs}
        return {photograph: photograph for photograph in photographs}


def read_description(path: Path, problems: list[str]) -> Description:
    """The content of the YAML; a wrong entry is added to the problems and takes its default."""
    try:
        content = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; a YAML that names the defects is needed") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path}: not readable as YAML ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("defects"), dict) or not content["defects"]:
        raise DataError(
            f"{path}: `defects` is missing: a name for each, with its kind, as scratch: {{kind: structural}}"
        )
    _name_unknown(content, KEYS, f"{path}", problems)
    entries = content["defects"]
    if len(entries) > 255:
        problems.append(f"{path}: {len(entries)} defects; the layout allows 255 at most")
    defects = {
        normal_form(name): _defect(name, entry, path, problems)
        for name, entry in entries.items()
        if _is_name(name, path, problems)
    }
    greys = [defect.grey for defect in defects.values() if defect.grey is not None]
    for grey in sorted({grey for grey in greys if greys.count(grey) > 1}):
        problems.append(f"{path}: grey {grey} belongs to more than one defect")
    train, validation = _shares(content.get("split"), path, problems)
    problems += [f"{path}: {problem}" for problem in misfits(content, FIELDS)]
    fitting = {key: content[key] for key, (_, fits) in FIELDS.items() if key in content and fits(content[key])}
    if fitting.get("annotations") is not None:
        fitting["annotations"] = path.parent / fitting["annotations"]
    parts = content.get("parts")
    pattern, part_of = _parts(parts, path, problems)
    parts_file = None if part_of is None else path.parent / parts["file"]
    return Description(
        path, defects, train, validation, pattern=pattern, part_of=part_of, parts_file=parts_file, **fitting
    )


def _is_name(name: object, path: Path, problems: list[str]) -> bool:
    fits = isinstance(name, str) and re.fullmatch(r"[^/\\]+", name.strip()) is not None
    if not fits:
        problems.append(f"{path}: the name of a defect is a text without slashes, not {name!r}; quotes make it a text")
    return fits


def _defect(name: str, entry: object, path: Path, problems: list[str]) -> Defect:
    where = f"{path}: defects: {name}"
    if not isinstance(entry, dict):
        problems.append(f"{where}: its kind is missing, as in {name}: {{kind: structural}}")
        return Defect()
    _name_unknown(entry, tuple(DEFECT_FIELDS), where, problems)
    if "kind" not in entry:
        problems.append(f"{where}: its kind is missing, {' or '.join(KINDS)}")
    if {"saturation_pixels", "saturation_share"} <= entry.keys():
        problems.append(f"{where}: either saturation_pixels or saturation_share, not both")
    problems += [f"{where}: {problem}" for problem in misfits(entry, DEFECT_FIELDS)]
    return Defect(**{key: entry[key] for key, (_, fits) in DEFECT_FIELDS.items() if key in entry and fits(entry[key])})


def _shares(split: object, path: Path, problems: list[str]) -> tuple[float, float]:
    default = {"train": Description.train, "validation": Description.validation}
    if split is None:
        split = {}
    if not isinstance(split, dict):
        problems.append(f"{path}: split is given as {{train: 0.7, validation: 0.1}}, not as {split!r}")
        return tuple(default.values())
    _name_unknown(split, tuple(default), f"{path}: split", problems)
    train, validation = ({**default, **split}[name] for name in default)
    if not all(type(share) in (int, float) and 0 < share < 1 for share in (train, validation)):
        problems.append(f"{path}: split: shares are numbers above 0 and below 1, not {train!r} and {validation!r}")
        return tuple(default.values())
    if train + validation >= 1:
        problems.append(f"{path}: split: train and validation together leave no good photograph for test")
    return train, validation


def _parts(parts: object, path: Path, problems: list[str]) -> tuple[re.Pattern | None, dict[str, str] | None]:
    if parts is None:
        return None, None
    if not isinstance(parts, dict) or len(parts) != 1 or not isinstance(next(iter(parts.values())), str):
        problems.append(f"{path}: parts is {{pattern: 'part(\\d+)_'}} or {{file: parts.csv}}, not {parts!r}")
        return None, None
    _name_unknown(parts, ("pattern", "file"), f"{path}: parts", problems)
    if "pattern" in parts:
        try:
            pattern = re.compile(parts["pattern"])
        except re.error as error:
            problems.append(f"{path}: parts: the pattern {parts['pattern']!r} is no regular expression ({error})")
            return None, None
        if pattern.groups != 1:
            problems.append(
                f"{path}: parts: the pattern {pattern.pattern!r} needs one group in brackets, as part(\\d+)_"
            )
            return None, None
        return pattern, None
    return None, _table_of_parts(path.parent / parts["file"], problems) if "file" in parts else None


def _table_of_parts(path: Path, problems: list[str]) -> dict[str, str] | None:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{path}: not readable as a CSV of parts ({error})")
        return None
    if not rows or not {"photograph", "part"} <= rows[0].keys():
        problems.append(
            f"{path}: the columns photograph and part expected, between commas, and a line for every photograph"
        )
        return None
    found: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if not row["photograph"] or not row["part"]:
            problems.append(f"{path}: line {number}: a photograph and a part expected")
        elif found.setdefault(normal_form(row["photograph"]), row["part"]) != row["part"]:
            problems.append(f"{path}: line {number}: {row['photograph']} is listed twice, with different parts")
    return found


def _name_unknown(entries: dict, known: tuple[str, ...], where: str, problems: list[str]) -> None:
    problems += [f"{where}: unknown key {key!r}; there are {', '.join(known)}" for key in entries if key not in known]
