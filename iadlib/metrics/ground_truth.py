"""Ground-truth regions as lists of pixels: small in memory, and quick to look up in a map."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from iadlib.types import Region

Regions = Sequence[Sequence[Region]]  # of every image, [] for a good one; a `GroundTruth` may stand for a list


class RegionPixels(NamedTuple):
    """One region: which of the image's defective pixels belong to it, its saturation area and its defect."""

    places: np.ndarray  # indices into `GroundTruth.pixels`
    saturation_area: int
    defect_name: str

    def highest(self, scores: np.ndarray, whole: bool = False) -> np.ndarray:
        """Ascending, the scores at which the region's sPRO rises: its highest, as many as saturate it (or all).

        `scores` are those of all defective pixels of the image.
        """
        scores = np.sort(scores[self.places])
        return scores if whole else scores[max(0, len(scores) - self.saturation_area) :]


class GroundTruth(Sequence):
    """All regions of one image as a sequence of `RegionPixels`.

    `pixels` are the row-major indices of all defective pixels, each once, ascending; `shape` is (height, width), None
    without regions. Instead of one mask (H, W) for each region it holds a number for each defective pixel.
    """

    def __init__(self, regions: Iterable[Region]):
        regions = list(regions)
        shapes = sorted({region.shape for region in regions})
        if len(shapes) > 1:
            raise ValueError(f"regions of one image are of shapes {shapes[0]} and {shapes[1]}")
        self.shape = shapes[0] if shapes else None
        defective = np.zeros(self.shape or (0, 0), dtype=bool)
        for region in regions:
            defective[region.box] |= region.part
        self.pixels = np.flatnonzero(defective)
        self._regions = [
            RegionPixels(
                np.searchsorted(self.pixels, _pixels_of(region)).astype(np.int32),
                region.saturation_area,
                region.defect_name,
            )
            for region in regions
        ]

    def __len__(self) -> int:
        return len(self._regions)

    def __getitem__(self, i: int) -> RegionPixels:
        return self._regions[i]


def _pixels_of(region: Region) -> np.ndarray:
    """Row-major indices of the region's pixels in its image, ascending."""
    rows, columns = np.nonzero(region.part)
    return (rows + region.box[0].start) * region.shape[1] + columns + region.box[1].start


def ground_truths(regions: Regions) -> list[GroundTruth]:
    """The regions of every image as pixels; a `GroundTruth` stays as it is.

    `regions` may be a generator that reads the masks of one image at a time.
    """
    return [each if isinstance(each, GroundTruth) else GroundTruth(each) for each in regions]
