"""Peak memory of `fit` against the number of training images: PatchCore and PaDiM, which need all features together.

    OMP_NUM_THREADS=1 nice -n 10 python benchmarks/memory.py        # about two minutes of one core

The images are random noise. Each fit runs in its own process, by two routes: "kept", where the features of all images
take less than FEATURE_BYTES and are kept, and "again", where FEATURE_BYTES is lowered, to 0 for PatchCore and to 32 MiB
for PaDiM, and features are computed again. `fit MiB` is the peak memory of the process less its peak before the fit,
after one batch has passed the network: libraries, network and images are not counted. `necessary MiB` is what the
method itself keeps: what it learns, and PatchCore's projected vectors, which grow with the number of images. `learned`
is a checksum, which must be the same by both routes. Rows are written to benchmarks/memory.csv.
"""

import argparse
import hashlib
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from iadlib.detectors import create

ROWS = Path(__file__).with_name("memory.csv")
SIDE = 192  # pixels of the square images
COUNTS = (50, 100, 200, 400)
PROJECTED = 16  # channels
SETTINGS = {  # features of three layers on the finest grid
    "patchcore": {"layers": (1, 2, 3), "projection_dimension": PROJECTED, "coreset_fraction": 0.0005},
    "padim": {"layers": (1, 2, 3), "channels": 50},
}
LOWERED = {"patchcore": 0, "padim": 2**25}  # bytes


def measure(task: tuple[str, str, int]) -> dict:
    name, route, count = task
    torch.set_num_threads(1)
    images = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    detector = create(name, **SETTINGS[name], device="cpu")
    if route == "again":
        sys.modules[type(detector).__module__].FEATURE_BYTES = LOWERED[name]
    maps = detector._backbone(images[: detector.batch_size])
    places = maps[0].shape[-2:].numel()
    channels = SETTINGS[name].get("channels", sum(each.shape[1] for each in maps))
    before, started = peak_mebibytes(), time.process_time()
    detector.fit(images)
    seconds, after = time.process_time() - started, peak_mebibytes()
    learned = detector.state_dict().values()
    projected = count * places * PROJECTED * 4 if name == "patchcore" else 0
    digest = hashlib.sha256(b"".join(each.contiguous().numpy().tobytes() for each in learned))
    return {
        "method": name,
        "route": route,
        "images": count,
        "features MiB": round(count * places * channels * 4 / 2**20, 1),
        "necessary MiB": round((projected + sum(each.nbytes for each in learned)) / 2**20, 1),
        "fit MiB": round(after - before),
        "before MiB": round(before),
        "CPU s": round(seconds, 1),
        "learned": digest.hexdigest()[:12],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, metavar="N", help="training images")
    options = parser.parse_args()
    tasks = [(name, route, count) for name in SETTINGS for route in ("kept", "again") for count in options.counts]
    rows = []
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:  # a new process for every task
        for row in pool.imap(measure, tasks):
            rows.append(row)
            print(row, flush=True)
            pd.DataFrame(rows).to_csv(ROWS, index=False)
    learned = pd.DataFrame(rows).groupby(["method", "images"])["learned"].nunique()
    if (learned > 1).any():
        sys.exit("the routes differ")


if __name__ == "__main__":
    main()
