"""Times the exact AU-sPRO on maps of the size that MVTec LOCO AD papers use, beside one `np.sort` of all their pixels.

OMP_NUM_THREADS=1 python benchmarks/au_spro.py              # 300 maps of 512 x 640
OMP_NUM_THREADS=1 python benchmarks/au_spro.py --images 50

The last column is the ratio of the fastest of several runs to the fastest sort, all in one process and in turns: it
depends less on the machine than the times do. `map_report` computes all localisation metrics by kind and by defect.
"""

import argparse
import time

import numpy as np
from scipy.ndimage import gaussian_filter

from iadlib.metrics import au_spro, ground_truths, map_report
from iadlib.types import Region


def draw(images: int, size: tuple[int, int]) -> tuple[list[np.ndarray], list[list[Region]], list[str]]:
    """Smooth noise, in two of three images with one to three rectangles that score a little higher."""
    rng = np.random.default_rng(0)
    maps, regions = [], []
    for index in range(images):
        heat = gaussian_filter(rng.normal(size=size).astype(np.float32), 4)
        listed = []
        for _ in range(rng.integers(1, 4) if index % 3 else 0):  # a third of the images is good
            height, width = rng.integers(20, 120, 2)
            top, left = rng.integers(0, np.array(heat.shape) - (height, width))
            mask = np.zeros(heat.shape, dtype=bool)
            mask[top : top + height, left : left + width] = True
            heat[mask] += rng.uniform(0, 0.2)
            listed.append(Region(mask, max(1, int(mask.sum() * rng.uniform(0.2, 1))), f"defect {index % 5}"))
        maps.append(heat)
        regions.append(listed)
    return maps, regions, [("good", "logical", "structural")[index % 3] for index in range(images)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    maps, regions, kinds = draw(arguments.images, (arguments.height, arguments.width))
    pixels = np.concatenate([heat.ravel() for heat in maps])
    truth = ground_truths(regions)
    work = {
        "np.sort of all pixels": lambda: np.sort(pixels),
        "au_spro up to 0.05": lambda: au_spro(maps, regions, 0.05),
        "au_spro up to 0.3": lambda: au_spro(maps, regions, 0.3),
        "map_report": lambda: map_report(maps, truth, kinds),
    }
    seconds = {name: [] for name in work}
    for _ in range(arguments.repeats):
        for name, function in work.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    print(f"{arguments.images} maps of {arguments.height} x {arguments.width}")
    for name, each in seconds.items():
        ratio = min(each) / min(seconds["np.sort of all pixels"])
        print(f"{name:<24}{min(each):7.2f} to {max(each):.2f} s {ratio:8.2f}")


if __name__ == "__main__":
    main()
