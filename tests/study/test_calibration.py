"""The tables read what the command writes: the files of a tiny category are made by the functions of the command."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iadlib.calibration import log_loss
from iadlib.commands import calibrate
from iadlib.study import Study, calibration

KINDS = np.repeat(["good", "logical", "structural"], [10, 8, 8])
DISTANCES = {"patchcore": 3.0, "padim": 1.0, "mean of outputs": 2.0}


def scores_of(kinds: np.ndarray) -> pd.DataFrame:
    """Two detectors with validation images and an ensemble without, two seeds."""
    rng, parts = np.random.default_rng(0), []
    for scorer, distance in DISTANCES.items():
        for seed in (0, 1):
            test = pd.DataFrame({"split": "test", "name": [f"t/{i:03d}" for i in range(len(kinds))], "label": kinds})
            test["score"] = rng.normal(0, 1, len(kinds)) + distance * (kinds != "good")
            parts.append(test.assign(scorer=scorer, seed=seed))
            if " " not in scorer:
                normal = pd.DataFrame({"split": "validation", "name": [f"v/{i}" for i in range(6)], "label": "good"})
                parts.append(normal.assign(score=rng.normal(0, 1, 6), scorer=scorer, seed=seed))
    return pd.concat(parts, ignore_index=True)


def write(folder: Path, kinds: np.ndarray) -> pd.DataFrame:
    """The files of one category; returns the probabilities of all seeds."""
    scores, settings = scores_of(kinds), calibrate.CalibrationSettings(members=("patchcore", "padim"))
    normal = scores[scores["split"] == "validation"]
    painted = normal.assign(score=normal["score"] + 2)[["scorer", "seed", "name", "score"]]
    parts = [calibrate.probabilities_of(*key, part, painted) for key, part in scores.groupby(["scorer", "seed"])]
    every = pd.concat(parts, ignore_index=True)
    tables = {
        "probabilities": calibrate.probability_columns(every),
        "errors": calibrate.errors(every, ["cross-fitted", "uncalibrated"]),
        "others": calibrate.errors(every, calibrate.BETWEEN_KINDS),
        "decisions": calibrate.decisions(every, settings),
        "thresholds": calibrate.score_thresholds(scores, settings),
        **calibrate.functions(scores),
    }
    folder.mkdir(parents=True)
    for name, table in tables.items():
        if len(table):
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    return every


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def probabilities(folder) -> pd.DataFrame:
    (folder / "params").mkdir()
    (folder / "params/grid.yaml").write_text(
        "methods: [patchcore, padim]\ncategories: {pins: {}, nut: {}, clean: {}}\n"
    )
    write(folder / "reports/tiny/calibration/nut", KINDS[KINDS != "logical"])
    return write(folder / "reports/tiny/calibration/pins", KINDS)


@pytest.fixture(scope="module")
def study(folder, probabilities) -> Study:
    return Study("tiny", folder)


def test_errors_are_shown_by_scorer_with_intervals(study, probabilities):
    errors = calibration.read(study, "pins", "errors")
    table = calibration.by_scorer(errors, "log loss")
    assert list(table.index) == ["mean of outputs", "PaDiM", "PatchCore"]
    assert table.columns[0] == "none"
    assert table.loc["mean of outputs", "none"] == ""  # no validation scores
    part = probabilities[(probabilities["scorer"] == "padim") & (probabilities["calibrator"] == "Platt scaling")]
    part = part[part["protocol"] == "cross-fitted"]
    by_seed = [log_loss(each["probability"], each["label"] != "good") for _, each in part.groupby("seed")]
    assert table.loc["PaDiM", "Platt scaling"].startswith(f"{np.mean(by_seed):.3f} [")
    assert "[" not in calibration.by_scorer(errors, "expected error").loc["PaDiM", "Platt scaling"]


def test_protocols_are_compared_over_scorers_that_have_all_of_them(study):
    others = calibration.read(study, "pins", "others")
    table = calibration.by_protocol(others, "log loss")
    assert list(table.index) == list(calibrate.BETWEEN_KINDS)
    fewer = others[(others["scorer"] != "padim") | (others["protocol"] == "from logical")]
    without = others[others["scorer"] != "padim"]
    pd.testing.assert_frame_equal(
        calibration.by_protocol(fewer, "log loss"), calibration.by_protocol(without, "log loss")
    )


def test_one_kind_of_anomaly_gives_empty_tables_of_unknown_defects(study):
    others = calibration.read(study, "nut", "others")
    assert calibration.by_protocol(others, "log loss").empty
    assert calibration.by_scorer(calibration.read(study, "nut", "errors"), "log loss").shape == (3, 6)


def test_a_category_without_files_gives_empty_tables_and_no_figures(study):
    empty = calibration.read(study, "clean", "probabilities")
    assert calibration.about(empty).startswith("No probabilities")
    assert calibration.by_calibrator(empty).empty
    assert calibration.by_place(empty, "test").empty
    assert calibration.reliability_figure(empty, "patchcore") is None
    assert calibration.functions_figure(study, "clean", "category") is None


def test_categories_without_a_file_are_left_out(study):
    assert set(calibration.gather(study, "errors")["category"]) == {"pins", "nut"}
    assert set(calibration.gather(study, "others")["category"]) == {"pins"}
    assert calibration.gather(study, "averages").empty


def test_what_was_calibrated_is_one_line(study):
    line = calibration.about(calibration.read(study, "pins", "probabilities"))
    assert line == "3 scorers; test images: 10 good, 8 logical, 8 structural; prevalence 0.615"


def test_one_calibrator_of_every_pair_has_the_lowest_log_loss(study):
    table = calibration.by_calibrator(calibration.gather(study, "errors"))
    assert table["lowest log loss"].sum() == 2 * 3
    assert table.index[0] == "none"
    assert table.loc["none", "lowest log loss"] == 0


def test_differences_to_platt_scaling_name_category_and_scorer(study):
    errors = calibration.gather(study, "errors")
    table = calibration.less_platt(errors, "Brier score")
    assert "nut: PatchCore" in set(table["what"])
    assert len(table) == 2 * 3
    wide = errors[errors["protocol"] == "cross-fitted"].pivot(
        index=["category", "scorer"], columns="calibrator", values="Brier score"
    )
    expected = wide["bounded sigmoid"] - wide["Platt scaling"]
    assert sorted(table["difference"]) == pytest.approx(sorted(expected), abs=1e-5)


def test_decisions_are_shown_by_place(study):
    decisions = calibration.read(study, "pins", "decisions")
    test, factory = (calibration.by_place(decisions, place) for place in ("test", "factory"))
    assert ("PatchCore", "Platt scaling") in test.index
    assert (factory["rejected"] < test["rejected"]).all()
    thresholds = calibration.by_place(calibration.read(study, "pins", "thresholds"), "factory")
    assert list(thresholds.columns) == ["pass below", "reject from"]


def test_figures_name_detectors_by_their_titles(study):
    functions = calibration.functions_figure(study, "pins", "category")
    assert functions.axes[0].get_title().startswith("PatchCore, seed ")
    probabilities = calibration.read(study, "pins", "probabilities")
    diagrams = calibration.reliability_figure(probabilities, "patchcore")
    assert diagrams.get_suptitle() == "PatchCore"
    assert diagrams.axes[0].get_title() == "none"
    assert calibration.reliability_figure(probabilities, "nobody") is None
