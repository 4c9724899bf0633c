"""Errors of calibration against netcal's and scikit-learn's, and against what can be reckoned by hand."""

import warnings
from statistics import NormalDist

import numpy as np
import pytest
from sklearn import metrics

from iadlib.calibration import (
    adaptive_calibration_error,
    brier_parts,
    brier_score,
    expected_calibration_error,
    log_loss,
    maximum_calibration_error,
    reliability_curve,
)


@pytest.fixture
def sample():
    rng = np.random.default_rng(1)
    probabilities = rng.beta(0.7, 0.9, 400)
    return probabilities, (rng.random(400) < probabilities**1.6).astype(int)


@pytest.fixture(scope="module")
def netcal():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, when it is imported
        from netcal import metrics

    return metrics


@pytest.mark.parametrize("bins", [1, 5, 10, 15])
def test_expected_and_maximum_error_agree_with_netcal(netcal, sample, bins):
    probabilities, labels = sample
    assert expected_calibration_error(*sample, bins) == pytest.approx(netcal.ECE(bins).measure(probabilities, labels))
    assert maximum_calibration_error(*sample, bins) == pytest.approx(netcal.MCE(bins).measure(probabilities, labels))


def test_the_adaptive_error_is_the_expected_one_over_equally_filled_bins(sample):
    probabilities, labels = sample
    order = np.argsort(probabilities)
    parts = np.split(order, 8)
    expected = np.mean([abs(probabilities[part].mean() - labels[part].mean()) for part in parts])
    assert adaptive_calibration_error(probabilities, labels, 8) == pytest.approx(expected)


def test_brier_score_and_log_loss_agree_with_scikit_learn(sample):
    probabilities, labels = sample
    assert brier_score(*sample) == pytest.approx(metrics.brier_score_loss(labels, probabilities))
    assert log_loss(*sample) == pytest.approx(metrics.log_loss(labels, probabilities))


def test_the_brier_scores_parts_make_the_whole(sample):
    parts = brier_parts(*sample)
    whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert whole == pytest.approx(brier_score(*sample), abs=1e-12)


def test_nothing_is_within_bins_of_one_probability_each():
    labels = np.random.default_rng(0).integers(0, 2, 90)
    assert brier_parts(np.repeat([0.15, 0.55, 0.95], 30), labels).within == pytest.approx(0, abs=1e-12)


def test_a_constant_prevalence_has_no_resolution_and_no_error():
    labels = np.repeat([0, 1], [30, 10])
    parts = brier_parts(np.full(40, 0.25), labels)
    assert (parts.reliability, parts.resolution) == pytest.approx((0, 0))
    assert expected_calibration_error(np.full(40, 0.25), labels) == pytest.approx(0)


def test_a_wrong_certainty_costs_much_and_not_infinitely_much():
    assert 30 < log_loss([0.0, 1.0], [1, 0]) < 40
    assert log_loss([0.0, 1.0], [0, 1]) == pytest.approx(0, abs=1e-12)


def test_empty_bins_are_left_out_and_edges_belong_to_the_bin_below():
    curve = reliability_curve([0.0, 0.1, 0.10001, 1.0], [0, 0, 1, 1], bins=10)
    assert curve.count.tolist() == [2, 1, 1]


def test_the_interval_of_a_share_is_clopper_and_pearsons():
    curve = reliability_curve(np.full(10, 0.5), [0] * 10)
    assert (curve.low[0], curve.high[0]) == pytest.approx((0, 1 - 0.025 ** (1 / 10)))
    many = reliability_curve(np.full(40_000, 0.5), np.repeat([0, 1], 20_000))
    half = NormalDist().inv_cdf(0.975) * 0.5 / 200
    assert (many.low[0], many.high[0]) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)


@pytest.mark.parametrize(("probabilities", "message"), [([0.5, 1.2], "in \\[0, 1\\]"), ([0.5, np.nan], "NaN")])
def test_what_is_no_probability_is_an_error(probabilities, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(probabilities, [0, 1])


def test_no_bins_are_an_error():
    with pytest.raises(ValueError, match="bins 0"):
        reliability_curve([0.5], [1], bins=0)
