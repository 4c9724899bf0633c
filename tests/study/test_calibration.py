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
    calibration.save(said, painted, table, combined, pictures, tmp_path / "out")
    files = {path.name for path in Path(tmp_path / "out").iterdir()}
    assert files >= {"errors.csv", "averages.csv", "artificial.csv", "functions.png", "reliability.png"}
