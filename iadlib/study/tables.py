"""The metrics of all detectors on all categories as tables."""

import re
from collections.abc import Sequence

import pandas as pd

from iadlib.figures.text import ordered, shown, spaced, titled, with_titles
from iadlib.metrics import collect, differences_to
from iadlib.metrics.report import KINDS, OVERALL, PER_KIND
from iadlib.metrics.values import LONG
from iadlib.study.paths import Study

LEVELS = {"at_image_threshold": "images", "at_pixel_threshold": "pixels"}
MAIN_METRICS = {"image_auroc": "image AUROC", "au_spro_0.05": "AU-sPRO"}
TITLES = PER_KIND | OVERALL | LEVELS | {"f1_score": "F1", "iou": "IoU"}


def metrics_of(study: Study, categories: Sequence[str]) -> pd.DataFrame:
    """One row for each metric: category, method, metric, kind, mean, std, low, high; empty where unknown."""
    rows = []
    for category in categories:
        for method, metrics in study.metrics(category).items():
            for key, mean in metrics["mean"].items():
                metric, kind = re.fullmatch(r"(.+?)\.(defect .+|[a-z_0-9]+)", key).groups()
                row = {"category": category, "method": method, "metric": metric, "kind": kind, "mean": mean}
                rows.append({**row, "std": metrics["std"][key], **metrics["interval"].get(key, {})})
    columns = ["category", "method", "metric", "kind", "mean", "std", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[4:], float))


def by_detector(metrics: pd.DataFrame) -> pd.DataFrame:
    """The metrics of one category: detectors in rows; mean ± std, and the interval where there is one."""
    rows = metrics[metrics["metric"].isin(PER_KIND | OVERALL) & metrics["kind"].isin([*KINDS, "overall"])]
    if rows.empty:
        print("no metrics: good and anomalous test images are needed")
    return _by_detector(rows)


def decisions(metrics: pd.DataFrame) -> pd.DataFrame:
    """Metrics at the thresholds from normal validation images, of images and of pixels; detectors in rows."""
    # The recall is the true positive rate.
    return _by_detector(metrics[metrics["metric"].isin(LEVELS) & ~metrics["kind"].isin(["threshold", "recall"])])


def _by_detector(rows: pd.DataFrame) -> pd.DataFrame:
    cells = [
        shown(mean, std) + ("" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]")
        for mean, std, low, high in rows[["mean", "std", "low", "high"]].itertuples(index=False)
    ]
    return ordered(rows.replace(TITLES).assign(cell=cells), "method", ["metric", "kind"], "cell").fillna("")


def pivot(metrics: pd.DataFrame, metric: str, defects: bool = False) -> pd.DataFrame:
    """One metric, of kinds or of defects: categories in rows, detectors in columns, mean ± std.

    The column "chance" is what a map of uniform noise reaches.
    """
    metrics = metrics[metrics["kind"].str.startswith("defect ") == defects]
    metrics = metrics.assign(kind=metrics["kind"].str.removeprefix("defect "))
    chance = metrics[metrics["metric"] == f"chance_{metric}"].drop_duplicates(["category", "kind"])
    rows = pd.concat([chance.assign(method="chance", std=None), metrics[metrics["metric"] == metric]])
    cells = [shown(mean, std) for mean, std in zip(rows["mean"], rows["std"], strict=True)]
    return ordered(rows.assign(cell=cells), ["category", "kind"], "method", "cell")


def by_kind(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of logical and structural values of one metric."""
    return metrics[(metrics["metric"] == metric) & metrics["kind"].isin(KINDS)]


def drop(metrics: pd.DataFrame, metric: str = "image_auroc") -> pd.DataFrame:
    """By detector: the means of both kinds over the categories that have both, and structural less logical."""
    both = by_kind(metrics, metric).pivot(index=["method", "category"], columns="kind", values="mean").dropna()
    means = both.groupby("method").mean().reindex(metrics["method"].unique())
    means = means.assign(drop=means["structural"] - means["logical"], categories=both.groupby("method").size())
    return means.round(3).rename(index=titled).rename_axis(columns=None)


def against_first(study: Study, categories: Sequence[str]) -> pd.DataFrame:
    """Image AUROC of every detector minus that of the first: method, category, kind, difference, low, high."""
    cells = collect(study.gather("benchmark", categories, "values", LONG))
    rows = differences_to(cells, study.grid["methods"][0]).rename(columns={"entry": "method"})
    return with_titles(rows.assign(category=rows["category"].map(spaced))).round(4)


def main_numbers(metrics: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By detector: image AUROC and AU-sPRO of both kinds, means over the categories and seeds."""
    rows = metrics[metrics["metric"].isin(MAIN_METRICS) & metrics["kind"].isin(KINDS)]
    numbers: dict[str, dict[str, float]] = {}
    for (method, metric, kind), value in rows.groupby(["method", "metric", "kind"], sort=False)["mean"].mean().items():
        numbers.setdefault(titled(method), {})[f"{MAIN_METRICS[metric]}, {kind}"] = round(float(value), 4)
    return numbers
