"""From own photographs and drawn masks to a category: a folder in MVTec LOCO AD layout.

A YAML names the defects (`description.py`); masks come from common tools (`drawings.py`). Photographs without a mask
are good. Parts without a defect are drawn at random, with a seed, into train, validation and test, with all photographs
of a part in the same split. A part with a defective photograph goes to test with all of its photographs: a detector
that has learned the good side of a part would find its defects more easily than those of an unknown part.

Every file is read and checked before the folder appears, and one error lists everything that is wrong. A file in the
folder of annotations that is not used is an error, because the defect drawn in it would be lost. Masks that are only
unusual (empty, very small, very large, beside the object) are listed in the folder's `README.md`, and `sources.csv`
states what became of every photograph. The originals are only read.
"""

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from PIL import Image
from tqdm import tqdm

from iadlib.data.background import find_object
from iadlib.data.build_report import BuildReport, report_text
from iadlib.data.category import SPLITS
from iadlib.data.description import Description, read_description
from iadlib.data.drawings import MASK_ENDINGS, MASK_NAMES, Drawing, Photograph, find_drawings, mask_readings
from iadlib.data.errors import DataError, Findings, raise_together
from iadlib.data.images import bit_depth, read_image
from iadlib.data.photographs import ENDINGS, files_below, normal_form, photographs_below
from iadlib.files import require_new, whole_folder, write_json

KIND_FOLDERS = {"good": "good", "logical": "logical_anomalies", "structural": "structural_anomalies"}
TINY_PIXELS = 10  # a region of fewer is suspicious
LARGE_SHARE = 0.5  # of the photograph; a region of more may be a mask with black and white exchanged
OBJECT_SIDE = 512  # pixels; longer photographs are subsampled to find the object
NEAR_OBJECT = 0.02  # of that longer side; a region farther from the object is suspicious
DRAWS = 200  # random orders of the parts, of which the one nearest to the requested shares is taken


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What became of one photograph; `regions` are defect and pixels of each mask in its staged folder."""

    label: str  # good, logical, structural or left out
    regions: tuple[tuple[str, int], ...] = ()
    digest: bytes = b""


def build_category(photographs: str | Path, out: str | Path, description: str | Path, *, seed: int = 0) -> BuildReport:
    """Write photographs and what was drawn on them as a category in MVTec LOCO AD layout into the new folder `out`.

    `photographs` is a folder, searched at any depth; `description` a YAML, see `iadlib.data.description`. A photograph
    with defects of both kinds is filed under logical_anomalies. One whose masks are all empty is left out, and its part
    counts as defective, unless the description has `empty_masks: good`. Raises one `DataError` that lists everything
    that is wrong. After an error or an interruption there is no `out`.
    """
    source, out = Path(photographs), require_new(out)
    if not source.is_dir():
        raise DataError(f"{source}: no such folder of photographs")
    if type(seed) is not int or seed < 0:
        raise ValueError(f"a seed is a whole number of 0 or more, not {seed!r}")
    findings = Findings()
    rules = read_description(Path(description), findings.problems)
    annotations = rules.annotations or source
    for folder in (source, annotations):
        if out.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{out} is inside {folder}, which stays unchanged; name a folder elsewhere")
    found, other = _find_photographs(source, rules, findings.problems)
    files = _annotation_files(annotations, rules, found, findings.problems)
    drawings = find_drawings(files, found, rules.defects, findings)
    if not drawings and not findings.problems:
        findings.problems.append(_nothing_drawn(annotations, rules))
    parts = rules.parts([photograph.below for photograph in found.values()], findings.problems)
    part_of = {name: parts.get(photograph.below, name) for name, photograph in found.items()}
    bits = _depth(found, rules, findings.problems)
    with whole_folder(out) as folder:
        outcomes = {}
        for number, name in enumerate(tqdm(found, desc="reading photographs", leave=False, disable=None)):
            staged = folder / "staged" / str(number)
            outcomes[name] = _stage(found[name], drawings.get(name, []), rules, bits, staged, findings)
        findings.suspicious.extend(_same_pictures(found, outcomes, part_of))
        if not findings.problems and not any(outcome.regions for outcome in outcomes.values()):
            findings.problems.append(f"{annotations}: all masks in this folder are empty")
        split_of = _split_parts(outcomes, part_of, rules, seed, findings.problems) if found else {}
        if findings.problems:
            # A file may be met twice: among the photographs and among the annotations.
            problems = list(dict.fromkeys(findings.problems))
            raise_together(f"{source}: no category can be made of these photographs:", problems)
        sources, regions = _file(folder, found, outcomes, part_of, split_of, rules)
        text = report_text(out.name, source, sources, regions, rules, seed, bits, findings, other)
        sources.to_csv(folder / "sources.csv", index=False)
        (folder / "README.md").write_text(text, encoding="utf-8")
    return BuildReport(out, sources, regions, tuple(findings.suspicious), text)


# -- finding ----------------------------------------------------------------------------------------------------------


def _find_photographs(
    source: Path, rules: Description, problems: list[str]
) -> tuple[dict[str, Photograph], list[Path]]:
    """Photographs by name, and the files that are neither photographs nor annotations."""
    separate = rules.annotations and rules.annotations.resolve()
    nested = separate is not None and separate != source.resolve() and separate.is_relative_to(source.resolve())
    images, other = photographs_below(source, problems, without=separate if nested else None)
    found: dict[str, Photograph] = {}
    for path in images:
        below = normal_form(path.relative_to(source).as_posix())
        name = below.removesuffix(path.suffix)
        if name in found:
            problems.append(f"{path}: another photograph has the same name but for its ending, {found[name].path.name}")
            continue
        try:
            found[name] = Photograph.at(path, below)
        except DataError as error:
            problems.append(str(error))
            found[name] = Photograph(path, below)
    if not found:
        endings = ", ".join(sorted({path.suffix for path in other})) or "nothing"
        problems.append(f"{source}: no photographs; they end in {', '.join(ENDINGS)}, and this folder has {endings}")
    if rules.annotations is None:
        for name, photograph in found.items():
            meant = [known for known, defect in mask_readings(name, found, rules.defects) if defect is not None]
            if meant and photograph.path.suffix.lower() in MASK_ENDINGS:
                problems.append(
                    f"{photograph.path}: a mask of {meant[0]} by its name; put masks into a folder of their own, and "
                    f"name it in {rules.path} as `annotations`"
                )
    return found, other


def _annotation_files(
    annotations: Path, rules: Description, found: Mapping[str, Photograph], problems: list[str]
) -> dict[str, Path]:
    """All files below the folder of annotations but photographs and descriptions, by their path below the folder."""
    if annotations.is_file():
        return {annotations.name: annotations}
    if not annotations.is_dir():
        problems.append(f"{annotations}: no such folder or file; {rules.path} names it as `annotations`")
        return {}
    used = {photograph.path.resolve() for photograph in found.values()}
    used |= {path.resolve() for path in (rules.path, rules.parts_file) if path is not None}
    files = [path for path, real in files_below(annotations, problems) if real not in used]
    return {normal_form(path.relative_to(annotations).as_posix()): path for path in files}


def _nothing_drawn(annotations: Path, rules: Description) -> str:
    if rules.annotations is None:
        return (
            f"{annotations}: no drawing of labelme or COCO (.json) beside the photographs; if masks are elsewhere, "
            f"name their folder in {rules.path} as `annotations`"
        )
    return f"{annotations}: no drawing was found; masks are named {MASK_NAMES}, files of labelme and COCO end in .json"


def _depth(found: Mapping[str, Photograph], rules: Description, problems: list[str]) -> int:
    """The bit depth of all photographs; 16 where it cannot be decided, which is a problem."""
    if rules.bits is not None:
        return rules.bits
    try:
        return bit_depth([photograph.path for photograph in found.values() if photograph.deep])
    except DataError as error:
        problems.append(f"{error}; in {rules.path}, for example, bits: 12")
        return 16


# -- reading ----------------------------------------------------------------------------------------------------------


def _stage(
    photograph: Photograph, drawings: Sequence[Drawing], rules: Description, bits: int, staged: Path, findings: Findings
) -> _Outcome:
    """Read a photograph and its masks; while there is no problem, write them as `staged`.png and `staged`/*.png."""
    expected = "structural" if drawings else "good"  # the label of a photograph that turns out to be unreadable
    if photograph.size is None:
        return _Outcome(expected)
    try:
        pixels = read_image(photograph.path, bits)
    except DataError as error:
        findings.problems.append(str(error))
        return _Outcome(expected)
    if drawings and photograph.orientation != 1 and photograph.size == photograph.stored:
        findings.suspicious.append(
            f"{photograph.path}: turned by its EXIF data; its drawings are assumed to be of the upright photograph"
        )
    pixel_values = _pixel_values(rules.defects)
    regions = []
    near = None
    for where, defect, mask in _regions(photograph, drawings, rules, findings):
        near = _near_object(pixels) if near is None else near
        findings.suspicious.extend(f"{where}: {defect}: {oddity}" for oddity in _oddities(mask, near))
        if not findings.problems:
            staged.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask * np.uint8(pixel_values[defect])).save(staged / f"{len(regions):03}.png")
        regions.append((defect, int(np.count_nonzero(mask))))
    if not findings.problems:
        staged.parent.mkdir(exist_ok=True)
        _write_photograph(photograph, pixels, staged.with_suffix(".png"))
    kinds = {rules.defects[defect].kind for defect, _ in regions}
    label = "good" if not drawings or rules.empty_masks == "good" else "left out"
    label = next((kind for kind in ("logical", "structural") if kind in kinds), label)
    return _Outcome(label, tuple(regions), hashlib.blake2b(np.ascontiguousarray(pixels), digest_size=16).digest())


def _regions(
    photograph: Photograph, drawings: Sequence[Drawing], rules: Description, findings: Findings
) -> Iterator[tuple[str, str, np.ndarray]]:
    """One region after the other: where it was drawn, the defect, and the upright mask (H, W)."""
    merged: dict[str, np.ndarray] = {}
    for drawing in drawings:
        empty = True
        try:
            if drawing.size is not None:
                photograph.expect(drawing.size, drawing.where)
            for defect, drawn in drawing.paint():
                mask = photograph.upright(drawn, drawing.where)
                empty = False
                if rules.defects[defect].one_region:
                    merged[defect] = merged.get(defect, False) | mask
                else:
                    yield drawing.where, defect, mask
            if empty:
                findings.suspicious.append(f"{drawing.where}: empty, marks nothing")
        except DataError as error:
            findings.problems.append(str(error))
    for defect, mask in merged.items():
        yield f"{photograph.path}", defect, mask


def _oddities(mask: np.ndarray, near: np.ndarray) -> Iterator[str]:
    rows, columns = np.nonzero(mask)
    area = len(rows)
    step = -(-max(mask.shape) // OBJECT_SIDE)
    if not near[rows // step, columns // step].any():
        yield "outside the object"
    if area < TINY_PIXELS:
        yield f"tiny, a region of {area} pixels at row {rows[0]}, column {columns[0]}"
    if area > LARGE_SHARE * mask.size:
        yield f"covers {area / mask.size:.0%} of the photograph; are black and white exchanged?"


def _near_object(pixels: np.ndarray) -> np.ndarray:
    """Where the object and its surroundings are, on every n-th pixel of a photograph longer than OBJECT_SIDE."""
    step = -(-max(pixels.shape) // OBJECT_SIDE)
    silhouette = find_object(pixels[::step, ::step])
    return scipy.ndimage.distance_transform_edt(~silhouette) <= max(2, NEAR_OBJECT * max(silhouette.shape))


def _write_photograph(photograph: Photograph, pixels: np.ndarray, target: Path) -> None:
    """As upright PNG of 8 bit; the file itself where it is one already, grey where all channels are equal."""
    with Image.open(photograph.path) as image:
        is_png = image.format == "PNG" and image.mode in ("L", "RGB")
    if is_png and photograph.orientation == 1 and not photograph.deep:
        shutil.copyfile(photograph.path, target)
    else:
        grey = (pixels == pixels[:, :, :1]).all()
        Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]) if grey else pixels).save(target)


def _same_pictures(
    found: Mapping[str, Photograph], outcomes: Mapping[str, _Outcome], part_of: Mapping[str, str]
) -> Iterator[str]:
    first: dict[bytes, str] = {}
    for name, outcome in outcomes.items():
        known = first.setdefault(outcome.digest, name) if outcome.digest else name
        if part_of[known] != part_of[name]:
            yield f"{found[name].path}: the same picture as {found[known].path}, which counts as another part"


# -- splitting and filing ---------------------------------------------------------------------------------------------


def _split_parts(
    outcomes: Mapping[str, _Outcome], part_of: Mapping[str, str], rules: Description, seed: int, problems: list[str]
) -> dict[str, str]:
    """The split of every part; test for those that have a defective photograph, or one that was left out."""
    tested = {part_of[name] for name, outcome in outcomes.items() if outcome.label != "good"}
    good = pd.Series(
        {name: part_of[name] for name, outcome in outcomes.items() if outcome.label == "good"}, dtype=object
    )
    sizes = good[~good.isin(tested)].value_counts(sort=False)
    try:
        drawn = draw_splits(sizes.tolist(), rules.train, rules.validation, good.isin(tested).any(), seed)
    except DataError as error:
        problems.append(str(error))
        drawn = []
    return dict.fromkeys(sorted(tested), "test") | dict(zip(sizes.index, drawn, strict=False))


def draw_splits(sizes: Sequence[int], train: float, validation: float, tested: bool, seed: int) -> list[str]:
    """The split of each part without a defect, given the number of photographs of each, in order.

    `train` and `validation` are shares of these photographs. Every split gets at least one, except test where it has
    good photographs already (`tested`). Parts of equal size reach the best possible shares; parts of unequal size reach
    the best shares of a few hundred random orders.

    >>> draw_splits([1] * 10, 0.7, 0.1, tested=False, seed=0).count("train")
    7
    """
    in_test = 0 if tested else 1
    if len(sizes) < 2 + in_test:
        splits = "train and validation" if tested else "train, validation and test"
        raise DataError(f"too few photographs: {splits} need a part without a defect each, and there are {len(sizes)}")
    total = sum(sizes)
    for_validation, for_train = max(1, round(validation * total)), round(train * total)
    wanted = np.array([for_validation, max(in_test, total - for_validation - for_train), for_train])
    generator = np.random.default_rng(seed)
    nearest: tuple[float, list[str]] = (np.inf, [])
    for _ in range(DRAWS):
        order = generator.permutation(len(sizes))
        # Validation takes the first parts in this order, train the last, test those between them.
        within = np.concatenate([[0], np.cumsum(np.asarray(sizes)[order])])  # photographs of the first n parts
        for first in np.clip(_around(within, for_validation), 1, len(sizes) - 1 - in_test):
            for last in np.clip(_around(within, total - for_train), first + in_test, len(sizes) - 1):
                counts = np.array([within[first], within[last] - within[first], total - within[last]])
                distance = float(np.abs(counts - wanted).sum())
                if distance < nearest[0]:
                    splits = np.empty(len(sizes), dtype=object)
                    splits[order[:first]] = "validation"
                    splits[order[first:last]] = "test"
                    splits[order[last:]] = "train"
                    nearest = distance, splits.tolist()
        if nearest[0] == 0:
            break
    return nearest[1]


def _around(ascending: np.ndarray, value: int) -> np.ndarray:
    """The two positions in an ascending array whose values are nearest to a value on either side."""
    position = np.searchsorted(ascending, value)
    return np.array([position - 1, position])


def _file(
    folder: Path,
    found: Mapping[str, Photograph],
    outcomes: Mapping[str, _Outcome],
    part_of: Mapping[str, str],
    split_of: Mapping[str, str],
    rules: Description,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move the staged files to their places, and write the rules of saturation; the two tables of `BuildReport`."""
    sources, regions = [], []
    counts: dict[str, int] = defaultdict(int)
    for split in SPLITS:
        (folder / split / "good").mkdir(parents=True)
    for kind in KIND_FOLDERS.values():
        (folder / "test" / kind).mkdir(exist_ok=True)
    for number, (name, outcome) in enumerate(outcomes.items()):
        staged = folder / "staged" / str(number)
        photograph, split, image = found[name], split_of[part_of[name]], ""
        kind = KIND_FOLDERS.get(outcome.label)
        if kind is not None:
            new = f"{counts[split, kind]:03}"
            counts[split, kind] += 1
            image = f"{split}/{kind}/{new}.png"
            staged.with_suffix(".png").replace(folder / image)
        if outcome.regions:
            truth = f"ground_truth/{kind}/{new}"
            (folder / truth).parent.mkdir(parents=True, exist_ok=True)
            staged.replace(folder / truth)
            regions += [
                {"mask": f"{truth}/{index:03}.png", "image": image, "defect": defect, "pixels": pixels}
                for index, (defect, pixels) in enumerate(outcome.regions)
            ]
        sources.append(
            {
                "image": image,
                "photograph": photograph.below,
                "part": part_of[name],
                "split": split if image else "",
                "label": outcome.label,
                "defects": "; ".join(dict.fromkeys(defect for defect, _ in outcome.regions)),
                "height": photograph.size[0],
                "width": photograph.size[1],
            }
        )
    shutil.rmtree(folder / "staged")
    types = [asdict(rules.defects[name].as_type(name, value)) for name, value in _pixel_values(rules.defects).items()]
    write_json(folder / "defects_config.json", types)
    return pd.DataFrame(sources), pd.DataFrame(regions)


def _pixel_values(defects: Iterable[str]) -> dict[str, int]:
    """The value of each defect's pixels in ground truth: 255, 254 … as in MVTec LOCO AD."""
    return dict(zip(defects, range(255, 0, -1), strict=False))
