"""Four ways to lay out a category in a folder, read into one table.

- MVTec AD (Bergmann et al., CVPR 2019 and IJCV 2021): `train/good`, `test/good`, `test/<defect>`,
  `ground_truth/<defect>/<id>_mask.png`.
- MVTec LOCO AD (Bergmann et al., IJCV 2022): `train/good`, `validation/good`, `test/good`, `test/logical_anomalies`,
  `test/structural_anomalies`, `ground_truth/<kind>/<id>/*.png` with a file for every region, `defects_config.json`.
- Magnetic tile (Huang, Qiu and Yuan, The Visual Computer 2020): `MT_<class>/Imgs/NAME.jpg` with its mask `NAME.png`.
- Photographs: a plain folder of photographs of good parts, without a test split.

The layout is recognised by the folders' names. Other folders beside those of the layout are ignored, unless they are
splits by their names (`val`), and so are hidden files; nothing is written. Photographs may be in subfolders and behind
links, in every format that `photographs.py` lists; their masks are in subfolders of the same names.

Where we add to the layouts: without `validation/good`, a seeded share of train becomes the validation split; and 20 %
of the defect-free magnetic tiles, seeded too, are test images. Both draws depend on the sorted file names and the seed
alone. MVTec AD and magnetic tile do not separate logical from structural anomalies: all count as structural. A
defective photograph may have no mask; a mask without a defective photograph is an error.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from iadlib.data.category import SPLITS, Category
from iadlib.data.errors import DataError, raise_together
from iadlib.data.images import require_depth
from iadlib.data.photographs import ENDINGS, LISTED_PROBLEMS, natural, normal_form, photographs_below, visible
from iadlib.data.reference import follow_reference
from iadlib.data.regions import marks_anything, read_defect_types

LOCO_LABELS = {"good": "good", "logical_anomalies": "logical", "structural_anomalies": "structural"}
MASK_ENDINGS = (".png", ".tif", ".tiff", ".bmp")
MASK_NAMES = {
    "mvtec_ad": "ground_truth/<defect>/<image>_mask.png",
    "mvtec_loco": "ground_truth/<kind>/<image>/*.png",
    "magnetic_tile": "MT_<class>/Imgs/<image>.png beside <image>.jpg",
}
MAGNETIC_TILE_TEST_SHARE = 0.2
GOOD_FOLDERS = ("good", "ok")  # in small or capital letters
SPLIT_NAMES = {  # likewise; what stands for each of SPLITS
    **{"train": "train", "training": "train", "test": "test", "testing": "test", "validation": "validation"},
    **{"validate": "validation", "valid": "validation", "val": "validation", "eval": "validation"},
}
# Names in a plain folder, in small or capital letters, that do not speak of photographs of good parts.
DOUBTFUL_FOLDERS = (
    *("anomalies", "anomalous", "anomaly", "bad", "broken", "defect", "defective", "defects", "faulty", "ground_truth"),
    *("groundtruth", "gt", "label", "labels", "mask", "masks", "ng", "nok", "not_good", "reject", "rejects", "test"),
    "testing",
)
DOUBTFUL_ENDINGS = ("_gt", "_label", "_mask")  # of a file's name


def load_category(
    folder: str | Path, *, seed: int = 0, validation_fraction: float = 0.2, bits: int | None = None
) -> Category:
    """The category in a folder of a known layout, or in the folder that a `source.json` there refers to.

    `seed` and `validation_fraction` (of train) serve layouts without a validation split. `bits` is the depth of the
    camera for photographs in files of 16 bit, taken from the photographs where it is None. Only names are read here,
    and magnetic-tile masks, some of which are empty. Raises one `DataError` that lists the first problems found.
    """
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction is at least 0 and below 1, not {validation_fraction}")
    require_depth(bits)
    root, referred_bits = follow_reference(Path(folder))
    layout = _recognise(root)
    problems: list[str] = []
    unused: dict[str, list[Path]] = defaultdict(list)
    if layout == "magnetic_tile":
        rows = _magnetic_tile_rows(root, seed, unused, problems)
    elif layout == "photographs":
        rows = _photograph_rows(root, unused, problems)
    else:
        rows = _mvtec_rows(root, layout, unused, problems)
    defect_types = {}
    if layout == "mvtec_loco" and ((root / "defects_config.json").exists() or any(row["masks"] for row in rows)):
        try:
            defect_types = read_defect_types(root / "defects_config.json")
        except DataError as error:
            problems.append(str(error))
    if not rows and not problems:
        problems.append(f"no images found; they end in {', '.join(ENDINGS)}")
    problems += _repeated_names(rows)
    if problems:
        raise_together(f"{root}: a category in {layout} layout, but", problems, LISTED_PROBLEMS)
    _draw_validation(rows, seed, validation_fraction)
    rows.sort(key=lambda row: (SPLITS.index(row["split"]), natural(row["name"])))
    return Category(
        root.resolve().name,
        layout,
        root,
        pd.DataFrame(rows),
        defect_types,
        {name: tuple(paths) for name, paths in unused.items() if paths},
        referred_bits if bits is None else bits,
    )


def _recognise(root: Path) -> str:
    if not root.is_dir():
        raise DataError(f"{root}: {'a folder expected, not a file' if root.exists() else 'no such folder'}")
    if not visible(root):
        raise DataError(f"{root}: the folder is empty; a category of images expected")
    layout = _layout(root)
    if layout is not None:
        return layout
    if categories := [child.name for child in _folders(root) if _layout(child)]:
        raise DataError(f"{root}: the folders here are themselves categories, choose one: {', '.join(categories)}")
    problems: list[str] = []
    if photographs_below(root, problems)[0] or problems:
        return "photographs"
    raise DataError(
        f"{root}: no known layout; looked for train/ or test/ (MVTec AD), test/logical_anomalies/ or "
        "test/structural_anomalies/ or defects_config.json (MVTec LOCO AD), MT_<class>/Imgs/ (magnetic tile), and "
        f"photographs of good parts, which end in {', '.join(ENDINGS)}"
    )


def _layout(root: Path) -> str | None:
    if any(child.name.startswith("MT_") and (child / "Imgs").is_dir() for child in _folders(root)):
        return "magnetic_tile"
    anomalies = [root / "test" / kind for kind in LOCO_LABELS if kind != "good"]
    if (root / "defects_config.json").exists() or any(folder.is_dir() for folder in anomalies):
        return "mvtec_loco"
    if (root / "train").is_dir() or (root / "test").is_dir():
        return "mvtec_ad"
    return None


def _mvtec_rows(root: Path, layout: str, unused: dict[str, list[Path]], problems: list[str]) -> list[dict]:
    """Rows of both MVTec layouts: they differ in the names of test folders and in how masks are filed."""
    masks, _ = photographs_below(root / "ground_truth", problems)
    by_name: dict[str, list[Path]] = defaultdict(list)
    for mask in masks:
        if mask.suffix.lower() in MASK_ENDINGS and (name := _masked_name(mask, root / "ground_truth", layout)):
            by_name[name].append(mask)
    problems += _unread_splits(root, layout)
    rows = []
    for split in SPLITS:
        for path in visible(root / split):
            if not path.is_dir():
                stray, other = photographs_below(path, problems)
                problems += [f"{image}: not in a folder of {split}/; {split}/good/ expected" for image in stray]
                unused[split] += other
                continue
            label = LOCO_LABELS.get(path.name)
            if layout == "mvtec_ad":
                label = "good" if path.name == "good" else "structural"
            if label is None or (split != "test" and label != "good"):
                expected = ", ".join(LOCO_LABELS) if split == "test" else "good"
                problems.append(f"{path}: unknown folder; {split}/ holds {expected}")
                continue
            images, other = photographs_below(path, problems)
            unused[split] += other
            for image in images:
                row = _row(image, split, label, path, path.name)
                if label != "good":
                    row["masks"] = tuple(by_name.get(row["name"], ())[: None if layout == "mvtec_loco" else 1])
                    row["has_mask"] = bool(row["masks"])
                rows.append(row)
    problems += _unmatched_masks(rows, layout, masks)
    return rows


def _unread_splits(root: Path, layout: str) -> list[str]:
    """Problems: folders that are splits of a category by their names, but are not read in this layout."""
    mvtec = layout.startswith("mvtec")
    unread = [
        folder
        for folder in _folders(root)
        if folder.name.lower() in SPLIT_NAMES and not (mvtec and folder.name in SPLITS)
    ]
    meant = [SPLIT_NAMES[folder.name.lower()] for folder in unread]
    renamed = mvtec or (layout == "photographs" and {"train", "test"} & {*meant})  # it would be a layout of MVTec's
    otherwise = "put its photographs beside the others, or move it elsewhere"
    return [
        f"{folder}: a split by its name, which is not read here; "
        + (f"name it {name} as in MVTec's layouts, or move it elsewhere" if renamed else otherwise)
        for folder, name in zip(unread, meant, strict=True)
    ]


def _masked_name(mask: Path, ground_truth: Path, layout: str) -> str | None:
    """The `name` of the image that a mask belongs to, by its own name; None where it has no such name."""
    below = mask.relative_to(ground_truth).with_suffix("")
    if layout == "mvtec_loco":
        return normal_form(below.parent.as_posix())
    return normal_form(below.as_posix().removesuffix("_mask")) if below.name.endswith("_mask") else None


def _magnetic_tile_rows(root: Path, seed: int, unused: dict[str, list[Path]], problems: list[str]) -> list[dict]:
    problems += _unread_splits(root, "magnetic_tile")
    rows = []
    all_masks = []
    for folder in _folders(root):
        if not folder.name.startswith("MT_"):
            continue
        images, other = photographs_below(folder / "Imgs", problems)
        unused["photographs"] += other
        photographs = [image for image in images if image.suffix.lower() != ".png"]
        masks = {normal_form(image.stem): image for image in images if image.suffix.lower() == ".png"}
        if folder.name == "MT_Free":
            in_test = _share(len(photographs), MAGNETIC_TILE_TEST_SHARE, np.random.default_rng([seed, 0]))
            for image, tested in zip(photographs, in_test, strict=True):
                rows.append(_row(image, "test" if tested else "train", "good", folder / "Imgs", folder.name))
            continue
        all_masks += masks.values()
        for image in photographs:
            row = _row(image, "test", "structural", folder / "Imgs", folder.name)
            mask = masks.get(normal_form(image.stem))
            row["masks"] = () if mask is None else (mask,)
            rows.append(row)
    problems += _unmatched_masks(rows, "magnetic_tile", all_masks)
    for row in rows:
        try:
            row["has_mask"] = any(marks_anything(mask) for mask in row["masks"])
        except DataError as error:
            problems.append(str(error))
    return rows


def _photograph_rows(root: Path, unused: dict[str, list[Path]], problems: list[str]) -> list[dict]:
    """Rows of a plain folder of photographs of good parts."""
    folders = [folder.name for folder in _folders(root)]
    if len(folders) > 1 and any(name.lower() in GOOD_FOLDERS for name in folders):
        problems.append(
            f"{root}: the folders {', '.join(folders)} are not all of good parts by their names; name the folder of "
            "good photographs alone, or file them as train/good, test/good and test/<defect>"
        )
    problems += _unread_splits(root, "photographs")
    images, other = photographs_below(root, problems)
    unused["photographs"] += other
    if doubtful := [image for image in images if _is_doubtful(image.relative_to(root))]:
        problems.append(
            f"{doubtful[0]}: by its name, not a photograph of a good part, and {len(doubtful)} of {len(images)} are "
            "such; name the folder of good photographs alone, or file all as train/good, test/good and test/<defect>"
        )
    return [_row(image, "train", "good", root, "") for image in images]


def _is_doubtful(path: Path) -> bool:
    """Whether a photograph in a plain folder may show no good part, by its path below the folder."""
    folders = {part.lower() for part in path.parts[:-1]}
    return bool(folders.intersection(DOUBTFUL_FOLDERS)) or path.stem.lower().endswith(DOUBTFUL_ENDINGS)


def _row(image: Path, split: str, label: str, folder: Path, title: str) -> dict:
    """A row without masks for an image below `folder`, whose name in the table is `title`."""
    below = image.relative_to(folder).with_suffix("").as_posix()
    return {
        "image": image,
        "split": split,
        "label": label,
        "defect": "good" if label == "good" else normal_form(title).removeprefix("MT_"),
        "name": normal_form(f"{title}/{below}" if title else below),
        "masks": (),
        "has_mask": False,
    }


def _unmatched_masks(rows: list[dict], layout: str, masks: list[Path]) -> list[str]:
    """Problems: masks without a defective image."""
    matched = {mask for row in rows for mask in row["masks"]}
    return [
        f"{mask}: a mask without a defective test image; {MASK_NAMES[layout]} expected"
        for mask in masks
        if mask not in matched
    ]


def _repeated_names(rows: list[dict]) -> list[str]:
    """Problems: images of one split with the same name, as masks and maps are filed by name."""
    first: dict[tuple[str, str], Path] = {}
    problems = []
    for row in rows:
        known = first.setdefault((row["split"], row["name"]), row["image"])
        if known.with_suffix("") != row["image"].with_suffix(""):
            problems.append(f"{row['image']}: its name and that of {known} differ in their Unicode characters only")
        elif known != row["image"]:
            problems.append(f"{row['image']}: another image here has the same name but for its ending, {known.name}")
    return problems


def _draw_validation(rows: list[dict], seed: int, fraction: float) -> None:
    """Move a share of the train rows to validation, unless there are validation rows."""
    if any(row["split"] == "validation" for row in rows):
        return
    train = sorted((row for row in rows if row["split"] == "train"), key=lambda row: natural(row["name"]))
    for row, drawn in zip(train, _share(len(train), fraction, np.random.default_rng([seed, 1])), strict=True):
        if drawn:
            row["split"] = "validation"


def _share(count: int, fraction: float, generator: np.random.Generator) -> np.ndarray:
    """True for a random `fraction` of `count` things: for at least one if there are two or more, never for all."""
    size = min(max(round(fraction * count), 1), count - 1) if fraction and count else 0
    return generator.permutation(count) < size


def _folders(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.is_dir()]
