"""Ranks of test images: comparable between detectors, whose scores have different scales."""

import pandas as pd


def mean_ranks(values: pd.DataFrame) -> pd.DataFrame:
    """The rank of every test image among all test images, 1 for the highest score: mean over the seeds.

    `values` has the columns method, seed, name, label, defect and score. The result has the index name, label, defect,
    and a column for each method.
    """
    shares = values.groupby(["method", "seed"])["score"].rank(pct=True)
    return values.assign(rank=shares).pivot_table(index=["name", "label", "defect"], columns="method", values="rank")


def most_disputed(ranks: pd.DataFrame, count: int = 3) -> list[str]:
    """The names of the anomalous images whose ranks have the largest standard deviation over the methods."""
    return _names(ranks.query("label != 'good'").std(axis=1).nlargest(count))


def worst_misses(ranks: pd.DataFrame, count: int = 3) -> list[str]:
    """The names of the anomalous images with the lowest rank in the mean over the methods."""
    return _names(ranks.query("label != 'good'").mean(axis=1).nsmallest(count))


def worst_false_alarms(ranks: pd.DataFrame, count: int = 3) -> list[str]:
    """The names of the good images with the highest rank in the mean over the methods."""
    return _names(ranks.query("label == 'good'").mean(axis=1).nlargest(count))


def _names(chosen: pd.Series) -> list[str]:
    return list(chosen.index.get_level_values("name"))
