"""The flat connector: masking by radius, defects by size and contrast."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from iadlib.figures.style import axes_of, finished


def radius_curves(table: pd.DataFrame) -> Figure:
    """Metrics in rows, backgrounds in columns, the radius on the x axis, one line a method.

    `table` has the columns method, category (the background), radius (in the order of the axis), metric, value.
    """
    metrics, grounds, radii, methods = (
        list(dict.fromkeys(table[c])) for c in ("metric", "category", "radius", "method")
    )
    size = (2.6 + 2.7 * len(grounds), 1.9 * len(metrics))
    figure, axes = axes_of(len(metrics), len(grounds), figsize=size, sharex=True, sharey="row", squeeze=False)
    for row, metric in zip(axes, metrics, strict=True):
        for axis, ground in zip(row, grounds, strict=True):
            part = table[(table["metric"] == metric) & (table["category"] == ground)]
            for method, colour in zip(methods, sns.color_palette("deep"), strict=False):
                values = part[part["method"] == method].set_index("radius")["value"].reindex(radii)
                axis.plot(range(len(radii)), values, "o-", markersize=3.5, color=colour, label=method.replace("_", " "))
            axis.set_xticks(range(len(radii)), radii)
        row[0].set_ylabel(metric.replace(", ", "\n"))
    for axis, ground in zip(axes[0], grounds, strict=True):
        axis.set_title(ground.replace("_", " "))
    for axis in axes[-1]:
        axis.set_xlabel("radius, pixels")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return finished(figure)


def detection_by_size(points: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """One panel a defect: the share that is found against the size, by method; dots are bins, lines fitted curves.

    Both tables have the columns panel, method, size, share.
    """
    panels, methods = (list(dict.fromkeys(curves[column])) for column in ("panel", "method"))
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = axes_of(lines, columns, figsize=(2.2 + 3.8 * columns, 2.9 * lines), sharey=True, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    colours = dict(zip(methods, sns.color_palette("deep", len(methods)), strict=True))
    for axis, panel in zip(axes.flat, panels, strict=False):
        for method, colour in colours.items():
            for table, style in ((points, "o"), (curves, "-")):
                part = table[(table["panel"] == panel) & (table["method"] == method)]
                label = method.replace("_", " ") if style == "-" else None
                axis.plot(part["size"], part["share"], style, color=colour, markersize=3.5, label=label)
        axis.axhline(0.5, color="0.6", linewidth=0.8, zorder=0)
        defect, _, size = panel.partition(": ")
        axis.set(title=defect, xlabel=size, xscale="log", ylim=(-0.03, 1.03))
        ticks = np.round(np.geomspace(*curves.loc[curves["panel"] == panel, "size"].agg(["min", "max"]), 5), 1)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("share that is found")
    axes.flat[columns - 1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return finished(figure)


def size_and_strength(table: pd.DataFrame) -> Figure:
    """One panel a method, one dot a scratch: its length and strength; the darker, the more of the seeds find it.

    `table` has the columns method, size, strength, share.
    """
    methods = list(dict.fromkeys(table["method"]))
    columns = min(4, len(methods))
    lines = -(-len(methods) // columns)
    size = (1.2 + 2.5 * columns, 2.5 * lines)
    figure, axes = axes_of(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained")
    for axis in axes.flat[len(methods) :]:
        axis.set_axis_off()
    for axis, method in zip(axes.flat, methods, strict=False):
        part = table[table["method"] == method]
        dots = axis.scatter(part["size"], part["strength"], c=part["share"], cmap="viridis_r", vmin=0, vmax=1, s=22)
        axis.set_title(method.replace("_", " "))
    for axis in axes[-1]:
        axis.set_xlabel("length, mm")
    for axis in axes[:, 0]:
        axis.set_ylabel("strength")
    figure.colorbar(dots, ax=list(axes.flat), label="share of the seeds that find it", fraction=0.03, pad=0.02)
    return finished(figure)


def defect_heat_map(table: pd.DataFrame, label: str) -> Figure:
    """Defects in rows, methods in columns, a value in each cell; `table` has the columns defect, method and auroc."""
    wide = table.pivot(index="defect", columns="method", values="auroc")
    wide = wide.reindex(index=list(dict.fromkeys(table["defect"])), columns=list(dict.fromkeys(table["method"])))
    wide = wide.rename(index=lambda name: name.replace("_", " "), columns=lambda name: name.replace("_", "\n"))
    figure, axis = plt.subplots(figsize=(2 + 0.95 * len(wide.columns), 1.2 + 0.45 * len(wide)), dpi=110)
    sns.heatmap(wide, annot=True, fmt=".2f", vmin=0.5, vmax=1, cmap="Blues", ax=axis, cbar_kws={"label": label})
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="x", rotation=0, labelsize=8)
    axis.tick_params(axis="y", rotation=0)
    return finished(figure)
