import numpy as np
import pandas as pd
import pytest

from iadlib.metrics import collect, comparisons, differences, image_auroc
from iadlib.metrics.combining import combined
from iadlib.metrics.entries import TABLES, metrics_by_seed
from iadlib.study import Study, ensemble
from iadlib.types import Prediction

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
    return metrics_by_seed(values, pixels)


@pytest.fixture(scope="module")
def cells(values) -> differences.Cells:
    return collect(values)


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
    table = ensemble.by_category(cells, "patchcore", "au_spro")
    kinds = [
        differences.difference(cells, "feature ensemble", "patchcore", "au_spro", [kind], ["pins"])["difference"]
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
    pd.testing.assert_frame_equal(comparisons.of_designs(changed), comparisons.of_designs(values))
    designs = list(dict.fromkeys(comparisons.of_designs(values)["what"]))
    assert designs == [
        "features alone",
        "thesis design",
        "one head",
    ]


def test_a_pair_is_compared_with_its_better_member(cells, metrics):
    row = comparisons.of_pairs(cells, metrics, "au_spro").loc["patchcore + padim"]
    first = metrics[(metrics["entry"] == "patchcore") & (metrics["seed"] == 0) & (metrics["metric"] == "au_spro")]
    assert row["better member"] == pytest.approx(first.groupby("category")["value"].mean().mean(), abs=5e-4)
    assert row["features minus outputs"] == pytest.approx(row["features"] - row["outputs"], abs=2e-3)
    assert 0 < row["low"] < row["high"]


def test_good_test_images_only_give_empty_tables():
    values = values_of("parts", np.repeat(["good"], 6), ENTRIES)
    metrics = metrics_by_seed(values, pd.DataFrame(columns=TABLES["pixel_auroc"]))
    assert ensemble.mean_table(metrics, ["member"]).empty
    assert ensemble.by_defect(values, ["mean"]).empty


@pytest.fixture
def study(values, pixels, tmp_path) -> Study:
    """The files of two categories, and the maps of one of them."""
    (tmp_path / "params").mkdir()
    (tmp_path / "params/grid.yaml").write_text("categories: {pins: {}, nut: {}}\n")
    variances = [("patchcore", 1, 0.75, True), ("patchcore", 2, 1.0, False), ("padim", 1, 1.0, True)]
    for name in LABELS:
        folder = tmp_path / "reports/tiny/ensemble" / name
        folder.mkdir(parents=True)
        values[values["category"] == name].to_csv(folder / "values.csv", index=False)
        pixels[pixels["category"] == name].to_csv(folder / "pixel_auroc.csv", index=False)
        pd.DataFrame(variances, columns=TABLES["variances"]).to_csv(folder / "variances.csv", index=False)
    for entry in ("patchcore", "padim", "mean", "feature_ensemble"):
        (tmp_path / "artifacts/tiny/ensemble/pins" / entry).mkdir(parents=True)
    return Study("tiny", tmp_path)


def test_all_categories_of_the_grid_are_read_unless_some_are_named(study, values, metrics):
    read, found = ensemble.results(study)
    assert list(dict.fromkeys(read["category"])) == list(LABELS)
    assert len(read) == len(values)
    pd.testing.assert_frame_equal(
        found.sort_values(list(found.columns), ignore_index=True),
        metrics.sort_values(list(metrics.columns), ignore_index=True),
    )
    assert set(ensemble.results(study, ["nut"])[0]["category"]) == {"nut"}


def test_a_category_without_files_gives_empty_tables(study):
    read, found = ensemble.results(study, ["bolts"])
    assert read.empty
    assert ensemble.mean_table(found, ["member", "feature"]).empty
    assert ensemble.variances(study, "bolts") == ({}, {})


def test_the_variance_that_is_kept_is_read_by_member(study):
    shares, kept = ensemble.variances(study, "pins")
    assert {name: list(share) for name, share in shares.items()} == {"PatchCore": [0.75, 1.0], "PaDiM": [1.0]}
    assert kept == {"PatchCore": 1, "PaDiM": 1}


def test_maps_of_members_and_ensembles_are_found_or_missing_in_one_line(study, capsys, monkeypatch):
    monkeypatch.setattr(ensemble, "members", lambda: ["patchcore", "padim"])
    folder = study.artifacts / "ensemble/pins"
    assert ensemble.saved(study, "pins") == {
        "patchcore": folder / "patchcore",
        "padim": folder / "padim",
        "mean": folder / "mean",
        "feature ensemble": folder / "feature_ensemble",
    }
    assert ensemble.saved(study, "nut") == {}
    assert capsys.readouterr().out.count("\n") == 1


def test_all_detectors_of_the_benchmark_are_combined_on_the_seeds_that_all_have(values, tmp_path):
    names, labels = values.loc[values["category"] == "nut", ["name", "label"]].drop_duplicates().to_numpy().T
    rng, rows = np.random.default_rng(0), []
    for detector, seeds in {"patchcore": (0, 1), "draem": (0,)}.items():
        for seed in seeds:
            rows += [
                (detector, seed, "test", name, label, float(label != "good"))
                for name, label in zip(names, labels, strict=True)
            ]
            rows += [(detector, seed, "validation", f"good/v{i}", "good", rng.normal()) for i in range(5)]
    folder = tmp_path / "reports/quick/benchmark/nut"
    folder.mkdir(parents=True)
    (tmp_path / "params").mkdir()
    (tmp_path / "params/grid.yaml").write_text("categories: {nut: {}}\n")
    columns = ["detector", "seed", "split", "name", "label", "score"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "scores.csv", index=False)
    nut = values[values["category"] == "nut"]
    own_scores = ensemble.scores_of_detectors(Study("quick", tmp_path))
    table = comparisons.of_all_detectors(nut, own_scores)
    pd.testing.assert_frame_equal(comparisons.of_all_detectors(values, own_scores), table)  # no scores of the pins
    assert list(table.index) == [
        "feature ensemble",
        *(f"{name} of all detectors" for name in ("mean", "maximum", "vote")),
    ]
    assert (table["structural"][1:3] == 1).all()
    found = comparisons.combined_scores(nut[nut["entry"] == "feature ensemble"], own_scores)
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
