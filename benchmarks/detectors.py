"""How fast and how large the detectors are: seconds to fit, images per second, peak memory, parameters.

    OMP_NUM_THREADS=2 python benchmarks/detectors.py --data data/embedded/flat_connector

Each detector runs in a process of its own, so that its peak memory is its own. It is fitted to the training images with
the settings of its params file, then predicts the test images one by one and in batches of 16, the median of several
passes; the first pass, which warms up, is not counted. Peak memory is that of the whole process, libraries and images
included; what Python and the libraries take alone stands in the column `before`. Results go to
benchmarks/detectors-PROFILE-DEVICE.csv; timings are of the machine they were taken on, compare them within one file.
Every row names its processor, PyTorch's threads and its version.
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
import yaml
from torch import nn

from iadlib.data import fit_size, image_sizes, load_category, load_images
from iadlib.detectors import create
from iadlib.features import resolve_device
from iadlib.params import read_blocks

ROOT = Path(__file__).resolve().parents[1]
PASSES = 3
SINGLE_IMAGES = 12  # predicted one by one


def measure(method: str, profile: str, data: str, device: str) -> dict:
    settings = read_blocks(f"{ROOT / 'params/methods' / method}.yaml:common,{profile}")
    category = load_category(data)
    size = fit_size(image_sizes(category.samples["image"]), settings["image_size"])
    train, validation, test = (
        load_images(category.of(split)["image"], size) for split in ("train", "validation", "test")
    )
    detector = create(method, **settings["hyperparameters"], device=device)
    detector.batch_size = 16
    before = peak_mebibytes(device)
    started = time.perf_counter()
    detector.fit(train, validation)
    wait(device)
    fit_seconds = time.perf_counter() - started
    batched = images_per_second(detector, [test], device)
    single = images_per_second(detector, list(test[:SINGLE_IMAGES].split(1)), device)
    return {
        "method": method,
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
    """Numbers that the detector keeps: weights of its networks, frozen ones included, and learned tensors."""
    values = [getattr(value, "network", value) for value in vars(detector).values()]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    tensors += [p for value in values if isinstance(value, nn.Module) for p in value.parameters()]
    return sum(tensor.numel() for tensor in tensors)


def processor() -> str:
    """The processor's model where the system tells it, else its architecture."""
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
    methods = yaml.safe_load((ROOT / "params/grid.yaml").read_text())["methods"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a category, data/embedded/flat_connector for one")
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", nargs="+", default=methods)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.profile, options.data, options.device)))
        return
    rows = []
    for method in options.methods:
        again = ["--one", method, "--data", options.data, "--profile", options.profile, "--device", options.device]
        done = subprocess.run([sys.executable, __file__, *again], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{method} failed")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1])
    out = Path(__file__).with_name(f"detectors-{options.profile}-{options.device}.csv")
    pd.DataFrame(rows).to_csv(out, index=False)
    print(f"written to {out}")


if __name__ == "__main__":
    main()
