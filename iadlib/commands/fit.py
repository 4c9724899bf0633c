"""Fit a detector to photographs of good parts, and keep what it has learned together with the scores that it gives."""

import functools
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from iadlib import results
from iadlib.data import GOOD_FOLDERS, Category, DataError, find_photographs, fit_size, load_category, load_images
from iadlib.data.images import shape_warning
from iadlib.data.photographs import copies
from iadlib.detectors import DETECTORS, create, detector_class
from iadlib.files import require_new, whole_folder
from iadlib.metrics import alarm_interval, expected_alarm_share, threshold_from_normals
from iadlib.parallel import in_parallel

# By so much of the largest score an image's score may change with the images that are computed beside it. With
# histograms it may change by more, since a value that is rounded across a threshold counts elsewhere.
ROUNDING = 1e-5


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
        if "seed" in self.hyperparameters:
            raise ValueError("hyperparameters: seed is not one of them here; give `seeds`, a list, beside them")
        if self.seeds is not None and (not self.seeds or len(set(self.seeds)) < len(self.seeds)):
            raise ValueError(f"seeds {list(self.seeds)}: one or more different numbers")
        if self.seeds is not None and not all(0 <= seed < 2**32 for seed in self.seeds):
            raise ValueError(f"seeds {list(self.seeds)}: 0 or more, and below 2 ** 32")


def fit(
    data: Sequence[str | Path],
    detector: str | None,
    out: str | Path,
    settings: FitSettings | None = None,
    bits: int | None = None,
    defects: str | Path | None = None,
    below: str | Path | None = None,
) -> list[Path]:
    """Fit `detector` to every folder of `data` with every seed, and return the folders of the fitted detectors.

    A folder is a category in any layout, or holds photographs of good parts alone. `out` becomes the folder of the
    fitted detector; with several folders of data it holds one folder for each, by their names, or by their paths below
    the folder `below`. Where `seeds` are named, there is one folder for each seed below them. `bits` is the depth of
    the camera where photographs of 16 bit do not tell. Detectors are fitted side by side, one thread each.

    `defects` is a folder of photographs of defective parts, for one folder of data. No detector is fitted to them; with
    their scores `score` turns scores into probabilities.
    """
    settings, detector = settings or FitSettings(), detector or next(iter(DETECTORS))
    out = require_new(out)
    if defects is not None and len(data) > 1:
        raise ValueError(f"--defects goes with one folder of --data, not with {len(data)}: fit them one by one")
    create(detector, **settings.hyperparameters)  # refuses wrong names and values before any image is read
    categories = [load_category(folder, bits=bits) for folder in data]
    places = places_of(data, [category.name for category in categories], below)
    for category in categories:
        require_normal_images(category, detector)
        print(category.summary())
        category.check("test")  # refuses bad files before the fits
    defective = None
    if defects is not None:
        [category] = categories
        defective = load_defects(defects, category, working_size(category, detector, settings.image_size))
        count, normal = len(defective), len(category.of("validation"))
        print(f"known defects: {count} photographs, beside {normal} normal ones of the validation split")
        print(f"probabilities hold where {count / (count + normal):.0%} of the parts are defective")
    tasks = [
        (place / str(seed) if settings.seeds is not None else place, category, seed)
        for place, category in zip(places, categories, strict=True)
        for seed in settings.seeds or (0,)
    ]

    @functools.lru_cache(maxsize=1)  # of several categories, a process holds the images of one
    def normal_images(category: Category) -> list[Tensor]:
        size = working_size(category, detector, settings.image_size)
        return [category.images(split, size) for split in ("train", "validation")]

    def fit_into(place: Path, category: Category, seed: int) -> str:
        (folder / place).mkdir(parents=True, exist_ok=True)
        fitted = fit_one(folder / place, category, *normal_images(category), detector, settings, seed, defective)
        return describe_threshold(fitted)

    with whole_folder(out) as folder:
        if len(categories) == 1:
            normal_images(categories[0])  # before the processes begin, which share them
        started = time.monotonic()
        sentences = in_parallel(fit_into, tasks, f"fitting {detector}")
        seconds = time.monotonic() - started
    for (place, category, seed), sentence in zip(tasks, sentences, strict=True):
        name = category.name if below is None else place
        print(f"{detector_class(detector).title} on {name}, seed {seed}: {sentence}")
    print(f"{len(tasks)} fitted in {seconds:.0f} s, in {out}")
    return [out / place for place, _, _ in tasks]


def places_of(data: Sequence[str | Path], names: Sequence[str], below: str | Path | None) -> list[Path]:
    """Where the results of each folder of data are filed: by its path below `below`, or else by its name."""
    if below is not None:
        try:
            # Not `resolve`, which would follow links.
            names = [str(Path(os.path.abspath(folder)).relative_to(os.path.abspath(below))) for folder in data]  # noqa: PTH100
        except ValueError as error:
            raise ValueError(f"--below {below}: {error}; name a folder that all folders of data are in") from None
    if len(set(names)) < len(names):
        raise ValueError(
            f"{', '.join(names)}: folders of data need different names, since results are filed by them; "
            "or name with --below a folder that all are in"
        )
    return [Path() if below is None and len(names) == 1 else Path(name) for name in names]


def require_normal_images(category: Category, detector: str) -> None:
    """Raise `DataError` without images to train the detector with and to set a threshold with."""
    category.require("train")
    least, train = detector_class(detector).least_images, len(category.of("train"))
    if train < least or category.of("validation").empty:
        count = train + len(category.of("validation"))
        raise DataError(
            f"{category.root}: {count} photograph{'s' * (count != 1)} of good parts; {detector_class(detector).title} "
            f"needs {least + 1} or more, one of them for a threshold"
        )


def load_defects(folder: str | Path, category: Category, size: tuple[int, int]) -> Tensor:
    """Photographs (N, 3, H, W) of defective parts; a `DataError` if one of them is a good part."""
    files = find_photographs(folder)
    if good := [file for file in files if {*GOOD_FOLDERS} & {part.lower() for part in below(file, folder)}]:
        raise DataError(f"{good[0]}: given as a defect, but its folder is one of good parts")
    normal = [path for split in ("train", "validation") for path in category.of(split)["image"]]
    same = copies([*normal, *files])
    for file in files:
        if (good := same.get(file, file)) in normal:
            raise DataError(f"{file}: given as a defect, but it is the good part {good}, or a copy of it")
        if file in same:
            print(f"warning: {file}: a copy of {same[file]}, which counts twice", file=sys.stderr)
    if warning := shape_warning(files, np.median(category.sizes(), axis=0)):
        print(f"warning: {warning}", file=sys.stderr)
    return load_images(files, size, category.bits)


def below(file: Path, folder: str | Path) -> tuple[str, ...]:
    """The names of the folders between a file and a folder, () where it is not below it."""
    return file.relative_to(folder).parts[:-1] if file.is_relative_to(folder) else ()


def working_size(category: Category, detector: str, image_size: int | Sequence[int] | None) -> tuple[int, int]:
    """The (height, width) that photographs are resized to; None means the detector's own size."""
    return fit_size(category.sizes(), detector_class(detector).image_size if image_size is None else image_size)


def fit_one(
    folder: Path,
    category: Category,
    train: Tensor,
    validation: Tensor,
    detector: str,
    settings: FitSettings,
    seed: int,
    defects: Tensor | None = None,
) -> dict:
    """Fit with one seed, set the thresholds from the validation images, and write all files into an existing folder.

    The scores of `defects` are kept for probabilities. Returns the content of settings.json.
    """
    fitted = create(detector, **settings.hyperparameters, seed=seed).fit(train, validation)
    predicted, rate = fitted.predict(validation), settings.false_positive_rate
    rounding = ROUNDING * float(np.abs(predicted.scores).max())
    thresholds = {"image": threshold_from_normals(predicted.scores, rate) + rounding}
    if predicted.maps is not None:
        thresholds["pixel"] = threshold_from_normals(predicted.maps, rate)
    described = results.settings_of(fitted, category.bits, rate, thresholds, predicted)
    defective = None if defects is None else fitted.predict(defects).scores
    if defective is not None and not np.isfinite(defective).all():
        raise ValueError(f"{fitted.title}: the score of a known defect is not finite; no probabilities follow from it")
    results.write(folder, fitted, described, category, predicted.scores, defective)
    return described


def describe_threshold(settings: dict) -> str:
    """The image threshold and what it rests on, as one sentence."""
    rate, thresholds = settings["false_positive_rate"], settings["thresholds"]
    count = thresholds["validation_images"]
    low, high = alarm_interval(count, rate)
    return (
        f"threshold {thresholds['image']:.4g}: of 100 good parts like these, about "
        f"{100 * expected_alarm_share(count, rate):.0f} would be alarms; it rests on {count} validation "
        f"image{'s' * (count != 1)}, so between {100 * low:.0f} and {100 * high:.0f}"
    )
