"""Which defects of the flat connector each detector finds, and from what size and contrast on.

Two sets of images. The test images of the benchmark hold good ones too, and tell AUROCs by defect. For sizes they are
too few: a folder of many more defects, drawn with another seed, is shown to the detectors that the benchmark has
fitted; a defect is *found* if the image's score lies above the threshold from the normal validation images.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from iadlib.data import Category, read_image
from iadlib.metrics import bootstrap_interval, image_auroc, threshold_from_normals
from iadlib.progress import track
from iadlib.study.fitted import fit, fitted, images_for
from iadlib.study.folders import read_grid, save_results
from iadlib.study.pictures import defects_of
from iadlib.types import Region

SIZES: dict[str, tuple[str, Callable[[dict], float]]] = {  # of a defect, by the numbers that its scene was drawn with
    "scratch": ("length, mm", lambda drawn: drawn["length"]),
    "damaged_edge": ("depth, mm", lambda drawn: drawn["depth"]),
    "cut_corner": ("mean leg, mm", lambda drawn: float(np.mean(drawn["legs"]))),
    "resized_hole": ("change of diameter, mm", lambda drawn: abs(drawn["diameter"] - drawn["intact_diameter"])),
    "missing_hole": ("diameter, mm", lambda drawn: drawn["diameter"]),
    "additional_hole": ("diameter, mm", lambda drawn: drawn["diameter"]),
}
TWO_SIZES = ("missing_hole", "additional_hole")  # a hole has one of two diameters: no size at which half are found
RESAMPLES = 200


def scores(
    profile: str, methods: Sequence[str] | str, test: Category, many: Category, artifacts: str | None, rate: float
) -> pd.DataFrame:
    """One line a method, seed and image: set ("test" or "many"), name, defect, score, and whether it is above the
    threshold that lets the share `rate` of the normal validation images through.

    `methods`: names, or "all" of the grid. `artifacts`: the folder of the detectors that the benchmark has fitted to
    the category; where None, each method is fitted afresh, with seed 0.
    """
    parts = []
    for method in track(read_grid()["methods"] if methods == "all" else methods, "detectors"):
        normal, *both = (images_for(profile, method, list(part["image"])) for part in (
            test.of("validation"), test.of("test"), many.of("test")
        ))  # fmt: skip
        detectors = fitted(profile, method, artifacts) if artifacts else fit(profile, method, test)
        for seed, detector in detectors.items():
            threshold = threshold_from_normals(detector.predict(normal).scores, rate)
            for which, category, images in zip(("test", "many"), (test, many), both, strict=True):
                said = detector.predict(images).scores
                table = pd.DataFrame(
                    {"name": category.of("test")["name"], "defect": defects_of(category), "score": said}
                )
                parts.append(table.assign(method=method, seed=seed, set=which, found=said > threshold))
    return pd.concat(parts, ignore_index=True)


def aurocs(scores: pd.DataFrame) -> pd.DataFrame:
    """One line a method and defect: image AUROC against the good test images, mean over the seeds, with interval."""
    rows = []
    for method, part in scores[scores["set"] == "test"].groupby("method", sort=False):
        wide = part.pivot(index=["name", "defect"], columns="seed", values="score")
        said, defects = wide.to_numpy().T, wide.index.get_level_values("defect").to_numpy()
        for defect in (defect for defect in SIZES if defect in set(defects)):
            chosen = np.isin(defects, ["good", defect])
            labels = defects[chosen] == defect
            value = np.mean([image_auroc(row[chosen], labels) for row in said])
            low, high = bootstrap_interval(image_auroc, said[:, chosen], labels)
            rows.append((method, defect, int(labels.sum()), value, low, high))
    return pd.DataFrame(rows, columns=["method", "defect", "images", "auroc", "low", "high"])


def auroc_table(table: pd.DataFrame) -> pd.DataFrame:
    """Defects in rows, methods in columns, with intervals."""
    cells = [f"{row.auroc:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in table.itertuples()]
    wide = table.assign(cell=cells).pivot(index="defect", columns="method", values="cell")
    wide = wide.reindex(index=list(dict.fromkeys(table["defect"])), columns=list(dict.fromkeys(table["method"])))
    return wide.rename(index=lambda defect: defect.replace("_", " ")).rename_axis(index=None, columns=None)


def drawn_defects(category: Category) -> pd.DataFrame:
    """One line a test image of a rendered connector: name, defect, size (see `SIZES`), pixels, contrast, strength.

    Contrast: by how many grey levels the region's mean differs from its surroundings'; strength: a scratch's, 0 to 1.
    """
    rows = []
    for name, defect in zip(category.of("test")["name"], defects_of(category), strict=True):
        if defect != "good":
            drawn = json.loads((category.root / "scenes/test" / f"{name}.json").read_text())["defect"]
            size, contrast = SIZES[defect][1](drawn), abs(drawn["contrast_grey_levels"])
            rows.append((name, defect, size, drawn["region_pixels"], contrast, drawn.get("strength", np.nan)))
    return pd.DataFrame(rows, columns=["name", "defect", "size", "pixels", "contrast", "strength"])


def found(scores: pd.DataFrame, many: Category) -> pd.DataFrame:
    """Of the many defects, one line a method, seed and image: score, found, and what it was drawn with."""
    return scores[scores["set"] == "many"].merge(drawn_defects(many), on=["name", "defect"])


def half_sizes(found: pd.DataFrame) -> pd.DataFrame:
    """One line a method and defect: the size at which half are found, by logistic regression on the size's logarithm.

    With a 95 % interval over the images, all seeds of one together; infinite where half are found at no size that was
    drawn, 0 where at every one. `share` is how many are found at all; a log(size) + b are the curve's log-odds.
    """
    rows = []
    for (method, defect), part in track(list(found.groupby(["method", "defect"], sort=False)), "sizes"):
        if defect in TWO_SIZES:
            continue
        wide = part.pivot(index=["name", "size"], columns="seed", values="found").astype(float)
        size, share = wide.index.get_level_values("size").to_numpy(), wide.mean(axis=1).to_numpy()
        rng, ends = np.random.default_rng(0), (size.min(), size.max())
        resampled = [_half(*_fit(size[c], share[c]), ends) for c in rng.integers(0, len(size), (RESAMPLES, len(size)))]
        a, b = _fit(size, share)
        low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")
        row = {"method": method, "defect": defect, "share": share.mean(), "half": _half(a, b, ends)}
        rows.append({**row, "low": low, "high": high, "a": a, "b": b, "smallest": ends[0], "largest": ends[1]})
    return pd.DataFrame(rows)


def _fit(size: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    """Log-odds a log(size) + b of being found; nearly unpenalised, so that all found or none found has a curve too."""
    if share.min() == 1 or share.max() == 0:
        return 0.0, np.inf if share.any() else -np.inf
    weights = np.concatenate([share, 1 - share])
    log_size = np.tile(np.log(size), 2)[:, None]
    labels = np.repeat([1, 0], len(size))
    model = LogisticRegression(C=100.0).fit(log_size, labels, sample_weight=weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _half(a: float, b: float, ends: tuple[float, float]) -> float:
    at_ends = [a * np.log(end) + b for end in ends]
    if min(at_ends) >= 0:
        return 0.0
    return np.inf if max(at_ends) < 0 or a <= 0 else float(np.exp(-b / a))


def false_alarm_rates(scores: pd.DataFrame) -> pd.Series:
    """By method, the share of the good test images above the threshold: what its sizes were bought with."""
    good = scores[(scores["set"] == "test") & (scores["defect"] == "good")]
    return good.groupby("method", sort=False)["found"].mean()


def by_contrast(found: pd.DataFrame) -> pd.DataFrame:
    """The share of each defect that is found, by thirds of its contrast from low to high; methods in columns."""
    thirds = found.groupby("defect")["contrast"].transform(lambda c: c.rank(pct=True, method="dense"))
    named = pd.cut(thirds, [0, 1 / 3, 2 / 3, 1], labels=["low contrast", "middle", "high contrast"])
    labelled = found.assign(defect=found["defect"].str.replace("_", " "), contrast=named)
    table = labelled.pivot_table(index=["defect", "contrast"], columns="method", values="found", observed=True)
    return table[list(dict.fromkeys(found["method"]))].round(2).rename_axis(index=[None, None], columns=None)


def half_table(sizes: pd.DataFrame, alarms: pd.Series) -> pd.DataFrame:
    """Sizes at which half are found, with intervals; methods in rows, their share of false alarms first."""

    def shown(value: float, row: tuple) -> str:
        return f"> {row.largest:.3g}" if np.isinf(value) else f"< {row.smallest:.2g}" if value == 0 else f"{value:.2g}"

    cells = [
        f"{shown(row.half, row)} [{shown(row.low, row)}, {shown(row.high, row)}]"
        for row in sizes.itertuples(index=False)
    ]
    titles = [f"{defect.replace('_', ' ')}: {SIZES[defect][0]}" for defect in sizes["defect"]]
    wide = sizes.assign(cell=cells, title=titles).pivot(index="method", columns="title", values="cell")
    wide = wide.reindex(index=list(dict.fromkeys(sizes["method"])), columns=list(dict.fromkeys(titles)))
    wide.insert(0, "false alarms", alarms.round(2))
    return wide.rename_axis(index=None, columns=None)


def shares(found: pd.DataFrame) -> pd.DataFrame:
    """The share that is found of each defect; holes by their two diameters. Methods in columns."""
    hole = found["defect"].isin(TWO_SIZES)
    label = found["defect"].str.replace("_", " ") + np.where(hole, " of " + found["size"].map("{:.0f} mm".format), "")
    labelled = found.assign(what=label)
    table = labelled.pivot_table(index="what", columns="method", values="found")[list(dict.fromkeys(found["method"]))]
    table.insert(0, "images", labelled.groupby("what")["name"].nunique())
    return table.round(2).rename_axis(index=None, columns=None)


def size_curves(found: pd.DataFrame, sizes: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """For `figures.detection_by_size`: points (shares in five bins of equally many images) and curves, with the columns
    panel, method, size, share."""
    points, curves = [], []
    for row in sizes.itertuples():
        part = found[(found["method"] == row.method) & (found["defect"] == row.defect)]
        panel = f"{row.defect.replace('_', ' ')}: {SIZES[row.defect][0]}"
        bins = pd.qcut(part["size"], 5, duplicates="drop")
        grouped = part.groupby(bins, observed=True).agg(size=("size", "median"), share=("found", "mean"))
        points.append(grouped.assign(panel=panel, method=row.method))
        at = np.geomspace(row.smallest, row.largest, 60)
        share = expit(np.clip(row.a * np.log(at) + row.b, -50, 50))
        curves.append(pd.DataFrame({"panel": panel, "method": row.method, "size": at, "share": share}))
    return pd.concat(points, ignore_index=True), pd.concat(curves, ignore_index=True)


def scratches(found: pd.DataFrame) -> pd.DataFrame:
    """For `figures.size_and_strength`: one line a method and scratch: size, strength and the share of the seeds that
    find it."""
    part = found[found["defect"] == "scratch"]
    return part.groupby(["method", "name"], sort=False).agg(
        size=("size", "first"), strength=("strength", "first"), share=("found", "mean")
    ).reset_index()  # fmt: skip


def worst_misses(
    found: pd.DataFrame, category: Category, per_defect: int = 1
) -> tuple[list[np.ndarray], list[str], list[list[Region]]]:
    """For `figures.image_grid`: of each defect the largest (by pixels) among those that the fewest detectors find."""
    by_image = found.groupby(["name", "defect"], sort=False).agg(
        finders=("found", "sum"), of=("found", "size"), pixels=("pixels", "first")
    ).reset_index()  # fmt: skip
    chosen = by_image.sort_values(["finders", "pixels"], ascending=[True, False]).groupby("defect").head(per_defect)
    order = {name: i for i, name in enumerate(category.of("test")["name"])}
    places = [order[name] for name in chosen["name"]]
    titles = [
        f"{row.defect.replace('_', ' ')}, {row.pixels} pixels: found by {row.finders} of {row.of}"
        for row in chosen.itertuples()
    ]
    images = [read_image(category.of("test")["image"].iloc[i]) for i in places]
    return images, titles, [category.regions(i) for i in places]


def false_alarms(scores: pd.DataFrame, test: Category, count: int = 3) -> tuple[list[np.ndarray], list[str]]:
    """For `figures.image_grid`: the good test images that the most detectors and seeds take for anomalous."""
    good = scores[(scores["set"] == "test") & (scores["defect"] == "good")]
    alarms = good.groupby("name", sort=False)["found"].agg(["sum", "size"])
    most = alarms.sort_values("sum", ascending=False, kind="stable").head(count)
    paths = test.of("test").set_index("name")["image"]
    titles = [f"{name}: false alarm of {row['sum']} of {row['size']}" for name, row in most.iterrows()]
    return [read_image(paths[name]) for name in most.index], titles


def save(
    scores: pd.DataFrame, tables: dict[str, pd.DataFrame], pictures: dict[str, Figure], out: str | Path | None
) -> None:
    """scores.csv, tables and pictures by their names, into the folder `out`; None writes nothing."""
    save_results(out, {"scores": scores, **tables}, pictures)
