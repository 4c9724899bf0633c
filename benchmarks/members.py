"""Which detectors an ensemble should have: single detectors, all pairs and a growing set, on development data.

    for category in pushpins fastener_kit; do
        python -m iadlib render $category --seed 1000 --out draws/$category; done
    python benchmarks/members.py draws/* FOLDERS_WITH_PHOTOGRAPHS

All detectors are fitted with the settings of their classes and seed 0. Sets are judged by the mean of their members'
standardised scores, and by the mean with weights from artificial anomalies (iadlib/ensemble/compositions.py). By the
latter, the growing set takes the detector next with which the mean over the folders is highest. Values are image AUROC,
the mean over the kinds of anomalies. The folders are development data, which the study never reports. The committed
table is of former defaults: PatchCore's coreset of 0.02, SimpleNet's last weights, DRAEM with 600 of its code's steps,
AnoDDPM with a depth of 200, GCAD with 300 steps of 8 images, SINBAD's layers alone, and the pooled Gaussian's grids [1,
3]. Writes benchmarks/members.csv.
"""

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from iadlib.commands.fit import working_size
from iadlib.data import Category, load_category
from iadlib.detectors import DETECTORS, create, detector_class
from iadlib.ensemble.compositions import changed_compositions, changed_places, weights_of
from iadlib.metrics import image_auroc
from iadlib.metrics.combining import standardised
from iadlib.metrics.entries import MEAN, WEIGHTED
from iadlib.parallel import in_parallel

Scores = dict[str, tuple[np.ndarray, float]]  # detector -> standardised scores of the test images (N,) and its weight


def scores_of(category: Category, detector: str) -> tuple[np.ndarray, float]:
    size = working_size(category, detector, None)
    train, validation, test = (category.images(split, size) for split in ("train", "validation", "test"))
    fitted = create(detector).fit(train, validation)
    normal, changed = fitted.predict(validation), changed_compositions(validation)
    weight, _ = weights_of(normal, fitted.predict(changed), changed_places(changed, validation))
    return standardised(fitted.predict(test).scores, normal.scores), weight


def auroc(category: Category, scores: np.ndarray) -> float:
    """The mean over the kinds of anomalies."""
    labels = category.of("test")["label"].to_numpy()
    kinds = sorted(set(labels) - {"good"})
    return float(
        np.mean(
            [
                image_auroc(scores[chosen], labels[chosen] != "good")
                for chosen in (np.isin(labels, ["good", kind]) for kind in kinds)
            ]
        )
    )


def judged(categories: Sequence[Category], scores: Sequence[Scores], members: Sequence[str], kind: str) -> dict:
    """One row: a set of members on every folder."""
    row = {"kind": kind, "members": " + ".join(detector_class(name).title for name in members)}
    for how in (MEAN, WEIGHTED):
        for category, known in zip(categories, scores, strict=True):
            values, weights = zip(*(known[name] for name in members), strict=True)
            together = np.average(values, axis=0, weights=weights if how == WEIGHTED else None)
            row[f"{category.name}, {how}"] = auroc(category, together)
        row[f"all, {how}"] = np.mean([value for name, value in row.items() if name.endswith(f", {how}")])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="categories with labelled test images")
    categories = [load_category(folder) for folder in parser.parse_args().folders]
    if len({category.name for category in categories}) < len(categories):
        parser.error("folders need different names: columns are named after them")
    tasks = [(category, name) for category in categories for name in DETECTORS]
    tasks.sort(key=lambda task: not detector_class(task[1]).slow)
    found = {
        (task[0].name, task[1]): each
        for task, each in zip(tasks, in_parallel(scores_of, tasks, "fitting"), strict=True)
    }
    scores = [{name: found[category.name, name] for name in DETECTORS} for category in categories]
    rows = [judged(categories, scores, [name], "single") for name in DETECTORS]
    rows += [judged(categories, scores, pair, "pair") for pair in combinations(DETECTORS, 2)]
    chosen: list[str] = []
    while len(chosen) < len(DETECTORS):
        candidates = [[*chosen, name] for name in DETECTORS if name not in chosen]
        tried = [judged(categories, scores, members, "growing set") for members in candidates]
        best = int(np.argmax([row[f"all, {WEIGHTED}"] for row in tried]))
        chosen = candidates[best]
        rows.append(tried[best])
    table = pd.DataFrame(rows).round(4)
    out = Path(__file__).with_suffix(".csv")
    table.to_csv(out, index=False)
    print(table[table["kind"] != "pair"].to_string(index=False))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
