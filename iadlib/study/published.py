"""Published results on the real data sets, each with its source, beside the study's own; and measured times."""

import pandas as pd

from iadlib.figures.text import shown, titled
from iadlib.files import ROOT
from iadlib.study.tables import by_kind

DATASETS = {"mvtec_ad": "MVTec AD", "mvtec_loco": "MVTec LOCO AD"}
METRICS = {
    "image_auroc": "image AUROC",
    "image_auroc_logical": "image AUROC, logical",
    "image_auroc_structural": "image AUROC, structural",
    "pixel_auroc": "pixel AUROC",
    "au_pro": "AU-PRO",
}


def published() -> pd.DataFrame:
    """method, dataset, category, metric, value (from 0 to 1), source."""
    table = pd.read_csv(ROOT / "literature/published_results.csv")
    return table.assign(value=table["value_percent"] / 100).drop(columns="value_percent")


def sources(methods: list[str]) -> pd.DataFrame:
    """The published means of these detectors with their sources."""
    table = published()
    table = table[table["method"].isin(methods) & (table["category"] == "mean")]
    table = table.drop(columns="category").set_index("method").rename(index=titled).round(3)
    return table.replace({"dataset": DATASETS, "metric": METRICS})


def drops(metrics: pd.DataFrame) -> pd.DataFrame:
    """Image AUROC by detector: on categories with structural anomalies only, on those with both kinds, and the drop.

    Rendered: categories without logical anomalies against the mean of both kinds over the categories that have both,
    ± the standard deviation over these. Published: MVTec AD against MVTec LOCO AD. Empty where no number is known.
    """
    by_category = by_kind(metrics, "image_auroc").groupby(["method", "category"], sort=False)["mean"]
    literature = published()
    literature = literature[(literature["category"] == "mean") & (literature["metric"] == "image_auroc")]
    known = literature.pivot_table(index="method", columns="dataset", values="value")
    lines = {}
    for method, part in by_category.agg(["mean", "size"]).groupby("method", sort=False):
        alone, both = part[part["size"] == 1]["mean"].mean(), part[part["size"] == 2]["mean"]
        ad, loco = known.reindex([method])[["mvtec_ad", "mvtec_loco"]].iloc[0]
        lines[titled(method)] = {
            ("rendered", "structural only"): shown(alone),
            ("rendered", "both kinds"): shown(both.mean(), both.std()),
            ("rendered", "drop"): shown(alone - both.mean()),
            ("published", "MVTec AD"): shown(ad),
            ("published", "MVTec LOCO AD"): shown(loco),
            ("published", "drop"): shown(ad - loco),
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis(columns=[None, None])


def measured(what: str, profile: str) -> pd.DataFrame:
    """The measurements in benchmarks/WHAT-PROFILE-DEVICE.csv of every device; empty where there is no file."""
    files = sorted((ROOT / "benchmarks").glob(f"{what}-{profile}-*.csv"))
    tables = [pd.read_csv(file).assign(device=file.stem.rpartition("-")[2]) for file in files]
    table = pd.concat(tables) if tables else pd.DataFrame(columns=["device", "method"])
    return table.set_index(["device", "method"]).rename(index=titled, level="method")
