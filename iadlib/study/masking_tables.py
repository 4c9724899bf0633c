"""Masking of all detectors on all grounds together: does it help, whom, at what radius, and what does it cost?

The test images of all grounds show the same parts, and all detectors see them: one resample of images serves them all.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from iadlib.study import comparisons
from iadlib.study.differences import KINDS, TITLES, Cells, Judged, difference
from iadlib.study.folders import ROOT, read_grid, save_results
from iadlib.study.masking import NONE


def gather(profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`values` and `pixels` of all detectors and grounds of the grid, with the columns method and category."""
    grid = read_grid()
    found = []
    for file in ("values.csv", "pixels.csv"):
        parts = [
            pd.read_csv(ROOT / "reports" / profile / "masking" / ground / method / file, dtype={"entry": str})
            .fillna({"entry": NONE})
            .assign(category=ground, method=method)
            for method in grid["methods"]
            for ground in grid["backgrounds"]
        ]
        found.append(pd.concat(parts, ignore_index=True))
    return found[0], found[1]


def stacked(values: pd.DataFrame, *names: str) -> dict[tuple, Cells]:
    """For each combination of `names`, of "method" and "category" (the ground), by radius: all other runs, as seeds.

    Where some have been fitted with fewer seeds than others, theirs are repeated: in a mean over detectors, each counts
    the same.
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
            for metric, title in TITLES.items():
                for kind in judged.kinds():
                    value = float(judged.value(metric, [kind])[0])
                    rows.append((method, category, radius, f"{title}, {kind}", value))
    return pd.DataFrame(rows, columns=["method", "category", "radius", "metric", "value"])


def effects(values: pd.DataFrame, *names: str, kinds: Sequence[str] = KINDS) -> pd.DataFrame:
    """Every radius less none, one line for each of `names`, radius, metric and kind: difference, low and high.

    Means over detectors or grounds that are not among the `names`, and over seeds; 95 % intervals over the test images.
    """
    rows = []
    for key, cells in stacked(values, *names).items():
        named = dict(zip(names, key, strict=True))
        for radius in (radius for _, radius in cells if radius != NONE):
            for metric, title in TITLES.items():
                for kind in kinds:
                    found = difference(cells, radius, NONE, metric, [kind])
                    rows.append({**named, "radius": radius, "metric": title, "kind": kind, **found})
    return pd.DataFrame(rows)


def effects_by_defect(values: pd.DataFrame) -> pd.DataFrame:
    """As `effects` by method, with every defect in place of a kind: its images against the good ones, its regions."""
    good = values["label"] == "good"
    kinds = dict(values.loc[~good, ["defect", "label"]].drop_duplicates().to_numpy())
    labelled = values.assign(label=values["label"].where(good, values["defect"]))
    table = effects(labelled, "method", kinds=list(kinds)).rename(columns={"kind": "defect"})
    return table.assign(kind=table["defect"].map(kinds))


def by_defect(values: pd.DataFrame) -> pd.DataFrame:
    """Image AUROC of every defect against the good images, by radius: mean over detectors, grounds and seeds."""
    radii = list(dict.fromkeys(values["entry"]))
    parts = [comparisons.by_defect(part, radii) for _, part in values.groupby("method", sort=False)]
    return pd.concat(parts).groupby(level=[1, 2], sort=False).mean().round(3).rename_axis(index=["kind", "defect"])


def save_tables(tables: dict[str, pd.DataFrame], pictures: dict[str, Figure], out: str | Path | None) -> None:
    """Tables and figures by their names, into the folder `out`; None writes nothing."""
    named = {name: table.reset_index() if table.index.nlevels > 1 else table for name, table in tables.items()}
    save_results(out, named, pictures)
