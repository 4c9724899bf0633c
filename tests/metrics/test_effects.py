import numpy as np
import pandas as pd
import pytest

from iadlib.metrics import differences
from iadlib.metrics.effects import effects, effects_by_defect, means, stacked

LABELS = ["good"] * 6 + ["logical"] * 4 + ["structural"] * 4
DEFECTS = {"good": "good", "logical": "missing_hole", "structural": "scratch"}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(differences, "RESAMPLES", 40)


def image_values(method: str, category: str, entry: str, seed: int) -> pd.DataFrame:
    """The entry "0" lifts the scores of logical anomalies; "8" changes nothing."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"name": [f"{label}/{i}" for i, label in enumerate(LABELS)], "label": LABELS})
    table = table.assign(defect=table["label"].map(DEFECTS), score=rng.uniform(0, 1, len(LABELS)))
    table["score"] += (0.5 if entry == "0" else 0) * (table["label"] == "logical")
    table["au_spro"] = np.where(table["label"] == "good", np.nan, rng.uniform(0, 1, len(LABELS)))
    table["regions"] = (table["label"] != "good").astype(int)
    return table.assign(method=method, category=category, entry=entry, seed=seed)


@pytest.fixture(scope="module")
def values() -> pd.DataFrame:
    """Two methods on two grounds, the second method with one seed."""
    runs = [
        image_values(method, category, entry, seed)
        for method, seeds in (("two seeds", (0, 1)), ("one seed", (0,)))
        for category in ("cloth", "mat")
        for entry in ("none", "0", "8")
        for seed in seeds
    ]
    return pd.concat(runs, ignore_index=True)


def test_a_treatment_that_changes_nothing_has_no_effect(values):
    table = effects(values[values["entry"].isin(["none", "8"])], "none", "method")
    assert table[["difference", "low", "high"]].to_numpy() == pytest.approx(0)


def test_a_lift_of_logical_scores_is_an_effect_on_logical_anomalies_alone(values):
    table = effects(values, "none", "method").query("entry == '0' and metric == 'image AUROC'")
    logical, structural = (table[table["kind"] == kind]["difference"] for kind in ("logical", "structural"))
    assert (logical > 0.05).all()
    assert (structural == 0).all()


def test_effects_by_defect_are_those_of_the_kind_that_has_only_this_defect(values):
    by_defect, by_kind = effects_by_defect(values, "none"), effects(values, "none", "method")
    assert len(by_defect) == len(by_kind)
    for row in by_defect.itertuples():
        same = by_kind.query(f"method == '{row.method}' and entry == '{row.entry}' and metric == '{row.metric}'")
        assert row.difference == pytest.approx(same[same["kind"] == row.kind]["difference"].item())
        assert row.defect == DEFECTS[row.kind]


def test_runs_of_all_methods_and_grounds_are_stacked_in_one_resample(values):
    [cells] = stacked(values).values()
    assert cells["", "0"].scores.shape[0] == 2 * 2 * 2  # methods, grounds, seeds


def test_a_method_with_fewer_seeds_counts_as_much_as_the_others(values):
    [together] = stacked(values).values()
    alone = stacked(values, "method")
    for entry in ("none", "0", "8"):
        two, one = (
            alone[method,]["", entry].value("image_auroc", ["structural"]) for method in ("two seeds", "one seed")
        )
        assert together["", entry].value("image_auroc", ["structural"]) == pytest.approx((two + one) / 2)


def test_means_have_a_row_for_each_method_ground_entry_metric_and_kind(values):
    table = means(values)
    assert len(table) == 2 * 2 * 3 * 2 * 2
    lifted = table[(table["metric"] == "image AUROC, logical") & (table["entry"] == "0")]
    plain = table[(table["metric"] == "image AUROC, logical") & (table["entry"] == "none")]
    assert (lifted["value"].to_numpy() > plain["value"].to_numpy()).all()
