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
    monkeypatch.setattr(module, "MORE", {"other noise": {"noise_scale": 0.5}})
    monkeypatch.setattr(module, "FOR_THE_THESIS", {})
    return module


def test_every_design_of_the_table_is_one_that_ensembles_accept():
    module = script("ensemble_designs")
    committed = pd.read_csv(ROOT / "benchmarks/ensemble_designs.csv").query("group == 'design'")
    assert set(committed["entry"]) == module.settings_of().designs.keys()


def test_designs_are_compared_on_any_category(designs, tmp_path):
    designs.fit_members("tests/sample/flat_connector", tmp_path, "quick")
    table = designs.table_of(designs.metrics_on("tests/sample/flat_connector", tmp_path, "quick"))
    assert {"patchcore", "mean", "feature ensemble", "thesis design", "other noise"} <= set(table["entry"])
    committed = pd.read_csv(ROOT / "benchmarks/ensemble_designs.csv")
    categories = ("flat_connector, ", "magnetic_tile, ", "loco_juice_bottle, ")
    columns, known = ([name for name in each if not name.startswith(categories)] for each in (table, committed))
    assert columns == known == ["group", "entry", "all, image AUROC", "all, AU-sPRO"]


def test_the_table_has_means_over_kinds_and_over_categories():
    values = {("nut", "logical"): 0.5, ("nut", "structural"): 0.7, ("bolt", "structural"): 0.9}
    rows = [
        {"group": "member", "entry": "one", "metric": metric, "category": category, "kind": kind, "value": value}
        for metric in ("image_auroc", "au_spro")
        for (category, kind), value in values.items()
    ]
    [row] = script("ensemble_designs").table_of(pd.DataFrame(rows)).to_dict("records")
    assert row["nut, image AUROC"] == 0.6
    assert row["bolt, AU-sPRO"] == 0.9
    assert row["all, image AUROC"] == row["all, AU-sPRO"] == 0.75


def test_the_cost_is_measured_of_every_ensemble_that_the_study_compares(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # it imports another script
    module = script("ensembles")
    study = module.ensemble_settings("embedded")
    compared = {"mean of outputs", "soft maximum of outputs", "feature ensemble", "patchcore over 3 backbones"}
    assert set(module.rows_of(study)) == {*study.members, *compared}
    row = module.measure("patchcore over 2 backbones", "quick", "tests/sample/flat_connector", "cpu")
    assert row["members s"] > row["fit s"] >= 0
