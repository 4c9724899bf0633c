import numpy as np
import pandas as pd
import pytest

from iadlib.metrics import collect, differences, image_auroc
from iadlib.metrics.entries import TABLES, metrics_by_seed
from iadlib.study import Study, ensemble
from tests.entries import ENTRIES, LABELS, values_of, values_of_all


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(differences, "RESAMPLES", 40)


@pytest.fixture(scope="module")
def values() -> pd.DataFrame:
    return values_of_all()


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
