"""The commands, as a user meets them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from iadlib.__main__ import main

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests/sample/flat_connector"
GOLDEN = ROOT / "tests/metrics/golden_spro"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())["map_sets"]["ties8"]["exact"]
CATEGORY = GOLDEN / "dataset/pushpins_like"


@pytest.fixture
def tiffs(tmp_path) -> Path:
    """The maps as the data set's own evaluation code takes them."""
    with np.load(GOLDEN / "maps/ties8.npz") as arrays:
        for name, heat in arrays.items():
            path = tmp_path / "maps/pushpins_like/test" / f"{name}.tiff"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, heat)
    return tmp_path / "maps"


@pytest.mark.parametrize("below", ["", "pushpins_like", "pushpins_like/test"])
def test_evaluate_reads_a_folder_of_tiff_maps(tiffs, below, capsys, tmp_path):
    main(
        [
            "evaluate",
            "--dataset",
            str(CATEGORY),
            "--maps",
            str(tiffs / below),
            "--out",
            str(tmp_path / "deep/report.json"),
        ]
    )
    report = json.loads((tmp_path / "deep/report.json").read_text())
    assert report["au_spro_0.05"]["mean"] == pytest.approx(EXPECTED["auc_spro"]["mean"]["0.05"], abs=1e-9)
    assert f"{EXPECTED['auc_spro']['mean']['0.05']:.4f}" in capsys.readouterr().out


def test_evaluate_reads_an_npz(capsys):
    main(["evaluate", "--dataset", str(CATEGORY), "--maps", str(GOLDEN / "maps/ties8.npz")])
    assert f"{EXPECTED['auc_spro']['logical_anomalies']['0.3']:.4f}" in capsys.readouterr().out


def test_evaluate_finds_the_maps_in_a_folder_that_detect_has_made(tmp_path, capsys):
    (tmp_path / "maps.npz").write_bytes((GOLDEN / "maps/ties8.npz").read_bytes())
    main(["evaluate", "--dataset", str(CATEGORY), "--maps", str(tmp_path)])
    assert f"{EXPECTED['auc_spro']['logical_anomalies']['0.3']:.4f}" in capsys.readouterr().out


def test_mask_names_photographs_in_which_there_is_no_object(tmp_path, capsys):
    copy = tmp_path / "flat_connector"
    shutil.copytree(SAMPLE, copy)
    first = sorted((copy / "train/good").glob("*.png"))[0]
    with Image.open(first) as image:
        size = image.size
    Image.new("RGB", size, (90, 90, 90)).save(first)
    main(["mask", str(copy), "--radius", "4", "--out", str(tmp_path / "masked")])
    said = capsys.readouterr().out
    assert "no object found in 1 of them" in said
    assert str(first) in said


def test_evaluate_names_a_missing_map(tiffs):
    (tiffs / "pushpins_like/test/good/003.tiff").unlink()
    with pytest.raises(SystemExit, match=r"good/003\.tiff: no such anomaly map"):
        main(["evaluate", "--dataset", str(CATEGORY), "--maps", str(tiffs)])


def test_evaluate_names_a_truncated_map(tiffs):
    path = tiffs / "pushpins_like/test/good/003.tiff"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SystemExit, match=r"good/003\.tiff: not a readable TIFF"):
        main(["evaluate", "--dataset", str(CATEGORY), "--maps", str(tiffs)])


def test_evaluate_names_a_map_of_another_size(tiffs):
    tifffile.imwrite(tiffs / "pushpins_like/test/good/003.tiff", np.zeros((10, 20), dtype=np.float32))
    with pytest.raises(SystemExit, match=r"good/003.*\(10, 20\).*\(160, 200\)"):
        main(["evaluate", "--dataset", str(CATEGORY), "--maps", str(tiffs)])


def test_evaluate_says_where_it_looked_for_maps(tmp_path):
    with pytest.raises(SystemExit, match="no anomaly maps found; looked for"):
        main(["evaluate", "--dataset", str(CATEGORY), "--maps", str(tmp_path)])


def test_evaluate_says_what_is_wrong_with_a_folder(tmp_path):
    with pytest.raises(SystemExit, match=str(tmp_path)):
        main(["evaluate", "--dataset", str(tmp_path), "--maps", str(tmp_path)])


def test_detect_writes_scores_maps_pictures_and_metrics(tmp_path, capsys):
    out = tmp_path / "results"
    main(["detect", "--data", str(SAMPLE), "--out", str(out), "--image-size", "64"])
    assert "image AUROC" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert names == {"scores.csv", "maps.npz", "metrics.json", "detector.safetensors", "pictures"}
    assert len(list((out / "pictures").rglob("*.png"))) == 16


def test_detect_overwrites_nothing(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit, match="exists"):
        main(["detect", "--data", str(SAMPLE), "--out", str(tmp_path)])
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_detect_knows_its_detectors(tmp_path):
    with pytest.raises(SystemExit, match="there are patchcore"):
        main(["detect", "--data", str(SAMPLE), "--detector", "patchcor", "--out", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


def test_detect_names_an_unknown_setting(tmp_path):
    with pytest.raises(SystemExit, match="no setting 'false_positive_rate'"):
        main(
            ["detect", "--data", str(SAMPLE), "--out", str(tmp_path / "out"), "-f", f"{ROOT}/params/study.yaml:common"]
        )


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
