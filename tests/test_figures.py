import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from iadlib import figures
from iadlib.types import Region

RNG = np.random.default_rng(0)
IMAGES = list(RNG.integers(0, 255, (4, 64, 48, 3), dtype=np.uint8))
MAPS = list(RNG.random((4, 64, 48)).astype(np.float32))
MASK = np.zeros((64, 48), dtype=bool)
MASK[20:40, 10:30] = True
REGIONS = [[], [Region(MASK, 10, "hole")], [Region(MASK, 10, "hole"), Region(MASK.T[:48].T, 5, "dent")], []]
KINDS = ["good", "logical", "structural", "good"]
TITLES = ["a", "b", "c", "d"]


@pytest.fixture(params=["grid", "panel", "histogram", "roc", "defects", "saturation", "kinds", "learning"])
def draw(request):
    scores = np.array([0.1, 0.5, 0.9, 0.2])
    areas = pd.DataFrame({"median area": [100, 50], "median saturation area": [40, 50]}, index=["hole", "dent"])
    kinds = pd.DataFrame(
        [("parts", "patchcore", kind, 0.8, low, 0.9) for kind, low in (("logical", 0.7), ("structural", None))],
        columns=["category", "method", "kind", "mean", "low", "high"],
    )
    return {
        "grid": lambda: figures.image_grid(IMAGES, TITLES, REGIONS, heading="parts"),
        "panel": lambda: figures.heat_map_panel(IMAGES, MAPS, REGIONS, TITLES),
        "histogram": lambda: figures.score_histogram(scores, KINDS, 0.3),
        "roc": lambda: figures.roc_curves(scores, KINDS),
        "defects": lambda: figures.scores_by_defect(scores, ["good", "hole", "dent", "good"], KINDS, 0.3),
        "saturation": lambda: figures.saturation_curves(areas),
        "kinds": lambda: figures.kind_comparison(kinds, "image AUROC"),
        "learning": lambda: figures.learning_curve({"teacher": np.linspace(1, 0, 300), "student": [1.0, 0.5]}),
    }[request.param]


def test_a_figure_drawn_twice_is_the_same_bytes_and_leaves_nothing_open(draw, tmp_path):
    for name in ("first.png", "second.png"):
        draw().savefig(tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert plt.imread(tmp_path / "first.png").std() > 0.01  # something is drawn
    assert plt.get_fignums() == []


def test_a_region_is_outlined_where_it_lies():
    drawn = figures.image_grid(IMAGES[1:2], ["b"], REGIONS[1:2]).axes[0]
    vertices = np.concatenate([path.vertices for collection in drawn.collections for path in collection.get_paths()])
    assert vertices.min(axis=0) == pytest.approx([9.5, 19.5])
    assert vertices.max(axis=0) == pytest.approx([29.5, 39.5])


def test_all_maps_of_a_panel_share_one_scale():
    drawn = figures.heat_map_panel(IMAGES[:2], [MAPS[0], 2 * MAPS[1]], REGIONS[:2], TITLES[:2])
    scales = {axis.images[1].get_clim() for axis in drawn.axes if len(axis.images) == 2}
    assert scales == {(min(MAPS[0].min(), 2 * MAPS[1].min()), 2 * MAPS[1].max())}
