"""What the ensemble costs beside its members: seconds to fit what joins them, images per second, peak memory.

    OMP_NUM_THREADS=2 python benchmarks/ensembles.py --data data/embedded/flat_connector

Every line is a process of its own that fits its members first: every member alone, the mean of the members' outputs,
and the feature ensemble. "fit s" of an ensemble is what comes on top of its members. Results go to
benchmarks/ensembles-PROFILE-DEVICE.csv; timings are of the machine they were taken on, compare them within one file.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from detectors import SINGLE_IMAGES, images_per_second, peak_mebibytes, wait

from iadlib.data import fit_size, image_sizes, load_category, load_images
from iadlib.detectors import create
from iadlib.ensemble import FeatureEnsemble, OutputEnsemble
from iadlib.params import read_blocks
from iadlib.study.ensembles import member_settings

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS, FEATURES = "mean of outputs", "feature ensemble"


def measure(name: str, profile: str, data: str, device: str) -> dict:
    study = read_blocks(f"{ROOT / 'params/ensemble.yaml'}:common,{profile}")
    settings = member_settings(profile, study["members"])
    category = load_category(data)
    size = fit_size(image_sizes(category.samples["image"]), study["image_size"])
    train, validation, test = (
        load_images(category.of(split)["image"], size) for split in ("train", "validation", "test")
    )
    chosen = study["members"] if name in (OUTPUTS, FEATURES) else [name]
    started = time.perf_counter()
    fitted = {m: create(m, **settings[m], device=device).fit(train, validation) for m in chosen}
    if name in (OUTPUTS, FEATURES):
        wait(device)
        started = time.perf_counter()
    if name == OUTPUTS:
        judge = OutputEnsemble(members=settings, device=device).fit(train, validation, fitted=fitted)
    elif name == FEATURES:
        members = {m: study["cuts"][m] for m in chosen}
        judge = FeatureEnsemble(**study["hyperparameters"], members=members, settings=settings, device=device)
        judge.fit(train, validation, fitted=fitted)
    else:
        judge = fitted[name]
    wait(device)
    return {
        "method": name,
        "image": f"{size[1]} x {size[0]}",
        "fit s": round(time.perf_counter() - started, 2),
        "images/s, one by one": round(images_per_second(judge, list(test[:SINGLE_IMAGES].split(1)), device), 1),
        "images/s, batches of 16": round(images_per_second(judge, [test], device), 1),
        "peak MiB": round(peak_mebibytes(device)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a category, data/embedded/flat_connector for one")
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.profile, options.data, options.device)))
        return
    members = read_blocks(f"{ROOT / 'params/ensemble.yaml'}:common,{options.profile}")["members"]
    rows = []
    for name in (*members, OUTPUTS, FEATURES):
        again = ["--one", name, "--data", options.data, "--profile", options.profile, "--device", options.device]
        done = subprocess.run([sys.executable, __file__, *again], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name} failed")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1])
    out = Path(__file__).with_name(f"ensembles-{options.profile}-{options.device}.csv")
    pd.DataFrame(rows).to_csv(out, index=False)
    print(f"written to {out}")


if __name__ == "__main__":
    main()
