"""Published results on the real data sets, each with its source, beside the study's own; never mixed into them."""

import pandas as pd

from iadlib.study.folders import ROOT
from iadlib.study.tables import shown

FILE = "literature/published_results.csv"


def published() -> pd.DataFrame:
    """method, dataset, category, metric, value (from 0 to 1), source."""
    table = pd.read_csv(ROOT / FILE)
    return table.assign(value=table["value_percent"] / 100).drop(columns="value_percent")


def sources(methods: list[str]) -> pd.DataFrame:
    """The published means of these methods with their sources."""
    table = published()
    table = table[table["method"].isin(methods) & (table["category"] == "mean")]
    return table.drop(columns="category").set_index("method").round(3)


def drops(cells: pd.DataFrame) -> pd.DataFrame:
    """Image AUROC by method: where anomalies are structural only, where they are logical too, and the difference.

    `cells` as `tables.gather` has them. Rendered: categories without logical anomalies (the MVTec-AD-like metal nut)
    against the mean of both kinds over those that have them; means ± the standard deviation over categories.
    Published: MVTec AD against MVTec LOCO AD. Empty: no number at hand.
    """
    rows = cells[(cells["metric"] == "image_auroc") & cells["kind"].isin(["logical", "structural"])]
    by_category = rows.groupby(["method", "category"], sort=False)["mean"].agg(["mean", "size"])
    literature = published()
    literature = literature[(literature["category"] == "mean") & (literature["metric"] == "image_auroc")]
    known = literature.pivot_table(index="method", columns="dataset", values="value")
    lines = {}
    for method, part in by_category.groupby("method", sort=False):
        alone, both = part[part["size"] == 1]["mean"], part[part["size"] == 2]["mean"]
        line = {
            ("rendered", "structural only"): alone.mean(),
            ("rendered", "both kinds"): shown(both.mean(), both.std()),
            ("rendered", "drop"): alone.mean() - both.mean(),
        }
        here = known.loc[method] if method in known.index else pd.Series(dtype=float)
        line["published", "MVTec AD"] = here.get("mvtec_ad")
        line["published", "MVTec LOCO AD"] = here.get("mvtec_loco")
        lines[method] = line
    table = pd.DataFrame.from_dict(lines, orient="index")
    table["published", "drop"] = table["published", "MVTec AD"] - table["published", "MVTec LOCO AD"]
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    numbers = table.select_dtypes("number").columns
    table[numbers] = table[numbers].map(lambda value: shown(value, None))
    return table
