"""What one detector says, and all of them side by side."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from iadlib.figures.style import KIND_COLOURS, axes_of, finished, kinds_present


def score_histogram(scores: np.ndarray, kinds: Sequence[str], threshold: float) -> Figure:
    """Image scores by kind, with the threshold taken from normal validation images."""
    figure, axis = axes_of(figsize=(7, 3))
    table = pd.DataFrame({"image score": scores, "kind": list(kinds)})
    sns.histplot(
        table,
        x="image score",
        hue="kind",
        hue_order=kinds_present(kinds),
        palette=KIND_COLOURS,
        bins=25,
        ax=axis,
        alpha=0.6,
    )
    axis.axvline(threshold, color="black", linestyle="--", linewidth=1.2)
    axis.annotate(
        "threshold", (threshold, 1), xycoords=("data", "axes fraction"), xytext=(4, -12), textcoords="offset points"
    )
    axis.set_ylabel("images")
    return finished(figure)


def roc_curves(scores: np.ndarray, kinds: Sequence[str]) -> Figure:
    """One curve for each anomaly kind, against the good images."""
    figure, axis = axes_of(figsize=(4.2, 4))
    kinds = np.asarray(kinds)
    for kind in kinds_present(kinds):
        if kind == "good":
            continue
        chosen = (kinds == kind) | (kinds == "good")
        labels = kinds[chosen] == kind
        area = roc_auc_score(labels, scores[chosen])
        axis.plot(*roc_curve(labels, scores[chosen])[:2], color=KIND_COLOURS[kind], label=f"{kind}: {area:.3f}")
    axis.plot([0, 1], [0, 1], color="0.7", linestyle=":", linewidth=1)
    axis.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axis.legend(title="image AUROC", loc="lower right")
    return finished(figure)


def scores_by_defect(scores: np.ndarray, defects: Sequence[str], kinds: Sequence[str], threshold: float) -> Figure:
    """Every test image as a dot, one line a defect: what is found, and what stays below the threshold."""
    table = pd.DataFrame({"image score": scores, "defect": list(defects), "kind": list(kinds)})
    order = table.sort_values(["kind", "defect"])["defect"].unique()
    figure, axis = axes_of(figsize=(7, 0.5 + 0.42 * len(order)))
    sns.stripplot(
        table,
        x="image score",
        y="defect",
        order=order,
        hue="kind",
        hue_order=kinds_present(kinds),
        palette=KIND_COLOURS,
        size=4.5,
        ax=axis,
        jitter=False,
        alpha=0.7,
    )
    axis.axvline(threshold, color="black", linestyle="--", linewidth=1.2)
    axis.set_ylabel("")
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), frameon=False, title="")
    return finished(figure)


def kind_comparison(table: pd.DataFrame, label: str) -> Figure:
    """Logical beside structural for every method, one panel a category.

    `table` has the columns category, method, kind, mean, and low and high, the ends of an interval.
    """
    categories, methods = (list(dict.fromkeys(table[column])) for column in ("category", "method"))
    columns = min(3, len(categories))
    lines = -(-len(categories) // columns)
    size = (2.2 + 3.4 * columns, (0.9 + 0.42 * len(methods)) * lines)
    figure, axes = axes_of(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
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
    return finished(figure)


def learning_curve(losses: dict[str, Sequence[float]]) -> Figure:
    """Loss at every step, thin, and its running mean; one axis each for what was learned one after the other."""
    figure, axes = axes_of(1, len(losses), figsize=(6 * len(losses), 2.8), squeeze=False)
    for axis, (name, values) in zip(axes.flat, losses.items(), strict=True):
        values = pd.Series(values)
        axis.plot(values, color="0.75", linewidth=0.8)
        axis.plot(values.rolling(max(1, len(values) // 50), min_periods=1).mean(), color=KIND_COLOURS["logical"])
        axis.set(xlabel="step", ylabel="loss", title="" if len(losses) == 1 else name)
    return finished(figure)
