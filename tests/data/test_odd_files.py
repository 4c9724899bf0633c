"""Every odd file is read right, or refused by one error that names it; see `odd_files`."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from iadlib.__main__ import main
from iadlib.commands.fit import FitSettings, fit
from iadlib.commands.score import score
from iadlib.data import read_image
from iadlib.data.images import read_header
from tests.data.odd_files import ANNOTATIONS, GREY, ORIENTATIONS, OTHER_CONTENT, PHOTOGRAPHS, Kind, picture, region

PHOTOGRAPHS_BY_CONTENT = PHOTOGRAPHS | ORIENTATIONS


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Path:
    """A detector fitted to noisy copies of the picture."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "good").mkdir()
    pixels = np.asarray(picture()).astype(int)
    for number in range(8):
        noise = np.random.default_rng(number).integers(-8, 9, pixels.shape)
        Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(folder / f"good/{number}.png")
    fit([folder / "good"], "padim", folder / "result", FitSettings(image_size=64, hyperparameters={"channels": 10}))
    return folder / "result"


def written(kind: Kind, folder: Path) -> Path:
    folder.mkdir()
    return kind.write(folder)


def ends(arguments: list, capsys) -> tuple[int, str]:
    """Exit status and everything that a command prints to standard error."""
    capsys.readouterr()
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 1
        if isinstance(exit.code, str):
            return code, exit.code
    return code, capsys.readouterr().err


@pytest.mark.parametrize("name", PHOTOGRAPHS_BY_CONTENT)
def test_a_photograph_is_read_right_or_refused_by_its_name(name, result, tmp_path, capsys):
    kind = PHOTOGRAPHS_BY_CONTENT[name]
    path = written(kind, tmp_path / "new")
    shutil.copyfile(next(Path(result).parent.glob("good/*.png")), tmp_path / "new/beside.png")
    if kind.refused:
        code, error = ends(["score", result, tmp_path / "new", "--out", tmp_path / "out"], capsys)
        assert code == 1
        assert kind.refused in error
        assert "Traceback" not in error
        if (tmp_path / "out").exists():  # the others are scored, unless nothing can be said of the folder
            assert pd.read_csv(tmp_path / "out/scores.csv")["file"].tolist() == ["beside.png"]
        return
    expected = np.asarray(picture(grey=name.startswith(GREY)).convert("RGB")).astype(int)
    assert np.abs(read_image(path) - expected).mean() <= kind.tolerance
    assert read_header(path).size == expected.shape[:2]
    table, errors = score(result, [tmp_path / "new"], tmp_path / "out")
    assert errors == []
    assert set(table["file"]) == {os.path.relpath(path, tmp_path / "new"), "beside.png"}
    assert len(list((tmp_path / "out/maps").rglob("*.jpg"))) == 2


@pytest.mark.parametrize("name", OTHER_CONTENT)
def test_a_photograph_of_any_content_and_size_is_scored(name, result, tmp_path):
    path = written(OTHER_CONTENT[name], tmp_path / "new")
    table, errors = score(result, [path], tmp_path / "out")
    assert errors == []
    assert np.isfinite(table["score"]).all()


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_an_annotation_is_read_right_or_refused_by_its_name(name, tmp_path, capsys):
    kind = ANNOTATIONS[name]
    (tmp_path / "photographs").mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 200, (64, 96, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"photographs/{number}.png")
    written(kind, tmp_path / "masks")
    (tmp_path / "d.yaml").write_text("annotations: masks\ndefects: {scratch: {kind: structural}}\n")
    arguments = ["build", tmp_path / "photographs", "--description", tmp_path / "d.yaml", "--out", tmp_path / "out"]
    code, error = ends(arguments, capsys)
    if kind.refused:
        assert code == 1
        assert kind.refused in error
        assert "Traceback" not in error
        assert sorted(path.name for path in tmp_path.iterdir()) == ["d.yaml", "masks", "photographs"]
        return
    assert code == 0, error
    masks = list((tmp_path / "out/ground_truth/structural_anomalies").rglob("*.png"))
    marked = np.logical_or.reduce([np.asarray(Image.open(mask)) > 0 for mask in masks])
    expected = region(hole="hole" in name, crossing="crossing" in name)
    assert (marked != expected).mean() <= (0.01 if "crossing" in name else 0)
