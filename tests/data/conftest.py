"""Tiny categories of 64 x 48 pixels with planted facts, one for each layout."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 64, 48
SHARED = Path(__file__).resolve().parents[3] / "shared"
REAL_DATA = Path(os.environ.get("IADLIB_REAL_DATA", SHARED / "data"))


def write_image(path: Path, value: int = 128, shape: tuple[int, ...] = (HEIGHT, WIDTH, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path)
    return path


def write_mask(path: Path, *boxes: tuple[int, int, int, int, int], shape: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """A mask with boxes (top, bottom, left, right, value)."""
    values = np.zeros(shape, dtype=np.uint8)
    for top, bottom, left, right, value in boxes:
        values[top:bottom, left:right] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def mvtec_ad(tmp_path) -> Path:
    """12 training images; test: 2 good, scratch/000 with two regions of 20 and 6 pixels, dent/000 with a diagonal."""
    root = tmp_path / "bolt"
    for number in range(12):
        write_image(root / f"train/good/{number}.png")
    for name in ("good/000", "good/001", "scratch/000", "dent/000"):
        write_image(root / f"test/{name}.png")
    write_mask(root / "ground_truth/scratch/000_mask.png", (0, 4, 0, 5, 255), (10, 12, 10, 13, 255))
    diagonal = [(step, step + 1, step, step + 1, 255) for step in range(7)]
    write_mask(root / "ground_truth/dent/000_mask.png", *diagonal)
    (root / "license.txt").write_text("words")
    return root


@pytest.fixture
def mvtec_loco(tmp_path) -> Path:
    """3 images each for training and validation; test: 2 good, 2 logical, 1 structural image, 4 regions."""
    root = tmp_path / "plug"
    for number in range(3):
        write_image(root / f"train/good/{number:03}.png")
        write_image(root / f"validation/good/{number:03}.png")
    for name in ("good/000", "good/001", "logical_anomalies/000", "logical_anomalies/001", "structural_anomalies/000"):
        write_image(root / f"test/{name}.png")
    logical, structural = root / "ground_truth/logical_anomalies", root / "ground_truth/structural_anomalies"
    # Two boxes that do not touch, in one file: one region all the same.
    write_mask(logical / "000/000.png", (0, 10, 0, 10, 255), (30, 40, 30, 40, 255))
    write_mask(logical / "000/001.png", (5, 15, 5, 15, 254))
    write_mask(logical / "001/000.png", (0, 1, 0, 2, 254))
    write_mask(structural / "000/000.png", (20, 30, 20, 30, 1))
    # 0.29 * 100 is a little less than 29 in binary: a region of 100 pixels saturates at 28.
    fields = ("defect_name", "pixel_value", "saturation_threshold", "relative_saturation")
    types = [("missing", 255, 150, False), ("bent", 254, 0.29, True), ("scratch", 1, 1, True)]
    entries = [dict(zip(fields, values, strict=True)) for values in types]
    (root / "defects_config.json").write_text(json.dumps(entries))
    write_image(root / "scenes/000.png")
    (root / "readme.txt").write_text("words")
    return root


@pytest.fixture
def magnetic_tile(tmp_path) -> Path:
    """20 defect-free tiles; a crack with a fringed mask of 20 sure pixels, a crack with an empty mask, one blowhole."""
    root = tmp_path / "tiles"
    for number in range(20):
        write_image(root / f"MT_Free/Imgs/tile_{number}.jpg", shape=(HEIGHT + number, WIDTH))
        write_mask(root / f"MT_Free/Imgs/tile_{number}.png", shape=(HEIGHT + number, WIDTH))
    for name in ("MT_Crack/Imgs/tile_1", "MT_Crack/Imgs/tile_2", "MT_Blowhole/Imgs/tile_1"):
        write_image(root / f"{name}.jpg", shape=(HEIGHT, WIDTH))
    write_mask(root / "MT_Crack/Imgs/tile_1.png", (9, 15, 9, 16, 100), (10, 14, 10, 15, 200))
    write_mask(root / "MT_Crack/Imgs/tile_2.png", (10, 14, 10, 15, 100))
    write_mask(root / "MT_Blowhole/Imgs/tile_1.png", (0, 2, 0, 2, 255), (20, 23, 20, 23, 255))
    return root
