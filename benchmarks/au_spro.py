"""Times the exact AU-sPRO on maps of the size that MVTec LOCO AD papers use, on one core.

OMP_NUM_THREADS=1 python benchmarks/au_spro.py              # 300 maps of 512 x 640
OMP_NUM_THREADS=1 python benchmarks/au_spro.py --images 50
"""

import argparse
import time

import numpy as np
from scipy.ndimage import gaussian_filter

from iadlib.metrics import au_spro
from iadlib.types import Region


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    maps, regions = [], []
    for index in range(arguments.images):
        heat = gaussian_filter(rng.normal(size=(arguments.height, arguments.width)).astype(np.float32), 4)
        listed = []
        for _ in range(rng.integers(1, 4) if index % 3 else 0):  # a third of the images is good
            size = rng.integers(20, 120, 2)
            top, left = rng.integers(0, np.array(heat.shape) - size)
            mask = np.zeros(heat.shape, dtype=bool)
            mask[top : top + size[0], left : left + size[1]] = True
            heat[mask] += rng.uniform(0, 0.2)
            listed.append(Region(mask, max(1, int(mask.sum() * rng.uniform(0.2, 1)))))
        maps.append(heat)
        regions.append(listed)
    for limit in (0.05, 0.3):
        seconds = []
        for _ in range(arguments.repeats):
            started = time.perf_counter()
            value = au_spro(maps, regions, limit)
            seconds.append(time.perf_counter() - started)
        print(
            f"{arguments.images} maps of {arguments.height} x {arguments.width}, FPR up to {limit}: "
            f"{min(seconds):.2f} to {max(seconds):.2f} s (AU-sPRO {value:.4f})"
        )


if __name__ == "__main__":
    main()
