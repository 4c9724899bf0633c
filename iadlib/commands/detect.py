"""Fit a detector to a category, score its test images, and judge the scores where there are anomalous images."""

from pathlib import Path

import pandas as pd

from iadlib import results
from iadlib.commands.fit import FitSettings, describe_threshold, fit_one, load_images, require_normal_images, write
from iadlib.commands.judge import judge_runs
from iadlib.commands.score import picture_name
from iadlib.data import Category, load_category, read_image
from iadlib.detectors import DETECTORS, create
from iadlib.figures.pictures import heat_map_picture
from iadlib.files import require_new, whole_file, whole_folder, write_json
from iadlib.metrics.report import OVERALL, PER_KIND
from iadlib.progress import track
from iadlib.types import Prediction


def detect(
    data: str | Path,
    detector: str | None,
    out: str | Path,
    settings: FitSettings | None = None,
    bits: int | None = None,
) -> tuple[pd.DataFrame, dict | None]:
    """The test images' scores, highest first, and the metrics, None where no test image is anomalous.

    `out` becomes the folder of the fitted detector, as `fit` writes it, with metrics.json and a picture of every test
    image below pictures/. Of several seeds the first is used.
    """
    settings, detector = settings or FitSettings(), detector or next(iter(DETECTORS))
    out = require_new(out)
    create(detector, **settings.hyperparameters)  # refuses wrong names and values before any image is read
    category = load_category(data, bits=bits)
    require_normal_images(category)
    category.require("test")
    print(category.summary())
    seed = settings.seeds[0] if settings.seeds else 0
    with whole_folder(out) as folder:
        images = load_images(category, detector, settings.image_size)
        fitted = fit_one(category, images, detector, settings, seed)
        write(folder, category, fitted)
        print(describe_threshold(fitted.settings))
        metrics = None
        if (category.of("test")["label"] != "good").any():
            metrics = judge_runs(category, [folder])
            write_json(folder / "metrics.json", metrics)
        save_pictures(folder / "pictures", category, fitted.test, fitted.settings)
        table = results.read_scores(folder)
    table = table[table["split"] == "test"].drop(columns="split")
    return table.sort_values("score", ascending=False, kind="stable"), metrics


def save_pictures(folder: Path, category: Category, test: Prediction, settings: dict) -> None:
    """Every test image with its ground truth outlined, beside its map, as a JPEG named after the image."""
    samples = category.of("test")
    for i in track(range(len(samples)), "pictures"):
        heading = f"{samples['name'][i]}: {test.scores[i]:.4g}"
        image = read_image(samples["image"][i], category.bits)
        picture = heat_map_picture(image, test.maps[i], category.regions(i), *settings["map_range"], heading)
        with whole_file(folder / picture_name(samples["name"][i])) as unfinished:
            picture.save(unfinished, quality=85)


def format_metrics(metrics: dict) -> str:
    """A table to read: metrics in rows; logical, structural, their mean and overall in columns."""
    columns = ["logical", "structural", "mean", "overall"]
    rows = {
        title: [metrics["mean"].get(f"{name}.{column}") for column in columns]
        for name, title in {**PER_KIND, **OVERALL}.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float).dropna(how="all")
    return table.to_string(float_format="{:.4f}".format, na_rep="-")
