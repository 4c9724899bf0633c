"""Judge anybody's anomaly maps against a category in MVTec LOCO AD layout."""

from pathlib import Path

import numpy as np

from iadlib.data import Category, DataError, load_category, read_map
from iadlib.files import require_new, write_json
from iadlib.metrics import evaluate_maps, image_report, resize_maps

SETTINGS, MAPS = "settings.json", "maps.npz"  # of the folder that `fit` and `detect` write


def evaluate(dataset: str | Path, maps: str | Path, out: str | Path | None = None) -> dict:
    """All metrics of maps of the test images; an image's score is its map's maximum.

    `maps` is an .npz with an array for every test image (good/000, logical_anomalies/000, …), a folder of TIFF files
    with these names, or the folder of a fitted detector, whose maps are resized to the photographs. `out` is a new JSON
    file to write. Defective images without a mask count for image metrics only.
    """
    if out is not None:
        require_new(out)
    category = load_category(dataset)
    if category.layout != "mvtec_loco":
        raise DataError(
            f"{dataset}: a category in MVTec LOCO AD layout is needed, this one is in {category.layout} layout"
        )
    category.require("test")
    test, sizes = category.of("test"), category.sizes("test")
    found = read_maps(Path(maps), category)
    if (Path(maps) / SETTINGS).is_file():
        found = resize_maps(found, sizes)
    for name, heat, size in zip(test["name"], found, sizes, strict=True):
        if heat.shape != tuple(size):
            raise DataError(f"{maps}: the map of {name} is {heat.shape}, but the image is {size} (height, width)")
    kinds = test["label"].to_numpy()
    known = np.flatnonzero(test["has_mask"] | (kinds == "good"))
    if not len(known):
        raise DataError(f"{dataset}: no test image is good and none has a mask; there is nothing to compare maps with")
    report = evaluate_maps([found[i] for i in known], [category.regions(i) for i in known], kinds[known])
    if missing := len(test) - len(known):
        print(f"{missing} defective test images have no mask: they count for image metrics only")
        of_images = image_report([heat.max() for heat in found], kinds)
        report |= {
            name: {kind: None if np.isnan(value) else value for kind, value in values.items()}
            for name, values in of_images.items()
        }
    if out is not None:
        write_json(out, report)
    return report


def read_maps(source: Path, category: Category) -> list[np.ndarray]:
    """One map (H, W) float32 for every test image, in their order.

    A folder may be that of `good/000.tiff`, the one above `test/`, or the one above CATEGORY/test/, as the data set's
    own evaluation code takes it.
    """
    names = list(category.of("test")["name"])
    if (source / MAPS).is_file():
        source = source / MAPS
    if source.suffix.lower() == ".npz":
        return [read_map(source, name) for name in names]
    folders = [source, source / "test", source / category.name / "test"]
    folder = next((folder for folder in folders if any((folder / name.split("/")[0]).is_dir() for name in names)), None)
    if folder is None:
        looked = ", ".join(f"{folder / names[0]}.tiff" for folder in folders)
        raise DataError(f"{source}: no anomaly maps found; looked for {looked}, and for an .npz file")
    return [read_map(folder, name) for name in names]
