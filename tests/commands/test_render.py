import json
from pathlib import Path

import pytest

from iadlib.commands.render import render

COUNTS = {"train": 1, "validation": 0, "good": 0, "logical": 0, "structural": 0}


def params(folder: Path, **settings) -> str:
    """A params file with the settings, and its block."""
    (folder / "small.yaml").write_text(json.dumps({"quick": {"samples": 1, "counts": COUNTS} | settings}))
    return f"{folder / 'small.yaml'}:quick"


def test_the_folder_appears_when_it_is_complete_and_is_never_overwritten(tmp_path):
    out = tmp_path / "data/flat_connector"
    render("flat_connector", out, file=params(tmp_path, width=96))
    assert [path.name for path in out.parent.iterdir()] == ["flat_connector"]
    assert (out / "train/good/000.jpg").is_file()
    with pytest.raises(FileExistsError, match="exists"):
        render("flat_connector", out)


def test_an_interrupted_rendering_is_resumed_and_one_with_other_settings_is_removed(tmp_path, monkeypatch):
    resumed = []

    def interrupted(name, folder, **settings):
        folder.mkdir(parents=True, exist_ok=True)
        resumed.append((folder, (folder / "begun").exists()))
        (folder / "begun").touch()
        if len(resumed) < 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("iadlib.rendering.render_category", interrupted)
    for seed in (1, 0):
        with pytest.raises(KeyboardInterrupt):
            render("flat_connector", tmp_path / "out", seed=seed)
    render("flat_connector", tmp_path / "out", seed=0)
    assert [begun for _, begun in resumed] == [False, False, True]
    assert resumed[0][0] != resumed[1][0] == resumed[2][0]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_arguments_override_the_file(tmp_path):
    file = params(tmp_path, scale="full", seed=1)
    render("flat_connector", tmp_path / "out", seed=2, scale="quick", file=file)
    settings = json.loads((tmp_path / "out/scenes/train/good/000.json").read_text())["settings"]
    assert (settings["width"], settings["seed"]) == (144, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widht": 96}, "no setting 'widht'"),
        ({"width": "wide"}, "width is 'wide'"),
        ({"scale": "huge"}, "unknown scale 'huge'"),
        ({"counts": {"trian": 1}}, "unknown counts"),
        ({"difficulty": {"scratch_lenght": [1, 2]}}, "unknown range of difficulty 'scratch_lenght'"),
    ],
)
def test_a_wrong_setting_is_one_error_that_names_the_file(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        render("flat_connector", tmp_path / "out", file=params(tmp_path, **settings))
    assert "small.yaml:quick" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_category_lists_the_categories(tmp_path):
    with pytest.raises(ValueError, match="unknown category 'flat_conector'; there are: flat_connector"):
        render("flat_conector", tmp_path / "out")
