"""The cost of ensembles beside their members: seconds to fit them, images per second, peak memory.

    OMP_NUM_THREADS=1 python benchmarks/ensembles.py --data data/rendered/flat_connector

Rows: every member alone, the mean and the soft maximum of the members' outputs, the feature ensemble, and the mean of
the outputs of one detector with several backbones (`backbones` in params/ensemble.yaml). Every row is measured in its
own process, which fits the members first: "members s" is the time of that, 0 for a detector, and "fit s" the time of
the ensemble alone. Results are written to benchmarks/ensembles-PROFILE-DEVICE.csv; times depend on the machine and its
threads, so compare them within one file.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from detectors import SINGLE_IMAGES, images_per_second, peak_mebibytes, processor, wait
from torch import Tensor

from iadlib.commands.ensemble import EnsembleSettings
from iadlib.commands.fit import FitSettings, working_size
from iadlib.data import load_category
from iadlib.detectors import Detector, create
from iadlib.ensemble import FeatureEnsemble, OutputEnsemble
from iadlib.metrics.combining import combined
from iadlib.metrics.entries import FEATURE, MEAN, SOFT
from iadlib.parallel import keep_freed_memory
from iadlib.params import read_settings
from iadlib.types import Prediction

ROOT = Path(__file__).resolve().parents[1]
MEAN_OUTPUTS, SOFT_OUTPUTS = f"{MEAN} of outputs", f"{SOFT} of outputs"


class Averaged:
    """The mean of the outputs of detectors that may be the same with other hyperparameters."""

    def __init__(self, detectors: list[Detector], validation: Tensor):
        self.detectors, self.normal = detectors, [detector.predict(validation) for detector in detectors]

    def predict(self, images: Tensor) -> Prediction:
        return combined([detector.predict(images) for detector in self.detectors], self.normal, MEAN)


def measure(name: str, profile: str, data: str, device: str) -> dict:
    study = ensemble_settings(profile)
    fits = {member: fit_settings(profile, member) for member in study.members}
    settings = {member: each.hyperparameters for member, each in fits.items()}
    category, first = load_category(data), study.members[0]
    size = working_size(category, first, fits[first].image_size)
    train, validation, test = (category.images(split, size) for split in ("train", "validation", "test"))
    backbones = over_backbones(study).get(name)
    if backbones is not None:
        detector, changes = backbones
        common = fit_settings(profile, detector).hyperparameters
        made = [create(detector, **common | each, device=device) for each in [{}, *changes]]
    else:
        chosen = [name] if name in study.members else study.members
        made = [create(member, **settings[member], device=device) for member in chosen]
    started = time.perf_counter()
    fitted = [detector.fit(train, validation) for detector in made]
    wait(device)
    members_seconds, started = time.perf_counter() - started, time.perf_counter()
    if backbones is not None:
        detector = Averaged(fitted, validation)
    elif name in study.members:
        [detector], members_seconds, started = fitted, 0.0, started - members_seconds
    else:
        named = dict(zip(study.members, fitted, strict=True))
        if name == FEATURE:
            cuts = {member: study.cuts[member] for member in named}
            detector = FeatureEnsemble(**study.hyperparameters, members=cuts, settings=settings, device=device)
        else:
            combination = SOFT if name == SOFT_OUTPUTS else MEAN
            detector = OutputEnsemble(members=settings, combination=combination, device=device)
        detector.fit(train, validation, fitted=named)
    wait(device)
    return {
        "method": name,
        "image": f"{test.shape[-1]} x {test.shape[-2]}",
        "training images": len(train),
        "members s": round(members_seconds, 2),
        "fit s": round(time.perf_counter() - started, 2),
        "images/s, one by one": round(images_per_second(detector, list(test[:SINGLE_IMAGES].split(1)), device), 1),
        "images/s, batches of 16": round(images_per_second(detector, [test], device), 1),
        "peak MiB": round(peak_mebibytes(device)),
        "machine": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def rows_of(study: EnsembleSettings) -> list[str]:
    """What is measured, in the order of the table."""
    return [*study.members, MEAN_OUTPUTS, SOFT_OUTPUTS, FEATURE, *over_backbones(study)]


def over_backbones(study: EnsembleSettings) -> dict[str, tuple[str, list[dict]]]:
    """Entry -> its detector, and what changes with each further backbone."""
    return {
        f"{name} over {len(changed) + 1} backbones": (name, [{"backbone": key} | each for key, each in changed.items()])
        for name, changed in study.backbones.items()
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
        keep_freed_memory()  # as all commands do
        print(json.dumps(measure(options.one, options.profile, options.data, options.device)))
        return
    rows = []
    for name in rows_of(ensemble_settings(options.profile)):
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
