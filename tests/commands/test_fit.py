import json

import numpy as np
import pytest

from iadlib import results
from iadlib.commands.fit import FitSettings, fit
from iadlib.data import DataError
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
    scores = results.read_scores(result)["score"]
    assert scores.min() <= settings["thresholds"]["image"] <= scores.max()


def test_fit_prints_how_many_photographs_it_uses_and_what_the_threshold_rests_on(good_parts, tmp_path, capsys):
    fit([good_parts], "padim", tmp_path / "out", SMALL)
    printed = capsys.readouterr().out
    assert "10 of 10 files used: 8 train, 2 validation" in printed
    assert "5 of 100 good parts would be alarms; it rests on 2 validation images, so between 1 and 84" in printed


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
    from iadlib.data import load_category

    category = load_category(good_parts)
    detector = results.load_detector(result)
    images = category.images("validation", tuple(detector.image_size_))
    assert np.array_equal(detector.predict(images).scores, results.read_scores(result)["score"].to_numpy(np.float32))
