"""Exact greedy k-centre selection (farthest point first), fast.

The plain loop chooses, k times, the point that is farthest from all points chosen so far, and passes over all points
after every choice: memory traffic bounds it. Distances to the chosen set only shrink. So a pool of the currently
farthest points is enough for many choices in a row: as long as the pool's best is farther than `bound`, the largest
distance outside the pool, no point outside can be the farthest. When it is not, everybody is brought up to date
against all new centres in one matrix product, and a new pool is taken. The selection is the plain loop's.

Source of the criterion: Roth et al. 2022, algorithm 1; Sener and Savarese, ICLR 2018.
"""

import torch
from torch import Tensor

POOL = 4096
CHUNK = 16384


def greedy_k_centre(points: Tensor, count: int, start: int = 0) -> Tensor:
    """Indices (count,) of the chosen rows of `points` (n, d), in order of choice; of equally far ones, the first."""
    if not 1 <= count <= len(points):
        raise ValueError(f"{count} centres of {len(points)} points: 1 to {len(points)} can be chosen")
    squares = points.square().sum(1)  # (n,)
    distances = torch.full_like(squares, torch.inf)  # squared, to the nearest centre; -inf for a chosen one
    chosen, known = [start], 0
    while len(chosen) < count:
        _update(distances, points, squares, chosen[known:])
        known = len(chosen)
        chosen += _choose_from_pool(distances, points, squares, count - known)
    return torch.tensor(chosen)


def _update(distances: Tensor, points: Tensor, squares: Tensor, centres: list[int]) -> None:
    for first in range(0, len(points), CHUNK):
        rows = slice(first, first + CHUNK)
        relative = squares[centres] - 2 * (points[rows] @ points[centres].T)  # (rows, centres)
        torch.minimum(distances[rows], squares[rows] + relative.amin(1), out=distances[rows])
    distances[centres] = -torch.inf


def _choose_from_pool(distances: Tensor, points: Tensor, squares: Tensor, count: int) -> list[int]:
    """The next centres, one to `count`: as many as the farthest points alone can decide."""
    values, farthest = distances.topk(min(POOL + 1, len(points)))
    everybody = len(farthest) == len(points)
    bound = -torch.inf if everybody else float(values[-1])
    pool = (farthest if everybody else farthest[:POOL]).sort().values  # by index: ties fall as in the plain loop
    pool_points, pool_squares, pool_distances = points[pool], squares[pool], distances[pool]
    chosen = [int(distances.argmax())]
    pool_distances[pool == chosen[0]] = -torch.inf
    while len(chosen) < count:
        newest = chosen[-1]
        relative = squares[newest] - 2 * (pool_points @ points[newest])
        pool_distances = torch.minimum(pool_distances, pool_squares + relative)
        best = int(pool_distances.argmax())
        if not float(pool_distances[best]) > bound:
            break
        chosen.append(int(pool[best]))
        pool_distances[best] = -torch.inf
    return chosen
