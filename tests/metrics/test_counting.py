"""Numbers of defect-free pixels against counting them all, and memory that does not grow with the number of maps."""

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from iadlib.metrics import au_spro, counting, ground_truths, map_report
from iadlib.metrics.counting import count_defect_free, count_marked
from iadlib.types import Region


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    maps = list(rng.integers(0, 50, (6, 9, 7)).astype(np.float32))
    masks = rng.random((6, 9, 7)) < 0.2
    regions = [[] if i % 3 == 0 else [Region(mask, 3)] for i, mask in enumerate(masks)]
    free = [heat[~mask] if i % 3 else heat.ravel() for i, (heat, mask) in enumerate(zip(maps, masks, strict=True))]
    return maps, ground_truths(regions), free


@pytest.mark.parametrize("chunk", [1, 100, counting.CHUNK])
@pytest.mark.parametrize("values", [np.arange(0, 60, 7.0), np.linspace(-1, 51, 500)])
def test_counts_are_those_of_all_pixels_whatever_the_size_of_a_chunk(scene, chunk, values, monkeypatch):
    monkeypatch.setattr(counting, "CHUNK", chunk)
    maps, truth, free = scene
    some = np.array([True, True, False, False, True, False])
    every, few = count_defect_free(maps, truth, values, [(np.ones(6, bool), slice(None)), (some, np.array([1, 3]))])
    pooled = np.concatenate(free)
    assert every.total == len(pooled)
    assert every.below.tolist() == [(pooled < value).sum() for value in values]
    assert every.up_to.tolist() == [(pooled <= value).sum() for value in values]
    pooled = np.concatenate([free[i] for i in np.flatnonzero(some)])
    assert few.total == len(pooled)
    assert few.up_to.tolist() == [(pooled <= value).sum() for value in values[[1, 3]]]


def test_pixels_below_the_lowest_value_are_counted_without_being_sorted(scene):
    maps, truth, free = scene
    [counts] = count_defect_free(maps, truth, np.array([30.0, 45.0]), [(np.ones(6, bool), slice(None))], lowest=30)
    pooled = np.concatenate(free)
    assert counts.below.tolist() == [(pooled < 30).sum(), (pooled < 45).sum()]
    assert counts.above_lowest == (pooled >= 30).sum()


def test_a_bound_that_is_too_high_costs_no_exactness(scene, monkeypatch):
    maps, _, _ = scene
    regions = [[], [Region(np.eye(9, 7, dtype=bool), 3)]] * 3
    expected = au_spro(maps, regions, 0.3)
    monkeypatch.setattr("iadlib.metrics.localisation.likely_bound", lambda *_: 49.5)
    assert au_spro(maps, regions, 0.3) == expected


def test_marked_pixels_are_counted_as_true_and_false(scene):
    maps, truth, free = scene
    tp, fp, fn, tn = count_marked(maps, truth, 20.0)
    assert fp == (np.concatenate(free) > 20).sum()
    assert (fp + tn, tp + fn) == (sum(map(len, free)), sum(len(each.pixels) for each in truth))
    assert tp + fp == sum((heat > 20).sum() for heat in maps)


class Drawn(Sequence):
    """Maps that are drawn whenever they are read, and so take no memory."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> np.ndarray:
        if i >= self.count:
            raise IndexError
        return np.random.default_rng(i).random((100, 120), np.float32)


def peak_memory(count: int) -> int:
    mask = np.zeros((100, 120), bool)
    mask[5:8, 5:8] = True
    regions, kinds = [[], [Region(mask, 4)]] * (count // 2), ["good", "logical"] * (count // 2)
    tracemalloc.start()
    map_report(Drawn(count), regions, kinds)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_maps(monkeypatch):
    monkeypatch.setattr(counting, "CHUNK", 50_000)
    peak_memory(10)  # imports and caches
    few, many = peak_memory(20), peak_memory(120)
    assert many < few + 100 * 100 * 120 * 4 / 5  # a fifth of the pixels of the other hundred maps
