import shutil

import pytest

from iadlib.study import Study, tables
from tests.study.conftest import LABELS, SHIFTS, write_benchmark


@pytest.fixture(scope="module")
def metrics(study):
    return tables.metrics_of(study, study.grid["categories"])


def test_metrics_have_a_row_for_each_value_of_each_detector_and_category(metrics):
    row = metrics.query("category == 'parts' and method == 'padim' and metric == 'image_auroc' and kind == 'logical'")
    assert row[["mean", "std", "low", "high"]].to_numpy().tolist() == [[0.6, 0.01, 0.5, 0.7]]
    assert "defect scratch" in set(metrics["kind"])


def test_detectors_stand_side_by_side_with_spread_and_interval(metrics):
    table = tables.by_detector(metrics[metrics["category"] == "parts"])
    assert list(table.index) == ["PatchCore", "PaDiM"]
    assert table.loc["PaDiM", ("image AUROC", "structural")] == "0.600 ± 0.010 [0.50, 0.70]"
    assert table.loc["PaDiM", ("pixel AUROC", "overall")] == "0.600 ± 0.010"


def test_decisions_leave_out_the_threshold_and_the_second_name_of_the_recall(metrics):
    table = tables.decisions(metrics[metrics["category"] == "parts"])
    assert list(table.columns) == [("images", "F1")]


def test_without_anomalies_tables_are_empty_and_one_line_says_so(metrics, capsys):
    table = tables.by_detector(metrics[metrics["metric"] == "at_image_threshold"])
    assert table.empty
    assert capsys.readouterr().out == "no metrics: good and anomalous test images are needed\n"


def test_chance_stands_beside_a_metric_that_noise_reaches(metrics):
    assert tables.pivot(metrics, "au_spro_0.05").loc[("parts", "mean"), "chance"] == "0.025"
    assert "chance" not in tables.pivot(metrics, "image_auroc")


def test_defects_are_rows_of_their_own(metrics):
    table = tables.pivot(metrics, "au_spro_0.05", defects=True)
    assert list(table.index) == [("parts", "scratch"), ("nuts", "scratch")]
    assert list(table.columns) == ["chance", "PatchCore", "PaDiM"]


def test_the_drop_is_over_the_categories_that_have_both_kinds(metrics):
    changed = metrics.copy()
    logical = (changed["metric"] == "image_auroc") & (changed["kind"] == "logical")
    changed.loc[logical, "mean"] -= 0.25
    table = tables.drop(changed)
    assert table["drop"].tolist() == [0.25, 0.25]
    assert table["categories"].tolist() == [1, 1]


def test_every_detector_stands_beside_the_first(study, tmp_path, monkeypatch):
    root = shutil.copytree(study.folder, tmp_path / "study")
    shutil.rmtree(root / "reports/quick/benchmark/parts")
    monkeypatch.setitem(SHIFTS["padim"], "logical", -4)  # below all good images
    write_benchmark(root / "reports/quick/benchmark/parts", "parts", LABELS["parts"])
    table = tables.against_first(Study("quick", root), study.grid["categories"])
    assert set(table["method"]) == {"PaDiM"}
    assert list(table["category"]) == ["parts", "parts", "nuts", "mean", "mean"]
    logical = table["kind"] == "logical"
    assert table.loc[logical, ["difference", "low", "high"]].eq(-1).all(axis=None)
    assert table.loc[~logical, ["difference", "low", "high"]].eq(0).all(axis=None)  # both find all of these
