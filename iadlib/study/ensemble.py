"""Tables of the ensembles and of the detectors that they are made of, all judged on the same test images.

`python -m iadlib ensemble` writes the files that are read here, and describes the entries and their groups.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pandas as pd

from iadlib.figures.text import shown, spaced, titled
from iadlib.files import ROOT
from iadlib.metrics import DIFFERENCE_METRICS, Cells, difference
from iadlib.metrics.comparisons import SCORES
from iadlib.metrics.entries import (
    ALONE,
    FEATURE,
    MEAN,
    TABLES,
    aurocs_by_defect,
    best_entry,
    metrics_by_seed,
)
from iadlib.params import parse_yaml
from iadlib.study.paths import Study

METRICS = DIFFERENCE_METRICS | {"pixel_auroc": "pixel AUROC"}
GROUPS = {
    "member": "alone",
    "output": "output level",
    "backbones": "output level, one method",
    "labelled": "with test labels",
    "feature": "feature level",
    "design": "one choice changed",
    "pair": "pair",
}
BEST = " (best)"  # the mark of the best entry of a group, in tables of differences


def read(study: Study, file: str, categories: Sequence[str] = ()) -> pd.DataFrame:
    """One of `TABLES`, of some categories or of all of the grid; empty where it is missing."""
    return study.gather("ensemble", categories or study.grid["categories"], file, TABLES[file])


def results(study: Study, categories: Sequence[str] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """values.csv, and the metrics of every entry and seed, of some categories or of all of the grid."""
    values = read(study, "values", categories)
    return values, metrics_by_seed(values, read(study, "pixel_auroc", categories))


def members() -> list[str]:
    """The members of the feature ensemble."""
    return parse_yaml((ROOT / "params/ensemble.yaml").read_text())["common"]["members"]


def saved(study: Study, category: str) -> dict[str, Path]:
    """The folders with the maps of the members, of the mean of their outputs and of the feature ensemble.

    The folder of the feature ensemble holds its learned state too. One printed line where there is none.
    """
    entries = [*members(), MEAN, FEATURE]
    return study.fitted({entry: f"ensemble/{category}/{entry.replace(' ', '_')}" for entry in entries})


def variances(study: Study, category: str) -> tuple[dict, dict]:
    """For `figures.cumulative_variance`: by member the shares of the variance, and how many components are kept."""
    table = read(study, "variances", [category])
    parts = table.assign(member=table["member"].map(titled)).groupby("member", sort=False)
    return {name: part["cumulative"].to_numpy() for name, part in parts}, parts["kept"].sum().to_dict()


def mean_table(metrics: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Means over the categories ± the standard deviation of that mean over the seeds; entries in rows."""
    rows = metrics[metrics["group"].isin(groups)].dropna(subset="value")
    by_seed = rows.groupby(["group", "entry", "metric", "kind", "seed"], sort=False)["value"].mean()
    spread = by_seed.groupby(level=[0, 1, 2, 3], sort=False).agg(["mean", "std"])
    cells = [shown(mean, std) for mean, std in zip(spread["mean"], spread["std"], strict=True)]
    table = pd.Series(cells, index=spread.index, dtype=object).unstack(["metric", "kind"])
    table = table.reindex(index=pd.MultiIndex.from_frame(rows[["group", "entry"]].drop_duplicates()))
    table = table[sorted(table.columns, key=lambda column: (list(METRICS).index(column[0]), column[1]))]
    table = table.rename(columns=METRICS, level=0).rename(index=GROUPS, level=0).rename(index=titled, level=1)
    return table.fillna("").rename_axis(index=[None, None], columns=[None, None])


def entries_of(metrics: pd.DataFrame, group: str) -> list[str]:
    """The entries of a group, in the order of the table."""
    return list(dict.fromkeys(metrics.loc[metrics["group"] == group, "entry"]))


def against(cells: Cells, metrics: pd.DataFrame, categories: Sequence[str] = ()) -> pd.DataFrame:
    """The feature ensemble and features alone, each minus every detector alone and every other ensemble.

    Means over kinds and over `categories` (default: all). The best entry of a group over all categories is marked.
    """
    rows = []
    for entry, (metric, title) in product((FEATURE, ALONE), DIFFERENCE_METRICS.items()):
        for group in ("member", "output", "backbones", "feature"):
            entries = [other for other in entries_of(metrics, group) if other != entry]
            for other in entries:
                mark = BEST if group != "feature" and other == best_entry(metrics, entries, metric) else ""
                labels = {"ensemble": entry, "metric": title, "against": f"{GROUPS[group]}: {titled(other)}{mark}"}
                rows.append(labels | difference(cells, entry, other, metric, categories=categories))
    return pd.DataFrame(rows).set_index(["ensemble", "metric", "against"])


def against_best(cells: Cells, metrics: pd.DataFrame) -> pd.DataFrame:
    """The feature ensemble minus the best detector alone and the best output-level ensemble, by category and kind."""
    rows = []
    for (metric, title), group in product(DIFFERENCE_METRICS.items(), ("member", "output")):
        other = best_entry(metrics, entries_of(metrics, group), metric)
        for category in dict.fromkeys(category for category, _ in cells):
            for kind in cells[category, FEATURE].kinds():
                found = difference(cells, FEATURE, other, metric, [kind], [category])
                labels = {"against": f"{GROUPS[group]}: {titled(other)}", "category": category, "kind": kind}
                rows.append({"metric": title} | labels | found)
    return pd.DataFrame(rows)


def by_category(cells: Cells, other: str, metric: str) -> pd.DataFrame:
    """The feature ensemble minus another entry, mean over the kinds; categories in rows."""
    categories = [category for category, entry in cells if entry == FEATURE]
    found = {name: difference(cells, FEATURE, other, metric, categories=[name]) for name in categories}
    return pd.DataFrame.from_dict(found, orient="index").rename(index=spaced).rename_axis("category")


def by_defect(values: pd.DataFrame, entries: Sequence[str]) -> pd.DataFrame:
    """`iadlib.metrics.entries.aurocs_by_defect` with titles."""
    table = aurocs_by_defect(values, entries).rename(columns=titled).round(3)
    return table.rename(index=spaced) if len(table) else table


def scores_of_detectors(study: Study) -> pd.DataFrame:
    """The scores of all detectors of the benchmark, of all categories of the grid; empty where there are none."""
    return study.gather("benchmark", study.grid["categories"], "scores", SCORES)


def with_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table with defects as words."""
    return table.assign(defect=table["defect"].map(spaced))
