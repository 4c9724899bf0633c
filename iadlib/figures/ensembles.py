"""Ensembles: learning, what is kept of the members, and differences with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iadlib.figures.style import KIND_COLOURS, axes_of, finished


def discriminator_curves(curves: pd.DataFrame) -> Figure:
    """Of every named discriminator: its loss, and its AUROC on artificial anomalies beside that on test images.

    `curves` has the columns name, step, loss, artificial anomalies, test images; the last one has gaps.
    """
    figure, (left, right) = axes_of(1, 2, figsize=(11, 3.2))
    names = list(dict.fromkeys(curves["name"]))
    for name, colour in zip(names, sns.color_palette("deep"), strict=False):
        rows = curves[curves["name"] == name]
        left.plot(rows["step"], rows["loss"], color=colour, label=name)
        right.plot(rows["step"], rows["artificial anomalies"], color=colour, linewidth=0.8, alpha=0.6)
        seen = rows.dropna(subset="test images")
        right.plot(seen["step"], seen["test images"], "o-", color=colour, markersize=3)
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    right.set(xlabel="step", ylabel="AUROC", ylim=(0.3, 1.02))
    right.plot([], [], color="0.4", linewidth=0.8, label="artificial anomalies, patches")
    right.plot([], [], "o-", color="0.4", markersize=3, label="test images, selects nothing")
    left.legend(frameon=False)
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return finished(figure)


def cumulative_variance(shares: dict[str, Sequence[float]], kept: dict[str, int]) -> Figure:
    """The share of each member's variance by the number of principal components; dots mark how many are kept."""
    figure, axis = axes_of(figsize=(5.2, 3.2))
    for (name, share), colour in zip(shares.items(), sns.color_palette("deep"), strict=False):
        axis.plot(np.arange(1, len(share) + 1), share, color=colour, label=name.replace("_", " "))
        axis.plot(kept[name], share[kept[name] - 1], "o", color=colour)
    axis.set(xlabel="principal components", ylabel="share of the variance", ylim=(0, 1.03))
    axis.legend(frameon=False, loc="lower right")
    return finished(figure)


def differences(table: pd.DataFrame, label: str) -> Figure:
    """Differences with their intervals, and a line at none.

    `table` has the columns what, kind, difference, low, high; colours stand for kinds.
    """
    rows = list(dict.fromkeys(table["what"]))
    figure, axis = axes_of(figsize=(6.4, 0.7 + 0.34 * len(rows)))
    _draw_differences(axis, table, "what")
    axis.set_xlabel(label)
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return finished(figure)


def differences_in_panels(table: pd.DataFrame, panels_are: str, rows_are: str, label: str) -> Figure:
    """As `differences`: a panel for each value of one column, a line for each of another, all on one scale."""
    panels = list(dict.fromkeys(table[panels_are]))
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    size = (2 + 2.5 * columns, 0.6 + (0.55 + 0.3 * table[rows_are].nunique()) * lines)
    figure, axes = axes_of(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, panel in zip(axes.flat, panels, strict=False):
        _draw_differences(axis, table[table[panels_are] == panel], rows_are)
        axis.set_title(panel.replace("_", " "))
    figure.supxlabel(label, fontsize="medium")
    if table["kind"].nunique() > 1:
        axes[0, -1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return finished(figure)


def _draw_differences(axis: Axes, table: pd.DataFrame, rows_are: str) -> None:
    rows, kinds = (list(dict.fromkeys(table[column])) for column in (rows_are, "kind"))
    side_by_side = table.groupby(rows_are)["kind"].nunique().max() > 1
    for kind, offset in zip(
        kinds, np.linspace(-0.15, 0.15, len(kinds)) if side_by_side else [0] * len(kinds), strict=True
    ):
        part = table[table["kind"] == kind]
        positions = np.array([rows.index(row) for row in part[rows_are]]) + offset
        colour = KIND_COLOURS.get(kind, "0.3")
        axis.hlines(positions, part["low"], part["high"], color=colour, linewidth=2.5, alpha=0.5)
        axis.plot(part["difference"], positions, "o", color=colour, label=kind)
    axis.axvline(0, color="black", linewidth=1)
    axis.locator_params(axis="x", nbins=6)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_yticks(range(len(rows)), [row.replace("_", " ") for row in rows])
