import numpy as np
import pandas as pd
import pytest

from iadlib.metrics.ranks import mean_ranks, most_disputed, worst_false_alarms, worst_misses

NAMES = ["good/0", "good/1", "bad/0", "bad/1"]


@pytest.fixture
def values() -> pd.DataFrame:
    images = pd.DataFrame({"name": NAMES, "label": ["good", "good", "logical", "structural"], "defect": "any"})
    scores = {("first", 0): [1, 2, 3, 4], ("first", 1): [2, 1, 3, 4], ("second", 0): [10, 30, 40, 20]}
    return pd.concat(images.assign(method=m, seed=s, score=score) for (m, s), score in scores.items())


def test_ranks_are_shares_and_means_over_the_seeds(values):
    ranks = mean_ranks(values).droplevel(["label", "defect"])
    assert ranks.loc[NAMES, "first"].tolist() == [0.375, 0.375, 0.75, 1]
    assert ranks.loc[NAMES, "second"].tolist() == [0.25, 0.75, 1, 0.5]


def test_ranks_do_not_change_with_the_scale_of_a_detector(values):
    other = values.assign(score=np.where(values["method"] == "first", values["score"] * 100 - 7, values["score"]))
    assert mean_ranks(other).equals(mean_ranks(values))


def test_images_are_chosen_by_mean_rank_and_by_disagreement(values):
    ranks = mean_ranks(values)
    assert worst_misses(ranks, count=1) == ["bad/1"]
    assert most_disputed(ranks, count=1) == ["bad/1"]
    assert worst_false_alarms(ranks, count=1) == ["good/1"]


def test_without_anomalies_or_images_nothing_is_chosen(values):
    good = mean_ranks(values[values["label"] == "good"])
    assert worst_misses(good) == most_disputed(good) == []
    assert worst_false_alarms(mean_ranks(values[:0])) == []
