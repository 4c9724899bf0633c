"""Tables over all categories, detectors and ensembles, from the values of every test image.

Intervals that another table of the study has are taken from there; the others are computed here.

An *entry* is a detector alone, an ensemble of outputs or a feature ensemble. The *reference* is the detector alone with
the highest mean image AUROC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, studentized_range

from iadlib.data import DataError
from iadlib.figures.text import titled
from iadlib.metrics.bootstrap import percentiles, resampling_counts
from iadlib.metrics.differences import DIFFERENCE_METRICS, RESAMPLES, Cells, Judged, collect, difference
from iadlib.metrics.entries import ALONE, MEAN, SOFT, THESIS, WEIGHTED
from iadlib.metrics.report import KINDS
from iadlib.metrics.values import LONG
from iadlib.study import Study, ensemble
from iadlib.study.defects import CATEGORY
from iadlib.study.tables import by_kind, metrics_of

GROUPS = ("output", "backbones", "feature")  # of the ensembles; those fitted with test labels are left out
LEFT_OUT = (ALONE, THESIS, WEIGHTED, "maximum", "vote")
LEVEL = 0.05  # of the tests of ranks


def name_of(entry: str) -> str:
    """The name of an entry in tables and figures.

    >>> name_of("mean")
    'mean of outputs'
    """
    return f"{entry} of outputs" if entry in (MEAN, SOFT) else titled(entry)


@dataclass(frozen=True)
class Findings:
    """The entries of one profile, judged on the same test images."""

    study: Study

    @cached_property
    def values(self) -> pd.DataFrame:
        """The rows of values.csv of every entry: category, group, entry, seed, name, label, defect, score, ..."""
        detectors = self.study.gather("benchmark", self.study.grid["categories"], "values", LONG)
        ensembles = ensemble.read(self.study, "values")
        chosen = ensembles["group"].isin(GROUPS) & ~ensembles["entry"].isin(LEFT_OUT)
        if detectors.empty:
            raise DataError(f"{self.study.reports}/benchmark: no results; `dvc repro` computes them")
        parts = [part for part in (detectors.assign(group="member"), ensembles[chosen]) if len(part)]
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def cells(self) -> Cells:
        return collect(self.values)

    @cached_property
    def groups(self) -> dict[str, str]:
        """The group of every entry that all categories have, in the order of the tables."""
        counts = self.values.groupby("entry", sort=False)["category"].nunique()
        complete = self.values[self.values["entry"].map(counts) == self.values["category"].nunique()]
        return dict(zip(complete["entry"], complete["group"], strict=True))

    @cached_property
    def detectors(self) -> list[str]:
        return [entry for entry, group in self.groups.items() if group == "member"]

    @cached_property
    def categories(self) -> list[str]:
        """The categories that have good and anomalous test images."""
        labels = self.values.groupby("category", sort=False)["label"].unique()
        return [name for name, found in labels.items() if "good" in found and len(found) > 1]

    @cached_property
    def both_kinds(self) -> list[str]:
        """The categories with logical and structural anomalies; all categories where none has both."""
        kinds = {name: self.cells[name, next(iter(self.groups))].kinds() for name in self.categories}
        return [name for name, found in kinds.items() if len(found) == len(KINDS)] or self.categories

    @cached_property
    def reference(self) -> str:
        """The detector with the highest mean image AUROC over kinds and categories."""
        means = self.main[
            (self.main["metric"] == "image AUROC") & self.main["entry"].isin(map(name_of, self.detectors))
        ]
        best = means.groupby("entry", sort=False)["value"].mean().idxmax()
        return next(entry for entry in self.detectors if name_of(entry) == best)

    @cached_property
    def main(self) -> pd.DataFrame:
        """entry, group, metric, kind, value, low, high: means over seeds and the categories that have both kinds."""
        rows = [
            {"entry": name_of(entry), "group": group, "metric": title, "kind": kind}
            | self.mean(entry, metric, kind, self.both_kinds)
            for (entry, group), (metric, title), kind in product(
                self.groups.items(), DIFFERENCE_METRICS.items(), self.kinds(self.both_kinds)
            )
        ]
        columns = ["entry", "group", "metric", "kind", "value", "low", "high"]
        return pd.DataFrame(rows, columns=columns).dropna(subset="value")

    @cached_property
    def leads(self) -> pd.DataFrame:
        """entry, category, kind, difference, low, high: image AUROC of every other entry minus the reference.

        By category and as the mean over the categories that have both kinds ("all").
        """
        places = {name: [name] for name in self.categories} | {"all": self.both_kinds}
        rows = [
            {"entry": name_of(entry), "category": place, "kind": kind}
            | difference(self.cells, entry, self.reference, "image_auroc", [kind], categories)
            for place, categories in places.items()
            for kind, entry in product(self.kinds(categories), self.groups)
            if entry != self.reference
        ]
        return pd.DataFrame(rows, columns=["entry", "category", "kind", "difference", "low", "high"])

    @cached_property
    def by_category(self) -> pd.DataFrame:
        """entry, category, kind, value, low, high: image AUROC of every entry on every category.

        Detectors have the values and intervals of metrics.json.
        """
        known = by_kind(metrics_of(self.study, self.categories), "image_auroc")
        known = intervals_by(["category", "method", "kind"], known.rename(columns={"mean": "value"}))
        rows = [
            {"entry": name_of(entry), "category": category, "kind": kind}
            | (known.get((category, entry, kind)) or self.mean(entry, "image_auroc", kind, [category]))
            for category in self.categories
            for kind, entry in product(self.kinds([category]), self.groups)
        ]
        return pd.DataFrame(rows, columns=["entry", "category", "kind", "value", "low", "high"])

    def mean(self, entry: str, metric: str, kind: str, categories: Sequence[str]) -> dict[str, float]:
        """value, low, high: the mean over categories and seeds with a 95 % bootstrap interval over the test images."""
        found = []
        for number, category in enumerate(categories):
            judged = self.cells[category, entry]
            counts = resampling_counts(judged.labels, RESAMPLES, seed=number)
            found.append([*judged.value(metric, [kind]), *judged.value(metric, [kind], counts)])
        value, *resampled = np.mean(found, axis=0)
        low, high = percentiles(resampled)
        return {"value": float(value), "low": low, "high": high}

    @cached_property
    def by_defect(self) -> pd.DataFrame:
        """category, kind, defect, images, entry, value, low, high: image AUROC of a defect against the good images.

        Detectors on the flat connector have the values and intervals of defects/aurocs.csv.
        """
        known = self.study.table("defects", "aurocs.csv", empty=["method", "defect", "auroc", "low", "high"])
        known = intervals_by(["method", "defect"], known.rename(columns={"auroc": "value"}))
        good = self.values["label"] == "good"
        label = self.values["label"].where(good, self.values["label"] + ": " + self.values["defect"])
        cells, rows = collect(self.values.assign(label=label)), []
        for category, entry in product(self.categories, self.groups):
            judged = cells[category, entry]
            for label in sorted(set(judged.labels) - {"good"}):
                kind, _, defect = label.partition(": ")
                in_table = known.get((entry, defect)) if category == CATEGORY else None
                found = in_table or interval_of(judged, label)
                images = int((judged.labels == label).sum())
                rows.append((category, kind, defect, images, name_of(entry), *found.values()))
        columns = ["category", "kind", "defect", "images", "entry", "value", "low", "high"]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """entry, rank, best, worst, and the rank by category: ranks of the mean image AUROC over kinds and seeds.

        Seeds are averaged before images are ranked, since all seeds are judged on the same images. Empty with fewer
        than three entries or two categories.
        """
        scores = self._mean_aurocs()
        if scores.shape[0] < 2 or scores.shape[1] < 3:
            return pd.DataFrame(columns=["entry", "rank", "best", "worst"])
        ranks = scores.rank(axis=1, ascending=False).T
        summary = {"rank": ranks.mean(axis=1), "best": ranks.min(axis=1), "worst": ranks.max(axis=1)}
        return pd.concat([pd.DataFrame(summary), ranks], axis=1).sort_values("rank").rename_axis("entry").reset_index()

    @cached_property
    def rank_tests(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Nemenyi's p-values by pair of entries, and one row about the test: categories, entries, p of Friedman's test.

        "critical difference": average ranks that differ less are not told apart at the level 0.05.
        """
        from scikit_posthocs import posthoc_nemenyi_friedman  # its import takes two seconds

        scores = self._mean_aurocs()
        blocks, entries = scores.shape
        p_values = posthoc_nemenyi_friedman(scores.to_numpy())
        p_values = pd.DataFrame(np.asarray(p_values), index=scores.columns, columns=scores.columns)
        quantile = studentized_range.ppf(1 - LEVEL, entries, np.inf) / np.sqrt(2)
        critical = quantile * np.sqrt(entries * (entries + 1) / (6 * blocks))
        pairs = np.triu(p_values < LEVEL, 1)
        about = {
            "categories": blocks,
            "entries": entries,
            "Friedman p": friedmanchisquare(*scores.to_numpy().T).pvalue,
            "critical difference": critical,
            "pairs": entries * (entries - 1) // 2,
            "pairs told apart": int(pairs.sum()),
        }
        return p_values, pd.DataFrame([about])

    def _mean_aurocs(self) -> pd.DataFrame:
        """Mean image AUROC over kinds and seeds: categories in rows, entries in columns."""
        wide = self.by_category.groupby(["category", "entry"], sort=False)["value"].mean().unstack(sort=False)
        return wide.dropna(axis=1)

    def kinds(self, categories: Sequence[str]) -> list[str]:
        """The kinds of anomaly that some of the categories have."""
        present = {kind for name in categories for kind in self.cells[name, next(iter(self.groups))].kinds()}
        return [kind for kind in KINDS if kind in present]


def intervals_by(keys: list[str], table: pd.DataFrame) -> dict[tuple[str, ...], dict[str, float]]:
    """value, low and high of the rows that have an interval, by the values of `keys`."""
    return table.dropna(subset=["low", "high"]).set_index(keys)[["value", "low", "high"]].to_dict("index")


def interval_of(judged: Judged, kind: str) -> dict[str, float]:
    """value, low, high of the image AUROC of one kind, mean over seeds."""
    counts = resampling_counts(judged.labels, RESAMPLES, seed=0)
    low, high = percentiles(judged.value("image_auroc", [kind], counts))
    return {"value": float(judged.value("image_auroc", [kind])[0]), "low": low, "high": high}


def best_by_defect(table: pd.DataFrame, reference: str, kind: str, entries: Sequence[str]) -> pd.DataFrame:
    """One row for each defect of a kind: the entry with the highest image AUROC beside the reference."""
    rows = table[(table["kind"] == kind) & table["entry"].isin(entries)]
    keys = ["category", "defect"]
    best = rows.loc[rows.groupby(keys, sort=False)["value"].idxmax()]
    others = rows[rows["entry"] == reference].set_index(keys)
    known = others.loc[pd.MultiIndex.from_frame(best[keys])]
    more = {f"reference {name}": known[name].to_numpy() for name in ("value", "low", "high")}
    return best.assign(reference=reference, **more).reset_index(drop=True)


def best_by_category(table: pd.DataFrame, entries: Sequence[str]) -> pd.DataFrame:
    """One row for each category and kind: the entry with the highest image AUROC, and how many reach its interval.

    "as good": how many of the other entries have a value that is not below the best one's interval.
    """
    rows = table[table["entry"].isin(entries)]
    best = rows.loc[rows.groupby(["category", "kind"], sort=False)["value"].idxmax()].reset_index(drop=True)
    counts = [
        int((rows[(rows["category"] == one.category) & (rows["kind"] == one.kind)]["value"] >= one.low).sum()) - 1
        for one in best.itertuples()
    ]
    return best.assign(**{"as good": counts})
