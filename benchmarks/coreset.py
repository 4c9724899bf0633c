"""Times the exact greedy k-centre selection against the plain loop, and checks that both choose the same points.

    python benchmarks/coreset.py                    # 156,800 x 128, 1 %: the patches of 200 images of 224 x 224
    python benchmarks/coreset.py --points 20000

Each repetition times both, one after the other, so that the ratio holds on a machine that others use too.
"""

import argparse
import time

import numpy as np
import torch

from iadlib.detectors.patchcore import greedy_k_centre


def plain_loop(points: torch.Tensor, count: int, start: int = 0) -> torch.Tensor:
    """One pass over all points a choice: the algorithm as the papers print it."""
    squares = points.square().sum(1)
    distances = torch.full_like(squares, torch.inf)
    chosen = [start]
    while len(chosen) < count:
        newest = chosen[-1]
        torch.minimum(distances, squares + (squares[newest] - 2 * (points @ points[newest])), out=distances)
        distances[newest] = -torch.inf
        chosen.append(int(distances.argmax()))
    return torch.tensor(chosen)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=156_800)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--fraction", type=float, default=0.01)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    generator = torch.Generator().manual_seed(0)
    # A low-dimensional cloud in a wide space, as feature vectors are; white noise has no near and far.
    hidden = torch.randn(arguments.points, 12, generator=generator).relu()
    points = hidden @ torch.randn(12, arguments.dimension, generator=generator)
    points += 0.1 * torch.randn(points.shape, generator=generator)
    count = max(1, int(arguments.fraction * arguments.points))
    seconds, same = [], True
    for _ in range(arguments.repeats):
        marks = [time.perf_counter()]
        chosen = []
        for select in (greedy_k_centre, plain_loop):
            chosen.append(select(points, count))
            marks.append(time.perf_counter())
        seconds.append(np.diff(marks))
        same &= bool(torch.equal(*chosen))
    fast, plain = np.array(seconds).T
    print(f"{arguments.points} x {arguments.dimension}, {count} centres, {torch.get_num_threads()} threads")
    print(f"pool:        {fast.min():.2f} to {fast.max():.2f} s")
    print(f"plain loop:  {plain.min():.2f} to {plain.max():.2f} s")
    print(f"ratio:       {np.median(plain / fast):.1f} (median of {arguments.repeats} pairs)")
    print(f"same points: {same}")


if __name__ == "__main__":
    main()
