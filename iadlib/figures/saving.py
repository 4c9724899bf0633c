"""Tables and figures of a notebook as files, and figures as light outputs of a cell.

A table is written as CSV and, if a page could hold it, as LaTeX; a figure as PDF. The picture for the screen is in the
executed notebook; a figure that another page shows is written as a picture too.
"""

import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd
from IPython.display import Image
from matplotlib.figure import Figure

from iadlib.figures.style import DPI, as_pdf, encoded
from iadlib.files import ROOT, whole_folder, write_json, write_tables

LONGEST = 60  # rows of a table in LaTeX; longer ones are data
SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    c: f"\\{c}" for c in "&%$#_{}"
}


def save(
    out: str | Path | None,
    tables: dict[str, pd.DataFrame],
    figures: dict[str, Figure | None],
    metrics: dict[str, dict[str, float]] | None = None,
    pictures: Collection[str] = (),
) -> None:
    """Write tables as CSV and LaTeX (for the package booktabs) and figures as PDF, by their names.

    The folder `out`, relative to the repository, is replaced as a whole; None writes nothing. Empty tables and figures
    that are None are not written. The figures named in `pictures` are also written as PNG, or JPEG where they show
    photographs. `metrics` are written as metrics.json, for `dvc metrics`.
    """
    if out is None:
        return
    with whole_folder(ROOT / out, overwrite=True) as folder:
        tables = {name: flat(table) for name, table in tables.items() if len(table)}
        write_tables(folder, tables, digits=6)
        for name, table in tables.items():
            if len(table) <= LONGEST:
                (folder / f"{name}.tex").write_text(latex(table), encoding="utf-8")
        for name, figure in figures.items():
            if figure is not None:
                (folder / f"{name}.pdf").write_bytes(as_pdf(figure))
                if name in pictures:
                    ending, content = encoded(figure)
                    (folder / f"{name}.{ending}").write_bytes(content)
        if metrics is not None:
            write_json(folder / "metrics.json", metrics)


def flat(table: pd.DataFrame) -> pd.DataFrame:
    """The table with one row of column names, and with its index as columns unless it only numbers the rows.

    >>> flat(pd.DataFrame({("AU-sPRO", "logical"): [0.5]}, index=["PaDiM"]))
         row  AU-sPRO, logical
    0  PaDiM               0.5
    """
    numbers = table.index.nlevels == 1 and table.index.name is None and pd.api.types.is_integer_dtype(table.index.dtype)
    if not numbers:
        unnamed = (
            ["row"] if table.index.nlevels == 1 else [f"row {number + 1}" for number in range(table.index.nlevels)]
        )
        table = table.rename_axis(index=[name or other for name, other in zip(table.index.names, unnamed, strict=True)])
    columns = [", ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in table.columns]
    table = table.set_axis(columns, axis="columns")
    return table.reset_index(drop=numbers)


def latex(table: pd.DataFrame) -> str:
    r"""The table for `\usepackage{booktabs}`, with three digits.

    >>> print(latex(pd.DataFrame({"AU-sPRO": [0.5], "what": ["a_b"]})).strip())
    \begin{tabular}{rl}
    \toprule
    AU-sPRO & what \\
    \midrule
    0.500 & a\_b \\
    \bottomrule
    \end{tabular}
    """
    cells = table.map(_cell).set_axis([escaped(name) for name in table.columns], axis="columns")
    alignment = "".join("r" if pd.api.types.is_numeric_dtype(dtype) else "l" for dtype in table.dtypes)
    return cells.to_latex(index=False, escape=False, column_format=alignment)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:z.3f}".replace("-", "$-$").replace("inf", r"$\infty$")
    return escaped(str(value))


def escaped(text: str) -> str:
    """The text with LaTeX's special characters as text."""
    return re.sub(r"[\\~^&%$#_{}]", lambda found: SPECIAL[found[0]], text).replace("±", r"$\pm$")


def show(figure: Figure | None) -> Image | None:
    """The figure as the output of a cell, at the resolution of a screen."""
    return None if figure is None else Image(encoded(figure, DPI)[1])
