"""Bins hold equally many images, and Bayesian binning follows its paper."""

import numpy as np
import pytest
from scipy.special import gammaln

from iadlib.calibration import BayesianBinning, HistogramBinning
from iadlib.calibration.binning import counts_in, edges_of


def test_bins_hold_equally_many_images():
    scores = np.random.default_rng(0).exponential(size=60)
    counts, _ = counts_in(edges_of(scores, 6), scores, np.zeros(60))
    assert counts.tolist() == [10] * 6


def test_equal_scores_share_a_bin():
    scores = np.array([1.0, 1, 1, 1, 1, 2, 3])
    assert edges_of(scores, 7).tolist() == [1.5, 2.5]


def test_neighbouring_floating_point_numbers_can_be_told_apart():
    scores = np.array([1.0, np.nextafter(1.0, 2)])
    counts, _ = counts_in(edges_of(scores, 2), scores, np.zeros(2))
    assert counts.tolist() == [1, 1]


def test_the_probability_of_a_histogram_is_the_share_in_the_bin():
    calibrator = HistogramBinning(bins=2).fit([1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 0, 1])
    np.testing.assert_allclose(calibrator.predict_proba([0, 2, 4, 9]), [1 / 3, 1 / 3, 2 / 3, 2 / 3])


def test_bayesian_binning_weighs_models_as_the_paper_does():
    scores, labels = np.arange(8.0), np.array([0, 0, 0, 1, 0, 1, 1, 1])
    calibrator = BayesianBinning(span=1, strength=2).fit(scores, labels)  # 8 ** (1/3) = 2 bins, and one
    evidence, by_model = [], []
    for bins in ([slice(0, 8)], [slice(0, 4), slice(4, 8)]):
        total, values = 0.0, np.empty(8)
        for part in bins:
            n, m, strength = len(labels[part]), labels[part].sum(), 2 / len(bins)
            a = b = strength / 2  # the prevalence is a half
            total += gammaln(strength) - gammaln(n + strength)
            total += gammaln(m + a) - gammaln(a) + gammaln(n - m + b) - gammaln(b)
            values[part] = (m + a) / (n + strength)
        evidence.append(total)
        by_model.append(values)
    weights = np.exp(evidence) / np.exp(evidence).sum()
    np.testing.assert_allclose(calibrator.predict_proba(scores), weights @ np.array(by_model))


@pytest.mark.parametrize(
    "calibrator", [HistogramBinning(bins=0), BayesianBinning(span=0.5), BayesianBinning(strength=0)]
)
def test_impossible_numbers_of_bins_are_an_error(calibrator):
    with pytest.raises(ValueError, match=r"or more|above 0"):
        calibrator.fit([1, 2], [0, 1])
