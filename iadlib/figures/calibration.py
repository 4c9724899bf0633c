"""From scores to probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from iadlib.figures import style


def calibration_functions(
    scores: np.ndarray, kinds: Sequence[str], at: np.ndarray, curves: Mapping[str, np.ndarray], title: str
) -> Figure:
    """Above, the probabilities that calibrators assign to the scores `at`; below, a histogram of scores by kind.

    Ticks in the upper panel are images: good ones at 0, anomalous ones at 1.
    """
    figure, (above, below) = style.axes_of(2, 1, size=(8, 4.2), sharex=True, height_ratios=[2, 1])
    for (name, values), dashes in zip(curves.items(), ("--", "-", "-.", ":"), strict=False):
        above.plot(at, values, dashes, color="black", label=style.label(name))
    kinds = np.asarray(kinds)
    present = style.kinds_present(kinds)
    for kind in present:
        at_kind = scores[kinds == kind]
        above.plot(
            at_kind, np.full(len(at_kind), float(kind != "good")), "|", color=style.KIND_COLOURS[kind], markersize=8
        )
    below.hist(
        [scores[kinds == kind] for kind in present],
        bins=30,
        stacked=True,
        color=[style.KIND_COLOURS[kind] for kind in present],
        label=present,
    )
    above.set(ylabel="probability of being anomalous", ylim=(-0.05, 1.05), title=title)
    below.set(xlabel="score", ylabel="images")
    for axis in (above, below):
        axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return style.finished(figure)


def reliability_diagrams(found: Mapping[str, tuple], title: str) -> Figure:
    """One column for each calibrator: the share of anomalous images by probability, and a histogram of probabilities.

    `found` has for each calibrator a curve with probability, share, low, high and count by bin, and all probabilities
    (N,). The numbers at the dots are the images in the bins.
    """
    size, colour = (0.5 + (1.7 if len(found) < 3 else 2.1) * len(found), 3.6), style.KIND_COLOURS["logical"]
    figure, axes = style.axes_of(
        2, len(found), size=size, sharex=True, sharey="row", squeeze=False, height_ratios=[2.4, 1]
    )
    for (above, below), (name, (curve, values)) in zip(axes.T, found.items(), strict=True):
        above.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        above.vlines(curve.probability, curve.low, curve.high, color=colour, linewidth=3, alpha=0.35)
        above.plot(curve.probability, curve.share, "o-", color=colour, markersize=4)
        for x, y, count in zip(curve.probability, curve.share, curve.count, strict=True):
            above.annotate(str(count), (x, y), xytext=(4, -9 if y > 0.5 else 4), textcoords="offset points", fontsize=9)
        below.hist(values, bins=np.linspace(0, 1, 21), color="0.55")
        above.set(title=style.label(name), xlim=(-0.05, 1.1), ylim=(-0.05, 1.05))
        below.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        below.set_xlabel("probability")
    axes[0, 0].set_ylabel("share of anomalous images")
    axes[1, 0].set_ylabel("images")
    figure.suptitle(title)
    return style.finished(figure)
