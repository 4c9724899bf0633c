"""The images and titles that the notebooks show."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from iadlib import figures
from iadlib.data import Category, read_image
from iadlib.metrics import KINDS
from iadlib.metrics.saturation import growing_marks, saturation_table
from iadlib.study.reports import spaced, titled
from iadlib.types import Region

SPLITS = ("train", "validation", "test")


def about(category: Category) -> Markdown:
    """The README.md in the folder of the category."""
    readme = category.root / "README.md"
    return Markdown(readme.read_text() if readme.is_file() else f"`{category.name}` comes without a description.")


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
    images, titles = [read_image(path) for path in chosen["image"]], [spaced(defect) for defect in chosen["defect"]]
    return images, titles, [category.regions(i) for i in chosen.index]


def regions_of(category: Category) -> list[tuple[int, Region]]:
    """All ground-truth regions, each with the index of its test image."""
    return [(i, region) for i in range(len(category.of("test"))) for region in category.regions(i)]


def region_areas(category: Category) -> pd.DataFrame:
    """One row for each ground-truth region: its defect, its area and its saturation area in pixels.

    Prints one line if there are none.
    """
    rows = [(spaced(each.defect_name), each.area, each.saturation_area) for _, each in regions_of(category)]
    if not rows:
        print(f"{category.name}: no ground-truth regions; tables and figures of areas are left out.")
    return pd.DataFrame(rows, columns=["defect", "area", "saturation_area"])


def area_summary(areas: pd.DataFrame) -> pd.DataFrame:
    """`region_areas` by defect."""
    grouped = areas.groupby("defect").agg(["size", "min", "median", "max"]).astype(int)
    table = grouped["area"].set_axis(["regions", "smallest area", "median area", "largest area"], axis=1)
    return table.assign(**{"median saturation area": grouped["saturation_area", "median"]})


def saturation_steps(category: Category) -> tuple[np.ndarray, Region, list[np.ndarray], pd.DataFrame]:
    """For `figures.saturation_steps`: the region with the smallest saturation area for its area, marked in steps."""
    i, region = min(regions_of(category), key=lambda each: each[1].saturation_area / each[1].area)
    marks = growing_marks(region, [region.saturation_area * share for share in (0.25, 0.5, 1)] + [region.area])
    return read_image(category.of("test")["image"].iloc[i]), region, marks, saturation_table(region)


def maps_figure(category: Category | None, folders: dict[str, Path], names: Sequence[str]) -> Figure | None:
    """Some test images, each beside its map of every fitted detector; None without category, detectors or names.

    `folders` are those of fitted detectors, by the names above their columns.
    """
    if category is None or not folders or not names:
        return None
    from iadlib.results import read_maps  # imports torch

    samples = category.of("test").assign(defect=category.defects(), position=range(len(category.of("test"))))
    samples = samples.set_index("name").loc[list(names)]
    maps = {titled(column): list(read_maps(folder, list(names)).values()) for column, folder in folders.items()}
    images, regions = [read_image(path) for path in samples["image"]], map(category.regions, samples["position"])
    titles = [f"{spaced(row.defect)} ({row.Index})" for row in samples.itertuples()]
    return figures.maps_by_detector(images, maps, list(regions), titles)
