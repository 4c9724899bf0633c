"""Judge the scores and maps of fitted detectors by the ground truth of a category: metrics, and a value of every image.

No detector is loaded, and images are read for their size only. Where detectors were fitted to masked copies of the
category, every radius is judged by the images and the ground truth of the category itself.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from iadlib import metrics, results
from iadlib.data import Category, DataError, find_object, load_category, read_image
from iadlib.detectors import DETECTORS
from iadlib.files import require_new, whole_folder, write_json, write_tables
from iadlib.metrics.values import wide
from iadlib.parallel import in_parallel

UNMASKED, MASKED = "none", "radius_"  # folders of a masking study: none, radius_0, radius_8, …


@dataclass(frozen=True, eq=False)
class Truth:
    """What all detectors on a category are judged by, read once."""

    samples: pd.DataFrame  # name, label, defect of every test image
    sizes: list[tuple[int, int]]  # (height, width)
    regions: list[metrics.GroundTruth]
    known: np.ndarray  # (N,) bool: good, or with a mask

    @classmethod
    def of(cls, category: Category) -> Self:
        test = category.of("test")
        regions = metrics.ground_truths(category.regions(i) for i in range(len(test)))
        samples = test[["name", "label"]].assign(defect=category.defects())
        return cls(samples, category.sizes("test"), regions, (test["has_mask"] | (test["label"] == "good")).to_numpy())


@dataclass(frozen=True, eq=False)
class Run:
    """One fitted detector: its predictions and how they were judged."""

    detector: str
    entry: str  # of values.csv: the detector, or the radius
    seed: int
    table: pd.DataFrame  # split, name, label, score of validation and test images
    report: dict[str, dict[str, float]]
    values: pd.DataFrame  # see `metrics.judge_images`
    localises: bool  # whether there are maps
    background: tuple[float, float] | None = None  # see `metrics.background_share`


def judge(data: str | Path, fits: str | Path, out: str | Path, masked: bool = False) -> pd.DataFrame:
    """Judge all fitted detectors below the folder `fits` by the test images of the category `data`.

    The new folder `out` gets for every detector DETECTOR/metrics.json, with the mean, std, interval and values of the
    seeds; values.csv, one row for every test image (`iadlib.metrics.values.long` reads it); and scores.csv, one row for
    every detector, seed and validation or test image.

    With `masked`, the folders below `fits` are DETECTOR/CATEGORY/none/SEED and DETECTOR/CATEGORY/radius_N/SEED; those
    of this category are judged, and values.csv has a row for every detector, radius (the entry), seed and test image.
    `out` also gets pixels.csv, with the pixel AUROC of every run. Where the category is a rendered connector,
    pixels.csv has the share of the highest defect-free pixels on the background too, and silhouettes.csv the overlap of
    the objects that masking finds with the true silhouettes. Returns the values.
    """
    out, fits = require_new(out), Path(fits)
    category, folders = load_category(data), results.find(fits)
    if masked:
        folders = of_masked_copies(folders, fits, Path(data).name)
    names = [named(folder, fits, masked) for folder in folders]
    truth = Truth.of(category)
    silhouettes = connector_silhouettes(category) if masked else None
    if missing := int((~truth.known).sum()):
        print(f"{missing} defective test images have no mask: they count for image metrics only")

    tasks = [(folder, truth, *each, silhouettes) for folder, each in zip(folders, names, strict=True)]
    runs = sorted(in_parallel(judge_run, tasks, "judging"), key=_place)
    if whole := list(dict.fromkeys(run.detector for run in runs if not run.localises)):
        print(f"{', '.join(whole)}: no maps, judged by image metrics only")
    group = {"category": category.name, "group": "radius" if masked else "member"}
    columns = [group | {"entry": run.entry, "seed": run.seed} for run in runs]
    if masked:
        columns = [each | {"detector": run.detector} for each, run in zip(columns, runs, strict=True)]
    tables = [with_first_columns(run.values, each) for run, each in zip(runs, columns, strict=True)]
    values = pd.concat(tables, ignore_index=True)
    with whole_folder(out) as folder:
        if masked:
            tables = {"values": values, "pixels": pixels_table(runs)}
            overlap = {} if silhouettes is None else {"silhouettes": silhouette_overlap(category, silhouettes)}
            write_tables(folder, tables | overlap, empty=True)
        else:
            write_tables(folder, {"values": wide(values), "scores": scores_table(runs)}, empty=True)
            for entry in dict.fromkeys(run.entry for run in runs):
                (folder / entry).mkdir(parents=True)
                write_json(folder / entry / "metrics.json", summary([run for run in runs if run.entry == entry]))
    print(f"{len(runs)} fitted detectors judged on {len(truth.samples)} test images of {category.name}, in {out}")
    return values


def judge_runs(category: Category, folders: Sequence[str | Path]) -> dict[str, dict]:
    """The content of metrics.json: the summary of one detector fitted with several seeds, a folder each."""
    truth = Truth.of(category)
    return summary([judge_run(Path(folder), truth, *named(Path(folder), Path(folder))) for folder in folders])


def named(folder: Path, fits: Path, masked: bool = False) -> tuple[str, str, int]:
    """The names of a fitted detector below `fits`: detector, entry and seed.

    The entry is the folder above that of the seed, or the detector where there is none.
    """
    settings = results.read_settings(folder)
    seed = int(settings["hyperparameters"].get("seed", 0))
    parts = folder.relative_to(fits).parts
    parts = parts[:-1] if parts and parts[-1] == str(seed) else parts
    entry = parts[-1].removeprefix(MASKED) if masked else "/".join(parts) or settings["detector"]
    return settings["detector"], entry, seed


def of_masked_copies(folders: Sequence[Path], fits: Path, name: str) -> list[Path]:
    """Those of the folders that were fitted to a masked or an unmasked copy of the category `name`."""
    copies = []
    for folder in folders:
        _, category, copy, *_ = *folder.relative_to(fits).parts, "", "", ""
        if category == name and (copy == UNMASKED or copy.startswith(MASKED)):
            copies.append(folder)
    if not copies:
        places = f"DETECTOR/{name}/{UNMASKED}/SEED and DETECTOR/{name}/{MASKED}N/SEED"
        raise DataError(f"{fits}: no detectors in {places}; fit them with --below, the folder that holds {name}")
    return copies


def judge_run(
    folder: Path, truth: Truth, detector: str, entry: str, seed: int, silhouettes: Sequence[np.ndarray] | None = None
) -> Run:
    """Judge one fitted detector."""
    thresholds, table = results.read_settings(folder)["thresholds"], results.read_scores(folder)
    test = table[table["split"] == "test"].set_index("name")
    names = list(truth.samples["name"])
    if set(test.index) != set(names):
        raise DataError(
            f"{folder}: scores of {len(test)} test images, but the category has {len(names)}, or others; "
            "fit the detector to this category again"
        )
    scores = test.loc[names, "score"].to_numpy(np.float32)
    if not np.isfinite(scores).all():
        raise DataError(
            f"{folder}/{results.SCORES}: the score of {names[np.argmin(np.isfinite(scores))]} is not finite"
        )
    maps = _maps(folder, names, truth.sizes)
    limits = thresholds["image"], thresholds.get("pixel")
    report, values = metrics.judge_images(truth.samples, scores, maps, truth.regions, truth.known, *limits)
    background = None
    if maps is not None and silhouettes is not None:
        background = metrics.background_share(maps, truth.regions, silhouettes)
    table = table[["split", "name", "label", "score"]]
    return Run(detector, entry, seed, table, report, values, maps is not None, background)


def _maps(folder: Path, names: list[str], sizes: list[tuple[int, int]]) -> Sequence[np.ndarray] | None:
    """The maps of the test images at the size of their photographs; None where the detector gives no maps."""
    found = results.read_maps(folder, names)
    if found is None:
        return None
    if bad := [name for name, heat in found.items() if not np.isfinite(heat).all()]:
        raise DataError(f"{folder}/{results.MAPS}: the map of {bad[0]} holds NaN or infinite values")
    return metrics.resize_maps([found[name] for name in names], sizes)


def summary(runs: Sequence[Run]) -> dict[str, dict]:
    """The content of metrics.json, from the runs of one detector with different seeds."""
    scores = np.stack([run.values["score"] for run in runs])
    return metrics.summarise({run.seed: run.report for run in runs}, scores, runs[0].values["label"])


def scores_table(runs: Sequence[Run]) -> pd.DataFrame:
    """detector, seed, split, name, label, score; detector is the entry."""
    tables = [run.table.assign(detector=run.entry, seed=run.seed) for run in runs]
    return pd.concat(tables)[["detector", "seed", "split", "name", "label", "score"]]


def pixels_table(runs: Sequence[Run]) -> pd.DataFrame:
    """detector, entry, seed, pixel_auroc, background, background_area: the last two of a rendered connector only."""
    rows = []
    for run in runs:
        row = {"detector": run.detector, "entry": run.entry, "seed": run.seed}
        row["pixel_auroc"] = run.report.get("pixel_auroc", {}).get("overall", float("nan"))
        if run.background is not None:
            row["background"], row["background_area"] = run.background
        rows.append(row)
    return pd.DataFrame(rows)


def connector_silhouettes(category: Category) -> list[np.ndarray] | None:
    """Where the camera sees the part in every test image, (H, W) bool; None if it is no rendered flat connector."""
    from iadlib.rendering import flat_connector, rendered_category

    samples = category.of("test")
    files = [category.root / "scenes" / "test" / f"{name}.json" for name in samples["name"]]
    if not category.name.startswith("flat_connector") or not all(file.is_file() for file in files):
        return None
    camera = rendered_category("flat_connector").camera

    def silhouette(file: Path, width: int) -> np.ndarray:
        return flat_connector.silhouette(json.loads(file.read_text()), camera(width))

    widths = [width for _, width in category.sizes("test")]
    return in_parallel(silhouette, zip(files, widths, strict=True), "silhouettes")


def silhouette_overlap(category: Category, silhouettes: Sequence[np.ndarray]) -> pd.DataFrame:
    """name, label, defect and overlap of every test image: the intersection over union of the object that masking finds
    and the true silhouette."""
    test = category.of("test")

    def overlap(path: Path, true: np.ndarray) -> float:
        return metrics.iou(find_object(read_image(path, category.bits)), true)

    overlaps = in_parallel(overlap, zip(test["image"], silhouettes, strict=True), "objects")
    return test[["name", "label"]].assign(defect=category.defects(), overlap=overlaps)


def with_first_columns(table: pd.DataFrame, columns: dict) -> pd.DataFrame:
    """The table with further columns before its own."""
    return table.assign(**columns)[[*columns, *table.columns]]


def _place(run: Run) -> tuple:
    """Where a run stands in the tables: detectors in their order, unmasked first, radii and seeds by number."""
    order = list(DETECTORS)
    place = order.index(run.detector) if run.detector in order else len(order)
    radius = float(run.entry) if run.entry.replace(".", "", 1).isdigit() else -1.0
    return place, run.detector, radius, run.entry, run.seed
