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


def normal_examples(category: Category, count: int = 6) -> tuple[list[np.ndarray], list[str]]:
    """Images and titles for `figures.image_grid`, spread over the normal images of the first split that has some."""
    normal = category.samples[category.samples["label"] == "good"]
    samples = normal[normal["split"] == normal["split"].iloc[0]]
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int))
    return [read_image(samples["image"].iloc[i]) for i in chosen], [samples["name"].iloc[i] for i in chosen]


def anomalous_examples(
    category: Category, kind: str, per_defect: int = 2
) -> tuple[list[np.ndarray], list[str], list[list[Region]]]:
    """Images, titles and regions for `figures.image_grid`: the first images of every defect of one kind."""
    samples = category.of("test").assign(defect=category.defects())
    chosen = samples[samples["label"] == kind].groupby("defect").head(per_defect).sort_values("defect", kind="stable")
    return (
        [read_image(path) for path in chosen["image"]],
        [spaced(defect) for defect in chosen["defect"]],
        [category.regions(i) for i in chosen.index],
    )


def region_areas(category: Category) -> pd.DataFrame:
    """One row for each ground-truth region: its defect, its area and its saturation area in pixels.

    Prints one line if there are none.
    """
    regions = [region for i in range(len(category.of("test"))) for region in category.regions(i)]
    if not regions:
        print(f"{category.name}: no ground-truth regions; tables and figures of areas are left out.")
    return pd.DataFrame(
        {
            "defect": [spaced(region.defect_name) for region in regions],
            "area": [int(region.mask.sum()) for region in regions],
            "saturation_area": [region.saturation_area for region in regions],
        }
    )


def area_summary(areas: pd.DataFrame) -> pd.DataFrame:
    """`region_areas` by defect."""
    grouped = areas.groupby("defect").agg(["size", "min", "median", "max"]).astype(int)
    table = grouped["area"].set_axis(["regions", "smallest area", "median area", "largest area"], axis=1)
    return table.assign(**{"median saturation area": grouped["saturation_area", "median"]})


def saturation_steps(category: Category) -> tuple[np.ndarray, Region, list[np.ndarray], pd.DataFrame]:
    """For `figures.saturation_steps`: the region with the smallest saturation area for its area, marked in steps."""
    regions = [(i, region) for i in range(len(category.of("test"))) for region in category.regions(i)]
    i, region = min(regions, key=lambda item: item[1].saturation_area / item[1].mask.sum())
    marks = growing_marks(region, [region.saturation_area * share for share in (0.25, 0.5, 1)] + [region.mask.sum()])
    return read_image(category.of("test")["image"].iloc[i]), region, marks, saturation_table(region)


def maps_figure(category: Category | None, folders: dict[str, Path], names: Sequence[str]) -> Figure | None:
    """Some test images, each beside its map of every fitted detector that gives maps; None where there is none.

    `folders` are those of fitted detectors, by the names above their columns.
    """
    if category is None or not folders or not names:
        return None
    from iadlib.results import read_maps  # imports torch

    samples = category.of("test").assign(defect=category.defects(), position=range(len(category.of("test"))))
    samples = samples.set_index("name").loc[list(names)]
    found = {titled(column): read_maps(folder, list(names)) for column, folder in folders.items()}
    maps = {column: of_images for column, of_images in found.items() if of_images is not None}
    if without := [column for column in found if column not in maps]:
        print(f"{', '.join(without)}: no maps, since the method cannot say where an anomaly is")
    if not maps:
        return None
    return figures.maps_by_detector(
        [read_image(path) for path in samples["image"]],
        {column: [of_images[name] for name in names] for column, of_images in maps.items()},
        [category.regions(i) for i in samples["position"]],
        [f"{spaced(row.defect)} ({row.Index})" for row in samples.itertuples()],
    )
