"""What a black background changes: one detector on one category as it is, and blacked out beyond several radii.

An *entry* of the comparison is a radius. All of them are judged on the same test images, with the same ground truth and
the same seeds, so that differences are paired; `masking_tables` has their intervals.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from iadlib.data import Category, find_object, image_sizes, mask_category, read_image
from iadlib.metrics import iou
from iadlib.progress import track
from iadlib.rendering import flat_connector, rendered_category
from iadlib.study.cells import maps_at, run
from iadlib.study.comparisons import Entry, pixel_aurocs
from iadlib.study.folders import save_results
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
) -> list[Entry]:
    """Fit and predict once a radius and seed. Radii are in pixels of the photographs; None leaves them as they are."""
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        for radius in radii:
            named = name_of(radius)
            masked = category if radius is None else mask_category(category, Path(folder) / named, radius, objects)
            for each in run(method, hyperparameters, masked, image_size, seeds):
                entries.append(Entry("radius", named, each.seed, each.test.scores, each.test.maps))
    return entries


def name_of(radius: float | None) -> str:
    return NONE if radius is None else f"{radius:g}"


def pixels(category: Category, entries: Sequence[Entry], parts: Sequence[np.ndarray]) -> pd.DataFrame:
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
    for entry in entries:
        maps = maps_at(entry.maps, sizes)
        heat = np.concatenate([one[where] for one, where in zip(maps, free, strict=True)])
        highest = np.argsort(-heat, kind="stable")[: round(HIGHEST_SHARE * len(heat))]
        rows.append((entry.name, entry.seed, on_ground[highest].mean(), on_ground.mean()))
    table = pd.DataFrame(rows, columns=["entry", "seed", "background", "background_area"])
    return pixel_aurocs(category, entries).merge(table, on=["entry", "seed"])


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


def examples(category: Category, entries: Sequence[Entry]) -> tuple[list, dict[str, list], list, list[str]]:
    """For `figures.maps_side_by_side`: a good image and the first of every defect; maps by radius, first seed."""
    defects = pd.Series(defects_of(category))
    chosen = list(defects.drop_duplicates().index)
    paths = category.of("test")["image"].iloc[chosen]
    first = [entry for entry in entries if entry.seed == entries[0].seed]
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


def background_share(pixels: pd.DataFrame) -> pd.DataFrame:
    """The share of the highest defect-free pixels that lies on the background; "all": that of all defect-free ones.

    `pixels` with the columns category and method too. Mean over the seeds; radii in columns.
    """
    table = _by_radius(pixels, "background")
    table.insert(0, "all", _by_radius(pixels, "background_area").iloc[:, 0])
    return table


def pixel_aurocs_by_radius(pixels: pd.DataFrame) -> pd.DataFrame:
    """As `background_share`, without "all"."""
    return _by_radius(pixels, "pixel_auroc")


def _by_radius(pixels: pd.DataFrame, column: str) -> pd.DataFrame:
    radii = list(dict.fromkeys(pixels["entry"]))
    table = pixels.pivot_table(index=["category", "method"], columns="entry", values=column, sort=False)[radii]
    return table.round(3).rename_axis(columns=None)
