"""How many defect-free pixels score below a value: exact, in one pass over the maps, in memory for a few of them.

Curves need these numbers at the scores of defective pixels only. So the defect-free pixels are sorted in chunks, the
numbers are looked up in every chunk and added, and no chunk is kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from iadlib.metrics.ground_truth import GroundTruth

CHUNK = 2**23  # pixels that are sorted together
SAMPLED = 4096  # pixels of a map that the bound on the highest scores is estimated from


@dataclass(frozen=True, eq=False)
class Counts:
    """Of `total` defect-free pixels, `below` (V,) score less than each of `values` (V,), and `up_to` (V,) at most it.

    `values` ascend, are distinct and at least `lowest`; `above_lowest` pixels score at least that.
    """

    values: np.ndarray
    below: np.ndarray
    up_to: np.ndarray
    total: int
    lowest: float
    above_lowest: int


def count_defect_free(
    maps: Sequence[np.ndarray],
    truth: Sequence[GroundTruth],
    values: np.ndarray,
    questions: Sequence[tuple[np.ndarray, np.ndarray | slice]],
    lowest: float = -np.inf,
) -> list[Counts]:
    """For every question, the counts of the defect-free pixels of some images at some of the `values`.

    `values` (V,) are distinct and ascend. A question is (which images (N,) bool, the indices of some of the values).
    Images that occur in the same questions are sorted together. Pixels below `lowest` are not sorted, so no value may
    be lower.
    """
    asked = np.array([images for images, _ in questions], dtype=bool).reshape(len(questions), len(truth))
    below, up_to = ([np.zeros(len(values[chosen]), dtype=np.int64) for _, chosen in questions] for _ in range(2))
    total, counted = np.zeros((2, len(questions)), dtype=np.int64)
    for combination in {tuple(column): column for column in asked.T}.values():
        which = np.flatnonzero(combination)
        if not len(which):
            continue
        images = np.flatnonzero((asked == combination[:, None]).all(axis=0))
        found = np.zeros((2, len(values)), dtype=np.int64)
        for chunk, pixels in _sorted_chunks(maps, truth, images, lowest):
            total[which] += pixels
            counted[which] += len(chunk)
            for each, side in zip(found, ("left", "right"), strict=True):
                each += np.searchsorted(chunk, values, side=side)
        for i in which:
            below[i] += found[0][questions[i][1]]
            up_to[i] += found[1][questions[i][1]]
    return [
        Counts(values[chosen], below[i] + rest, up_to[i] + rest, int(total[i]), lowest, int(counted[i]))
        for i, ((_, chosen), rest) in enumerate(zip(questions, total - counted, strict=True))
    ]


def distinct(values: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of all arrays, ascending, and how often each occurs; both (V,)."""
    ordered = np.concatenate([np.empty(0, np.float32), *values])
    ordered.sort()
    first = np.flatnonzero(np.r_[True, ordered[1:] > ordered[:-1]][: len(ordered)])
    return ordered[first], np.diff(first, append=len(ordered))


def _sorted_chunks(
    maps: Sequence[np.ndarray], truth: Sequence[GroundTruth], images: np.ndarray, lowest: float
) -> Iterator[tuple[np.ndarray, int]]:
    """Ascending scores of defect-free pixels of at least `lowest`; and how many defect-free pixels were looked at."""
    parts, pixels = [], 0
    for i in images:
        scores = np.ravel(maps[i])
        pixels += len(scores) - len(truth[i].pixels)
        chosen = np.ones(len(scores), bool) if lowest == -np.inf else scores >= lowest
        chosen[truth[i].pixels] = False
        parts.append(scores[chosen])
        if sum(map(len, parts)) >= CHUNK or i == images[-1]:
            chunk = np.concatenate(parts)
            chunk.sort()
            yield chunk, pixels
            parts, pixels = [], 0


def count_marked(
    maps: Sequence[np.ndarray], truth: Sequence[GroundTruth], threshold: float
) -> tuple[int, int, int, int]:
    """True positives, false positives, false negatives and true negatives of the pixels above a threshold."""
    numbers = np.zeros(4, dtype=np.int64)
    for heat, each in zip(maps, truth, strict=True):
        marked = np.ravel(heat) > threshold
        found, above, defective = np.count_nonzero(marked[each.pixels]), np.count_nonzero(marked), len(each.pixels)
        numbers += (found, above - found, defective - found, len(marked) - above - (defective - found))
    return tuple(numbers.tolist())


def likely_bound(maps: Sequence[np.ndarray], truth: Sequence[GroundTruth], share: float) -> float:
    """A score that more than the `share` of the defect-free pixels are likely to reach, from a sample of each map."""
    samples = [np.empty(0, np.float32)]
    for heat, each in zip(maps, truth, strict=True):
        places = np.arange(0, np.size(heat), np.size(heat) // SAMPLED | 1)  # odd, so that columns differ
        defective = np.searchsorted(each.pixels, places, side="right") > np.searchsorted(each.pixels, places)
        samples.append(np.ravel(heat)[places[~defective]])
    sample = np.concatenate(samples)
    wanted = int(1.1 * share * len(sample)) + 64  # a wrong bound costs time, not exactness
    return -np.inf if wanted >= len(sample) else float(np.partition(sample, -wanted)[-wanted])
