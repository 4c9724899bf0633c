"""Detectors and ensembles, one a row: their metrics, their average ranks, and what they cost."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from iadlib.figures import style
from iadlib.figures.intervals import draw_intervals


@style.drawn_from("entry", "kind", "value", "low", "high")
def kinds_of_entries(table: pd.DataFrame, label: str, at: float = 0.5) -> Figure:
    """Logical beside structural anomalies for every entry, with intervals, in one panel; a line at `at`."""
    entries = style.in_order(table["entry"])
    figure, axis = style.axes_of(size=(style.NARROW, 1.0 + 0.32 * len(entries)))
    draw_intervals(axis, table, "entry", "value", entries, at=at, wrap=style.NARROW_LABELS)
    axis.set_xlabel(label)
    style.legend_above(figure, [axis])
    return style.finished(figure)


@style.drawn_from("category", "entry", "kind", "difference", "low", "high")
def leads(table: pd.DataFrame, reference: str) -> Figure:
    """A panel for each category with a row for each entry: its difference to the reference, with its interval.

    Intervals that do not include 0 are coloured, the others grey.
    """
    categories, entries = (style.in_order(table[column]) for column in ("category", "entry"))
    cell = (style.NARROW / 2 - 0.7, 0.6 + 0.31 * len(entries))
    figure, axes = style.panels(len(categories), 2, cell, (1.4, 0.5), sharex=True, sharey=True)
    beyond = (table["low"] > 0) | (table["high"] < 0)
    for axis, category in zip(axes, categories, strict=True):
        axis.axvline(0, color="0.4", linewidth=1, zorder=1.5)
        for clear, colour in ((True, style.KIND_COLOURS["logical"]), (False, "0.65")):
            part = table[(table["category"] == category) & (beyond == clear)]
            rows = [entries.index(entry) for entry in part["entry"]]
            axis.hlines(rows, part["low"], part["high"], color=colour, linewidth=2.2, alpha=0.6)
            label = "beyond the interval" if clear else "not beyond the interval"
            axis.plot(part["difference"], rows, "o" if clear else "s", color=colour, markersize=4.5, label=label)
        axis.set_title(style.label(category, 14), fontsize=10)
        axis.set(ylim=(len(entries) - 0.5, -0.5))
        axis.set_yticks(range(len(entries)), [style.label(entry, style.NARROW_LABELS) for entry in entries])
        style.few_ticks(axis, 3)
    figure.supxlabel(f"image AUROC minus that of {reference}", fontsize=9)
    style.legend_above(figure, axes)
    return style.finished(figure)


@style.drawn_from("entry", "rank")
def critical_differences(ranks: pd.DataFrame, p_values: pd.DataFrame) -> Figure:
    """Average ranks on one axis, 1 is best; a bar joins entries whose ranks do not differ by the test.

    `ranks` has the columns entry and rank; `p_values` has entries in rows and columns. Demšar, Statistical Comparisons
    of Classifiers over Multiple Data Sets, JMLR 2006, figure 1.
    """
    from scikit_posthocs import critical_difference_diagram  # its import takes two seconds

    ranked = ranks.set_index("entry")["rank"].rename(index=style.label)
    p_values = p_values.rename(index=style.label, columns=style.label)
    figure, axis = style.axes_of(size=(5.8, 0.9 + 0.21 * len(ranked)))
    with plt.rc_context({"font.size": 9}):
        critical_difference_diagram(
            ranked,
            p_values,
            ax=axis,
            label_fmt_left="{label} {rank:.1f}",
            label_fmt_right="{rank:.1f} {label}",
            text_h_margin=0.02,
            label_props={"fontsize": 9},
            elbow_props={"linewidth": 0.8, "color": "0.25"},
            crossbar_props={"linewidth": 2.5, "color": style.KIND_COLOURS["logical"], "marker": ""},
            marker_props={"marker": "o", "s": 12},
        )
    axis.grid(visible=False)
    for text in axis.texts:
        text.set_color("black")
    axis.set_title("average rank; 1 is best", fontsize=9, pad=16)
    return style.finished(figure)


@style.drawn_from("entry", "seconds to fit", "milliseconds an image")
def costs(table: pd.DataFrame) -> Figure:
    """Seconds to fit and milliseconds an image, both on logarithmic axes; one row for each entry."""
    entries = style.in_order(table["entry"])
    figure, axes = style.axes_of(1, 2, size=(style.NARROW, 0.9 + 0.32 * len(entries)), sharey=True)
    for axis, column in zip(axes, ("seconds to fit", "milliseconds an image"), strict=True):
        values = table.set_index("entry").loc[entries, column]
        axis.hlines(range(len(entries)), values.min() / 2, values, color="0.8", linewidth=1.2)
        axis.plot(values, range(len(entries)), "o", color=style.KIND_COLOURS["logical"], markersize=5)
        for row, value in enumerate(values):
            beside = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "size": 9}
            axis.annotate(f"{value:.3g}", (value, row), **beside)
        ends = values.min() / 2, values.max() * 12  # room for the number
        axis.set(xscale="log", xlabel=style.wrapped(column, 12), xlim=ends, ylim=(len(entries) - 0.5, -0.5))
        axis.minorticks_off()
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(entries)), [style.label(entry, style.NARROW_LABELS) for entry in entries])
    return style.finished(figure)
