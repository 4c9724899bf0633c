"""Designs of the feature ensemble on development draws, of which no image is in the study: what to choose a default by.

    for category in flat_connector pushpins fastener_kit juice_bottle splicing_connectors metal_nut; do
        python -m iadlib render $category --seed 1000 --out draws/$category; done
    OMP_NUM_THREADS=1 python benchmarks/ensemble_designs.py draws/*

The designs of params/ensemble.yaml, each one step from the design with noise of the features' own spread, and others:
other noise, more steps, further members; and the thesis's design with other noise and steps, so that it is not judged
by those of another design. Members, ensembles of their outputs and pairs stand beside them. Means over the draws, of
one seed. Writes benchmarks/ensemble_designs.csv.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from iadlib.params import read_blocks
from iadlib.study import comparisons, ensemble_tables, ensembles, open_category
from iadlib.study.differences import TITLES

ROOT = Path(__file__).resolve().parents[1]
START = {"noise_scale": 1.0}
MORE = {
    "noise scale 0.25": {"noise_scale": 0.25},
    "noise scale 0.5": {"noise_scale": 0.5},
    "noise scale 2.0": {"noise_scale": 2.0},
    "twice the steps": {"steps": 400},
    "six heads": {"heads": 6},
    "and PaDiM": {"members": ["patchcore", "simplenet", "padim"]},
    "and reverse distillation": {"members": ["patchcore", "simplenet", "reverse_distillation"]},
}
FOR_THE_THESIS = {
    f"thesis design, noise {noise}, {steps} steps": {"noise_scale": noise, "steps": steps}
    for noise in (0.125, 0.25, 0.5, 1.0, 2.0)
    for steps in (200, 600)
    if (noise, steps) != (1.0, 200)  # an entry of every comparison
}


def results_on(draw: str, only: Sequence[str], profile: str = "embedded") -> pd.DataFrame:
    study = read_blocks(f"{ROOT / 'params/ensemble.yaml'}:common,{profile}")
    category = open_category(draw)
    designs = {name: design for name, design in study["designs"].items() if "noise_scale" not in design}
    designs |= MORE | {name: ensembles.THESIS_DESIGN | changed for name, changed in FOR_THE_THESIS.items()}
    cuts = study["cuts"]
    if only:
        designs = {name: design for name, design in designs.items() if name in only}
        cuts = {name: cuts[name] for name in study["members"]}
    comparison = ensembles.compare(
        category,
        cuts,
        ensembles.member_settings(profile, cuts),
        study["members"],
        study["hyperparameters"] | START,
        START,
        designs,
        study["image_size"],
        [0],
        [0],
        study["backbones"],
    )
    found = comparisons.values(category, comparison.entries)
    return ensemble_tables.results(found, comparisons.pixel_aurocs(category, []))


def table_of(results: pd.DataFrame) -> pd.DataFrame:
    """Means over the draws, one line an entry."""
    means = results.groupby(["group", "entry", "metric", "kind"], sort=False)["value"].mean()
    table = means.unstack(["metric", "kind"]).astype(float).round(4)
    table.columns = [f"{TITLES[metric]}, {kind}" for metric, kind in table.columns]
    return table.reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("draws", nargs="+")
    parser.add_argument("--only", nargs="+", default=[], metavar="DESIGN", help="leave all other lines as they are")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    parts = Parallel(options.jobs)(delayed(results_on)(draw, options.only) for draw in options.draws)
    table, out = table_of(pd.concat(parts)), Path(__file__).with_suffix(".csv")
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
