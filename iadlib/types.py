"""The two types that the steps of the study exchange.

Detectors return a `Prediction`, readers of a data set return `Region`s, and metrics take both: they depend neither on
the detector nor on the data set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


class Region:
    """One ground-truth region of one image.

    `mask` is boolean (H, W) with at least one true pixel. `saturation_area` is the number of pixels, 1 or more,
    that suffice to have found the region: overlap beyond it earns nothing in sPRO. Only the bounding box of the mask is
    kept, one bit a pixel; `mask` makes the whole array anew at each access.
    """

    def __init__(self, mask: np.ndarray, saturation_area: int, defect_name: str = ""):
        if mask.ndim != 2 or mask.dtype != bool:
            raise ValueError(f"a region's mask is boolean (H, W), not {mask.dtype} {mask.shape}")
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            raise ValueError(f"the region {defect_name!r} has no pixel")
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        self._set(mask[box], box, mask.shape, saturation_area, defect_name)

    @classmethod
    def from_box(
        cls,
        part: np.ndarray,
        box: tuple[slice, slice],
        shape: tuple[int, int],
        saturation_area: int,
        defect_name: str = "",
    ) -> "Region":
        """The region whose mask, of a `shape` (H, W), is `part` inside its bounding `box` and False elsewhere."""
        region = cls.__new__(cls)
        region._set(part, box, shape, saturation_area, defect_name)
        return region

    def _set(self, part, box, shape, saturation_area, defect_name) -> None:
        if saturation_area < 1:
            raise ValueError(f"the region {defect_name!r} saturates at {saturation_area} pixels; 1 or more")
        self.box: tuple[slice, slice] = box  # rows and columns that hold all of its pixels
        self.shape: tuple[int, int] = tuple(shape)  # (H, W) of the image
        self.area = int(np.count_nonzero(part))  # pixels
        self.saturation_area = saturation_area
        self.defect_name = defect_name
        self._packed = np.packbits(part)

    @property
    def part(self) -> np.ndarray:
        """The mask inside `box`, boolean."""
        rows, columns = (side.stop - side.start for side in self.box)
        return np.unpackbits(self._packed, count=rows * columns).view(bool).reshape(rows, columns)

    @property
    def mask(self) -> np.ndarray:
        """Boolean (H, W)."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[self.box] = self.part
        return mask

    def __repr__(self) -> str:
        return f"Region({self.defect_name!r}, {self.area} of {self.shape} pixels, saturates at {self.saturation_area})"


@dataclass(frozen=True, eq=False)
class Prediction:
    """The output of a detector for a batch: `scores` (N,) and `maps` (N, H, W), float32, higher = more anomalous.

    `maps` is None where the method cannot say where an anomaly is.
    """

    scores: np.ndarray
    maps: np.ndarray | None

    def __post_init__(self):
        shape = (len(self.scores), 0, 0) if self.maps is None else self.maps.shape
        if self.scores.ndim != 1 or len(shape) != 3 or len(self.scores) != shape[0]:
            raise ValueError(f"scores (N,) and maps (N, H, W) expected, not {self.scores.shape} and {shape}")

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """One prediction of several batches of the same detector."""
        maps = None if parts[0].maps is None else np.concatenate([part.maps for part in parts])
        return cls(np.concatenate([part.scores for part in parts]), maps)

    def first(self, count: int) -> "Prediction":
        """The prediction for the first images alone."""
        return Prediction(self.scores[:count], None if self.maps is None else self.maps[:count])
