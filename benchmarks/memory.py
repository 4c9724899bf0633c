"""Peak memory of `fit` against the number of training images, for detectors that use features of all of them, and for
the feature ensemble of PatchCore and PaDiM.

    OMP_NUM_THREADS=1 nice -n 10 python benchmarks/memory.py        # about ten minutes of one core

The images are random noise. Each fit runs in its own process, by two routes. "kept": features of all images take less
than FEATURE_BYTES and are kept in memory. For the other route FEATURE_BYTES is lowered, to 0 or, for PaDiM, to 32 MiB.
"again": PatchCore and PaDiM compute features again. "stored": the other detectors keep features, and the ensemble its
members' maps, in a temporary file. Of the ensemble, only its own part is measured: its members are fitted before.
Training is short, since memory does not depend on the number of steps.

`features MiB` is the size of the features of all images. `fit MiB` is the growth of the process's own memory during the
fit (RssAnon of /proc, a sample every 10 ms), without the pages of files, which the system gives back when it needs
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
from torch import Tensor

from iadlib import stored
from iadlib.detectors import Detector, create
from iadlib.ensemble.feature import FeatureEnsemble

ROWS = Path(__file__).with_name("memory.csv")
SIDE = 192  # pixels of the square images
COUNTS = (50, 100, 200, 400)
PROJECTED = 16  # channels
ENSEMBLE = "feature_ensemble"
MEMBERS = {"patchcore": "difference", "padim": "deviation"}
SETTINGS = {  # fine grids
    "patchcore": {"layers": (1, 2, 3), "projection_dimension": PROJECTED, "coreset_fraction": 0.0005},
    "padim": {"layers": (1, 2, 3), "channels": 50},
    "simplenet": {"layers": (1, 2, 3), "most_steps": 5},
    "component_counts": {"layers": (1, 2, 3), "clustered_patches": 1000},
    "reverse_distillation": {"epochs": 1},
    "gcad": {"steps": 5},
    "csflow": {"layer": 1, "kernel_sizes": (3,), "epochs": 1},
    "asymmetric_student_teacher": {"layer": 1, "teacher_blocks": 1, "teacher_epochs": 1, "student_epochs": 1},
}
FEATURES = {  # the method of a detector that computes the features that its `fit` uses
    **dict.fromkeys(("patchcore", "padim", "simplenet", "component_counts"), "patches"),
    "reverse_distillation": "teacher",
    "gcad": "_features",
    "csflow": "pyramid",
    "asymmetric_student_teacher": "embedding",
}
LOWERED = {"padim": 2**25}  # bytes; 0 for the others


def measure(task: tuple[str, str, int]) -> dict:
    name, route, count = task
    torch.set_num_threads(1)
    images = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    if name == ENSEMBLE:
        settings = {each: SETTINGS[each] for each in MEMBERS}
        members = {each: create(each, **values, device="cpu").fit(images) for each, values in settings.items()}
        detector = FeatureEnsemble(members=MEMBERS, settings=settings, steps=20, device="cpu")
        options = {"validation_images": images[:8], "fitted": members}
    else:
        detector, options = create(name, **SETTINGS[name], device="cpu"), {}
        members = {name: detector}
        detector._backbone(images[: detector.batch_size])  # loaded before the measurement
    if route != "kept":
        module = sys.modules[type(detector).__module__] if route == "again" else stored
        module.FEATURE_BYTES = LOWERED.get(name, 0)
    before, started = own_mebibytes(), time.process_time()
    with Peak() as peak:
        detector.fit(images, **options)
    values = sum(each.numel() for member in members.items() for each in features_of(*member, images[:1]))
    learned = detector.state_dict().values()
    projected = count * (SIDE // 4) ** 2 * PROJECTED * 4 if name == "patchcore" else 0
    digest = hashlib.sha256(b"".join(each.contiguous().numpy().tobytes() for each in learned))
    return {
        "method": name,
        "route": route,
        "images": count,
        "features MiB": round(count * values * 4 / 2**20, 1),
        "necessary MiB": round((projected + sum(each.nbytes for each in learned)) / 2**20, 1),
        "fit MiB": round(peak.mebibytes - before),
        "before MiB": round(before),
        "CPU s": round(time.process_time() - started, 1),
        "learned": digest.hexdigest()[:12],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def features_of(name: str, detector: Detector, images: Tensor) -> list[Tensor]:
    found = getattr(detector, FEATURES[name])(images)
    return [found] if isinstance(found, Tensor) else list(found)


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
    every = [*SETTINGS, ENSEMBLE]
    parser.add_argument(
        "--methods", nargs="+", choices=every, default=every, help="rows of others are left as they are"
    )
    options = parser.parse_args()
    other = {name: "again" if name in MEMBERS else "stored" for name in every}
    tasks = [
        (name, route, count) for name in options.methods for route in ("kept", other[name]) for count in options.counts
    ]
    rows = pd.read_csv(ROWS).query("method not in @options.methods").to_dict("records") if ROWS.exists() else []
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
