"""The folder of one fitted detector: written by `fit`, read by `score`, `judge`, the ensembles and the notebooks.

    settings.json         detector, hyperparameters, image size, bits, seed, thresholds and how they were set, versions
    detector.safetensors  the learned state
    scores.csv            split, name, label, defect, score, anomalous: validation and test images
    maps.npz              the test images' maps (H, W) float32 by image name, at the detector's image size; only where
                          the detector localises
    training.csv          phase, step, loss; only where weights are learned
    calibration.csv       score, anomalous: validation images and known defects; only where defects were given

This module is the only writer and the only reader of such folders.
"""

import json
import math
import os
import platform
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iadlib.data import Category, DataError
from iadlib.data.errors import Fields, misfits
from iadlib.data.images import DEPTHS
from iadlib.detectors import Detector, create, name_of
from iadlib.files import PARTIAL, write_json
from iadlib.types import Prediction

if TYPE_CHECKING:
    from iadlib.calibration import BoundedSigmoid

SETTINGS, STATE, SCORES, MAPS, TRAINING, CALIBRATION = (
    "settings.json",
    "detector.safetensors",
    "scores.csv",
    "maps.npz",
    "training.csv",
    "calibration.csv",
)
PACKAGES = ("iadlib", "numpy", "torch", "timm")
ODD_NAMES = "surrogateescape"  # how file names that are no valid UTF-8 are written and read
EXACT = "%.9g"  # digits that keep a float32
NEEDED: Fields = {  # in settings.json
    "detector": ("a name", lambda value: isinstance(value, str)),
    "hyperparameters": ("keys with values", lambda value: isinstance(value, dict)),
    "image_size": ("a height and a width", lambda value: _are_numbers(value, 2)),
    "bits": (f"one of {DEPTHS}", lambda value: value in DEPTHS),
    "thresholds": (
        "a finite number `image`, and another `pixel` where there are maps",
        lambda value: isinstance(value, dict) and _is_number(value.get("image")) and _is_number(value.get("pixel", 0)),
    ),
    "map_range": ("two finite numbers, or null", lambda value: value is None or _are_numbers(value, 2)),
}


def settings_of(
    detector: Detector, bits: int, rate: float, thresholds: dict[str, float], validation: Prediction
) -> dict:
    """The content of settings.json.

    `rate` is the share of the normal validation images (or of their pixels) that `thresholds["image"]` (or
    `thresholds["pixel"]`) lets through as anomalous. `bits` is the bit depth of the photographs. `map_range` are the
    ends of the colour scale of heat maps: the median of the validation maps, and a value twice as far above it as their
    largest value; the scale of a map with higher values ends at its highest. None where the detector gives no maps,
    which has no pixel threshold either.
    """
    map_range = None
    if validation.maps is not None:
        middle, largest = float(np.median(validation.maps)), float(validation.maps.max())
        map_range = [middle, 2 * largest - middle]
    return {
        "detector": name_of(detector),
        "hyperparameters": detector.hyperparameters(),
        "image_size": list(detector.image_size_),
        "bits": bits,
        "false_positive_rate": rate,
        "thresholds": {**thresholds, "validation_images": len(validation.scores)},
        "map_range": map_range,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def write(
    folder: Path,
    detector: Detector,
    settings: dict,
    category: Category,
    validation: np.ndarray,
    defects: np.ndarray | None = None,
) -> None:
    """Write all files into an existing, empty `folder`; the caller makes it appear whole (`files.whole_folder`).

    `validation` are the scores of the validation images, `defects` those of known defects, if there are any. The test
    images are scored here, in batches: neither they nor their maps are in memory together.
    """
    detector.save(folder / STATE)
    scores = [validation]

    def maps() -> Iterator[np.ndarray]:
        for images in category.batches("test", detector.image_size_, detector.batch_size):
            prediction = detector.predict(images)
            scores.append(prediction.scores)
            yield from () if prediction.maps is None else prediction.maps

    if detector.localises:
        write_maps(folder, category.of("test")["name"], maps())
    else:
        list(maps())
    splits = [category.of("validation"), category.of("test").assign(defect=category.defects())]
    table = pd.concat(splits, ignore_index=True)[["split", "name", "label", "defect"]]
    table["score"] = np.concatenate(scores)
    table["anomalous"] = table["score"] > settings["thresholds"]["image"]
    table.to_csv(folder / SCORES, index=False, float_format=EXACT, errors=ODD_NAMES)
    if detector.losses:
        phases = [
            pd.DataFrame({"phase": phase, "step": range(1, len(losses) + 1), "loss": losses.numpy()})
            for phase, losses in detector.losses.items()
        ]
        pd.concat(phases).to_csv(folder / TRAINING, index=False, float_format="%.6g")
    if defects is not None:
        known = pd.DataFrame({"score": np.append(validation, defects)})
        known["anomalous"] = np.arange(len(known)) >= len(validation)
        known.to_csv(folder / CALIBRATION, index=False, float_format=EXACT)
    write_json(folder / SETTINGS, settings)


def write_maps(folder: Path, names: Iterable[str], maps: Iterable[np.ndarray]) -> None:
    """Write maps (H, W) by image name, one at a time, as `np.savez` writes arrays."""
    with zipfile.ZipFile(folder / MAPS, "w") as archive:
        for name, heat in zip(names, maps, strict=True):
            with archive.open(f"{_encodable(name)}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, heat)


def find(folder: str | Path) -> list[Path]:
    """The folders of fitted detectors at or below `folder`, sorted by path, seeds in numerical order."""
    folder, found, seen = Path(folder), [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # a link back
            folders.clear()
            continue
        seen.add(real)
        if {SETTINGS, STATE} <= set(files) and not any(part.endswith(PARTIAL) for part in Path(parent).parts):
            found.append(Path(parent))
    if not found:
        raise DataError(f"{folder}: no fitted detector here; `python -m iadlib fit` writes {SETTINGS} and {STATE}")
    return sorted(found, key=lambda path: [(not part.isdigit(), part.zfill(6)) for part in path.parts])


def find_one(folder: str | Path) -> Path:
    """The folder of the one fitted detector at or below `folder`."""
    first, *others = find(folder)
    if others:
        raise DataError(f"{folder}: {len(others) + 1} fitted detectors; name one of them, {first} for example")
    return first


def read_settings(folder: str | Path) -> dict:
    """The content of settings.json."""
    path = Path(folder) / SETTINGS
    try:
        settings = json.loads(path.read_text())
        missing = [name for name in NEEDED if name not in settings]
    except FileNotFoundError:
        raise DataError(f"{folder}: no fitted detector here; {SETTINGS} is missing") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not the settings of a fitted detector ({error})") from None
    if missing:
        raise DataError(f"{path}: not the settings of a fitted detector; {', '.join(missing)} missing")
    for problem in misfits(settings, NEEDED):
        raise DataError(f"{path}: {problem}")
    return settings


def _are_numbers(values: object, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(map(_is_number, values))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def load_detector(folder: str | Path, **execution: str | int) -> Detector:
    """The fitted detector; `execution` may set `device` and `batch_size`."""
    settings = read_settings(folder)
    try:
        detector = create(settings["detector"], **settings["hyperparameters"], **execution)
    except ValueError as error:
        raise DataError(f"{Path(folder) / SETTINGS}: {error}") from error
    return detector.load(Path(folder) / STATE)


def _encodable(name: str) -> str:
    """The name with escapes for what is no valid text, which an archive cannot hold."""
    return name.encode(errors="backslashreplace").decode()


def read_scores(folder: str | Path) -> pd.DataFrame:
    """split, name, label, defect, score, anomalous of validation and test images."""
    path = Path(folder) / SCORES
    how = {"dtype": {"name": str, "defect": str}, "keep_default_na": False, "na_values": {"score": ["nan"]}}
    try:
        return pd.read_csv(path, **how, encoding_errors=ODD_NAMES)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not the scores of a fitted detector ({error}); fit it again") from error


def read_maps(folder: str | Path, names: list[str] | None = None) -> dict[str, np.ndarray] | None:
    """The test images' maps (H, W) float32 by image name; all, or those of `names`.

    None where the detector gives no maps.
    """
    if not (Path(folder) / MAPS).is_file() and read_settings(folder)["map_range"] is None:
        return None
    path = Path(folder) / MAPS
    try:
        with np.load(path) as arrays:
            return {name: arrays[_encodable(name)] for name in (arrays.files if names is None else names)}
    except (KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: incomplete or damaged ({error}); fit the detector again") from error


def read_calibrator(folder: str | Path) -> "BoundedSigmoid | None":
    """The calibrator, fitted to scores of validation images and known defects; None where `fit` was given none."""
    path = Path(folder) / CALIBRATION
    if not path.is_file():
        return None
    from iadlib.calibration import BoundedSigmoid  # imports parts of scipy that nothing else here needs

    try:
        known = pd.read_csv(path)
        return BoundedSigmoid().fit(known["score"], known["anomalous"])
    except (ValueError, KeyError) as error:
        raise DataError(f"{path}: not the scores and labels of a calibration ({error})") from error


def read_training(folder: str | Path) -> pd.DataFrame:
    """phase, step, loss; without rows where no weights are learned."""
    path = Path(folder) / TRAINING
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["phase", "step", "loss"])
