import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from iadlib.__main__ import main

ROOT = Path(__file__).parents[2]
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


def test_defective_images_without_masks_count_for_image_metrics_only(tmp_path, capsys):
    maps = str(GOLDEN / "maps/ties8.npz")
    shutil.copytree(CATEGORY, tmp_path / "some")
    shutil.rmtree(min((tmp_path / "some/ground_truth/logical_anomalies").iterdir()))
    reports = {}
    for name, category in (("all", CATEGORY), ("some", tmp_path / "some")):
        main(["evaluate", "--dataset", str(category), "--maps", maps, "--out", str(tmp_path / f"{name}.json")])
        reports[name] = json.loads((tmp_path / f"{name}.json").read_text())
    assert "1 defective test images have no mask" in capsys.readouterr().out
    assert reports["some"]["image_auroc"] == reports["all"]["image_auroc"]
    assert reports["some"]["au_spro_0.05"]["logical"] != reports["all"]["au_spro_0.05"]["logical"]
    shutil.rmtree(tmp_path / "some/ground_truth")
    main(["evaluate", "--dataset", str(tmp_path / "some"), "--maps", maps, "--out", str(tmp_path / "none.json")])
    none = json.loads((tmp_path / "none.json").read_text())
    assert none["image_auroc"] == reports["all"]["image_auroc"]
    assert none["pixel_auroc"] == {"overall": None}


def test_evaluate_overwrites_nothing_and_says_so_before_it_reads_a_map(tmp_path):
    (tmp_path / "mine.json").write_text("mine")
    arguments = ["--dataset", str(CATEGORY), "--maps", "nowhere", "--out", str(tmp_path / "mine.json")]
    with pytest.raises(SystemExit, match=r"mine\.json exists"):
        main(["evaluate", *arguments])
    assert (tmp_path / "mine.json").read_text() == "mine"


def test_evaluate_says_where_it_looked_for_maps(tmp_path):
    with pytest.raises(SystemExit, match="no anomaly maps found; looked for"):
        main(["evaluate", "--dataset", str(CATEGORY), "--maps", str(tmp_path)])


def test_evaluate_says_what_is_wrong_with_a_folder(tmp_path):
    with pytest.raises(SystemExit, match=str(tmp_path)):
        main(["evaluate", "--dataset", str(tmp_path), "--maps", str(tmp_path)])
