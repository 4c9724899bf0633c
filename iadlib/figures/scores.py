"""Scores of all detectors on one category, and logical beside structural anomalies over all categories."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from iadlib.figures import style
from iadlib.figures.intervals import draw_intervals


@style.drawn_from("method", "split", "label", "score")
def scores_by_detector(table: pd.DataFrame, thresholds: Mapping[str, float]) -> Figure:
    """Image scores in one row for each detector: a dot for each test image, and a line at the detector's threshold.

    `table` has the columns method, split, label and score, and in it validation images of every method: scores and
    `thresholds` (by method) are shown less the mean of the validation scores, divided by their standard deviation. The
    axis is linear up to 3 standard deviations and logarithmic beyond. The row of a method whose validation scores have
    no spread holds a remark instead of dots.
    """
    methods = style.in_order(table["method"])
    kinds = style.kinds_present(table.loc[table["split"] == "test", "label"])
    if not kinds:
        return style.message("no test images")
    figure, axis = style.axes_of(size=(9.5, 0.9 + 0.42 * len(methods)))
    offsets = dict(zip(kinds, np.linspace(-0.24, 0.24, len(kinds)) if len(kinds) > 1 else [0], strict=True))
    for row, method in enumerate(methods):
        part = table[table["method"] == method]
        validation = part.loc[part["split"] == "validation", "score"]
        mean, deviation = validation.mean(), validation.std()
        if not deviation > 0:
            axis.text(0, row, f"{len(validation)} validation scores without spread", va="center")
            continue
        test = part[part["split"] == "test"]
        for kind in kinds:
            shown = (test.loc[test["label"] == kind, "score"] - mean) / deviation
            rows = np.full(len(shown), row + offsets[kind])
            dots = {"color": style.KIND_COLOURS[kind], "markersize": 3.5, "alpha": 0.55, "markeredgewidth": 0}
            axis.plot(shown, rows, style.KIND_MARKERS[kind], label=kind, **dots)
        if method in thresholds:
            at = (thresholds[method] - mean) / deviation
            axis.vlines(at, row - 0.42, row + 0.42, color="black", linewidth=1.3, label="threshold")
    axis.set_xscale("symlog", linthresh=3, linscale=1.5)
    _readable_ticks(axis)
    axis.set_yticks(range(len(methods)), [style.label(method) for method in methods])
    axis.set(
        ylim=(len(methods) - 0.5, -0.5), xlabel="image score, standard deviations above the validation images' mean"
    )
    axis.grid(visible=False, axis="y")
    style.legend_beside(figure, [axis])
    return style.finished(figure)


def _readable_ticks(axis: Axes) -> None:
    """Ticks of a symmetrical logarithmic axis within the range of the data, as plain numbers."""
    low, high = axis.get_xlim()
    ticks = [sign * value for value in (1, 2, 3, 10, 30, 100, 300, 1000, 3000, 10000) for sign in (-1, 1)]
    ticks = sorted(tick for tick in [0, *ticks] if low <= tick <= high)
    axis.set_xticks(ticks, [f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
    axis.minorticks_off()


@style.drawn_from("method", "label", "score")
def roc_by_detector(table: pd.DataFrame) -> Figure:
    """A panel for each kind of anomaly, with a curve for each detector; the legend has the areas, highest first.

    `table` has the columns method, label and score, one score for each method and test image; where there is a column
    split, rows of other splits than test are left out. The five highest areas of a panel are coloured.
    """
    table = table[table["split"] == "test"] if "split" in table.columns else table
    if "seed" in table.columns and table.groupby("method")["seed"].nunique().max() > 1:
        raise ValueError("scores of several seeds have no common ROC curve: choose one seed of every method")
    methods, kinds = style.in_order(table["method"]), style.kinds_present(table["label"])
    if len(kinds) < 2 or kinds[0] != "good":
        return style.message("no ROC curve: both good and anomalous test images are needed")
    figure, axes = style.panels(len(kinds) - 1, 2, (5.7, 3.4))
    for axis, kind in zip(axes, kinds[1:], strict=True):
        chosen = table[table["label"].isin(["good", kind])]
        found = {method: (part["label"] == kind, part["score"]) for method, part in chosen.groupby("method")}
        areas = {method: roc_auc_score(*found[method]) for method in methods}
        ranked = sorted(methods, key=areas.get, reverse=True)
        styles = style.line_styles(methods, ranked[: style.HIGHLIGHTS])
        for method in ranked:
            options = styles[method] | {"marker": ""}
            axis.plot(*roc_curve(*found[method])[:2], **options, label=f"{areas[method]:.3f}  {style.label(method)}")
        axis.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, zorder=1)
        axis.set(xlabel="false positive rate", ylabel="true positive rate", title=f"{kind} anomalies", box_aspect=1)
        axis.legend(title="image AUROC", loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)
    return style.finished(figure)


@style.drawn_from("category", "method", "kind", "mean", "low", "high")
def kind_comparison(table: pd.DataFrame, label: str, narrow: bool = False) -> Figure:
    """Logical beside structural anomalies for every method, one panel for each category; a line at 0.5.

    `table` has the columns category, method, kind, mean, and low and high, the ends of an interval. `label` names the
    values; `narrow` puts two panels side by side, so that a telephone can show them.
    """
    categories, methods = (style.in_order(table[column]) for column in ("category", "method"))
    cell = (style.NARROW / 2 - 0.7, 0.7 + 0.31 * len(methods)) if narrow else (3.1, 0.7 + 0.26 * len(methods))
    columns, beside, wrap = (2, 1.4, style.NARROW_LABELS) if narrow else (3, 1.8, None)
    figure, axes = style.panels(len(categories), columns, cell, (beside, 0.2), sharex=True, sharey=True)
    for axis, category in zip(axes, categories, strict=True):
        rows = table[table["category"] == category]
        draw_intervals(axis, rows, "method", "mean", methods, at=0.5, title=category, wrap=wrap)
    figure.supxlabel(label, fontsize=9)
    (style.legend_above if narrow else style.legend_beside)(figure, axes)
    return style.finished(figure)
