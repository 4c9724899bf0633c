"""Masking of the background: the results of all detectors on all grounds, by radius.

An entry is a radius in pixels, or "none" for the images as they are.
"""

from pathlib import Path

import pandas as pd

from iadlib.data.examples import spread
from iadlib.figures.text import spaced, titled
from iadlib.study.ensemble import by_defect as aurocs_by_defect
from iadlib.study.paths import Study

NONE = "none"
GROUNDS = {
    "flat_connector": "plain cloth",
    "flat_connector_folds": "folded cloth",
    "flat_connector_mat": "printed mat",
}
RADIUS = {"entry": "radius"}  # to rename the column of values.csv


def gather(study: Study, file: str) -> pd.DataFrame:
    """values.csv, pixels.csv or silhouettes.csv of all grounds of the grid, with the columns method and category."""
    empty = ["name", "label", "defect", "overlap"] if file == "silhouettes" else []  # of rendered grounds only
    return study.gather("masking", study.grid["backgrounds"], file, empty).rename(columns={"detector": "method"})


def ground(name: str) -> str:
    """What the parts of a category lie on."""
    return GROUNDS.get(name, spaced(name))


def overlaps(silhouettes: pd.DataFrame) -> pd.DataFrame:
    """The overlap of the part that masking finds with the true silhouette, by ground and defect."""
    grouped = silhouettes.groupby(["category", "defect"], sort=False)["overlap"]
    table = grouped.agg(["size", "min", "median"]).round(3).rename(columns={"size": "images"})
    return table.rename(index=spaced).rename_axis(index=["ground", "defect"])


def by_defect(values: pd.DataFrame) -> pd.DataFrame:
    """Image AUROC of every defect against the good images, by radius: mean over detectors, grounds and seeds."""
    radii = list(dict.fromkeys(values["entry"]))
    parts = [aurocs_by_defect(part, radii) for _, part in values.groupby("method", sort=False)]
    return pd.concat(parts).groupby(level=[1, 2], sort=False).mean().round(3).rename_axis(index=["kind", "defect"])


def background_share(pixels: pd.DataFrame) -> pd.DataFrame:
    """The share of the highest-scoring defect-free pixels on the background; "all": of all defect-free pixels."""
    table = by_radius(pixels, "background")
    table.insert(0, "all", by_radius(pixels, "background_area").iloc[:, 0])
    return table


def by_radius(pixels: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of pixels.csv: grounds and detectors in rows, radii in columns; mean over the seeds."""
    means = pixels.groupby(["category", "method", "entry"], sort=False)[column].mean().round(3)
    return means.unstack(sort=False).rename(index=titled).rename_axis(index=["ground", "detector"], columns=None)


def fitted(study: Study, ground: str, method: str | None, values: pd.DataFrame, count: int = 4) -> dict[str, Path]:
    """The folders of one detector, fitted to up to `count` radii with the lowest seed.

    None: the first detector that masking is tried with. Prints one line where there is no folder.
    """
    method = method or study.grid["masked_methods"][0]
    rows = values[(values["category"] == ground) & (values["method"] == method)]
    radii, seed = list(dict.fromkeys(rows["entry"])), rows["seed"].min()
    names = [radius if radius == NONE else f"radius_{radius}" for radius in spread(radii, count)]
    return study.fitted({name: f"masking/{method}/{ground}/{name}/{seed}" for name in names})
