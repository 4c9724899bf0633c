"""What `calibrate` writes, from simulated scores and from one fitted detector."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iadlib import calibration
from iadlib.commands import calibrate as command
from iadlib.commands.calibrate import CalibrationSettings, calibrate
from iadlib.data import DataError
from iadlib.metrics import resampled_images

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"
KINDS = np.repeat(["good", "logical", "structural"], [15, 10, 10])
SETTINGS = CalibrationSettings(members=("sharp", "blunt"))


def scores_of(scorer: str, distance: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([seed, *scorer.encode()])
    test = pd.DataFrame({"split": "test", "name": [f"{i:03}" for i in range(len(KINDS))], "label": KINDS})
    test["score"] = rng.normal(size=len(KINDS)) + distance * (KINDS != "good")
    normal = pd.DataFrame({"split": "validation", "name": [f"v{i}" for i in range(8)], "label": "good"})
    table = pd.concat([normal.assign(score=rng.normal(size=8)), test], ignore_index=True)
    return table.assign(detector=scorer, entry=scorer, seed=seed)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Reports with two detectors and both ensembles, and an empty folder for fitted detectors."""
    folder = tmp_path_factory.mktemp("study")
    scorers = {"benchmark": {"sharp": 8.0, "blunt": 1.0}, "ensemble": {"feature ensemble": 3.0, "mean": 2.0}}
    for report, distances in scorers.items():
        (folder / report).mkdir()
        parts = [scores_of(scorer, distance, seed) for scorer, distance in distances.items() for seed in (0, 1)]
        pd.concat(parts).to_csv(folder / report / "scores.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def tables(study) -> dict[str, pd.DataFrame]:
    """The tables of one run, with painted scores in place of a detector's."""
    painted = pd.concat(
        [
            table.query("split == 'validation'").assign(scorer=table["detector"], score=table["score"] + 2)
            for table in (scores_of(scorer, 0.0, seed) for scorer in ("sharp", "blunt") for seed in (0, 1))
        ]
    )
    out = study / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command.results, "find", lambda _: [Path("fitted")])
        patch.setattr(command, "score_painted", lambda *_: painted[["scorer", "seed", "name", "score"]])
        calibrate(SAMPLE, "fits", study / "benchmark", study / "ensemble", out, SETTINGS)
    return {path.stem: pd.read_csv(path) for path in out.iterdir()}


def test_every_scorer_has_probabilities_of_every_calibrator_for_its_first_seed(tables):
    shown = tables["probabilities"]
    assert set(shown["scorer"]) == {"sharp", "blunt", "feature ensemble", "mean of outputs"}
    assert set(shown["seed"]) == {0}
    assert (shown.groupby("scorer")["name"].nunique() == len(KINDS)).all()
    assert set(shown.columns[4:]) == {calibration.NONE, *calibration.CALIBRATORS}
    assert len(shown) == 4 * len(KINDS)
    assert shown.notna().all(axis=None)


def test_errors_are_means_over_the_seeds_inside_their_intervals(tables, study):
    scores = command.gather_scores(study / "benchmark", study / "ensemble")
    expected = []
    for seed in (0, 1):
        part = scores.query("scorer == 'blunt' and split == 'test'")
        values, labels = part.loc[part["seed"] == seed, "score"].to_numpy(), (KINDS != "good").astype(int)
        probabilities = calibration.cross_fit(calibration.PlattScaling(), values, labels, strata=KINDS)
        expected.append(calibration.log_loss(probabilities, labels))
    errors = tables["errors"].set_index(["scorer", "calibrator"])
    row = errors.loc[("blunt", calibration.PLATT)]
    assert row["log loss"] == pytest.approx(np.mean(expected), rel=1e-5)
    assert row["log loss low"] < row["log loss"] < row["log loss high"]
    bounded = errors.loc[("blunt", calibration.BOUNDED)]
    assert bounded["log loss less Platt"] == pytest.approx(bounded["log loss"] - row["log loss"], abs=1e-5)


def test_resampled_losses_are_those_of_resampled_images():
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_arrays([np.arange(35), KINDS], names=["name", "label"])
    table = pd.DataFrame(rng.uniform(0.01, 0.99, (35, 2)), index=index)
    [row] = command.errors_of({calibration.BOUNDED: table})
    labels, drawn = (KINDS != "good").astype(int), resampled_images(KINDS, command.RESAMPLES, seed=0)
    losses = [np.mean([calibration.log_loss(table[i].to_numpy()[c], labels[c]) for i in (0, 1)]) for c in drawn]
    assert (row["log loss low"], row["log loss high"]) == pytest.approx(command.percentiles(np.array(losses)))


def test_tables_between_kinds_and_from_painted_anomalies_have_their_protocols(tables):
    assert set(tables["others"]["protocol"]) == set(command.BETWEEN_KINDS)
    artificial = tables["artificial_errors"]
    assert set(artificial.loc[artificial["protocol"] == "from artificial", "scorer"]) == {"sharp", "blunt"}
    assert set(tables["averages"]["scorer"]) == {"members", "average", "members, then average"}


def test_in_a_factory_with_few_anomalies_fewer_parts_are_rejected(tables):
    outcomes = tables["decisions"].set_index(["scorer", "calibrator", "place"])["rejected"].unstack()
    assert (outcomes["factory"] < outcomes["test"]).all()
    assert len(outcomes) == 8


def test_thresholds_of_scores_are_where_the_probability_is_that_of_the_costs(study):
    scores = command.gather_scores(study / "benchmark", study / "ensemble").query("scorer == 'blunt' and seed == 0")
    settings = CalibrationSettings(costs={"miss": 3.0, "false_alarm": 1.0, "review": 0.5}, factory_prevalence=0.4)
    table = command.score_thresholds(scores, settings).set_index("place")
    test = scores[scores["split"] == "test"]
    labels = (test["label"] != "good").to_numpy().astype(int)
    fitted = calibration.BoundedSigmoid().fit(test["score"].to_numpy(), labels)
    for place, prevalence in (("test", labels.mean()), ("factory", 0.4)):
        ends = table.loc[place, ["pass_below", "reject_from"]].to_numpy(float)
        moved = calibration.with_prevalence(fitted.predict_proba(ends[np.isfinite(ends)]), labels.mean(), prevalence)
        expected = np.array(settings.costs_of_a_part().thresholds())[np.isfinite(ends)]
        np.testing.assert_allclose(moved, expected, atol=1e-3)


def test_the_functions_are_of_the_scorer_that_separates_best(tables):
    assert set(tables["functions"]["example"]) == {"category", "simulated"}
    title = tables["functions"].query("example == 'category'")["title"].iloc[0]
    assert title.startswith("sharp")
    rising = (
        tables["functions"].groupby(["example", "calibrator"])["probability"].apply(lambda p: p.is_monotonic_increasing)
    )
    assert rising.all()


def test_validation_images_get_painted_anomalies_and_are_scored_by_the_fitted_detector(result, good_parts):
    from iadlib.data import load_category

    category = load_category(good_parts)
    first, again = (command.score_painted(result, category, command.painter(category)) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert len(first) == len(category.of("validation"))
    scores = pd.read_csv(result / "scores.csv").query("split == 'validation'")["score"]
    assert first["score"].median() > scores.median()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.assign(score=np.nan), "86 scores are missing"),
        (lambda table: table[table["detector"] == "sharp"], "no scores of blunt"),
    ],
)
def test_scores_that_are_missing_are_an_error(change, message, study, tmp_path, monkeypatch):
    monkeypatch.setattr(command.results, "find", lambda _: [Path("fitted")])
    parts = [scores_of("sharp", 1.0, 0), scores_of("blunt", 1.0, 0)]
    change(pd.concat(parts)).to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(DataError, match=message):
        calibrate(SAMPLE, "fits", tmp_path, tmp_path, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kept", "counts"),
    [
        ("label == 'good'", "{'good': 15}"),
        ("label != 'logical' or name == '015'", "'logical': 1}"),
        ("split == 'validation'", "{}"),
    ],
)
def test_test_images_of_which_there_are_too_few_are_not_calibrated(kept, counts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command.results, "find", lambda _: [Path("fitted")])
    for report in ("benchmark", "ensemble"):
        (tmp_path / report).mkdir()
        scores_of("sharp", 1.0, 0).query(kept).to_csv(tmp_path / report / "scores.csv", index=False)
    calibrate(SAMPLE, "fits", tmp_path / "benchmark", tmp_path / "ensemble", tmp_path / "out", SETTINGS)
    assert counts in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"factory_prevalence": 0.0}, "factory_prevalence"),
        ({"members": ("patchcore",)}, "two or more"),
        ({"members": ("padim", "padim")}, "different detectors"),
        ({"costs": {"miss": 1.0}}, "miss and false_alarm are needed"),
        ({"costs": {"miss": -1.0, "false_alarm": 1.0}}, "above 0"),
    ],
)
def test_settings_out_of_range_are_an_error(values, message):
    with pytest.raises(ValueError, match=message):
        CalibrationSettings(**values)
