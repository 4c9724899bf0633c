import json
from pathlib import Path

import pytest

from iadlib.__main__ import main

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests/sample/flat_connector"


def test_render_makes_a_folder_that_appears_when_it_is_complete(tmp_path):
    params = tmp_path / "small.yaml"
    counts = "{train: 1, validation: 1, good: 1, logical: 1, structural: 0}"
    params.write_text(f"quick: {{width: 96, samples: 2, counts: {counts}}}\n")
    out = tmp_path / "data/flat_connector"
    main(["render", "flat_connector", "--out", str(out), "-f", f"{params}:quick"])
    assert [path.name for path in out.parent.iterdir()] == ["flat_connector"]
    with pytest.raises(SystemExit, match="exists"):
        main(["render", "flat_connector", "--out", str(out)])


def test_card_says_what_the_rendered_folders_hold(tmp_path):
    main(["card", str(SAMPLE.parent), "--out", str(tmp_path / "card")])
    text = (tmp_path / "card/README.md").read_text()
    assert "144 x 64 pixels" in text
    assert "8 images to train with, 4 to validate, 4 good, 6 with a logical and 6 with a structural anomaly" in text
    assert "| missing_hole | a hole is not there | all_holes | all of the region |" in text
    assert (tmp_path / "card/gallery.png").stat().st_size > 10_000


def test_card_says_when_there_is_nothing_to_describe(tmp_path):
    with pytest.raises(SystemExit, match="no folder here is named as a rendered category"):
        main(["card", str(tmp_path), "--out", str(tmp_path / "card")])


def test_render_takes_its_scale_from_the_command_line_first(tmp_path):
    counts = "train: 1, validation: 0, good: 0, logical: 0, structural: 0"
    (tmp_path / "small.yaml").write_text(f"common: {{scale: full, samples: 1, counts: {{{counts}}}}}\n")
    out = tmp_path / "out"
    main(["render", "flat_connector", "--out", str(out), "--scale", "quick", "-f", f"{tmp_path / 'small.yaml'}:common"])
    assert json.loads((out / "scenes/train/good/000.json").read_text())["settings"]["width"] == 144


def test_render_names_an_unknown_setting(tmp_path):
    (tmp_path / "small.yaml").write_text("quick: {widht: 96}\n")
    with pytest.raises(SystemExit, match="widht"):
        main(["render", "flat_connector", "--out", str(tmp_path / "out"), "-f", f"{tmp_path / 'small.yaml'}:quick"])
