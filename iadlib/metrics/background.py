"""Where a detector's highest scores of defect-free pixels lie: on the part or on the background."""

from collections.abc import Sequence

import numpy as np

from iadlib.metrics.ground_truth import Regions, ground_truths

HIGHEST_SHARE = 0.01  # of the defect-free pixels: those that raise false alarms first


def background_share(
    maps: Sequence[np.ndarray], regions: Regions, parts: Sequence[np.ndarray], highest_share: float = HIGHEST_SHARE
) -> tuple[float, float]:
    """The share of the `highest_share` highest-scoring defect-free pixels that lies on the background, and the share
    of all defect-free pixels that does.

    `maps` and `parts` are sequences of (H, W), one for every image; `parts` is True where the part is. Defect-free
    pixels of all images are pooled; of tied scores those of earlier images and rows count as the higher ones.

    >>> part, heat = np.array([[True, True, False, False]]), np.array([[0.2, 0.1, 0.9, 0.3]])
    >>> background_share([heat], [[]], [part], highest_share=0.5)
    (1.0, 0.5)
    """
    scores, background = [], []
    for heat, truth, part in zip(maps, ground_truths(regions), parts, strict=True):
        free = np.ones(part.size, bool)
        free[truth.pixels] = False
        scores.append(np.ravel(heat)[free])
        background.append(~part.ravel()[free])
    scores, background = np.concatenate(scores), np.concatenate(background)
    count = round(highest_share * len(scores))
    if not count:
        return float("nan"), float(background.mean()) if len(background) else float("nan")
    lowest = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > lowest)
    tied = np.flatnonzero(scores == lowest)[: count - len(above)]
    return float(np.mean(background[np.r_[above, tied]])), float(background.mean())
