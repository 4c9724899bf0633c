"""What a black background changes: one detector on one category as it is, and blacked out beyond several radii.

An *entry* of the comparison is a radius. All of them are judged on the same test images, with the same ground truth and
the same seeds, so that differences are paired; `ensemble_tables` has their intervals.
"""

import json
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from iadlib.data import Category, find_object, image_sizes, mask_category, read_image
from iadlib.metrics import iou
from iadlib.progress import track
from iadlib.rendering import flat_connector, rendered_category
from iadlib.study import ensemble_tables, ensembles
from iadlib.study.cells import maps_at, run
from iadlib.study.ensemble_tables import KINDS, TITLES, Cells, Judged, difference
from iadlib.study.ensembles import Comparison, Entry
from iadlib.study.folders import ROOT, read_grid, save_results
from iadlib.study.pictures import defects_of

NONE = "none"
HIGHEST_SHARE = 0.01  # of the defect-free pixels: those that raise false alarms first
SHOWN_RADII = 4


def found_objects(category: Category) -> dict[Path, np.ndarray]:
    """The part in every photograph of a category, (H, W) bool."""
    paths = [Path(path) for path in category.samples["image"]]
    return {path: find_object(read_image(path)) for path in track(paths, "objects")}


def compare(
    category: Category,
    objects: dict[Path, np.ndarray],
    method: str,
    hyperparameters: dict,
    image_size: int | Sequence[int],
    seeds: Sequence[int],
    radii: Sequence[float | None],
) -> Comparison:
    """Fit and predict once a radius and seed. Radii are in pixels of the photographs; None leaves them as they are."""
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        for radius in radii:
            named = name_of(radius)
            masked = category if radius is None else mask_category(category, Path(folder) / named, radius, objects)
            for each in run(method, hyperparameters, masked, image_size, seeds):
                entries.append(Entry("radius", named, each.seed, each.test.scores, each.test.maps))
    return Comparison(entries, pd.DataFrame(), {}, {})


def name_of(radius: float | None) -> str:
    return NONE if radius is None else f"{radius:g}"


def pixels(category: Category, comparison: Comparison, parts: Sequence[np.ndarray]) -> pd.DataFrame:
    """One line for every radius and seed: pixel AUROC, and `background`, the share of the highest `HIGHEST_SHARE` of
    all defect-free pixels that lies on the background; `background_area` is that of all defect-free pixels.

    The background is what the renderer knows to be none of the part, `parts` of `silhouettes`, not what masking takes
    for it.
    """
    background = [~part for part in parts]
    regions = [category.regions(i) for i in range(len(background))]
    free = [~np.any([np.zeros(ground.shape, bool), *(r.mask for r in listed)], axis=0)
            for ground, listed in zip(background, regions, strict=True)]  # fmt: skip
    on_ground = np.concatenate([ground[where] for ground, where in zip(background, free, strict=True)])
    sizes = image_sizes(category.of("test")["image"])
    rows = []
    for entry in comparison.entries:
        maps = maps_at(entry.maps, sizes)
        heat = np.concatenate([one[where] for one, where in zip(maps, free, strict=True)])
        highest = np.argsort(-heat, kind="stable")[: round(HIGHEST_SHARE * len(heat))]
        rows.append((entry.name, entry.seed, on_ground[highest].mean(), on_ground.mean()))
    table = pd.DataFrame(rows, columns=["entry", "seed", "background", "background_area"])
    return ensembles.pixel_aurocs(category, comparison).merge(table, on=["entry", "seed"])


def silhouettes(category: Category, split: str = "test") -> list[np.ndarray]:
    """Where the camera sees the part, its holes filled, (H, W) for every image of a split of a rendered connector."""
    samples = category.of(split)
    found = []
    for name, (_, width) in zip(samples["name"], image_sizes(samples["image"]), strict=True):
        scene = json.loads((category.root / "scenes" / split / f"{name}.json").read_text())
        found.append(flat_connector.silhouette(scene, rendered_category("flat_connector").camera(width)))
    return found


def silhouette_quality(
    category: Category, objects: dict[Path, np.ndarray], parts: Sequence[np.ndarray]
) -> pd.DataFrame:
    """Intersection over union of the objects found in the test photographs and the true silhouettes, by defect."""
    overlaps = [iou(objects[Path(path)], true) for path, true in zip(category.of("test")["image"], parts, strict=True)]
    table = pd.DataFrame({"defect": defects_of(category), "overlap": overlaps})
    found = table.groupby("defect", sort=False)["overlap"].agg(["size", "min", "median", "max"])
    return found.rename(columns={"size": "images"}).round(3).rename_axis(None)


def examples(category: Category, comparison: Comparison) -> tuple[list, dict[str, list], list, list[str]]:
    """For `figures.maps_side_by_side`: a good image and the first of every defect; maps by radius, first seed."""
    defects = pd.Series(defects_of(category))
    chosen = list(defects.drop_duplicates().index)
    paths = category.of("test")["image"].iloc[chosen]
    first = [entry for entry in comparison.entries if entry.seed == comparison.entries[0].seed]
    shown = [first[i] for i in np.unique(np.linspace(0, len(first) - 1, min(SHOWN_RADII, len(first))).astype(int))]
    titles = {entry.name: "as it is" if entry.name == NONE else f"radius {entry.name}" for entry in shown}
    return (
        [read_image(path) for path in paths],
        {titles[entry.name]: maps_at(entry.maps[chosen], image_sizes(paths)) for entry in shown},
        [category.regions(i) for i in chosen],
        [defects[i].replace("_", " ") for i in chosen],
    )


def save(values: pd.DataFrame, pixels: pd.DataFrame, pictures: dict[str, Figure], out: str | Path | None) -> None:
    """values.csv, pixels.csv and pictures into the folder `out`; None writes nothing."""
    save_results(out, {"values": values, "pixels": pixels}, pictures, "jpg")


def gather(profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`values` and `pixels` of all methods and backgrounds of the grid: with the columns method and category."""
    grid = read_grid()
    found = []
    for file in ("values.csv", "pixels.csv"):
        parts = [
            pd.read_csv(ROOT / "reports" / profile / "masking" / background / method / file, dtype={"entry": str})
            .fillna({"entry": NONE})
            .assign(category=background, method=method)
            for method in grid["masked_methods"]
            for background in grid["backgrounds"]
        ]
        found.append(pd.concat(parts, ignore_index=True))
    return found[0], found[1]


def stacked(values: pd.DataFrame, *names: str) -> dict[tuple, Cells]:
    """For each combination of `names` (of "method", "category", the background): what all the rest of the runs say.

    The test images of all backgrounds show the same parts, and all methods see the same: so their runs are stacked like
    seeds, and one resample of images serves them all.
    """
    found = {}
    for key, part in values.groupby([*names, "entry"], sort=False):
        runs = [Judged.of(run) for _, run in part.groupby(["method", "category"], sort=False)]
        whole = Judged(
            runs[0].labels,
            runs[0].regions,
            np.arange(sum(len(run.seeds) for run in runs)),
            np.concatenate([run.scores for run in runs]),
            np.concatenate([run.au_spro for run in runs]),
        )
        found.setdefault(key[:-1], {})["", key[-1]] = whole
    return found


def curves(values: pd.DataFrame) -> pd.DataFrame:
    """For `figures.radius_curves`: method, category, radius, metric and value, mean over the seeds."""
    rows = []
    for (method, category), cells in stacked(values, "method", "category").items():
        for (_, radius), judged in cells.items():
            for metric, title in TITLES.items():
                for kind in judged.kinds():
                    value = float(np.mean(judged.by_seed(metric, kind)))
                    rows.append((method, category, radius, f"{title}, {kind}", value))
    return pd.DataFrame(rows, columns=["method", "category", "radius", "metric", "value"])


def effects(values: pd.DataFrame, metric: str, name: str, by_kind: bool = False) -> pd.DataFrame:
    """For `figures.differences`: every radius less none, with intervals; one line each "method" or each "category".

    Means over all the rest, and over the kinds unless they are kept apart.
    """
    rows = []
    for (one,), cells in stacked(values, name).items():
        for radius in (radius for _, radius in cells if radius != NONE):
            for kinds in [[kind] for kind in KINDS] if by_kind else [KINDS]:
                kind = kinds[0] if by_kind else "both kinds"
                found = difference(cells, radius, NONE, metric, kinds)
                rows.append({"what": f"{one}, radius {radius}", "kind": kind, **found})
    return pd.DataFrame(rows)


def by_defect(values: pd.DataFrame) -> pd.DataFrame:
    """Image AUROC of every defect against the good images, by radius: mean over methods, backgrounds and seeds."""
    radii = list(dict.fromkeys(values["entry"]))
    parts = [ensemble_tables.by_defect(part, radii) for _, part in values.groupby("method", sort=False)]
    return pd.concat(parts).groupby(level=[1, 2], sort=False).mean().round(3)


def effects_by_defect(values: pd.DataFrame) -> pd.DataFrame:
    """Every radius less none, by method and defect: what, method, defect, radius, metric, difference, low and high.

    Image AUROC of the defect against the good images, and AU-sPRO of its regions; means over backgrounds and seeds,
    with 95 % intervals over the test images.
    """
    good = values["label"] == "good"
    labelled = values.assign(label=values["label"].where(good, values["defect"]))
    defects = list(dict.fromkeys(values.loc[~good, "defect"]))
    rows = []
    for (method,), cells in stacked(labelled, "method").items():
        radii = [radius for _, radius in cells if radius != NONE]
        for radius, metric, defect in product(radii, TITLES, defects):
            named = {"what": f"{method}: {defect}".replace("_", " "), "method": method, "defect": defect}
            found = difference(cells, radius, NONE, metric, [defect])
            rows.append({**named, "radius": radius, "metric": metric, **found})
    return pd.DataFrame(rows)


def background_share(pixels: pd.DataFrame) -> pd.DataFrame:
    """The share of the highest defect-free pixels that lies on the background; "all": that of all defect-free ones."""
    table = _by_radius(pixels, "background")
    table.insert(0, "all", pixels.groupby(["category", "method"], sort=False)["background_area"].first().round(3))
    return table


def pixel_aurocs(pixels: pd.DataFrame) -> pd.DataFrame:
    return _by_radius(pixels, "pixel_auroc")


def _by_radius(pixels: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean over the seeds; radii in columns."""
    radii = list(dict.fromkeys(pixels["entry"]))
    table = pixels.pivot_table(index=["category", "method"], columns="entry", values=column, sort=False)[radii]
    return table.round(3).rename_axis(index=[None, None], columns=None)


def save_tables(tables: dict[str, pd.DataFrame], pictures: dict[str, Figure], out: str | Path | None) -> None:
    """Tables and figures by their names, into the folder `out`; None writes nothing."""
    save_results(out, tables, pictures, index=True)
