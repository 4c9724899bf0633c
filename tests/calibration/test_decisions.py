"""The cheapest decision by known costs."""

import numpy as np
import pytest

from iadlib.calibration import Costs, decide


def cost_by_hand(probability, costs):
    return min(probability * costs.miss, (1 - probability) * costs.false_alarm, costs.review)


@pytest.mark.parametrize("costs", [Costs(10, 1), Costs(10, 1, 0.4), Costs(10, 1, 5), Costs(1, 3, 0.1), Costs(2, 2, 1)])
def test_every_part_goes_where_it_is_expected_to_cost_least(costs):
    for probability in np.linspace(0.003, 0.997, 83):
        outcome = decide([probability], [1], costs)
        assert outcome.expected == pytest.approx(cost_by_hand(probability, costs))


def test_of_calibrated_probabilities_the_promised_cost_comes_true():
    rng = np.random.default_rng(0)
    probabilities = rng.beta(0.5, 0.5, 100_000)
    outcome = decide(probabilities, (rng.random(100_000) < probabilities).astype(int), Costs(20, 1, 0.5))
    assert outcome.cost == pytest.approx(outcome.expected, rel=0.03)


def test_shares_are_of_all_parts():
    outcome = decide([0.01, 0.2, 0.9, 0.95], [1, 0, 0, 1], Costs(10, 1, 0.5))
    assert (outcome.passed, outcome.reviewed, outcome.rejected) == (0.25, 0.25, 0.5)
    assert (outcome.missed, outcome.false_alarms) == (0.25, 0.25)
    assert outcome.cost == pytest.approx((10 + 0.5 + 1) / 4)


@pytest.mark.parametrize("costs", [(0, 1), (1, -1), (1, 1, 0)])
def test_costs_are_above_zero(costs):
    with pytest.raises(ValueError, match="above 0"):
        Costs(*costs)
