"""A category of one's own: photographs and drawn masks become a folder in MVTec LOCO AD layout.

A YAML names the defects (`description.py`), masks come from common tools (`drawings.py`). Photographs without a mask
are good; parts without a defect are drawn, seeded, into train, validation and test, each part whole. A part with a
defective photograph goes to test with all of its photographs: what a detector has learned of the part's good side
would make its defects look easier than on a part it has never seen.

Every file is read and checked before anything is put in its place; what is wrong comes as one error that lists all of
it. What is merely odd, a mask that marks nothing, next to nothing, nearly all, or something beside the object, is
written down in the folder's `README.md`, and `sources.csv` says what became of every photograph. Originals are opened
for reading only.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from iadlib.data.background import find_object
from iadlib.data.build_report import BuildReport, report_text
from iadlib.data.category import SPLITS
from iadlib.data.description import Description, read_description
from iadlib.data.drawings import MASK_ENDINGS, MASK_NAMES, Drawing, Photograph, find_drawings, mask_readings
from iadlib.data.errors import DataError, raise_together
from iadlib.data.images import read_image
from iadlib.data.photographs import ENDINGS as IMAGE_ENDINGS

KIND_FOLDERS = {"good": "good", "logical": "logical_anomalies", "structural": "structural_anomalies"}
TINY_PIXELS = 10  # a region of fewer is suspicious
LARGE_SHARE = 0.5  # of the photograph; a region of more may be a mask with black and white exchanged
OBJECT_SIDE = 512  # pixels: longer photographs are looked at with gaps to find the object
NEAR_OBJECT = 0.02  # of that longer side; a region farther from the object is suspicious
DRAWS = 200  # of a split, of which the one nearest to the shares asked for is taken


@dataclass(frozen=True, eq=False)
class _Taken:
    """One photograph as it was read; `regions` are defect and pixels of each mask that lies in its staged folder."""

    label: str
    regions: tuple[tuple[str, int], ...] = ()
    digest: bytes = b""


def build_category(photographs: str | Path, out: str | Path, description: str | Path, *, seed: int = 0) -> BuildReport:
    """Write photographs and what was drawn on them as a category in MVTec LOCO AD layout into the new folder `out`.

    `photographs` is a folder, looked through at any depth; `description` a YAML, see `iadlib.data.description`. A
    photograph with defects of both kinds is filed under logical_anomalies. One whose masks mark nothing is left out,
    and its part counts as defective, unless the description says `empty_masks: good`. Raises one `DataError` that
    lists everything that is wrong; then, or when interrupted, nothing is left of `out`.
    """
    source, out = Path(photographs), Path(out)
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} exists; name a folder that does not, so that nothing is overwritten")
    if not source.is_dir():
        raise DataError(f"{source}: no such folder of photographs")
    if type(seed) is not int or seed < 0:
        raise ValueError(f"a seed is a whole number of 0 or more, not {seed!r}")
    problems: list[str] = []
    suspicious: list[str] = []
    soft: list[str] = []
    told = read_description(Path(description), problems)
    annotations = told.annotations or source
    for folder in (source, annotations):
        if out.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{out} lies inside {folder}, which stays as it is; name a folder elsewhere")
    found, other = _find_photographs(source, told, problems)
    files = _annotation_files(annotations, told, found, problems)
    drawings = find_drawings(files, found, told.defects, problems, suspicious)
    if not drawings and not problems:
        problems.append(_nothing_drawn(annotations, told))
    parts = told.parts([_below(photograph, source) for photograph in found.values()], problems)
    part_of = {name: parts.get(_below(photograph, source), name) for name, photograph in found.items()}
    with _whole_folder(out) as folder:
        taken = {}
        for number, name in enumerate(tqdm(found, desc="reading photographs", leave=False, disable=None)):
            staged = folder / "staged" / str(number)
            taken[name] = _take(found[name], drawings.get(name, []), told, staged, problems, suspicious, soft)
        suspicious += _pictured_twice(found, taken, part_of)
        if not problems and not any(shot.regions for shot in taken.values()):
            problems.append(f"{annotations}: none of the masks here marks anything")
        split_of = _split_parts(taken, part_of, told, seed, problems) if found else {}
        if problems:
            raise_together(f"{source}: no category is made of these photographs:", problems)
        sources, regions = _file(folder, found, taken, part_of, split_of, told, source)
        text = report_text(out.name, source, sources, regions, told, seed, suspicious, soft, other)
        sources.to_csv(folder / "sources.csv", index=False)
        (folder / "README.md").write_text(text, encoding="utf-8")
    return BuildReport(out, sources, regions, tuple(suspicious), text)


# -- finding ----------------------------------------------------------------------------------------------------------


def _find_photographs(source: Path, told: Description, problems: list[str]) -> tuple[dict[str, Photograph], list[Path]]:
    """Photographs by name, and the files that are neither photographs nor annotations."""
    apart = told.annotations and told.annotations.resolve()
    nested = apart is not None and apart != source.resolve() and apart.is_relative_to(source.resolve())
    files = [path for path in _files(source) if not (nested and path.resolve().is_relative_to(apart))]
    found: dict[str, Photograph] = {}
    for path in files:
        if path.suffix.lower() not in IMAGE_ENDINGS:
            continue
        name = _below(path, source).removesuffix(path.suffix)
        if name in found:
            problems.append(f"{path}: another photograph has the same name but for its ending, {found[name].path.name}")
            continue
        try:
            found[name] = Photograph.at(path, name)
        except DataError as error:
            problems.append(str(error))
            found[name] = Photograph(path, name)
    if not found:
        endings = ", ".join(sorted({path.suffix for path in files})) or "nothing"
        problems.append(f"{source}: no photographs; they end in {', '.join(IMAGE_ENDINGS)}, and here is {endings}")
    if told.annotations is None:
        for name, photograph in found.items():
            meant = [known for known, defect in mask_readings(name, found, told.defects) if defect is not None]
            if meant and photograph.path.suffix.lower() in MASK_ENDINGS:
                problems.append(
                    f"{photograph.path}: a mask of {meant[0]} by its name; put masks into a folder of their own, and "
                    f"name it in {told.path} as `annotations`"
                )
    other = [path for path in files if path.suffix.lower() not in (*IMAGE_ENDINGS, ".json")]
    return found, other


def _annotation_files(
    annotations: Path, told: Description, found: Mapping[str, Photograph], problems: list[str]
) -> dict[str, Path]:
    """Files by their path below the folder of annotations; beside the photographs, those of labelme and COCO alone."""
    if annotations.is_file():
        return {annotations.name: annotations}
    if not annotations.is_dir():
        problems.append(f"{annotations}: no such folder or file; {told.path} names it as `annotations`")
        return {}
    photographs = {photograph.path.resolve() for photograph in found.values()}
    files = [path for path in _files(annotations) if path.resolve() not in photographs]
    if told.annotations is None:
        files = [path for path in files if path.suffix.lower() == ".json"]
    return {_below(path, annotations): path for path in files if path.resolve() != told.path.resolve()}


def _nothing_drawn(annotations: Path, told: Description) -> str:
    if told.annotations is None:
        return (
            f"{annotations}: no drawing of labelme or COCO (.json) beside the photographs; where masks lie elsewhere, "
            f"name their folder in {told.path} as `annotations`"
        )
    return (
        f"{annotations}: nothing drawn was found; masks are named {MASK_NAMES}, files of labelme and COCO end in .json"
    )


def _files(folder: Path) -> list[Path]:
    """All files below a folder, in order of name, but for the hidden ones of desktops and version control."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(
            name.startswith(".") or name in ("__MACOSX", "Thumbs.db") for name in path.relative_to(folder).parts
        )
    ]


def _below(path: Path | Photograph, folder: Path) -> str:
    return (path.path if isinstance(path, Photograph) else path).relative_to(folder).as_posix()


# -- reading ----------------------------------------------------------------------------------------------------------


def _take(
    photograph: Photograph,
    drawings: Sequence[Drawing],
    told: Description,
    staged: Path,
    problems: list[str],
    suspicious: list[str],
    soft: list[str],
) -> _Taken:
    """Read a photograph and its masks; while there is no problem, write them as `staged`.png and `staged`/*.png."""
    expected = "structural" if drawings else "good"  # what a photograph counts as that turns out to be unreadable
    if photograph.size is None:
        return _Taken(expected)
    try:
        pixels = read_image(photograph.path)
    except DataError as error:
        problems.append(str(error))
        return _Taken(expected)
    if drawings and photograph.orientation != 1 and photograph.size == photograph.stored:
        suspicious.append(f"{photograph.path}: turned by its EXIF data; its drawings are taken to be upright")
    pixel_values = _pixel_values(told.defects)
    regions = []
    near = None
    for where, defect, mask in _regions(photograph, drawings, told, problems, suspicious, soft):
        near = _near_object(pixels) if near is None else near
        suspicious += [f"{where}: {defect}: {oddity}" for oddity in _oddities(mask, near)]
        if not problems:
            staged.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask * np.uint8(pixel_values[defect])).save(staged / f"{len(regions):03}.png")
        regions.append((defect, int(mask.sum())))
    if not problems:
        staged.parent.mkdir(exist_ok=True)
        _write_photograph(photograph, pixels, staged.with_suffix(".png"))
    kinds = {told.defects[defect].kind for defect, _ in regions}
    label = "good" if not drawings or told.empty_masks == "good" else "left out"
    label = next((kind for kind in ("logical", "structural") if kind in kinds), label)
    return _Taken(label, tuple(regions), hashlib.blake2b(pixels.tobytes(), digest_size=16).digest())


def _regions(
    photograph: Photograph,
    drawings: Sequence[Drawing],
    told: Description,
    problems: list[str],
    suspicious: list[str],
    soft: list[str],
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Where it was drawn, the defect, and the upright mask (H, W) of one region after the other."""
    together: dict[str, np.ndarray] = {}
    for drawing in drawings:
        empty = True
        try:
            if drawing.size is not None:
                photograph.expect(drawing.size, drawing.where)
            for defect, drawn in drawing.paint(soft):
                mask = photograph.upright(drawn, drawing.where)
                empty = False
                if told.defects[defect].one_region:
                    together[defect] = together.get(defect, False) | mask
                else:
                    yield drawing.where, defect, mask
            if empty:
                suspicious.append(f"{drawing.where}: empty, marks nothing")
        except DataError as error:
            problems.append(str(error))
    for defect, mask in together.items():
        yield f"{photograph.path}", defect, mask


def _oddities(mask: np.ndarray, near: np.ndarray) -> Iterator[str]:
    area = int(mask.sum())
    rows, columns = np.nonzero(mask)
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
    return ndimage.distance_transform_edt(~silhouette) <= max(2, NEAR_OBJECT * max(silhouette.shape))


def _write_photograph(photograph: Photograph, pixels: np.ndarray, target: Path) -> None:
    """As upright PNG of 8 bit; the file itself where it is one already, grey where no channel differs."""
    with Image.open(photograph.path) as image:
        is_png = image.format == "PNG" and image.mode in ("L", "RGB") and photograph.orientation == 1
    if is_png and _bit_depth(photograph.path) == 8:
        shutil.copyfile(photograph.path, target)
    else:
        grey = (pixels == pixels[:, :, :1]).all()
        Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]) if grey else pixels).save(target)


def _bit_depth(png: Path) -> int:
    with png.open("rb") as content:
        return content.read(25)[24]  # signature 8, length 4, "IHDR" 4, width 4, height 4


def _pictured_twice(found: Mapping, taken: Mapping[str, _Taken], part_of: Mapping[str, str]) -> Iterator[str]:
    first: dict[bytes, str] = {}
    for name, shot in taken.items():
        known = first.setdefault(shot.digest, name) if shot.digest else name
        if part_of[known] != part_of[name]:
            yield f"{found[name].path}: the same picture as {found[known].path}, which is said to show another part"


# -- sharing out and filing -------------------------------------------------------------------------------------------


def _split_parts(
    taken: Mapping[str, _Taken], part_of: Mapping[str, str], told: Description, seed: int, problems: list[str]
) -> dict[str, str]:
    """The split of every part; test for those that have a defective photograph, or one that was left out."""
    tested = {part_of[name] for name, shot in taken.items() if shot.label != "good"}
    good = pd.Series({name: part_of[name] for name, shot in taken.items() if shot.label == "good"}, dtype=object)
    sizes = good[~good.isin(tested)].value_counts(sort=False)
    try:
        drawn = draw_splits(sizes.tolist(), told.train, told.validation, good.isin(tested).any(), seed)
    except DataError as error:
        problems.append(str(error))
        drawn = []
    return dict.fromkeys(sorted(tested), "test") | dict(zip(sizes.index, drawn, strict=False))


def draw_splits(sizes: Sequence[int], train: float, validation: float, tested: bool, seed: int) -> list[str]:
    """The split of each part without a defect, given the number of photographs of each, in order.

    Shares are of these photographs. Every split gets at least one, but for test where there are good photographs
    `tested` already. Parts of equal size come as near to the shares as can be, others as a few hundred draws come.

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
        # Validation takes the first parts in this order, train the last, test what is between them.
        within = np.concatenate([[0], np.cumsum(np.asarray(sizes)[order])])  # photographs of so many first parts
        for first in np.clip(_around(within, for_validation), 1, len(sizes) - 1 - in_test):
            for last in np.clip(_around(within, total - for_train), first + in_test, len(sizes) - 1):
                counts = np.array([within[first], within[last] - within[first], total - within[last]])
                distance = float(np.abs(counts - wanted).sum())
                if distance < nearest[0]:
                    splits = np.empty(len(sizes), dtype=object)
                    splits[order[:first]], splits[order[first:last]], splits[order[last:]] = (
                        "validation",
                        "test",
                        "train",
                    )
                    nearest = distance, splits.tolist()
        if nearest[0] == 0:
            break
    return nearest[1]


def _around(ascending: np.ndarray, value: int) -> np.ndarray:
    """The two places of an ascending array whose values lie around a value."""
    place = np.searchsorted(ascending, value)
    return np.array([place - 1, place])


def _file(
    folder: Path,
    found: Mapping[str, Photograph],
    taken: Mapping[str, _Taken],
    part_of: Mapping[str, str],
    split_of: Mapping[str, str],
    told: Description,
    source: Path,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move what was staged to its place, and write the rules of saturation; the two tables of `BuildReport`."""
    sources, regions = [], []
    counts: dict[str, int] = {}
    for split in SPLITS:
        (folder / split / "good").mkdir(parents=True)
    for kind in KIND_FOLDERS.values():
        (folder / "test" / kind).mkdir(exist_ok=True)
    for number, (name, shot) in enumerate(taken.items()):
        staged = folder / "staged" / str(number)
        photograph, split, image = found[name], split_of[part_of[name]], ""
        if shot.label != "left out":
            place = f"{split}/{KIND_FOLDERS[shot.label]}"
            new = f"{counts.setdefault(place, 0):03}"
            counts[place] += 1
            image = f"{place}/{new}.png"
            staged.with_suffix(".png").replace(folder / image)
        if shot.regions:
            truth = f"ground_truth/{KIND_FOLDERS[shot.label]}/{new}"
            (folder / truth).parent.mkdir(parents=True, exist_ok=True)
            staged.replace(folder / truth)
            regions += [
                {"mask": f"{truth}/{place:03}.png", "image": image, "defect": defect, "pixels": pixels}
                for place, (defect, pixels) in enumerate(shot.regions)
            ]
        sources.append(
            {
                "image": image,
                "photograph": _below(photograph, source),
                "part": part_of[name],
                "split": split if image else "",
                "label": shot.label,
                "defects": "; ".join(dict.fromkeys(defect for defect, _ in shot.regions)),
                "height": photograph.size[0],
                "width": photograph.size[1],
            }
        )
    shutil.rmtree(folder / "staged")
    types = [asdict(told.defects[name].as_type(name, value)) for name, value in _pixel_values(told.defects).items()]
    (folder / "defects_config.json").write_text(json.dumps(types, indent=1) + "\n", encoding="utf-8")
    return pd.DataFrame(sources), pd.DataFrame(regions)


def _pixel_values(defects: Iterable[str]) -> dict[str, int]:
    """The value of each defect's pixels in ground truth: 255, 254 … as in MVTec LOCO AD."""
    return dict(zip(defects, range(255, 0, -1), strict=False))


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A new folder to write to, which becomes `out` when all is written; of an unfinished one nothing is left."""
    above = next(folder for folder in out.absolute().parents if folder.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", suffix=".partial", dir=above) as workplace:
            unfinished = Path(workplace) / "new"
            unfinished.mkdir()
            yield unfinished
            out.parent.mkdir(parents=True, exist_ok=True)
            if out.exists():
                raise DataError(f"{out} has come into being meanwhile; nothing is overwritten")
            unfinished.replace(out)
    except OSError as error:
        raise OSError(f"{out}: could not be written, and nothing is left of it ({error})") from error
