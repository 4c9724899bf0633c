"""What is found of each defect: AUROCs, and shares above a threshold by size and by contrast.

Tables have one row for each method, seed and image, with the columns method, seed, name, defect, score and found (bool:
the score is above the threshold).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iadlib.metrics.bootstrap import bootstrap_interval
from iadlib.metrics.detection import image_auroc
from iadlib.metrics.sizes import found_share


def defect_aurocs(scores: pd.DataFrame, defects: Sequence[str]) -> pd.DataFrame:
    """method, defect, images, auroc, low, high: each defect against the images whose defect is "good".

    Image AUROC, mean over the seeds, with a 95 % bootstrap interval over the images.
    """
    rows = []
    for method, part in scores.groupby("method", sort=False):
        wide = part.pivot(index=["name", "defect"], columns="seed", values="score")
        by_seed, present = wide.to_numpy().T, wide.index.get_level_values("defect").to_numpy()
        for defect in (defect for defect in defects if defect in set(present)):
            chosen = np.isin(present, ["good", defect])
            labels = present[chosen] == defect
            value = np.mean([image_auroc(row[chosen], labels) for row in by_seed])
            low, high = bootstrap_interval(image_auroc, by_seed[:, chosen], labels)
            rows.append((method, defect, int(labels.sum()), value, low, high))
    return pd.DataFrame(rows, columns=["method", "defect", "images", "auroc", "low", "high"])


def false_alarm_rates(scores: pd.DataFrame) -> pd.Series:
    """By method: the share of the good images above the threshold."""
    return scores[scores["defect"] == "good"].groupby("method", sort=False)["found"].mean()


def shares_by_third(found: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    """The share of each defect that is found, by thirds of a column within the defect, `names` from low to high.

    Columns: method, defect, `column` (the name of the third), found.
    """
    thirds = found.groupby("defect")[column].transform(lambda values: values.rank(pct=True, method="dense"))
    named = found.assign(**{column: pd.cut(thirds, [0, 1 / 3, 2 / 3, 1], labels=names)})
    keys = ["method", "defect", column]
    return named.groupby(keys, sort=False, observed=True)["found"].mean().reset_index().sort_values(["defect", column])


def size_curves(found: pd.DataFrame, halves: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The share that is found by size, as points and as the curves of `half_sizes`: method, defect, size, share.

    Points are shares in five bins of equally many images, at the median size. `found` has the column size.
    """
    points, curves = [], []
    for row in halves.itertuples():
        part = found[(found["method"] == row.method) & (found["defect"] == row.defect)]
        bins = pd.qcut(part["size"], 5, duplicates="drop")
        grouped = part.groupby(bins, observed=True).agg(size=("size", "median"), share=("found", "mean"))
        points.append(grouped.assign(method=row.method, defect=row.defect))
        sizes = np.geomspace(row.smallest, row.largest, 60)
        curve = pd.DataFrame({"size": sizes, "share": found_share(sizes, row.a, row.b)})
        curves.append(curve.assign(method=row.method, defect=row.defect))
    return pd.concat(points, ignore_index=True), pd.concat(curves, ignore_index=True)
