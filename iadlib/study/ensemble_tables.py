"""From the values of every entry on every test image to tables, with intervals of paired differences."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from iadlib.study.comparisons import plain
from iadlib.study.differences import TITLES, Cells, Judged, collect, difference
from iadlib.study.ensembles import ALONE, FEATURE, THESIS
from iadlib.study.folders import ROOT, read_grid, save_figures, whole_folder
from iadlib.study.tables import measured, shown

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


def results(values: pd.DataFrame, pixels: pd.DataFrame) -> pd.DataFrame:
    """One line for every category, group, entry, seed, metric and kind, with its value."""
    rows = []
    for (category, group, entry), part in values.groupby(["category", "group", "entry"], sort=False):
        cell, seeds = Judged.of(part), part["seed"].unique()
        for metric in TITLES:
            for kind in cell.kinds():
                for seed, value in zip(seeds, cell.by_seed(metric, kind)[0], strict=True):
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
    table = table.rename(columns=METRICS, level=0).rename(index=GROUPS, level=0).rename(index=plain, level=1)
    return table.fillna("").rename_axis(index=[None, None], columns=[None, None])


def best(results: pd.DataFrame, group: str, metric: str) -> str:
    """The entry of a group with the highest mean over categories and kinds: chosen in its favour, on test images."""
    rows = results[(results["group"] == group) & (results["metric"] == metric)]
    by_category = rows.groupby(["entry", "category"])["value"].mean()
    return by_category.groupby("entry").mean().idxmax()


def against(cells: Cells, results: pd.DataFrame, categories: Sequence[str] = ()) -> pd.DataFrame:
    """Both feature ensembles less every detector alone and every output-level ensemble; the best of a group is marked.

    In the mean over kinds and the categories, all unless named; which is the best does not depend on these.
    """
    rows = []
    for entry, (metric, title) in product((FEATURE, ALONE), TITLES.items()):
        for group in ("member", "output", "backbones"):
            for other in dict.fromkeys(results.loc[results["group"] == group, "entry"]):
                marked = " (best)" if other == best(results, group, metric) else ""
                found = difference(cells, entry, other, metric, categories=categories)
                named = {"ensemble": entry, "metric": title, "against": f"{GROUPS[group]}: {plain(other)}{marked}"}
                rows.append(named | found)
    return pd.DataFrame(rows).set_index(["ensemble", "metric", "against"])


def by_category(cells: Cells, results: pd.DataFrame) -> pd.DataFrame:
    """The feature ensemble less the best detector alone and the best output-level ensemble, by category and kind."""
    rows = []
    for (metric, title), group in product(TITLES.items(), ("member", "output")):
        other = best(results, group, metric)
        for category in dict.fromkeys(category for category, _ in cells):
            for kind in cells[category, FEATURE].kinds():
                against = f"{GROUPS[group]}: {plain(other)}"
                found = difference(cells, FEATURE, other, metric, [kind], [category])
                rows.append({"metric": title, "against": against, "category": category, "kind": kind} | found)
    return pd.DataFrame(rows)


def with_ablation_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the seeds that other designs were fitted with: what is compared with them has no more."""
    return table[table["seed"].isin(table.loc[table["group"] == "design", "seed"])]


def of_designs(values: pd.DataFrame) -> pd.DataFrame:
    """Every other design less the study's, in the mean over categories and kinds, on the seeds of the designs."""
    values = with_ablation_seeds(values)
    cells = collect(values)
    names = [ALONE, THESIS, *dict.fromkeys(values.loc[values["group"] == "design", "entry"])]
    return pd.DataFrame(
        [
            {"metric": title, "design": name, "kind": "both kinds", **difference(cells, name, FEATURE, metric)}
            for metric, title in TITLES.items()
            for name in names
        ]
    )


def of_pairs(cells: Cells, results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Of every pair: both members, their outputs' mean and their features, and features less outputs, with interval."""
    pairs = results[results["group"] == "pair"]
    names = dict.fromkeys(pairs["entry"].str.partition(": ")[0])
    results = results[results["seed"].isin(pairs["seed"].unique())]  # members have been fitted with more seeds
    mean = results[results["metric"] == metric].groupby(["entry", "category"])["value"].mean().groupby("entry").mean()
    rows = {}
    for name in names:
        found = difference(cells, f"{name}: features", f"{name}: outputs", metric)
        rows[plain(name)] = {
            "better member": max(mean[member] for member in name.split(" + ")),
            "outputs": mean[f"{name}: outputs"],
            "features": mean[f"{name}: features"],
            "features less outputs": found["difference"],
            "low": found["low"],
            "high": found["high"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").round(3).rename_axis("pair")


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
            numbered = isinstance(table.index, pd.RangeIndex)
            table.to_csv(folder / f"{name}.csv", index=not numbered, float_format="%.6g")
        save_figures(folder, pictures, "png")
