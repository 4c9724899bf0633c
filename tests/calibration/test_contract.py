"""What every calibrator has in common, and what none can use."""

import numpy as np
import pytest

from iadlib.calibration import (
    BayesianBinning,
    BoundedSigmoid,
    HistogramBinning,
    IsotonicCalibration,
    PlattScaling,
    brier_score,
)

CALIBRATORS = [HistogramBinning, IsotonicCalibration, BayesianBinning, PlattScaling, BoundedSigmoid]
RISING = [IsotonicCalibration, PlattScaling, BoundedSigmoid]
OF_THE_ORDER = [HistogramBinning, IsotonicCalibration, BayesianBinning]


@pytest.fixture
def sample():
    rng = np.random.default_rng(3)
    scores = np.concatenate([rng.normal(10, 2, 50), rng.normal(13, 3, 80)])
    return scores, np.repeat([0, 1], [50, 80])


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_probabilities_of_any_scores_are_between_0_and_1(calibrator, sample):
    probabilities = calibrator().fit(*sample).predict_proba([-1e9, 0, 10, 11.5, 1e9])
    assert probabilities.shape == (5,)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_a_calibrator_knows_more_than_the_prevalence(calibrator, sample):
    scores, labels = sample
    probabilities = calibrator().fit(scores, labels).predict_proba(scores)
    assert brier_score(probabilities, labels) < 0.9 * brier_score(np.full(len(labels), labels.mean()), labels)
    assert probabilities.mean() == pytest.approx(labels.mean(), abs=0.03)


@pytest.mark.parametrize("calibrator", RISING)
def test_a_higher_score_is_never_less_anomalous(calibrator, sample):
    assert (np.diff(calibrator().fit(*sample).predict_proba(np.linspace(0, 30, 400))) >= 0).all()


@pytest.mark.parametrize("calibrator", OF_THE_ORDER)
def test_binning_sees_the_order_of_the_scores_alone(calibrator, sample):
    scores, labels = sample
    before = calibrator().fit(scores, labels).predict_proba(scores)
    after = calibrator().fit(np.exp(scores), labels).predict_proba(np.exp(scores))
    np.testing.assert_allclose(after, before, atol=1e-12)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_the_order_of_the_images_does_not_matter(calibrator, sample):
    scores, labels = sample
    order = np.random.default_rng(0).permutation(len(scores))
    before = calibrator().fit(scores, labels).predict_proba(scores)
    np.testing.assert_allclose(calibrator().fit(scores[order], labels[order]).predict_proba(scores), before, atol=1e-4)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_constant_scores_give_the_prevalence(calibrator, value):
    probabilities = calibrator().fit(np.full(10, value), [0] * 7 + [1] * 3).predict_proba([value, value + 1, value - 1])
    np.testing.assert_allclose(probabilities, 0.3, atol=1e-6)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_two_images_are_enough(calibrator):
    low, high = calibrator().fit([1.0, 2.0], [0, 1]).predict_proba([1.0, 2.0])
    assert 0 <= low < high <= 1


@pytest.mark.parametrize("calibrator", CALIBRATORS)
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, 2.0], [0, 0], "all 2 labels are 0"),
        ([1.0, np.nan], [0, 1], "1 of 2 scores are NaN or infinite"),
        ([1.0, np.inf], [0, 1], "1 of 2 scores are NaN or infinite"),
        ([1.0, 2.0], [0, 2], "not \\[2\\]"),
        ([1.0, 2.0], ["good", "bad"], "labels are 0 .normal. and 1"),
        ([1.0, 2.0, 3.0], [0, 1], "one each"),
        ([[1.0, 2.0]], [[0, 1]], "one number an image"),
        ([], [], "one number an image"),
    ],
)
def test_what_cannot_be_calibrated_is_one_clear_error(calibrator, scores, labels, message):
    with pytest.raises(ValueError, match=message):
        calibrator().fit(scores, labels)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_scores_to_be_judged_are_numbers(calibrator, sample):
    with pytest.raises(ValueError, match="NaN"):
        calibrator().fit(*sample).predict_proba([np.nan])


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_inputs_are_not_changed(calibrator, sample):
    scores, labels = sample
    before = scores.copy(), labels.copy()
    calibrator().fit(scores, labels).predict_proba(scores)
    np.testing.assert_array_equal(scores, before[0])
    np.testing.assert_array_equal(labels, before[1])
