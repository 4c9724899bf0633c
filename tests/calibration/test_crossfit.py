"""Nobody's probability comes from a calibrator that has seen its label."""

from dataclasses import dataclass

import numpy as np
import pytest

from iadlib.calibration import IsotonicCalibration, PlattScaling, cross_fit, with_prevalence


@dataclass
class Remembers:
    """Says 1 of the scores that it was fitted to, 0 of others; notes how many were anomalous."""

    def fit(self, scores, labels):
        self.seen_ = set(scores.tolist())
        return self

    def predict_proba(self, scores):
        return np.array([float(score in self.seen_) for score in scores])


SCORES, LABELS = np.arange(30.0), np.tile([0, 1, 1], 10)


def test_no_image_is_judged_by_a_calibrator_that_has_seen_it():
    assert cross_fit(Remembers(), SCORES, LABELS).tolist() == [0.0] * 30


def test_the_calibrator_itself_stays_unfitted():
    calibrator = PlattScaling()
    cross_fit(calibrator, SCORES, LABELS)
    assert not hasattr(calibrator, "slope_")


def test_a_flexible_calibrator_looks_better_where_it_has_learned():
    scores = np.random.default_rng(0).normal(size=60)
    labels = np.tile([0, 1], 30)
    own = IsotonicCalibration().fit(scores, labels).predict_proba(scores)
    others = cross_fit(IsotonicCalibration(), scores, labels)
    assert np.mean((own - labels) ** 2) < np.mean((others - labels) ** 2) - 0.02


def test_the_same_seed_deals_the_same_folds():
    probabilities = [cross_fit(PlattScaling(), SCORES, LABELS, seed=seed) for seed in (0, 0, 1)]
    assert (probabilities[0] == probabilities[1]).all()
    assert (probabilities[0] != probabilities[2]).any()


def test_one_learns_from_one_kind_and_judges_all():
    kinds = np.tile(["good", "logical", "structural"], 10)

    class Kinds(Remembers):
        def fit(self, scores, labels):
            assert {kinds[int(score)] for score in scores} == {"good", "structural"}
            return super().fit(scores, labels)

    probabilities = cross_fit(Kinds(), SCORES, LABELS, strata=kinds, learn_from=kinds != "logical")
    assert probabilities.tolist() == [0.0] * 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 11}, "11 folds, but only 10 images of 0"),
        ({"folds": 1}, "2 or more"),
        ({"strata": ["a"]}, "one each"),
    ],
)
def test_folds_that_cannot_be_dealt_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        cross_fit(PlattScaling(), SCORES, LABELS, **arguments)


def test_another_prevalence_moves_probabilities_as_bayes_rule_says():
    density_normal, density_anomalous = 0.3, 0.1
    at_half = 0.5 * density_anomalous / (0.5 * density_anomalous + 0.5 * density_normal)
    at_two_percent = 0.02 * density_anomalous / (0.02 * density_anomalous + 0.98 * density_normal)
    assert with_prevalence([at_half], 0.5, 0.02)[0] == pytest.approx(at_two_percent)


def test_there_and_back_is_where_one_was():
    probabilities = np.linspace(0, 1, 11)
    there = with_prevalence(probabilities, 2 / 3, 0.01)
    np.testing.assert_allclose(with_prevalence(there, 0.01, 2 / 3), probabilities, atol=1e-12)


@pytest.mark.parametrize("prevalence", [0, 1, -0.5])
def test_a_prevalence_of_none_or_all_is_an_error(prevalence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        with_prevalence([0.5], 0.5, prevalence)
