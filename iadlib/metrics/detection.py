"""Binary metrics: image scores against labels, and marked images or pixels against the ground truth.

Labels are 1 or True for anomalous. A metric whose denominator is 0 is NaN: without marked images there is no
precision, and with one class alone no ROC curve.
"""

import numpy as np
import scipy  # its parts are imported when they are used
from numpy.typing import ArrayLike


def image_auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve of scores (N,); NaN where one class is missing. A tie counts one half.

    >>> image_auroc([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])  # of four pairs three are in order and one ties
    0.875
    """
    scores, labels = _scores_and_labels(scores, labels)
    anomalous, good = scores[labels], np.sort(scores[~labels])
    if not len(anomalous) or not len(good):
        return float("nan")
    below = np.searchsorted(good, anomalous, side="left").sum(dtype=float)
    below_or_tied = np.searchsorted(good, anomalous, side="right").sum(dtype=float)
    return float((below + below_or_tied) / 2 / len(anomalous) / len(good))


def image_aupr(scores: ArrayLike, labels: ArrayLike) -> float:
    """Average precision of scores (N,), the step-wise area under precision over recall; NaN without an anomalous one.

    >>> round(image_aupr([0.1, 0.8, 0.4, 0.9], [0, 0, 1, 1]), 4)  # 1/2 * 1/1 + 1/2 * 2/3
    0.8333
    """
    scores, labels = _scores_and_labels(scores, labels)
    anomalous, good = scores[labels], scores[~labels]
    if not len(anomalous):
        return float("nan")
    values, counts = np.unique(anomalous, return_counts=True)
    true_positives = np.cumsum(counts[::-1])[::-1]
    false_positives = len(good) - np.searchsorted(np.sort(good), values, side="left")
    return float(np.sum(counts * true_positives / (true_positives + false_positives)) / len(anomalous))


def precision(marked: ArrayLike, labels: ArrayLike) -> float:
    """TP / (TP + FP) of boolean arrays of any one shape; NaN where nothing is marked.

    >>> precision([True, True, False, False], [1, 0, 1, 0])
    0.5
    """
    return threshold_report(marked, labels)["precision"]


def recall(marked: ArrayLike, labels: ArrayLike) -> float:
    """TP / (TP + FN) of boolean arrays; NaN where nothing is anomalous.

    >>> recall([True, False, False, False], [1, 1, 1, 0])
    0.3333333333333333
    """
    return threshold_report(marked, labels)["recall"]


def true_positive_rate(marked: ArrayLike, labels: ArrayLike) -> float:
    """TP / (TP + FN), which is the recall.

    Erratum: the thesis's table of metrics prints TP / (TP + TN), a slip.

    >>> true_positive_rate([True, False, False, False], [1, 1, 0, 0])
    0.5
    """
    return recall(marked, labels)


def false_positive_rate(marked: ArrayLike, labels: ArrayLike) -> float:
    """FP / (FP + TN) of boolean arrays; NaN where everything is anomalous.

    >>> false_positive_rate([True, True, False, False, False], [1, 0, 0, 0, 0])
    0.25
    """
    return threshold_report(marked, labels)["false_positive_rate"]


def f1_score(marked: ArrayLike, labels: ArrayLike) -> float:
    """2 TP / (2 TP + FP + FN) of boolean arrays; NaN where nothing is marked and nothing anomalous.

    >>> f1_score([True, True, False], [1, 0, 1])
    0.5
    """
    return threshold_report(marked, labels)["f1_score"]


def iou(marked: ArrayLike, labels: ArrayLike) -> float:
    """Intersection over union, TP / (TP + FP + FN), of boolean arrays; NaN where both are empty.

    >>> iou([True, True, False], [1, 0, 1])
    0.3333333333333333
    """
    return threshold_report(marked, labels)["iou"]


def threshold_report(marked: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """All metrics of marked images or pixels, by name."""
    marked, labels = np.asarray(marked), np.asarray(labels)
    if marked.dtype != bool:
        raise ValueError(f"what is marked is boolean, not {marked.dtype}: compare scores with a threshold first")
    if marked.shape != labels.shape:
        raise ValueError(f"marked {marked.shape} and labels {labels.shape} differ in shape")
    labels = _binary(labels)
    parts = (marked & labels, marked & ~labels, ~marked & labels, ~marked & ~labels)
    return rates(*(np.count_nonzero(part) for part in parts))


def rates(true_positives: int, false_positives: int, false_negatives: int, true_negatives: int) -> dict[str, float]:
    """The metrics of `threshold_report` from the four numbers of images or pixels.

    >>> [f"{name} {value:.2f}" for name, value in rates(1, 1, 1, 3).items()][-3:]
    ['false_positive_rate 0.25', 'f1_score 0.50', 'iou 0.33']
    """
    tp, fp, fn, tn = true_positives, false_positives, false_negatives, true_negatives
    fractions = {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "true_positive_rate": (tp, tp + fn),
        "false_positive_rate": (fp, fp + tn),
        "f1_score": (2 * tp, 2 * tp + fp + fn),
        "iou": (tp, tp + fp + fn),
    }
    return {name: float(part / whole) if whole else float("nan") for name, (part, whole) in fractions.items()}


def threshold_from_normals(scores: ArrayLike, false_positive_rate: float = 0.05) -> float:
    """The lowest of the normal `scores` (any shape) that at most the share `false_positive_rate` of them exceed.

    >>> threshold_from_normals([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.25)  # 9 and 10 exceed it; a third would be too many
    8.0
    """
    scores = np.asarray(scores, dtype=float).ravel()
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError("a threshold needs finite scores of normal images, one at least")
    place = len(scores) - 1 - _allowed_above(len(scores), false_positive_rate)
    return float(np.partition(scores, place)[place])


def expected_alarm_share(count: int, false_positive_rate: float = 0.05) -> float:
    """The mean of the distribution that `alarm_interval` describes: mostly above the rate, and far if `count` is small.

    >>> round(expected_alarm_share(10, 0.05), 2)  # the threshold is the highest of ten scores
    0.09
    """
    return (_allowed_above(count, false_positive_rate) + 1) / (count + 1)


def alarm_interval(count: int, false_positive_rate: float = 0.05, level: float = 0.95) -> tuple[float, float]:
    """Low and high end of the share of all good parts above a threshold that was set with `count` normal images.

    For thresholds of `threshold_from_normals`. With k of the `count` scores above the threshold, the share of all good
    parts above it has a Beta(k + 1, count - k) distribution, whatever the distribution of the scores, if it is
    continuous and the images are drawn independently (Wilks 1941). The interval holds its central `level`; with ties
    in the scores the share is lower.

    >>> [round(share, 2) for share in alarm_interval(100, 0.05)]
    [0.02, 0.11]
    >>> [round(share, 2) for share in alarm_interval(1, 0.05)]  # one image is not enough
    [0.03, 0.97]
    """
    above = _allowed_above(count, false_positive_rate)
    low, high = scipy.special.betaincinv(above + 1, count - above, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _allowed_above(count: int, false_positive_rate: float) -> int:
    """How many of `count` normal scores may exceed a threshold."""
    if count < 1:
        raise ValueError(f"{count} validation images: 1 or more")
    if not 0 <= false_positive_rate < 1:
        raise ValueError(f"false_positive_rate {false_positive_rate}: a share, 0 or more and below 1")
    allowed = int(false_positive_rate * count)
    return allowed + ((allowed + 1) / count <= false_positive_rate)  # in binary, 0.29 * 100 is below 29


def _scores_and_labels(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores (N,) and labels (N,) expected, not {scores.shape} and {labels.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    return scores, _binary(labels)


def _binary(labels: np.ndarray) -> np.ndarray:
    if labels.dtype != bool and not np.isin(labels, (0, 1)).all():
        raise ValueError("labels are 0 for good and 1 for anomalous")
    return labels.astype(bool)
