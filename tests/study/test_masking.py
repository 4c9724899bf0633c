from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iadlib import figures
from iadlib.study import comparisons, masking, masking_tables, open_category
from iadlib.study.comparisons import Entry

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"
TINY = {"backbone": "tf_efficientnet_lite0", "layers": [1, 2], "channels": 10, "regularisation": 0.01}


@pytest.fixture(scope="module")
def category():
    return open_category(SAMPLE)


@pytest.fixture(scope="module")
def parts(category):
    return masking.silhouettes(category)


@pytest.fixture(scope="module")
def entries(category):
    return masking.compare(category, masking.found_objects(category), "padim", TINY, 64, [0, 1], [None, 0, 12.5])


@pytest.fixture(scope="module")
def values(category, entries):
    return comparisons.values(category, entries)


def test_every_radius_is_there_for_every_seed(entries):
    found = [(entry.name, entry.seed) for entry in entries]
    assert found == [(name, seed) for name in ("none", "0", "12.5") for seed in (0, 1)]


def test_a_black_background_changes_what_the_detector_says(entries):
    none, masked = entries[0], entries[2]
    assert none.maps.shape == masked.maps.shape
    assert not np.allclose(none.scores, masked.scores)


def test_the_silhouette_that_is_found_is_nearly_the_true_one(category, parts):
    assert masking.silhouette_quality(category, masking.found_objects(category), parts)["min"].min() > 0.9


def test_a_detector_of_the_background_alone_has_all_its_highest_pixels_there(category, entries, parts):
    ground = [~part for part in parts]
    entry = entries[0]
    at = Entry("radius", "none", 0, entry.scores, np.stack(ground).astype(np.float32))
    table = masking.pixels(category, [at], parts)
    assert table["background"].item() == 1
    assert 0.2 < table["background_area"].item() < 0.6


def test_masking_that_changes_nothing_has_no_effect(values):
    as_it_was = values[values["entry"] == "none"].assign(method="padim")
    both = pd.concat([as_it_was, as_it_was.assign(entry="8")])
    table = masking_tables.effects(both, "method")
    assert table[["difference", "low", "high"]].to_numpy() == pytest.approx(0)


def test_effects_by_defect_are_the_differences_of_the_means_by_defect(values):
    runs = values.assign(method="padim")
    means, effects = masking_tables.by_defect(runs), masking_tables.effects_by_defect(runs)
    assert len(effects) == len(means) * 2 * 2  # radii, metrics
    assert (effects["low"] <= effects["high"]).all()
    chosen = effects[(effects["metric"] == "image AUROC") & (effects["radius"] == "0")].set_index("defect")
    for (kind, defect), row in means.iterrows():
        named = defect.replace(" ", "_")
        assert chosen["difference"][named] == pytest.approx(row["0"] - row["none"], abs=2e-3)
        assert chosen["kind"][named] == kind


def test_runs_of_all_methods_and_grounds_are_stacked_in_one_resample(values):
    runs = pd.concat([values.assign(method=method, category=ground) for method in "ab" for ground in "xyz"])
    [cells] = masking_tables.stacked(runs, *()).values()
    assert cells["", "0"].scores.shape[0] == 2 * 3 * 2  # methods, grounds, seeds


def test_a_method_with_fewer_seeds_counts_as_much_as_the_others(values):
    first = values[values["seed"] == 0]
    runs = pd.concat([values.assign(method="two seeds"), first.assign(method="one seed")])
    [together] = masking_tables.stacked(runs, *()).values()
    alone = masking_tables.stacked(runs, "method")
    for radius in ("none", "0", "12.5"):
        two, one = (
            alone[method,]["", radius].value("image_auroc", ["logical"]) for method in ("two seeds", "one seed")
        )
        assert together["", radius].value("image_auroc", ["logical"]) == pytest.approx((two + one) / 2)


def test_tables_and_figures_hold_all_radii(values, category, entries, parts, tmp_path):
    runs = values.assign(method="padim")
    pixels = masking.pixels(category, entries, parts).assign(method="padim")
    assert list(masking_tables.by_defect(runs).columns) == ["none", "0", "12.5"]
    assert list(masking.background_share(pixels).columns) == ["all", "none", "0", "12.5"]
    by_method = masking_tables.effects(runs, "method")
    assert list(by_method.columns) == ["method", "radius", "metric", "kind", "difference", "low", "high"]
    figures.differences_in_panels(by_method, "method", "radius", "less none").savefig(tmp_path / "effects.png")
    figures.radius_curves(masking_tables.curves(runs)).savefig(tmp_path / "curves.png")
    figures.maps_side_by_side(*masking.examples(category, entries)).savefig(tmp_path / "maps.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
