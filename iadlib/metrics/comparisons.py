"""The feature ensemble beside its other designs, pairs of members, and the combined scores of all detectors.

Entries are compared on the seeds that all of them were fitted with.
"""

from itertools import product

import pandas as pd

from iadlib.metrics.combining import MAXIMUM, VOTE, combined
from iadlib.metrics.differences import DIFFERENCE_METRICS, Cells, collect, difference
from iadlib.metrics.entries import ALONE, FEATURE, MEAN, TABLES, THESIS, metrics_by_seed
from iadlib.types import Prediction

SCORES = ["category", "detector", *TABLES["scores"][1:]]  # columns of the detectors' scores


def of_all_detectors(values: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The combined scores of all detectors, and the feature ensemble: image AUROC by kind, mean over categories.

    `values` are those of the ensembles, `scores` (see `SCORES`) those of the detectors; with the feature ensemble's
    image AUROC minus that of each combination, mean over the kinds. Only categories and seeds with scores count.
    """
    values = values[values["entry"] == FEATURE]
    joint = combined_scores(values, scores)
    if joint.empty:
        return pd.DataFrame()
    together = pd.concat([values.merge(joint[["category", "seed"]].drop_duplicates()), joint])
    cells, others = collect(together), list(dict.fromkeys(joint["entry"]))
    metrics = metrics_by_seed(together, pd.DataFrame(columns=TABLES["pixel_auroc"])).query("metric == 'image_auroc'")
    by_category = metrics.groupby(["entry", "kind", "category"], sort=False)["value"].mean()
    table = by_category.groupby(level=["entry", "kind"], sort=False).mean().unstack("kind", sort=False)
    differences = {name: difference(cells, FEATURE, name, "image_auroc") for name in others}
    table = table.join(pd.DataFrame.from_dict(differences, orient="index"))
    return table.rename(columns={"difference": "feature ensemble minus it"}).rename_axis("entry")


def combined_scores(values: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """`values` of one entry with the combined scores of all detectors in place of its own, one entry a combination.

    Only for the seeds that all detectors of a category have scores of.
    """
    parts = []
    for category, of_category in scores.groupby("category", sort=False):
        table = of_category.pivot(index=["seed", "split", "name"], columns="detector", values="score").dropna()
        for seed in table.index.unique("seed"):
            images = values[(values["category"] == category) & (values["seed"] == seed)]
            if images.empty:
                continue
            normal, test = table.loc[seed, "validation"], table.loc[seed, "test"].loc[images["name"]]
            predictions, validation = (
                [Prediction(found[name].to_numpy(), None) for name in found] for found in (test, normal)
            )
            for name in (MEAN, MAXIMUM, VOTE):
                joint = combined(predictions, validation, name).scores
                parts.append(images.assign(entry=f"{name} of all detectors", score=joint, au_spro=float("nan")))
    return pd.concat(parts) if parts else values.iloc[:0]


def seeds_of_designs(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the seeds that the other designs were fitted with; a fair comparison with them uses no more."""
    return table[table["seed"].isin(table.loc[table["group"] == "design", "seed"])]


def of_designs(values: pd.DataFrame) -> pd.DataFrame:
    """Every other design minus the study's, mean over categories and kinds, on the seeds of the designs."""
    values = seeds_of_designs(values)
    cells = collect(values)
    designs = [ALONE, THESIS, *dict.fromkeys(values.loc[values["group"] == "design", "entry"])]
    rows = [
        {"metric": title, "what": name, "kind": "both kinds", **difference(cells, name, FEATURE, metric)}
        for (metric, title), name in product(DIFFERENCE_METRICS.items(), designs)
    ]
    return pd.DataFrame(rows)


def of_pairs(cells: Cells, metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """For every pair: the better member, the soft maximum of the outputs, the features, and features minus outputs.

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
        rows[name] = row | {"features minus outputs": found.pop("difference")} | found
    return pd.DataFrame.from_dict(rows, orient="index").round(3).rename_axis("pair")
