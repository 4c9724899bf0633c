"""Effects of a treatment, such as masking: every entry of values.csv less one of them, the reference.

All categories (grounds) show the same test images and all detectors see them, so one resample of images serves them
all. The tables have the columns of `judge_images` and method, category, entry and seed.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from iadlib.metrics.differences import DIFFERENCE_METRICS, Cells, Judged, difference
from iadlib.metrics.report import KINDS


def stacked(values: pd.DataFrame, *names: str) -> dict[tuple, Cells]:
    """By each combination of the columns `names` ("method", "category"), and by entry: all other runs, as seeds.

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


def having(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The runs of the detectors that have a metric: those without maps have no AU-sPRO."""
    return values if metric != "au_spro" else values[values.groupby("method")["au_spro"].transform("count") > 0]


def means(values: pd.DataFrame) -> pd.DataFrame:
    """method, category, entry, metric ("image AUROC, logical", ...) and value, mean over the seeds."""
    rows = []
    for metric, title in DIFFERENCE_METRICS.items():
        for (method, category), cells in stacked(having(values, metric), "method", "category").items():
            for (_, entry), judged in cells.items():
                for kind in judged.kinds():
                    value = float(judged.value(metric, [kind])[0])
                    rows.append((method, category, entry, f"{title}, {kind}", value))
    return pd.DataFrame(rows, columns=["method", "category", "entry", "metric", "value"])


def effects(values: pd.DataFrame, reference: str, *names: str, kinds: Sequence[str] = KINDS) -> pd.DataFrame:
    """Every entry less the reference, by `names`, entry, metric and kind: difference, low and high.

    Means over the seeds and over the detectors or categories that are not among the `names`; 95 % intervals over the
    test images.
    """
    rows = []
    for metric, title in DIFFERENCE_METRICS.items():
        for key, cells in stacked(having(values, metric), *names).items():
            named = dict(zip(names, key, strict=True))
            for entry, kind in product((entry for _, entry in cells if entry != reference), kinds):
                found = difference(cells, entry, reference, metric, [kind])
                rows.append({**named, "entry": entry, "metric": title, "kind": kind, **found})
    return pd.DataFrame(rows, columns=[*names, "entry", "metric", "kind", "difference", "low", "high"])


def effects_by_defect(values: pd.DataFrame, reference: str) -> pd.DataFrame:
    """`effects` by method with defects in place of kinds: the defect's images against the good ones, its regions."""
    good = values["label"] == "good"
    kinds = dict(values.loc[~good, ["defect", "label"]].drop_duplicates().to_numpy())
    labelled = values.assign(label=values["label"].where(good, values["defect"]))
    table = effects(labelled, reference, "method", kinds=list(kinds)).rename(columns={"kind": "defect"})
    return table.assign(kind=table["defect"].map(kinds))
