"""Curves as small tables, one column a method, at the same evenly spaced places for all: for `dvc plots`."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

AT = np.linspace(0, 1, 51)  # where every curve is read


def curve_table(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], index: str) -> pd.DataFrame:
    """Curves (x, y) with x ascending in [0, 1], linear between their points; `index` names x."""
    columns = {name: np.interp(AT, x, y) for name, (x, y) in curves.items()}
    return pd.DataFrame(columns, index=pd.Index(AT, name=index)).round(4)


def roc_table(scores: pd.DataFrame) -> pd.DataFrame:
    """True positive rates of the test images by method; `scores` has the columns method, split, label and score."""
    curves = {}
    for method, part in scores[scores["split"] == "test"].groupby("method", sort=False):
        if part["label"].eq("good").nunique() == 2:
            curves[method] = roc_curve(part["label"] != "good", part["score"])[:2]
    return curve_table(curves, "false positive rate")


def learning_table(training: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The smoothed loss of every method by the share of its training that is done; tables with the column loss."""
    curves = {}
    for method, table in training.items():
        loss = table["loss"].rolling(max(1, len(table) // len(AT)), min_periods=1).mean()
        curves[method] = np.linspace(0, 1, len(loss)), loss
    return curve_table(curves, "share of the training")
