"""Tables of the ensembles and of the detectors that they are made of, all judged on the same test images.

`python -m iadlib ensemble` writes the files that are read here, and describes the entries and their groups.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pandas as pd
import yaml

from iadlib.figures.text import shown, spaced, titled
from iadlib.metrics import DIFFERENCE_METRICS, Cells, collect, difference
from iadlib.metrics.combining import MAXIMUM, VOTE, combined
from iadlib.metrics.entries import (
    ALONE,
    FEATURE,
    MEAN,
    TABLES,
    THESIS,
    aurocs_by_defect,
    best_entry,
    metrics_by_seed,
)
from iadlib.study.paths import ROOT, Study
from iadlib.types import Prediction

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
    return yaml.safe_load((ROOT / "params/ensemble.yaml").read_text())["common"]["members"]


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


def of_all_detectors(study: Study, values: pd.DataFrame) -> pd.DataFrame:
    """The combined scores of all detectors of the benchmark, and the feature ensemble: image AUROC by kind.

    Means over categories and the seeds that all detectors were fitted with; with the feature ensemble's image AUROC
    minus that of each combination, mean over the kinds.
    """
    values = values[values["entry"] == FEATURE]
    parts = [combined_scores(study, category, rows) for category, rows in values.groupby("category", sort=False)]
    together = pd.concat([values, *parts])
    cells, others = collect(together), list(dict.fromkeys(together["entry"]))[1:]
    if not others:
        return pd.DataFrame()
    same_seeds = together[together["seed"].isin(together.loc[together["entry"] == others[0], "seed"])]
    metrics = metrics_by_seed(same_seeds, pd.DataFrame(columns=TABLES["pixel_auroc"])).query("metric == 'image_auroc'")
    by_category = metrics.groupby(["entry", "kind", "category"], sort=False)["value"].mean()
    table = by_category.groupby(level=["entry", "kind"], sort=False).mean().unstack("kind", sort=False)
    differences = {name: difference(cells, FEATURE, name, "image_auroc") for name in others}
    table = table.join(pd.DataFrame.from_dict(differences, orient="index"))
    return table.rename(columns={"difference": "feature ensemble minus it"}).rename_axis("entry")


def combined_scores(study: Study, category: str, rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` of values.csv with the combined scores of all detectors of the benchmark in place of their own."""
    scores = study.table("benchmark", category, "scores.csv", empty=["detector", *TABLES["scores"][1:]])
    table = scores.pivot(index=["seed", "split", "name"], columns="detector", values="score").dropna()
    parts = []
    for seed in table.index.unique("seed"):
        images = rows[rows["seed"] == seed]
        normal, test = table.loc[seed, "validation"], table.loc[seed, "test"].loc[images["name"]]
        predictions, validation = (
            [Prediction(found[name].to_numpy(), None) for name in found] for found in (test, normal)
        )
        for name in (MEAN, MAXIMUM, VOTE):
            joint = combined(predictions, validation, name).scores
            parts.append(images.assign(entry=f"{name} of all detectors", score=joint, au_spro=float("nan")))
    return pd.concat(parts) if parts else rows.iloc[:0]


def with_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table with defects as words."""
    return table.assign(defect=table["defect"].map(spaced))


def seeds_of_designs(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the seeds that the other designs were fitted with; a fair comparison with them uses no more."""
    return table[table["seed"].isin(table.loc[table["group"] == "design", "seed"])]


def of_designs(values: pd.DataFrame) -> pd.DataFrame:
    """Every other design minus the study's, mean over categories and kinds, on the seeds of the designs."""
    values = seeds_of_designs(values)
    cells, designs = collect(values), [ALONE, THESIS, *entries_of(values, "design")]
    rows = [
        {"metric": title, "what": name, "kind": "both kinds", **difference(cells, name, FEATURE, metric)}
        for (metric, title), name in product(DIFFERENCE_METRICS.items(), designs)
    ]
    return pd.DataFrame(rows)


def of_pairs(cells: Cells, metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """For every pair: the better member, the mean of the outputs, the features, and features minus outputs.

    Means over categories and kinds, on the seeds that the pairs were fitted with; the difference has its interval.
    """
    pairs = metrics[metrics["group"] == "pair"]
    metrics = metrics[metrics["seed"].isin(pairs["seed"]) & (metrics["metric"] == metric)]
    mean = metrics.groupby(["entry", "category"])["value"].mean().groupby("entry").mean()
    rows = {}
    for name in dict.fromkeys(pairs["entry"].str.partition(": ")[0]):
        features, outputs = f"{name}: features", f"{name}: outputs"
        found = difference(cells, features, outputs, metric)
        row = {"better member": mean[name.split(" + ")].max(), "outputs": mean[outputs], "features": mean[features]}
        rows[titled(name)] = row | {"features minus outputs": found.pop("difference")} | found
    return pd.DataFrame.from_dict(rows, orient="index").round(3).rename_axis("pair")
