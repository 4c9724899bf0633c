"""Photographs, maps and ground truth.

Photographs are scaled to the pixels that a figure shows before they are drawn, so that notebooks stay small.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iadlib.figures import style
from iadlib.figures.pictures import inferno, outlined, scaled, size_within
from iadlib.types import Region


def image_grid(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    regions: Sequence[Sequence[Region]] | None = None,
    columns: int = 4,
    heading: str | None = None,
) -> Figure:
    """Images, uint8 (H, W, 3), with ground truth outlined where `regions` are given."""
    regions = [[] for _ in images] if regions is None else regions
    if not images:
        return style.message(style.NOTHING)
    columns = style.balanced(len(images), columns)
    width = min(3.2, 10.4 / columns)
    height = width * min(1, np.mean([image.shape[0] / image.shape[1] for image in images]))
    figure, axes = style.panels(len(images), columns, (width, height + 0.3), (0, 0.3 if heading else 0))
    figure.suptitle(heading)
    for axis, image, title, found in zip(axes, images, titles, regions, strict=True):
        _show(axis, image, found, width, height)
        axis.set_title(title, fontsize=8)
    return style.finished(figure)


def maps_by_detector(
    images: Sequence[np.ndarray],
    maps: Mapping[str, Sequence[np.ndarray]],
    regions: Sequence[Sequence[Region]],
    titles: Sequence[str],
) -> Figure:
    """One column for each image: the image itself, below it its map of every named detector, ground truth outlined.

    Every detector has a scale of its own, from its lowest to its highest value over the images that are shown. Maps may
    have another size than their images.
    """
    for name, found in maps.items():
        if len(found) != len(images):
            raise ValueError(f"{name}: {len(found)} maps for {len(images)} images")
    if not images:
        return style.message(style.NOTHING)
    left, gap = 135, 5  # pixels: the width of the detectors' names, and between pictures
    width = int(min(180, 860 / len(images)))
    height = max(round(width * min(1.2, image.shape[0] / image.shape[1])) for image in images)
    titles = [style.wrapped(title, max(8, width // 8)) for title in titles]
    top = 10 + 13 * max(title.count("\n") + 1 for title in titles)
    size = (left + (width + gap) * len(images), top + (height + gap) * (1 + len(maps)))
    canvas = np.full((size[1], size[0], 3), 255, dtype=np.uint8)
    figure, axis = style.axes_of(size=(size[0] / style.DPI, size[1] / style.DPI), layout="none")
    axis.set(position=(0, 0, 1, 1))
    axis.set_axis_off()
    sizes = [size_within(image.shape, width, height) for image in images]
    photographs = [np.asarray(scaled(image, at)) for image, at in zip(images, sizes, strict=True)]
    rows = {"": photographs} | {name: _coloured(found, sizes) for name, found in maps.items()}
    for row, (name, shown) in enumerate(rows.items()):
        y = top + row * (height + gap)
        axis.text(left - 8, y + height / 2, style.label(name, 18), ha="right", va="center")
        for column, (picture, found) in enumerate(zip(shown, regions, strict=True)):
            x = left + column * (width + gap)
            canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = outlined(picture, found)
            if row == 0:
                axis.text(x, y - 5, titles[column], fontsize=7.5, va="bottom")
    axis.imshow(canvas, interpolation="nearest", aspect="auto")
    return style.finished(figure)


def _coloured(maps: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Maps of one detector as pictures of these sizes, on one scale; few shades keep the figure's file small."""
    low, high = min(heat.min() for heat in maps), max(heat.max() for heat in maps)
    resized = [np.asarray(scaled(heat.astype(np.float32), size)) for heat, size in zip(maps, sizes, strict=True)]
    return [inferno(heat, low, high, levels=48) for heat in resized]


def _show(axis: Axes, image: np.ndarray, regions: Sequence[Region], width: float, height: float) -> None:
    """The image with its regions outlined, in as many pixels as fit into that width and height in inches."""
    size = size_within(image.shape, width * style.DPI, height * style.DPI)
    axis.imshow(outlined(np.asarray(scaled(image, size)), regions), interpolation="nearest")
    axis.axis("off")


def saturation_curves(areas: pd.DataFrame) -> Figure:
    """sPRO of a typical region of each defect by the share of it that is marked; dots: where it saturates.

    `areas` has a row for each defect, with the columns `median area` and `median saturation area` in pixels. Defects
    that saturate at all of their region share one line.
    """
    figure, axis = style.axes_of(size=(7, 3.2))
    enough = (areas["median saturation area"] / areas["median area"]).clip(upper=1)
    whole = list(enough.index[enough == 1])
    for defect, share in enough[enough < 1].sort_values().items():
        axis.plot([0, share, 1], [0, 1, 1], label=f"{style.label(defect)}: {share:.{0 if share > 0.1 else 1}%}")
        axis.plot(share, 1, "o", color=axis.lines[-1].get_color(), markersize=5)
    if whole:
        names = [style.label(defect) for defect in whole]
        axis.plot([0, 1], [0, 1], color="0.5", label="\n".join([f"whole region: {names[0]}", *names[1:]]))
    axis.set(xlabel="share of the region that is marked", ylabel="sPRO", ylim=(0, 1.08), xlim=(0, 1))
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), title="saturates at")
    return style.finished(figure)


def saturation_steps(image: np.ndarray, region: Region, marks: Sequence[np.ndarray], table: pd.DataFrame) -> Figure:
    """sPRO and PRO of one region by the share of it that is marked; above the curves, some marks on the image.

    `table` has the columns share (of the region that is marked), sPRO and PRO.
    """
    figure, axes = style.axes_of(2, len(marks), size=(10, 4.4), height_ratios=[1, 1.25], squeeze=False)
    figure.suptitle(style.label(region.defect_name))
    rows, columns = np.nonzero(region.mask)
    margin = max(6, (np.ptp(rows) + np.ptp(columns)) // 4)
    window = np.s_[
        max(0, rows.min() - margin) : rows.max() + margin, max(0, columns.min() - margin) : columns.max() + margin
    ]
    cropped = Region(region.mask[window], region.saturation_area)
    for axis, mark in zip(axes[0], marks, strict=True):
        marked = np.where(mark[window][..., None], (213, 94, 0), image[window]) * 0.75 + image[window] * 0.25
        _show(axis, marked.astype(np.uint8), [cropped], 10 / len(marks), 2)
        share, found = mark.sum() / region.mask.sum(), min(1, mark.sum() / region.saturation_area)
        axis.set_title(f"{share:.{0 if share > 0.1 else 1}%} marked: sPRO {found:.2f}", fontsize=9)
    for axis in axes[1, 1:]:
        axis.remove()
    axis = axes[1, 0]
    axis.set_subplotspec(axis.get_gridspec()[1, :])
    axis.plot(table["share"], table["sPRO"], color=style.KIND_COLOURS["logical"], label="sPRO")
    axis.plot(table["share"], table["PRO"], color="0.6", linestyle="--", label="PRO (saturates at the whole region)")
    axis.axvline(region.saturation_area / region.mask.sum(), color="black", linewidth=0.8, linestyle=":")
    axis.set(xlabel="share of the region that is marked", ylabel="score", xlim=(0, 1), ylim=(0, 1.05))
    axis.legend(frameon=False, loc="lower right")
    return style.finished(figure)


def gallery(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[Sequence[str]], regions: Sequence[Sequence[Sequence[Region]]]
) -> Figure:
    """Images in rows of one width, whatever their shapes; ground truth outlined where there is any."""
    width, gap, line = 12.0, 0.08, 0.24  # inches
    heights = [(width - gap * (len(row) - 1)) / sum(i.shape[1] / i.shape[0] for i in row) for row in rows]
    height = sum(heights) + line * len(rows)
    figure = plt.figure(figsize=(width, height), dpi=style.DPI)
    top = height
    for row, names, found, tall in zip(rows, titles, regions, heights, strict=True):
        left = 0.0
        for image, name, outlines in zip(row, names, found, strict=True):
            wide = tall * image.shape[1] / image.shape[0]
            axis = figure.add_axes((left / width, (top - line - tall) / height, wide / width, tall / height))
            _show(axis, image, outlines, wide, tall)
            axis.set_title(name, fontsize=9, pad=3)
            left += wide + gap
        top -= line + tall
    return style.finished(figure)
