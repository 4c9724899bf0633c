"""Calibrators with a formula: Platt's sigmoid, and a bounded one that stays a confidence where classes are apart.

Platt, "Probabilistic outputs for support vector machines", 1999: q(z) = sigmoid(a z + b) by maximum likelihood, with
targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) in place of 1 and 0. Where the classes are apart, it becomes as steep as
those targets allow, and beyond them nothing holds it: 0 or 100 percent. And it must reach 0 on the left and 1 on the
right even of a detector that is blind to half of the anomalies.

The bounded sigmoid is a generalised logistic (Richards, "A flexible growth function", 1959) of four parameters:

    q(z) = L + (U - L) sigmoid(a (z - z0)),    0 < L <= U < 1,    a > 0

- L, the lower bound: the share of anomalous images among those whose score says "normal". It is what this detector
  cannot see, at the prevalence of the sample.
- U, the upper bound: the share of anomalous images among those whose score says "anomalous".
- z0, the place of the rise: there q is half-way between the bounds.
- a, the slope: (U - L) a / 4 is the rise of q at z0 per unit of z.

They maximise the likelihood times a prior.

- For L and U it is `pseudo_images` of each label on either plateau, one image's worth in all. Far from z0 a plateau
  with k anomalous of n images is a coin thrown n times, and the maximum lies at (k + c) / (n + 2 c) for c
  pseudo-images. So the bounds are not set but follow: with perfectly separated classes L is about c / (n0 + 2 c) and U
  about 1 - c / (n1 + 2 c). At c = 1 that is Laplace's rule of succession; the default of a quarter is bolder than that,
  and has the lower log loss on simulated scores.
- For a, in units of the scores' standard deviation, it is log-normal. Its median is Platt's slope between two normal
  classes of equal spread and AUROC 0.84; `slope_spread` is its standard deviation.
- Where a gap g separates the classes, a is at most 4 / g: nobody has looked inside the gap, so the step is anywhere in
  it. Each place as likely as the other, the mean step is a ramp of slope 1 / g, and the logistic that is as steep in
  the middle has a = 4 / g.

With many images the prior does not matter; if Platt's sigmoid is the truth, L -> 0 and U -> 1 and what remains is his.
Shift and unit of the scores do not matter either: everything is done on standardised scores.

The numbers that are left to choose were chosen by log loss on simulated scores, with `benchmarks/calibrators.py`, and
not on scores of a detector. One more step was tried there and left out: to mix the curve with the prevalence, by how
probable each makes the labels. It says less, which lowers the expected calibration error and raises the log loss.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import erf, expit, log_expit, logit

from iadlib.calibration.checks import checked, checked_probabilities, checked_scores

MEDIAN_LOG_SLOPE = 0.5
STARTS = (0.1, 0.3, 0.5, 0.7, 0.9)  # quantiles of the scores where the search for z0 starts


@dataclass(eq=False)
class PlattScaling:
    """Two parameters: `slope_` and `intercept_` of the scores' log-odds. Falls where anomalous scores are the lower.

    >>> calibrator = PlattScaling().fit([1, 2, 3, 4], [0, 1, 0, 1])
    >>> calibrator.predict_proba([2.5]).round(6).tolist()
    [0.5]
    """

    def fit(self, scores: np.ndarray, labels: np.ndarray) -> Self:
        """Scores (N,) of any range, labels (N,) of 0 (normal) and 1 (anomalous)."""
        scores, labels = checked(scores, labels)
        z, place, spread = standardised(scores)
        if not spread:
            return self._set(0.0, _logit(labels.mean()))
        anomalous = labels.sum()
        normal = len(labels) - anomalous
        targets = np.where(labels == 1, (anomalous + 1) / (anomalous + 2), 1 / (normal + 2))

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            odds = parameters[0] * z + parameters[1]
            wrong = expit(odds) - targets
            value = -(targets * log_expit(odds) + (1 - targets) * log_expit(-odds)).sum()
            return value, np.array([wrong @ z, wrong.sum()])

        slope, intercept = minimize(loss, [0.0, _logit(labels.mean())], jac=True, method="L-BFGS-B", tol=1e-12).x
        return self._set(slope / spread, intercept - slope * place / spread)

    def _set(self, slope: float, intercept: float) -> Self:
        self.slope_, self.intercept_ = float(slope), float(intercept)
        return self

    def predict_proba(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of being anomalous."""
        return expit(self.slope_ * checked_scores(scores) + self.intercept_)


@dataclass(eq=False)
class BoundedSigmoid:
    """Four parameters: `lower_`, `upper_`, `slope_` and `place_`, the last two in the scores' unit; see the module.

    Never falls, and stays strictly between 0 and 1.

    >>> calibrator = BoundedSigmoid().fit([1, 1.5, 2, 8, 8.5, 9], [0, 0, 0, 1, 1, 1])
    >>> calibrator.predict_proba([-1e6, 5, 1e6]).round(2).tolist()
    [0.08, 0.5, 0.92]
    """

    pseudo_images: float = 0.25
    slope_spread: float = 0.5

    def fit(self, scores: np.ndarray, labels: np.ndarray) -> Self:
        """Scores (N,) of any range, labels (N,) of 0 (normal) and 1 (anomalous)."""
        if self.pseudo_images <= 0 or self.slope_spread <= 0:
            raise ValueError(f"pseudo_images {self.pseudo_images}, slope_spread {self.slope_spread}: above 0")
        scores, labels = checked(scores, labels)
        z, place, spread = standardised(scores)
        if not spread:
            return self._set(labels.mean(), labels.mean(), 0.0, scores[0])
        gap = z[labels == 1].min() - z[labels == 0].max()
        steepest = np.log(4 / gap) if gap > 0 else np.inf
        limits = [(-np.inf, steepest), (z.min(), z.max()), (-15, 15), (-15, 15)]
        starts = [(min(slope, steepest), at, -2.0, 2.0) for at in np.quantile(z, STARTS) for slope in (0.0, 1.5)]
        found = [minimize(self._loss, start, (z, labels), "L-BFGS-B", jac=True, bounds=limits) for start in starts]
        best = min(found, key=lambda result: result.fun).x
        return self._set(*bounds_of(best), np.exp(best[0]) / spread, place + best[1] * spread)

    def _loss(self, parameters: np.ndarray, z: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the logarithm of what is maximised, and its gradient, by (log a, z0, and two numbers for L and U)."""
        slope, place = np.exp(parameters[0]), parameters[1]
        lower, upper = bounds_of(parameters)
        rise = expit(slope * (z - place))
        q = lower + (upper - lower) * rise
        count = self.pseudo_images
        value = np.where(labels == 1, np.log(q), np.log1p(-q)).sum()
        value += count * (np.log(lower) + np.log1p(-lower) + np.log(upper) + np.log1p(-upper))
        away = (parameters[0] - MEDIAN_LOG_SLOPE) / self.slope_spread
        value -= away**2 / 2

        by_q = np.where(labels == 1, 1 / q, -1 / (1 - q))
        by_rise = by_q * (upper - lower) * rise * (1 - rise) * slope
        by_lower = by_q @ (1 - rise) + count * (1 / lower - 1 / (1 - lower))
        by_upper = by_q @ rise + count * (1 / upper - 1 / (1 - upper))
        share = expit(parameters[3])  # U = L + (1 - L) share
        gradient = [
            by_rise @ (z - place) - away / self.slope_spread,
            -by_rise.sum(),
            (by_lower + by_upper * (1 - share)) * lower * (1 - lower),
            by_upper * (1 - lower) * share * (1 - share),
        ]
        return -value, -np.array(gradient)

    def _set(self, lower: float, upper: float, slope: float, place: float) -> Self:
        self.lower_, self.upper_, self.slope_, self.place_ = map(float, (lower, upper, slope, place))
        return self

    def predict_proba(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of being anomalous."""
        return self.lower_ + (self.upper_ - self.lower_) * expit(self.slope_ * (checked_scores(scores) - self.place_))

    def score_at(self, probabilities: np.ndarray) -> np.ndarray:
        """Scores (N,) from which on the probability is at least the given one (N,): thresholds for who acts on scores.

        -inf where every score has it, inf where none has.

        >>> calibrator = BoundedSigmoid().fit([1, 1.5, 2, 8, 8.5, 9], [0, 0, 0, 1, 1, 1])
        >>> calibrator.score_at([0.01, 0.5, 0.99]).round(2).tolist()
        [-inf, 5.0, inf]
        """
        share = checked_probabilities(probabilities) - self.lower_
        if not self.slope_:
            return np.where(share <= 0, -np.inf, np.inf)
        with np.errstate(divide="ignore"):
            return self.place_ + logit(np.clip(share / (self.upper_ - self.lower_), 0, 1)) / self.slope_


def gaussian_scaling(scores: np.ndarray, normal_scores: np.ndarray) -> np.ndarray:
    """Numbers (N,) in [0, 1] for who has no anomalous image at all; probabilities in name only.

    max(0, erf((z - mean) / (sqrt(2) standard deviation))), both of normal images' scores: Kriegel et al., "Interpreting
    and unifying outlier scores", SDM 2011.

    >>> gaussian_scaling([1.0, 2.0, 4.0], [1.0, 3.0]).round(4).tolist()
    [0.0, 0.0, 0.9545]
    """
    scores, normal_scores = checked_scores(scores), checked_scores(normal_scores)
    _, place, spread = standardised(normal_scores)
    return np.clip(erf((scores - place) / ((spread or 1.0) * np.sqrt(2))), 0, None)


def bounds_of(parameters: np.ndarray) -> tuple[float, float]:
    """L and U, of which the second is never the lower, of any two numbers."""
    lower = expit(parameters[2])
    return lower, lower + (1 - lower) * expit(parameters[3])


def standardised(scores: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Scores of mean 0 and standard deviation 1, and what mean and standard deviation they had; 0 if all are equal."""
    spread = 0.0 if scores.min() == scores.max() else scores.std()
    place = scores.mean()
    return (scores - place) / (spread or 1.0), place, spread


def _logit(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))
