"""Calibrators without a parametric form: a probability is the share of anomalous images with similar scores.

- `HistogramBinning`: Zadrozny and Elkan, "Obtaining calibrated probability estimates from decision trees and naive
  Bayesian classifiers", ICML 2001: bins of equally many images, and the share of anomalous ones in each.
- `IsotonicCalibration`: the same authors, KDD 2002: the non-decreasing step function of the smallest squared error, by
  scikit-learn.
- `BayesianBinning`: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
  AAAI 2015: the average over numbers of bins, weighted by the marginal likelihood of each.

The papers bin probabilities. Detectors' scores have any range, so bins hold equally many images (as in the papers).
Such bins depend on the order of the scores only: an increasing function of the scores does not change the
probabilities. In `BayesianBinning` the prior of every bin is the prevalence, where the paper takes the bin's middle,
which is a probability only if scores are. netcal's implementation has bins of equal width only and weights them by
information criteria; here the weight is the paper's marginal likelihood.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import betaln, softmax
from sklearn.isotonic import IsotonicRegression

from iadlib.calibration.checks import checked, checked_scores


@dataclass(eq=False)
class HistogramBinning:
    """`bins` of equally many images, fewer where scores tie. The probability is 0 in a bin without anomalous images,
    and 1 in a bin without normal images.

    >>> calibrator = HistogramBinning(bins=2).fit([1, 2, 3, 4], [0, 0, 1, 0])
    >>> calibrator.predict_proba([-10, 10]).tolist()
    [0.0, 0.5]
    """

    bins: int = 10

    def fit(self, scores: np.ndarray, labels: np.ndarray) -> Self:
        """Scores (N,) of any range, labels (N,) of 0 (normal) and 1 (anomalous)."""
        if self.bins < 1:
            raise ValueError(f"bins {self.bins}: 1 or more")
        scores, labels = checked(scores, labels)
        self.edges_ = edges_of(scores, self.bins)
        counts, anomalous = counts_in(self.edges_, scores, labels)
        self.shares_ = anomalous / counts
        return self

    def predict_proba(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of being anomalous."""
        return self.shares_[np.searchsorted(self.edges_, checked_scores(scores), side="right")]


@dataclass(eq=False)
class IsotonicCalibration:
    """Scores outside the fitted range get the probability of the nearest end.

    >>> calibrator = IsotonicCalibration().fit([1, 2, 3, 4], [0, 1, 0, 1])
    >>> calibrator.predict_proba([0, 2.5, 9]).tolist()
    [0.0, 0.5, 1.0]
    """

    def fit(self, scores: np.ndarray, labels: np.ndarray) -> Self:
        """Scores (N,) of any range, labels (N,) of 0 (normal) and 1 (anomalous)."""
        self.steps_ = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(*checked(scores, labels))
        return self

    def predict_proba(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of being anomalous."""
        return self.steps_.predict(checked_scores(scores))


@dataclass(eq=False)
class BayesianBinning:
    """The average of models with n^(1/3) / `span` to `span` n^(1/3) bins, as in the paper, and of one bin.

    The prior of each model has the weight of `strength` images (the paper's N'), spread over its bins.

    >>> calibrator = BayesianBinning().fit([1, 2, 3, 4], [0, 0, 1, 1])
    >>> calibrator.predict_proba([1, 4]).round(2).tolist()
    [0.21, 0.79]
    """

    span: float = 10.0
    strength: float = 2.0

    def fit(self, scores: np.ndarray, labels: np.ndarray) -> Self:
        """Scores (N,) of any range, labels (N,) of 0 (normal) and 1 (anomalous)."""
        if self.span < 1 or self.strength <= 0:
            raise ValueError(f"span {self.span}: 1 or more; strength {self.strength}: above 0")
        scores, labels = checked(scores, labels)
        root, prevalence = len(scores) ** (1 / 3), labels.mean()
        numbers = {1, *range(max(1, int(root / self.span)), min(len(scores), int(root * self.span)) + 1)}
        different = {tuple(edges_of(scores, number)) for number in numbers}  # ties make some alike
        self.models_, evidence = [], []
        for edges in sorted(different, key=len):
            edges = np.array(edges)
            counts, anomalous = counts_in(edges, scores, labels)
            prior = self.strength / len(counts) * np.array([prevalence, 1 - prevalence])
            posterior = anomalous + prior[0], counts - anomalous + prior[1]
            evidence.append((betaln(*posterior) - betaln(*prior)).sum())
            self.models_.append((edges, posterior[0] / sum(posterior)))
        self.weights_ = softmax(evidence)
        return self

    def predict_proba(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of being anomalous."""
        scores = checked_scores(scores)
        by_model = [shares[np.searchsorted(edges, scores, side="right")] for edges, shares in self.models_]
        return self.weights_ @ by_model


def edges_of(scores: np.ndarray, bins: int) -> np.ndarray:
    """Inner edges, ascending, of `bins` bins that hold about equally many scores; fewer where scores tie."""
    ordered = np.sort(scores)
    starts = np.round(np.arange(1, bins) * len(ordered) / bins).astype(int)
    starts = np.unique(starts[(starts > 0) & (starts < len(ordered))])
    starts = starts[ordered[starts] > ordered[starts - 1]]  # no edge between equal scores
    below, above = ordered[starts - 1], ordered[starts]
    middle = below + (above - below) / 2
    return np.where(middle > below, middle, above)


def counts_in(edges: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of images and of anomalous images in every bin."""
    index = np.searchsorted(edges, scores, side="right")
    return np.bincount(index, minlength=len(edges) + 1), np.bincount(index, labels, len(edges) + 1)
