"""Values with the ends of their intervals: one row for each thing that is compared, one colour for each kind."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iadlib.figures import style


@style.drawn_from("what", "kind", "difference", "low", "high")
def differences(table: pd.DataFrame, label: str, width: float = 7) -> Figure:
    """Differences with their intervals, and a line at no difference.

    `table` has the columns what, kind, difference, low, high; `label` names the difference; `width` is in inches.
    """
    rows, narrow = style.in_order(table["what"]), width < 5
    figure, axis = style.axes_of(size=(width, 0.9 + 0.32 * len(rows) if narrow else 0.6 + 0.27 * len(rows)))
    wrap = style.NARROW_LABELS if narrow else None
    draw_intervals(axis, table, "what", "difference", rows, wrap=wrap)
    axis.set_xlabel(label)
    if table["kind"].nunique() > 1:
        (style.legend_above if narrow else style.legend_beside)(figure, [axis])
    return style.finished(figure)


@style.drawn_from("kind", "difference", "low", "high")
def differences_in_panels(table: pd.DataFrame, panels_are: str, rows_are: str, label: str) -> Figure:
    """As `differences`: a panel for each value of one column, a row for each value of another, all on one scale."""
    names, rows = style.in_order(table[panels_are]), style.in_order(table[rows_are])
    cell = (2.4, 0.45 + 0.27 * len(rows))
    figure, axes = style.panels(len(names), 4, cell, (1.7, 0.4), sharex=True, sharey=True)
    for axis, name in zip(axes, names, strict=True):
        draw_intervals(axis, table[table[panels_are] == name], rows_are, "difference", rows, title=name)
    figure.supxlabel(label, fontsize=9)
    if table["kind"].nunique() > 1:
        style.legend_beside(figure, axes)
    return style.finished(figure)


def draw_intervals(
    axis: Axes,
    table: pd.DataFrame,
    rows_are: str,
    values_are: str,
    rows: Sequence[str],
    at: float = 0,
    title: str = "",
    wrap: int | None = None,
) -> None:
    """One row of `rows` below the other, a vertical line at the value `at`, and the kinds of a row side by side.

    The names of the rows are on lines of at most `wrap` characters.
    """
    kinds = style.in_order([*style.kinds_present(table["kind"]), *table["kind"]])
    together = table.groupby(rows_are)["kind"].nunique().max() > 1
    offsets = np.linspace(-0.15, 0.15, len(kinds)) if together else np.zeros(len(kinds))
    for kind, offset in zip(kinds, offsets, strict=True):
        part = table[table["kind"] == kind]
        positions = part[rows_are].map(rows.index) + offset
        colour, marker = style.KIND_COLOURS.get(kind, "0.3"), style.KIND_MARKERS.get(kind, "o")
        axis.hlines(positions, part["low"], part["high"], color=colour, linewidth=2.2, alpha=0.5)
        axis.plot(part[values_are], positions, marker, color=colour, markersize=5, label=kind)
    axis.axvline(at, color="0.4", linewidth=1, zorder=1.5)
    style.few_ticks(axis, 5 if wrap is None else 3)
    axis.set_title(style.label(title, 24 if wrap is None else 14), fontsize=10)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_yticks(range(len(rows)), [style.label(row, wrap) for row in rows])
