"""What `judge` computes from the files of fitted detectors, here written by hand, on a small rendered category."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iadlib.commands.judge import judge, judge_runs
from iadlib.data import DataError, load_category
from iadlib.metrics import au_spro, image_auroc, pixel_auroc, resize_maps
from iadlib.metrics.values import long

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"
THRESHOLDS = {"image": 0.5, "pixel": 0.5, "validation_images": 4}


@pytest.fixture(scope="module")
def category():
    return load_category(SAMPLE)


def write_fit(folder: Path, category, detector: str = "padim", seed: int = 0) -> None:
    """Random scores and maps, anomalous images a little higher."""
    rng = np.random.default_rng([seed, *detector.encode(), *folder.parent.name.encode()])
    settings = {"detector": detector, "hyperparameters": {"seed": seed}, "image_size": [16, 24], "bits": 8}
    folder.mkdir(parents=True)
    (folder / "detector.safetensors").touch()
    (folder / "settings.json").write_text(json.dumps(settings | {"thresholds": THRESHOLDS, "map_range": [0.0, 1.0]}))
    tables = [category.of(split)[["split", "name", "label", "defect"]] for split in ("validation", "test")]
    table = pd.concat(tables, ignore_index=True)
    table["score"] = (rng.random(len(table)) + (table["label"] != "good") * 0.3).astype(np.float32)
    table.assign(anomalous=table["score"] > 0.5).to_csv(folder / "scores.csv", index=False)
    np.savez(folder / "maps.npz", **{name: rng.random((16, 24), np.float32) for name in category.of("test")["name"]})


@pytest.fixture
def fits(category, tmp_path) -> Path:
    for detector in ("simplenet", "patchcore"):
        for seed in (0, 1):
            write_fit(tmp_path / f"fits/{detector}/{seed}", category, detector, seed)
    return tmp_path / "fits"


def test_a_detector_without_maps_is_judged_by_image_metrics_only(category, fits, tmp_path, capsys):
    for seed in (0, 1):
        (fits / f"simplenet/{seed}/maps.npz").unlink()
        path = fits / f"simplenet/{seed}/settings.json"
        settings = json.loads(path.read_text()) | {"map_range": None, "thresholds": {"image": 0.5}}
        path.write_text(json.dumps(settings))
    values = judge(SAMPLE, fits, tmp_path / "out").set_index("entry")
    assert "simplenet: no maps, judged by image metrics only" in capsys.readouterr().out
    report = json.loads((tmp_path / "out/simplenet/metrics.json").read_text())["mean"]
    assert {name.partition(".")[0] for name in report} == {"image_auroc", "image_aupr", "at_image_threshold"}
    assert values.loc["simplenet", "au_spro"].isna().all()
    assert values.loc["patchcore", "au_spro"].notna().any()


def test_missing_maps_of_a_detector_that_gives_maps_raise(fits, tmp_path):
    (fits / "simplenet/0/maps.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"maps\.npz"):
        judge(SAMPLE, fits, tmp_path / "out")


def test_every_detector_gets_metrics_that_are_those_of_its_scores_and_maps(category, fits, tmp_path):
    judge(SAMPLE, fits, tmp_path / "out")
    report = json.loads((tmp_path / "out/patchcore/metrics.json").read_text())
    assert list(report) == ["mean", "std", "interval", "seeds"]
    scores = pd.read_csv(fits / "patchcore/1/scores.csv").query("split == 'test' and label != 'structural'")
    found = report["seeds"]["1"]
    assert found["image_auroc.logical"] == pytest.approx(image_auroc(scores["score"], scores["label"] == "logical"))
    with np.load(fits / "patchcore/1/maps.npz") as arrays:
        maps = resize_maps([arrays[name] for name in category.of("test")["name"]], category.sizes("test"))
    regions = [category.regions(i) for i in range(len(maps))]
    assert found["pixel_auroc.overall"] == pytest.approx(pixel_auroc(maps, regions))
    chosen = np.flatnonzero(category.of("test")["label"] != "logical")
    expected = au_spro([maps[i] for i in chosen], [regions[i] for i in chosen])
    assert found["au_spro_0.05.structural"] == pytest.approx(expected)
    assert found["at_image_threshold.threshold"] == 0.5
    assert report["mean"]["image_auroc.mean"] == pytest.approx(
        np.mean([report["seeds"][seed]["image_auroc.mean"] for seed in "01"])
    )


def test_tables_have_a_row_for_every_detector_seed_and_image_in_the_order_of_the_detectors(category, fits, tmp_path):
    judge(SAMPLE, fits, tmp_path / "out")
    values = long(pd.read_csv(tmp_path / "out/values.csv"))
    assert list(values) == [
        *("category", "group", "entry", "seed", "name", "label", "defect", "score", "au_spro", "regions")
    ]
    assert list(dict.fromkeys(zip(values["entry"], values["seed"], strict=True))) == [
        *(("patchcore", 0), ("patchcore", 1), ("simplenet", 0), ("simplenet", 1))
    ]
    assert len(values) == 4 * len(category.of("test"))
    assert values.loc[values["label"] != "good", "au_spro"].between(0, 1).all()
    scores = pd.read_csv(tmp_path / "out/scores.csv")
    assert list(scores) == ["detector", "seed", "split", "name", "label", "score"]
    assert len(scores) == 4 * (len(category.of("test")) + len(category.of("validation")))


def test_the_folder_of_one_detector_is_judged_too(category, fits, tmp_path):
    judge(SAMPLE, fits / "simplenet/1", tmp_path / "out")
    report = json.loads((tmp_path / "out/simplenet/metrics.json").read_text())
    assert report == judge_runs(category, [fits / "simplenet/1"])
    assert set(report["std"].values()) == {None}


def test_radii_are_entries_in_rising_order_and_the_background_is_what_the_renderer_knows(category, tmp_path):
    for name in ("none", "radius_16", "radius_8"):
        for ground in (category.name, "another"):
            write_fit(tmp_path / f"fits/padim/{ground}/{name}/0", category)
    corner = np.zeros((16, 24), np.float32)
    corner[:2, :2] = 9  # where no part is
    np.savez(
        tmp_path / f"fits/padim/{category.name}/none/0/maps.npz", **dict.fromkeys(category.of("test")["name"], corner)
    )
    judge(SAMPLE, tmp_path / "fits", tmp_path / "out", masked=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"values.csv", "pixels.csv", "silhouettes.csv"}
    values, pixels, overlaps = (
        pd.read_csv(tmp_path / f"out/{name}.csv", dtype={"entry": str}) for name in ("values", "pixels", "silhouettes")
    )
    assert list(dict.fromkeys(values["entry"])) == list(pixels["entry"]) == ["none", "8", "16"]
    assert set(values["detector"]) == {"padim"}
    assert pixels["background"][0] == 1
    assert pixels["background"][1:].max() < 0.9
    assert pixels["background_area"].nunique() == 1
    assert overlaps["overlap"].min() > 0.5


def test_folders_that_are_no_radii_are_an_error(fits, tmp_path):
    with pytest.raises(DataError, match="DETECTOR/flat_connector/none/SEED"):
        judge(SAMPLE, fits, tmp_path / "out", masked=True)
    assert not (tmp_path / "out").exists()


def test_a_map_with_nan_is_an_error_that_names_file_and_image(category, fits, tmp_path):
    path = fits / "patchcore/0/maps.npz"
    with np.load(path) as arrays:
        maps = dict(arrays)
    name = category.of("test")["name"][3]
    maps[name][2, 2] = np.nan
    np.savez(path, **maps)
    with pytest.raises(DataError, match=rf"patchcore/0/maps\.npz: the map of {name} holds NaN"):
        judge(SAMPLE, fits, tmp_path / "out")


def test_scores_of_another_category_are_an_error(fits, tmp_path):
    path = fits / "patchcore/0/scores.csv"
    path.write_text(path.read_text().replace("good/000", "good/999"))
    with pytest.raises(DataError, match="patchcore/0: scores of"):
        judge(SAMPLE, fits, tmp_path / "out")


def test_test_images_that_are_all_good_have_no_area_but_a_false_positive_rate(tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "data", ignore=shutil.ignore_patterns("*_anomalies"))
    category = load_category(tmp_path / "data")
    write_fit(tmp_path / "fits", category)
    judge(tmp_path / "data", tmp_path / "fits", tmp_path / "out")
    mean = json.loads((tmp_path / "out/padim/metrics.json").read_text())["mean"]
    assert mean["image_auroc.mean"] is None
    assert 0 < mean["at_image_threshold.false_positive_rate"] < 1
    assert long(pd.read_csv(tmp_path / "out/values.csv"))["au_spro"].isna().all()


@pytest.mark.parametrize("masked", [False, True])
def test_a_category_without_test_images_has_tables_without_test_images(tmp_path, masked):
    shutil.copytree(SAMPLE, tmp_path / "data", ignore=shutil.ignore_patterns("test", "ground_truth", "scenes"))
    for seed in (0, 1):
        write_fit(tmp_path / f"fits/padim/data/none/{seed}", load_category(tmp_path / "data"), seed=seed)
    values = judge(tmp_path / "data", tmp_path / "fits", tmp_path / "out", masked)
    assert values.empty
    assert {"entry", "seed", "name", "score"} <= set(pd.read_csv(tmp_path / "out/values.csv"))
    if masked:
        assert pd.read_csv(tmp_path / "out/pixels.csv")["pixel_auroc"].isna().all()
    else:
        assert set(pd.read_csv(tmp_path / "out/scores.csv")["split"]) == {"validation"}
        report = json.loads((tmp_path / "out/padim/data/none/metrics.json").read_text())
        assert report["mean"]["image_auroc.mean"] is None


def test_defective_images_without_masks_count_for_image_metrics_only(tmp_path, capsys):
    shutil.copytree(SAMPLE, tmp_path / "data", ignore=shutil.ignore_patterns("ground_truth", "defects_config.json"))
    category = load_category(tmp_path / "data")
    assert not category.of("test")["has_mask"].any()
    write_fit(tmp_path / "fits", category)
    judge(tmp_path / "data", tmp_path / "fits", tmp_path / "out")
    mean = json.loads((tmp_path / "out/padim/metrics.json").read_text())["mean"]
    assert 0 < mean["image_auroc.logical"] <= 1
    assert "pixel_auroc.overall" not in mean
    assert "have no mask" in capsys.readouterr().out


def test_an_existing_folder_is_never_overwritten(fits, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError):
        judge(SAMPLE, fits, tmp_path / "out")
