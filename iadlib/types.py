"""The two values that cross borders between the steps of the study.

Detectors return a `Prediction`, readers of a data set return `Region`s, and metrics take both apart again:
nobody needs to know which detector or which data set they came from.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Region:
    """One ground-truth region of one image.

    `mask` is boolean (H, W) with at least one true pixel. `saturation_area` is the number of pixels, 1 or more,
    that suffice to have found the region: overlap beyond it earns nothing in sPRO.
    """

    mask: np.ndarray
    saturation_area: int
    defect_name: str = ""

    def __post_init__(self):
        if self.mask.ndim != 2 or self.mask.dtype != bool:
            raise ValueError(f"a region's mask is boolean (H, W), not {self.mask.dtype} {self.mask.shape}")
        if not self.mask.any():
            raise ValueError(f"the region {self.defect_name!r} has no pixel")
        if self.saturation_area < 1:
            raise ValueError(f"the region {self.defect_name!r} saturates at {self.saturation_area} pixels; 1 or more")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a detector says of a batch: `scores` (N,) and `maps` (N, H, W), float32, higher = more anomalous."""

    scores: np.ndarray
    maps: np.ndarray

    def __post_init__(self):
        if self.scores.ndim != 1 or self.maps.ndim != 3 or len(self.scores) != len(self.maps):
            raise ValueError(f"scores (N,) and maps (N, H, W) expected, not {self.scores.shape} and {self.maps.shape}")
