"""A tiny study on disk: two detectors with two seeds, one category with both kinds and one with structural defects."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from iadlib.study import Study

METHODS = ("patchcore", "padim")
LABELS = {
    "parts": ["good"] * 6 + ["logical"] * 4 + ["structural"] * 4,
    "nuts": ["good"] * 6 + ["structural"] * 4,
}
DEFECTS = {"good": "good", "logical": "missing_hole", "structural": "scratch"}
SHIFTS = {"patchcore": {"good": 0, "logical": 4, "structural": 1}, "padim": {"good": 0, "logical": 1, "structural": 4}}


def metrics(method: str, kinds: set[str]) -> dict:
    """metrics.json with values that depend on the detector."""
    value = 0.9 if method == "patchcore" else 0.6
    mean = {f"image_auroc.{kind}": value for kind in kinds} | {f"au_spro_0.05.{kind}": value / 2 for kind in kinds}
    mean |= {"au_spro_0.05.mean": value / 2, "chance_au_spro_0.05.mean": 0.025, "pixel_auroc.overall": value}
    mean |= {"au_spro_0.05.defect scratch": 0.25, "chance_au_spro_0.05.defect scratch": 0.125}
    mean |= {"at_image_threshold.threshold": 2.0, "at_image_threshold.f1_score": 0.5, "at_image_threshold.recall": 1}
    intervals = {f"image_auroc.{kind}": {"low": value - 0.1, "high": value + 0.1} for kind in kinds}
    seeds = {"0": mean | {"at_image_threshold.threshold": 1.5}, "1": mean | {"at_image_threshold.threshold": 2.5}}
    return {"mean": mean, "std": dict.fromkeys(mean, 0.01), "interval": intervals, "seeds": seeds}


def image_values(category: str, method: str, seed: int, labels: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng([seed, METHODS.index(method)])
    names = [f"{label}/{index:03d}" for index, label in enumerate(labels)]
    table = pd.DataFrame({"name": names, "label": labels, "defect": [DEFECTS[label] for label in labels]})
    table["score"] = [SHIFTS[method][label] for label in labels] + rng.uniform(0, 1, len(labels))
    table["au_spro"] = np.where(table["label"] == "good", np.nan, rng.uniform(0, 1, len(labels)))
    table["regions"] = (table["label"] != "good").astype(int)
    return table.assign(category=category, group="member", entry=method, seed=seed)


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Study:
    root = tmp_path_factory.mktemp("study")
    grid = {"methods": list(METHODS), "categories": list(LABELS), "backgrounds": ["cloth", "mat"]}
    (root / "params").mkdir()
    (root / "params/grid.yaml").write_text(yaml.safe_dump(grid))
    for category, labels in LABELS.items():
        write_benchmark(root / "reports/quick/benchmark" / category, category, labels)
    for ground in grid["backgrounds"]:
        write_masking(root / "reports/quick/masking" / ground)
    return Study("quick", root)


def write_benchmark(folder: Path, category: str, labels: list[str]) -> None:
    for method in METHODS:
        (folder / method).mkdir(parents=True)
        (folder / method / "metrics.json").write_text(json.dumps(metrics(method, set(labels) - {"good"})))
    values = pd.concat([image_values(category, method, seed, labels) for method in METHODS for seed in (0, 1)])
    values.to_csv(folder / "values.csv", index=False)
    scores = values.rename(columns={"entry": "detector"}).assign(split="test")
    validation = scores[scores["label"] == "good"].assign(split="validation")
    columns = ["detector", "seed", "split", "name", "label", "score"]
    pd.concat([validation, scores])[columns].to_csv(folder / "scores.csv", index=False)


def write_masking(folder: Path) -> None:
    """Two detectors, the second with one seed; a radius of 0 lifts the scores of logical anomalies."""
    folder.mkdir(parents=True)
    parts = []
    for method, seeds in zip(METHODS, ((0, 1), (0,)), strict=True):
        for entry, seed in ((entry, seed) for entry in ("none", "0", "8") for seed in seeds):
            table = image_values("ground", method, seed, LABELS["parts"])
            lifted = table["score"] + (5 if entry == "0" else 0) * (table["label"] == "logical")
            parts.append(table.assign(score=lifted, group="radius", entry=entry, detector=method))
    pd.concat(parts).to_csv(folder / "values.csv", index=False)
    pixels = pd.concat(parts).drop_duplicates(["detector", "entry", "seed"])[["detector", "entry", "seed"]]
    pixels = pixels.assign(pixel_auroc=0.75, background=pixels["seed"] / 2 + 0.25, background_area=0.5)
    pixels.to_csv(folder / "pixels.csv", index=False)
