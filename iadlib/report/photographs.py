"""The images of the explorer: some test images of every category, with their ground truth, scores and maps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from iadlib.data import Category, DataError, read_image
from iadlib.explorer import Collection, Photograph, data_uri
from iadlib.figures.pictures import inferno, outlined, size_within
from iadlib.metrics.detection import threshold_from_normals
from iadlib.metrics.entries import FEATURE, MEAN
from iadlib.report.findings import Findings, name_of
from iadlib.study import Study, benchmark, ensemble

COUNT = 40  # test images of a category
LONGER_SIDE = 144  # pixels
QUALITY, MAP_QUALITY = 60, 45  # of WebP
LEVELS = 64  # shades of a map
SEED = 0  # of the choice of images


def collections(findings: Findings) -> list[Collection]:
    """The explorer's photographs, by category; empty without images or scores."""
    found = []
    for name in findings.study.grid["categories"]:
        folder = findings.study.category(name)
        values = findings.values[findings.values["category"] == name]
        if folder is not None and len(values):
            found.append(collection(findings, name, folder, values))
    return found


def collection(findings: Findings, name: str, category: Category, values: pd.DataFrame) -> Collection:
    """Some test images of a category; scores, thresholds and maps are those of the lowest seed of every entry."""
    study, entries = findings.study, list(findings.groups)
    thresholds = {key: value for key, value in thresholds_of(study, name).items() if key in entries}
    entries = [entry for entry in entries if entry in thresholds]
    first = values[values["seed"] == values.groupby("entry")["seed"].transform("min")]
    scores = first.pivot(index="name", columns="entry", values="score")
    samples = category.of("test").assign(defect=category.defects(), position=range(len(category.of("test"))))
    chosen = samples.loc[choice(samples["label"], COUNT)]
    maps = {entry: read(folder, list(chosen["name"])) for entry, folder in folders(study, name, first).items()}
    scales = {entry: scale(found) for entry, found in maps.items() if found}
    images = []
    for sample in chosen.itertuples():
        image = read_image(sample.image)
        pictures = {"photograph": data_uri(Image.fromarray(image), LONGER_SIDE, QUALITY)}
        size = size_within(image.shape, LONGER_SIDE, LONGER_SIDE)
        if sample.label != "good":
            small = np.asarray(Image.fromarray(image).convert("RGB").resize(size))
            truth = Image.fromarray(outlined(small, category.regions(sample.position)))
            pictures["ground truth"] = data_uri(truth, LONGER_SIDE, QUALITY)
        for entry, (low, high) in scales.items():
            pictures[name_of(entry)] = map_picture(maps[entry][sample.name], size, low, high)
        found = {name_of(entry): round(float(scores.loc[sample.name, entry]), 6) for entry in entries}
        images.append(
            Photograph(sample.name, pictures, found, sample.label, None if sample.label == "good" else sample.defect)
        )
    titles = {name_of(entry): thresholds[entry] for entry in entries}
    return Collection(name, list(titles), titles, images, [name_of(entry) for entry in shown_first(findings, entries)])


def choice(labels: pd.Series, count: int) -> list[int]:
    """Up to `count` places, as many of every label as possible, drawn without a look at scores."""
    rng, kinds = np.random.default_rng(SEED), list(dict.fromkeys(labels))
    drawn = {kind: list(rng.permutation(np.flatnonzero(labels == kind))) for kind in kinds}
    order = [place for round_ in range(len(labels)) for kind in kinds for place in drawn[kind][round_ : round_ + 1]]
    return sorted(order[:count])


def shown_first(findings: Findings, entries: list[str]) -> list[str]:
    """The reference, the best detector on logical anomalies, and the feature ensemble."""
    rows = findings.main[(findings.main["metric"] == "image AUROC") & (findings.main["group"] == "member")]
    best = [rows.loc[part["value"].idxmax(), "entry"] for _, part in rows.groupby("kind")]
    names = {name_of(findings.reference), *best, name_of(FEATURE)}
    return [entry for entry in entries if name_of(entry) in names]


def thresholds_of(study: Study, category: str) -> dict[str, float]:
    """The image threshold of the lowest seed of every entry, from normal validation images."""
    first = benchmark.first_seeds(benchmark.seeds_of(study, category))
    found = dict(zip(first["method"], first["threshold"], strict=True))
    scores = ensemble.read(study, "scores", [category])
    for entry, part in scores[scores["split"] == "validation"].groupby("entry", sort=False):
        found[entry] = threshold_from_normals(part.loc[part["seed"] == part["seed"].min(), "score"])
    return found


def folders(study: Study, category: str, first: pd.DataFrame) -> dict[str, Path]:
    """The folders with the maps of the entries, as far as they exist."""
    seeds = dict(zip(first["entry"], first["seed"], strict=True))
    paths = {entry: study.artifacts / f"benchmark/{category}/{entry}/{seed}" for entry, seed in seeds.items()}
    for entry in (MEAN, FEATURE):
        paths[entry] = study.artifacts / f"ensemble/{category}/{entry.replace(' ', '_')}"
    return {entry: path for entry, path in paths.items() if entry in seeds and path.is_dir()}


def read(folder: Path, names: list[str]) -> Mapping[str, np.ndarray]:
    """The maps by image; empty where the entry has none."""
    from iadlib.results import MAPS, read_maps  # imports torch

    try:
        return (read_maps(folder, names) or {}) if (folder / MAPS).is_file() else {}
    except DataError as error:  # of another version of the images
        print(error)
        return {}


def scale(maps: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The ends of the colour scale: the median of all maps, and their highest thousandth."""
    values = np.concatenate([heat.ravel() for heat in maps.values()])
    return float(np.median(values)), float(np.quantile(values, 0.999))


def map_picture(heat: np.ndarray, size: tuple[int, int], low: float, high: float) -> str:
    """A map in the colours of heat maps, as large as the photograph beside it."""
    coloured = Image.fromarray(inferno(heat.astype(np.float32), low, high, LEVELS))
    return data_uri(coloured.resize(size, Image.Resampling.BILINEAR), LONGER_SIDE, MAP_QUALITY)
