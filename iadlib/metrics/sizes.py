"""The size at which half of the defects are found: a logistic curve over the logarithm of the size.

As in studies of the probability of detection (Berens 1989): the log-odds of being found are a log(size) + b, and half
are found at exp(-b / a). Intervals are percentile bootstraps over the images.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy  # its parts are imported when they are used
from numpy.typing import ArrayLike

RESAMPLES = 200


def half_sizes(
    found: pd.DataFrame, by: Sequence[str] = ("method", "defect"), resamples: int = RESAMPLES
) -> pd.DataFrame:
    """One row for each combination of the columns `by`: the size at which half of the defects are found.

    `found` has the columns name, size, seed and found (bool) besides `by`, one row for an image and seed. The result's
    columns: `by`; share (of all that is found); half, low, high (the size with its 95 % interval over the images, all
    seeds of an image together); a and b of the curve; smallest and largest size. Half is infinite where fewer than
    half are found at every size drawn, and 0 where more than half are.
    """
    rows = []
    for key, part in found.groupby(list(by), sort=False):
        wide = part.pivot(index=["name", "size"], columns="seed", values="found").astype(float)
        size, share = wide.index.get_level_values("size").to_numpy(), wide.mean(axis=1).to_numpy()
        rng, ends = np.random.default_rng(0), (size.min(), size.max())
        drawn = rng.integers(0, len(size), (resamples, len(size)))
        resampled = [half_size(*fit_curve(size[chosen], share[chosen]), ends) for chosen in drawn]
        a, b = fit_curve(size, share)
        low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")
        row = dict(zip(by, key, strict=True)) | {"share": share.mean(), "half": half_size(a, b, ends)}
        rows.append({**row, "low": low, "high": high, "a": a, "b": b, "smallest": ends[0], "largest": ends[1]})
    return pd.DataFrame(rows)


def fit_curve(size: ArrayLike, share: ArrayLike) -> tuple[float, float]:
    """a and b of the log-odds a log(size) + b, from sizes (N,) and the share of each that is found (N,), 0 to 1.

    The penalty is small (C = 100), so that a is finite where the sizes found and those missed do not overlap. Where
    all or none are found a is 0, and b infinite or minus infinite.
    """
    size, share = np.asarray(size, dtype=float), np.asarray(share, dtype=float)
    if share.min() == 1 or share.max() == 0:
        return 0.0, np.inf if share.any() else -np.inf
    weights = np.concatenate([share, 1 - share])
    log_size = np.tile(np.log(size), 2)[:, None]
    labels = np.repeat([1, 0], len(size))
    from sklearn.linear_model import LogisticRegression  # here, because its import takes half a second

    model = LogisticRegression(C=100.0).fit(log_size, labels, sample_weight=weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def half_size(a: float, b: float, ends: tuple[float, float]) -> float:
    """The size at which the curve is 1/2; 0 if it is above at both `ends` (smallest, largest), infinite if below.

    >>> round(half_size(2.0, -4.0, (1.0, 10.0)), 4)  # exp(2)
    7.3891
    """
    at_ends = [a * np.log(end) + b for end in ends]
    if min(at_ends) >= 0:
        return 0.0
    return np.inf if max(at_ends) < 0 or a <= 0 else float(np.exp(-b / a))


def found_share(size: ArrayLike, a: float, b: float) -> np.ndarray:
    """The curve: the share of defects of these sizes that is found."""
    return scipy.special.expit(np.clip(a * np.log(size) + b, -50, 50))
