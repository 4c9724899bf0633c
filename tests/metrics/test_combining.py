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


def test_votes_are_counted():
    assert combined(PREDICTIONS, VALIDATION, "vote").scores.tolist() == [0, 0.5, 0.5]
    assert combined(PREDICTIONS, VALIDATION, "vote").maps[1].tolist() == [[0.5] * 3] * 2


def test_members_without_maps_count_for_scores_only():
    without = [Prediction(each.scores, None) for each in (PREDICTIONS[1], VALIDATION[1])]
    joint = combined([PREDICTIONS[0], without[0]], [VALIDATION[0], without[1]], "mean")
    np.testing.assert_array_equal(joint.scores, combined(PREDICTIONS, VALIDATION, "mean").scores)
    np.testing.assert_array_equal(joint.maps, combined(PREDICTIONS[:1], VALIDATION[:1], "mean").maps)
    assert combined([without[0]], [without[1]], "mean").maps is None
