"""The study's pictures, from plain arrays and tables; each function returns a matplotlib figure.

Colours stand for the same thing everywhere: good grey, logical blue, structural orange, ground truth outlined in cyan.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from iadlib.types import Region

KIND_COLOURS = {"good": "0.55", "logical": "#1f6fb4", "structural": "#e07b1a"}
OUTLINE = "#00e5ff"


def image_grid(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    regions: Sequence[list[Region]] | None = None,
    columns: int = 3,
    heading: str | None = None,
) -> Figure:
    """Images (H, W, 3), with ground truth outlined where `regions` are given."""
    figure, axes = _grid(images, columns)
    figure.suptitle(heading)
    for index, axis in enumerate(axes):
        axis.imshow(images[index])
        axis.set_title(titles[index], fontsize=9)
        if regions is not None:
            _outline(axis, regions[index])
    return _finished(figure)


def heat_map_panel(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    regions: Sequence[list[Region]],
    titles: Sequence[str],
    highest: float | None = None,
) -> Figure:
    """One row an image: with ground truth outlined, and beside it its map; all maps on one scale up to `highest`."""
    pairs = [item for image, heat in zip(images, maps, strict=True) for item in (image, heat)]
    figure, axes = _grid(pairs, columns=2)
    low = min(heat.min() for heat in maps)
    high = max(heat.max() for heat in maps) if highest is None else highest
    for row, (left, right) in enumerate(zip(axes[::2], axes[1::2], strict=True)):
        left.imshow(images[row])
        right.imshow(images[row])
        shown = right.imshow(maps[row], cmap="inferno", vmin=low, vmax=high, alpha=0.75)
        for axis in (left, right):
            _outline(axis, regions[row])
        left.set_title(titles[row], fontsize=9, loc="left")
    figure.colorbar(shown, ax=list(axes), fraction=0.03, pad=0.02, label="anomaly score")
    return _finished(figure)


def score_histogram(scores: np.ndarray, kinds: Sequence[str], threshold: float) -> Figure:
    """Image scores by kind, with the threshold taken from normal validation images."""
    figure, axis = _axes(figsize=(7, 3))
    table = pd.DataFrame({"image score": scores, "kind": list(kinds)})
    sns.histplot(
        table, x="image score", hue="kind", hue_order=_present(kinds), palette=KIND_COLOURS, bins=25, ax=axis, alpha=0.6
    )
    axis.axvline(threshold, color="black", linestyle="--", linewidth=1.2)
    axis.annotate(
        "threshold", (threshold, 1), xycoords=("data", "axes fraction"), xytext=(4, -12), textcoords="offset points"
    )
    axis.set_ylabel("images")
    return _finished(figure)


def roc_curves(scores: np.ndarray, kinds: Sequence[str]) -> Figure:
    """One curve for each anomaly kind, against the good images."""
    figure, axis = _axes(figsize=(4.2, 4))
    kinds = np.asarray(kinds)
    for kind in _present(kinds):
        if kind == "good":
            continue
        chosen = (kinds == kind) | (kinds == "good")
        labels = kinds[chosen] == kind
        area = roc_auc_score(labels, scores[chosen])
        axis.plot(*roc_curve(labels, scores[chosen])[:2], color=KIND_COLOURS[kind], label=f"{kind}: {area:.3f}")
    axis.plot([0, 1], [0, 1], color="0.7", linestyle=":", linewidth=1)
    axis.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axis.legend(title="image AUROC", loc="lower right")
    return _finished(figure)


def scores_by_defect(scores: np.ndarray, defects: Sequence[str], kinds: Sequence[str], threshold: float) -> Figure:
    """Every test image as a dot, one line a defect: what is found, and what stays below the threshold."""
    table = pd.DataFrame({"image score": scores, "defect": list(defects), "kind": list(kinds)})
    order = table.sort_values(["kind", "defect"])["defect"].unique()
    figure, axis = _axes(figsize=(7, 0.5 + 0.42 * len(order)))
    sns.stripplot(
        table,
        x="image score",
        y="defect",
        order=order,
        hue="kind",
        hue_order=_present(kinds),
        palette=KIND_COLOURS,
        size=4.5,
        ax=axis,
        jitter=False,
        alpha=0.7,
    )
    axis.axvline(threshold, color="black", linestyle="--", linewidth=1.2)
    axis.set_ylabel("")
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), frameon=False, title="")
    return _finished(figure)


def saturation_curves(areas: pd.DataFrame) -> Figure:
    """sPRO of a typical region of each defect against the number of its pixels that are marked.

    `areas` has a row for each defect, with the columns `median area` and `median saturation area` in pixels.
    """
    figure, axis = _axes(figsize=(6, 3.2))
    for defect, row in areas.iterrows():
        marked = np.linspace(0, row["median area"], 201)
        axis.plot(marked, np.minimum(1, marked / row["median saturation area"]), label=defect)
        axis.plot(row["median saturation area"], 1, "o", color=axis.lines[-1].get_color(), markersize=5)
    axis.set(xlabel="marked pixels of the region", ylabel="sPRO", ylim=(0, 1.08), xlim=(0, None))
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return _finished(figure)


def saturation_steps(image: np.ndarray, region: Region, marks: Sequence[np.ndarray], table: pd.DataFrame) -> Figure:
    """What marking more and more of one region earns: four marks on the image, and the curves of sPRO and PRO.

    `table` has the columns share (of the region that is marked), sPRO and PRO.
    """
    figure = plt.figure(figsize=(10, 4.6), dpi=110, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.25])
    rows, columns = np.nonzero(region.mask)
    margin = max(6, (np.ptp(rows) + np.ptp(columns)) // 4)
    for axis, mark in zip(above.subplots(1, len(marks)), marks, strict=True):
        axis.imshow(image)
        axis.imshow(np.where(mark, 1.0, np.nan), cmap="autumn", vmin=0, vmax=1, alpha=0.75, interpolation="nearest")
        _outline(axis, [region])
        axis.set_xlim(max(0, columns.min() - margin), min(image.shape[1], columns.max() + margin))
        axis.set_ylim(min(image.shape[0], rows.max() + margin), max(0, rows.min() - margin))
        share = mark.sum() / region.mask.sum()
        axis.set_title(f"{share:.0%} marked: sPRO {min(1, mark.sum() / region.saturation_area):.2f}", fontsize=9)
        axis.axis("off")
    with sns.axes_style("whitegrid"):
        axis = below.subplots()
    axis.plot(table["share"], table["sPRO"], color=KIND_COLOURS["logical"], label="sPRO")
    axis.plot(table["share"], table["PRO"], color="0.6", linestyle="--", label="PRO, which asks for all of it")
    axis.axvline(region.saturation_area / region.mask.sum(), color="black", linewidth=0.8, linestyle=":")
    axis.set(xlabel="share of the region that is marked", ylabel="score", xlim=(0, 1), ylim=(0, 1.05))
    axis.legend(frameon=False, loc="lower right")
    return _finished(figure)


def gallery(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[Sequence[str]], regions: Sequence[Sequence]
) -> Figure:
    """Images in rows of one width, whatever their shapes; ground truth outlined where there is any."""
    width, gap, line = 12.0, 0.08, 0.24  # inches
    heights = [(width - gap * (len(row) - 1)) / sum(i.shape[1] / i.shape[0] for i in row) for row in rows]
    height = sum(heights) + line * len(rows)
    figure = plt.figure(figsize=(width, height), dpi=110)
    top = height
    for row, names, found, tall in zip(rows, titles, regions, heights, strict=True):
        left = 0.0
        for image, name, outlined in zip(row, names, found, strict=True):
            wide = tall * image.shape[1] / image.shape[0]
            box = (left / width, (top - line - tall) / height, wide / width, tall / height)
            axis = figure.add_axes(box)
            axis.imshow(image)
            axis.axis("off")
            _outline(axis, outlined)
            axis.set_title(name, fontsize=8, pad=3)
            left += wide + gap
        top -= line + tall
    plt.close(figure)
    return figure


def kind_comparison(table: pd.DataFrame, label: str) -> Figure:
    """Logical beside structural for every method, one panel a category.

    `table` has the columns category, method, kind, mean, and low and high, the ends of an interval.
    """
    categories, methods = (list(dict.fromkeys(table[column])) for column in ("category", "method"))
    columns = min(3, len(categories))
    lines = -(-len(categories) // columns)
    size = (2.2 + 3.4 * columns, (0.9 + 0.42 * len(methods)) * lines)
    figure, axes = _axes(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(categories) :]:
        axis.set_axis_off()
    for axis, category in zip(axes.flat, categories, strict=False):
        for offset, kind in ((-0.12, "logical"), (0.12, "structural")):
            rows = table[(table["category"] == category) & (table["kind"] == kind)].set_index("method").reindex(methods)
            positions = np.arange(len(methods)) + offset
            axis.hlines(positions, rows["low"], rows["high"], color=KIND_COLOURS[kind], linewidth=2.5, alpha=0.5)
            axis.plot(rows["mean"], positions, "o", color=KIND_COLOURS[kind], label=kind)
        axis.axvline(0.5, color="0.8", linewidth=0.8, zorder=0)
        axis.set(title=category.replace("_", " "), ylim=(len(methods) - 0.5, -0.5))
        axis.set_yticks(range(len(methods)), [method.replace("_", " ") for method in methods])
    for axis in axes[-1]:
        axis.set_xlabel(label)
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return _finished(figure)


def learning_curve(losses: Sequence[float]) -> Figure:
    """Loss at every step, thin, and its running mean."""
    figure, axis = _axes(figsize=(6, 2.8))
    losses = pd.Series(losses)
    axis.plot(losses, color="0.75", linewidth=0.8)
    axis.plot(losses.rolling(max(1, len(losses) // 50), min_periods=1).mean(), color=KIND_COLOURS["logical"])
    axis.set(xlabel="step", ylabel="loss")
    return _finished(figure)


def discriminator_curves(curves: pd.DataFrame) -> Figure:
    """Of every named discriminator: its loss, and its AUROC on artificial anomalies beside that on test images.

    `curves` has the columns name, step, loss, artificial anomalies, test images; the last one has gaps.
    """
    figure, (left, right) = _axes(1, 2, figsize=(11, 3.2))
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
    return _finished(figure)


def cumulative_variance(shares: dict[str, Sequence[float]], kept: dict[str, int]) -> Figure:
    """The share of each member's variance by the number of principal components; dots mark how many are kept."""
    figure, axis = _axes(figsize=(5.2, 3.2))
    for (name, share), colour in zip(shares.items(), sns.color_palette("deep"), strict=False):
        axis.plot(np.arange(1, len(share) + 1), share, color=colour, label=name.replace("_", " "))
        axis.plot(kept[name], share[kept[name] - 1], "o", color=colour)
    axis.set(xlabel="principal components", ylabel="share of the variance", ylim=(0, 1.03))
    axis.legend(frameon=False, loc="lower right")
    return _finished(figure)


def maps_side_by_side(
    images: Sequence[np.ndarray],
    maps: dict[str, Sequence[np.ndarray]],
    regions: Sequence[list[Region]],
    titles: Sequence[str],
) -> Figure:
    """One row an image: itself, then its map of every named detector; every detector has a scale of its own."""
    pictures = [item for row, image in enumerate(images) for item in (image, *(found[row] for found in maps.values()))]
    figure, axes = _grid(pictures, columns=1 + len(maps))
    for row, axes_of_row in enumerate(axes.reshape(len(images), -1)):
        axes_of_row[0].imshow(images[row])
        axes_of_row[0].set_title(titles[row], fontsize=8, loc="left")
        for axis, (name, found) in zip(axes_of_row[1:], maps.items(), strict=True):
            axis.imshow(found[row], cmap="inferno", vmin=min(m.min() for m in found), vmax=max(m.max() for m in found))
            if row == 0:
                axis.set_title(name.replace("_", " "), fontsize=8)
        for axis in axes_of_row:
            _outline(axis, regions[row])
    return _finished(figure)


def differences(table: pd.DataFrame, label: str) -> Figure:
    """Differences with their intervals, and a line at none.

    `table` has the columns what, kind, difference, low, high; colours stand for kinds.
    """
    rows = list(dict.fromkeys(table["what"]))
    figure, axis = _axes(figsize=(6.4, 0.7 + 0.34 * len(rows)))
    kinds = list(dict.fromkeys(table["kind"]))
    for kind, offset in zip(kinds, np.linspace(-0.15, 0.15, len(kinds)) if len(kinds) > 1 else [0], strict=True):
        part = table[table["kind"] == kind]
        positions = np.array([rows.index(what) for what in part["what"]]) + offset
        colour = KIND_COLOURS.get(kind, "0.3")
        axis.hlines(positions, part["low"], part["high"], color=colour, linewidth=2.5, alpha=0.5)
        axis.plot(part["difference"], positions, "o", color=colour, label=kind)
    axis.axvline(0, color="black", linewidth=1)
    axis.set(xlabel=label, ylim=(len(rows) - 0.5, -0.5))
    axis.set_yticks(range(len(rows)), [row.replace("_", " ") for row in rows])
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return _finished(figure)


def _axes(*shape: int, **options) -> tuple:
    """plt.subplots in the study's style, which stays out of the caller's other figures."""
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook", font_scale=0.85):
        return plt.subplots(*shape, dpi=110, **options)


def _present(kinds: Sequence[str]) -> list[str]:
    return [kind for kind in KIND_COLOURS if kind in set(kinds)]


def _outline(axis: Axes, regions: list[Region]) -> None:
    for region in regions:
        axis.contour(region.mask, levels=[0.5], colors=OUTLINE, linewidths=1)


def _grid(pictures: Sequence[np.ndarray], columns: int) -> tuple[Figure, np.ndarray]:
    """As many axes as pictures, without ticks, each cell shaped as the pictures' mean, but no taller than wide."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    cell = min(3.6, 10 / columns)
    height = cell * min(1, np.mean([picture.shape[0] / picture.shape[1] for picture in pictures]))
    figure, axes = _axes(
        rows,
        columns,
        figsize=(cell * columns, (height + 0.3) * rows),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes.flat[: len(pictures)]


def _finished(figure: Figure) -> Figure:
    """Laid out, and closed for pyplot: a notebook shows a figure because a cell returns it, once."""
    if figure.get_layout_engine() is None:
        figure.tight_layout()
    plt.close(figure)
    return figure
