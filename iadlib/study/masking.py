"""Masking of the background: does it help, which detectors, at what radius, and what does it cost?

The test images of all grounds show the same parts, and all detectors see the same images: one resample of images
serves them all. An *entry* is a radius in pixels, or "none" for the images as they are.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from iadlib.metrics import DIFFERENCE_METRICS, KINDS, Cells, Judged, difference
from iadlib.study.ensemble import by_defect as aurocs_by_defect
from iadlib.study.paths import Study

NONE = "none"


def gather(study: Study, file: str) -> pd.DataFrame:
    """values.csv, pixels.csv or silhouettes.csv of all grounds of the grid, with the columns method and category."""
    text = {"entry": str, "name": str, "defect": str}
    parts = [
        study.table("masking", ground, f"{file}.csv", dtype=text).assign(category=ground)
        for ground in study.grid["backgrounds"]
    ]
    return pd.concat(parts, ignore_index=True).rename(columns={"detector": "method"})


def overlaps(silhouettes: pd.DataFrame) -> pd.DataFrame:
    """The overlap of the part that masking finds with the true silhouette, by ground and defect."""
    grouped = silhouettes.groupby(["category", "defect"], sort=False)["overlap"]
    return grouped.agg(["size", "min", "median"]).round(3).rename(columns={"size": "images"})


def stacked(values: pd.DataFrame, *names: str) -> dict[tuple, Cells]:
    """By each combination of the columns `names` ("method", "category"), and by radius: all other runs, as seeds.

    Runs with fewer seeds than others are repeated, so that every detector counts the same in a mean over detectors.
    """
    most = values["seed"].nunique()
    found = {}
    for key, part in values.groupby([*names, "entry"], sort=False):
        runs = [Judged.of(run) for _, run in part.groupby(["method", "category"], sort=False)]
        shape = (most, len(runs[0].labels))
        whole = Judged(
            runs[0].labels,
            runs[0].regions,
            np.arange(most * len(runs)),
            np.concatenate([np.resize(run.scores, shape) for run in runs]),
            np.concatenate([np.resize(run.au_spro, shape) for run in runs]),
        )
        found.setdefault(key[:-1], {})["", key[-1]] = whole
    return found


def curves(values: pd.DataFrame) -> pd.DataFrame:
    """For `figures.radius_curves`: method, category, radius, metric and value, mean over the seeds."""
    rows = []
    for (method, category), cells in stacked(values, "method", "category").items():
        for (_, radius), judged in cells.items():
            for metric, title in DIFFERENCE_METRICS.items():
                for kind in judged.kinds():
                    value = float(judged.value(metric, [kind])[0])
                    rows.append((method, category, radius, f"{title}, {kind}", value))
    return pd.DataFrame(rows, columns=["method", "category", "radius", "metric", "value"])


def effects(values: pd.DataFrame, *names: str, kinds: Sequence[str] = KINDS) -> pd.DataFrame:
    """Every radius less none, by `names`, radius, metric and kind: difference, low and high.

    Means over the seeds and over the detectors or grounds that are not among the `names`; 95 % intervals over the test
    images.
    """
    rows = []
    for key, cells in stacked(values, *names).items():
        named = dict(zip(names, key, strict=True))
        for radius in (radius for _, radius in cells if radius != NONE):
            for metric, title in DIFFERENCE_METRICS.items():
                for kind in kinds:
                    found = difference(cells, radius, NONE, metric, [kind])
                    rows.append({**named, "radius": radius, "metric": title, "kind": kind, **found})
    return pd.DataFrame(rows)


def effects_by_defect(values: pd.DataFrame) -> pd.DataFrame:
    """`effects` by method with defects in place of kinds: the defect's images against the good ones, its regions."""
    good = values["label"] == "good"
    kinds = dict(values.loc[~good, ["defect", "label"]].drop_duplicates().to_numpy())
    labelled = values.assign(label=values["label"].where(good, values["defect"]))
    table = effects(labelled, "method", kinds=list(kinds)).rename(columns={"kind": "defect"})
    return table.assign(kind=table["defect"].map(kinds))


def by_defect(values: pd.DataFrame) -> pd.DataFrame:
    """Image AUROC of every defect against the good images, by radius: mean over detectors, grounds and seeds."""
    radii = list(dict.fromkeys(values["entry"]))
    parts = [aurocs_by_defect(part, radii) for _, part in values.groupby("method", sort=False)]
    return pd.concat(parts).groupby(level=[1, 2], sort=False).mean().round(3).rename_axis(index=["kind", "defect"])


def background_share(pixels: pd.DataFrame) -> pd.DataFrame:
    """The share of the highest-scoring defect-free pixels that lies on the background, by radius; mean over the seeds.

    The column "all" is the share of all defect-free pixels that lies there.
    """
    table = by_radius(pixels, "background")
    table.insert(0, "all", by_radius(pixels, "background_area").iloc[:, 0])
    return table


def by_radius(pixels: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of pixels.csv: grounds and detectors in rows, radii in columns; mean over the seeds."""
    radii = list(dict.fromkeys(pixels["entry"]))
    table = pixels.pivot_table(index=["category", "method"], columns="entry", values=column, sort=False)[radii]
    return table.round(3).rename_axis(columns=None)


def fitted(study: Study, ground: str, method: str, values: pd.DataFrame, count: int = 4) -> dict[str, Path]:
    """The folders of one detector, fitted to up to `count` radii with the lowest seed; one printed line without any."""
    rows = values[(values["category"] == ground) & (values["method"] == method)]
    radii, seed = list(dict.fromkeys(rows["entry"])), rows["seed"].min()
    shown = [radii[i] for i in np.unique(np.linspace(0, len(radii) - 1, min(count, len(radii))).astype(int))]
    names = [radius if radius == NONE else f"radius_{radius}" for radius in shown]
    return study.fitted({name: f"masking/{ground}/{method}/{name}/{seed}" for name in names})


def examples(values: pd.DataFrame) -> list[str]:
    """The first good test image, and the first image of every defect."""
    return list(values.drop_duplicates("defect")["name"])
