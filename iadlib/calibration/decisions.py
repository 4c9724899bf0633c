"""Decisions by probability: pass a part, reject it, or show it to a person.

With known costs the cheapest decision depends on the probability p only (Elkan 2001; Chow 1970 for the third option). A
passed part costs p times a miss, a rejected part (1 - p) times a false alarm, and a part shown to a person costs the
review, whose result is assumed to be right.
"""

from dataclasses import dataclass

import numpy as np

from iadlib.calibration.checks import checked_labels, checked_probabilities


@dataclass(frozen=True)
class Costs:
    """Costs of one defective part that is passed, one good part that is rejected, and one review, in the same unit."""

    miss: float
    false_alarm: float
    review: float = np.inf

    def __post_init__(self):
        if not (self.miss > 0 and self.false_alarm > 0 and self.review > 0):
            raise ValueError(f"costs are above 0, not {self.miss}, {self.false_alarm}, {self.review}")

    def thresholds(self) -> tuple[float, float]:
        """Two probabilities: parts below the first pass, parts from the second on are rejected, and a person reviews
        those between; the two are equal if a review is never the cheapest.

        >>> Costs(miss=9, false_alarm=1).thresholds()
        (0.1, 0.1)
        >>> Costs(miss=10, false_alarm=1, review=0.5).thresholds()
        (0.05, 0.5)
        """
        low, high = self.review / self.miss, 1 - self.review / self.false_alarm
        if low >= high:
            low = high = self.false_alarm / (self.miss + self.false_alarm)
        return low, high

    def without_images(self, prevalence: float) -> float:
        """The mean cost of a part if all parts get the same decision, the cheapest at this share of defective parts.

        >>> Costs(miss=10, false_alarm=1, review=0.5).without_images(0.02)  # all pass
        0.2
        """
        return min(prevalence * self.miss, (1 - prevalence) * self.false_alarm, self.review)


@dataclass(frozen=True)
class Outcome:
    """`expected`: the mean cost of a part if the probabilities are right; `cost`: the mean cost by the labels. The
    other fields are shares of all parts."""

    expected: float
    cost: float
    passed: float
    reviewed: float
    rejected: float
    missed: float
    false_alarms: float


def decide(probabilities: np.ndarray, labels: np.ndarray, costs: Costs, weights: np.ndarray | None = None) -> Outcome:
    """The outcome of the cheapest decisions by probabilities (N,), judged by labels (N,) of 0 and 1.

    `weights` (N,): the number of parts that an image represents, where the prevalence differs from that of the images.

    >>> outcome = decide([0.0, 0.3, 1.0, 1.0], [0, 1, 1, 0], Costs(miss=10, false_alarm=1, review=0.5))
    >>> outcome.passed, outcome.reviewed, outcome.rejected, outcome.cost
    (0.25, 0.25, 0.5, 0.375)
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    low, high = costs.thresholds()
    passed, rejected = probabilities < low, probabilities >= high
    reviewed = ~passed & ~rejected
    missed, alarmed = passed & (labels == 1), rejected & (labels == 0)

    def mean(values: np.ndarray) -> float:
        return float(np.average(values, weights=weights))

    def cost(misses: np.ndarray, alarms: np.ndarray) -> float:
        looks = costs.review * mean(reviewed) if reviewed.any() else 0.0  # review may be infinite
        return costs.miss * mean(misses) + costs.false_alarm * mean(alarms) + looks

    return Outcome(
        expected=cost(passed * probabilities, rejected * (1 - probabilities)),
        cost=cost(missed, alarmed),
        passed=mean(passed),
        reviewed=mean(reviewed),
        rejected=mean(rejected),
        missed=mean(missed),
        false_alarms=mean(alarmed),
    )
