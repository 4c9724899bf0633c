"""The scripts behind committed tables go on running as the package changes."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def designs(monkeypatch):
    module = script("ensemble_designs")
    monkeypatch.setattr(module, "START", {"noise_scale": 1.0, "steps": 2})
    monkeypatch.setattr(module, "MORE", {"other noise": {"noise_scale": 0.5}})
    monkeypatch.setattr(module, "FOR_THE_THESIS", {})
    return module


def test_every_design_of_the_table_is_one_that_ensembles_accept():
    module = script("ensemble_designs")
    assert {*module.MORE, *module.FOR_THE_THESIS} <= module.settings_of([]).designs.keys()


def test_designs_are_compared_on_any_category_and_lines_stand_as_committed(designs):
    results = designs.metrics_on("tests/sample/flat_connector", ["other noise"], "quick")
    table = designs.table_of(results)
    committed = pd.read_csv(ROOT / "benchmarks/ensemble_designs.csv")
    assert list(table.columns) == list(committed.columns)
    assert {"patchcore", "mean", "feature ensemble", "thesis design", "other noise"} <= set(table["entry"])


def test_the_cost_is_measured_of_every_ensemble_that_the_study_compares(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # it imports another script
    module = script("ensembles")
    study = module.ensemble_settings("embedded")
    compared = {"mean of outputs", "weighted mean of outputs", "feature ensemble", "patchcore over 3 backbones"}
    assert set(module.rows_of(study)) == {*study.members, *compared}
    row = module.measure("patchcore over 2 backbones", "quick", "tests/sample/flat_connector", "cpu")
    assert row["members s"] > row["fit s"] >= 0
