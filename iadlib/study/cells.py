"""One cell of the study: fit, predict, judge, keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from iadlib.data import Category, fit_size, image_sizes, load_images
from iadlib.detectors import Detector, create
from iadlib.metrics import (
    bootstrap_interval,
    image_auroc,
    image_report,
    map_report,
    threshold_from_normals,
    threshold_report,
)
from iadlib.progress import track
from iadlib.study.folders import ROOT, save_figures, whole_folder, write_json
from iadlib.types import Prediction, Region


@dataclass(frozen=True, eq=False)
class Run:
    """One detector, fitted with one seed, and what it says of the normal validation images and of the test images."""

    seed: int
    detector: Detector
    validation: Prediction
    test: Prediction


def run(
    method: str, hyperparameters: dict, category: Category, image_size: int | Sequence[int], seeds: Sequence[int]
) -> list[Run]:
    """Fit and predict once a seed."""
    category.require("train", "validation", "test")
    size = fit_size(image_sizes(category.samples["image"]), image_size)
    train, validation, test = (
        load_images(category.of(split)["image"], size) for split in ("train", "validation", "test")
    )
    runs = []
    for seed in track(seeds, f"{method} on {category.name}: seeds"):
        detector = create(method, **hyperparameters, seed=seed).fit(train, validation)
        runs.append(Run(seed, detector, detector.predict(validation), detector.predict(test)))
    return runs


def judge_runs(category: Category, runs: Sequence[Run], false_positive_rate: float) -> dict:
    """Metrics of every seed, by dotted names; their mean and standard deviation; intervals of the image AUROCs.

    Thresholds let the share `false_positive_rate` of the normal validation images (or of their pixels) through. The
    standard deviation is the sample's, None for a single seed. Intervals are 95 % percentile bootstraps over the test
    images of the mean over the seeds.
    """
    regions = [category.regions(i) for i in range(len(category.of("test")))]
    seeds = {str(run.seed): _flat(judge(category, run, regions, false_positive_rate)) for run in runs}
    table = pd.DataFrame(seeds, dtype=float)  # metrics x seeds
    kinds = category.of("test")["label"].to_numpy()
    scores = np.stack([run.test.scores for run in runs])  # (seeds, N)
    intervals = {}
    for kind in anomaly_kinds(category):
        chosen = (kinds == kind) | (kinds == "good")
        ends = bootstrap_interval(image_auroc, scores[:, chosen], kinds[chosen] == kind)
        intervals[f"image_auroc.{kind}"] = _plain(dict(zip(("low", "high"), ends, strict=True)))
    return {
        "mean": _plain(table.mean(axis=1)),
        "std": _plain(table.std(axis=1)),
        "interval": intervals,
        "seeds": {seed: _plain(values) for seed, values in seeds.items()},
    }


def judge(category: Category, result: Run, regions: Sequence[list[Region]], false_positive_rate: float) -> dict:
    """All metrics of one run; those of maps at each photograph's own size.

    A defective photograph whose mask is empty counts for the image metrics alone: nobody knows where its defect is.
    The threshold of pixels is taken from maps at the detector's size, before they are resized.
    """
    test = category.of("test")
    kinds = test["label"].to_numpy()
    image_threshold = threshold_from_normals(result.validation.scores, false_positive_rate)
    pixel_threshold = threshold_from_normals(result.validation.maps, false_positive_rate)
    known = np.flatnonzero(test["has_mask"] | (kinds == "good"))
    regions = [regions[i] for i in known]
    maps = maps_at(result.test.maps[known], image_sizes(test["image"].iloc[known]))
    truth = [
        np.any([np.zeros(heat.shape, bool), *(r.mask for r in listed)], axis=0)
        for heat, listed in zip(maps, regions, strict=True)
    ]
    marked = np.concatenate([heat.ravel() > pixel_threshold for heat in maps])
    return {
        **image_report(result.test.scores, kinds),
        **map_report(maps, regions, kinds[known]),
        "at_image_threshold": {
            "threshold": image_threshold,
            **threshold_report(result.test.scores > image_threshold, kinds != "good"),
        },
        "at_pixel_threshold": {
            "threshold": pixel_threshold,
            **threshold_report(marked, np.concatenate([mask.ravel() for mask in truth])),
        },
    }


def maps_at(maps: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Maps (N, H, W), each resized to its photograph's own (height, width)."""
    return [
        F.interpolate(torch.from_numpy(heat)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
        for heat, size in zip(maps, sizes, strict=True)
    ]


def save_cell(
    category: Category,
    runs: Sequence[Run],
    metrics: dict,
    pictures: dict[str, Figure],
    out: str | Path | None,
    artifacts: str | Path | None,
) -> None:
    """Metrics, scores and pictures into the folder `out`; maps and detectors into `artifacts`; None writes nothing."""
    if out is not None:
        with whole_folder(ROOT / out) as folder:
            write_json(folder / "metrics.json", metrics)
            scores_table(category, runs).to_csv(folder / "scores.csv", index=False, float_format="%.6g")
            save_figures(folder, pictures, "jpg")
    if artifacts is not None:
        with whole_folder(ROOT / artifacts) as folder:
            for result in runs:
                save_maps(folder / f"maps-{result.seed}.npz", category, result)
                result.detector.save(folder / f"detector-{result.seed}.safetensors")


def save_maps(path: Path, category: Category, result: Run) -> None:
    """The test images' maps at the photographs' size, by the names under which `python -m iadlib evaluate` looks."""
    test = category.of("test")
    maps = maps_at(result.test.maps, image_sizes(test["image"]))
    np.savez_compressed(path, **dict(zip(test["name"], maps, strict=True)))


def scores_table(category: Category, runs: Sequence[Run]) -> pd.DataFrame:
    """One line an image of validation and test: split, name, label, and its score for every seed."""
    parts = []
    for split in ("validation", "test"):
        part = category.of(split)[["split", "name", "label"]]
        parts.append(part.assign(**{f"score_{result.seed}": getattr(result, split).scores for result in runs}))
    return pd.concat(parts, ignore_index=True)


def anomaly_kinds(category: Category) -> list[str]:
    """Logical, structural, or both: what the test images hold."""
    return [kind for kind in ("logical", "structural") if kind in set(category.of("test")["label"])]


def _flat(report: dict[str, dict[str, float]]) -> dict[str, float]:
    return {f"{name}.{key}": value for name, values in report.items() for key, value in values.items()}


def _plain(values: dict[str, float] | pd.Series) -> dict[str, float | None]:
    """For JSON, which has no NaN; ten digits, so that the last bits of a sum do not show as a change."""
    return {key: None if np.isnan(value) else float(f"{value:.10g}") for key, value in values.items()}
