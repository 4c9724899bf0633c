import numpy as np
import pandas as pd
import pytest

from iadlib.figures import kind_comparison, roc_by_detector, scores_by_detector
from iadlib.figures.style import GREY, HIGHLIGHTS

VALIDATION = [10.0, 12.0, 14.0]  # mean 12, standard deviation 2
TEST = [("good", 12.0), ("logical", 16.0), ("structural", 22.0)]


def table(method: str, scale: float = 1) -> pd.DataFrame:
    rows = [("validation", "good", value) for value in VALIDATION] + [("test", *row) for row in TEST]
    scores = pd.DataFrame(rows, columns=["split", "label", "score"])
    return scores.assign(method=method, score=scale * scores["score"])


def test_scores_of_detectors_with_other_scales_share_an_axis():
    axis = scores_by_detector(pd.concat([table("a"), table("b", 1000)]), {"a": 15, "b": 15000}).axes[0]
    dots = {float(line.get_xdata()[0]) for line in axis.lines}
    thresholds = [collection.get_segments()[0][0, 0] for collection in axis.collections]
    assert dots == {0, 2, 5}
    assert thresholds == pytest.approx([1.5, 1.5])


def test_validation_images_are_no_dots():
    axis = scores_by_detector(table("a"), {"a": 15}).axes[0]
    assert sum(len(line.get_xdata()) for line in axis.lines) == len(TEST)


def test_a_detector_whose_validation_scores_are_all_the_same_gets_a_remark():
    scores = pd.concat([table("a"), table("b").assign(score=1.0)])
    axis = scores_by_detector(scores, {"a": 15, "b": 1}).axes[0]
    assert [text.get_text() for text in axis.texts] == ["3 validation scores without spread"]
    assert {float(line.get_ydata()[0]) < 0.5 for line in axis.lines} == {True}


def roc_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = []
    for i in range(8):
        scores = np.concatenate([rng.normal(0, 1, 20), rng.normal(i / 2, 1, 20)])
        parts.append(pd.DataFrame({"method": f"m{i}", "label": ["good"] * 20 + ["logical"] * 20, "score": scores}))
    return pd.concat(parts)


def test_the_five_best_curves_are_coloured_and_the_legend_is_sorted():
    axis = roc_by_detector(roc_table()).axes[0]
    curves = axis.lines[:8]
    areas = [float(line.get_label().split()[0]) for line in curves]
    assert areas == sorted(areas, reverse=True)
    assert [line.get_color() == GREY for line in curves] == [False] * HIGHLIGHTS + [True] * 3


def test_a_category_with_one_kind_of_anomaly_has_one_panel():
    assert [axis.get_title() for axis in roc_by_detector(roc_table()).axes] == ["logical anomalies"]


def test_without_anomalous_images_the_figure_says_so():
    figure = roc_by_detector(roc_table().query("label == 'good'"))
    assert "no ROC curve" in figure.axes[0].texts[0].get_text()


def test_scores_of_several_seeds_are_refused():
    with pytest.raises(ValueError, match="one seed"):
        roc_by_detector(roc_table().assign(seed=np.tile([0, 1], 160)))


def test_kinds_lie_side_by_side_in_the_order_of_the_methods():
    rows = [("parts", m, k, 0.8, 0.7, 0.9) for m in ("b", "a") for k in ("logical", "structural")]
    figure = kind_comparison(pd.DataFrame(rows, columns=["category", "method", "kind", "mean", "low", "high"]), "AUROC")
    logical, structural = figure.axes[0].lines[:2]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["b", "a"]
    assert list(logical.get_ydata() - structural.get_ydata()) == pytest.approx([-0.3, -0.3])
