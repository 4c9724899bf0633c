"""The feature maps of many images in one tensor: in memory, or in a temporary file where they are large."""

import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from typing import IO

import numpy as np
import torch
from torch import Tensor

FEATURE_BYTES = 2**31  # of maps of one kind that are kept in memory


def stored(batches: Iterable[Sequence[Tensor]], count: int) -> list[Tensor]:
    """One tensor (count, C, h, w) of each kind, on the CPU; a batch is one tensor (n, C, h, w) of each kind.

    Kinds are the layers of a backbone, or the members of an ensemble. Maps of a kind that take more than FEATURE_BYTES
    lie in a temporary file: the operating system keeps in memory what there is room for. The environment variable
    TMPDIR names its folder, which should be on a disk. All maps have one memory format, channels last: the last bits of
    what is computed from them depend on it.
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
    size = math.prod(shape) * torch.float32.itemsize
    if size > FEATURE_BYTES:
        with tempfile.TemporaryFile() as file:  # the file is removed when nothing maps it any more
            _reserve(file, size)
            room = torch.from_numpy(np.memmap(file, np.float32, "r+", shape=shape))
    else:
        room = torch.empty(shape)
    last = room.permute(0, 3, 1, 2)
    return room.view(count, channels, height, width) if last.is_contiguous() else last


def _reserve(file: IO[bytes], size: int) -> None:
    """Give the file its room on the disk now: a full disk would end the process later, without an error."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    except OSError as error:
        folder, gigabytes = tempfile.gettempdir(), size / 1e9
        message = f"{folder}: no room for {gigabytes:.1f} GB of feature maps; name a folder with room in TMPDIR"
        raise OSError(error.errno, message) from error
