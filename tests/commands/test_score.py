import os
import unicodedata

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from iadlib import results
from iadlib.__main__ import main
from iadlib.calibration import BoundedSigmoid
from iadlib.commands.fit import FitSettings, fit
from iadlib.commands.score import Scorer, picture_name, score
from iadlib.commands.watch import watch
from iadlib.data import DataError
from iadlib.types import Prediction
from tests.commands.conftest import plate


@pytest.fixture
def arrivals(tmp_path):
    """Five photographs, one of them defective and one of another size, in two folders."""
    folder = tmp_path / "new"
    (folder / "day 2").mkdir(parents=True)
    for number in range(3):
        plate(40 + number).save(folder / f"{number}.png")
    plate(50, defective=True).save(folder / "day 2/bad.png")
    plate(51, size=(128, 192)).save(folder / "day 2/large.jpg")
    return folder


def test_the_table_lists_every_photograph_with_the_defective_one_first(result, arrivals, tmp_path):
    table, errors = score(result, [arrivals], tmp_path / "out")
    assert errors == []
    assert table["file"].iloc[0] == "day 2/bad.png"
    assert set(table["file"]) == {"0.png", "1.png", "2.png", "day 2/bad.png", "day 2/large.jpg"}
    assert table["score"].is_monotonic_decreasing
    threshold = results.read_settings(result)["thresholds"]["image"]
    assert list(table["anomalous"]) == list(table["score"] > threshold)
    assert table["anomalous"].iloc[0]
    written = pd.read_csv(tmp_path / "out/scores.csv")
    assert np.array_equal(written["score"].to_numpy(np.float32), table["score"].to_numpy(np.float32))


@pytest.mark.parametrize(
    ("name", "changes", "lower"),
    [
        # A plate of another size, resized, has other noise: with five validation images, SINBAD puts it far up.
        ("feature_ensemble", {"steps": 10, "heads": 1}, ["0.png", "1.png", "2.png"]),
        ("output_ensemble", {}, ["0.png", "1.png", "2.png", "day 2/large.jpg"]),
    ],
)
def test_an_ensemble_is_fitted_and_scores_like_a_detector(name, changes, lower, arrivals, tmp_path):
    good = tmp_path / "good"
    good.mkdir()
    for number in range(25):
        plate(number).save(good / f"{number}.png")
    fit([good], name, tmp_path / "result", FitSettings(image_size=96, hyperparameters=changes))
    assert results.read_settings(tmp_path / "result")["detector"] == name
    table, errors = score(tmp_path / "result", [arrivals], tmp_path / "out")
    assert errors == []
    scores = table.set_index("file")["score"]
    assert scores["day 2/bad.png"] > scores[lower].max()


def test_every_photograph_has_a_heat_map(result, arrivals, tmp_path):
    score(result, [arrivals], tmp_path / "out")
    pictures = {path.relative_to(tmp_path / "out/maps").as_posix() for path in (tmp_path / "out/maps").rglob("*.jpg")}
    assert pictures == {"0.png.jpg", "1.png.jpg", "2.png.jpg", "day 2/bad.png.jpg", "day 2/large.jpg.jpg"}


def test_a_score_does_not_depend_on_the_photographs_beside_it(result, arrivals, tmp_path):
    together, _ = score(result, [arrivals], tmp_path / "together", pictures=False)
    alone, _ = score(result, [arrivals / "1.png"], tmp_path / "alone", pictures=False)
    assert alone["score"].item() == pytest.approx(together.set_index("file")["score"]["1.png"], rel=1e-5)


def test_patterns_and_files_are_photographs_too(result, arrivals, tmp_path):
    table, _ = score(result, [str(arrivals / "[01].png"), arrivals / "day 2/bad.png"], tmp_path / "out", pictures=False)
    assert set(table["file"]) == {"0.png", "1.png", "day 2/bad.png"}


def test_a_bad_file_is_named_and_the_rest_is_scored(result, arrivals, tmp_path, capsys):
    (arrivals / "1.png").write_bytes(b"not an image")
    with pytest.raises(SystemExit) as ended:
        main(["score", str(result), str(arrivals), "--out", str(tmp_path / "out"), "--no-pictures"])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert "1.png" in printed.err
    assert len(pd.read_csv(tmp_path / "out/scores.csv")) == 4


def test_without_a_readable_photograph_nothing_is_written(result, arrivals, tmp_path):
    (arrivals / "1.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"1\.png"):
        score(result, [arrivals / "1.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_alarms_are_no_error(result, arrivals, tmp_path, capsys):
    main(["score", str(result), str(arrivals / "day 2/bad.png"), "--out", str(tmp_path / "out"), "--no-pictures"])
    assert "anomalous photographs: 1 of 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["lot$7_$3.png", "50 % 'off' \"x\".png", unicodedata.normalize("NFD", "prüf.png"), "a" * 251 + ".png"]
)
def test_odd_names_are_kept(result, tmp_path, name):
    (tmp_path / "odd").mkdir()
    plate(60).save(tmp_path / "odd" / name)
    score(result, [tmp_path / "odd"], tmp_path / "out")
    assert pd.read_csv(tmp_path / "out/scores.csv")["file"].tolist() == [name]
    assert len(list((tmp_path / "out/maps").iterdir())) == 1


def test_a_picture_s_name_fits_the_file_system_and_differs_between_long_names():
    long = ["é" * 124 + ending for ending in ("1.png", "2.png")]
    names = [picture_name(name) for name in long]
    assert names[0] != names[1]
    assert all(len(os.fsencode(name)) <= 255 for name in names)


def test_a_name_that_is_no_valid_text_is_kept_and_printed(result, tmp_path, capsys):
    (tmp_path / "odd").mkdir()
    plate(60).save(tmp_path / "plain.png")
    try:
        (tmp_path / "plain.png").rename(tmp_path / "odd" / os.fsdecode(b"pr\xfcf.png"))
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    main(["score", str(result), str(tmp_path / "odd"), "--out", str(tmp_path / "out")])
    assert b"pr\xfcf.png," in (tmp_path / "out/scores.csv").read_bytes()
    assert r"pr\udcfcf.png" in capsys.readouterr().out
    assert len(list((tmp_path / "out/maps").iterdir())) == 1


def test_a_score_that_is_not_finite_is_an_error_and_never_a_good_part(result, arrivals, tmp_path, monkeypatch):
    def predict(images):
        maps = np.ones((len(images), *images.shape[-2:]), np.float32)
        return Prediction(np.array([np.nan, *range(len(images) - 1)], np.float32), maps)

    scorer = Scorer(result)
    monkeypatch.setattr(scorer.detector, "predict", predict, raising=False)
    files = [arrivals / "0.png", arrivals / "1.png"]
    first, second = scorer.score(files)
    assert isinstance(first, DataError)
    assert "0.png: its score is nan" in str(first)
    assert second.score == 0


def test_a_photograph_that_disappears_after_it_was_scored_stays_in_the_table(result, arrivals, tmp_path, monkeypatch):
    scored = Scorer.score

    def score_and_remove(self, files):
        outcomes = list(scored(self, files))
        (arrivals / "1.png").unlink()
        return iter(outcomes)

    monkeypatch.setattr(Scorer, "score", score_and_remove)
    table, errors = score(result, [arrivals], tmp_path / "out")
    assert len(table) == 5
    assert len(list((tmp_path / "out/maps").rglob("*.jpg"))) == 4
    [error] = errors
    assert "1.png" in error


def test_a_grey_photograph_of_16_bit_is_scored_like_its_copy_of_8_bit(good_parts, tmp_path):
    settings = FitSettings(image_size=64, hyperparameters={"channels": 20})
    fit([good_parts], "padim", tmp_path / "fitted", settings, bits=16)
    grey = np.asarray(plate(70).convert("L"))
    (tmp_path / "new").mkdir()
    Image.fromarray(grey).save(tmp_path / "new/8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "new/16.png")
    table, errors = score(tmp_path / "fitted", [tmp_path / "new"], tmp_path / "out", pictures=False)
    assert errors == []
    assert len(table) == 2
    assert table["score"].nunique() == 1


def test_a_photograph_of_16_bit_is_refused_by_a_detector_of_photographs_of_8_bit(result, tmp_path):
    (tmp_path / "new").mkdir()
    plate(70).save(tmp_path / "new/8.png")
    Image.fromarray(np.asarray(plate(70).convert("L")).astype(np.uint16) * 257).save(tmp_path / "new/16.png")
    table, [error] = score(result, [tmp_path / "new"], tmp_path / "out", pictures=False)
    assert table["file"].tolist() == ["8.png"]
    assert "16.png" in error


def test_bits_are_given_for_photographs_that_are_deeper_than_those_of_the_fit(result, tmp_path, capsys):
    (tmp_path / "new").mkdir()
    Image.fromarray(np.asarray(plate(70).convert("L")).astype(np.uint16) * 16).save(tmp_path / "new/12.png")
    with pytest.raises(SystemExit, match="`--bits` on the command line"):
        main(["score", str(result), str(tmp_path / "new"), "--out", str(tmp_path / "out"), "--no-pictures"])
    main(["score", str(result), str(tmp_path / "new"), "--out", str(tmp_path / "out"), "--bits", "12", "--no-pictures"])
    assert pd.read_csv(tmp_path / "out/scores.csv")["file"].tolist() == ["12.png"]
    with pytest.raises(SystemExit, match="bits is the depth"):
        main(["score", str(result), str(tmp_path / "new"), "--out", str(tmp_path / "other"), "--bits", "11"])


def test_heat_maps_of_an_earlier_score_are_not_photographs(result, arrivals, tmp_path):
    score(result, [arrivals], arrivals / "scored")
    (arrivals / "maps").mkdir()  # a folder of this name elsewhere is searched
    plate(1).save(arrivals / "maps/3.png")
    table, errors = score(result, [arrivals], tmp_path / "out", pictures=False)
    assert errors == []
    assert sorted(table["file"]) == ["0.png", "1.png", "2.png", "day 2/bad.png", "day 2/large.jpg", "maps/3.png"]


def test_a_folder_without_a_fitted_detector_is_named(arrivals, tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}.*no fitted detector"):
        score(tmp_path, [arrivals], tmp_path / "out")


@pytest.fixture(scope="module")
def calibrated(good_parts, tmp_path_factory):
    """A detector that was fitted with six known defects."""
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "defects").mkdir()
    for number in range(6):
        plate(80 + number, defective=True).save(folder / f"defects/{number}.png")
    settings = FitSettings(image_size=64, hyperparameters={"channels": 20})
    [result] = fit([good_parts], "padim", folder / "result", settings, defects=folder / "defects")
    return result


def test_with_known_defects_every_photograph_has_a_probability_with_its_interval(
    calibrated, arrivals, tmp_path, capsys
):
    main(["score", str(calibrated), str(arrivals), "--out", str(tmp_path / "out"), "--no-pictures"])
    table = pd.read_csv(tmp_path / "out/scores.csv")
    assert list(table.columns) == ["file", "score", "anomalous", "probability", "low", "high"]
    assert table["probability"].is_monotonic_decreasing
    assert table["probability"].between(table["low"], table["high"]).all()
    assert table["probability"].iloc[0] > 0.8 > 0.5 > table["probability"].iloc[-1]
    assert f"{table['probability'][0]:.2f} [{table['low'][0]:.2f}, {table['high'][0]:.2f}]" in capsys.readouterr().out


def test_probabilities_are_those_of_a_calibrator_of_validation_images_and_defects(calibrated, arrivals, tmp_path):
    known = pd.read_csv(calibrated / results.CALIBRATION)
    assert list(known["anomalous"]) == [False] * 2 + [True] * 6
    assert np.array_equal(known["score"][:2], results.read_scores(calibrated)["score"])
    table, _ = score(calibrated, [arrivals], tmp_path / "out", pictures=False)
    expected = BoundedSigmoid().fit(known["score"], known["anomalous"]).predict_proba(table["score"])
    assert np.allclose(table["probability"], expected)


def test_without_known_defects_there_is_no_probability(result, arrivals, tmp_path):
    table, _ = score(result, [arrivals], tmp_path / "out", pictures=False)
    assert list(table.columns) == ["file", "score", "anomalous"]


def test_watched_photographs_have_the_same_probabilities(calibrated, arrivals, tmp_path):
    expected, _ = score(calibrated, [arrivals], tmp_path / "out", pictures=False)
    done = tmp_path / "watched/scores.csv"
    watch(calibrated, arrivals, done.parent, False, lambda: done.is_file() and len(done.read_text().splitlines()) > 5)
    found = pd.read_csv(done).set_index("file").loc[expected["file"]]
    assert np.allclose(found["probability"], expected["probability"])


def test_heat_maps_beside_probabilities_are_not_photographs(calibrated, arrivals, tmp_path):
    score(calibrated, [arrivals], arrivals / "scored")
    table, errors = score(calibrated, [arrivals], tmp_path / "out", pictures=False)
    assert (len(table), errors) == (5, [])


def test_a_good_part_cannot_be_a_defect_too(good_parts, tmp_path):
    with pytest.raises(DataError, match="given as a defect, but it is the good part"):
        fit([good_parts], "padim", tmp_path / "out", defects=good_parts)
    assert not list(tmp_path.iterdir())


def test_photographs_of_another_shape_are_warned_of(result, tmp_path, capsys):
    plate(0, size=(64, 96)).save(tmp_path / "same.png")
    plate(0, size=(64, 400)).save(tmp_path / "long.png")
    score(result, [tmp_path / "same.png"], tmp_path / "first", pictures=False)
    assert "warning" not in capsys.readouterr().err
    score(result, [tmp_path / "same.png", tmp_path / "long.png"], tmp_path / "second", pictures=False)
    assert "another shape than those of the fit, " in (warning := capsys.readouterr().err)
    assert "long.png for example" in warning
