"""The images and titles that the notebooks show."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from iadlib import figures
from iadlib.data import Category, read_image
from iadlib.data.examples import regions_of
from iadlib.figures.text import spaced, titled
from iadlib.metrics.saturation import growing_marks, saturation_table
from iadlib.types import Region


def about(category: Category) -> Markdown:
    """The README.md in the folder of the category, with its name as words in the heading."""
    readme = category.root / "README.md"
    if not readme.is_file():
        return Markdown(f"The category {spaced(category.name)} comes without a description.")
    first, line_break, rest = readme.read_text().partition("\n")
    return Markdown(spaced(first) + line_break + rest)


def saturation_steps(category: Category) -> tuple[np.ndarray, Region, list[np.ndarray], pd.DataFrame]:
    """For `figures.saturation_steps`: the region with the smallest saturation area for its area, marked in steps."""
    i, region = min(regions_of(category), key=lambda each: each[1].saturation_area / each[1].area)
    marks = growing_marks(region, [region.saturation_area * share for share in (0.25, 0.5, 1)] + [region.area])
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
    maps = {column: list(of_images.values()) for column, of_images in found.items() if of_images is not None}
    if without := [column for column in found if column not in maps]:
        print(f"{', '.join(without)}: no maps, since the method cannot say where an anomaly is")
    if not maps:
        return None
    images, regions = [read_image(path) for path in samples["image"]], map(category.regions, samples["position"])
    titles = [f"{spaced(row.defect)} ({row.Index})" for row in samples.itertuples()]
    return figures.maps_by_detector(images, maps, list(regions), titles)
