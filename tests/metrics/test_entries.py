import numpy as np
import pandas as pd
import pytest

from iadlib.metrics import image_auroc
from iadlib.metrics.entries import aurocs_by_defect, best_entry, metrics_by_seed, rank_changes

LABELS = {"pins": np.repeat(["good", "logical", "structural"], 8), "nut": np.repeat(["good", "structural"], 8)}
DISTANCES = {"near": 0.5, "far": 2.0}  # entry -> distance between good and anomalous scores


def values_of(category: str, labels: np.ndarray) -> pd.DataFrame:
    """Two entries with two seeds; both kinds of anomaly have dents and scratches."""
    rng = np.random.default_rng(0)
    image = pd.DataFrame({"name": [f"{label}/{i:03d}" for i, label in enumerate(labels)], "label": labels})
    defects = np.where(np.arange(len(labels)) % 2, "dent", "scratch")
    image["defect"] = np.where(labels == "good", "good", defects)
    image = image.assign(category=category, group="member", regions=(labels != "good").astype(int))
    parts = []
    for entry, distance in DISTANCES.items():
        for seed in (0, 1):
            scores = rng.normal(0, 1, len(labels)) + distance * (labels != "good")
            areas = np.where(labels == "good", np.nan, rng.uniform(0, 1, len(labels)))
            parts.append(image.assign(entry=entry, seed=seed, score=scores, au_spro=areas))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def values() -> pd.DataFrame:
    return pd.concat([values_of(category, labels) for category, labels in LABELS.items()], ignore_index=True)


@pytest.fixture(scope="module")
def metrics(values) -> pd.DataFrame:
    rows = values[["category", "group", "entry", "seed"]].drop_duplicates()
    return metrics_by_seed(values, rows.assign(pixel_auroc=0.5))


def test_every_seed_and_kind_of_a_category_has_a_row(values, metrics):
    found = metrics[(metrics["entry"] == "near") & (metrics["metric"] == "image_auroc")]
    assert sorted(zip(found["category"], found["kind"], found["seed"], strict=True)) == sorted(
        (category, kind, seed)
        for category, labels in LABELS.items()
        for kind in {*labels} - {"good"}
        for seed in (0, 1)
    )
    one = values[(values["entry"] == "near") & (values["category"] == "nut") & (values["seed"] == 1)]
    row = found[(found["category"] == "nut") & (found["seed"] == 1)]
    assert row["value"].item() == pytest.approx(image_auroc(one["score"], one["label"] != "good"))


def test_good_images_only_have_no_metrics():
    values = values_of("clean", np.repeat(["good"], 6))
    pixels = values[["category", "group", "entry", "seed"]].drop_duplicates().assign(pixel_auroc=np.nan)
    assert metrics_by_seed(values, pixels).empty
    assert aurocs_by_defect(values, ["near"]).empty
    assert rank_changes(values, "near", "far").empty


def test_a_defect_that_belongs_to_both_kinds_has_a_row_for_each(values):
    table = aurocs_by_defect(values, ["far", "near"])
    assert list(table.columns) == ["far", "near"]
    assert list(table.loc["pins"].index) == [(k, d) for k in ("logical", "structural") for d in ("dent", "scratch")]
    part = values[(values["category"] == "nut") & (values["entry"] == "far") & values["defect"].isin(["good", "dent"])]
    expected = [image_auroc(each["score"], each["label"] != "good") for _, each in part.groupby("seed")]
    assert table.loc[("nut", "structural", "dent"), "far"] == pytest.approx(np.mean(expected))


def test_the_best_entry_has_the_highest_mean_over_categories(metrics):
    assert best_entry(metrics, ["near", "far"], "image_auroc") == "far"
    assert best_entry(metrics, ["near"], "image_auroc") == "near"


def test_rank_changes_are_the_largest_of_each_kind_in_both_directions(values):
    part = values[values["category"] == "pins"]
    table = rank_changes(part, "far", "near", per_kind=2)
    assert table.groupby("label").size().to_dict() == {"logical": 4, "structural": 4}
    everything = rank_changes(part, "far", "near", per_kind=100)
    assert len(everything) == 16
    for label, rows in everything.groupby("label"):
        change = table.loc[table["label"] == label, "rank change"]
        assert change.tolist() == rows["rank change"].iloc[[0, 1, -2, -1]].tolist()
    assert everything["rank change"].abs().max() > 0
