import numpy as np
import pandas as pd
import pytest

from iadlib.metrics import collect, comparisons, differences, image_auroc
from iadlib.metrics.combining import combined
from iadlib.metrics.entries import TABLES, metrics_by_seed
from iadlib.types import Prediction
from tests.entries import values_of_all


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(differences, "RESAMPLES", 40)


@pytest.fixture(scope="module")
def values() -> pd.DataFrame:
    return values_of_all()


def test_designs_are_compared_on_their_own_seeds(values):
    other_seed = values["seed"] == 1
    changed = values.assign(score=values["score"].where(~other_seed, 0.0))
    pd.testing.assert_frame_equal(comparisons.of_designs(changed), comparisons.of_designs(values))
    designs = list(dict.fromkeys(comparisons.of_designs(values)["what"]))
    assert designs == [
        "features alone",
        "thesis design",
        "one head",
    ]


def test_a_pair_is_compared_with_its_better_member(values):
    metrics = metrics_by_seed(values, pd.DataFrame(columns=TABLES["pixel_auroc"]))
    row = comparisons.of_pairs(collect(values), metrics, "au_spro").loc["patchcore + padim"]
    first = metrics[(metrics["entry"] == "patchcore") & (metrics["seed"] == 0) & (metrics["metric"] == "au_spro")]
    assert row["better member"] == pytest.approx(first.groupby("category")["value"].mean().mean(), abs=5e-4)
    assert row["features minus outputs"] == pytest.approx(row["features"] - row["outputs"], abs=2e-3)
    assert 0 < row["low"] < row["high"]


def test_all_detectors_of_the_benchmark_are_combined_on_the_seeds_that_all_have(values):
    names, labels = values.loc[values["category"] == "nut", ["name", "label"]].drop_duplicates().to_numpy().T
    rng, rows = np.random.default_rng(0), []
    for detector, seeds in {"patchcore": (0, 1), "draem": (0,)}.items():
        for seed in seeds:
            rows += [
                (detector, seed, "test", name, label, float(label != "good"))
                for name, label in zip(names, labels, strict=True)
            ]
            rows += [(detector, seed, "validation", f"good/v{i}", "good", rng.normal()) for i in range(5)]
    columns = ["detector", "seed", "split", "name", "label", "score"]
    all_scores = pd.DataFrame(rows, columns=columns).assign(category="nut")
    nut = values[values["category"] == "nut"]
    table = comparisons.of_all_detectors(nut, all_scores)
    pd.testing.assert_frame_equal(comparisons.of_all_detectors(values, all_scores), table)  # no scores of the pins
    assert list(table.index) == [
        "feature ensemble",
        *(f"{name} of all detectors" for name in ("mean", "maximum", "vote")),
    ]
    assert (table["structural"][1:3] == 1).all()
    found = comparisons.combined_scores(nut[nut["entry"] == "feature ensemble"], all_scores)
    scores = (
        pd.DataFrame(rows, columns=columns)
        .query("seed == 0")
        .pivot(index=["split", "name"], columns="detector", values="score")
    )
    test, normal = (
        [Prediction(scores.loc[split, name].to_numpy(), None) for name in scores] for split in ("test", "validation")
    )
    for name, part in found.groupby("entry"):
        own = part.set_index("name")["score"][scores.loc["test"].index]
        np.testing.assert_allclose(own, combined(test, normal, name.split()[0]).scores, rtol=1e-5)
    scores = values[(values["entry"] == "feature ensemble") & (values["category"] == "nut") & (values["seed"] == 0)]
    auroc = image_auroc(scores["score"].to_numpy(), (scores["label"] != "good").to_numpy())
    assert table["structural"]["feature ensemble"] == pytest.approx(auroc)  # of the seed that both detectors have
    assert table["feature ensemble minus it"].iloc[1] == pytest.approx(auroc - 1)
