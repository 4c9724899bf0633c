"""Calibrators with a formula: Platt's sigmoid, and a bounded one that stays uncertain where the classes are separated.

Platt, "Probabilistic outputs for support vector machines", 1999: q(z) = sigmoid(a z + b) by maximum likelihood, with
targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) in place of 1 and 0. Where the classes are separated, the sigmoid becomes
as steep as these targets allow, and beyond the scores it approaches 0 and 1. It approaches 0 on the left and 1 on the
right even if the detector cannot see half of the anomalies.

The bounded sigmoid is a generalised logistic (Richards, "A flexible growth function", 1959) of four parameters:

    q(z) = L + (U - L) sigmoid(a (z - z0)),    0 < L <= U < 1,    a > 0

- L, the lower bound: the share of anomalous images among those with low scores, that is, the anomalies that this
  detector cannot see, at the prevalence of the sample.
- U, the upper bound: the share of anomalous images among those with high scores.
- z0, the place of the rise: there q is half-way between the bounds.
- a, the slope: (U - L) a / 4 is the derivative of q at z0.

Few images are compatible with many such curves, and the likeliest curve is more certain than the images allow. So the
probability is the posterior mean: the mean over all curves, weighted by prior times likelihood. A mean of rising curves
within (0, 1) rises and stays within (0, 1). The prior:

- L and U are the smaller and the larger of two draws from a Beta(c, c) distribution, with c `pseudo_images` of each
  label. Far from z0 a plateau with k anomalous of n images is a binomial sample, and the posterior mean of its share is
  (k + c) / (n + 2 c). So the bounds are not set but follow from the counts. At c = 1 that is Laplace's rule of
  succession; the default of a quarter has the lower log loss on simulated scores.
- a is log-normal, in units of the scores' standard deviation. Its median is Platt's slope between two normal classes of
  equal spread and AUROC 0.84; `slope_spread` is the standard deviation of its logarithm.
- z0 is uniform between the lowest and the highest score. Where a gap separates the classes, no image is inside it and
  the step may be anywhere there: the mean of such steps is a ramp across the gap.
- With the probability `blindness` the scores carry no information, and every image's probability is the prevalence,
  which has Jeffreys' prior: a detector near chance gets an almost constant probability.

With many images the prior does not matter; if Platt's sigmoid is the truth, L -> 0 and U -> 1 and the rest is Platt's
sigmoid. Shift and unit of the scores do not matter either: all computations are on standardised scores.

The mean is taken over fixed draws: half of them from the prior, half from a t distribution around the likeliest curve,
which is found by maximum posterior density, with a covariance from the Fisher information. The draws are weighted by
importance (Owen and Zhou, "Safe and effective importance sampling", 2000), which works for five images as well as for a
hundred thousand.

The remaining numbers were chosen on simulated scores, with `benchmarks/calibrators.py`, not on scores of a detector.
"""

from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import betaln, erf, expit, log_expit, logit, logsumexp, polygamma, softmax
from scipy.stats import beta, chi2, multivariate_t, norm
from scipy.stats.qmc import Sobol

from iadlib.calibration.checks import checked, checked_probabilities, checked_scores

MEDIAN_LOG_SLOPE = 0.5
TAILS = 4  # degrees of freedom of the draws around the likeliest curve
UNIFORM = Sobol(5, seed=0).random(2048)  # fixed, so that a fit is the same every time
FAR = 1e4  # standard deviations from the mean, where all curves are level
CHUNK = 1024  # scores that are computed together, to bound memory


@dataclass(eq=False)
class PlattScaling:
    """A sigmoid with the parameters `slope_` and `intercept_`; the slope is negative if anomalous scores are lower.

    >>> calibrator = PlattScaling().fit([1, 2, 3, 4], [0, 1, 0, 1])
    >>> calibrator.predict_proba([2.5]).round(6).tolist()
    [0.5]
    """

    def fit(self, scores: np.ndarray, labels: np.ndarray) -> Self:
        """Scores (N,) of any range, labels (N,) of 0 (normal) and 1 (anomalous)."""
        scores, labels = checked(scores, labels)
        z, place, spread = standardised(scores)
        self.slope_, self.intercept_ = 0.0, _logit(labels.mean())
        if not spread:
            return self
        anomalous = labels.sum()
        normal = len(labels) - anomalous
        targets = np.where(labels == 1, (anomalous + 1) / (anomalous + 2), 1 / (normal + 2))

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            odds = parameters[0] * z + parameters[1]
            wrong = expit(odds) - targets
            value = -(targets * log_expit(odds) + (1 - targets) * log_expit(-odds)).sum()
            return value, np.array([wrong @ z, wrong.sum()])

        start = [self.slope_, self.intercept_]
        slope, intercept = minimize(loss, start, jac=True, method="L-BFGS-B", tol=1e-12).x
        self.slope_, self.intercept_ = float(slope / spread), float(intercept - slope * place / spread)
        return self

    def predict_proba(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of being anomalous."""
        return expit(self.slope_ * checked_scores(scores) + self.intercept_)


@dataclass(eq=False)
class BoundedSigmoid:
    """The posterior mean of generalised logistics; see the module.

    It never decreases and stays inside (0, 1), between its limits `lower_` and `upper_`. `place_` is the score of the
    probability half-way between them, and `slope_` that of the logistic with the same bounds and derivative there.
    `blind_` is the posterior probability that the scores carry no information.

    >>> calibrator = BoundedSigmoid().fit([1, 1.5, 2, 8, 8.5, 9], [0, 0, 0, 1, 1, 1])
    >>> calibrator.predict_proba([-1e6, 5, 1e6]).round(1).tolist()
    [0.1, 0.5, 0.9]
    """

    pseudo_images: float = 0.25
    slope_spread: float = 1.0
    blindness: float = 0.5

    def fit(self, scores: np.ndarray, labels: np.ndarray) -> Self:
        """Scores (N,) of any range, labels (N,) of 0 (normal) and 1 (anomalous)."""
        if self.pseudo_images <= 0 or self.slope_spread <= 0 or not 0 <= self.blindness < 1:
            raise ValueError(
                f"pseudo_images {self.pseudo_images} and slope_spread {self.slope_spread}: above 0; "
                f"blindness {self.blindness}: from 0, below 1"
            )
        scores, labels = checked(scores, labels)
        z, self._center, spread = standardised(scores)
        self._unit = spread or 1.0
        self._counts = anomalous, normal = labels.sum(), len(labels) - labels.sum()
        if spread:
            curves, weights, evidence = self._possible(z, labels)
            alone = betaln(anomalous + 0.5, normal + 0.5) - betaln(0.5, 0.5)
            with np.errstate(divide="ignore"):
                self.blind_ = float(expit(alone - evidence + np.log(self.blindness) - np.log1p(-self.blindness)))
        else:
            curves, weights, self.blind_ = np.empty((0, 4)), np.empty(0), 1.0
        self._curves = np.vstack([curves, [0.0, 0.0, *[_logit(labels.mean())] * 2]])
        self._weights = np.append(weights * (1 - self.blind_), self.blind_)
        self.lower_, self.upper_ = map(float, self._weights @ expit(self._curves[:, 2:]))
        return self

    def _possible(self, z: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Curves (K, 4) by log a, z0 and the log-odds of L and U, their weights (K,), and the evidence's logarithm."""
        slopes, places, bounds, steps = standard_draws(self.pseudo_images)
        from_prior = np.column_stack(
            [MEDIAN_LOG_SLOPE + self.slope_spread * slopes, z.min() + np.ptp(z) * places, bounds]
        )
        likelihoods = log_likelihood(from_prior, z, labels)
        best = self._likeliest(from_prior[likelihoods.argmax()], z, labels)
        around = multivariate_t(best, np.linalg.inv(self._information(best, z)), df=TAILS)
        near = best + steps @ np.linalg.cholesky(around.shape).T
        curves, likelihoods = np.vstack([from_prior, near]), np.append(likelihoods, log_likelihood(near, z, labels))
        prior = self._log_prior(curves, z)
        proposed = np.logaddexp(prior, around.logpdf(curves)) - np.log(2)
        weights = likelihoods + prior - proposed
        return curves, softmax(weights), float(logsumexp(weights) - np.log(len(curves)))

    def _log_prior(self, curves: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Logarithm of the prior density (K,) of `curves` (K, 4); -inf where z0 or the bounds' order is impossible."""
        bounds = curves[:, 2:]
        c = self.pseudo_images
        value = norm.logpdf(curves[:, 0], MEDIAN_LOG_SLOPE, self.slope_spread) - np.log(np.ptp(z))
        value += (c * (log_expit(bounds) + log_expit(-bounds)) - betaln(c, c)).sum(axis=1) + np.log(2)
        possible = (curves[:, 1] >= z.min()) & (curves[:, 1] <= z.max()) & (bounds[:, 0] <= bounds[:, 1])
        return np.where(possible, value, -np.inf)

    def _likeliest(self, start: np.ndarray, z: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The curve (4,) of the highest likelihood times prior, found from `start`; U may be any value above L."""
        lower, upper = expit(start[2:])
        share = np.clip((upper - lower) / (1 - lower), 1e-6, 1 - 1e-6)
        limits = [(-5, 5), (z.min(), z.max()), (-15, 15), (-15, 15)]
        first = np.clip([*start[:3], _logit(share)], *np.transpose(limits))
        found = minimize(self._loss, first, (z, labels), "L-BFGS-B", jac=True, bounds=limits).x
        return np.array([*found[:2], *logit(bounds_of(found))])

    def _loss(self, parameters: np.ndarray, z: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the logarithm of likelihood times prior, and its gradient by log a, z0 and the two of `bounds_of`."""
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

    def _information(self, curve: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Fisher's (4, 4) at a curve, by log a, z0 and the bounds' log-odds; the prior's keeps it regular."""
        slope, (lower, upper) = np.exp(curve[0]), expit(curve[2:])
        rise = expit(slope * (z - curve[1]))
        q = lower + (upper - lower) * rise
        by_place = (upper - lower) * rise * (1 - rise) * slope
        by_curve = np.stack(
            [by_place * (z - curve[1]), -by_place, (1 - rise) * lower * (1 - lower), rise * upper * (1 - upper)]
        )
        variances = [self.slope_spread**2, np.ptp(z) ** 2 / 12, *[2 * polygamma(1, self.pseudo_images)] * 2]
        return by_curve / (q * (1 - q)) @ by_curve.T + np.diag(1 / np.array(variances))

    @property
    def place_(self) -> float:
        """The score at which the probability is half-way between the bounds."""
        middle = self.lower_ + (self.upper_ - self.lower_) / 2
        return float(self.score_at([middle])[0]) if self.blind_ < 1 else self._center

    @property
    def slope_(self) -> float:
        """The slope of the logistic with the same bounds and the same derivative at `place_`."""
        if self.blind_ == 1:
            return 0.0
        rise = rises(self._curves, np.array([(self.place_ - self._center) / self._unit]))[:, 0]
        heights = np.diff(expit(self._curves[:, 2:]))[:, 0]
        steepness = self._weights @ (heights * np.exp(self._curves[:, 0]) * rise * (1 - rise))
        return float(4 * steepness / (self.upper_ - self.lower_) / self._unit)

    def predict_proba(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of being anomalous."""
        return self._at((checked_scores(scores) - self._center) / self._unit)

    def interval(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ends (N,), (N,) of the central interval that holds 95 % of the possible curves at a score.

        >>> calibrator = BoundedSigmoid().fit([1, 1.5, 2, 8, 8.5, 9], [0, 0, 0, 1, 1, 1])
        >>> low, high = calibrator.interval([1.5])
        >>> bool(low[0] < calibrator.predict_proba([1.5])[0] < high[0])
        True
        """
        z = (checked_scores(scores) - self._center) / self._unit
        curves, shares, ends = self._curves[:-1], np.array([0.025, 0.975]), []
        # Without information in the scores, every image's probability is the prevalence, with Jeffreys' prior.
        anomalous, normal = self._counts
        blind = beta.ppf((np.arange(len(UNIFORM)) + 0.5) / len(UNIFORM), anomalous + 0.5, normal + 0.5)
        weights = np.append(self._weights[:-1], np.full(len(blind), self.blind_ / len(blind)))
        for score in z:
            values = np.append(probabilities_of(curves, np.array([score]))[:, 0], blind)
            order = values.argsort()
            below = weights[order].cumsum()
            ends.append(values[order][np.searchsorted(below, shares * below[-1])])
        low, high = np.array(ends).reshape(-1, 2).T
        return low, high

    def _at(self, z: np.ndarray) -> np.ndarray:
        """q (N,) at standardised scores, summed in the same order for every score, so that rounding keeps it rising."""
        lower, upper = expit(self._curves[:, 2:3]), expit(self._curves[:, 3:4])
        rising, weights = self._weights[:, None] * (upper - lower), self._weights
        parts = np.array_split(z, len(z) // CHUNK + 1)
        return weights @ lower[:, 0] + np.concatenate(
            [(rising * rises(self._curves, part)).sum(axis=0) for part in parts]
        )

    def score_at(self, probabilities: np.ndarray) -> np.ndarray:
        """The lowest scores (N,) whose probabilities are at least the given ones (N,): thresholds of decisions.

        -inf where every score has such a probability, inf where none has.

        >>> calibrator = BoundedSigmoid().fit([1, 1.5, 2, 8, 8.5, 9], [0, 0, 0, 1, 1, 1])
        >>> calibrator.score_at([0.01, 0.5, 0.99]).round(1).tolist()
        [-inf, 5.0, inf]
        """

        def above(z: float, probability: float) -> float:
            return float(self._at(np.array([z]))[0]) - probability

        found = []
        for probability in checked_probabilities(probabilities):
            if above(-FAR, probability) >= 0:
                found.append(-np.inf)
            elif above(FAR, probability) < 0:
                found.append(np.inf)
            else:
                found.append(self._center + self._unit * brentq(above, -FAR, FAR, (probability,)))
        return np.array(found)


@cache
def standard_draws(pseudo_images: float) -> tuple[np.ndarray, ...]:
    """The draws before they are moved to the scores: log slopes (K,), places (K,) and log-odds of bounds (K, 2) from
    the prior, and steps (K, 4) of a t distribution around the likeliest curve."""
    prior, near = np.split(UNIFORM, 2)
    bounds = np.sort(np.clip(beta.ppf(prior[:, 2:4], pseudo_images, pseudo_images), 1e-12, 1 - 1e-12))
    steps = norm.ppf(near[:, :4]) * np.sqrt(TAILS / chi2.ppf(near[:, 4], TAILS))[:, None]
    return norm.ppf(prior[:, 0]), prior[:, 1], logit(bounds), steps


def rises(curves: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The sigmoids (K, N) of curves (K, 4) at standardised scores (N,), from 0 at the lower bound to 1 at the upper."""
    return expit(np.exp(curves[:, :1]) * (z - curves[:, 1:2]))


def probabilities_of(curves: np.ndarray, z: np.ndarray) -> np.ndarray:
    """q (K, N) of every curve (K, 4) at standardised scores (N,)."""
    lower, upper = expit(curves[:, 2:3]), expit(curves[:, 3:4])
    return lower + (upper - lower) * rises(curves, z)


def log_likelihood(curves: np.ndarray, z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log-likelihood (K,) of labels (N,) at standardised scores (N,) under every curve (K, 4)."""
    total = np.zeros(len(curves))
    for part in np.array_split(np.arange(len(z)), len(z) // CHUNK + 1):
        q = probabilities_of(curves, z[part])
        with np.errstate(divide="ignore"):  # a bound that rounds to 0 or 1 makes some labels impossible
            total += np.log(np.where(labels[part] == 1, q, 1 - q)).sum(axis=1)
    return total


def gaussian_scaling(scores: np.ndarray, normal_scores: np.ndarray) -> np.ndarray:
    """Numbers (N,) in [0, 1] that need no anomalous image; they are called probabilities but are not calibrated.

    max(0, erf((z - mean) / (sqrt(2) standard deviation))), with the mean and standard deviation of the normal images'
    scores: Kriegel et al., "Interpreting and unifying outlier scores", SDM 2011. Raises ValueError where these are
    all equal, as those of one image are.

    >>> gaussian_scaling([1.0, 2.0, 4.0], [1.0, 3.0]).round(4).tolist()
    [0.0, 0.0, 0.9545]
    """
    scores, normal_scores = checked_scores(scores), checked_scores(normal_scores)
    _, place, spread = standardised(normal_scores)
    if not spread:
        raise ValueError(
            f"Gaussian scaling needs different scores of normal images; all {len(normal_scores)} are equal"
        )
    return np.clip(erf((scores - place) / (spread * np.sqrt(2))), 0, None)


def bounds_of(parameters: np.ndarray) -> tuple[float, float]:
    """L and U, with U above L, from any two numbers: the log-odds of L, and of the share of 1 - L that U adds."""
    lower = expit(parameters[2])
    return lower, lower + (1 - lower) * expit(parameters[3])


def standardised(scores: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Scores of mean 0 and standard deviation 1, and the mean and standard deviation before; 0 if all are equal."""
    spread = 0.0 if scores.min() == scores.max() else scores.std()
    place = scores.mean()
    return (scores - place) / (spread or 1.0), place, spread


def _logit(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))
