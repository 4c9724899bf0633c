"""Which defects of the flat connector each detector finds, and from what size and contrast on.

Two sets of images: the test images of the benchmark, which give AUROCs by defect, and many more defects drawn with
another seed, since the test images are too few for a study of sizes. The detectors of the benchmark score both; a
defect is *found* if its image's score is above the threshold from the normal validation images.
"""

import numpy as np
import pandas as pd

from iadlib.data import Category, read_image
from iadlib.data.scenes import DEFECT_SIZES, drawn_defects
from iadlib.figures.text import ordered, spaced, titled, with_ends
from iadlib.study import benchmark
from iadlib.study.paths import Study
from iadlib.types import Region

CATEGORY, MANY = "flat_connector", "defect_sizes"
TWO_SIZES = ("missing_hole", "additional_hole")  # holes have one of two diameters: no size at which half are found


def scores_of(study: Study) -> pd.DataFrame:
    """One row for each detector, seed and test image: method, seed, name, defect, score, found."""
    values = benchmark.values_of(study, CATEGORY).merge(benchmark.seeds_of(study, CATEGORY), on=["method", "seed"])
    return values.assign(found=values["score"] > values["threshold"])


def found_by_size(study: Study, many: Category | None) -> pd.DataFrame:
    """`drawn_defects` with method, seed, score and found; without images or scores, the table last saved."""
    if many is None or not (study.artifacts / "sizes").is_dir():
        return study.table("defects", "found.csv")
    drawn, parts = drawn_defects(many), []
    for fit in benchmark.seeds_of(study, CATEGORY).itertuples():
        scores = pd.read_csv(study.artifacts / "sizes" / fit.method / str(fit.seed) / "scores.csv", dtype={"file": str})
        scores = scores.assign(name=scores["file"].str.rpartition(".")[0], found=scores["anomalous"])
        table = drawn.merge(scores[["name", "score", "found"]], on="name")
        parts.append(table.assign(method=fit.method, seed=fit.seed))
    return pd.concat(parts, ignore_index=True)


def auroc_table(aurocs: pd.DataFrame) -> pd.DataFrame:
    """Defects in rows, detectors in columns."""
    cells = with_ends(aurocs["auroc"], aurocs["low"], aurocs["high"], digits=2)
    return ordered(aurocs.assign(cell=cells), "defect", "method", "cell")


def half_table(halves: pd.DataFrame, alarms: pd.Series) -> pd.DataFrame:
    """Detectors in rows and defects in columns; the share of false alarms first."""

    def size(value: float, row: tuple) -> str:
        return f"> {row.largest:.3g}" if np.isinf(value) else f"< {row.smallest:.2g}" if value == 0 else f"{value:.2g}"

    cells = [f"{size(row.half, row)} [{size(row.low, row)}, {size(row.high, row)}]" for row in halves.itertuples()]
    table = ordered(with_panels(halves.assign(cell=cells)), "method", "panel", "cell")
    table.insert(0, "false alarms", alarms.round(2).rename(index=titled))
    return table


def with_panels(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the column panel: the defect and what its size is, for example "scratch: length, mm"."""
    return table.assign(panel=[f"{spaced(defect)}: {DEFECT_SIZES[defect][0]}" for defect in table["defect"]])


def shares(found: pd.DataFrame) -> pd.DataFrame:
    """The share of each defect that is found, holes by their two diameters; detectors in columns."""
    hole = found["defect"].isin(TWO_SIZES)
    label = found["defect"].map(spaced) + np.where(hole, " of " + found["size"].map("{:.0f} mm".format), "")
    means = found.assign(label=label).groupby(["label", "method"])["found"].mean().round(2).reset_index()
    table = ordered(means, "label", "method", "found")[[titled(name) for name in dict.fromkeys(found["method"])]]
    table.insert(0, "images", found.assign(label=label).groupby("label")["name"].nunique())
    return table


def worst_misses(found: pd.DataFrame, many: Category) -> tuple[list[np.ndarray], list[str], list[list[Region]]]:
    """For `figures.image_grid`: of each defect the largest (by pixels) among those that the fewest detectors find."""
    images = found.groupby(["name", "defect", "pixels"], sort=False)["found"].agg(["sum", "size"]).reset_index()
    chosen = images.sort_values(["sum", "pixels"], ascending=[True, False]).groupby("defect").head(1)
    columns = chosen[["defect", "pixels", "sum", "size"]].itertuples(index=False)
    titles = [f"{spaced(name)}, {area} pixels: found by {count} of {fits}" for name, area, count, fits in columns]
    test = many.of("test").assign(index=range(len(many.of("test")))).set_index("name").loc[chosen["name"]]
    return [read_image(path) for path in test["image"]], titles, [many.regions(i) for i in test["index"]]


def false_alarms(scores: pd.DataFrame, test: Category, count: int = 3) -> tuple[list[np.ndarray], list[str]]:
    """For `figures.image_grid`: the good test images that most detectors and seeds take for anomalous."""
    alarms = scores[scores["defect"] == "good"].groupby("name", sort=False)["found"].agg(["sum", "size"])
    most = alarms.sort_values("sum", ascending=False, kind="stable").head(count)
    titles = [f"{name}: false alarm of {found} of {fits}" for name, found, fits in most.itertuples()]
    return [read_image(path) for path in test.of("test").set_index("name").loc[most.index, "image"]], titles
