"""The maps of many images in one tensor: in memory, or in a temporary file where they are large."""

import math
import tempfile
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from iadlib.detectors.base import FEATURE_BYTES


def stored(batches: Iterable[Sequence[Tensor]], count: int) -> list[Tensor]:
    """One tensor (count, C, h, w) a member, on the CPU, of batches of one map (n, C, h, w) a member each.

    Maps of a member that take more than FEATURE_BYTES lie in a temporary file, in the folder that TMPDIR names: the
    operating system keeps in memory what there is room for. All have one memory format: the last bits of what is
    computed from maps depend on it.
    """
    whole, first = [], 0
    for maps in batches:
        whole = whole or [_empty(count, each) for each in maps]
        rows = slice(first, first + len(maps[0]))
        for one, each in zip(whole, maps, strict=True):
            one[rows] = each
        first = rows.stop
    return whole


def _empty(count: int, like: Tensor) -> Tensor:
    """Room for `count` such maps; a tensor that is contiguous in both formats has the strides of the usual one."""
    _, channels, height, width = like.shape
    shape = (count, height, width, channels)
    if math.prod(shape) * like.element_size() > FEATURE_BYTES:
        with tempfile.TemporaryFile() as file:  # the file is removed when nothing maps it any more
            room = torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
    else:
        room = torch.empty(shape)
    last = room.permute(0, 3, 1, 2)
    return room.view(count, channels, height, width) if last.is_contiguous() else last
