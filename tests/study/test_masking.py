import pandas as pd
import pytest

from iadlib import figures
from iadlib.metrics import differences
from iadlib.study import Study, masking


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(differences, "RESAMPLES", 40)


@pytest.fixture(scope="module")
def values(study):
    return masking.gather(study, "values")


def test_all_grounds_are_gathered_with_radii_as_text(values):
    assert set(values["category"]) == {"cloth", "mat"}
    assert list(dict.fromkeys(values["entry"])) == ["none", "0", "8"]


def test_masking_that_changes_nothing_has_no_effect(values):
    table = masking.effects(values[values["entry"].isin(["none", "8"])], "method")
    assert table[["difference", "low", "high"]].to_numpy() == pytest.approx(0)


def test_a_lift_of_logical_scores_is_an_effect_on_logical_anomalies_alone(values):
    table = masking.effects(values, "method").query("radius == '0' and metric == 'image AUROC'")
    padim = table[table["method"] == "padim"].set_index("kind")
    assert padim.loc["logical", "difference"] >= padim.loc["logical", "low"] >= 0
    assert padim.loc["structural", "difference"] == 0


def test_effects_by_defect_are_the_differences_of_the_means_by_defect(values):
    means, effects = masking.by_defect(values), masking.effects_by_defect(values)
    assert len(effects) == 2 * len(means) * 2 * 2  # detectors, defects, radii, metrics
    assert (effects["low"] <= effects["high"]).all()
    chosen = effects[(effects["metric"] == "image AUROC") & (effects["radius"] == "0")]
    for (kind, defect), row in means.iterrows():
        part = chosen[chosen["defect"] == defect.replace(" ", "_")]
        assert part["difference"].mean() == pytest.approx(row["0"] - row["none"], abs=2e-3)
        assert set(part["kind"]) == {kind}


def test_runs_of_all_detectors_and_grounds_are_stacked_in_one_resample(values):
    [cells] = masking.stacked(values).values()
    assert cells["", "0"].scores.shape[0] == 2 * 2 * 2  # detectors, grounds, seeds


def test_a_detector_with_fewer_seeds_counts_as_much_as_the_others(values):
    [together] = masking.stacked(values).values()
    alone = masking.stacked(values, "method")
    for radius in ("none", "0", "8"):
        two, one = (
            alone[method,]["", radius].value("image_auroc", ["structural"]) for method in ("patchcore", "padim")
        )
        assert together["", radius].value("image_auroc", ["structural"]) == pytest.approx((two + one) / 2)


def test_shares_of_the_background_are_means_over_the_seeds(study):
    table = masking.background_share(masking.gather(study, "pixels"))
    assert list(table.columns) == ["all", "none", "0", "8"]
    assert table.loc[("cloth", "patchcore")].tolist() == [0.5, 0.5, 0.5, 0.5]
    assert table.loc[("cloth", "padim")].tolist() == [0.5, 0.25, 0.25, 0.25]


def test_the_folders_of_one_detector_are_named_by_radius(values, tmp_path):
    for entry in ("none", "radius_0", "radius_8"):
        (tmp_path / "artifacts/quick/masking/cloth/padim" / entry / "0").mkdir(parents=True)
    found = masking.fitted(Study("quick", tmp_path), "cloth", "padim", values)
    assert list(found) == ["none", "radius_0", "radius_8"]


def test_examples_are_a_good_image_and_one_of_each_defect(values):
    assert masking.examples(values) == ["good/000", "logical/006", "structural/010"]


def test_figures_take_the_tables_as_they_are(values, tmp_path):
    figures.radius_curves(masking.curves(values)).savefig(tmp_path / "curves.png")
    effects: pd.DataFrame = masking.effects(values, "category")
    figures.differences_in_panels(effects, "category", "radius", "less none").savefig(tmp_path / "effects.png")
    assert min(path.stat().st_size for path in tmp_path.iterdir()) > 5_000
