"""How the saturated overlap (sPRO) of one region grows with the share of the region that a map marks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iadlib.types import Region


def growing_marks(region: Region, areas: Sequence[float]) -> list[np.ndarray]:
    """Marks (H, W) bool of the given areas in pixels, grown from the centre of the region."""
    rows, columns = np.nonzero(region.mask)
    order = np.argsort(np.hypot(rows - rows.mean(), columns - columns.mean()), kind="stable")
    position = np.full(region.mask.shape, len(order))
    position[rows[order], columns[order]] = np.arange(len(order))
    return [position < round(area) for area in areas]


def saturation_table(region: Region) -> pd.DataFrame:
    """share (of the region that is marked), sPRO and PRO.

    >>> saturation_table(Region(np.ones((1, 4), bool), saturation_area=2)).iloc[[25, 50, 100]].to_numpy().tolist()
    [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [1.0, 1.0, 1.0]]
    """
    enough = region.saturation_area / region.mask.sum()
    share = np.union1d(np.linspace(0, 1, 101), enough)
    return pd.DataFrame({"share": share, "sPRO": np.minimum(1, share / enough), "PRO": share})
