"""Platt's sigmoid against scikit-learn's, and what the bounded one promises."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import beta
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from iadlib.calibration import BoundedSigmoid, PlattScaling, log_loss
from iadlib.calibration.scaling import log_likelihood, standardised


class AsTheyAre(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision function is its single feature."""

    classes_ = np.array([0, 1])

    def fit(self, scores, labels):
        self.fitted_ = True
        return self

    def decision_function(self, scores):
        return scores[:, 0]

    def predict(self, scores):
        return (scores[:, 0] > 0).astype(int)


def drawn(distance, normal=40, anomalous=60, seed=0):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(0, 1, normal), rng.normal(distance, 1.5, anomalous)])
    return scores, np.repeat([0, 1], [normal, anomalous])


SEPARATED = np.array([1.0, 1.2, 1.5, 1.9, 2.0, 6.0, 6.5, 7.0, 9.0, 12.0]), np.repeat([0, 1], 5)


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0])
def test_platt_scaling_agrees_with_scikit_learns_sigmoid(distance):
    scores, labels = drawn(distance)
    reference = CalibratedClassifierCV(FrozenEstimator(AsTheyAre().fit(None, None)), method="sigmoid", ensemble=False)
    expected = reference.fit(scores[:, None], labels).predict_proba(scores[:, None])[:, 1]
    np.testing.assert_allclose(PlattScaling().fit(scores, labels).predict_proba(scores), expected, atol=1e-4)


def test_the_gradient_is_the_losss():
    scores, labels = drawn(1.0)
    z, _, _ = standardised(scores)
    calibrator = BoundedSigmoid()
    for at in ([0.3, 0.2, -2.0, 1.0], [1.5, -0.7, -4.0, 3.0]):
        numeric = approx_fprime(np.array(at), lambda p: calibrator._loss(p, z, labels)[0], 1e-7)
        np.testing.assert_allclose(calibrator._loss(np.array(at), z, labels)[1], numeric, rtol=1e-3, atol=1e-3)


def test_where_a_sigmoid_is_the_truth_the_bounded_one_becomes_platts():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, 40_000)
    labels = (rng.random(len(scores)) < 1 / (1 + np.exp(-1.3 * scores))).astype(int)
    at = np.linspace(-6, 6, 50)
    platt = PlattScaling().fit(scores, labels).predict_proba(at)
    bounded = BoundedSigmoid().fit(scores, labels)
    np.testing.assert_allclose(bounded.predict_proba(at), platt, atol=0.01)
    assert bounded.lower_ < 0.01
    assert bounded.upper_ > 0.99


def test_of_a_detector_that_is_blind_to_half_of_the_anomalies_the_lower_bound_says_so():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 1, 2000), rng.normal(0, 1, 1000), rng.normal(12, 1, 1000)])
    labels = np.repeat([0, 1], 2000)
    bounded = BoundedSigmoid().fit(scores, labels)
    assert bounded.lower_ == pytest.approx(1000 / 3000, abs=0.02)
    assert bounded.predict_proba([-20])[0] > 0.3 > PlattScaling().fit(scores, labels).predict_proba([-20])[0]


def test_perfectly_separated_classes_leave_platt_a_step_and_the_bounded_sigmoid_a_confidence():
    far = np.array([-100.0, 100.0])
    platt, bounded = PlattScaling().fit(*SEPARATED).predict_proba(far), BoundedSigmoid().fit(*SEPARATED)
    assert platt[0] < 1e-10
    assert platt[1] > 1 - 1e-10
    low, high = bounded.predict_proba(far)
    assert 0.02 < low < 0.15
    assert 0.85 < high < 0.98
    assert bounded.slope_ <= 4 / (6.0 - 2.0) * (1 + 1e-9)


def test_the_more_images_are_separated_the_wider_the_bounds():
    few = BoundedSigmoid().fit(*SEPARATED)
    many = BoundedSigmoid().fit(np.tile(SEPARATED[0], 20), np.tile(SEPARATED[1], 20))
    assert many.lower_ < few.lower_ / 5
    assert 1 - many.upper_ < (1 - few.upper_) / 5


@pytest.mark.parametrize(("scores", "labels"), [drawn(0.0), drawn(1.0), drawn(-2.0), drawn(8.0), SEPARATED])
def test_the_bounded_sigmoid_never_falls_and_stays_strictly_inside(scores, labels):
    probabilities = BoundedSigmoid().fit(scores, labels).predict_proba(np.linspace(-1e4, 1e4, 5001))
    assert (np.diff(probabilities) >= 0).all()
    assert probabilities.min() > 0
    assert probabilities.max() < 1


@pytest.mark.parametrize("calibrator", [PlattScaling, BoundedSigmoid])
@pytest.mark.parametrize("distance", [0.5, 8.0])
def test_unit_and_shift_of_the_scores_do_not_matter(calibrator, distance):
    scores, labels = drawn(distance)
    before = calibrator().fit(scores, labels).predict_proba(scores)
    after = calibrator().fit(1e5 * scores - 3e6, labels).predict_proba(1e5 * scores - 3e6)
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_one_mislabelled_image_does_not_cost_a_bounded_sigmoid_everything():
    scores, labels = drawn(12.0)
    bounded = BoundedSigmoid().fit(scores, labels)
    wrong = np.append(labels, 1)
    assert log_loss(bounded.predict_proba(np.append(scores, -50)), wrong) < 0.15
    assert log_loss(PlattScaling().fit(scores, labels).predict_proba(np.append(scores, -50)), wrong) > 0.3


@pytest.mark.parametrize("hyperparameters", [{"pseudo_images": 0}, {"slope_spread": -1}])
def test_a_prior_of_nothing_is_an_error(hyperparameters):
    with pytest.raises(ValueError, match="above 0"):
        BoundedSigmoid(**hyperparameters).fit(*SEPARATED)


def test_a_curve_whose_bound_rounds_to_one_makes_a_normal_image_impossible_without_a_warning():
    certain = np.array([[5.0, 0.0, -50.0, 50.0]])
    assert log_likelihood(certain, np.array([1.0]), np.array([0])).item() == -np.inf
    assert log_likelihood(certain, np.array([1.0]), np.array([1])).item() == 0


def test_scores_that_say_nothing_are_found_out_and_scores_that_say_much_too():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 1000)
    nothing = BoundedSigmoid().fit(rng.normal(0, 1, 2000), labels)
    assert nothing.blind_ > 0.5  # more than before any score was seen
    assert np.ptp(nothing.predict_proba(np.array([-3.0, 3.0]))) < 0.1
    assert BoundedSigmoid().fit(*SEPARATED).blind_ < 0.1


def test_the_score_at_a_probability_has_that_probability():
    calibrator = BoundedSigmoid().fit(*drawn(2.0))
    probabilities = np.linspace(calibrator.lower_, calibrator.upper_, 9)[1:-1]
    np.testing.assert_allclose(calibrator.predict_proba(calibrator.score_at(probabilities)), probabilities, atol=1e-6)


def test_the_interval_is_that_of_the_prevalence_where_scores_carry_no_information():
    labels = [0] * 4 + [1] * 6
    low, high = BoundedSigmoid().fit([1.0] * 10, labels).interval([1.0])
    assert [low[0], high[0]] == pytest.approx(beta.ppf([0.025, 0.975], 6.5, 4.5), abs=0.002)


def test_the_interval_holds_the_probability_and_shrinks_with_more_images():
    rng = np.random.default_rng(0)
    widths = []
    for count in (10, 200):
        scores, labels = np.append(rng.normal(0, 1, count), rng.normal(2, 1, count)), np.repeat([0, 1], count)
        fitted = BoundedSigmoid().fit(scores, labels)
        low, high = fitted.interval([1.0])
        assert low[0] < fitted.predict_proba([1.0])[0] < high[0]
        widths.append(high[0] - low[0])
    assert widths[1] < widths[0] / 2
