from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from iadlib import calibration as calibrators
from iadlib import figures
from iadlib.calibration import Costs
from iadlib.study import calibration

SCORERS = {"sharp": 9.0, "blunt": 1.0}
KINDS = np.repeat(["good", "logical", "structural"], [12, 10, 10])


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    """Two detectors and the mean of both, two seeds: one separates the classes, one hardly does."""
    rng = np.random.default_rng(0)
    parts = []
    for scorer, distance in (*SCORERS.items(), ("mean of outputs", 3.0)):
        for seed in (0, 1):
            test = pd.DataFrame({"split": "test", "name": [f"t/{i:03d}" for i in range(len(KINDS))], "label": KINDS})
            test["score"] = rng.normal(0, 1, len(KINDS)) + distance * (KINDS != "good")
            parts.append(test.assign(scorer=scorer, seed=seed))
            if scorer in SCORERS:
                normal = pd.DataFrame({"split": "validation", "name": [f"v/{i}" for i in range(8)], "label": "good"})
                parts.append(normal.assign(score=rng.normal(0, 1, 8), scorer=scorer, seed=seed))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def painted(scores) -> pd.DataFrame:
    normal = scores[scores["split"] == "validation"]
    return normal.assign(score=normal["score"] + 2)[["scorer", "seed", "name", "score"]]


@pytest.fixture(scope="module")
def said(scores, painted) -> pd.DataFrame:
    return calibration.probabilities(scores, painted)


def test_every_test_image_gets_one_probability_of_each_calibrator(said):
    crossed = said[said["protocol"] == "cross-fitted"]
    counts = crossed.groupby(["scorer", "seed", "calibrator"])["name"].agg(["size", "nunique"])
    assert (counts == len(KINDS)).all(axis=None)
    assert set(crossed["calibrator"]) == set(calibration.CALIBRATORS)
    assert said["probability"].between(0, 1).all()


def test_who_learns_from_one_kind_is_judged_by_the_other(said):
    assert set(said.loc[said["protocol"] == "from logical", "label"]) == {"good", "structural"}
    assert set(said.loc[said["protocol"] == "from structural", "label"]) == {"good", "logical"}


class Recorder:
    """Remembers what it was fitted to, and says how probable that makes an anomaly."""

    seen: list[np.ndarray] = []

    def fit(self, scores, labels):
        self.own = dict(zip(scores.tolist(), labels.tolist(), strict=True))
        Recorder.seen.append(np.asarray(scores))
        return self

    def predict_proba(self, scores):
        return np.array([0.9 if self.own.get(score) else 0.1 for score in scores.tolist()])


def test_who_learns_from_one_kind_never_sees_the_other(scores, monkeypatch):
    part = scores[(scores["split"] == "test") & (scores["scorer"] == "blunt") & (scores["seed"] == 0)]
    monkeypatch.setattr(calibration, "CALIBRATORS", {"recorder": Recorder})
    monkeypatch.setattr(Recorder, "seen", [])
    calibration._of_scorer(part, folds=5)
    by_kind = {kind: set(part.loc[part["label"] == kind, "score"]) for kind in ("logical", "structural")}
    for number, seen in enumerate(Recorder.seen[5:]):  # the first five folds know both kinds
        from_logical, itself = number < 10, number % 10 >= 5
        unseen = "structural" if from_logical != itself else "logical"
        assert not by_kind[unseen] & set(seen.tolist())


def test_no_label_of_a_fold_reaches_what_is_calibrated_twice():
    rng = np.random.default_rng(0)
    said = calibration.calibrated_twice(Recorder, rng.random((2, len(KINDS))), KINDS, folds=3)
    assert np.ptp(said) == 0  # who had seen scores with their labels would tell them apart


def test_thresholds_of_scores_are_where_the_moved_probability_is_that_of_the_costs():
    rng = np.random.default_rng(0)
    kinds = np.repeat(["good", "structural"], 40)
    values = rng.normal(0, 1, 80) + 2 * (kinds != "good")
    scores = pd.DataFrame({"scorer": "it", "seed": 0, "split": "test", "label": kinds, "score": values})
    costs = calibrators.Costs(miss=3, false_alarm=1, review=0.5)
    said = calibrators.BoundedSigmoid().fit(values, (kinds != "good").astype(int))
    for prevalence in (None, 0.4):
        ends = calibration.score_thresholds(scores, costs, prevalence).loc["it"].to_numpy()
        moved = calibrators.with_prevalence(said.predict_proba(ends), 0.5, prevalence or 0.5)
        np.testing.assert_allclose(moved, costs.thresholds(), atol=1e-3)


def test_three_images_of_a_kind_are_enough_to_calibrate_twice():
    kinds = np.repeat(["good", "logical", "structural"], [3, 9, 4])
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (2, len(kinds))) + (kinds != "good")
    said = calibration.calibrated_twice(calibrators.PlattScaling, scores, kinds, folds=5)
    assert ((said > 0) & (said < 1)).all()


def test_uncalibrated_and_artificial_probabilities_do_not_depend_on_test_labels(scores, painted, said):
    shuffled = scores.copy()
    test = shuffled["split"] == "test"
    shuffled.loc[test, "label"] = shuffled.loc[test, "label"].to_numpy()[::-1]
    again = calibration.probabilities(shuffled, painted)
    for protocol in ("uncalibrated", "from artificial"):
        first, second = (
            table[table["protocol"] == protocol].sort_values(["scorer", "seed", "calibrator", "name"])["probability"]
            for table in (said, again)
        )
        np.testing.assert_allclose(first, second)


def test_errors_are_the_mean_over_the_seeds(said):
    table = calibration.errors(said).set_index(["scorer", "calibrator"])
    part = said[(said["scorer"] == "blunt") & (said["calibrator"] == "Platt scaling")]
    part = part[part["protocol"] == "cross-fitted"]
    by_seed = [
        calibrators.log_loss(each["probability"], (each["label"] != "good").astype(int))
        for _, each in part.groupby("seed")
    ]
    row = table.loc[("blunt", "Platt scaling")]
    assert row["log loss"] == pytest.approx(np.mean(by_seed))
    assert row["log loss low"] < row["log loss"] < row["log loss high"]


def test_an_average_of_calibrated_members_is_the_average_of_their_probabilities(said, scores):
    combined = calibration.averaged(said, scores, list(SCORERS))
    assert set(combined["scorer"]) == {"members", "average", "members, then average"}
    bounded = (said["calibrator"] == "bounded sigmoid") & (said["protocol"] == "cross-fitted") & (said["seed"] == 0)
    expected = said[bounded & said["scorer"].isin(SCORERS)].groupby("name")["probability"].mean()
    chosen = (combined["scorer"] == "members") & (combined["calibrator"] == "bounded sigmoid") & (combined["seed"] == 0)
    found = combined[chosen].set_index("name")["probability"]
    np.testing.assert_allclose(found.sort_index(), expected.sort_index())


def test_in_a_factory_with_few_anomalies_fewer_parts_are_rejected(said):
    costs = Costs(miss=20, false_alarm=1, review=0.5)
    here = calibration.decisions(said, ["bounded sigmoid"], costs)
    there = calibration.decisions(said, ["bounded sigmoid"], costs, prevalence=0.02)
    assert (there["rejected"] < here["rejected"]).all()
    assert there["cost"].max() <= calibration.blind_cost(costs, 0.02) * 2


def test_every_painted_image_has_an_anomaly_and_the_original_stays():
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    painted = calibration._painted(images, seed=0)
    assert torch.equal(images, before)
    assert ((painted - images).abs().flatten(1).max(dim=1).values > 0.01).all()
    assert torch.equal(painted, calibration._painted(images, seed=0))


def test_figures_and_files_show_the_scorers(scores, painted, said, tmp_path):
    shown = calibration.example(scores)
    assert shown["title"].startswith("sharp")
    pictures = {
        "functions": figures.calibration_functions(**shown),
        "reliability": figures.reliability_diagrams(calibration.reliability(said, "blunt"), "blunt"),
    }
    table = calibration.errors(said)
    combined = calibration.errors(calibration.averaged(said, scores, list(SCORERS)))
    tables = {"errors": table, "averages": combined, "others": pd.DataFrame()}
    calibration.save(said, painted, tables, pictures, tmp_path / "out")
    files = {path.name for path in Path(tmp_path / "out").iterdir()}
    written = {"errors.csv", "averages.csv", "artificial.csv", "probabilities.csv", "functions.png", "reliability.png"}
    assert files == written
    assert calibration.simulated_example()["title"].endswith("perfectly separated")
