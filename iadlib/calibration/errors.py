"""How far probabilities are from what happens.

Whether a probability was right shows only over many images: bins of similar probabilities, and in each the mean
probability beside the share of anomalous images. Guo et al., "On calibration of modern neural networks", ICML 2017, for
the expected and the maximum error over bins of equal width; Nixon et al., "Measuring calibration in deep learning",
CVPRW 2019, for the adaptive one over bins of equally many images. In small samples all three are above zero even for
perfect probabilities. The Brier score and the log loss need no bins and cannot be improved by saying anything but what
one believes; the first splits into reliability, resolution and uncertainty (Murphy 1973).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from iadlib.calibration.binning import edges_of
from iadlib.calibration.checks import checked_labels, checked_probabilities

BINS = 10


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """By bin that holds anything, in rising order: its mean probability, the share of anomalous images with a 95 %
    interval (Clopper and Pearson 1934), and the number of images."""

    probability: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class BrierParts:
    """brier_score = reliability - resolution + uncertainty + within, exactly.

    `reliability`: how far the bins' mean probabilities are from the shares of anomalous images, 0 is best;
    `resolution`: how far those shares are from the prevalence, high is good; `uncertainty`: what a constant prevalence
    scores; `within`: what the bins hide (Stephenson et al. 2008), 0 where each holds one probability.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def reliability_curve(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS, equal_counts: bool = False
) -> ReliabilityCurve:
    """Of probabilities (N,) in [0, 1] and labels (N,) of 0 and 1, over bins of equal width or of equal counts.

    >>> curve = reliability_curve([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], bins=2)
    >>> curve.probability.tolist(), curve.share.tolist(), curve.count.tolist()
    ([0.1, 0.9], [0.5, 1.0], [2, 2])
    """
    probabilities, labels, index = _binned(probabilities, labels, bins, equal_counts)
    index = np.unique(index, return_inverse=True)[1]  # empty bins left out
    count = np.bincount(index)
    anomalous = np.bincount(index, labels)
    low = np.where(anomalous > 0, beta.ppf(0.025, np.maximum(anomalous, 0.5), count - anomalous + 1), 0.0)
    high = np.where(anomalous < count, beta.ppf(0.975, anomalous + 1, np.maximum(count - anomalous, 0.5)), 1.0)
    return ReliabilityCurve(np.bincount(index, probabilities) / count, anomalous / count, low, high, count)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean distance between probability and share of anomalous images over bins of equal width, weighed by count.

    >>> round(expected_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], bins=2), 6)
    0.25
    """
    return _expected(reliability_curve(probabilities, labels, bins))


def maximum_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """The largest of these distances, however few images the bin holds.

    >>> round(maximum_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], bins=2), 6)
    0.4
    """
    curve = reliability_curve(probabilities, labels, bins)
    return float(np.abs(curve.probability - curve.share).max())


def adaptive_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """As the expected error, over bins of equally many images.

    >>> round(adaptive_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], bins=2), 6)
    0.25
    """
    return _expected(reliability_curve(probabilities, labels, bins, equal_counts=True))


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance of probabilities to labels (Brier 1950).

    >>> brier_score([0.5, 1.0], [0, 1])
    0.125
    """
    probabilities = checked_probabilities(probabilities)
    return float(np.mean((probabilities - checked_labels(labels, probabilities)) ** 2))


def brier_parts(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> BrierParts:
    """The Brier score's parts over bins of equal width.

    >>> brier_parts([0.25, 0.25, 0.75, 0.75], [0, 0, 1, 1], bins=2)
    BrierParts(reliability=0.0625, resolution=0.25, uncertainty=0.25, within=0.0)
    """
    curve = reliability_curve(probabilities, labels, bins)
    weights = curve.count / curve.count.sum()
    prevalence = float(weights @ curve.share)
    reliability = float(weights @ (curve.probability - curve.share) ** 2)
    resolution = float(weights @ (curve.share - prevalence) ** 2)
    uncertainty = prevalence * (1 - prevalence)
    within = brier_score(probabilities, labels) - (reliability - resolution + uncertainty)
    return BrierParts(reliability, resolution, uncertainty, within)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of minus the logarithm of the probability given to what happened, in nats.

    A probability of 0 or 1 that was wrong would cost infinitely much; it costs 36, as in scikit-learn.

    >>> round(log_loss([0.5, 0.5], [0, 1]), 6)
    0.693147
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    given = np.where(labels == 1, probabilities, 1 - probabilities)
    return float(-np.log(np.clip(given, np.finfo(float).eps, 1)).mean())


def _binned(
    probabilities: np.ndarray, labels: np.ndarray, bins: int, equal_counts: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if bins < 1:
        raise ValueError(f"bins {bins}: 1 or more")
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    if equal_counts:
        index = np.searchsorted(edges_of(probabilities, bins), probabilities, side="right")
    else:  # an edge belongs to the bin below, as in the paper
        index = np.clip(np.ceil(probabilities * bins).astype(int) - 1, 0, bins - 1)
    return probabilities, labels, index


def _expected(curve: ReliabilityCurve) -> float:
    return float(curve.count @ np.abs(curve.probability - curve.share) / curve.count.sum())
