import numpy as np
import pytest
from sklearn import metrics as reference

from iadlib.metrics import (
    alarm_interval,
    expected_alarm_share,
    f1_score,
    false_positive_rate,
    image_aupr,
    image_auroc,
    iou,
    precision,
    recall,
    threshold_from_normals,
    true_positive_rate,
)


@pytest.fixture(params=range(5))
def sample(request) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(request.param)
    labels = rng.integers(0, 2, 60)
    return rng.integers(0, 8, 60) + 2.0 * labels, labels  # many ties


def test_ranking_metrics_equal_scikit_learns(sample):
    assert image_auroc(*sample) == pytest.approx(reference.roc_auc_score(sample[1], sample[0]), abs=1e-12)
    assert image_aupr(*sample) == pytest.approx(reference.average_precision_score(sample[1], sample[0]), abs=1e-12)


def test_decision_metrics_equal_scikit_learns(sample):
    marked, labels = sample[0] > 5, sample[1]
    assert precision(marked, labels) == pytest.approx(reference.precision_score(labels, marked))
    assert recall(marked, labels) == pytest.approx(reference.recall_score(labels, marked))
    assert true_positive_rate(marked, labels) == recall(marked, labels)
    assert false_positive_rate(marked, labels) == pytest.approx(1 - reference.recall_score(1 - labels, ~marked))
    assert f1_score(marked, labels) == pytest.approx(reference.f1_score(labels, marked))
    assert iou(marked, labels) == pytest.approx(reference.jaccard_score(labels, marked))


def test_decision_metrics_take_pixels_as_they_take_images(sample):
    marked, labels = sample[0] > 5, sample[1]
    assert iou(marked.reshape(6, 10), labels.reshape(6, 10)) == iou(marked, labels)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_roc_curve(label):
    assert np.isnan(image_auroc([1.0, 2.0], [label, label]))


def test_nothing_marked_has_no_precision_and_no_recall():
    assert np.isnan(precision([False, False], [0, 1]))
    assert recall([False, False], [0, 1]) == 0
    assert np.isnan(recall([False, True], [0, 0]))
    assert np.isnan(false_positive_rate([False, True], [1, 1]))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, np.nan], [0, 1], "finite"),
        ([1.0, 2.0], [0, 2], "labels are 0"),
        ([1.0, 2.0], [0, 1, 1], "scores"),
        ([[1.0], [2.0]], [[0], [1]], "scores"),
    ],
)
def test_bad_input_raises(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        image_auroc(scores, labels)


def test_scores_in_place_of_decisions_raise():
    with pytest.raises(ValueError, match="compare scores with a threshold"):
        precision([0.2, 0.9], [0, 1])


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.5])
def test_a_threshold_lets_no_more_than_its_share_of_normal_scores_through(rate):
    scores = np.random.default_rng(0).normal(size=97)
    threshold = threshold_from_normals(scores, rate)
    assert np.mean(scores > threshold) <= rate
    next_lower = scores[scores < threshold].max()
    assert np.mean(scores > next_lower) > rate


@pytest.mark.parametrize("scores", [[], [1.0, np.inf]])
def test_a_threshold_without_finite_scores_raises(scores):
    with pytest.raises(ValueError, match="finite scores"):
        threshold_from_normals(scores)


@pytest.mark.parametrize("percent", range(100))
def test_a_threshold_lets_the_whole_share_through_whatever_its_binary_digits(percent):
    scores = np.arange(100)
    assert np.count_nonzero(scores > threshold_from_normals(scores, percent / 100)) == percent


def test_a_threshold_of_tied_scores_stays_on_the_safe_side():
    assert threshold_from_normals([1, 2, 2, 2], 0.5) == 2
    assert threshold_from_normals([[3.0]]) == 3
    with pytest.raises(ValueError, match="a share"):
        threshold_from_normals([1, 2], 1.0)


def test_the_interval_of_alarms_holds_the_true_share_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    low, high = alarm_interval(20, 0.05, level=0.9)
    thresholds = [threshold_from_normals(rng.random(20), 0.05) for _ in range(2000)]
    assert np.mean([low <= 1 - threshold <= high for threshold in thresholds]) == pytest.approx(0.9, abs=0.02)
    assert np.mean([1 - threshold for threshold in thresholds]) == pytest.approx(expected_alarm_share(20), abs=0.005)


def test_more_images_narrow_the_interval_of_alarms_and_none_are_an_error():
    widths = [np.ptp(alarm_interval(count)) for count in (1, 2, 20, 200)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0.9
    with pytest.raises(ValueError, match="0 validation images"):
        alarm_interval(0)
