"""From metrics to tables: of one cell, and of all of them."""

import json
import re
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from iadlib.data import Category
from iadlib.metrics.report import OVERALL, PER_KIND
from iadlib.study.folders import ROOT, read_grid, save_results


def counts(category: Category) -> pd.DataFrame:
    """How many images each split holds, by label."""
    table = category.samples.groupby(["split", "label"]).size().unstack(fill_value=0)
    return table.reindex(index=["train", "validation", "test"], columns=["good", "logical", "structural"], fill_value=0)


def metrics_table(metrics: dict) -> pd.DataFrame:
    """Metrics in rows; logical, structural, their mean, and overall in columns."""
    names = {**PER_KIND, **OVERALL}
    columns = ["logical", "structural", "mean", "overall"]
    rows = {
        title: [
            shown(metrics["mean"].get(f"{name}.{column}"), metrics["std"].get(f"{name}.{column}")) for column in columns
        ]
        for name, title in names.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def decisions_table(metrics: dict) -> pd.DataFrame:
    """Metrics at the thresholds taken from normal validation images: of images, and of pixels."""
    table = {}
    for key, mean in metrics["mean"].items():
        level, _, name = key.partition(".")
        if level.startswith("at_") and name not in ("threshold", "recall"):  # recall is the true positive rate
            column = level.removeprefix("at_").replace("_threshold", "s")
            title = {"f1_score": "F1", "iou": "IoU"}.get(name, name.replace("_", " "))
            table.setdefault(column, {})[title] = shown(mean, metrics["std"][key])
    return pd.DataFrame(table)


def image_threshold(metrics: dict, seed: int) -> float:
    return metrics["seeds"][str(seed)]["at_image_threshold.threshold"]


def gather(profile: str) -> pd.DataFrame:
    """All cells of the grid, one line each metric: category, method, metric, kind, mean, std, low, high."""
    grid = read_grid()
    rows = []
    for category in grid["categories"]:
        for method in grid["methods"]:
            path = ROOT / "reports" / profile / "benchmark" / category / method / "metrics.json"
            metrics = json.loads(path.read_text())
            for key, mean in metrics["mean"].items():
                metric, kind = re.fullmatch(r"(.+?)\.(defect .+|[a-z_0-9]+)", key).groups()
                row = {"category": category, "method": method, "metric": metric, "kind": kind, "mean": mean}
                rows.append({**row, "std": metrics["std"][key], **metrics["interval"].get(key, {})})
    return pd.DataFrame(rows)


def describe(profile: str, cells: pd.DataFrame) -> str:
    methods, categories = cells["method"].nunique(), cells["category"].nunique()
    return f"profile {profile}: {methods} method(s) on {categories} categor{'y' if categories == 1 else 'ies'}"


def pivot(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric: category and kind in rows, methods in columns, mean ± std; and chance, where noise gets something."""
    rows = cells[(cells["metric"] == metric) & ~cells["kind"].str.startswith("defect ")]
    return _pivoted(rows, cells[cells["metric"] == f"chance_{metric}"])


def _pivoted(rows: pd.DataFrame, chance: pd.DataFrame) -> pd.DataFrame:
    labelled = rows.assign(shown=[shown(mean, std) for mean, std in zip(rows["mean"], rows["std"], strict=True)])
    table = labelled.pivot(index=["category", "kind"], columns="method", values="shown")
    order = list(dict.fromkeys(zip(rows["category"], rows["kind"], strict=True)))
    table = table.reindex(index=pd.MultiIndex.from_tuples(order), columns=list(dict.fromkeys(rows["method"])))
    if len(chance):
        floor = chance.drop_duplicates(["category", "kind"]).set_index(["category", "kind"])["mean"].reindex(order)
        table.insert(0, "chance", floor.map("{:.3f}".format).to_numpy())
    return table


def drop(cells: pd.DataFrame, metric: str = "image_auroc") -> pd.DataFrame:
    """By method: the means of both kinds over the categories that have both, and structural less logical."""
    rows = cells[(cells["metric"] == metric) & cells["kind"].isin(["logical", "structural"])]
    both = rows.pivot(index=["method", "category"], columns="kind", values="mean").dropna()
    means = both.groupby("method", sort=False).mean().reindex(list(dict.fromkeys(rows["method"])))
    means["drop"] = means["structural"] - means["logical"]
    means.insert(0, "categories", both.groupby("method").size())
    return means.round(3).rename_axis(columns=None)


def speeds(profile: str) -> pd.DataFrame:
    """What benchmarks/detectors.py measured for a profile, on every device that there is a file of."""
    return measured("detectors", profile)


def measured(what: str, profile: str) -> pd.DataFrame:
    files = sorted((ROOT / "benchmarks").glob(f"{what}-{profile}-*.csv"))
    tables = [pd.read_csv(file).assign(device=file.stem.rpartition("-")[2]) for file in files]
    return pd.concat(tables).set_index(["device", "method"]) if tables else pd.DataFrame()


def pivot_defects(cells: pd.DataFrame, metric: str = "au_spro_0.05") -> pd.DataFrame:
    """One metric by defect: category and defect in rows, methods in columns."""
    rows = cells[cells["kind"].str.startswith("defect ")]
    rows = rows.assign(kind=rows["kind"].str.removeprefix("defect ").str.replace("_", " "))
    return _pivoted(rows[rows["metric"] == metric], rows[rows["metric"] == f"chance_{metric}"])


def by_kind(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Logical and structural values of one metric, with the ends of their intervals, for `figures.kind_comparison`."""
    return cells[(cells["metric"] == metric) & cells["kind"].isin(["logical", "structural"])]


def save_tables(cells: pd.DataFrame, pictures: dict[str, Figure], out: str | Path | None) -> None:
    """All numbers as benchmark.csv, and the figures, into the folder `out`; None writes nothing."""
    save_results(out, {"benchmark": cells}, pictures)


def shown(mean: float | None, std: float | None) -> str:
    """Three digits, and the spread over seeds where there are several."""
    if mean is None or pd.isna(mean):
        return ""
    return f"{mean:.3f}" if std is None or pd.isna(std) else f"{mean:.3f} ± {std:.3f}"
