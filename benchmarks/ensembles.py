"""The cost of an ensemble beside its members: seconds to fit it, images per second, peak memory.

    OMP_NUM_THREADS=2 python benchmarks/ensembles.py --data data/rendered/flat_connector

Rows: every member alone, the mean of the members' outputs, and the feature ensemble. Every row is measured in its own
process, which fits the members first. "fit s" of an ensemble is the time in addition to its members. Results are
written to benchmarks/ensembles-PROFILE-DEVICE.csv; times depend on the machine, so compare them within one file.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from detectors import SINGLE_IMAGES, images_per_second, peak_mebibytes, wait

from iadlib.commands.ensemble import EnsembleSettings
from iadlib.commands.fit import FitSettings, working_size
from iadlib.data import load_category
from iadlib.detectors import create
from iadlib.ensemble import FeatureEnsemble, OutputEnsemble
from iadlib.params import read_settings

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS, FEATURES = "mean of outputs", "feature ensemble"


def measure(name: str, profile: str, data: str, device: str) -> dict:
    study = ensemble_settings(profile)
    fits = {member: fit_settings(profile, member) for member in study.members}
    settings = {member: each.hyperparameters for member, each in fits.items()}
    category, member = load_category(data), study.members[0]
    size = working_size(category, member, fits[member].image_size)
    train, validation, test = (category.images(split, size) for split in ("train", "validation", "test"))
    chosen = study.members if name in (OUTPUTS, FEATURES) else [name]
    started = time.perf_counter()
    fitted = {m: create(m, **settings[m], device=device).fit(train, validation) for m in chosen}
    if name in (OUTPUTS, FEATURES):
        wait(device)
        started = time.perf_counter()
    if name == OUTPUTS:
        detector = OutputEnsemble(members=settings, device=device).fit(train, validation, fitted=fitted)
    elif name == FEATURES:
        members = {m: study.cuts[m] for m in chosen}
        detector = FeatureEnsemble(**study.hyperparameters, members=members, settings=settings, device=device)
        detector.fit(train, validation, fitted=fitted)
    else:
        detector = fitted[name]
    wait(device)
    return {
        "method": name,
        "image": f"{test.shape[-1]} x {test.shape[-2]}",
        "fit s": round(time.perf_counter() - started, 2),
        "images/s, one by one": round(images_per_second(detector, list(test[:SINGLE_IMAGES].split(1)), device), 1),
        "images/s, batches of 16": round(images_per_second(detector, [test], device), 1),
        "peak MiB": round(peak_mebibytes(device)),
    }


def ensemble_settings(profile: str) -> EnsembleSettings:
    return read_settings(EnsembleSettings, [f"{ROOT / 'params/ensemble.yaml'}:common,{profile}"])


def fit_settings(profile: str, detector: str) -> FitSettings:
    return read_settings(FitSettings, [f"{ROOT / 'params/methods' / detector}.yaml:common,{profile}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a category, such as data/rendered/flat_connector")
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.profile, options.data, options.device)))
        return
    rows = []
    for name in (*ensemble_settings(options.profile).members, OUTPUTS, FEATURES):
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
