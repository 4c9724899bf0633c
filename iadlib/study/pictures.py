"""What the notebooks' figures show: which images, under which titles."""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from iadlib.data import Category, image_sizes, read_image
from iadlib.metrics import spro
from iadlib.study.cells import Run, maps_at
from iadlib.types import Region


def defects_of(category: Category) -> list[str]:
    """The defect of every test image: what its regions are named, or else the folder that it lies in."""
    samples = category.of("test")
    return [
        ", ".join(sorted({region.defect_name for region in category.regions(i)})) or samples["defect"].iloc[i]
        for i in range(len(samples))
    ]


def about(category: Category) -> Markdown:
    """What the folder of a category says of itself, in its README.md."""
    readme = category.root / "README.md"
    return Markdown(readme.read_text() if readme.is_file() else f"`{category.name}` comes without a description.")


def normal_examples(category: Category, count: int = 6) -> tuple[list[np.ndarray], list[str]]:
    """Images and titles for `figures.image_grid`, spread over the training images."""
    samples = category.of("train")
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int))
    return [read_image(samples["image"].iloc[i]) for i in chosen], [samples["name"].iloc[i] for i in chosen]


def anomalous_examples(
    category: Category, kind: str, per_defect: int = 2
) -> tuple[list[np.ndarray], list[str], list[list[Region]]]:
    """Images, titles and regions for `figures.image_grid`: the first few of every defect of one kind."""
    samples = category.of("test").assign(defect=defects_of(category))
    chosen = samples[samples["label"] == kind].groupby("defect").head(per_defect).sort_values("defect", kind="stable")
    return (
        [read_image(path) for path in chosen["image"]],
        [_title(defect) for defect in chosen["defect"]],
        [category.regions(i) for i in chosen.index],
    )


def region_areas(category: Category) -> pd.DataFrame:
    """One line a ground-truth region: its defect, its area and its saturation area in pixels."""
    regions = [region for i in range(len(category.of("test"))) for region in category.regions(i)]
    return pd.DataFrame(
        {
            "defect": [_title(region.defect_name) for region in regions],
            "area": [int(region.mask.sum()) for region in regions],
            "saturation_area": [region.saturation_area for region in regions],
        }
    )


def area_summary(areas: pd.DataFrame) -> pd.DataFrame:
    """`region_areas` by defect."""
    grouped = areas.groupby("defect")
    columns = {
        "regions": grouped.size(),
        "smallest area": grouped["area"].min(),
        "median area": grouped["area"].median().astype(int),
        "largest area": grouped["area"].max(),
        "median saturation area": grouped["saturation_area"].median().astype(int),
    }
    return pd.DataFrame(columns)


def saturation_steps(category: Category) -> tuple[np.ndarray, Region, list[np.ndarray], pd.DataFrame]:
    """For `figures.saturation_steps`: how the score of a region grows with the share of it that is marked.

    The region is the first of those that saturate earliest; marks grow from its middle. Image, region, four marks, and
    a table with the columns share, sPRO and PRO.
    """
    found = [(i, region) for i in range(len(category.of("test"))) for region in category.regions(i)]
    i, region = min(found, key=lambda item: item[1].saturation_area / item[1].mask.sum())
    rows, columns = np.nonzero(region.mask)
    order = np.argsort(np.hypot(rows - rows.mean(), columns - columns.mean()), kind="stable")
    enough = region.saturation_area / len(order)

    def marked(share: float) -> np.ndarray:
        mark = np.zeros_like(region.mask)
        chosen = order[: round(share * len(order))]
        mark[rows[chosen], columns[chosen]] = True
        return mark

    whole = Region(region.mask, len(order), region.defect_name)
    shares = np.union1d(np.linspace(0, 1, 101), enough)
    marks = [marked(share) for share in shares]
    table = pd.DataFrame(
        {"share": shares, "sPRO": [spro(m, region) for m in marks], "PRO": [spro(m, whole) for m in marks]}
    )
    shown = [marked(share) for share in (enough / 4, enough / 2, enough, 1.0)]
    return read_image(category.of("test")["image"].iloc[i]), region, shown, table


def scored(category: Category, result: Run) -> pd.DataFrame:
    """The test images with their defect and the score that one run gives them."""
    test = category.of("test").assign(defect=defects_of(category), score=result.test.scores)
    return test.assign(defect=test["defect"].map(_title))[["name", "label", "defect", "score"]]


def panel(
    category: Category, result: Run, chosen: pd.DataFrame
) -> tuple[list[np.ndarray], list[np.ndarray], list[list[Region]], list[str]]:
    """Images, maps, regions and titles for `figures.heat_map_panel`, of some rows of `scored`."""
    paths = category.of("test")["image"].iloc[chosen.index]
    titles = [f"{row.defect} ({row.name}), score {row.score:.3g}" for row in chosen.itertuples(index=False)]
    return (
        [read_image(path) for path in paths],
        maps_at(result.test.maps[chosen.index], image_sizes(paths)),
        [category.regions(i) for i in chosen.index],
        titles,
    )


def losses(result: Run) -> dict[str, list[float]]:
    """For `figures.learning_curve`, by what was learned; empty for a method that learns no weights."""
    return {name: values.tolist() for name, values in result.detector.phases.items()}


def _title(defect: str) -> str:
    return defect.replace("_", " ")
