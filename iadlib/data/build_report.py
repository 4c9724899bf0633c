"""The report on a category that was built: counts, sizes and suspicious masks, in tables and as text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from iadlib.data.category import SPLITS
from iadlib.data.description import Description
from iadlib.data.errors import Findings

LISTED_SIZES = 4


@dataclass(frozen=True, eq=False)
class BuildReport:
    """What `build_category` found and wrote.

    `photographs` has a row for each: image (below `out`, "" where it was left out), photograph (below its folder),
    part, split, label (good, logical, structural or left out), defects, height, width. `regions` has a row for each
    file of ground truth: mask (below `out`), image, defect, pixels. `suspicious` lists what a person should look at.
    `text` is the folder's README.md.
    """

    out: Path
    photographs: pd.DataFrame = field(repr=False)
    regions: pd.DataFrame = field(repr=False)
    suspicious: tuple[str, ...]
    text: str = field(repr=False)


def report_text(
    name: str,
    source: Path,
    sources: pd.DataFrame,
    regions: pd.DataFrame,
    rules: Description,
    seed: int,
    bits: int,
    findings: Findings,
    other: Sequence[Path],
) -> str:
    """The README.md of a category; `other` are files that are no photographs."""
    labels = ("good", "logical", "structural")
    counts = pd.crosstab(sources["split"], sources["label"]).reindex(index=SPLITS, columns=labels, fill_value=0)
    good = int((sources["label"] == "good").sum())
    lines = [
        f"# {name}",
        "",
        f"Made by `python -m iadlib build`, seed {seed}, of {len(sources)} photographs in `{source}`, in the layout of",
        "MVTec LOCO AD. `sources.csv` says which photograph became which image.",
        "",
        "| split | good | logical | structural |",
        "|---|---|---|---|",
        *(f"| {split} | {' | '.join(str(counts.loc[split, label]) for label in labels)} |" for split in SPLITS),
        "",
        f"- **{good} photographs have nothing drawn on them and count as good.** Check that they are.",
        f"- Sizes (height x width): {_sizes(sources)}. Depth: {bits} bit{', reduced to 8' if bits > 8 else ''}.",
        f"- {_parts(sources, rules)}",
    ]
    kinds = regions["defect"].map(lambda defect: rules.defects[defect].kind).groupby(regions["image"]).nunique()
    both = sources[sources["image"].isin(kinds.index[kinds > 1])]
    if len(both):
        listed = ", ".join(both["photograph"])
        lines.append(f"- {len(both)} with logical and structural defects, filed under logical_anomalies: {listed}.")
    lines += [
        "",
        "| defect | kind | photographs | regions | pixels: least | median | most | found with |",
        "|---|---|---|---|---|---|---|---|",
        *(_defect_line(defect, rules, regions) for defect in rules.defects),
    ]
    left_out = sources.loc[sources["label"] == "left out", "photograph"]
    sections = {
        "Left out, because their masks are empty": left_out,
        "Suspicious": findings.suspicious,
        "Masks with soft edges, of which values of at least half of the range were taken": findings.soft_edges,
        "Not read, because they are no photographs": other,
    }
    for title, listed in sections.items():
        if len(listed):
            lines += ["", f"## {title}: {len(listed)}", "", *(f"- {line}" for line in listed)]
    return "\n".join(lines) + "\n"


def _sizes(sources: pd.DataFrame) -> str:
    counts = sources[["height", "width"]].value_counts()
    text = ", ".join(f"{count} of {height} x {width}" for (height, width), count in counts.head(LISTED_SIZES).items())
    if len(counts) <= LISTED_SIZES:
        return text
    (least, most) = sources[["height", "width"]].agg(["min", "max"]).to_numpy().tolist()
    return f"{text} and {len(counts) - LISTED_SIZES} more, from {least[0]} to {most[0]} x {least[1]} to {most[1]}"


def _parts(sources: pd.DataFrame, rules: Description) -> str:
    if rules.pattern is None and rules.part_of is None:
        return "Every photograph counts as a part of its own: the description has no `parts`."
    defective = set(sources.loc[sources["label"] != "good", "part"])
    good = int(((sources["label"] == "good") & sources["part"].isin(defective)).sum())
    return (
        f"{sources['part'].nunique()} parts, each in one split; test has all photographs of the {len(defective)} with "
        f"a defect, {good} good ones among them."
    )


def _defect_line(defect: str, rules: Description, regions: pd.DataFrame) -> str:
    its = regions[regions["defect"] == defect]
    known = rules.defects[defect]
    if known.saturation_pixels is not None:
        enough = f"{known.saturation_pixels} pixels, or all of a smaller region"
    else:
        enough = "all of the region" if known.saturation_share == 1 else f"{known.saturation_share:.0%} of the region"
    least, median, most = (f"{value:.0f}" for value in its["pixels"].quantile([0, 0.5, 1])) if len(its) else ("-",) * 3
    cells = (defect, known.kind, its["image"].nunique(), len(its), least, median, most, enough)
    return f"| {' | '.join(map(str, cells))} |"
