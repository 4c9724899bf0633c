"""Fit a detector to photographs of good parts, and keep what it has learned together with the scores that it gives."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from iadlib import results
from iadlib.data import Category, DataError, fit_size, load_category
from iadlib.detectors import DETECTORS, create, detector_class
from iadlib.detectors.base import Detector
from iadlib.files import require_new, whole_folder
from iadlib.metrics import alarm_interval, threshold_from_normals
from iadlib.parallel import in_parallel
from iadlib.types import Prediction


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What a params file may say about a fit; None means the class's own image size, and seed 0 without a folder."""

    image_size: int | tuple[int, int] | None = None  # n for about n x n pixels at the photographs' aspect ratio
    hyperparameters: dict = field(default_factory=dict)
    seeds: tuple[int, ...] | None = None
    false_positive_rate: float = 0.05  # share of the normal validation images above the threshold

    def __post_init__(self):
        if not 0 < self.false_positive_rate < 1:
            raise ValueError(f"false_positive_rate {self.false_positive_rate}: a share, above 0 and below 1")
        if self.seeds is not None and (not self.seeds or len(set(self.seeds)) < len(self.seeds)):
            raise ValueError(f"seeds {list(self.seeds)}: one or more different numbers")


class Fitted(NamedTuple):
    """One fitted detector, its settings as in settings.json, and its predictions."""

    detector: Detector
    settings: dict
    validation: Prediction
    test: Prediction


def fit(
    data: Sequence[str | Path],
    detector: str | None,
    out: str | Path,
    settings: FitSettings | None = None,
    bits: int | None = None,
) -> list[Path]:
    """Fit `detector` to every folder of `data` with every seed, and return the folders of the fitted detectors.

    A folder is a category in any layout, or holds photographs of good parts alone. `out` becomes the folder of the
    fitted detector; with several folders of data it holds one folder for each, by their names, and where `seeds` are
    named one for each seed, below them. `bits` is the depth of the camera where photographs of 16 bit do not tell.
    Detectors are fitted side by side, one thread each.
    """
    settings, detector = settings or FitSettings(), detector or next(iter(DETECTORS))
    out = require_new(out)
    create(detector, **settings.hyperparameters)  # refuses wrong names and values before any image is read
    categories = [load_category(folder, bits=bits) for folder in data]
    names = [category.name for category in categories]
    if len(set(names)) < len(names):
        raise ValueError(f"{', '.join(names)}: folders of data need different names, since results are filed by them")
    for category in categories:
        require_normal_images(category)
        print(category.summary())
    seeds = settings.seeds or (0,)
    places = {
        (category, seed): Path(*[category.name] * (len(data) > 1), *[str(seed)] * (settings.seeds is not None))
        for category in categories
        for seed in seeds
    }
    with whole_folder(out) as folder:
        loaded = {category: load_images(category, detector, settings.image_size) for category in categories}

        def fit_into(category: Category, seed: int) -> str:
            fitted = fit_one(category, loaded[category], detector, settings, seed)
            place = folder / places[category, seed]
            place.mkdir(parents=True, exist_ok=True)
            write(place, category, fitted)
            return describe_threshold(fitted.settings)

        started = time.monotonic()
        sentences = in_parallel(fit_into, places, f"fitting {detector}")
        seconds = time.monotonic() - started
    for (category, seed), sentence in zip(places, sentences, strict=True):
        name = detector_class(detector).title
        print(f"{name} on {category.name}, seed {seed}: {sentence}")
    print(f"{len(places)} fitted in {seconds:.0f} s, in {out}")
    return [out / place for place in places.values()]


def require_normal_images(category: Category) -> None:
    """Raise `DataError` without images to train with and to set a threshold with."""
    category.require("train")
    if category.of("validation").empty:
        raise DataError(
            f"{category.root}: a single photograph of a good part; two or more are needed, one of them for a threshold"
        )


def load_images(category: Category, detector: str, image_size: int | Sequence[int] | None) -> dict[str, Tensor]:
    """The images (N, 3, H, W) of every split that has some, at the size that the detector is to work at."""
    size = fit_size(category.sizes(), detector_class(detector).image_size if image_size is None else image_size)
    present = [split for split in ("train", "validation", "test") if not category.of(split).empty]
    return {split: category.images(split, size) for split in present}


def fit_one(category: Category, images: dict[str, Tensor], detector: str, settings: FitSettings, seed: int) -> Fitted:
    """Fit with one seed, predict validation and test images, and set the thresholds from the validation images."""
    fitted = create(detector, **settings.hyperparameters, seed=seed).fit(images["train"], images["validation"])
    validation = fitted.predict(images["validation"])
    test = (
        fitted.predict(images["test"]) if "test" in images else Prediction(validation.scores[:0], validation.maps[:0])
    )
    rate = settings.false_positive_rate
    thresholds = {
        "image": float(threshold_from_normals(validation.scores, rate)),
        "pixel": float(threshold_from_normals(validation.maps, rate)),
    }
    described = results.settings_of(fitted, category.bits, rate, thresholds, validation)
    return Fitted(fitted, described, validation, test)


def write(folder: Path, category: Category, fitted: Fitted) -> None:
    """Write the files of one fitted detector into an existing folder."""
    predictions = {"validation": fitted.validation} | ({"test": fitted.test} if len(fitted.test.scores) else {})
    scores = results.scores_table(category, predictions, fitted.settings["thresholds"]["image"])
    maps: dict[str, np.ndarray] = dict(zip(category.of("test")["name"], fitted.test.maps, strict=True))
    results.write(folder, fitted.detector, fitted.settings, scores, maps)


def describe_threshold(settings: dict) -> str:
    """The image threshold and what it rests on, as one sentence."""
    rate, thresholds = settings["false_positive_rate"], settings["thresholds"]
    count = thresholds["validation_images"]
    low, high = alarm_interval(count, rate)
    return (
        f"threshold {thresholds['image']:.4g}: about {100 * rate:.3g} of 100 good parts would be alarms; it rests on "
        f"{count} validation image{'s' * (count != 1)}, so between {100 * low:.0f} and {100 * high:.0f}"
    )
