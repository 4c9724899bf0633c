"""Which defects of the flat connector each detector finds, and from what size and contrast on.

Two sets of images: the test images of the benchmark, which give AUROCs by defect, and many more defects drawn with
another seed, since the test images are too few for a study of sizes. The detectors of the benchmark score both; a
defect is *found* if its image's score lies above the threshold from the normal validation images.
"""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd

from iadlib.data import Category, read_image
from iadlib.metrics import bootstrap_interval, found_share, image_auroc, sizes
from iadlib.metrics.sizes import RESAMPLES
from iadlib.study import benchmark
from iadlib.study.paths import Study
from iadlib.study.pictures import defects_of
from iadlib.study.reports import ordered, spaced, titled, with_interval
from iadlib.types import Region

CATEGORY, MANY = "flat_connector", "defect_sizes"
SIZES: dict[str, tuple[str, Callable[[dict], float]]] = {  # of a defect, by the numbers that its scene was drawn with
    "scratch": ("length, mm", lambda drawn: drawn["length"]),
    "damaged_edge": ("depth, mm", lambda drawn: drawn["depth"]),
    "cut_corner": ("mean leg, mm", lambda drawn: float(np.mean(drawn["legs"]))),
    "resized_hole": ("change of diameter, mm", lambda drawn: abs(drawn["diameter"] - drawn["intact_diameter"])),
    "missing_hole": ("diameter, mm", lambda drawn: drawn["diameter"]),
    "additional_hole": ("diameter, mm", lambda drawn: drawn["diameter"]),
}
TWO_SIZES = ("missing_hole", "additional_hole")  # holes have one of two diameters: no size at which half are found


def scores_of(study: Study) -> pd.DataFrame:
    """One row for each detector, seed and test image: method, seed, name, defect, score, found."""
    values = benchmark.values_of(study, CATEGORY).merge(benchmark.seeds_of(study, CATEGORY), on=["method", "seed"])
    return values.assign(found=values["score"] > values["threshold"])


def drawn_defects(category: Category) -> pd.DataFrame:
    """One row for each defective image of a rendered connector: name, defect, size, pixels, contrast, strength.

    Size: see `SIZES`. Contrast: the grey levels by which the mean of the region differs from its surroundings.
    Strength: of a scratch, 0 to 1.
    """
    rows = []
    for name, defect in zip(category.of("test")["name"], defects_of(category), strict=True):
        if defect != "good":
            drawn = json.loads((category.root / "scenes/test" / f"{name}.json").read_text())["defect"]
            size, contrast = SIZES[defect][1](drawn), abs(drawn["contrast_grey_levels"])
            rows.append((name, defect, size, drawn["region_pixels"], contrast, drawn.get("strength", np.nan)))
    return pd.DataFrame(rows, columns=["name", "defect", "size", "pixels", "contrast", "strength"])


def found_by_size(study: Study, many: Category | None) -> pd.DataFrame:
    """One row for each detector, seed and one of many defects: its score, whether it is found, and its size.

    Columns: method, seed, name, score, found, and those of `drawn_defects`. Without photographs the table that this
    notebook has saved last.
    """
    if many is None:
        return study.table("defects", "found.csv", dtype={"name": str})
    drawn, parts = drawn_defects(many), []
    for fit in benchmark.seeds_of(study, CATEGORY).itertuples():
        scores = pd.read_csv(study.artifacts / "sizes" / fit.method / str(fit.seed) / "scores.csv", dtype={"file": str})
        scores = scores.assign(name=scores["file"].str.rpartition(".")[0], found=scores["anomalous"])
        table = drawn.merge(scores[["name", "score", "found"]], on="name")
        parts.append(table.assign(method=fit.method, seed=fit.seed))
    return pd.concat(parts, ignore_index=True)


def aurocs(scores: pd.DataFrame) -> pd.DataFrame:
    """Image AUROC of each detector and defect against the good test images: mean over the seeds, with interval."""
    rows = []
    for method, part in scores.groupby("method", sort=False):
        wide = part.pivot(index=["name", "defect"], columns="seed", values="score")
        by_seed, defects = wide.to_numpy().T, wide.index.get_level_values("defect").to_numpy()
        for defect in (defect for defect in SIZES if defect in set(defects)):
            chosen = np.isin(defects, ["good", defect])
            labels = defects[chosen] == defect
            value = np.mean([image_auroc(row[chosen], labels) for row in by_seed])
            low, high = bootstrap_interval(image_auroc, by_seed[:, chosen], labels)
            rows.append((method, defect, int(labels.sum()), value, low, high))
    return pd.DataFrame(rows, columns=["method", "defect", "images", "auroc", "low", "high"])


def auroc_table(table: pd.DataFrame) -> pd.DataFrame:
    """`aurocs` with defects in rows and detectors in columns."""
    cells = [with_interval(row.auroc, row.low, row.high) for row in table.itertuples()]
    return ordered(table.assign(cell=cells, defect=table["defect"].map(spaced)), "defect", "method", "cell")


def half_sizes(found: pd.DataFrame, resamples: int = RESAMPLES) -> pd.DataFrame:
    """The size at which half are found, by method and defect, for the defects of more than two sizes."""
    return sizes.half_sizes(found[~found["defect"].isin(TWO_SIZES)], resamples=resamples)


def false_alarm_rates(scores: pd.DataFrame) -> pd.Series:
    """By method: the share of the good test images above the threshold."""
    return scores[scores["defect"] == "good"].groupby("method", sort=False)["found"].mean()


def half_table(halves: pd.DataFrame, alarms: pd.Series) -> pd.DataFrame:
    """`half_sizes` with detectors in rows and defects in columns; the share of false alarms first."""

    def size(value: float, row: tuple) -> str:
        return f"> {row.largest:.3g}" if np.isinf(value) else f"< {row.smallest:.2g}" if value == 0 else f"{value:.2g}"

    cells = [f"{size(row.half, row)} [{size(row.low, row)}, {size(row.high, row)}]" for row in halves.itertuples()]
    labelled = halves.assign(cell=cells, panel=halves["defect"].map(panel))
    table = ordered(labelled, "method", "panel", "cell")
    table.insert(0, "false alarms", alarms.round(2).rename(index=titled))
    return table


def shares(found: pd.DataFrame) -> pd.DataFrame:
    """The share of each defect that is found, holes by their two diameters; detectors in columns."""
    hole = found["defect"].isin(TWO_SIZES)
    label = found["defect"].map(spaced) + np.where(hole, " of " + found["size"].map("{:.0f} mm".format), "")
    labelled = found.assign(label=label).sort_values("label", kind="stable")
    means = labelled.groupby(["label", "method"], sort=False)["found"].mean().round(2).reset_index()
    table = ordered(means, "label", "method", "found")[[titled(name) for name in dict.fromkeys(found["method"])]]
    table.insert(0, "images", labelled.groupby("label")["name"].nunique())
    return table


def by_contrast(found: pd.DataFrame) -> pd.DataFrame:
    """The share of each defect that is found, by thirds of its contrast from low to high; detectors in columns."""
    thirds = found.groupby("defect")["contrast"].transform(lambda c: c.rank(pct=True, method="dense"))
    named = pd.cut(thirds, [0, 1 / 3, 2 / 3, 1], labels=["low contrast", "middle", "high contrast"])
    labelled = found.assign(defect=found["defect"].map(spaced), contrast=named)
    table = labelled.pivot_table(index=["defect", "contrast"], columns="method", values="found", observed=True)
    table = table[list(dict.fromkeys(found["method"]))].round(2)
    return table.rename(columns=titled).rename_axis(index=[None, None], columns=None)


def size_curves(found: pd.DataFrame, halves: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """For `figures.detection_by_size`: points (shares in five bins of equally many images) and curves, with the columns
    panel, method, size, share."""
    points, curves = [], []
    for row in halves.itertuples():
        part = found[(found["method"] == row.method) & (found["defect"] == row.defect)]
        bins = pd.qcut(part["size"], 5, duplicates="drop")
        grouped = part.groupby(bins, observed=True).agg(size=("size", "median"), share=("found", "mean"))
        names = {"panel": panel(row.defect), "method": row.method}
        points.append(grouped.assign(**names))
        at = np.geomspace(row.smallest, row.largest, 60)
        curves.append(pd.DataFrame({**names, "size": at, "share": found_share(at, row.a, row.b)}))
    return pd.concat(points, ignore_index=True), pd.concat(curves, ignore_index=True)


def panel(defect: str) -> str:
    """The defect and what its size is, for example "scratch: length, mm"."""
    return f"{spaced(defect)}: {SIZES[defect][0]}"


def scratches(found: pd.DataFrame) -> pd.DataFrame:
    """For `figures.size_and_strength`: method, name, size, strength, and the share of the seeds that find it."""
    grouped = found[found["defect"] == "scratch"].groupby(["method", "name"], sort=False)
    return grouped.agg(size=("size", "first"), strength=("strength", "first"), share=("found", "mean")).reset_index()


def worst_misses(found: pd.DataFrame, many: Category) -> tuple[list[np.ndarray], list[str], list[list[Region]]]:
    """For `figures.image_grid`: of each defect the largest (by pixels) among those that the fewest detectors find."""
    grouped = found.groupby(["name", "defect"], sort=False)
    images = grouped.agg(finders=("found", "sum"), fits=("found", "size"), pixels=("pixels", "first")).reset_index()
    chosen = images.sort_values(["finders", "pixels"], ascending=[True, False]).groupby("defect").head(1)
    position = {name: i for i, name in enumerate(many.of("test")["name"])}
    titles = [
        f"{spaced(row.defect)}, {row.pixels} pixels: found by {row.finders} of {row.fits}"
        for row in chosen.itertuples()
    ]
    positions = [position[name] for name in chosen["name"]]
    paths = many.of("test")["image"]
    return [read_image(paths.iloc[i]) for i in positions], titles, [many.regions(i) for i in positions]


def false_alarms(scores: pd.DataFrame, test: Category, count: int = 3) -> tuple[list[np.ndarray], list[str]]:
    """For `figures.image_grid`: the good test images that most detectors and seeds take for anomalous."""
    good = scores[scores["defect"] == "good"]
    alarms = good.groupby("name", sort=False)["found"].agg(["sum", "size"])
    most = alarms.sort_values("sum", ascending=False, kind="stable").head(count)
    paths = test.of("test").set_index("name")["image"]
    titles = [f"{name}: false alarm of {row['sum']} of {row['size']}" for name, row in most.iterrows()]
    return [read_image(paths[name]) for name in most.index], titles
