"""Curves as small tables, one column a detector, for `dvc plots`; and the numbers for `dvc metrics`."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from iadlib.calibration import reliability_curve
from iadlib.study.reports import titled

POINTS = 51  # of every curve
MAIN_METRICS = {"image_auroc": "image AUROC", "au_spro_0.05": "AU-sPRO"}


def roc_table(scores: pd.DataFrame) -> pd.DataFrame:
    """True positive rates of the test images by detector, at evenly spaced false positive rates (the index)."""
    rates, curves = np.linspace(0, 1, POINTS), {}
    for method, part in scores[scores["split"] == "test"].groupby("method", sort=False):
        if part["label"].eq("good").nunique() == 2:
            false_positive_rate, true_positive_rate, _ = roc_curve(part["label"] != "good", part["score"])
            curves[method] = np.interp(rates, false_positive_rate, true_positive_rate)
    return pd.DataFrame(curves, index=pd.Index(rates, name="false positive rate")).round(4)


def learning_table(training: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The smoothed loss of every detector by the share of its training that is done (the index)."""
    shares, curves = np.linspace(0, 1, POINTS), {}
    for method, table in training.items():
        loss = table["loss"].rolling(max(1, len(table) // POINTS), min_periods=1).mean()
        curves[method] = np.interp(shares, np.linspace(0, 1, len(loss)), loss)
    return pd.DataFrame(curves, index=pd.Index(shares, name="share of the training")).round(4)


def reliability_table(probabilities: pd.DataFrame, scorer: str) -> pd.DataFrame:
    """The share of anomalous images by calibrator, at evenly spaced probabilities (the index); linear between bins."""
    at, curves = np.linspace(0, 1, POINTS), {}
    for name, part in probabilities[probabilities["scorer"] == scorer].groupby("calibrator", sort=False):
        curve = reliability_curve(part["probability"].to_numpy(), (part["label"] != "good").to_numpy().astype(int))
        curves[name] = np.interp(at, curve.probability, curve.share)
    return pd.DataFrame(curves, index=pd.Index(at, name="probability")).round(4)


def main_numbers(metrics: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By detector: image AUROC and AU-sPRO of both kinds, means over the categories and seeds."""
    rows = metrics[metrics["metric"].isin(MAIN_METRICS) & metrics["kind"].isin(["logical", "structural"])]
    means = rows.groupby(["method", "metric", "kind"], sort=False)["mean"].mean().round(4)
    numbers: dict[str, dict[str, float]] = {}
    for (method, metric, kind), value in means.items():
        numbers.setdefault(titled(method), {})[f"{MAIN_METRICS[metric]}, {kind}"] = float(value)
    return numbers
