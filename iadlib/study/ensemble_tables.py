"""From the values of every entry on every test image to tables, with intervals of paired differences.

An interval is a percentile bootstrap over the test images, stratified by label: both entries are judged on the same
resample, all seeds that both were fitted with on one; means over categories resample each category by itself. The
AU-sPRO of a resample takes its false positive rates from the pixels of the whole test set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from iadlib.metrics import image_auroc, percentiles, resampled_images
from iadlib.study.ensembles import FEATURE, THESIS
from iadlib.study.folders import ROOT, read_grid, save_figures, whole_folder
from iadlib.study.tables import measured, shown

RESAMPLES = 500
KINDS = ("logical", "structural")
TITLES = {"image_auroc": "image AUROC", "au_spro": "AU-sPRO"}
METRICS = {**TITLES, "pixel_auroc": "pixel AUROC"}
GROUPS = {
    "member": "alone",
    "output": "output level",
    "backbones": "output level, one method",
    "labelled": "with test labels",
    "feature": "feature level",
    "design": "one choice changed",
    "pair": "pair",
}


def gather(profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`values` and `pixel_aurocs` of all categories of the grid, by the names in the grid."""
    grid = read_grid()
    folders = {category: ROOT / "reports" / profile / "ensemble" / category for category in grid["categories"]}
    values, pixels = (
        pd.concat([pd.read_csv(folder / file).assign(category=name) for name, folder in folders.items()])
        for file in ("values.csv", "pixel_auroc.csv")
    )
    return values.reset_index(drop=True), pixels.reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class Judged:
    """One entry on one category: `scores` and `au_spro` (seeds, N), `labels` and the number of `regions` (N,)."""

    labels: np.ndarray
    regions: np.ndarray
    seeds: np.ndarray
    scores: np.ndarray
    au_spro: np.ndarray

    @classmethod
    def of(cls, part: pd.DataFrame) -> Self:
        first = part[part["seed"] == part["seed"].iloc[0]]
        count = len(first)
        return cls(
            first["label"].to_numpy(),
            first["regions"].to_numpy(),
            part["seed"].to_numpy()[::count],
            part["score"].to_numpy().reshape(-1, count),
            part["au_spro"].to_numpy().reshape(-1, count),
        )

    def with_seeds_of(self, other: Self) -> Self:
        """What the seeds that `other` has too say."""
        shared = np.isin(self.seeds, other.seeds)
        return replace(self, seeds=self.seeds[shared], scores=self.scores[shared], au_spro=self.au_spro[shared])

    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if kind in set(self.labels)]

    def by_seed(self, metric: str, kind: str, chosen: np.ndarray | None = None) -> np.ndarray:
        """One value a seed, of the images `chosen`, some of them several times, or of all."""
        chosen = np.arange(len(self.labels)) if chosen is None else chosen
        labels = self.labels[chosen]
        if metric == "image_auroc":
            within = chosen[(labels == kind) | (labels == "good")]
            return np.array([image_auroc(row[within], self.labels[within] == kind) for row in self.scores])
        within = chosen[(labels == kind) & ~np.isnan(self.au_spro[0, chosen])]
        if not len(within):
            return np.full(len(self.au_spro), np.nan)
        return np.average(self.au_spro[:, within], axis=1, weights=self.regions[within])

    def value(self, metric: str, kinds: Sequence[str], chosen: np.ndarray | None = None) -> float:
        """The mean over kinds and seeds."""
        return float(np.mean([self.by_seed(metric, kind, chosen) for kind in kinds]))


Cells = dict[tuple[str, str], Judged]  # by category and entry


def collect(values: pd.DataFrame) -> Cells:
    """By category and entry."""
    return {key: Judged.of(part) for key, part in values.groupby(["category", "entry"], sort=False)}


def results(values: pd.DataFrame, pixels: pd.DataFrame) -> pd.DataFrame:
    """One line for every category, group, entry, seed, metric and kind, with its value."""
    rows = []
    for (category, group, entry), part in values.groupby(["category", "group", "entry"], sort=False):
        cell, seeds = Judged.of(part), part["seed"].unique()
        for metric in TITLES:
            for kind in cell.kinds():
                for seed, value in zip(seeds, cell.by_seed(metric, kind), strict=True):
                    rows.append((category, group, entry, seed, metric, kind, value))
    columns = ["category", "group", "entry", "seed", "metric", "kind", "value"]
    pixels = pixels.rename(columns={"pixel_auroc": "value"}).assign(metric="pixel_auroc", kind="overall")
    return pd.concat([pd.DataFrame(rows, columns=columns), pixels[columns]], ignore_index=True)


def mean_table(results: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Means over the categories ± the standard deviation of that mean over the seeds; entries in rows."""
    rows = results[results["group"].isin(groups)].dropna(subset="value")
    by_seed = rows.groupby(["group", "entry", "metric", "kind", "seed"], sort=False)["value"].mean()
    spread = by_seed.groupby(level=[0, 1, 2, 3], sort=False).agg(["mean", "std"])
    cells = [shown(mean, std) for mean, std in zip(spread["mean"], spread["std"], strict=True)]
    table = pd.Series(cells, index=spread.index).unstack(["metric", "kind"])
    table = table.reindex(index=pd.MultiIndex.from_frame(rows[["group", "entry"]].drop_duplicates()))
    table = table[sorted(table.columns, key=lambda column: (list(METRICS).index(column[0]), column[1]))]
    table = table.rename(columns=METRICS, level=0).rename(index=GROUPS, level=0).rename(index=_plain, level=1)
    return table.fillna("").rename_axis(index=[None, None], columns=[None, None])


def best(results: pd.DataFrame, group: str, metric: str) -> str:
    """The entry of a group with the highest mean over categories and kinds: chosen in its favour, on test images."""
    rows = results[(results["group"] == group) & (results["metric"] == metric)]
    by_category = rows.groupby(["entry", "category"])["value"].mean()
    return by_category.groupby("entry").mean().idxmax()


def difference(
    cells: Cells, entry: str, other: str, metric: str, kinds: Sequence[str] = KINDS, categories: Sequence[str] = ()
) -> dict[str, float]:
    """`entry` less `other` with its 95 % interval, in the mean over categories (all, unless named), kinds and the
    seeds that both have."""
    categories = list(categories) or list(dict.fromkeys(category for category, _ in cells))
    points, resampled = [], []
    for number, category in enumerate(categories):
        one, two = cells[category, entry], cells[category, other]
        one, two = one.with_seeds_of(two), two.with_seeds_of(one)
        present = [kind for kind in kinds if kind in set(one.labels)]
        if present:
            points.append(one.value(metric, present) - two.value(metric, present))
            drawn = resampled_images(one.labels, RESAMPLES, seed=number)
            resampled.append([one.value(metric, present, c) - two.value(metric, present, c) for c in drawn])
    low, high = percentiles(np.mean(resampled, axis=0))
    return {"difference": float(np.mean(points)), "low": low, "high": high}


def against(cells: Cells, results: pd.DataFrame, entry: str = FEATURE) -> pd.DataFrame:
    """The ensemble less every detector alone and every output-level ensemble; the best of each group is marked."""
    rows = []
    for metric, title in TITLES.items():
        for group in ("member", "output", "backbones"):
            for other in dict.fromkeys(results.loc[results["group"] == group, "entry"]):
                marked = " (best)" if other == best(results, group, metric) else ""
                found = difference(cells, entry, other, metric)
                rows.append({"metric": title, "against": f"{GROUPS[group]}: {_plain(other)}{marked}", **found})
    return pd.DataFrame(rows).set_index(["metric", "against"])


def by_category(cells: Cells, other: str, metric: str, entry: str = FEATURE) -> pd.DataFrame:
    """For `figures.differences`: the ensemble less another entry, by category and kind."""
    rows = []
    for category in dict.fromkeys(category for category, _ in cells):
        for kind in cells[category, entry].kinds():
            found = difference(cells, entry, other, metric, [kind], [category])
            rows.append({"what": category, "kind": kind, **found})
    return pd.DataFrame(rows)


def of_designs(cells: Cells, results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """For `figures.differences`: every other design less the study's, in the mean over categories and kinds."""
    names = [THESIS, *dict.fromkeys(results.loc[results["group"] == "design", "entry"])]
    return pd.DataFrame([{"what": n, "kind": "both kinds", **difference(cells, n, FEATURE, metric)} for n in names])


def of_pairs(cells: Cells, results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Of every pair: both members, their outputs' mean and their features, and features less outputs, with interval."""
    pairs = results[results["group"] == "pair"]
    names = dict.fromkeys(pairs["entry"].str.partition(": ")[0])
    results = results[results["seed"].isin(pairs["seed"].unique())]  # members have been fitted with more seeds
    mean = results[results["metric"] == metric].groupby(["entry", "category"])["value"].mean().groupby("entry").mean()
    rows = {}
    for name in names:
        found = difference(cells, f"{name}: features", f"{name}: outputs", metric)
        rows[_plain(name)] = {
            "better member": max(mean[member] for member in name.split(" + ")),
            "outputs": mean[f"{name}: outputs"],
            "features": mean[f"{name}: features"],
            "features less outputs": found["difference"],
            "low": found["low"],
            "high": found["high"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").round(3)


def by_defect(values: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Image AUROC of every defect against the good images, mean over seeds; entries in columns."""
    rows = {}
    for (category, entry, _), part in values[values["entry"].isin(names)].groupby(["category", "entry", "seed"]):
        good = part[part["label"] == "good"]
        for (kind, defect), found in part[part["label"] != "good"].groupby(["label", "defect"]):
            both = pd.concat([good, found])
            value = image_auroc(both["score"].to_numpy(), (both["label"] != "good").to_numpy())
            rows.setdefault((category, kind, _plain(defect)), {}).setdefault(entry, []).append(value)
    table = pd.DataFrame({key: {n: np.mean(v) for n, v in found.items()} for key, found in rows.items()}).T
    return table[list(names)].rename(columns=_plain).round(3)


def costs(profile: str) -> pd.DataFrame:
    """What benchmarks/ensembles.py measured for a profile, on every device that there is a file of."""
    return measured("ensembles", profile)


def save_tables(
    results: pd.DataFrame, pictures: dict[str, Figure], tables: dict[str, pd.DataFrame], out: str | Path | None
) -> None:
    """All results as ensemble.csv; tables and figures by their names; into the folder `out`, or nowhere if None."""
    if out is None:
        return
    with whole_folder(ROOT / out) as folder:
        results.to_csv(folder / "ensemble.csv", index=False, float_format="%.6g")
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", float_format="%.6g")
        save_figures(folder, pictures, "png")


def _plain(name: str) -> str:
    return name.replace("_", " ")
