"""What holds for every figure, drawn from small tables full of identifiers and dollar signs."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from iadlib import figures
from iadlib.types import Region

RNG = np.random.default_rng(0)
METHODS = ["patch_core", "padim$", "gcad$_{$"]
KINDS = ["good", "logical", "structural"]
IMAGES = list(RNG.integers(0, 255, (3, 40, 60, 3), dtype=np.uint8))
MASK = np.zeros((40, 60), dtype=bool)
MASK[10:30, 20:50] = True
REGIONS = [[], [Region(MASK, 10, "hole$_{$")], []]
TITLES = ["lot$7_$3", "b", "c"]


def crossed(**columns: list) -> pd.DataFrame:
    """Every combination of the columns' values, with a value, its interval and what else the figures need."""
    index = pd.MultiIndex.from_product(columns.values(), names=columns.keys())
    value = RNG.random(len(index))
    numbers = dict.fromkeys(("value", "mean", "difference", "auroc", "share", "score", "loss", "strength"), value)
    return pd.DataFrame(numbers | {"low": value - 0.1, "high": value + 0.1}, index=index).reset_index()


def scores() -> pd.DataFrame:
    test = crossed(method=METHODS, split=["test"], label=KINDS, name=list("abc"))
    return pd.concat([test, crossed(method=METHODS, split=["validation"], label=["good"], name=list("de"))])


def curves() -> pd.DataFrame:
    return crossed(name=["first_$", "second"], step=[0, 1]).assign(
        **{"artificial anomalies": 0.8, "test images": [0.7, None, 0.6, None]}
    )


def reliability() -> SimpleNamespace:
    share = np.array([0.2, 0.7])
    return SimpleNamespace(probability=share, share=share, low=share - 0.1, high=share + 0.1, count=np.array([3, 4]))


def saturation() -> tuple:
    table = pd.DataFrame({"share": [0, 1], "sPRO": [0, 1], "PRO": [0, 1]})
    return IMAGES[1], REGIONS[1][0], [MASK & (np.arange(60) < 30), MASK], table


SIZES = crossed(panel=["cut_corner: leg, mm"], method=METHODS, size=[1.0, 2.0, 3.0])
AREAS = pd.DataFrame({"median area": [100, 50], "median saturation area": [40, 50]}, index=["ho_le$", "dent"])
COSTS = pd.DataFrame({"entry": METHODS, "seconds to fit": [1.0, 20, 70], "milliseconds an image": [12.0, 30, 135]})
DRAW = {
    "calibration_functions": lambda: figures.calibration_functions(
        np.array([0.1, 0.5, 0.9]), KINDS, np.array([0.0, 1.0]), {"Platt_$": np.array([0.1, 0.9])}, "parts $"
    ),
    "costs": lambda: figures.costs(COSTS),
    "critical_differences": lambda: figures.critical_differences(
        pd.DataFrame({"entry": METHODS, "rank": [1.2, 1.9, 2.9]}),
        pd.DataFrame([[1, 0.5, 0.01], [0.5, 1, 0.2], [0.01, 0.2, 1]], index=METHODS, columns=METHODS),
    ),
    "cumulative_variance": lambda: figures.cumulative_variance({"patch_core$": [0.5, 1.0]}, {"patch_core$": 1}),
    "defect_heat_map": lambda: figures.defect_heat_map(crossed(defect=["cut_$", "hole"], method=METHODS), "AUROC"),
    "detection_by_size": lambda: figures.detection_by_size(SIZES, SIZES),
    "differences": lambda: figures.differences(crossed(what=METHODS, kind=KINDS[1:]), "AUROC"),
    "differences_in_panels": lambda: figures.differences_in_panels(
        crossed(method=METHODS, defect=["cut_$", "hole"], kind=["both kinds"]), "method", "defect", "AUROC"
    ),
    "discriminator_curves": lambda: figures.discriminator_curves(curves()),
    "gallery": lambda: figures.gallery([IMAGES[:2], IMAGES[2:]], [TITLES[:2], TITLES[2:]], [REGIONS[:2], REGIONS[2:]]),
    "image_grid": lambda: figures.image_grid(IMAGES, TITLES, REGIONS, heading="parts $"),
    "kind_comparison": lambda: figures.kind_comparison(
        crossed(category=["cut_$", "b"], method=METHODS, kind=KINDS[1:]), "image AUROC"
    ),
    "kinds_of_entries": lambda: figures.kinds_of_entries(crossed(entry=METHODS, kind=KINDS[1:]), "image AUROC"),
    "leads": lambda: figures.leads(crossed(category=["cut_$", "b"], entry=METHODS, kind=["logical"]), "PaDiM"),
    "learning_curves": lambda: figures.learning_curves({"a_$": crossed(phase=["x_$", "y"], step=range(60))}),
    "maps_by_detector": lambda: figures.maps_by_detector(
        IMAGES, {name: list(RNG.random((3, 8, 12))) for name in METHODS}, REGIONS, TITLES
    ),
    "radius_curves": lambda: figures.radius_curves(
        crossed(method=METHODS, category=["flat_$", "mat"], radius=["none", "0", "8"], metric=["AUROC, logical"])
    ),
    "reliability_diagrams": lambda: figures.reliability_diagrams(
        {"Platt_$": (reliability(), RNG.random(7))}, "parts $"
    ),
    "roc_by_detector": lambda: figures.roc_by_detector(scores()),
    "saturation_curves": lambda: figures.saturation_curves(AREAS),
    "saturation_steps": lambda: figures.saturation_steps(*saturation()),
    "scores_by_detector": lambda: figures.scores_by_detector(scores(), dict.fromkeys(METHODS, 0.9)),
    "size_and_strength": lambda: figures.size_and_strength(crossed(method=METHODS, size=[1.0, 2.0])),
}


@pytest.fixture(scope="module", params=sorted(DRAW))
def figure(request):
    return DRAW[request.param]()


def test_every_figure_is_drawn_here():
    assert set(DRAW) == set(figures.__all__) - {"heat_map_picture", "KIND_COLOURS"}


def test_a_figure_is_drawn_although_its_texts_are_no_formulas(figure, tmp_path):
    figure.savefig(tmp_path / "drawn.png", dpi=30)
    assert plt.imread(tmp_path / "drawn.png").std() > 0.01  # something is drawn


def test_a_figure_is_not_left_open(figure):
    assert plt.get_fignums() == []


def test_identifiers_are_printed_as_words(figure):
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert [text for text in texts if "_" in text and text not in TITLES and "gcad" not in text] == []
    assert any(text for text in texts)


def test_a_figure_drawn_twice_is_the_same_bytes(tmp_path):
    table = scores()
    for name in ("first.png", "second.png"):
        figures.roc_by_detector(table).savefig(tmp_path / name, dpi=30)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("differences", ["AUROC"]),
        ("differences_in_panels", ["what", "what", "AUROC"]),
        ("kind_comparison", ["AUROC"]),
        ("radius_curves", []),
        ("scores_by_detector", [{}]),
        ("roc_by_detector", []),
        ("defect_heat_map", ["AUROC"]),
        ("size_and_strength", []),
    ],
)
def test_an_empty_table_gives_a_figure_that_says_so(name, arguments):
    table = crossed(
        what=[], method=[], split=[], label=[], kind=[], category=[], defect=[], radius=[], metric=[], size=[]
    )
    drawn = getattr(figures, name)(table, *arguments)
    drawn.canvas.draw()
    assert any("nothing to draw" in text.get_text() or "no ROC" in text.get_text() for text in drawn.findobj(Text))


@pytest.mark.parametrize("name", ["roc_by_detector", "radius_curves", "size_and_strength"])
def test_a_missing_column_is_named(name):
    with pytest.raises(ValueError, match=r"no column method.*its columns are wrong"):
        getattr(figures, name)(pd.DataFrame({"wrong": [1]}))


def test_an_unknown_figure_is_an_attribute_error():
    with pytest.raises(AttributeError, match="pie_chart"):
        _ = figures.pie_chart
