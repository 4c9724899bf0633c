"""Tables of the ensembles and of the detectors that they are made of, all judged on the same test images.

`python -m iadlib ensemble` writes the files that are read here. Every entry of the comparison belongs to a group:

    member     one detector alone
    output     the scores and maps of the members combined
    backbones  the outputs of one method with several backbones combined
    labelled   scores of the members combined with the help of test labels, cross-fitted
    feature    the study's feature ensemble, the same without the members' own distances, and the thesis's design
    design     the study's feature ensemble with one choice changed
    pair       two detectors combined at feature level and at output level
"""

from collections.abc import Sequence
from itertools import product

import pandas as pd

from iadlib.metrics import DIFFERENCE_METRICS, Cells, Judged, collect, difference
from iadlib.study.paths import Study
from iadlib.study.reports import shown, spaced, titled

FEATURE, ALONE, THESIS, MEAN = "feature ensemble", "features alone", "thesis design", "mean"
METRICS = {**DIFFERENCE_METRICS, "pixel_auroc": "pixel AUROC"}
GROUPS = {
    "member": "alone",
    "output": "output level",
    "backbones": "output level, one method",
    "labelled": "with test labels",
    "feature": "feature level",
    "design": "one choice changed",
    "pair": "pair",
}


def gather(study: Study, file: str, categories: Sequence[str] = ()) -> pd.DataFrame:
    """values.csv or pixel_auroc.csv of the categories (default: all of the grid), one after the other."""
    text = {"name": str, "defect": str, "entry": str}
    parts = [
        study.table("ensemble", name, f"{file}.csv", dtype=text).assign(category=name)
        for name in categories or study.grid["categories"]
    ]
    return pd.concat(parts, ignore_index=True)


def metrics_by_seed(values: pd.DataFrame, pixels: pd.DataFrame) -> pd.DataFrame:
    """One row for every category, group, entry, seed, metric and kind of anomaly, with its value.

    `values` has one row for every entry, seed and test image; `pixels` has the pixel AUROC of every entry and seed.
    """
    rows = []
    for (category, group, entry), part in values.groupby(["category", "group", "entry"], sort=False):
        judged = Judged.of(part)
        for metric, kind in product(DIFFERENCE_METRICS, judged.kinds()):
            for seed, value in zip(judged.seeds, judged.by_seed(metric, kind)[0], strict=True):
                rows.append((category, group, entry, seed, metric, kind, value))
    columns = ["category", "group", "entry", "seed", "metric", "kind", "value"]
    pixels = pixels.rename(columns={"pixel_auroc": "value"}).assign(metric="pixel_auroc", kind="overall")
    return pd.concat([pd.DataFrame(rows, columns=columns), pixels[columns].dropna()], ignore_index=True)


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


def best(metrics: pd.DataFrame, group: str, metric: str) -> str:
    """The entry of a group with the highest mean over categories and kinds: chosen in its favour, on test images."""
    rows = metrics[(metrics["group"] == group) & (metrics["metric"] == metric)]
    by_category = rows.groupby(["entry", "category"])["value"].mean()
    return by_category.groupby("entry").mean().idxmax()


def against(cells: Cells, metrics: pd.DataFrame, categories: Sequence[str] = ()) -> pd.DataFrame:
    """The feature ensemble and features alone, each minus every detector alone and every other ensemble.

    Means over kinds and over `categories` (default: all). The best entry of a group over all categories is marked.
    """
    rows = []
    for entry, (metric, title) in product((FEATURE, ALONE), DIFFERENCE_METRICS.items()):
        for group in ("member", "output", "backbones", "feature"):
            for other in dict.fromkeys(metrics.loc[metrics["group"] == group, "entry"]):
                if other == entry:
                    continue
                mark = " (best)" if group != "feature" and other == best(metrics, group, metric) else ""
                labels = {"ensemble": entry, "metric": title, "against": f"{GROUPS[group]}: {titled(other)}{mark}"}
                rows.append(labels | difference(cells, entry, other, metric, categories=categories))
    return pd.DataFrame(rows).set_index(["ensemble", "metric", "against"])


def against_best(cells: Cells, metrics: pd.DataFrame) -> pd.DataFrame:
    """The feature ensemble minus the best detector alone and the best output-level ensemble, by category and kind."""
    rows = []
    for (metric, title), group in product(DIFFERENCE_METRICS.items(), ("member", "output")):
        other = best(metrics, group, metric)
        for category in dict.fromkeys(category for category, _ in cells):
            for kind in cells[category, FEATURE].kinds():
                found = difference(cells, FEATURE, other, metric, [kind], [category])
                labels = {"against": f"{GROUPS[group]}: {titled(other)}", "category": category, "kind": kind}
                rows.append({"metric": title} | labels | found)
    return pd.DataFrame(rows)


def by_category(cells: Cells, entry: str, other: str, metric: str) -> pd.DataFrame:
    """`entry` minus `other`, mean over the kinds, with its interval; categories in rows."""
    categories = [category for category, name in cells if name == entry and cells[category, name].kinds()]
    found = {category: difference(cells, entry, other, metric, categories=[category]) for category in categories}
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("category")


def by_defect(values: pd.DataFrame, entries: Sequence[str]) -> pd.DataFrame:
    """Image AUROC of the images of every defect against the good images, mean over seeds; entries in columns."""
    good = values["label"] == "good"
    labelled = values.assign(label=values["label"].where(good, values["label"] + ": " + values["defect"]))
    rows = {}
    for (category, entry), judged in collect(labelled[labelled["entry"].isin(entries)]).items():
        for label in sorted(set(judged.labels) - {"good"}):
            kind, _, defect = label.partition(": ")
            row = rows.setdefault((category, kind, spaced(defect)), {})
            row[entry] = float(judged.value("image_auroc", [label])[0])
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(entries)).rename(columns=titled).round(3)
    return table.rename_axis(index=["category", "kind", "defect"]) if rows else table


def seeds_of_designs(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the seeds that the other designs were fitted with; a fair comparison with them uses no more."""
    return table[table["seed"].isin(table.loc[table["group"] == "design", "seed"])]


def of_designs(values: pd.DataFrame) -> pd.DataFrame:
    """Every other design minus the study's, mean over categories and kinds, on the seeds of the designs."""
    values = seeds_of_designs(values)
    cells = collect(values)
    designs = [ALONE, THESIS, *dict.fromkeys(values.loc[values["group"] == "design", "entry"])]
    return pd.DataFrame(
        [
            {"metric": title, "design": name, "kind": "both kinds", **difference(cells, name, FEATURE, metric)}
            for metric, title in DIFFERENCE_METRICS.items()
            for name in designs
        ]
    )


def of_pairs(cells: Cells, metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """For every pair: the better member, the mean of the outputs, the features, and features minus outputs.

    Means over categories and kinds, on the seeds that the pairs were fitted with; the difference has its interval.
    """
    pairs = metrics[metrics["group"] == "pair"]
    metrics = metrics[metrics["seed"].isin(pairs["seed"]) & (metrics["metric"] == metric)]
    mean = metrics.groupby(["entry", "category"])["value"].mean().groupby("entry").mean()
    rows = {}
    for name in dict.fromkeys(pairs["entry"].str.partition(": ")[0]):
        found = difference(cells, f"{name}: features", f"{name}: outputs", metric)
        rows[titled(name)] = {
            "better member": max(mean[member] for member in name.split(" + ")),
            "outputs": mean[f"{name}: outputs"],
            "features": mean[f"{name}: features"],
            "features minus outputs": found["difference"],
            "low": found["low"],
            "high": found["high"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").round(3).rename_axis("pair")


def rank_changes(values: pd.DataFrame, per_kind: int = 2) -> pd.DataFrame:
    """Anomalous images where the feature ensemble disagrees most with the mean of the outputs: name, label, defect, ...

    "rank change" is the image's rank among the test images by the ensemble's score minus that by the mean's, of the
    first seed. Of each kind, the `per_kind` images that rise most and the `per_kind` that fall most.
    """
    first = values[(values["seed"] == values["seed"].min()) & values["entry"].isin([FEATURE, MEAN])]
    ranks = first.pivot(index=["name", "label", "defect"], columns="entry", values="score").rank()
    change = (ranks[FEATURE] - ranks[MEAN]).rename("rank change").reset_index()
    ordered = change[change["label"] != "good"].sort_values(["label", "rank change"], ascending=[True, False])
    by_kind = ordered.groupby("label")
    number, size = by_kind.cumcount(), by_kind["name"].transform("size")
    return ordered[(number < per_kind) | (number >= size - per_kind)].reset_index(drop=True)
