"""Peak memory of `fit` against the number of training images: PatchCore, PaDiM and the feature ensemble of both.

    OMP_NUM_THREADS=1 nice -n 10 python benchmarks/memory.py        # about five minutes of one core

The images are random noise. Each fit runs in its own process, by two routes. "kept": features of all images take less
than FEATURE_BYTES and are kept in memory. "again": FEATURE_BYTES is lowered, to 0 or, for PaDiM, to 32 MiB; PatchCore
and PaDiM then compute features again, and the ensemble keeps its members' maps in a temporary file. Of the ensemble,
only its own part is measured: its members are fitted before. `fit MiB` is the growth of the process's own memory during
the fit (RssAnon of /proc, a sample every 10 ms), without the pages of files, which the system gives back when it needs
them. `necessary MiB` is what the method itself keeps: what it learns, and PatchCore's projected vectors, which grow
with the number of images. `learned` is a checksum, which must be the same by both routes. Rows are written to
benchmarks/memory.csv.
"""

import argparse
import hashlib
import multiprocessing
import sys
import threading
import time
from pathlib import Path
from typing import Self

import pandas as pd
import torch

from iadlib.detectors import create
from iadlib.ensemble import stored
from iadlib.ensemble.feature import FeatureEnsemble

ROWS = Path(__file__).with_name("memory.csv")
SIDE = 192  # pixels of the square images
COUNTS = (50, 100, 200, 400)
PROJECTED = 16  # channels
SETTINGS = {  # features of three layers on the finest grid
    "patchcore": {"layers": (1, 2, 3), "projection_dimension": PROJECTED, "coreset_fraction": 0.0005},
    "padim": {"layers": (1, 2, 3), "channels": 50},
}
CHANNELS = {"patchcore": 176, "padim": 50, "feature_ensemble": 176 + 50}  # of the features that are kept
ENSEMBLE = "feature_ensemble"
LOWERED = {"patchcore": 0, "padim": 2**25, ENSEMBLE: 0}  # bytes


def measure(task: tuple[str, str, int]) -> dict:
    name, route, count = task
    torch.set_num_threads(1)
    images = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    if name == ENSEMBLE:
        members = {each: create(each, **values, device="cpu").fit(images) for each, values in SETTINGS.items()}
        cuts = {"patchcore": "difference", "padim": "deviation"}
        detector = FeatureEnsemble(members=cuts, settings=SETTINGS, steps=20, device="cpu")
        options, module = {"validation_images": images[:8], "fitted": members}, stored
        places = members["patchcore"].features(images[:1], "embedding").shape[-2:].numel()
    else:
        detector = create(name, **SETTINGS[name], device="cpu")
        options, module = {}, sys.modules[type(detector).__module__]
        places = detector._backbone(images[: detector.batch_size])[0].shape[-2:].numel()
    if route == "again":
        module.FEATURE_BYTES = LOWERED[name]
    before, started = own_mebibytes(), time.process_time()
    with Peak() as peak:
        detector.fit(images, **options)
    learned = detector.state_dict().values()
    projected = count * places * PROJECTED * 4 if name == "patchcore" else 0
    digest = hashlib.sha256(b"".join(each.contiguous().numpy().tobytes() for each in learned))
    return {
        "method": name,
        "route": route,
        "images": count,
        "features MiB": round(count * places * CHANNELS[name] * 4 / 2**20, 1),
        "necessary MiB": round((projected + sum(each.nbytes for each in learned)) / 2**20, 1),
        "fit MiB": round(peak.mebibytes - before),
        "before MiB": round(before),
        "CPU s": round(time.process_time() - started, 1),
        "learned": digest.hexdigest()[:12],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def own_mebibytes() -> float:
    """The memory of this process without the pages of files."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 2**10


class Peak(threading.Thread):
    """The highest memory of this process while the block runs."""

    def __enter__(self) -> Self:
        self.mebibytes, self.ended = own_mebibytes(), threading.Event()
        self.start()
        return self

    def run(self) -> None:
        while not self.ended.wait(0.01):
            self.mebibytes = max(self.mebibytes, own_mebibytes())

    def __exit__(self, *_) -> None:
        self.ended.set()
        self.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, metavar="N", help="training images")
    options = parser.parse_args()
    tasks = [(name, route, count) for name in LOWERED for route in ("kept", "again") for count in options.counts]
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
