"""What a category holds, for people: numbers of images, examples of its anomalies, areas of its regions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iadlib.data.category import SPLITS, Category
from iadlib.data.description import KINDS
from iadlib.data.images import read_image
from iadlib.types import Region


def counts(category: Category) -> pd.DataFrame:
    """The number of images of each split, by label."""
    table = category.samples.groupby(["split", "label"]).size().unstack(fill_value=0)
    return table.reindex(index=SPLITS, columns=["good", *KINDS], fill_value=0)


def anomaly_kinds(category: Category) -> list[str]:
    """The kinds of anomaly among the test images; prints one line if there are none."""
    kinds = [kind for kind in KINDS if kind in set(category.of("test")["label"])]
    if not kinds:
        print(f"{category.name}: no anomalies among the {len(category.of('test'))} test images; none are shown.")
    return kinds


def spread(values: Sequence, count: int) -> list:
    """Up to `count` of the values, the first and the last among them, evenly spaced."""
    return [values[i] for i in np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).astype(int))]


def normal_examples(category: Category, count: int = 6) -> tuple[list[np.ndarray], list[str]]:
    """Images and titles for `figures.image_grid`, spread over the normal images of the first split that has some."""
    normal = category.samples[category.samples["label"] == "good"]
    samples = normal[normal["split"] == normal["split"].iloc[0]]
    return [read_image(path) for path in spread(list(samples["image"]), count)], spread(list(samples["name"]), count)


def anomalous_examples(
    category: Category, kind: str, per_defect: int = 2
) -> tuple[list[np.ndarray], list[str], list[list[Region]]]:
    """Images, titles and regions for `figures.image_grid`: the first images of every defect of one kind."""
    samples = category.of("test").assign(defect=category.defects())
    chosen = samples[samples["label"] == kind].groupby("defect").head(per_defect).sort_values("defect", kind="stable")
    titles = [name.replace("_", " ") for name in chosen["defect"]]
    return [read_image(path) for path in chosen["image"]], titles, [category.regions(i) for i in chosen.index]


def regions_of(category: Category) -> list[tuple[int, Region]]:
    """All ground-truth regions, each with the index of its test image."""
    return [(i, region) for i in range(len(category.of("test"))) for region in category.regions(i)]


def region_areas(category: Category) -> pd.DataFrame:
    """By defect, in pixels: the number of regions, their areas and saturation areas; prints one line without any."""
    rows = [(each.defect_name.replace("_", " "), each.area, each.saturation_area) for _, each in regions_of(category)]
    if not rows:
        print(f"{category.name}: no ground-truth regions; tables and figures of areas are left out.")
    areas = pd.DataFrame(rows, columns=["defect", "area", "saturation_area"])
    grouped = areas.groupby("defect").agg(["size", "min", "median", "max"]).astype(int)
    table = grouped["area"].set_axis(["regions", "smallest area", "median area", "largest area"], axis=1)
    return table.assign(**{"median saturation area": grouped["saturation_area", "median"]})
