"""Errors of probabilities, judged by labels.

The error of one probability cannot be observed. Over bins of images with similar probabilities, the mean probability
can be compared with the share of anomalous images: Guo et al., "On calibration of modern neural networks", ICML 2017,
for the expected and the maximum error over bins of equal width; Nixon et al., "Measuring calibration in deep learning",
CVPRW 2019, for the adaptive error over bins of equally many images. In small samples all three are above zero even for
perfect probabilities: `expected_error_if_right` computes how far. The Brier score and the log loss need no bins, and
their expected value is lowest for the true probabilities; the Brier score splits into reliability, resolution and
uncertainty (Murphy 1973).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from iadlib.calibration.binning import edges_of
from iadlib.calibration.checks import checked_labels, checked_probabilities

BINS = 10


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Of every bin that holds an image, in ascending order: the mean probability, the share of anomalous images with a
    95 % interval (Clopper and Pearson 1934), and the number of images."""

    probability: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class BrierParts:
    """brier_score = reliability - resolution + uncertainty + within, exactly.

    `reliability`: mean squared distance of the bins' mean probabilities to the shares of anomalous images, 0 is best;
    `resolution`: mean squared distance of those shares to the prevalence, high is good; `uncertainty`: the score of the
    prevalence as a constant probability; `within`: the part due to differences inside bins (Stephenson et al. 2008), 0
    where each bin holds one probability.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def reliability_curve(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> ReliabilityCurve:
    """Curve of probabilities (N,) in [0, 1] and labels (N,) of 0 and 1, over bins of equal width.

    >>> curve = reliability_curve([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], bins=2)
    >>> curve.probability.tolist(), curve.share.tolist(), curve.count.tolist()
    ([0.1, 0.9], [0.5, 1.0], [2, 2])
    """
    probability, anomalous, count = _bins(probabilities, labels, bins)
    low = np.where(anomalous > 0, beta.ppf(0.025, np.maximum(anomalous, 0.5), count - anomalous + 1), 0.0)
    high = np.where(anomalous < count, beta.ppf(0.975, anomalous + 1, np.maximum(count - anomalous, 0.5)), 1.0)
    return ReliabilityCurve(probability, anomalous / count, low, high, count)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean distance between probability and share of anomalous images over bins of equal width, weighed by count.

    >>> round(expected_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], bins=2), 6)
    0.25
    """
    return _expected(*_bins(probabilities, labels, bins))


def expected_error_if_right(probabilities: np.ndarray, rng: np.random.Generator, draws: int = 30) -> float:
    """The expected calibration error of probabilities (N,) that are right: the mean over labels drawn from them.

    >>> round(expected_error_if_right([0.0, 1.0], np.random.default_rng(0)), 6)
    0.0
    >>> expected_error_if_right([0.5, 0.5], np.random.default_rng(0)) > 0.1  # two images are few
    True
    """
    probabilities = checked_probabilities(probabilities)
    drawn = (rng.random((draws, len(probabilities))) < probabilities).astype(int)
    return float(np.mean([_expected(*_bins(probabilities, labels, BINS)) for labels in drawn]))


def maximum_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """The largest of these distances, however few images the bin holds.

    >>> round(maximum_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], bins=2), 6)
    0.4
    """
    probability, anomalous, count = _bins(probabilities, labels, bins)
    return float(np.abs(probability - anomalous / count).max())


def adaptive_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """As the expected error, over bins of equally many images.

    >>> round(adaptive_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], bins=2), 6)
    0.25
    """
    return _expected(*_bins(probabilities, labels, bins, equal_counts=True))


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance of probabilities to labels (Brier 1950).

    >>> brier_score([0.5, 1.0], [0, 1])
    0.125
    """
    return float(squared_errors(probabilities, labels).mean())


def squared_errors(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared distance of every probability to its label, (N,)."""
    probabilities = checked_probabilities(probabilities)
    return (probabilities - checked_labels(labels, probabilities)) ** 2


def brier_parts(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> BrierParts:
    """The Brier score's parts over bins of equal width.

    >>> brier_parts([0.25, 0.25, 0.75, 0.75], [0, 0, 1, 1], bins=2)
    BrierParts(reliability=0.0625, resolution=0.25, uncertainty=0.25, within=0.0)
    """
    probability, anomalous, count = _bins(probabilities, labels, bins)
    weights, share = count / count.sum(), anomalous / count
    prevalence = float(weights @ share)
    reliability = float(weights @ (probability - share) ** 2)
    resolution = float(weights @ (share - prevalence) ** 2)
    uncertainty = prevalence * (1 - prevalence)
    within = brier_score(probabilities, labels) - (reliability - resolution + uncertainty)
    return BrierParts(reliability, resolution, uncertainty, within)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of minus the logarithm of the probability given to the true label, in nats.

    A probability of 0 or 1 for the wrong label costs 36 instead of infinity, as in scikit-learn.

    >>> round(log_loss([0.5, 0.5], [0, 1]), 6)
    0.693147
    """
    return float(log_losses(probabilities, labels).mean())


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The log loss of every image, (N,)."""
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    given = np.where(labels == 1, probabilities, 1 - probabilities)
    return -np.log(np.clip(given, np.finfo(float).eps, 1))


def _bins(
    probabilities: np.ndarray, labels: np.ndarray, bins: int, equal_counts: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every bin that holds an image: mean probability, number of anomalous images, number of images."""
    if bins < 1:
        raise ValueError(f"bins {bins}: 1 or more")
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    if equal_counts:
        index = np.searchsorted(edges_of(probabilities, bins), probabilities, side="right")
    else:  # an edge belongs to the bin below, as in the paper
        index = np.clip(np.ceil(probabilities * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    full = np.flatnonzero(count)
    probability, anomalous = (np.bincount(index, weights, bins)[full] for weights in (probabilities, labels))
    return probability / count[full], anomalous, count[full]


def _expected(probability: np.ndarray, anomalous: np.ndarray, count: np.ndarray) -> float:
    return float(count @ np.abs(probability - anomalous / count) / count.sum())
