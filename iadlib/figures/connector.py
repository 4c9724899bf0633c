"""The flat connector: masking by radius, defects by size and contrast."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from iadlib.figures import style


@style.drawn_from("method", "category", "radius", "metric", "value")
def radius_curves(table: pd.DataFrame) -> Figure:
    """Methods in rows, metrics in columns, the radius on the x axis, one line for each background.

    `table` has the columns method, category (the background), radius (in the order of the axis), metric, value. The
    panels of a column share their scale.
    """
    metrics, grounds, radii, methods = (style.in_order(table[c]) for c in ("metric", "category", "radius", "method"))
    size = (3.2 + 2 * len(metrics), 0.9 + 0.95 * len(methods))
    figure, axes = style.axes_of(len(methods), len(metrics), size=size, sharex=True, sharey="col", squeeze=False)
    values = table.set_index(["method", "metric", "category", "radius"])["value"].sort_index()
    for row, method in zip(axes, methods, strict=True):
        for axis, metric in zip(row, metrics, strict=True):
            for ground, options in style.line_styles(grounds).items():
                found = values.reindex([(method, metric, ground, radius) for radius in radii])
                axis.plot(range(len(radii)), found, **options, markersize=3.5, linewidth=1.2, label=style.label(ground))
        row[0].set_ylabel(style.label(method, 16), rotation=0, ha="right", va="center")
    for axis, metric in zip(axes[0], metrics, strict=True):
        axis.set_title(metric.replace(", ", "\n"))
    for axis in axes[-1]:
        axis.set_xticks(range(len(radii)), radii)
        axis.set_xlabel("radius, pixels")
    style.legend_beside(figure, [axes[0, 0]])
    return style.finished(figure)


@style.drawn_from("panel", "method", "size", "share")
def detection_by_size(
    points: pd.DataFrame, curves: pd.DataFrame, highlight: Sequence[str] | None = None, narrow: bool = False
) -> Figure:
    """One panel for each defect: the share that is found by size; markers are bins, lines are fitted curves.

    Both tables have the columns panel ("defect: size, unit"), method, size, share. At most five methods have colours
    and markers: those of `highlight`, or else those that find most in the mean over the panels. `narrow`: a telephone
    can show it.
    """
    names, methods = (style.in_order(curves[column]) for column in ("panel", "method"))
    shares = points.groupby("method")["share"].mean().reindex(methods).sort_values(ascending=False, kind="stable")
    coloured = list(shares.index if highlight is None else highlight)[: style.HIGHLIGHTS]
    size, extra = ((style.NARROW / 2, 2.2), (0, 1)) if narrow else ((3.7, 2.5), (2, 0))
    figure, axes = style.panels(len(names), 2, size, extra, sharey=True)
    for axis, name in zip(axes, names, strict=True):
        for method, options in style.line_styles(methods, coloured).items():
            line, dots = (table[(table["panel"] == name) & (table["method"] == method)] for table in (curves, points))
            axis.plot(line["size"], line["share"], **(options | {"marker": ""}))
            if method in coloured:
                axis.plot(dots["size"], dots["share"], **(options | {"linestyle": ""}), markersize=4)
                axis.plot([], [], **options, markersize=4, label=style.label(method))
        axis.axhline(0.5, color="0.6", linewidth=0.8, zorder=1)
        defect, _, size = name.partition(": ")
        axis.set_title(style.label(defect), fontsize=10)
        axis.set(xlabel=size, xscale="log", ylim=(-0.03, 1.03))
        ticks = np.geomspace(*curves.loc[curves["panel"] == name, "size"].agg(["min", "max"]), 3 if narrow else 5)
        axis.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
        axis.minorticks_off()
    others = [style.label(method) for method in methods if method not in coloured]
    if others:
        axes[0].plot([], [], color=style.GREY, label="others" if narrow else "\n".join(others))
    figure.supylabel("share that is found", fontsize=9)
    (style.legend_above if narrow else style.legend_beside)(figure, axes)
    return style.finished(figure)


@style.drawn_from("method", "size", "strength", "share")
def size_and_strength(table: pd.DataFrame) -> Figure:
    """One panel for each method, one dot for each scratch by its length and strength; darker: more seeds find it.

    `table` has the columns method, size, strength, share.
    """
    methods = style.in_order(table["method"])
    figure, axes = style.panels(len(methods), 4, (2.2, 2.1), (0.9, 0), sharex=True, sharey=True)
    for axis, method in zip(axes, methods, strict=True):
        part = table[table["method"] == method]
        dots = axis.scatter(part["size"], part["strength"], c=part["share"], cmap="viridis_r", vmin=0, vmax=1, s=16)
        axis.set_title(style.label(method, 24))
    figure.supxlabel("length, mm", fontsize=9)
    figure.supylabel("strength", fontsize=9)
    figure.colorbar(dots, ax=axes, label="share of the seeds that find it", fraction=0.03, pad=0.02)
    return style.finished(figure)


@style.drawn_from("defect", "method", "auroc")
def defect_heat_map(table: pd.DataFrame, name: str) -> Figure:
    """Defects in rows, methods in columns, a value in each cell; `table` has the columns defect, method and auroc.

    `name` is what the values are; the scale of the colours begins at 0.5, chance.
    """
    wide = table.pivot(index="defect", columns="method", values="auroc")
    wide = wide.reindex(index=style.in_order(table["defect"]), columns=style.in_order(table["method"]))
    figure, axis = style.axes_of(size=(2.4 + 0.76 * len(wide.columns), 0.9 + 0.36 * len(wide)))
    shown = axis.imshow(wide, vmin=0.5, vmax=1, cmap="Blues", aspect="auto")
    axis.grid(visible=False)
    for (row, column), value in np.ndenumerate(wide.to_numpy()):
        if np.isfinite(value):
            colour = "white" if value > 0.8 else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8.5)
    axis.set_xticks(range(len(wide.columns)), [style.label(method, 12) for method in wide.columns], fontsize=7.5)
    axis.set_yticks(range(len(wide)), [style.label(defect) for defect in wide.index])
    figure.colorbar(shown, label=name, extend="min" if wide.min(axis=None) < 0.5 else "neither", pad=0.01)
    return style.finished(figure)
