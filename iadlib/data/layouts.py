"""Three ways to lay out a category in a folder, read into one table.

- MVTec AD (Bergmann et al., CVPR 2019 and IJCV 2021): `train/good`, `test/good`, `test/<defect>`,
  `ground_truth/<defect>/<id>_mask.png`.
- MVTec LOCO AD (Bergmann et al., IJCV 2022): `train/good`, `validation/good`, `test/good`, `test/logical_anomalies`,
  `test/structural_anomalies`, `ground_truth/<kind>/<id>/*.png` with a file for every region, `defects_config.json`.
- Magnetic tile (Huang, Qiu and Yuan, The Visual Computer 2020): `MT_<class>/Imgs/NAME.jpg` with its mask `NAME.png`.

The folder says which layout it is. Other folders and files in it are ignored, so are hidden ones; nothing is written.

Where we add to the layouts: without `validation/good`, a seeded share of train becomes the validation split; and 20 %
of the defect-free magnetic tiles, seeded too, are test images. Both draws depend on the sorted file names and the seed,
on nothing else. MVTec AD and magnetic tile tell no logical from structural anomalies: all count as structural.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from iadlib.data.category import SPLITS, Category
from iadlib.data.errors import DataError, raise_together
from iadlib.data.regions import marks_anything, read_defect_types

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
LOCO_LABELS = {"good": "good", "logical_anomalies": "logical", "structural_anomalies": "structural"}
MASK_NAMES = {
    "mvtec_ad": "ground_truth/<defect>/<image>_mask.png",
    "mvtec_loco": "ground_truth/<kind>/<image>/*.png",
    "magnetic_tile": "MT_<class>/Imgs/<image>.png beside <image>.jpg",
}
MAGNETIC_TILE_TEST_SHARE = 0.2
LISTED_PROBLEMS = 10


def load_category(folder: str | Path, *, seed: int = 0, validation_fraction: float = 0.2) -> Category:
    """The category in a folder of MVTec AD, MVTec LOCO AD or magnetic-tile layout.

    `seed` and `validation_fraction` (of train) serve layouts without a validation split. Looks at names alone, but for
    magnetic-tile masks, some of which are empty. Raises one `DataError` that lists the first problems found.
    """
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction is at least 0 and below 1, not {validation_fraction}")
    root = Path(folder)
    layout = _recognise(root)
    problems: list[str] = []
    rows = (
        _magnetic_tile_rows(root, seed, problems) if layout == "magnetic_tile" else _mvtec_rows(root, layout, problems)
    )
    defect_types = {}
    if layout == "mvtec_loco":
        try:
            defect_types = read_defect_types(root / "defects_config.json")
        except DataError as error:
            problems.append(str(error))
    if not rows:
        problems.append(f"no images found; they end in {', '.join(IMAGE_ENDINGS)}")
    problems += _repeated_names(rows)
    if problems:
        raise_together(f"{root}: a category in {layout} layout, but", problems, LISTED_PROBLEMS)
    _draw_validation(rows, seed, validation_fraction)
    rows.sort(key=lambda row: (SPLITS.index(row["split"]), _natural(row["name"])))
    return Category(root.resolve().name, layout, root, pd.DataFrame(rows), defect_types)


def _recognise(root: Path) -> str:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder" if not root.exists() else f"{root}: a folder expected, not a file")
    if not list(_visible(root)):
        raise DataError(f"{root}: the folder is empty; a category of images expected")
    layout = _layout(root)
    if layout is None:
        categories = [child.name for child in _folders(root) if _layout(child)]
        raise DataError(
            f"{root}: the folders here are themselves categories, choose one: {', '.join(categories)}"
            if categories
            else f"{root}: no known layout; looked for train/ or test/ (MVTec AD), test/logical_anomalies/ or "
            "test/structural_anomalies/ or defects_config.json (MVTec LOCO AD), MT_<class>/Imgs/ (magnetic tile)"
        )
    return layout


def _layout(root: Path) -> str | None:
    if any(child.name.startswith("MT_") and (child / "Imgs").is_dir() for child in _folders(root)):
        return "magnetic_tile"
    anomalies = [root / "test" / kind for kind in LOCO_LABELS if kind != "good"]
    if (root / "defects_config.json").exists() or any(folder.is_dir() for folder in anomalies):
        return "mvtec_loco"
    if (root / "train").is_dir() or (root / "test").is_dir():
        return "mvtec_ad"
    return None


def _mvtec_rows(root: Path, layout: str, problems: list[str]) -> list[dict]:
    """Rows of both MVTec layouts: they differ in the names of test folders and in how masks are filed."""
    rows = []
    for split in SPLITS:
        stray = _images(root / split)
        problems += [f"{image}: not in a folder of {split}/; {split}/good/ expected" for image in stray]
        for folder in _folders(root / split):
            label = LOCO_LABELS.get(folder.name) if layout == "mvtec_loco" else _mvtec_ad_label(folder.name)
            if label is None or (split != "test" and label != "good"):
                expected = ", ".join(LOCO_LABELS) if split == "test" else "good"
                problems.append(f"{folder}: unknown folder; {split}/ holds {expected}")
                continue
            masks = {} if label == "good" else _mvtec_masks(root / "ground_truth" / folder.name, layout)
            rows += [_row(image, split, label, folder.name, masks.get(image.stem, ())) for image in _images(folder)]
    problems += _unmatched_masks(rows, layout, list(_images_below(root / "ground_truth")))
    return rows


def _mvtec_ad_label(defect: str) -> str:
    return "good" if defect == "good" else "structural"


def _mvtec_masks(folder: Path, layout: str) -> dict[str, tuple[Path, ...]]:
    """Masks by the name of their image."""
    if layout == "mvtec_loco":
        return {child.name: tuple(_images(child, (".png",))) for child in _folders(folder)}
    masks = (mask for mask in _images(folder, (".png",)) if mask.stem.endswith("_mask"))
    return {mask.stem.removesuffix("_mask"): (mask,) for mask in masks}


def _magnetic_tile_rows(root: Path, seed: int, problems: list[str]) -> list[dict]:
    rows = []
    all_masks = []
    for folder in _folders(root):
        if not folder.name.startswith("MT_"):
            continue
        photographs = _images(folder / "Imgs", (".jpg", ".jpeg"))
        if folder.name == "MT_Free":
            in_test = _share(len(photographs), MAGNETIC_TILE_TEST_SHARE, np.random.default_rng([seed, 0]))
            for image, tested in zip(photographs, in_test, strict=True):
                rows.append(_row(image, "test" if tested else "train", "good", folder.name))
            continue
        masks = {mask.stem: (mask,) for mask in _images(folder / "Imgs", (".png",))}
        all_masks += [mask for (mask,) in masks.values()]
        rows += [_row(image, "test", "structural", folder.name, masks.get(image.stem, ())) for image in photographs]
    problems += _unmatched_masks(rows, "magnetic_tile", all_masks)
    for row in rows:
        try:
            row["has_mask"] = any(marks_anything(mask) for mask in row["masks"])
        except DataError as error:
            problems.append(str(error))
    return rows


def _row(image: Path, split: str, label: str, folder: str, masks: tuple[Path, ...] = ()) -> dict:
    return {
        "image": image,
        "split": split,
        "label": label,
        "defect": "good" if label == "good" else folder.removeprefix("MT_"),
        "name": f"{folder}/{image.stem}",
        "masks": masks,
        "has_mask": bool(masks),
    }


def _unmatched_masks(rows: list[dict], layout: str, masks: list[Path]) -> list[str]:
    """Problems: defective images without a mask, and masks without an image."""
    expected = MASK_NAMES[layout]
    matched = {mask for row in rows for mask in row["masks"]}
    bare = [row["image"] for row in rows if row["label"] != "good" and not row["masks"]]
    return [f"{image}: its mask is missing; {expected} expected" for image in bare] + [
        f"{mask}: a mask without a defective test image; {expected} expected" for mask in masks if mask not in matched
    ]


def _repeated_names(rows: list[dict]) -> list[str]:
    """Problems: images of one folder that differ in their ending only, as masks and maps are filed by name."""
    seen = set()
    problems = []
    for row in rows:
        key = row["image"].with_suffix("")
        if key in seen:
            problems.append(f"{row['image']}: another image here has the same name but for its ending")
        seen.add(key)
    return problems


def _draw_validation(rows: list[dict], seed: int, fraction: float) -> None:
    """Move a share of the train rows to validation, unless there are validation rows."""
    if any(row["split"] == "validation" for row in rows):
        return
    train = sorted((row for row in rows if row["split"] == "train"), key=lambda row: _natural(row["name"]))
    for row, drawn in zip(train, _share(len(train), fraction, np.random.default_rng([seed, 1])), strict=True):
        if drawn:
            row["split"] = "validation"


def _share(count: int, fraction: float, generator: np.random.Generator) -> np.ndarray:
    """True for a random `fraction` of `count` things: for at least one if there are two or more, never for all."""
    size = min(max(round(fraction * count), 1), count - 1) if fraction and count else 0
    return generator.permutation(count) < size


def _images(folder: Path, endings: tuple[str, ...] = IMAGE_ENDINGS) -> list[Path]:
    """Image files in a folder, in natural order; none if there is no such folder."""
    return [path for path in _visible(folder) if path.suffix.lower() in endings and path.is_file()]


def _images_below(folder: Path) -> Iterator[Path]:
    yield from _images(folder)
    for child in _folders(folder):
        yield from _images_below(child)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, in natural order, but for the hidden files of desktops and version control."""
    if not folder.is_dir():
        return []
    children = (path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "Thumbs.db")
    return sorted(children, key=lambda path: _natural(path.name))


def _natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts 2 before 10, and capitals with their small letters."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part.casefold() for index, part in enumerate(parts)], name
