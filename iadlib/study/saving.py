"""Tables and figures of a notebook as files, and figures of photographs as light outputs of a cell."""

from pathlib import Path

import pandas as pd
from IPython.display import Image
from matplotlib.figure import Figure

from iadlib.figures.style import encoded
from iadlib.files import whole_folder, write_json, write_tables
from iadlib.study.paths import ROOT


def save(
    out: str | Path | None,
    tables: dict[str, pd.DataFrame],
    figures: dict[str, Figure | None],
    metrics: dict[str, dict[str, float]] | None = None,
) -> None:
    """Write tables as CSV and figures as PNG, or JPEG where they show photographs, by their names.

    The folder `out`, relative to the repository, is replaced as a whole; None writes nothing. An index is written if
    it has a name. Empty tables and figures that are None are not written. `metrics` are written as metrics.json, for
    `dvc metrics`.
    """
    if out is None:
        return
    with whole_folder(ROOT / out, overwrite=True) as folder:
        write_tables(folder, tables, digits=6)
        for name, figure in figures.items():
            if figure is not None:
                ending, content = encoded(figure)
                (folder / f"{name}.{ending}").write_bytes(content)
        if metrics is not None:
            write_json(folder / "metrics.json", metrics)


def show(figure: Figure | None) -> Image | None:
    """The figure as the output of a cell, at the resolution of a screen."""
    return None if figure is None else Image(encoded(figure)[1])
