"""From a probability to what is done with a part: pass it, reject it, or show it to a person.

With known costs the best decision follows from the probability alone (Elkan 2001; Chow 1970 for the third way), which
is what calibration is for. A part passed costs p times a miss, one rejected (1 - p) times a false alarm, one shown to a
person the price of the look, which is taken to be right.
"""

from dataclasses import dataclass

import numpy as np

from iadlib.calibration.checks import checked_labels, checked_probabilities


@dataclass(frozen=True)
class Costs:
    """Of one part: a defect that is passed, a good part that is rejected, a person's look. The same unit."""

    miss: float
    false_alarm: float
    review: float = np.inf

    def __post_init__(self):
        if not (self.miss > 0 and self.false_alarm > 0 and self.review > 0):
            raise ValueError(f"costs are above 0, not {self.miss}, {self.false_alarm}, {self.review}")

    def thresholds(self) -> tuple[float, float]:
        """Pass below the first probability, reject from the second on, between them ask a person; equal if never.

        >>> Costs(miss=9, false_alarm=1).thresholds()
        (0.1, 0.1)
        >>> Costs(miss=10, false_alarm=1, review=0.5).thresholds()
        (0.05, 0.5)
        """
        low, high = self.review / self.miss, 1 - self.review / self.false_alarm
        if low >= high:
            low = high = self.false_alarm / (self.miss + self.false_alarm)
        return low, high


@dataclass(frozen=True)
class Outcome:
    """`expected`: the mean cost of a part that the probabilities promise; `cost`: the one that came true. The others
    are shares of all parts."""

    expected: float
    cost: float
    passed: float
    reviewed: float
    rejected: float
    missed: float
    false_alarms: float


def decide(probabilities: np.ndarray, labels: np.ndarray, costs: Costs, weights: np.ndarray | None = None) -> Outcome:
    """What the cheapest decision by probabilities (N,) costs, judged by labels (N,) of 0 and 1.

    `weights` (N,): how many parts an image stands for, where the prevalence is another than that of the images.

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
        looks = costs.review * mean(reviewed) if reviewed.any() else 0.0  # infinitely dear, perhaps
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
