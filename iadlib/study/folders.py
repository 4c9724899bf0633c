"""Folders that the study reads and writes: categories, references to photographs, anybody's anomaly maps."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import yaml
from matplotlib.figure import Figure

from iadlib.data import Category, DataError, image_sizes, load_category
from iadlib.metrics import evaluate_maps

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = "source.json"


def open_category(data: str | Path) -> Category:
    """The category in a folder of images, or in the folder that a `source.json` there refers to."""
    folder = ROOT / data
    reference = folder / REFERENCE
    if reference.is_file():
        folder = ROOT / json.loads(reference.read_text())["folder"]
    return load_category(folder)


def refer(folder: str | Path, outs: Sequence[str | Path]) -> Category:
    """Check every file of a folder of photographs, then note in each of `outs` where it lies."""
    category = load_category(ROOT / folder)
    category.check()
    # The digest makes whatever depends on a reference notice when a photograph, a mask or a rule has changed.
    digest = hashlib.sha256()
    for path in sorted(path for path in category.root.rglob("*") if path.is_file()):
        digest.update(path.relative_to(category.root).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    content = {"folder": str(folder), "layout": category.layout, "sha256": digest.hexdigest()}
    for out in outs:
        with whole_folder(ROOT / out) as unfinished:
            write_json(unfinished / REFERENCE, content)
    return category


def evaluate(dataset: str | Path, maps: str | Path) -> dict:
    """All metrics of anybody's maps of the test images of a category in LOCO layout."""
    category = load_category(dataset)
    if category.layout != "mvtec_loco":
        raise DataError(
            f"{dataset}: a category in MVTec LOCO AD layout is needed, this one is in {category.layout} layout"
        )
    category.require("test")
    test = category.of("test")
    regions = [category.regions(i) for i in range(len(test))]
    found = read_maps(Path(maps), category)
    for name, heat, size in zip(test["name"], found, image_sizes(test["image"]), strict=True):
        if heat.shape != size:
            raise DataError(f"{maps}: the map of {name} is {heat.shape}, but the image is {size} (height, width)")
    return evaluate_maps(found, regions, list(test["label"]))


def read_maps(source: Path, category: Category) -> list[np.ndarray]:
    """One map (H, W) for every test image, in their order.

    `source` is an .npz with arrays `good/000`, `logical_anomalies/000` …, or a folder of `good/000.tiff` …: that
    folder, or the one above `test/`, or the one above CATEGORY/test/, as the data set's own evaluation code takes it.
    """
    names = list(category.of("test")["name"])
    if source.is_file() and source.suffix == ".npz":
        with np.load(source) as arrays:
            missing = [name for name in names if name not in arrays]
            if missing:
                raise DataError(f"{source}: no array {missing[0]!r} ({len(missing)} of {len(names)} are missing)")
            return [np.asarray(arrays[name], dtype=np.float32) for name in names]
    folders = [source, source / "test", source / category.name / "test"]
    folder = next((folder for folder in folders if any((folder / name.split("/")[0]).is_dir() for name in names)), None)
    if folder is None:
        looked = ", ".join(str(folder / names[0]) + ".tiff" for folder in folders)
        raise DataError(f"{source}: no anomaly maps found; looked for {looked}, and for an .npz file")
    return [_read_tiff(folder / name) for name in names]


def _read_tiff(stem: Path) -> np.ndarray:
    path = next(
        (
            stem.with_name(stem.name + ending)
            for ending in (".tiff", ".tif")
            if stem.with_name(stem.name + ending).is_file()
        ),
        None,
    )
    if path is None:
        raise DataError(f"{stem}.tiff: no such anomaly map")
    try:
        values = tifffile.imread(path)
    except (tifffile.TiffFileError, ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable TIFF ({error})") from error
    return np.asarray(values, dtype=np.float32)


@contextmanager
def whole_folder(folder: Path, overwrite: bool = True) -> Iterator[Path]:
    """A new folder to write to, that takes the place of `folder` when all is written; at any moment one is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", suffix=".partial", dir=folder.parent) as workplace:
        unfinished, old = Path(workplace) / "new", Path(workplace) / "old"
        unfinished.mkdir()
        yield unfinished
        if folder.exists() and not overwrite:
            raise FileExistsError(f"{folder} exists; name a folder that does not, so that nothing is overwritten")
        try:
            if folder.exists():
                folder.replace(old)
            unfinished.replace(folder)
        except BaseException:
            if old.exists() and not folder.exists():
                old.replace(folder)
            raise


def read_grid() -> dict:
    """What the study runs on: params/grid.yaml."""
    return yaml.safe_load((ROOT / "params/grid.yaml").read_text())


def save_results(
    out: str | Path | None,
    tables: dict[str, pd.DataFrame],
    pictures: dict[str, Figure],
    ending: str = "png",
    index: bool = False,
) -> None:
    """Tables as CSV, with their index or without, and figures, by their names, into the folder `out`, or nowhere if
    None. An empty table is not written."""
    if out is None:
        return
    with whole_folder(ROOT / out) as folder:
        for name, table in tables.items():
            if len(table):
                table.to_csv(folder / f"{name}.csv", index=index, float_format="%.6g")
        save_figures(folder, pictures, ending)


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def save_figures(folder: Path, figures: dict[str, Figure], ending: str) -> None:
    """Charts as "png"; photographs as "jpg", a sixth of the bytes."""
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.{ending}", dpi=130, bbox_inches="tight", pil_kwargs={"quality": 85})
