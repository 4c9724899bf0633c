"""Glue for the notebooks: from a folder of images to a cell of the study, and from all cells to tables.

One cell is one detector on one category, over several seeds. `run` fits and predicts, `judge` measures, `save_cell`
writes what later notebooks read, `gather` reads it back. No mathematics here.

Paths are relative to the repository, whatever folder a notebook runs in.
"""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from iadlib.data import Category, DataError, fit_size, image_sizes, load_category, load_images
from iadlib.detectors import Detector, create
from iadlib.metrics import evaluate_maps, threshold_from_normals, threshold_metrics
from iadlib.progress import track
from iadlib.types import Prediction, Region

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "source.json"


@dataclass(frozen=True, eq=False)
class Run:
    """One detector, fitted with one seed, and what it says of the normal validation images and of the test images."""

    seed: int
    detector: Detector
    validation: Prediction
    test: Prediction
    fit_seconds: float
    predict_seconds: float


def open_category(data: str | Path) -> Category:
    """The category in a folder of images, or in the folder that a `source.json` there refers to."""
    folder = ROOT / data
    if (folder / REFERENCE).is_file():
        folder = ROOT / json.loads((folder / REFERENCE).read_text())["folder"]
    return load_category(folder)


def refer(folder: str | Path, outs: Sequence[str | Path]) -> Category:
    """Check every file of a folder of photographs, then note in each of `outs` where it lies."""
    category = load_category(ROOT / folder)
    category.check()
    counts = category.samples.groupby(["split", "label"]).size()
    content = {
        "folder": str(folder),
        "layout": category.layout,
        "images": {f"{split}/{label}": int(count) for (split, label), count in counts.items()},
    }
    for out in outs:
        with _whole_folder(ROOT / out) as unfinished:
            _write_json(unfinished / REFERENCE, content)
    return category


def images_of(category: Category, split: str, image_size: int | Sequence[int]) -> Tensor:
    """Images (N, 3, H, W) in [0, 1] of one split; one size for all splits of the category."""
    size = fit_size(image_sizes(category.samples["image"]), image_size)
    return load_images(category.of(split)["image"], size)


def run(
    method: str, hyperparameters: dict, category: Category, image_size: int | Sequence[int], seeds: Sequence[int]
) -> list[Run]:
    """Fit and predict once a seed."""
    train, validation, test = (images_of(category, split, image_size) for split in ("train", "validation", "test"))
    for split, images in {"train": train, "validation": validation, "test": test}.items():
        if not len(images):
            raise DataError(f"{category.root}: a detector needs {split} images, and there are none")
    runs = []
    for seed in track(seeds, f"{method} on {category.name}: seeds"):
        detector = create(method, **hyperparameters, seed=seed)
        started = time.perf_counter()
        detector.fit(train, validation)
        fitted = time.perf_counter()
        predicted = detector.predict(test)
        done = time.perf_counter()
        runs.append(Run(seed, detector, detector.predict(validation), predicted, fitted - started, done - fitted))
    return runs


def maps_and_regions(category: Category, maps: np.ndarray) -> tuple[list[np.ndarray], list[list[Region]]]:
    """Maps (N, H, W) of the test images at each photograph's own size (h, w), and its ground-truth regions."""
    sizes = image_sizes(category.of("test")["image"])
    resized = [
        F.interpolate(torch.from_numpy(m)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
        for m, size in zip(maps, sizes, strict=True)
    ]
    return resized, [category.regions(i) for i in range(len(sizes))]


def judge(category: Category, result: Run, false_positive_rate: float) -> dict:
    """All metrics of one run, as nested dictionaries of floats.

    Thresholds let `false_positive_rate` of the normal validation images, or pixels, through. Images that are known to
    be defective but have no mask count for the image metrics alone.
    """
    test = category.of("test")
    maps, regions = maps_and_regions(category, result.test.maps)
    masked = np.flatnonzero(test["has_mask"] | (test["label"] == "good"))
    labels = (test["label"] != "good").to_numpy(dtype=int)
    image_threshold = threshold_from_normals(result.validation.scores, false_positive_rate)
    pixel_threshold = threshold_from_normals(result.validation.maps, false_positive_rate)
    defective = [
        np.any([region.mask for region in regions[i]], axis=0) if regions[i] else np.zeros(maps[i].shape, dtype=bool)
        for i in masked
    ]
    pixels = np.concatenate([maps[i].ravel() for i in masked]) > pixel_threshold
    return {
        **evaluate_maps([maps[i] for i in masked], [regions[i] for i in masked], list(test["label"].iloc[masked])),
        "image_threshold": threshold_metrics(result.test.scores > image_threshold, labels),
        "pixel_threshold": threshold_metrics(pixels, np.concatenate([mask.ravel() for mask in defective])),
    }


def grid() -> dict:
    """Methods and categories of the study, in the order of the tables."""
    content = yaml.safe_load((ROOT / "params/grid.yaml").read_text())
    return {"methods": content["methods"], "categories": list(content["categories"])}


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write to, that replaces `folder` when all is written."""
    unfinished = folder.with_name(folder.name + ".partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
