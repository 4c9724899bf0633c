"""Judge anybody's anomaly maps against a category in MVTec LOCO AD layout."""

from pathlib import Path

import numpy as np

from iadlib.data import Category, DataError, load_category
from iadlib.data.maps import read_map
from iadlib.files import require_new, write_json
from iadlib.metrics import flat, format_report, image_report, map_report, resize_maps
from iadlib.metrics.maps import LazyMaps

SETTINGS, MAPS = "settings.json", "maps.npz"  # of the folder that `fit` and `detect` write


def evaluate(dataset: str | Path, maps: str | Path, out: str | Path | None = None) -> None:
    """Print all metrics of maps of the test images; an image's score is its map's maximum.

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
    found = find_maps(Path(maps), category)
    if (Path(maps) / SETTINGS).is_file():
        found = resize_maps(found, sizes)
    kinds, scores = test["label"].to_numpy(), np.empty(len(test), dtype=np.float32)
    known = np.flatnonzero(test["has_mask"] | (kinds == "good"))
    if not len(known):
        raise DataError(f"{dataset}: no test image is good and none has a mask; there is nothing to compare maps with")
    for i, (name, heat, size) in enumerate(zip(test["name"], found, sizes, strict=True)):
        if heat.shape != tuple(size):
            raise DataError(f"{maps}: the map of {name} is {heat.shape}, but the image is {size} (height, width)")
        scores[i] = heat.max()
    regions = [category.regions(i) for i in known]
    known_maps = LazyMaps(len(known), lambda i: found[known[i]])
    report = image_report(scores, kinds) | map_report(known_maps, regions, kinds[known])[0]
    if missing := len(test) - len(known):
        print(f"{missing} defective test images have no mask: they count for image metrics only")
    print(format_report(flat(report)))
    if out is not None:
        plain = {name: {k: None if np.isnan(v) else v for k, v in values.items()} for name, values in report.items()}
        write_json(out, plain)
        print(f"written to {out}")


def find_maps(source: Path, category: Category) -> LazyMaps:
    """The map of every test image, in their order.

    A folder may be that of `good/000.tiff`, the one above `test/`, or the one above CATEGORY/test/, as the data set's
    own evaluation code takes it.
    """
    names = list(category.of("test")["name"])
    folders = [source, source / "test", source / category.name / "test"]
    if (source / MAPS).is_file():
        place = source / MAPS
    elif source.suffix.lower() == ".npz":
        place = source
    elif (source / SETTINGS).is_file():
        raise DataError(f"{source}: no {MAPS} beside {SETTINGS}; this fitted detector gives no maps")
    elif found := [each for each in folders if any((each / name.split("/")[0]).is_dir() for name in names)]:
        place = found[0]
    else:
        looked = ", ".join(f"{folder / names[0]}.tiff" for folder in folders)
        raise DataError(f"{source}: no anomaly maps found; looked for {looked}, and for an .npz file")
    return LazyMaps(len(names), lambda i: read_map(place, names[i]))
