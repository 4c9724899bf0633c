"""All detectors on one category: the score of every test image, and the images that are worth a look."""

from pathlib import Path

import pandas as pd

from iadlib.figures.text import titled
from iadlib.metrics.values import LONG
from iadlib.study.paths import Study


def seeds_of(study: Study, category: str) -> pd.DataFrame:
    """method, seed, threshold: every fit, with its image threshold from the normal validation images."""
    rows = [
        (method, int(seed), float(values["at_image_threshold.threshold"]))
        for method, metrics in study.metrics(category).items()
        for seed, values in metrics["seeds"].items()
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "threshold"])


def values_of(study: Study, category: str) -> pd.DataFrame:
    """values.csv: method, seed, name, label, defect, score, ... of every test image; empty where there is no file."""
    return study.table("benchmark", category, "values.csv", empty=LONG).rename(columns={"entry": "method"})


def scores_of(study: Study, category: str) -> pd.DataFrame:
    """method, seed, split, name, label, score of validation and test images, lowest seed; empty without a file."""
    columns = ["detector", "seed", "split", "name", "label", "score"]
    scores = study.table("benchmark", category, "scores.csv", empty=columns)
    return first_seeds(scores.rename(columns={"detector": "method"}))


def thresholds_of(study: Study, category: str) -> dict[str, float]:
    """The image threshold of the lowest seed of every detector, by title."""
    first = first_seeds(seeds_of(study, category))
    return dict(zip(first["method"].map(titled), first["threshold"], strict=True))


def first_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of every detector's lowest seed."""
    return table[table["seed"] == table.groupby("method")["seed"].transform("min")]


def fitted(study: Study, category: str, values: pd.DataFrame) -> dict[str, Path]:
    """The folder of every detector, fitted with its lowest seed; one printed line where there is none."""
    lowest = values.groupby("method", sort=False)["seed"].min()
    return study.fitted({method: f"benchmark/{category}/{method}/{seed}" for method, seed in lowest.items()})


def training(folders: dict[str, Path]) -> dict[str, pd.DataFrame]:
    """phase, step and loss of every detector that learns weights, by title."""
    from iadlib.results import read_training  # imports torch

    tables = {titled(method): read_training(folder) for method, folder in folders.items()}
    return {title: table for title, table in tables.items() if len(table)}
