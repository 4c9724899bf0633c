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

Few images leave many such curves possible, and the likeliest of them is surer than the images are. So what is said is
the mean of all curves, each weighed by how probable it is after the images: prior times likelihood. A mean of rising
curves within (0, 1) is one itself. The prior:

- For L and U, the lower and the upper of two draws from a Beta(c, c), with c `pseudo_images` of each label. Far from z0
  a plateau with k anomalous of n images is a coin thrown n times, and its mean is (k + c) / (n + 2 c). So the bounds
  are not set but follow from the counts. At c = 1 that is Laplace's rule of succession; the default of a quarter is
  bolder, and has the lower log loss on simulated scores.
- For a, in units of the scores' standard deviation, log-normal. Its median is Platt's slope between two normal classes
  of equal spread and AUROC 0.84; `slope_spread` is the standard deviation of its logarithm.
- For z0, anywhere between the lowest score and the highest. Where a gap separates the classes, nobody has looked inside
  it and the step may be anywhere there: the mean of such steps is a ramp across the gap, no steeper than it justifies.
- With the probability `blindness`, the scores say nothing, and every image's probability is the prevalence, which has
  Jeffreys' prior. A detector near chance should not pretend to a slope.

With many images the prior does not matter; if Platt's sigmoid is the truth, L -> 0 and U -> 1 and what remains is his.
Shift and unit of the scores do not matter either: everything is done on standardised scores.

The mean is taken over fixed draws: half of them from the prior, half around the likeliest curve, which is found by
maximum likelihood with that prior, as wide as the Fisher information says, with a t distribution's tails. They are
weighed by importance (Owen and Zhou, "Safe and effective importance sampling", 2000), which serves five images as well
as a hundred thousand.

The numbers that are left to choose were chosen on simulated scores, with `benchmarks/calibrators.py`, and not on scores
of a detector.
"""

from dataclasses import dataclass
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
FAR = 1e4  # standard deviations from the mean: no curve rises there any more
CHUNK = 1024  # scores that are looked at together, to bound memory


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
    """The mean of the generalised logistics that scores and labels leave possible; see the module.

    Never falls, and stays strictly inside (0, 1): between `lower_` and `upper_`, which it comes to at the far ends.
    `place_`: the score of the probability half-way between them; `slope_`: that of the logistic with the same bounds
    that rises as steeply there. `blind_`: how probable it is that the scores say nothing.

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
        anomalous, normal = labels.sum(), len(labels) - labels.sum()
        if spread:
            curves, weights, evidence = self._possible(z, labels)
            alone = betaln(anomalous + 0.5, normal + 0.5) - betaln(0.5, 0.5)
            with np.errstate(divide="ignore"):
                self.blind_ = float(expit(alone - evidence + np.log(self.blindness) - np.log1p(-self.blindness)))
        else:
            curves, weights, self.blind_ = np.empty((0, 4)), np.empty(0), 1.0
        self._curves = np.vstack([curves, [0.0, 0.0, *[_logit(labels.mean())] * 2]])
        self._weights = np.append(weights * (1 - self.blind_), self.blind_)
        self._describe()
        return self

    def _possible(self, z: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Curves (K, 4) by log a, z0 and the log-odds of L and U, their weights (K,), and the evidence's logarithm."""
        drawn = UNIFORM[: len(UNIFORM) // 2]
        bounds = np.sort(np.clip(beta.ppf(drawn[:, 2:4], self.pseudo_images, self.pseudo_images), 1e-12, 1 - 1e-12))
        from_prior = np.column_stack(
            [
                MEDIAN_LOG_SLOPE + self.slope_spread * norm.ppf(drawn[:, 0]),
                z.min() + np.ptp(z) * drawn[:, 1],
                logit(bounds),
            ]
        )
        start = from_prior[log_likelihood(from_prior, z, labels).argmax()]
        best = self._likeliest(start, z, labels)
        around = multivariate_t(best, np.linalg.inv(self._information(best, z)), df=TAILS)
        radii = np.sqrt(TAILS / chi2.ppf(UNIFORM[len(UNIFORM) // 2 :, 4], TAILS))
        steps = norm.ppf(UNIFORM[len(UNIFORM) // 2 :, :4]) * radii[:, None]
        curves = np.vstack([from_prior, best + steps @ np.linalg.cholesky(around.shape).T])
        prior = self._log_prior(curves, z)
        proposed = np.logaddexp(prior, around.logpdf(curves)) - np.log(2)
        weights = log_likelihood(curves, z, labels) + prior - proposed
        return curves, softmax(weights), float(logsumexp(weights) - np.log(len(curves)))

    def _log_prior(self, curves: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Its logarithm (K,), as a density of `curves` (K, 4); -inf where z0 or the bounds' order is impossible."""
        bounds = curves[:, 2:]
        c = self.pseudo_images
        value = norm.logpdf(curves[:, 0], MEDIAN_LOG_SLOPE, self.slope_spread) - np.log(np.ptp(z))
        value += (c * (log_expit(bounds) + log_expit(-bounds)) - betaln(c, c)).sum(axis=1) + np.log(2)
        possible = (curves[:, 1] >= z.min()) & (curves[:, 1] <= z.max()) & (bounds[:, 0] <= bounds[:, 1])
        return np.where(possible, value, -np.inf)

    def _likeliest(self, start: np.ndarray, z: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The curve (4,) of the highest likelihood times prior, uphill from `start`; U as far above L as it likes."""
        lower, upper = expit(start[2:])
        share = np.clip((upper - lower) / (1 - lower), 1e-6, 1 - 1e-6)
        limits = [(-5, 5), (z.min(), z.max()), (-15, 15), (-15, 15)]
        first = np.clip([*start[:3], _logit(share)], *np.transpose(limits))
        found = minimize(self._loss, first, (z, labels), "L-BFGS-B", jac=True, bounds=limits).x
        return np.array([*found[:2], *logit(bounds_of(found))])

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

    def _describe(self) -> None:
        """The mean curve's four numbers, in the unit of the scores."""
        ends = self._weights @ expit(self._curves[:, 2:])
        self.lower_, self.upper_ = map(float, ends)
        middle = self.lower_ + (self.upper_ - self.lower_) / 2
        self.place_ = float(self.score_at([middle])[0]) if self.blind_ < 1 else self._center
        place = (self.place_ - self._center) / self._unit
        rise = rises(self._curves, np.array([place]))[:, 0]
        heights = np.diff(expit(self._curves[:, 2:]))[:, 0]
        steepness = self._weights @ (heights * np.exp(self._curves[:, 0]) * rise * (1 - rise))
        self.slope_ = float(4 * steepness / (self.upper_ - self.lower_) / self._unit) if self.blind_ < 1 else 0.0

    def predict_proba(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of being anomalous."""
        return self._at((checked_scores(scores) - self._center) / self._unit)

    def _at(self, z: np.ndarray) -> np.ndarray:
        """q (N,) at standardised scores. Summed curve by curve, so that rounding does not let it fall."""
        lower, upper = expit(self._curves[:, 2:3]), expit(self._curves[:, 3:4])
        rising, weights = self._weights[:, None] * (upper - lower), self._weights
        parts = np.array_split(z, len(z) // CHUNK + 1)
        return weights @ lower[:, 0] + np.concatenate(
            [(rising * rises(self._curves, part)).sum(axis=0) for part in parts]
        )

    def score_at(self, probabilities: np.ndarray) -> np.ndarray:
        """Scores (N,) from which on the probability is at least the given one (N,): thresholds for who acts on scores.

        -inf where every score has it, inf where none has.

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


def rises(curves: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(K, N), from 0 to 1: how far every curve (K, 4) has come at every standardised score (N,)."""
    return expit(np.exp(curves[:, :1]) * (z - curves[:, 1:2]))


def log_likelihood(curves: np.ndarray, z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,): of labels (N,) at standardised scores (N,) under every curve (K, 4)."""
    lower, upper = expit(curves[:, 2:3]), expit(curves[:, 3:4])
    total = np.zeros(len(curves))
    for part in np.array_split(np.arange(len(z)), len(z) // CHUNK + 1):
        q = lower + (upper - lower) * rises(curves, z[part])
        with np.errstate(divide="ignore"):  # a bound that rounds to 0 or 1 makes some labels impossible
            total += np.log(np.where(labels[part] == 1, q, 1 - q)).sum(axis=1)
    return total


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
