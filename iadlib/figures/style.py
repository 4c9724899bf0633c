"""What all figures share: colours, axes, and the finish.

Colours stand for the same thing everywhere: good grey, logical blue, structural orange, ground truth outlined in cyan.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iadlib.types import Region

KIND_COLOURS = {"good": "0.55", "logical": "#1f6fb4", "structural": "#e07b1a"}
OUTLINE = "#00e5ff"


def axes_of(*shape: int, **options) -> tuple:
    """plt.subplots in the study's style, which stays out of the caller's other figures."""
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook", font_scale=0.85):
        return plt.subplots(*shape, dpi=110, **options)


def kinds_present(kinds: Sequence[str]) -> list[str]:
    return [kind for kind in KIND_COLOURS if kind in set(kinds)]


def outline(axis: Axes, regions: list[Region]) -> None:
    for region in regions:
        axis.contour(region.mask, levels=[0.5], colors=OUTLINE, linewidths=1)


def grid(pictures: Sequence[np.ndarray], columns: int) -> tuple[Figure, np.ndarray]:
    """As many axes as pictures, without ticks, each cell shaped as the pictures' mean, but no taller than wide."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    cell = min(3.6, 10 / columns)
    height = cell * min(1, np.mean([picture.shape[0] / picture.shape[1] for picture in pictures]))
    figure, axes = axes_of(
        rows,
        columns,
        figsize=(cell * columns, (height + 0.3) * rows),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes.flat[: len(pictures)]


def finished(figure: Figure) -> Figure:
    """Laid out, and closed for pyplot: a notebook shows a figure because a cell returns it, once."""
    if figure.get_layout_engine() is None:
        figure.tight_layout()
    plt.close(figure)
    return figure
