import numpy as np
import pandas as pd
import pytest

from iadlib.figures import detection_by_size, radius_curves
from iadlib.figures.style import GREY

METHODS = [f"m{i}" for i in range(7)]


def sizes() -> pd.DataFrame:
    rows = [("cut: leg, mm", m, size, i / 10) for i, m in enumerate(METHODS) for size in (1.0, 2.0, 3.0)]
    return pd.DataFrame(rows, columns=["panel", "method", "size", "share"])


@pytest.mark.parametrize(("highlight", "coloured"), [(None, {"m2", "m3", "m4", "m5", "m6"}), (["m0"], {"m0"})])
def test_at_most_five_methods_are_coloured_and_the_others_are_named(highlight, coloured):
    [axis] = detection_by_size(sizes(), sizes(), highlight).axes
    named = {line.get_label(): line.get_color() for line in axis.lines if not line.get_label().startswith("_")}
    [others] = [name for name, colour in named.items() if colour == GREY]
    assert set(named) - {others} == coloured
    assert set(others.split("\n")) == set(METHODS) - coloured


def test_radii_keep_their_order_and_gaps_stay_gaps():
    rows = [("m", "flat", radius, "AUROC", value) for radius, value in (("none", 0.5), ("16", 0.7), ("4", 0.6))]
    table = pd.DataFrame(
        [*rows, ("m", "mat", "4", "AUROC", 0.9)], columns=["method", "category", "radius", "metric", "value"]
    )
    [axis] = radius_curves(table).axes
    assert [text.get_text() for text in axis.get_xticklabels()] == ["none", "16", "4"]
    assert list(axis.lines[0].get_ydata()) == [0.5, 0.7, 0.6]
    assert np.isnan(axis.lines[1].get_ydata()[:2]).all()
