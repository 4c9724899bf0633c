"""Glue for the notebooks and commands: from a folder of images to a cell of the study, and from all cells to tables.

One *cell* is one detector on one category, over several seeds (`cells`); `pictures` chooses what the figures show,
`tables` gathers the cells. No mathematics here. Paths are relative to the repository, whatever folder a notebook runs
in.
"""

from iadlib.study.cells import anomaly_kinds, judge_runs, run, save_cell
from iadlib.study.detection import detect
from iadlib.study.folders import evaluate, open_category, refer
from iadlib.study.pictures import (
    about,
    anomalous_examples,
    area_summary,
    losses,
    normal_examples,
    panel,
    region_areas,
    saturation_steps,
    scored,
)
from iadlib.study.tables import (
    by_kind,
    counts,
    decisions_table,
    describe,
    drop,
    gather,
    image_threshold,
    metrics_table,
    pivot,
    pivot_defects,
    save_tables,
    speeds,
)

__all__ = [
    "about",
    "anomalous_examples",
    "anomaly_kinds",
    "area_summary",
    "by_kind",
    "counts",
    "decisions_table",
    "describe",
    "detect",
    "drop",
    "evaluate",
    "gather",
    "image_threshold",
    "judge_runs",
    "losses",
    "metrics_table",
    "normal_examples",
    "open_category",
    "panel",
    "pivot",
    "pivot_defects",
    "refer",
    "region_areas",
    "run",
    "saturation_steps",
    "save_cell",
    "save_tables",
    "scored",
    "speeds",
]
