"""The metrics of many entries (detectors, ensembles, radii) as tables, from the values of every test image.

The entries that several modules name, and the tables of ensembles, are named here.
"""

from collections.abc import Sequence
from itertools import product

import pandas as pd

from iadlib.metrics.differences import DIFFERENCE_METRICS, Judged, collect
from iadlib.metrics.values import LONG

FEATURE, ALONE, THESIS = "feature ensemble", "features alone", "thesis design"
MEAN, WEIGHTED, SOFT = "mean", "weighted mean", "soft maximum"  # of the members' outputs
TABLES = {  # columns of the tables that `python -m iadlib ensemble` writes
    "values": LONG,
    "pixel_auroc": ["category", "group", "entry", "seed", "pixel_auroc"],
    "scores": ["entry", "seed", "split", "name", "label", "score"],
    "curves": ["name", "step", "loss", "artificial anomalies", "test images"],
    "variances": ["member", "component", "cumulative", "kept"],
}


def metrics_by_seed(values: pd.DataFrame, pixels: pd.DataFrame) -> pd.DataFrame:
    """One row for every category, group, entry, seed, metric and kind, with its value.

    `values` has one row for every category, group, entry, seed and test image, with the columns of `judge_images`.
    `pixels` has the pixel AUROC of every category, group, entry and seed; its kind is "overall".

    >>> names = {"category": "nut", "group": "member", "entry": "first", "seed": 0}
    >>> values = pd.DataFrame({"label": ["good", "structural"], "score": [0.1, 0.9], "au_spro": [None, 0.5]})
    >>> values = values.assign(**names, regions=[0, 1]).astype({"au_spro": float})
    >>> metrics_by_seed(values, pd.DataFrame([names | {"pixel_auroc": 0.75}]))[["metric", "kind", "value"]]
            metric        kind  value
    0  image_auroc  structural   1.00
    1      au_spro  structural   0.50
    2  pixel_auroc     overall   0.75
    """
    rows = []
    for (category, group, entry), part in values.groupby(["category", "group", "entry"], sort=False):
        judged = Judged.of(part)
        for metric, kind in product(DIFFERENCE_METRICS, judged.kinds()):
            for seed, value in zip(judged.seeds, judged.by_seed(metric, kind)[0], strict=True):
                rows.append((category, group, entry, seed, metric, kind, value))
    columns = ["category", "group", "entry", "seed", "metric", "kind", "value"]
    pixels = pixels.rename(columns={"pixel_auroc": "value"}).assign(metric="pixel_auroc", kind="overall")
    tables = [pd.DataFrame(rows, columns=columns), pixels[columns].dropna()]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def aurocs_by_defect(values: pd.DataFrame, entries: Sequence[str]) -> pd.DataFrame:
    """Image AUROC of the images of every defect against the good images, mean over seeds; entries in columns.

    The index has the levels category, kind and defect: a defect may belong to both kinds.
    """
    good = values["label"] == "good"
    labelled = values.assign(label=values["label"].where(good, values["label"] + ": " + values["defect"]))
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for (category, entry), judged in collect(labelled[labelled["entry"].isin(entries)]).items():
        for label in sorted(set(judged.labels) - {"good"}):
            kind, _, defect = label.partition(": ")
            value = float(judged.value("image_auroc", [label])[0])
            rows.setdefault((category, kind, defect), {})[entry] = value
    index = pd.MultiIndex.from_tuples(rows, names=["category", "kind", "defect"]) if rows else None
    return pd.DataFrame(list(rows.values()), index=index, columns=list(entries))


def best_entry(metrics: pd.DataFrame, entries: Sequence[str], metric: str) -> str:
    """Of some entries the one with the highest mean over categories and kinds; `metrics` as from `metrics_by_seed`."""
    rows = metrics[metrics["entry"].isin(entries) & (metrics["metric"] == metric)]
    return rows.groupby(["entry", "category"])["value"].mean().groupby("entry").mean().idxmax()


def rank_changes(values: pd.DataFrame, entry: str, other: str, per_kind: int = 2) -> pd.DataFrame:
    """The anomalous images that two entries disagree about most: name, label, defect, rank change.

    "rank change" is the rank among the test images by the score of `entry` minus that by `other`, with the lowest seed.
    Of each kind, the `per_kind` images that rise most and the `per_kind` that fall most.

    >>> values = pd.DataFrame({"name": ["a", "b", "c"] * 2, "label": ["good", "logical", "logical"] * 2, "seed": 0})
    >>> values = values.assign(defect="dent", entry=["one"] * 3 + ["two"] * 3, score=[1, 2, 3, 1, 3, 2])
    >>> rank_changes(values, "one", "two")[["name", "rank change"]]
      name  rank change
    0    c          1.0
    1    b         -1.0
    """
    first = values[(values["seed"] == values["seed"].min()) & values["entry"].isin([entry, other])]
    ranks = first.pivot(index=["name", "label", "defect"], columns="entry", values="score").rank()
    ranks = ranks.reindex(columns=[entry, other])
    change = (ranks[entry] - ranks[other]).rename("rank change").reset_index()
    ordered = change[change["label"] != "good"].sort_values(["label", "rank change"], ascending=[True, False])
    number, size = ordered.groupby("label").cumcount(), ordered.groupby("label")["name"].transform("size")
    return ordered[(number < per_kind) | (number >= size - per_kind)].reset_index(drop=True)
