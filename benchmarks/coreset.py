"""Times the exact greedy k-centre selection against the plain loop, and compares the points that both choose.

    python benchmarks/coreset.py                    # 156,800 x 128, 1 %: the patches of 200 images of 224 x 224
    python benchmarks/coreset.py --points 20000

Each repetition times both, one after the other, so that the ratio holds on a machine with other load. Rounding decides
between points that are equally far to seven digits; from such a choice on, the selections differ. The first difference
is printed with the relative difference of the two distances.
"""

import argparse
import time

import numpy as np
import torch

from iadlib.detectors.patchcore import greedy_k_centre


def plain_loop(points: torch.Tensor, count: int, start: int = 0) -> torch.Tensor:
    """One pass over all points for each choice: the algorithm as printed in the papers."""
    squares = points.square().sum(1)
    distances = torch.full_like(squares, torch.inf)
    chosen = [start]
    while len(chosen) < count:
        newest = chosen[-1]
        torch.minimum(distances, squares + (squares[newest] - 2 * (points @ points[newest])), out=distances)
        distances[newest] = -torch.inf
        chosen.append(int(distances.argmax()))
    return torch.tensor(chosen)


def agreement(points: torch.Tensor, fast: torch.Tensor, plain: torch.Tensor) -> str:
    differences = (fast != plain).nonzero()
    if not len(differences):
        return "the same points"
    first = int(differences[0])
    rivals = points[[int(fast[first]), int(plain[first])]].double()
    far, other = torch.cdist(rivals, points[fast[:first]].double()).amin(dim=1).tolist()
    return f"the same {first} points, then a choice between distances that differ by {abs(far - other) / far:.0e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=156_800)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--fraction", type=float, default=0.01)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    generator = torch.Generator().manual_seed(0)
    # Like feature vectors, points near a low-dimensional subspace; white noise has distances that hardly differ.
    hidden = torch.randn(arguments.points, 12, generator=generator).relu()
    points = hidden @ torch.randn(12, arguments.dimension, generator=generator)
    points += 0.1 * torch.randn(points.shape, generator=generator)
    count = max(1, int(arguments.fraction * arguments.points))
    seconds = []
    for _ in range(arguments.repeats):
        marks = [time.perf_counter()]
        chosen = []
        for select in (greedy_k_centre, plain_loop):
            chosen.append(select(points, count))
            marks.append(time.perf_counter())
        seconds.append(np.diff(marks))
    fast, plain = np.array(seconds).T
    print(f"{arguments.points} x {arguments.dimension}, {count} centres, {torch.get_num_threads()} threads")
    print(f"pool:        {fast.min():.2f} to {fast.max():.2f} s")
    print(f"plain loop:  {plain.min():.2f} to {plain.max():.2f} s")
    print(f"ratio:       {np.median(plain / fast):.1f} (median of {arguments.repeats} pairs)")
    print(f"agreement:   {agreement(points, *chosen)}")


if __name__ == "__main__":
    main()
