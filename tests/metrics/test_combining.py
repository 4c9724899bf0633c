import numpy as np

from iadlib.metrics.combining import combined
from iadlib.types import Prediction

GENERATOR = np.random.default_rng(0)


def prediction(scores: np.ndarray) -> Prediction:
    scores = np.asarray(scores, np.float32)
    return Prediction(scores, np.repeat(scores, 6).reshape(-1, 2, 3))


VALIDATION = [prediction(GENERATOR.normal(5, 2, 30)), prediction(GENERATOR.normal(100, 50, 30))]
PREDICTIONS = [prediction([5, 11, 5]), prediction([100, 100, 400])]


def test_members_of_any_unit_weigh_alike():
    mean = combined(PREDICTIONS, VALIDATION, "mean").scores
    large = [[first, prediction(1000 * second.scores)] for first, second in (PREDICTIONS, VALIDATION)]
    np.testing.assert_allclose(combined(*large, "mean").scores, mean, rtol=1e-5)


def test_the_maximum_is_the_most_alarmed_member():
    each = [combined([found], [normal], "mean").scores for found, normal in zip(PREDICTIONS, VALIDATION, strict=True)]
    np.testing.assert_allclose(combined(PREDICTIONS, VALIDATION, "maximum").scores, np.max(each, axis=0))
    np.testing.assert_allclose(combined(PREDICTIONS, VALIDATION, "mean").scores, np.mean(each, axis=0), rtol=1e-6)


def test_the_soft_maximum_lies_between_the_weighted_mean_and_the_maximum():
    found = combined(PREDICTIONS, VALIDATION, "soft maximum", [(3.0, 1.0), (1.0, 1.0)])
    mean = combined(PREDICTIONS, VALIDATION, "weighted mean", [(3.0, 1.0), (1.0, 1.0)])
    maximum = combined(PREDICTIONS, VALIDATION, "maximum")
    first, second = (
        combined([each], [normal], "mean").scores for each, normal in zip(PREDICTIONS, VALIDATION, strict=True)
    )
    np.testing.assert_allclose(found.scores, 2 * np.log((3 * np.exp(first / 2) + np.exp(second / 2)) / 4), rtol=1e-5)
    assert (mean.scores <= found.scores + 1e-6).all()
    assert (found.scores <= maximum.scores + 1e-6).all()
    np.testing.assert_array_equal(found.maps, mean.maps)


def test_the_soft_maximum_of_large_values_is_finite():
    large = [prediction([1e6, 5]), prediction([100, 1e6])]
    assert np.isfinite(combined(large, VALIDATION, "soft maximum").scores).all()


def test_votes_are_counted():
    assert combined(PREDICTIONS, VALIDATION, "vote").scores.tolist() == [0, 0.5, 0.5]
    assert combined(PREDICTIONS, VALIDATION, "vote").maps[1].tolist() == [[0.5] * 3] * 2


def test_members_without_maps_count_for_scores_only():
    without = [Prediction(each.scores, None) for each in (PREDICTIONS[1], VALIDATION[1])]
    joint = combined([PREDICTIONS[0], without[0]], [VALIDATION[0], without[1]], "mean")
    np.testing.assert_array_equal(joint.scores, combined(PREDICTIONS, VALIDATION, "mean").scores)
    np.testing.assert_array_equal(joint.maps, combined(PREDICTIONS[:1], VALIDATION[:1], "mean").maps)
    assert combined([without[0]], [without[1]], "mean").maps is None
