"""Detectors, ensembles or radii on the same test images: what each says of every image, and of every pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from iadlib.data import Category, image_sizes
from iadlib.metrics import au_spro_by_image, image_auroc, pixel_auroc
from iadlib.study.cells import anomaly_kinds, maps_at
from iadlib.study.pictures import defects_of


@dataclass(frozen=True, eq=False)
class Entry:
    """One line of the comparison; `maps` (N, H, W) are None where scores alone are combined."""

    group: str
    name: str
    seed: int
    scores: np.ndarray  # (N,)
    maps: np.ndarray | None


def values(category: Category, entries: Sequence[Entry]) -> pd.DataFrame:
    """One line for every entry, seed and test image: its score, and the mean of what its regions add to the AU-sPRO."""
    test = category.of("test")
    kinds = test["label"].to_numpy()
    regions, known = _truth(category)
    tables = []
    for entry in entries:
        found = np.full(len(test), np.nan)
        if entry.maps is not None:
            maps = maps_at(entry.maps, image_sizes(test["image"]))
            for kind in anomaly_kinds(category):
                within = [i for i in known if kinds[i] in (kind, "good")]
                areas = au_spro_by_image([maps[i] for i in within], [regions[i] for i in within])
                found[within] = np.where(np.isnan(areas), found[within], areas)
        table = test[["name", "label"]].assign(defect=defects_of(category), score=entry.scores, au_spro=found)
        table["regions"] = [len(listed) for listed in regions]
        tables.append(table.assign(category=category.name, group=entry.group, entry=entry.name, seed=entry.seed))
    return pd.concat(tables, ignore_index=True)


def pixel_aurocs(category: Category, entries: Sequence[Entry]) -> pd.DataFrame:
    """One line for every entry that has maps, and seed."""
    sizes = image_sizes(category.of("test")["image"])
    regions, known = _truth(category)
    rows = []
    for entry in (entry for entry in entries if entry.maps is not None):
        maps = maps_at(entry.maps, sizes)
        value = pixel_auroc([maps[i] for i in known], [regions[i] for i in known])
        rows.append((category.name, entry.group, entry.name, entry.seed, value))
    return pd.DataFrame(rows, columns=["category", "group", "entry", "seed", "pixel_auroc"])


def _truth(category: Category) -> tuple[list, np.ndarray]:
    """The regions of every test image, and which images have known ones: good, or with a mask."""
    test = category.of("test")
    regions = [category.regions(i) for i in range(len(test))]
    return regions, np.flatnonzero(test["has_mask"] | (test["label"] == "good"))


def by_defect(values: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Image AUROC of every defect against the good images, mean over seeds; entries in columns."""
    rows = {}
    for (category, entry, _), part in values[values["entry"].isin(names)].groupby(["category", "entry", "seed"]):
        good = part[part["label"] == "good"]
        for (kind, defect), found in part[part["label"] != "good"].groupby(["label", "defect"]):
            both = pd.concat([good, found])
            value = image_auroc(both["score"].to_numpy(), (both["label"] != "good").to_numpy())
            rows.setdefault((category, kind, plain(defect)), {}).setdefault(entry, []).append(value)
    table = pd.DataFrame({key: {n: np.mean(v) for n, v in found.items()} for key, found in rows.items()}).T
    return table[list(names)].rename(columns=plain).round(3)


def plain(name: str) -> str:
    return name.replace("_", " ")
