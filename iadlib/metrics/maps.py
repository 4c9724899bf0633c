"""Anomaly maps that are made one at a time, so that those of a whole test set need not fit into memory."""

from collections.abc import Callable, Sequence

import numpy as np


class LazyMaps(Sequence):
    """`count` maps (H, W); map i is `make(i)`, made anew whenever it is indexed."""

    def __init__(self, count: int, make: Callable[[int], np.ndarray]):
        self.count, self.make = count, make

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> np.ndarray:
        return self.make(range(self.count)[i])


def resize_maps(maps: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]) -> LazyMaps:
    """Maps (N, h, w), or a sequence of (h, w), each resized to its photograph's (height, width), bilinear.

    >>> [resized] = resize_maps(np.array([[[0.0, 4.0]]], dtype=np.float32), [(1, 4)])
    >>> resized.tolist()  # pixels are areas: the new centres lie a quarter of an old pixel beside the old ones
    [[0.0, 1.0, 3.0, 4.0]]
    """
    if len(maps) != len(sizes):
        raise ValueError(f"{len(maps)} maps for the sizes of {len(sizes)} images")

    def resized(i: int) -> np.ndarray:
        heat, size = np.ascontiguousarray(maps[i], dtype=np.float32), tuple(map(int, sizes[i]))
        if heat.shape == size:
            return heat
        import torch  # here, because its import takes seconds and most users of metrics resize no map
        import torch.nn.functional as F

        return F.interpolate(torch.from_numpy(heat)[None, None], size, mode="bilinear")[0, 0].numpy()

    return LazyMaps(len(sizes), resized)
