from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iadlib.data import fit_size, image_sizes, load_images
from iadlib.detectors import create
from iadlib.ensemble import FeatureEnsemble
from iadlib.ensemble.output import standardised
from iadlib.metrics import au_spro, image_auroc, resampled_images
from iadlib.study import comparisons, differences, ensemble_tables, ensembles, open_category
from iadlib.study.cells import maps_at

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"
CUTS = {"patchcore": "difference", "simplenet": "adapted", "padim": "deviation"}
MEMBERS = ("patchcore", "simplenet")
BACKBONES = {"tf_efficientnet_lite1": {"layers": [2, 3]}}
SMALL = {"steps": 12, "hidden_channels": 16}
SETTINGS = ensembles.member_settings("quick", CUTS)


@pytest.fixture(scope="module")
def category():
    return open_category(SAMPLE)


@pytest.fixture(scope="module")
def comparison(category):
    return ensembles.compare(
        category, CUTS, SETTINGS, MEMBERS, SMALL, {}, {"global": {"transform": "global"}}, 64, [0, 1], [1], BACKBONES
    )


@pytest.fixture(scope="module")
def values(category, comparison):
    return comparisons.values(category, comparison.entries)


@pytest.fixture(scope="module")
def pixels(category, comparison):
    return comparisons.pixel_aurocs(category, comparison.entries)


def test_everything_is_there_and_ablations_for_their_seeds_alone(comparison):
    found = pd.DataFrame([(e.group, e.name, e.seed) for e in comparison.entries], columns=["group", "entry", "seed"])
    assert not found.duplicated().any()
    assert not found.duplicated(["entry", "seed"]).any()
    counts = {"member": 3, "output": 3, "backbones": 1, "labelled": 2, "feature": 3}
    assert found[found["seed"] == 0]["group"].value_counts().to_dict() == counts
    assert found[found["seed"] == 1]["group"].value_counts().to_dict() == counts | {"design": 1, "pair": 6}


def test_an_ensemble_of_what_was_remembered_is_the_ensemble(category):
    size = fit_size(image_sizes(category.samples["image"]), 64)
    train, validation, test = (
        load_images(category.of(split)["image"], size) for split in ("train", "validation", "test")
    )
    pool = ensembles.Pool(CUTS, SETTINGS, 3, train, validation, test)
    remembered = pool.predicted(pool.fit(pool.ensemble(MEMBERS, SMALL)))
    afresh = FeatureEnsemble(
        **SMALL, members={m: CUTS[m] for m in MEMBERS}, settings={m: SETTINGS[m] for m in MEMBERS}, seed=3
    )
    expected = afresh.fit(train, validation).predict(test)
    np.testing.assert_array_equal(remembered.maps, expected.maps)
    np.testing.assert_array_equal(remembered.scores, expected.scores)


def test_over_backbones_is_the_mean_of_what_each_says_on_its_own_scale(category):
    train, validation, test = (
        load_images(category.of(s)["image"][:4], (64, 144)) for s in ("train", "validation", "test")
    )
    pool = ensembles.Pool({"patchcore": "difference"}, SETTINGS, 0, train, validation, test)
    said = pool.over_backbones(BACKBONES)
    other = create(
        "patchcore", **SETTINGS["patchcore"] | {"backbone": "tf_efficientnet_lite1", "layers": [2, 3]}, seed=0
    )
    other.fit(train, validation)
    expected = [
        standardised(each.predict(test).scores, each.predict(validation).scores)
        for each in (pool.fitted["patchcore"], other)
    ]
    np.testing.assert_allclose(said.scores, np.mean(expected, axis=0), rtol=1e-5)


def test_curves_have_every_step_and_test_images_now_and_then(comparison):
    assert comparison.curves.groupby("name", sort=False).size().to_dict() == {
        ensembles.FEATURE: 12,
        ensembles.THESIS: 12,
    }
    assert comparison.curves["loss"].notna().all()
    assert comparison.curves["test images"].notna().any()


def test_the_values_of_images_make_up_the_metrics(category, comparison, values):
    entry = next(e for e in comparison.entries if e.name == "maximum" and e.seed == 1)
    test = category.of("test")
    chosen = np.flatnonzero(test["label"].isin(["good", "structural"]))
    maps = maps_at(entry.maps[chosen], image_sizes(test["image"].iloc[chosen]))
    cell = differences.collect(values)[category.name, "maximum"]
    assert cell.by_seed("au_spro", "structural")[0, 1] == pytest.approx(
        au_spro(maps, [category.regions(i) for i in chosen]), abs=1e-9
    )
    anomalous = (test["label"] == "structural").to_numpy()[chosen]
    assert cell.by_seed("image_auroc", "structural")[0, 1] == pytest.approx(
        image_auroc(entry.scores[chosen], anomalous)
    )


def made(name: str, good: float, bad: float, rng: np.random.Generator) -> pd.DataFrame:
    """One entry on one category and two seeds: scores about `good` and `bad`, the regions found by `bad`."""
    labels = np.repeat(["good", "logical", "structural"], 20)
    tables = [
        pd.DataFrame(
            {
                "category": "parts",
                "group": "output",
                "entry": name,
                "seed": seed,
                "label": labels,
                "defect": labels,
                "score": np.where(labels == "good", good, bad) + rng.normal(size=60),
                "au_spro": np.where(labels == "good", np.nan, rng.uniform(0, 1, 60) ** (1 / bad)),
                "regions": np.where(labels == "good", 0, 1),
            }
        )
        for seed in (0, 1)
    ]
    return pd.concat(tables)


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    return differences.collect(pd.concat([made("sharp", 0, 3, rng), made("blunt", 0, 0.5, rng)]))


@pytest.mark.parametrize("metric", ["image_auroc", "au_spro"])
def test_the_better_entry_is_better_by_more_than_the_interval(cells, metric):
    found = differences.difference(cells, "sharp", "blunt", metric)
    assert 0 < found["low"] < found["difference"] < found["high"] < 1
    turned = differences.difference(cells, "blunt", "sharp", metric)
    assert turned["difference"] == pytest.approx(-found["difference"])
    same = differences.difference(cells, "sharp", "sharp", metric)
    assert same == {"difference": 0, "low": 0, "high": 0}


def test_a_resample_is_judged_as_its_images_would_be(cells):
    cell = cells["parts", "blunt"]
    [chosen] = resampled_images(cell.labels, resamples=1, seed=3)
    chosen = chosen[cell.labels[chosen] != "logical"]
    counts = np.bincount(chosen, minlength=len(cell.labels))[None]
    anomalous = cell.labels[chosen] == "structural"
    for seed, scores in enumerate(np.round(cell.scores, 1)):  # with ties
        tied = replace(cell, scores=np.round(cell.scores, 1))
        expected = image_auroc(scores[chosen], anomalous)
        assert tied.by_seed("image_auroc", "structural", counts)[0, seed] == pytest.approx(expected, abs=1e-12)
        areas = cell.au_spro[seed, chosen[anomalous]]
        assert cell.by_seed("au_spro", "structural", counts)[0, seed] == pytest.approx(areas.mean(), abs=1e-12)


def test_a_mean_over_categories_weighs_them_alike(cells):
    part = cells["parts", "sharp"], cells["parts", "blunt"]
    both = cells | {("other", "sharp"): part[1], ("other", "blunt"): part[0]}
    found = differences.difference(both, "sharp", "blunt", "image_auroc")
    assert found["difference"] == pytest.approx(0, abs=1e-12)
    assert found["low"] < 0 < found["high"]


def test_tables_and_files_hold_all_entries(values, pixels, comparison, tmp_path, monkeypatch):
    results = ensemble_tables.results(values, pixels)
    table = ensemble_tables.mean_table(results, ["member", "feature", "design"])
    assert len(table) == 3 + 3 + 1
    assert len(ensemble_tables.of_pairs(differences.collect(values), results, "image_auroc")) == 3
    assert set(comparisons.by_defect(values, ["mean"]).index.get_level_values(1)) == {"logical", "structural"}
    ensembles.save_comparison(values, pixels, {}, tmp_path / "out")
    read = pd.read_csv(tmp_path / "out/values.csv")
    assert len(read) == len(values) == 16 * (12 + 19)
