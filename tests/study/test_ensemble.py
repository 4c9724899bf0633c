import numpy as np
import pandas as pd
import pytest

from iadlib.data import DataError
from iadlib.metrics import differences, image_auroc
from iadlib.study import Study, ensemble

LABELS = {"pins": np.repeat(["good", "logical", "structural"], 8), "nut": np.repeat(["good", "structural"], 8)}
ENTRIES = {  # entry -> group, distance between good and anomalous scores
    "patchcore": ("member", 2.0),
    "padim": ("member", 0.5),
    "mean": ("output", 1.5),
    "feature ensemble": ("feature", 4.0),
    "features alone": ("feature", 1.0),
    "thesis design": ("feature", 0.0),
    "one head": ("design", 3.0),
    "patchcore + padim: features": ("pair", 3.0),
    "patchcore + padim: outputs": ("pair", 1.0),
}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(differences, "RESAMPLES", 40)


def values_of(category: str, labels: np.ndarray, entries: dict[str, tuple[str, float]]) -> pd.DataFrame:
    """Rows as in values.csv: two seeds, of designs and pairs the first alone."""
    rng = np.random.default_rng(0)
    image = pd.DataFrame(
        {
            "name": [f"{label}/{i:03d}" for i, label in enumerate(labels)],
            "label": labels,
            "defect": np.where(np.arange(len(labels)) % 2, "dent", "scratch"),
            "regions": (labels != "good").astype(int),
        }
    )
    image.loc[labels == "good", "defect"] = "good"
    parts = []
    for entry, (group, distance) in entries.items():
        for seed in (0,) if group in ("design", "pair") else (0, 1):
            anomalous = labels != "good"
            parts.append(
                image.assign(
                    score=rng.normal(0, 1, len(labels)) + distance * anomalous,
                    au_spro=np.where(anomalous, np.clip(distance / 5 + rng.normal(0, 0.05, len(labels)), 0, 1), np.nan),
                    category=category,
                    group=group,
                    entry=entry,
                    seed=seed,
                )
            )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def values() -> pd.DataFrame:
    return pd.concat([values_of(name, labels, ENTRIES) for name, labels in LABELS.items()], ignore_index=True)


@pytest.fixture(scope="module")
def pixels(values) -> pd.DataFrame:
    rows = values[["category", "group", "entry", "seed"]].drop_duplicates()
    return rows.assign(pixel_auroc=0.9 + 0.02 * rows["seed"])


@pytest.fixture(scope="module")
def metrics(values, pixels) -> pd.DataFrame:
    return ensemble.metrics_by_seed(values, pixels)


@pytest.fixture(scope="module")
def cells(values) -> ensemble.Cells:
    return ensemble.collect(values)


def test_metrics_have_one_row_for_each_seed_and_kind(values, metrics):
    found = metrics[(metrics["entry"] == "padim") & (metrics["metric"] == "image_auroc")]
    assert sorted(zip(found["category"], found["kind"], found["seed"], strict=True)) == sorted(
        (category, kind, seed)
        for category, labels in LABELS.items()
        for kind in {*labels} - {"good"}
        for seed in (0, 1)
    )
    one = values[(values["entry"] == "padim") & (values["category"] == "nut") & (values["seed"] == 1)]
    row = found[(found["category"] == "nut") & (found["seed"] == 1)]
    assert row["value"].item() == pytest.approx(image_auroc(one["score"], one["label"] != "good"))


def test_the_table_shows_means_over_categories_and_their_spread_over_seeds(metrics):
    table = ensemble.mean_table(metrics, ["member", "design"])
    assert list(table.index) == [("alone", "PatchCore"), ("alone", "PaDiM"), ("one choice changed", "one head")]
    assert table["pixel AUROC", "overall"].tolist() == ["0.910 ± 0.014", "0.910 ± 0.014", "0.900"]


def test_the_best_entry_of_each_group_is_marked(cells, metrics):
    table = ensemble.against(cells, metrics, ["nut"]).reset_index()
    rows = table[(table["ensemble"] == "feature ensemble") & (table["metric"] == "image AUROC")]
    assert list(rows["against"]) == [
        "alone: PatchCore (best)",
        "alone: PaDiM",
        "output level: mean (best)",
        "feature level: features alone",
        "feature level: thesis design",
    ]
    assert (rows["difference"] > 0).all()


def test_differences_are_by_the_kinds_that_a_category_has(cells, metrics):
    table = ensemble.against_best(cells, metrics)
    assert set(zip(table["category"], table["kind"], strict=True)) == {
        ("pins", "logical"),
        ("pins", "structural"),
        ("nut", "structural"),
    }
    assert (table["low"] <= table["difference"]).all()


def test_differences_by_category_average_the_kinds(cells):
    table = ensemble.by_category(cells, "feature ensemble", "patchcore", "au_spro")
    kinds = [
        ensemble.difference(cells, "feature ensemble", "patchcore", "au_spro", [kind], ["pins"])["difference"]
        for kind in ("logical", "structural")
    ]
    assert table.loc["pins", "difference"] == pytest.approx(np.mean(kinds))


def test_a_defect_that_belongs_to_both_kinds_has_a_row_for_each(values):
    table = ensemble.by_defect(values, ["patchcore", "mean"])
    assert list(table.columns) == ["PatchCore", "mean"]
    assert list(table.loc["pins"].index) == [(k, d) for k in ("logical", "structural") for d in ("dent", "scratch")]
    part = values[(values["category"] == "nut") & (values["entry"] == "mean") & values["defect"].isin(["good", "dent"])]
    expected = [image_auroc(each["score"], each["label"] != "good") for _, each in part.groupby("seed")]
    assert table.loc[("nut", "structural", "dent"), "mean"] == pytest.approx(np.mean(expected), abs=5e-4)


def test_designs_are_compared_on_their_own_seeds(values):
    other_seed = values["seed"] == 1
    changed = values.assign(score=values["score"].where(~other_seed, 0.0))
    pd.testing.assert_frame_equal(ensemble.of_designs(changed), ensemble.of_designs(values))
    assert list(dict.fromkeys(ensemble.of_designs(values)["design"])) == ["features alone", "thesis design", "one head"]


def test_a_pair_is_compared_with_its_better_member(cells, metrics):
    row = ensemble.of_pairs(cells, metrics, "au_spro").loc["PatchCore + PaDiM"]
    first = metrics[(metrics["entry"] == "patchcore") & (metrics["seed"] == 0) & (metrics["metric"] == "au_spro")]
    assert row["better member"] == pytest.approx(first.groupby("category")["value"].mean().mean(), abs=5e-4)
    assert row["features minus outputs"] == pytest.approx(row["features"] - row["outputs"], abs=2e-3)
    assert 0 < row["low"] < row["high"]


def test_rank_changes_are_the_largest_of_each_kind_in_both_directions(values):
    part = values[values["category"] == "pins"]
    table = ensemble.rank_changes(part, per_kind=2)
    assert table.groupby("label").size().to_dict() == {"logical": 4, "structural": 4}
    everything = ensemble.rank_changes(part, per_kind=100)
    assert len(everything) == 16
    for label, rows in everything.groupby("label"):
        change = table.loc[table["label"] == label, "rank change"]
        assert change.tolist() == rows["rank change"].iloc[[0, 1, -2, -1]].tolist()
    assert everything["rank change"].abs().max() > 0


def test_good_test_images_only_give_empty_tables():
    values = values_of("parts", np.repeat(["good"], 6), ENTRIES)
    metrics = ensemble.metrics_by_seed(
        values, pd.DataFrame(columns=["category", "group", "entry", "seed", "pixel_auroc"])
    )
    assert ensemble.mean_table(metrics, ["member"]).empty
    assert ensemble.by_defect(values, ["mean"]).empty
    assert ensemble.rank_changes(values).empty


def test_files_of_the_categories_are_read_one_after_the_other(values, tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params/grid.yaml").write_text("categories: {pins: {}, nut: {}}\n")
    study = Study("tiny", tmp_path)
    for name, part in values.groupby("category"):
        folder = tmp_path / "reports/tiny/ensemble" / name
        folder.mkdir(parents=True)
        part.to_csv(folder / "values.csv", index=False)
    read = ensemble.gather(study, "values")
    assert list(dict.fromkeys(read["category"])) == ["pins", "nut"]
    assert len(read) == len(values)
    with pytest.raises(DataError, match=r"nut/pixel_auroc\.csv"):
        ensemble.gather(study, "pixel_auroc", ["nut"])
