"""How fast and how large the detectors are: seconds to fit, images per second, peak memory, parameters.

    OMP_NUM_THREADS=1 python benchmarks/detectors.py --data data/rendered/flat_connector

Each detector runs in its own process, so that peak memory is measured for each. It is fitted to the training images
with the settings of its params file, then predicts the test images one by one and in batches of 16: the median of
several passes, after a first pass that is not counted. Peak memory is that of the whole process, including libraries
and images; the column `before` is the memory of Python, the libraries and the images alone. Results are written to
benchmarks/detectors-PROFILE-DEVICE.csv. Times depend on the machine: compare them within one file. Every row names its
processor, PyTorch's threads and its version.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from iadlib.data import fit_size, load_category
from iadlib.detectors import DETECTORS, create, detector_class
from iadlib.features import resolve_device
from iadlib.parallel import keep_freed_memory
from iadlib.params import read_blocks

ROOT = Path(__file__).resolve().parents[1]
PASSES = 3
SINGLE_IMAGES = 12  # predicted one by one


def measure(name: str, profile: str, data: str, device: str) -> dict:
    settings = read_blocks(f"{ROOT / 'params/methods' / name}.yaml:common,{profile}")
    category = load_category(data)
    image_size = settings.get("image_size", detector_class(name).image_size)
    size = fit_size(category.sizes(), image_size)
    train, validation, test = (category.images(split, size) for split in ("train", "validation", "test"))
    detector = create(name, **settings.get("hyperparameters", {}), device=device)
    detector.batch_size = 16
    before = peak_mebibytes(device)
    started = time.perf_counter()
    detector.fit(train, validation)
    wait(device)
    fit_seconds = time.perf_counter() - started
    batched = images_per_second(detector, [test], device)
    single = images_per_second(detector, list(test[:SINGLE_IMAGES].split(1)), device)
    return {
        "method": name,
        "image": f"{size[1]} x {size[0]}",
        "training images": len(train),
        "fit s": round(fit_seconds, 2),
        "images/s, one by one": round(single, 1),
        "images/s, batches of 16": round(batched, 1),
        "peak MiB": round(peak_mebibytes(device)),
        "before MiB": round(before),
        "parameters": count(detector),
        "machine": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def images_per_second(detector, batches: list, device: str) -> float:
    times = []
    for _ in range(PASSES + 1):
        started = time.perf_counter()
        for batch in batches:
            detector.predict(batch)
        wait(device)
        times.append(time.perf_counter() - started)
    return sum(map(len, batches)) / statistics.median(times[1:])


def count(detector) -> int:
    """Numbers that the detector holds: weights of its networks, frozen ones included, and learned tensors."""
    values = [getattr(value, "network", value) for value in vars(detector).values()]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    tensors += [p for value in values if isinstance(value, nn.Module) for p in value.parameters()]
    return sum(tensor.numel() for tensor in tensors)


def processor() -> str:
    """The processor's model if the system names it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def wait(device: str) -> None:
    if resolve_device(device).type == "cuda":
        torch.cuda.synchronize()


def peak_mebibytes(device: str) -> float:
    if resolve_device(device).type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a category, such as data/rendered/flat_connector")
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        keep_freed_memory()  # as all commands do
        print(json.dumps(measure(options.one, options.profile, options.data, options.device)))
        return
    rows = []
    for name in options.methods:
        again = ["--one", name, "--data", options.data, "--profile", options.profile, "--device", options.device]
        done = subprocess.run([sys.executable, __file__, *again], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name} failed")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1])
    out = Path(__file__).with_name(f"detectors-{options.profile}-{options.device}.csv")
    pd.DataFrame(rows).to_csv(out, index=False)
    print(f"written to {out}")


if __name__ == "__main__":
    main()
