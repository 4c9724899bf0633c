"""Designs of the feature ensemble on photographs for development, which the study never reports.

    python benchmarks/ensemble_designs.py FOLDERS

Rows: every member, the ensembles of their outputs, the study's feature ensemble, the designs of params/ensemble.yaml
and further ones, each one change away from the study's, pairs, and the thesis's design with other noise and steps, so
that it is not judged with the settings of another design. Columns: by folder, image AUROC and AU-sPRO, means over the
kinds of anomalies, of seed 0; and their means over the folders. Writes benchmarks/ensemble_designs.csv. The committed
table: magnetic tiles and LOCO AD's juice bottle, with former defaults of PaDiM and the pooled Gaussian.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from iadlib.commands.ensemble import THESIS_DESIGN, EnsembleSettings, ensemble
from iadlib.commands.fit import FitSettings, fit
from iadlib.metrics import DIFFERENCE_METRICS
from iadlib.metrics.entries import metrics_by_seed
from iadlib.parallel import in_parallel, keep_freed_memory
from iadlib.params import read_settings

PARAMS = Path(__file__).resolve().parents[1] / "params"
MORE = {
    "twice the noise": {"noise_scale": 0.5},
    "isotropic noise": {"noise_shape": "isotropic"},
    "95 % of the variance": {"kept": 0.95},
    "twice the steps": {"steps": 400},
    "one head": {"heads": 1},
    "image score of the smoothed map": {"image_score": "map"},
}
FOR_THE_THESIS = {  # beside noise 0.5 and 600 steps, the study's
    f"thesis design, noise {noise}, {steps} steps": {
        "members": ["patchcore", "simplenet"],
        "noise_scale": noise,
        "steps": steps,
    }
    for noise, steps in ((0.125, 600), (0.25, 600), (1.0, 600), (0.5, 200))
}


def settings_of(profile: str = "embedded") -> EnsembleSettings:
    """The study's settings with the designs of this table."""
    study = read_settings(EnsembleSettings, [f"{PARAMS}/ensemble.yaml:common,{profile}"])
    thesis = {name: THESIS_DESIGN | changed for name, changed in FOR_THE_THESIS.items()}
    return replace(study, designs=study.designs | MORE | thesis, ablation_seeds=(0,))


def fit_members(data: str, out: Path, profile: str = "embedded") -> None:
    """Fit the members to one category with seed 0, into out/NAME."""
    for name in settings_of(profile).cuts:
        settings = read_settings(FitSettings, [f"{PARAMS}/methods/{name}.yaml:common,{profile}"], {"seeds": [0]})
        fit([data], name, out / name, settings)


def metrics_on(data: str, members: Path, profile: str = "embedded") -> pd.DataFrame:
    """One row for every entry, metric and kind of anomaly of one category."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        values = ensemble(data, members, settings_of(profile), Path(folder) / "out", report)
        return metrics_by_seed(values, pd.read_csv(report / "pixel_auroc.csv"))


def table_of(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row an entry; the last columns are the means over the categories."""
    metrics = metrics[metrics["metric"].isin(DIFFERENCE_METRICS)]
    means = metrics.groupby(["group", "entry", "metric", "category"], sort=False)["value"].mean()
    table = means.unstack(["metric", "category"])[list(DIFFERENCE_METRICS)]
    for metric in DIFFERENCE_METRICS:
        table[metric, "all"] = table[metric].mean(axis=1)
    table.columns = [f"{category}, {DIFFERENCE_METRICS[metric]}" for metric, category in table.columns]
    return table.astype(float).round(4).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="categories with labelled test images")
    keep_freed_memory()  # as all commands do
    folders = parser.parse_args().folders
    with tempfile.TemporaryDirectory() as place:
        members = [Path(place) / str(number) for number in range(len(folders))]
        in_parallel(fit_members, list(zip(folders, members, strict=True)), "members")
        table = table_of(pd.concat(map(metrics_on, folders, members)))
    table.to_csv(Path(__file__).with_suffix(".csv"), index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
