"""The folder of one fitted detector: written by `fit`, read by `score`, `judge`, the ensembles and the notebooks.

    settings.json         detector, hyperparameters, image size, bits, seed, thresholds and how they were set, versions
    detector.safetensors  the learned state
    scores.csv            split, name, label, defect, score, anomalous: validation and test images
    maps.npz              the test images' maps (H, W) float32 by image name, at the detector's image size
    training.csv          phase, step, loss; only where weights are learned

This module is the only writer and the only reader of such folders.
"""

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from iadlib.data import Category, DataError
from iadlib.detectors import Detector, create, name_of
from iadlib.detectors.base import EXECUTION
from iadlib.files import PARTIAL, write_json
from iadlib.types import Prediction

SETTINGS, STATE, SCORES, MAPS, TRAINING = (
    "settings.json",
    "detector.safetensors",
    "scores.csv",
    "maps.npz",
    "training.csv",
)
PACKAGES = ("iadlib", "numpy", "torch", "timm")
ODD_NAMES = "surrogateescape"  # how file names that are no valid UTF-8 are written and read
EXACT = "%.9g"  # digits that keep a float32


def settings_of(
    detector: Detector, bits: int, rate: float, thresholds: dict[str, float], validation: Prediction
) -> dict:
    """The content of settings.json.

    `rate` is the share of the normal validation images (or of their pixels) that `thresholds["image"]` (or
    `thresholds["pixel"]`) lets through as anomalous. `bits` is the bit depth of the photographs. `map_range` are the
    ends of the colour scale of heat maps: the median of the validation maps, and twice as far above it as their largest
    value.
    """
    middle, largest = float(np.median(validation.maps)), float(validation.maps.max())
    hyperparameters = {name: value for name, value in asdict(detector).items() if name not in EXECUTION}
    return {
        "detector": name_of(detector),
        "hyperparameters": hyperparameters,
        "image_size": list(detector.image_size_),
        "bits": bits,
        "false_positive_rate": rate,
        "thresholds": {**thresholds, "validation_images": len(validation.scores)},
        "map_range": [middle, 2 * largest - middle],
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def scores_table(category: Category, predictions: dict[str, Prediction], threshold: float) -> pd.DataFrame:
    """One row an image of every predicted split: split, name, label, defect, score, anomalous."""
    parts = []
    for split, prediction in predictions.items():
        samples = category.of(split)[["split", "name", "label", "defect"]]
        if split == "test":
            samples = samples.assign(defect=category.defects())
        parts.append(samples.assign(score=prediction.scores, anomalous=prediction.scores > threshold))
    return pd.concat(parts, ignore_index=True)


def write(folder: Path, detector: Detector, settings: dict, scores: pd.DataFrame, maps: dict[str, np.ndarray]) -> None:
    """Write all files into an existing, empty `folder`; the caller makes it appear whole (`files.whole_folder`)."""
    detector.save(folder / STATE)
    scores.to_csv(folder / SCORES, index=False, float_format=EXACT, errors=ODD_NAMES)
    np.savez(folder / MAPS, **maps)
    if detector.losses:
        phases = [
            pd.DataFrame({"phase": phase, "step": range(1, len(losses) + 1), "loss": losses.numpy()})
            for phase, losses in detector.losses.items()
        ]
        pd.concat(phases).to_csv(folder / TRAINING, index=False, float_format="%.6g")
    write_json(folder / SETTINGS, settings)


def find(folder: str | Path) -> list[Path]:
    """The folders of fitted detectors at or below `folder`, sorted by path, seeds in numerical order."""
    folder = Path(folder)
    found = [
        Path(parent)
        for parent, folders, files in os.walk(folder, followlinks=True)
        if {SETTINGS, STATE} <= set(files) and not any(part.endswith(PARTIAL) for part in Path(parent).parts)
    ]
    if not found:
        raise DataError(f"{folder}: no fitted detector here; `python -m iadlib fit` writes {SETTINGS} and {STATE}")
    return sorted(found, key=lambda path: [(not part.isdigit(), part.zfill(6)) for part in path.parts])


def read_settings(folder: str | Path) -> dict:
    """The content of settings.json."""
    path = Path(folder) / SETTINGS
    try:
        settings = json.loads(path.read_text())
        missing = {"detector", "hyperparameters", "image_size", "bits", "thresholds", "map_range"} - settings.keys()
    except FileNotFoundError:
        raise DataError(f"{folder}: no fitted detector here; {SETTINGS} is missing") from None
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: not the settings of a fitted detector ({error})") from None
    if missing:
        raise DataError(f"{path}: not the settings of a fitted detector; {', '.join(sorted(missing))} missing")
    return settings


def load_detector(folder: str | Path, **execution: str | int) -> Detector:
    """The fitted detector; `execution` may set `device` and `batch_size`."""
    settings = read_settings(folder)
    return create(settings["detector"], **settings["hyperparameters"], **execution).load(Path(folder) / STATE)


def read_scores(folder: str | Path) -> pd.DataFrame:
    """split, name, label, defect, score, anomalous of validation and test images."""
    path = Path(folder) / SCORES
    text = {"name": str, "defect": str}
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"score": ["nan"]}, encoding_errors=ODD_NAMES)


def read_maps(folder: str | Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """The test images' maps (H, W) float32 by image name; all, or those of `names`."""
    with np.load(Path(folder) / MAPS) as arrays:
        return {name: arrays[name] for name in (arrays.files if names is None else names)}


def read_training(folder: str | Path) -> pd.DataFrame:
    """phase, step, loss; without rows where no weights are learned."""
    path = Path(folder) / TRAINING
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["phase", "step", "loss"])
