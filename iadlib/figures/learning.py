"""How losses fall while detectors and ensembles learn, and what an ensemble keeps of its members."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from iadlib.figures import style


def learning_curves(training: Mapping[str, pd.DataFrame]) -> Figure:
    """The loss at every step, thin, and its running mean: one panel for each detector and phase of its training.

    `training` has a table with the columns phase, step and loss for each detector that learns by gradient descent.
    The highest hundredth of the losses, which comes with the first steps, may lie outside a panel.
    """
    parts = [
        (name, phase, part) for name, table in training.items() for phase, part in table.groupby("phase", sort=False)
    ]
    if not parts:
        return style.message("no detector learns by gradient descent: there is no loss")
    figure, axes = style.panels(len(parts), 4, (2.5, 1.7))
    for axis, (name, phase, part) in zip(axes, parts, strict=True):
        mean = part["loss"].rolling(max(1, len(part) // 50), min_periods=1).mean()
        axis.plot(part["step"], part["loss"], color="0.75", linewidth=0.6)
        axis.plot(part["step"], mean, color=style.KIND_COLOURS["logical"], linewidth=1.3)
        low, high = part["loss"].quantile([0, 0.99])
        axis.set_ylim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
        several = training[name]["phase"].nunique() > 1
        axis.set_title(style.label(f"{name}: {phase}" if several else name, 26), fontsize=9)
        style.few_ticks(axis)
    figure.supxlabel("step", fontsize=9)
    figure.supylabel("loss", fontsize=9)
    return style.finished(figure)


@style.drawn_from("name", "step", "loss", "artificial anomalies", "test images")
def discriminator_curves(curves: pd.DataFrame) -> Figure:
    """Of every discriminator: its loss, and its AUROC on artificial anomalies beside that on test images.

    `curves` has the columns name, step, loss, artificial anomalies, test images; the last one has gaps. The first five
    names are coloured.
    """
    figure, (left, right) = style.axes_of(1, 2, size=(10, 3))
    names = style.in_order(curves["name"])
    for name, options in style.line_styles(names, names[: style.HIGHLIGHTS]).items():
        rows = curves[curves["name"] == name]
        options = options | {"marker": ""}
        left.plot(rows["step"], rows["loss"], **options, label=style.label(name))
        right.plot(rows["step"], rows["artificial anomalies"], **options, linewidth=0.8, alpha=0.6)
        seen = rows.dropna(subset="test images")
        right.plot(seen["step"], seen["test images"], **(options | {"marker": "o"}), markersize=3)
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    right.set(xlabel="step", ylabel="AUROC", ylim=(0.3, 1.02))
    right.plot([], [], color="0.4", linewidth=0.8, label="artificial anomalies, patches")
    right.plot([], [], "o-", color="0.4", markersize=3, label="test images (not used for training)")
    left.legend(frameon=False)
    style.legend_beside(figure, [right])
    return style.finished(figure)


def cumulative_variance(shares: Mapping[str, Sequence[float]], kept: Mapping[str, int]) -> Figure:
    """The share of each member's variance by the number of principal components; dots mark how many are kept."""
    figure, axis = style.axes_of(size=(5.5, 3.2))
    for name, options in style.line_styles(list(shares)).items():
        share, options = shares[name], options | {"marker": ""}
        axis.plot(np.arange(1, len(share) + 1), share, **options, label=style.label(name))
        axis.plot(kept[name], share[kept[name] - 1], "o", color=options["color"])
    axis.set(xlabel="principal components", ylabel="share of the variance", ylim=(0, 1.03))
    axis.legend(frameon=False, loc="lower right")
    return style.finished(figure)
