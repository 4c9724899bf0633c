"""Anomaly maps at the size of their photographs, one at a time."""

from collections.abc import Sequence

import numpy as np


class ResizedMaps(Sequence):
    """Maps (H, W), float32, each resized when it is asked for, so that one map is in memory at a time."""

    def __init__(self, maps: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]):
        if len(maps) != len(sizes):
            raise ValueError(f"{len(maps)} maps for the sizes of {len(sizes)} images")
        self.maps, self.sizes = maps, [tuple(map(int, size)) for size in sizes]

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> np.ndarray:
        heat = np.ascontiguousarray(self.maps[i], dtype=np.float32)
        if heat.shape == self.sizes[i]:
            return heat
        import torch  # here, because its import takes seconds and most users of metrics resize no map
        import torch.nn.functional as F

        image = torch.from_numpy(heat)[None, None]
        return F.interpolate(image, size=self.sizes[i], mode="bilinear", align_corners=False)[0, 0].numpy()


def resize_maps(maps: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]) -> ResizedMaps:
    """Maps (N, h, w), or a sequence of (h, w), each resized to its photograph's (height, width) by bilinear
    interpolation. The result is a sequence of (height, width) that resizes a map whenever it is indexed.

    >>> [resized] = resize_maps(np.array([[[0.0, 4.0]]], dtype=np.float32), [(1, 4)])
    >>> resized.tolist()  # pixels are areas: the new centres lie a quarter of an old pixel beside the old ones
    [[0.0, 1.0, 3.0, 4.0]]
    """
    return ResizedMaps(maps, sizes)


class ChosenMaps(Sequence):
    """The maps at some indices of a sequence, each taken from it when it is asked for."""

    def __init__(self, maps: Sequence[np.ndarray], indices: Sequence[int]):
        self.maps, self.indices = maps, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.maps[self.indices[i]]
