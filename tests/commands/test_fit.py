import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from iadlib import results
from iadlib.commands.fit import FitSettings, fit
from iadlib.data import DataError, load_category
from iadlib.data import category as category_module
from tests.commands.conftest import plate

SMALL = FitSettings(image_size=64, hyperparameters={"channels": 20})


def test_a_folder_of_good_parts_is_enough(result, good_parts):
    assert {path.name for path in result.iterdir()} == {results.SETTINGS, results.STATE, results.SCORES, results.MAPS}
    scores = results.read_scores(result)
    assert set(scores["split"]) == {"validation"}
    assert set(scores["label"]) == {"good"}


def test_settings_say_how_the_detector_was_fitted_and_where_its_threshold_comes_from(result):
    settings = json.loads((result / results.SETTINGS).read_text())
    assert settings["detector"] == "padim"
    assert settings["hyperparameters"]["channels"] == 20
    assert settings["image_size"] == [64, 64]
    assert settings["thresholds"]["validation_images"] == 2
    scores = results.read_scores(result)["score"].astype(np.float32)
    assert scores.min() <= np.float32(settings["thresholds"]["image"]) <= scores.max()


def test_fit_prints_how_many_photographs_it_uses_and_what_the_threshold_rests_on(good_parts, tmp_path, capsys):
    fit([good_parts], "padim", tmp_path / "out", SMALL)
    printed = capsys.readouterr().out
    assert "10 of 10 files used: 8 train, 2 validation" in printed
    assert "of 100 good parts like these, about 33 would be alarms; it rests on 2 validation images" in printed
    assert "so between 1 and 84" in printed


def test_several_seeds_and_folders_have_a_folder_each_and_do_not_depend_on_one_another(good_parts, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for number in range(20, 26):
        plate(number).save(other / f"{number}.png")
    settings = FitSettings(image_size=64, hyperparameters={"channels": 20}, seeds=(1, 0))
    together = fit([good_parts, other], "padim", tmp_path / "together", settings)
    assert {str(path.relative_to(tmp_path / "together")) for path in together} == {
        "good/0",
        "good/1",
        "other/0",
        "other/1",
    }
    alone = FitSettings(image_size=64, hyperparameters={"channels": 20}, seeds=(1,))
    [one] = fit([other], "padim", tmp_path / "alone", alone)
    same = tmp_path / "together/other/1"
    assert (one / results.SCORES).read_bytes() == (same / results.SCORES).read_bytes()
    assert (one / results.STATE).read_bytes() == (same / results.STATE).read_bytes()
    assert (one / results.STATE).read_bytes() != (tmp_path / "together/other/0" / results.STATE).read_bytes()


def test_folders_of_one_name_are_filed_by_their_paths(good_parts, tmp_path):
    for ground in "cloth", "mat":
        shutil.copytree(good_parts, tmp_path / ground / "none")
    folders = [tmp_path / "cloth/none", tmp_path / "mat/none"]
    with pytest.raises(ValueError, match="different names"):
        fit(folders, "padim", tmp_path / "out", SMALL)
    fitted = fit(folders, "padim", tmp_path / "out", SMALL, below=tmp_path)
    assert fitted == [tmp_path / "out/cloth/none", tmp_path / "out/mat/none"]
    with pytest.raises(ValueError, match=r"--below .*mat: .*name a folder that all folders of data are in"):
        fit(folders, "padim", tmp_path / "other", SMALL, below=tmp_path / "mat")


def test_wrong_settings_are_refused_before_a_photograph_is_read(tmp_path):
    (tmp_path / "data").mkdir()  # empty: reading it would be another error
    with pytest.raises(ValueError, match="false_positive_rate 5: a share"):
        FitSettings(false_positive_rate=5)
    with pytest.raises(ValueError, match="chanels"):
        fit([tmp_path / "data"], "padim", tmp_path / "out", FitSettings(hyperparameters={"chanels": 20}))
    with pytest.raises(ValueError, match="no detector 'padm'"):
        fit([tmp_path / "data"], "padm", tmp_path / "out")


def test_nothing_is_overwritten_and_a_failed_fit_leaves_nothing(good_parts, result, tmp_path):
    before = (result / results.SCORES).read_bytes()
    with pytest.raises(FileExistsError, match="exists"):
        fit([good_parts], "padim", result, SMALL)
    assert (result / results.SCORES).read_bytes() == before
    (tmp_path / "broken").mkdir()
    for number in range(3):
        plate(number).save(tmp_path / f"broken/{number}.png")
    (tmp_path / "broken/2.png").write_bytes((tmp_path / "broken/2.png").read_bytes()[:300])
    with pytest.raises(DataError, match=r"2\.png"):
        fit([tmp_path / "broken"], "padim", tmp_path / "out", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_a_loaded_detector_predicts_what_the_fitted_one_has_predicted(result, good_parts):
    category = load_category(good_parts)
    detector = results.load_detector(result)
    images = category.images("validation", tuple(detector.image_size_))
    assert np.array_equal(detector.predict(images).scores, results.read_scores(result)["score"].to_numpy(np.float32))


def test_two_photographs_are_too_few_for_covariances_and_that_is_said_before_the_fit(tmp_path):
    (tmp_path / "two").mkdir()
    for number in range(2):
        plate(number).save(tmp_path / f"two/{number}.png")
    with pytest.raises(DataError, match="2 photographs of good parts; PaDiM needs 3 or more"):
        fit([tmp_path / "two"], "padim", tmp_path / "out", SMALL)


def test_test_images_are_read_in_batches_and_scored_as_all_together(tmp_path, monkeypatch):
    sample = Path(__file__).parents[1] / "sample/flat_connector"
    read, load = [], category_module.load_images
    monkeypatch.setattr(
        category_module, "load_images", lambda paths, *rest: read.append(len(paths)) or load(paths, *rest)
    )
    settings = FitSettings(image_size=32, hyperparameters={"channels": 10, "batch_size": 3, "layers": (3,)})
    [one] = fit([sample], "padim", tmp_path / "out", settings)
    category = load_category(sample)
    train, validation, *batches = read
    assert [train, validation] == [len(category.of("train")), len(category.of("validation"))]
    assert max(batches) == 3
    together = results.load_detector(one).predict(
        category.images("test", tuple(results.read_settings(one)["image_size"]))
    )
    scores = results.read_scores(one).query("split == 'test'")
    np.testing.assert_allclose(scores["score"], together.scores, rtol=1e-5)
    maps = results.read_maps(one)
    np.testing.assert_allclose([maps[name] for name in scores["name"]], together.maps, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": {"pixel": 1.0}}, "thresholds is a finite number `image`"),
        ({"thresholds": {"image": "0.5", "pixel": 1.0}}, "thresholds is a finite number"),
        ({"map_range": [0.0]}, "map_range is two finite numbers"),
        ({"bits": 9}, "bits is one of"),
    ],
)
def test_settings_with_a_wrong_value_are_refused_by_name(result, tmp_path, change, message):
    settings = results.read_settings(result) | change
    (tmp_path / results.SETTINGS).write_text(json.dumps(settings))
    with pytest.raises(DataError, match=message):
        results.read_settings(tmp_path)
