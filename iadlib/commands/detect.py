"""Fit a detector to a category, score its test images, and judge the scores where there are anomalous images."""

from pathlib import Path

import pandas as pd

from iadlib import results
from iadlib.commands.fit import FitSettings, describe_threshold, fit_one, require_normal_images, working_size
from iadlib.commands.judge import judge_runs
from iadlib.commands.score import picture_name
from iadlib.data import Category, DataError, load_category, read_image
from iadlib.data.errors import raise_together
from iadlib.detectors import DETECTORS, create, detector_class
from iadlib.figures.pictures import heat_map_picture
from iadlib.files import require_new, whole_file, whole_folder, write_json
from iadlib.metrics import format_report
from iadlib.progress import track


def detect(
    data: str | Path,
    detector: str | None,
    out: str | Path,
    settings: FitSettings | None = None,
    bits: int | None = None,
) -> tuple[pd.DataFrame, dict | None]:
    """The test images' scores, highest first, and the metrics, None where no test image is anomalous; both are printed.

    `out` becomes the folder of the fitted detector, as `fit` writes it, with metrics.json. When it is complete, a
    picture of every test image is added below pictures/, if the detector localises. Of several seeds the first is used.
    """
    settings, detector = settings or FitSettings(), detector or next(iter(DETECTORS))
    out = require_new(out)
    create(detector, **settings.hyperparameters)  # refuses wrong names and values before any image is read
    category = load_category(data, bits=bits)
    require_normal_images(category, detector)
    category.require("test")
    print(category.summary())
    category.check("test")  # refuses bad files before the fit
    size = working_size(category, detector, settings.image_size)
    normal, metrics = [category.images(split, size) for split in ("train", "validation")], None
    with whole_folder(out) as folder:
        described = fit_one(folder, category, *normal, detector, settings, settings.seeds[0] if settings.seeds else 0)
        print(describe_threshold(described))
        if (category.of("test")["label"] != "good").any():
            metrics = judge_runs(category, [folder])
            write_json(folder / "metrics.json", metrics)
    table = results.read_scores(out)
    table = table[table["split"] == "test"].drop(columns="split").sort_values("score", ascending=False, kind="stable")
    print(table.head(10).to_string(index=False))
    print(f"the highest of {len(table)} test images; {table['anomalous'].sum()} are above the threshold")
    if metrics:
        print(f"\n{format_report(metrics['mean'])}\n")
    if described["map_range"] is None:
        title = detector_class(detector).title
        print(f"{title} scores whole images: no maps, no pictures, image metrics only; all results are in {out}")
        return table, metrics
    save_pictures(out, category, described)
    print(f"all scores, maps and pictures are in {out}")
    return table, metrics


def save_pictures(out: Path, category: Category, settings: dict) -> None:
    """Every test image with its ground truth outlined, beside its map, as a JPEG named after the image."""
    scores, problems = results.read_scores(out).query("split == 'test'")["score"], []
    with whole_folder(out / "pictures") as folder:
        for i, score in enumerate(track(scores, "pictures")):
            path, name = category.of("test").loc[i, ["image", "name"]]
            heat = results.read_maps(out, [name])[name]
            try:
                image = read_image(path, category.bits)
            except DataError as error:
                problems.append(str(error))
                continue
            heading = f"{name}: {score:.4g}"
            picture = heat_map_picture(image, heat, category.regions(i), *settings["map_range"], heading)
            with whole_file(folder / picture_name(name)) as unfinished:
                picture.save(unfinished, quality=85)
    if problems:
        raise_together(f"scores and maps are in {out}, but some pictures could not be drawn:", problems)
