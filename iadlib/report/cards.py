"""A card for each detector and ensemble: what it is, settings, data, metrics, cost and known failures."""

import ast
import html
import re
from collections.abc import Sequence

import pandas as pd
from IPython.display import HTML

from iadlib.figures.text import spaced
from iadlib.metrics.entries import FEATURE, MEAN, SOFT
from iadlib.params import parse_yaml
from iadlib.report.findings import Findings, name_of
from iadlib.report.sentences import FIT, MEMBERS, PREDICT, counted, listed, within
from iadlib.study import ROOT, ensemble

FAILURES = 3  # defects of a card
REPEATED = ("Data", "Metrics", "Cost")  # lines that repeat other parts of the page: not printed
COSTS = ["entry", "image", MEMBERS, FIT, PREDICT, "peak MiB", "training images", "threads", "device"]
CHANCE = 0.6  # below this image AUROC a defect is hardly found
ABOUT = {
    MEAN: "The mean of the scores and of the maps of the members, each standardised on normal validation images.",
    SOFT: (
        "A smooth form of the maximum of the members' standardised scores, and the mean of their maps, weighted by how "
        "well each member's scores tell artificial anomalies from normal validation images, and its maps show them."
    ),
    FEATURE: (
        "The features of the members, projected and joined, with discriminators that learn to tell them from the same "
        "features with noise; their output is combined with the members' own distances, each weighted by how well its "
        "scores tell artificial anomalies from normal validation images, and by how well its maps show them."
    ),
}


def cards(findings: Findings, costs: pd.DataFrame) -> HTML:
    """All cards, closed; `costs` has a row for each measured entry."""
    parts = [card(findings, entry, costs) for entry in findings.groups]
    return HTML('<div class="cards">\n' + "\n".join(parts) + "\n</div>")


def card(findings: Findings, entry: str, costs: pd.DataFrame) -> str:
    """One card as HTML."""
    what, differs = described(entry)
    lines = {
        "What it is": what,
        "Where it differs from the paper": differs,
        "Settings": settings(findings, entry),
        "Data": data(findings),
        "Metrics": metrics(findings, entry),
        "Cost": cost(costs, entry),
        "Known failures": failures(findings, entry),
    }
    rows = "".join(
        f'<div class="{"repeated" if name in REPEATED else "own"}"><dt>{name}</dt><dd>{written(text)}</dd></div>'
        for name, text in lines.items()
        if text
    )
    return f"<details><summary>{html.escape(name_of(entry))}</summary><dl>{rows}</dl></details>"


def written(text: str) -> str:
    """Text of a docstring or params file as HTML.

    >>> written("`image_score` < 1")
    '<code>image_score</code> &lt; 1'
    """
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def described(entry: str) -> tuple[str, str]:
    """What a detector is and where it differs from its paper, from the docstring of its module."""
    path = ROOT / f"iadlib/detectors/{entry}.py"
    if not path.is_file():
        return ABOUT.get(entry, "The mean of the outputs of one detector with several backbones."), ""
    paragraphs = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")
    differs = [text for text in paragraphs if "differ" in text.partition(".")[0].partition(":")[0]]
    return " ".join(" ".join(paragraphs[:2]).split()), " ".join(" ".join(differs[:1]).split())


def settings(findings: Findings, entry: str) -> str:
    """The values of the params files for this profile; what they do not name are the defaults of the class."""
    path = ROOT / f"params/methods/{entry}.yaml"
    if findings.groups[entry] == "backbones":
        return "The backbones, and what changes with them: params/ensemble.yaml."
    if not path.is_file():
        return f"Members: {listed([name_of(name) for name in ensemble.members()])}. All settings: params/ensemble.yaml."
    blocks = parse_yaml(path.read_text())
    chosen = merged(blocks.get("common") or {}, blocks.get(findings.study.profile) or {})
    text = ", ".join(f"{spaced(name)}: {value}" for name, value in chosen.items()) or "the defaults of its class"
    return f"{text} (params/methods/{entry}.yaml)."


def merged(first: dict, second: dict) -> dict:
    """The values of two blocks, with hyperparameters in one level; the second overrides the first."""
    flat = {}
    for block in (first, second):
        flat |= {key: value for key, value in block.items() if key != "hyperparameters"}
        flat |= block.get("hyperparameters") or {}
    return flat


def data(findings: Findings) -> str:
    names = [spaced(name) for name in findings.categories]
    return f"Fitted to normal images alone, separately for each of {len(names)} categories: {listed(names)}."


def metrics(findings: Findings, entry: str) -> str:
    rows = findings.main[findings.main["entry"] == name_of(entry)]
    values = [f"{row.metric} on {row.kind} anomalies {within(row)}" for row in rows.itertuples()]
    seeds = int(findings.values.loc[findings.values["entry"] == entry, "seed"].nunique())
    over = counted(len(findings.both_kinds), "category", "categories")
    return f"{'; '.join(values)}. Means over {over} and {counted(seeds, 'seed')}."


def cost(costs: pd.DataFrame, entry: str) -> str:
    rows = costs[costs["entry"] == name_of(entry)]
    if rows.empty:
        return "Not measured."
    row = rows.iloc[0]
    parts = f", {row[MEMBERS]:.1f} s of them for its members" if row[MEMBERS] else ""
    return (
        f"{row[FIT]:.1f} s to fit{parts}, {row[PREDICT]:.1f} ms an image, {row['peak MiB']:.0f} MiB at "
        "most (the conditions are in the section on cost)."
    )


def failures(findings: Findings, entry: str) -> str:
    """The defects with the lowest image AUROC."""
    rows = findings.by_defect[findings.by_defect["entry"] == name_of(entry)]
    worst = rows.nsmallest(FAILURES, "value").itertuples()
    parts = [f"{spaced(row.defect)} ({spaced(row.category)}) {within(row)}" for row in worst]
    low = int((rows["value"] < CHANCE).sum())
    return f"Lowest image AUROC: {'; '.join(parts)}. Below {CHANCE}: {low} of {counted(len(rows), 'defect')}."


def costs_of(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables in benchmarks/ below one another, detectors first, with the columns `COSTS`.

    The seconds to fit an ensemble are those of its members and its own.
    """
    columns = [*COSTS[:2], "members s", "fit s", "images/s, one by one", *COSTS[-4:]]
    rows = pd.concat([table.reset_index() for table in tables]).rename(columns={"method": "entry"})
    rows = rows.drop_duplicates("entry").reset_index(drop=True).reindex(columns=columns)
    rows[MEMBERS] = rows["members s"].fillna(0.0)
    rows[FIT] = rows["fit s"] + rows[MEMBERS]
    rows[PREDICT] = 1000 / rows["images/s, one by one"]
    return rows[COSTS]
