"""What each protocol may learn from."""

import numpy as np
import pytest

from iadlib.calibration import (
    BOUNDED,
    CALIBRATORS,
    CROSS_FITTED,
    PlattScaling,
    calibrate_by_artificial_images,
    calibrate_by_test_images,
    calibrated_twice,
    expected_calibration_error,
    expected_error_if_right,
    protocols,
    scale_without_anomalies,
)

KINDS = np.repeat(["good", "logical", "structural"], [18, 12, 12])


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    return np.random.default_rng(0).normal(size=len(KINDS)) + (KINDS != "good")


class Recorder:
    """Keeps the scores that each of its copies was fitted to; its probability is high for anomalous ones of them."""

    fitted: list[np.ndarray] = []

    def fit(self, scores, labels):
        self.own = dict(zip(scores.tolist(), labels.tolist(), strict=True))
        Recorder.fitted.append(np.asarray(scores))
        return self

    def predict_proba(self, scores):
        return np.array([0.9 if self.own.get(score) else 0.1 for score in scores.tolist()])


def test_every_calibrator_has_every_protocol_of_the_images_that_it_is_judged_by(scores):
    found = {(each.calibrator, each.protocol): each for each in calibrate_by_test_images(scores, KINDS)}
    assert {name for name, _ in found} == set(CALIBRATORS)
    assert len(found) == 5 * len(CALIBRATORS)
    assert found[BOUNDED, CROSS_FITTED].judged.tolist() == list(range(len(KINDS)))
    for protocol in ("from logical", "structural by itself"):
        assert set(KINDS[found[BOUNDED, protocol].judged]) == {"good", "structural"}
    assert all(((each.probabilities >= 0) & (each.probabilities <= 1)).all() for each in found.values())


@pytest.mark.parametrize(
    ("protocol", "unseen"),
    [
        ("from logical", "structural"),
        ("structural by itself", "logical"),
        ("from structural", "logical"),
        ("logical by itself", "structural"),
    ],
)
def test_a_calibrator_of_one_kind_is_not_fitted_to_the_other(scores, protocol, unseen, monkeypatch):
    monkeypatch.setattr(protocols, "CALIBRATORS", {"recorder": Recorder})
    for each in calibrate_by_test_images(scores, KINDS):
        if each.protocol == protocol:
            fitted = np.concatenate(Recorder.fitted)
            assert len(fitted)
            assert not set(fitted) & set(scores[unseen == KINDS])
        monkeypatch.setattr(Recorder, "fitted", [])


def test_without_a_second_kind_there_is_cross_fitting_only(scores):
    chosen = KINDS != "logical"
    found = list(calibrate_by_test_images(scores[chosen], KINDS[chosen]))
    assert {each.protocol for each in found} == {CROSS_FITTED}


def test_painted_anomalies_give_probabilities_at_the_prevalence_of_the_test_images(scores):
    rng = np.random.default_rng(1)
    normal, painted = rng.normal(0, 1, 30), rng.normal(2, 1, 30)
    found = [
        {each.calibrator: each for each in calibrate_by_artificial_images(scores, prevalence, normal, painted)}
        for prevalence in (0.5, 0.01)
    ]
    assert all((found[1][name].probabilities <= found[0][name].probabilities).all() for name in CALIBRATORS)


def test_gaussian_scaling_needs_normal_images_with_a_spread(scores):
    scaled = scale_without_anomalies(scores, scores[KINDS == "good"])
    assert (scaled.calibrator, scaled.protocol) == ("none", "uncalibrated")
    with pytest.raises(ValueError, match="all 1 are equal"):
        scale_without_anomalies(scores, scores[:1])


def test_no_label_of_a_fold_reaches_what_is_calibrated_twice():
    probabilities = calibrated_twice(Recorder(), np.random.default_rng(0).random((2, len(KINDS))), KINDS, folds=3)
    assert np.ptp(probabilities) == 0  # a calibrator that was fitted to the scores would separate their labels


def test_three_images_of_a_kind_are_enough_to_calibrate_twice():
    kinds = np.repeat(["good", "logical", "structural"], [3, 9, 4])
    scores = np.random.default_rng(0).normal(0, 1, (2, len(kinds))) + (kinds != "good")
    probabilities = calibrated_twice(PlattScaling(), scores, kinds)
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_the_expected_error_of_right_probabilities_is_what_samples_of_them_show():
    rng = np.random.default_rng(0)
    probabilities = rng.random(50)
    shown = [
        expected_calibration_error(probabilities, (rng.random(50) < probabilities).astype(int)) for _ in range(300)
    ]
    assert expected_error_if_right(probabilities, rng, draws=300) == pytest.approx(np.mean(shown), abs=0.01)
