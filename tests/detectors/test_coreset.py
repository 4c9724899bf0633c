import pytest
import torch

from iadlib.detectors import patchcore
from iadlib.detectors.patchcore import greedy_k_centre


def plain_loop(points: torch.Tensor, count: int, start: int) -> list[int]:
    distances = torch.full((len(points),), torch.inf, dtype=points.dtype)
    chosen = [start]
    while len(chosen) < count:
        distances = torch.minimum(distances, (points - points[chosen[-1]]).square().sum(1))
        distances[chosen[-1]] = -torch.inf
        chosen.append(int(distances.argmax()))
    return chosen


@pytest.mark.parametrize("seed", range(3))
def test_pool_selects_what_the_plain_loop_selects(seed, monkeypatch):
    monkeypatch.setattr(patchcore, "POOL", 64)
    points = torch.randn(2000, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert greedy_k_centre(points, 300, start=seed).tolist() == plain_loop(points, 300, start=seed)


@pytest.mark.parametrize("pool", [1, 7, 4096])
def test_of_equally_far_points_the_first_is_chosen(pool, monkeypatch):
    monkeypatch.setattr(patchcore, "POOL", pool)
    # Small integers: distances are exact in any order of summation, and most of them tie.
    points = torch.randint(0, 4, (400, 3), generator=torch.Generator().manual_seed(0)).float()
    assert greedy_k_centre(points, 200).tolist() == plain_loop(points, 200, start=0)


def test_all_points_can_be_chosen_even_where_they_coincide():
    assert sorted(greedy_k_centre(torch.zeros(5, 2), 5, start=3).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 6])
def test_too_few_or_too_many_centres_raise(count):
    with pytest.raises(ValueError, match="centres of 5 points"):
        greedy_k_centre(torch.zeros(5, 2), count)
