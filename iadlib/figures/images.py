"""Photographs, maps and ground truth."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from iadlib.figures.style import KIND_COLOURS, axes_of, finished, grid, outline
from iadlib.types import Region


def image_grid(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    regions: Sequence[list[Region]] | None = None,
    columns: int = 3,
    heading: str | None = None,
) -> Figure:
    """Images (H, W, 3), with ground truth outlined where `regions` are given."""
    figure, axes = grid(images, columns)
    figure.suptitle(heading)
    for index, axis in enumerate(axes):
        axis.imshow(images[index])
        axis.set_title(titles[index], fontsize=9)
        if regions is not None:
            outline(axis, regions[index])
    return finished(figure)


def heat_map_panel(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    regions: Sequence[list[Region]],
    titles: Sequence[str],
    highest: float | None = None,
) -> Figure:
    """One row an image: with ground truth outlined, and beside it its map; all maps on one scale up to `highest`."""
    pairs = [item for image, heat in zip(images, maps, strict=True) for item in (image, heat)]
    figure, axes = grid(pairs, columns=2)
    low = min(heat.min() for heat in maps)
    high = max(heat.max() for heat in maps) if highest is None else highest
    for row, (left, right) in enumerate(zip(axes[::2], axes[1::2], strict=True)):
        left.imshow(images[row])
        right.imshow(images[row])
        shown = right.imshow(maps[row], cmap="inferno", vmin=low, vmax=high, alpha=0.75)
        for axis in (left, right):
            outline(axis, regions[row])
        left.set_title(titles[row], fontsize=9, loc="left")
    figure.colorbar(shown, ax=list(axes), fraction=0.03, pad=0.02, label="anomaly score")
    return finished(figure)


def maps_side_by_side(
    images: Sequence[np.ndarray],
    maps: dict[str, Sequence[np.ndarray]],
    regions: Sequence[list[Region]],
    titles: Sequence[str],
) -> Figure:
    """One row an image: itself, then its map of every named detector; every detector has a scale of its own."""
    pictures = [item for row, image in enumerate(images) for item in (image, *(found[row] for found in maps.values()))]
    figure, axes = grid(pictures, columns=1 + len(maps))
    for row, axes_of_row in enumerate(axes.reshape(len(images), -1)):
        axes_of_row[0].imshow(images[row])
        axes_of_row[0].set_title(titles[row], fontsize=8, loc="left")
        for axis, (name, found) in zip(axes_of_row[1:], maps.items(), strict=True):
            axis.imshow(found[row], cmap="inferno", vmin=min(m.min() for m in found), vmax=max(m.max() for m in found))
            if row == 0:
                axis.set_title(name.replace("_", " "), fontsize=8)
        for axis in axes_of_row:
            outline(axis, regions[row])
    return finished(figure)


def saturation_curves(areas: pd.DataFrame) -> Figure:
    """sPRO of a typical region of each defect against the share of it that is marked; dots: where it saturates.

    `areas` has a row for each defect, with the columns `median area` and `median saturation area` in pixels. Defects
    that saturate at all of their region share one line.
    """
    figure, axis = axes_of(figsize=(6, 3.2))
    enough = (areas["median saturation area"] / areas["median area"]).clip(upper=1)
    whole = list(enough.index[enough == 1])
    for defect, share in enough[enough < 1].sort_values().items():
        axis.plot([0, share, 1], [0, 1, 1], label=f"{defect}: {share:.{0 if share > 0.1 else 1}%}")
        axis.plot(share, 1, "o", color=axis.lines[-1].get_color(), markersize=5)
    if whole:
        axis.plot([0, 1], [0, 1], color="0.5", label="\n".join([f"all of it: {whole[0]}", *whole[1:]]))
    axis.set(xlabel="share of the region that is marked", ylabel="sPRO", ylim=(0, 1.08), xlim=(0, 1))
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), title="saturates at")
    return finished(figure)


def saturation_steps(image: np.ndarray, region: Region, marks: Sequence[np.ndarray], table: pd.DataFrame) -> Figure:
    """What marking more and more of one region earns: four marks on the image, and the curves of sPRO and PRO.

    `table` has the columns share (of the region that is marked), sPRO and PRO.
    """
    figure = plt.figure(figsize=(10, 4.8), dpi=110, layout="constrained")
    figure.suptitle(region.defect_name.replace("_", " "), fontsize=11)
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.25])
    rows, columns = np.nonzero(region.mask)
    margin = max(6, (np.ptp(rows) + np.ptp(columns)) // 4)
    for axis, mark in zip(above.subplots(1, len(marks)), marks, strict=True):
        axis.imshow(image)
        axis.imshow(np.where(mark, 1.0, np.nan), cmap="autumn", vmin=0, vmax=1, alpha=0.75, interpolation="nearest")
        outline(axis, [region])
        axis.set_xlim(max(0, columns.min() - margin), min(image.shape[1], columns.max() + margin))
        axis.set_ylim(min(image.shape[0], rows.max() + margin), max(0, rows.min() - margin))
        share = mark.sum() / region.mask.sum()
        digits = 0 if share > 0.1 else 1
        found = min(1, mark.sum() / region.saturation_area)
        axis.set_title(f"{share:.{digits}%} marked: sPRO {found:.2f}", fontsize=9)
        axis.axis("off")
    with sns.axes_style("whitegrid"):
        axis = below.subplots()
    axis.plot(table["share"], table["sPRO"], color=KIND_COLOURS["logical"], label="sPRO")
    axis.plot(table["share"], table["PRO"], color="0.6", linestyle="--", label="PRO, which asks for all of it")
    axis.axvline(region.saturation_area / region.mask.sum(), color="black", linewidth=0.8, linestyle=":")
    axis.set(xlabel="share of the region that is marked", ylabel="score", xlim=(0, 1), ylim=(0, 1.05))
    axis.legend(frameon=False, loc="lower right")
    return finished(figure)


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
            outline(axis, outlined)
            axis.set_title(name, fontsize=8, pad=3)
            left += wide + gap
        top -= line + tall
    plt.close(figure)
    return figure
