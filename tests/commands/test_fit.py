import json
import os
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
    highest = results.read_scores(result)["score"].max()
    assert settings["thresholds"]["image"] > highest  # by more than rounding, so that the image is no alarm tomorrow
    assert settings["thresholds"]["image"] == pytest.approx(highest, rel=2e-5)


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
    with pytest.raises(ValueError, match=r"no detector 'padm'.*set_features \(SINBAD\)"):
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


def test_a_bad_test_image_or_mask_is_refused_before_any_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("iadlib.commands.fit.fit_one", lambda *_: pytest.fail("fitted"))
    for number in range(6):
        for folder in ("train/good", "test/good", "test/scratch"):
            (tmp_path / "category" / folder).mkdir(parents=True, exist_ok=True)
            plate(number).save(tmp_path / "category" / folder / f"{number}.png")
    bad = tmp_path / "category/test/scratch/3.png"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(DataError, match=r"scratch/3\.png: not readable"):
        fit([tmp_path / "category"], "padim", tmp_path / "out", SMALL)


def test_seeds_are_not_hyperparameters_and_not_negative():
    with pytest.raises(ValueError, match="give `seeds`"):
        FitSettings(hyperparameters={"seed": 3})
    with pytest.raises(ValueError, match="0 or more"):
        FitSettings(seeds=(-1,))


def test_results_are_filed_below_out_only(good_parts, tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    shutil.copytree(good_parts, tmp_path / "photographs")
    with pytest.raises(ValueError, match="name a folder that all folders of data are in"):
        fit(["../photographs"], "padim", "out", SMALL, below=".")
    fit(["../photographs"], "padim", "out", SMALL, below="..")
    assert results.find("out") == [Path("out/photographs")]


def test_good_parts_are_no_known_defects(good_parts, tmp_path):
    (tmp_path / "test/good").mkdir(parents=True)
    plate(50).save(tmp_path / "test/good/0.png")
    with pytest.raises(DataError, match=r"0\.png: given as a defect, but its folder is one of good parts"):
        fit([good_parts], "padim", tmp_path / "out", SMALL, defects=tmp_path / "test")


def test_copies_among_known_defects_are_refused_or_warned_of(good_parts, tmp_path, capsys):
    (tmp_path / "defects").mkdir()
    for name in ("0.png", "again.png"):
        plate(50).save(tmp_path / "defects" / name)
    plate(51).save(tmp_path / "defects/1.png")
    fit([good_parts], "padim", tmp_path / "out", SMALL, defects=tmp_path / "defects")
    assert "again.png: a copy of " in capsys.readouterr().err
    good = next(iter(load_category(good_parts).of("train")["image"]))
    shutil.copy(good, tmp_path / "defects/good.png")
    with pytest.raises(DataError, match=r"good\.png: given as a defect, but it is the good part .*, or a copy of it"):
        fit([good_parts], "padim", tmp_path / "other", SMALL, defects=tmp_path / "defects")


def test_known_defects_of_the_shape_of_the_good_parts_are_not_warned_of(tmp_path, capsys):
    for number in range(8):
        folder = tmp_path / ("good_parts" if number < 5 else "defects")
        folder.mkdir(exist_ok=True)
        plate(number).resize((40, 100)).save(folder / f"{number}.png")
    square = FitSettings(image_size=(64, 64), hyperparameters={"channels": 20})
    fit([tmp_path / "good_parts"], "padim", tmp_path / "out", square, defects=tmp_path / "defects")
    assert "another shape" not in capsys.readouterr().err


def test_known_defects_of_another_shape_are_warned_of(good_parts, tmp_path, capsys):
    (tmp_path / "defects").mkdir()
    for number in range(3):
        plate(number).resize((40, 100)).save(tmp_path / f"defects/{number}.png")
    fit([good_parts], "padim", tmp_path / "out", SMALL, defects=tmp_path / "defects")
    assert "warning: photographs have another shape than those of the fit, " in capsys.readouterr().err


def test_links_back_are_not_followed(result, tmp_path):
    copy = Path(shutil.copytree(result, tmp_path / "result"))
    (copy / "self").symlink_to(".")
    assert results.find(tmp_path) == [copy]


def test_wrong_settings_of_a_fitted_detector_name_their_file(result, tmp_path):
    copy = Path(shutil.copytree(result, tmp_path / "result"))
    path = copy / results.SETTINGS
    path.write_text(path.read_text().replace('"regularisation"', '"bogus"'))
    with pytest.raises(DataError, match=r"settings\.json: padim: PaDiM has no setting 'bogus'"):
        results.load_detector(copy)
    (copy / results.SCORES).unlink()
    with pytest.raises(DataError, match=r"scores\.csv: not the scores of a fitted detector"):
        results.read_scores(copy)


def test_names_that_are_no_valid_text_are_kept(tmp_path):
    for number in range(6):
        (tmp_path / "category/train/good").mkdir(parents=True, exist_ok=True)
        plate(number).save(tmp_path / f"category/train/good/{number}.png")
    (tmp_path / "category/test/good").mkdir(parents=True)
    odd = os.fsencode(tmp_path / "category/test/good") + b"/part\xff.png"
    with open(odd, "wb") as file:  # noqa: PTH123
        plate(7).save(file, "PNG")
    [made] = fit([tmp_path / "category"], "padim", tmp_path / "out", SMALL)
    [name] = results.read_scores(made).query("split == 'test'")["name"]
    assert os.fsencode(name) == b"good/part\xff"
    assert results.read_maps(made, [name])[name].shape == results.read_maps(made)["good/part\\udcff"].shape
