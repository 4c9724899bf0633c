import numpy as np
import pandas as pd
import pytest

from iadlib.metrics import half_sizes, image_auroc
from iadlib.metrics.defects import defect_aurocs, false_alarm_rates, shares_by_third, size_curves


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    """Two seeds; the scores of dents are above all others, those of scratches are like those of good images."""
    rng = np.random.default_rng(0)
    defects = ["good"] * 6 + ["dent"] * 3 + ["scratch"] * 3
    images = pd.DataFrame({"name": [f"{i:02d}" for i in range(12)], "defect": defects})
    parts = [images.assign(seed=seed, score=rng.uniform(0, 1, 12)) for seed in (0, 1)]
    table = pd.concat(parts, ignore_index=True).assign(method="only")
    table["score"] += 2 * (table["defect"] == "dent")
    return table.assign(found=table["score"] > 0.5)


def test_aurocs_are_against_the_good_images_and_means_over_seeds(scores):
    table = defect_aurocs(scores, ["dent", "scratch", "absent"]).set_index("defect")
    assert list(table.index) == ["dent", "scratch"]
    assert table.loc["dent", ["auroc", "low", "high"]].tolist() == [1, 1, 1]
    part = scores[scores["defect"] != "dent"]
    by_hand = [image_auroc(seed["score"], seed["defect"] == "scratch") for _, seed in part.groupby("seed")]
    assert table.loc["scratch", "auroc"] == pytest.approx(np.mean(by_hand))


def test_false_alarms_are_good_images_above_the_threshold(scores):
    good = scores[scores["defect"] == "good"]
    assert false_alarm_rates(scores)["only"] == (good["score"] > 0.5).mean()


def test_thirds_are_taken_within_each_defect():
    found = pd.DataFrame({"method": "only", "defect": ["a"] * 6 + ["b"] * 6, "contrast": [*range(6), *range(100, 106)]})
    found["found"] = [False, False, True, False, True, True] * 2
    table = shares_by_third(found, "contrast", ["low", "middle", "high"])
    assert table["found"].tolist() == [0, 0.5, 1] * 2
    assert table["contrast"].tolist() == ["low", "middle", "high"] * 2


def test_points_and_curves_have_the_shares_by_size():
    rng, size = np.random.default_rng(0), np.linspace(5, 50, 100)
    found = pd.DataFrame({"method": "only", "defect": "scratch", "seed": 0, "size": size})
    found = found.assign(name=[f"{i:03d}" for i in range(100)], found=rng.uniform(0, 50, 100) < size)
    points, curves = size_curves(found, half_sizes(found, resamples=2))
    assert len(points) == 5
    assert points["share"].mean() == pytest.approx(found["found"].mean())
    assert curves["share"].is_monotonic_increasing
    assert curves["size"].iloc[[0, -1]].tolist() == pytest.approx([5, 50])
