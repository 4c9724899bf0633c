"""The small category that the notebooks' defaults use is what the renderer makes."""

from pathlib import Path

import numpy as np

from iadlib.data import load_category, read_image
from iadlib.rendering import render_category

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests/sample/flat_connector"


def test_the_renderer_makes_the_sample_again(tmp_path):
    counts = {"train": 0, "validation": 0, "good": 1, "logical": 1, "structural": 0}
    again = render_category("flat_connector", tmp_path, scale="quick", counts=counts)
    for name in ("test/good/000.jpg", "test/logical_anomalies/000.jpg"):
        difference = read_image(again / name).astype(float) - read_image(SAMPLE / name)
        assert np.abs(difference).mean() < 0.5  # other processors may round another way
    mask = "ground_truth/logical_anomalies/000/000.png"
    assert np.array_equal(read_image(again / mask), read_image(SAMPLE / mask))


def test_the_sample_has_every_defect():
    category = load_category(SAMPLE)
    category.check()
    regions = [region for i in range(len(category.of("test"))) for region in category.regions(i)]
    assert {region.defect_name for region in regions} == {
        "missing_hole",
        "additional_hole",
        "resized_hole",
        "damaged_edge",
        "cut_corner",
        "scratch",
    }
