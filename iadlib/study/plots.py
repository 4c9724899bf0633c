"""Curves as small tables, one column a detector, for `dvc plots`; and the numbers for `dvc metrics`."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from iadlib.calibration import reliability_curve
from iadlib.study.reports import titled

AT = np.linspace(0, 1, 51)  # where every curve is read
MAIN_METRICS = {"image_auroc": "image AUROC", "au_spro_0.05": "AU-sPRO"}


def roc_table(scores: pd.DataFrame) -> pd.DataFrame:
    """True positive rates of the test images by detector, at evenly spaced false positive rates (the index)."""
    curves = {}
    for method, part in scores[scores["split"] == "test"].groupby("method", sort=False):
        if part["label"].eq("good").nunique() == 2:
            curves[method] = np.interp(AT, *roc_curve(part["label"] != "good", part["score"])[:2])
    return _table(curves, "false positive rate")


def learning_table(training: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The smoothed loss of every detector by the share of its training that is done (the index)."""
    curves = {}
    for method, table in training.items():
        loss = table["loss"].rolling(max(1, len(table) // len(AT)), min_periods=1).mean()
        curves[method] = np.interp(AT, np.linspace(0, 1, len(loss)), loss)
    return _table(curves, "share of the training")


def reliability_table(probabilities: pd.DataFrame, scorer: str) -> pd.DataFrame:
    """The share of anomalous images by calibrator, at evenly spaced probabilities (the index); linear between bins."""
    curves = {}
    for name, part in probabilities[probabilities["scorer"] == scorer].groupby("calibrator", sort=False):
        curve = reliability_curve(part["probability"], part["label"] != "good")
        curves[name] = np.interp(AT, curve.probability, curve.share)
    return _table(curves, "probability")


def _table(curves: dict[str, np.ndarray], at: str) -> pd.DataFrame:
    return pd.DataFrame(curves, index=pd.Index(AT, name=at)).round(4)


def main_numbers(metrics: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By detector: image AUROC and AU-sPRO of both kinds, means over the categories and seeds."""
    rows = metrics[metrics["metric"].isin(MAIN_METRICS) & metrics["kind"].isin(["logical", "structural"])]
    numbers: dict[str, dict[str, float]] = {}
    for (method, metric, kind), value in rows.groupby(["method", "metric", "kind"], sort=False)["mean"].mean().items():
        numbers.setdefault(titled(method), {})[f"{MAIN_METRICS[metric]}, {kind}"] = round(float(value), 4)
    return numbers
