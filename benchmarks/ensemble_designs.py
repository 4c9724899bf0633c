"""Designs of the feature ensemble on development draws, which are never reported: the choice of its defaults.

    for category in flat_connector pushpins fastener_kit juice_bottle splicing_connectors metal_nut; do
        python -m iadlib render $category --seed 1000 --out draws/$category; done
    python benchmarks/ensemble_designs.py draws/*

Rows: the designs of params/ensemble.yaml, each one change away from the design with noise of the features' own spread;
further designs with other noise, more steps and further members; and the thesis's design with other noise and steps, so
that it is not judged with the settings of another design. The members, the ensembles of their outputs and pairs are
listed too. Values are means over the draws, of one seed. Writes benchmarks/ensemble_designs.csv. The committed table
was made with an earlier version of the images, of the members and of the image score, and without weights.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from iadlib.commands.ensemble import THESIS_DESIGN, EnsembleSettings, ensemble
from iadlib.commands.fit import FitSettings, fit
from iadlib.metrics import DIFFERENCE_METRICS
from iadlib.metrics.entries import metrics_by_seed
from iadlib.params import read_settings

PARAMS = Path(__file__).resolve().parents[1] / "params"
START = {"noise_scale": 1.0}
MORE = {
    "noise scale 0.25": {"noise_scale": 0.25},
    "noise scale 0.5": {"noise_scale": 0.5},
    "noise scale 2.0": {"noise_scale": 2.0},
    "twice the steps": {"steps": 400},
    "six heads": {"heads": 6},
}
FOR_THE_THESIS = {
    f"thesis design, noise {noise}, {steps} steps": {
        "members": ["patchcore", "simplenet"],
        "noise_scale": noise,
        "steps": steps,
    }
    for noise in (0.125, 0.25, 0.5, 1.0, 2.0)
    for steps in (200, 600)
    if (noise, steps) != (1.0, 200)  # an entry of every comparison
}


def settings_of(only: Sequence[str], profile: str = "embedded") -> EnsembleSettings:
    """The study's settings with the designs of this table, or with some of them."""
    study = read_settings(EnsembleSettings, [f"{PARAMS}/ensemble.yaml:common,{profile}"])
    designs = {name: design for name, design in study.designs.items() if "noise_scale" not in design}
    designs |= MORE | {name: THESIS_DESIGN | changed for name, changed in FOR_THE_THESIS.items()}
    if only:
        designs = {name: design for name, design in designs.items() if name in only}
    used = {name for design in (study.thesis, *designs.values()) for name in design.get("members", ())}
    return replace(
        study,
        cuts={name: cut for name, cut in study.cuts.items() if name in used | {*study.members} or not only},
        hyperparameters=study.hyperparameters | START,
        thesis=study.thesis | START,
        designs=designs,
        ablation_seeds=(0,),
    )


def metrics_on(draw: str, only: Sequence[str], profile: str = "embedded") -> pd.DataFrame:
    """One row for every entry, metric and kind on one draw."""
    study = settings_of(only, profile)
    with tempfile.TemporaryDirectory() as folder:
        members, report = Path(folder) / "members", Path(folder) / "report"
        for name in study.cuts:
            settings = read_settings(FitSettings, [f"{PARAMS}/methods/{name}.yaml:common,{profile}"], {"seeds": [0]})
            fit([draw], name, members / name, settings)
        values = ensemble(draw, members, study, Path(folder) / "out", report)
        return metrics_by_seed(values, pd.read_csv(report / "pixel_auroc.csv"))


def table_of(metrics: pd.DataFrame) -> pd.DataFrame:
    """Means over the draws, one row an entry."""
    means = metrics.groupby(["group", "entry", "metric", "kind"], sort=False)["value"].mean()
    table = means[means.index.isin(DIFFERENCE_METRICS, level="metric")].unstack(["metric", "kind"])
    table = table.astype(float).round(4)
    table.columns = [f"{DIFFERENCE_METRICS[metric]}, {kind}" for metric, kind in table.columns]
    return table.reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("draws", nargs="+")
    parser.add_argument("--only", nargs="+", default=[], metavar="DESIGN", help="leave all other rows as they are")
    options = parser.parse_args()
    table, out = table_of(pd.concat([metrics_on(draw, options.only) for draw in options.draws])), Path(__file__)
    out = out.with_suffix(".csv")
    if options.only:
        if unknown := sorted(set(options.only) - set(table["entry"])):
            parser.error(f"no design {unknown[0]!r}; there are {', '.join(table['entry'])}")
        before = pd.read_csv(out)
        table = pd.concat([before[~before["entry"].isin(options.only)], table[table["entry"].isin(options.only)]])
        table = table.sort_values("group", key=lambda groups: groups.map(list(before["group"]).index), kind="stable")
    table.to_csv(out, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
