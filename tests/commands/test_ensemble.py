"""What `ensemble` makes of two small detectors that `fit` has saved, on a small rendered category."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iadlib import parallel, results
from iadlib.commands.ensemble import EnsembleSettings, common_size, ensemble, folders_by_seed
from iadlib.commands.fit import FitSettings, fit
from iadlib.data import DataError, load_category
from iadlib.ensemble import FeatureEnsemble
from iadlib.metrics import image_auroc
from iadlib.metrics.entries import TABLES
from iadlib.metrics.values import long

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"
FITS = {
    "patchcore": {"coreset_fraction": 0.05, "layers": (2, 3)},
    "padim": {"channels": 10, "layers": (2, 3)},
}
SETTINGS = {
    "cuts": {"patchcore": "difference", "padim": "deviation"},
    "members": ("patchcore", "padim"),
    "hyperparameters": {"steps": 8, "hidden_channels": 8},
    "designs": {
        "equal": {"weights": "equal"},
        "map": {"weights": "equal", "image_score": "map"},
        "alone": {"members": ["patchcore"]},
    },
    "backbones": {"patchcore": {"tf_efficientnet_lite0": {"coreset_fraction": 0.02}}},
    "ablation_seeds": (0,),
}


def fit_all(folder: Path, image_size: int = 48, seeds: tuple[int, ...] = (0, 1)) -> Path:
    for name, hyperparameters in FITS.items():
        settings = FitSettings(image_size=image_size, hyperparameters=hyperparameters, seeds=seeds)
        fit([SAMPLE], name, folder / name, settings)
    return folder


@pytest.fixture(scope="module")
def members(tmp_path_factory) -> Path:
    return fit_all(tmp_path_factory.mktemp("fits"))


@pytest.fixture(scope="module")
def computed(members, tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    """The folder of both outputs, and the values that the command returned."""
    folder = tmp_path_factory.mktemp("ensembles")
    return folder, ensemble(SAMPLE, members, EnsembleSettings(**SETTINGS), folder / "out", folder / "report")


@pytest.fixture(scope="module")
def made(computed) -> Path:
    return computed[0]


@pytest.fixture(scope="module")
def values(made) -> pd.DataFrame:
    return long(pd.read_csv(made / "report/values.csv", dtype={"name": str}))


def test_every_entry_has_a_value_of_every_test_image_for_its_seeds(values):
    count = len(load_category(SAMPLE).of("test"))
    rows = values.groupby(["group", "entry"], sort=False)["name"].count() / count
    both_seeds = {
        ("member", "patchcore"),
        ("member", "padim"),
        ("output", "mean"),
        ("output", "weighted mean"),
        ("output", "soft maximum"),
        ("output", "maximum"),
        ("output", "vote"),
        ("backbones", "patchcore over 2 backbones"),
        ("labelled", "stacking"),
        ("labelled", "CAWPE"),
        ("feature", "feature ensemble"),
        ("feature", "features alone"),
        ("feature", "thesis design"),
    }
    first_seed = {
        ("design", "equal"),
        ("design", "map"),
        ("design", "alone"),
        ("pair", "patchcore + padim: features"),
        ("pair", "patchcore + padim: outputs"),
    }
    assert rows.to_dict() == dict.fromkeys(both_seeds, 2) | dict.fromkeys(first_seed, 1)
    assert values["score"].notna().all()
    anomalous = values[(values["label"] != "good") & (values["group"] != "labelled")]
    assert anomalous["au_spro"].between(0, 1).all()


def test_a_members_scores_are_those_that_fit_has_saved(values, members):
    saved = results.read_scores(members / "padim/1").query("split == 'test'").set_index("name")["score"]
    found = values.query("entry == 'padim' and seed == 1").set_index("name")["score"]
    pd.testing.assert_series_equal(found, saved[found.index], rtol=1e-5)


def test_designs_that_share_a_training_differ_in_their_scoring_only(values):
    first = values[values["seed"] == 0].set_index("name")
    entries = "feature ensemble", "features alone", "equal", "map"
    feature, alone, equal, other = (first[first["entry"] == entry] for entry in entries)
    assert not np.allclose(feature["score"], alone["score"])
    assert not np.allclose(feature["score"], equal["score"])
    assert not np.allclose(equal["score"], other["score"])
    pd.testing.assert_series_equal(equal["au_spro"], other["au_spro"])  # the maps are the same
    pair = first[first["entry"] == "patchcore + padim: features"]
    pd.testing.assert_series_equal(pair["score"], feature["score"])


def test_validation_scores_are_there_for_the_ensembles_that_are_calibrated(made, values):
    scores = pd.read_csv(made / "report/scores.csv", dtype={"name": str})
    assert list(scores.columns) == ["entry", "seed", "split", "name", "label", "score"]
    category = load_category(SAMPLE)
    count = len(category.of("validation")) + len(category.of("test"))
    assert scores.groupby(["entry", "seed"]).size().to_dict() == {
        (entry, seed): count for entry in ("mean", "feature ensemble") for seed in (0, 1)
    }
    means = scores.query("split == 'validation'").groupby(["entry", "seed"])["score"].mean()
    assert abs(means["mean"]).max() < 1e-3  # members are standardised on these images
    assert means["feature ensemble"].between(-1e-3, 1).all()  # and a soft maximum is the mean or more


def test_the_fitted_ensemble_predicts_the_maps_and_scores_in_the_files(made, values):
    folder = made / "out/feature_ensemble"
    settings = json.loads((folder / "settings.json").read_text())
    fitted = FeatureEnsemble(**settings["hyperparameters"]).load(folder / results.STATE)
    category = load_category(SAMPLE)
    prediction = fitted.predict(category.images("test", tuple(settings["image_size"])))
    saved = results.read_maps(folder)
    np.testing.assert_allclose(prediction.maps, [saved[name] for name in category.of("test")["name"]], atol=1e-4)
    found = values.query("entry == 'feature ensemble' and seed == 0")["score"]
    np.testing.assert_allclose(prediction.scores, found, rtol=1e-4, atol=1e-4)


def test_maps_of_members_and_ensembles_are_kept_for_the_first_seed(made):
    names = set(load_category(SAMPLE).of("test")["name"])
    assert {path.name for path in (made / "out").iterdir()} == {"patchcore", "padim", "mean", "feature_ensemble"}
    assert all(set(results.read_maps(folder)) == names for folder in (made / "out").iterdir())


def test_curves_and_variances_are_those_of_the_first_seed(made):
    curves = pd.read_csv(made / "report/curves.csv")
    assert curves.groupby("name")["step"].max().to_dict() == {"feature ensemble": 8, "thesis design": 8}
    assert curves[["loss", "artificial anomalies", "test images"]].notna().all(axis=None)
    variances = pd.read_csv(made / "report/variances.csv")
    for _, table in variances.groupby("member"):
        assert table["cumulative"].is_monotonic_increasing
        assert table["cumulative"].iloc[-1] == pytest.approx(1)
        assert table["kept"].is_monotonic_decreasing
    assert variances.groupby("member")["kept"].sum().to_dict() == {"patchcore": 76, "padim": 10}  # of 152 and 10


def test_pixel_aurocs_are_of_every_entry_with_maps(made, values):
    pixels = pd.read_csv(made / "report/pixel_auroc.csv")
    assert len(pixels) == len(values.query("group != 'labelled'").groupby(["entry", "seed"]))
    assert pixels["pixel_auroc"].between(0, 1).all()


def test_no_bit_depends_on_the_number_of_cores(computed, members, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 1)
    settings = EnsembleSettings(**SETTINGS | {"backbones": {}, "designs": {}})
    alone = ensemble(SAMPLE, members, settings, tmp_path / "out", tmp_path / "report")
    entries = ["padim", "mean", "feature ensemble", "thesis design"]
    found, expected = (each[each["entry"].isin(entries)].reset_index(drop=True) for each in (alone, computed[1]))
    assert found["seed"].nunique() == 2
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_ensembles_find_defects_of_the_sample(values):
    feature = values.query("entry == 'feature ensemble' and seed == 0 and label != 'logical'")
    assert image_auroc(feature["score"], feature["label"] == "structural") > 0.5


def test_members_of_different_image_sizes_raise_one_error(members, tmp_path):
    (tmp_path / "patchcore").symlink_to(members / "patchcore")
    fit([SAMPLE], "padim", tmp_path / "padim", FitSettings(image_size=80, hyperparameters=FITS["padim"], seeds=(0, 1)))
    settings = EnsembleSettings(**SETTINGS)
    with pytest.raises(DataError, match=r"one image size.*patchcore .* padim "):
        common_size(folders_by_seed(tmp_path, settings))


def test_a_missing_member_or_seed_raises_one_error(members, tmp_path):
    with pytest.raises(DataError, match="no fitted patchcore"):
        folders_by_seed(tmp_path, EnsembleSettings(**SETTINGS))
    with pytest.raises(DataError, match=r"ablation_seeds \[7\]"):
        folders_by_seed(members, EnsembleSettings(**SETTINGS | {"ablation_seeds": (0, 7)}))


def test_existing_folders_are_refused_before_the_work(members, tmp_path):
    (tmp_path / "report").mkdir()
    with pytest.raises(FileExistsError, match="report"):
        ensemble(SAMPLE, members, EnsembleSettings(**SETTINGS), tmp_path / "out", tmp_path / "report")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": ()}, "members"),
        ({"members": ("simplenet",)}, "'simplenet' has no cut"),
        ({"backbones": {"simplenet": {}}}, "'simplenet' has no cut"),
        ({"cuts": {"patchcore": "depth", "padim": "deviation"}}, "no cut 'depth'"),
        ({"hyperparameters": {"stepps": 3}}, "stepps"),
        ({"designs": {"odd": {"transform": "local"}}}, "transform"),
        ({"designs": {"odd": {"members": ["simplenet"]}}}, "odd: members: 'simplenet'"),
    ],
)
def test_a_wrong_setting_raises_before_anything_is_read(changes, message):
    with pytest.raises(ValueError, match=message):
        EnsembleSettings(**SETTINGS | changes)


@pytest.mark.parametrize("left_out", [("*_anomalies",), ("test", "ground_truth", "scenes")])
def test_a_category_without_both_kinds_of_test_images_gets_tables_without_rows(members, tmp_path, left_out, capsys):
    shutil.copytree(SAMPLE, tmp_path / "some", ignore=shutil.ignore_patterns(*left_out))
    values = ensemble(tmp_path / "some", members, EnsembleSettings(**SETTINGS), tmp_path / "out", tmp_path / "report")
    assert values.empty
    assert "some has no ensembles" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["README.md"]
    tables = {path.stem: pd.read_csv(path) for path in (tmp_path / "report").iterdir()}
    assert {name: list(table) for name, table in tables.items()} == TABLES


def test_the_columns_of_empty_tables_are_those_of_full_ones(made):
    assert {path.stem: list(long(pd.read_csv(path))) for path in (made / "report").iterdir()} == TABLES


def test_members_fitted_to_other_images_raise_one_error(members, tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "fewer")
    (tmp_path / "fewer/test/good/000.jpg").unlink()
    with pytest.raises(DataError, match="other test images"):
        ensemble(tmp_path / "fewer", members, EnsembleSettings(**SETTINGS), tmp_path / "out", tmp_path / "report")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "report").exists()
