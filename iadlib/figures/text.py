"""Names and values as figures and tables print them: titles of detectors, means with their spread, ordered tables."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pandas as pd


@cache
def titles() -> dict[str, str]:
    """As `iadlib.detectors.titles`, read from the source code: to import all detectors takes every notebook seconds."""
    files = sorted((Path(__file__).parents[1] / "detectors").glob("*.py"))
    found = {file.stem: re.search(r'^ +title: ClassVar = "(.+)"$', file.read_text(), re.MULTILINE) for file in files}
    return {name: line[1] for name, line in found.items() if line}


def titled(name: str) -> str:
    """The name with spaces, and with the titles of detectors in place of their names."""
    return re.sub(r"\w+", lambda word: titles().get(word[0], spaced(word[0])), name)


def with_titles(table: pd.DataFrame) -> pd.DataFrame:
    """The table with titles in the column method, as figures print them."""
    return table.assign(method=table["method"].map(titled))


def spaced(name: str) -> str:
    return name.replace("_", " ")


def shown(mean: float | None, std: float | None = None) -> str:
    """Three digits, and the standard deviation where there is one."""
    if mean is None or pd.isna(mean):
        return ""
    return f"{mean:z.3f}" if std is None or pd.isna(std) else f"{mean:z.3f} ± {std:.3f}"


def three_digits(table: pd.DataFrame) -> pd.DataFrame:
    """A table of numbers as text: three digits, zero without a sign, nothing where a value is unknown.

    >>> three_digits(pd.DataFrame({"low": [-0.0001], "high": [None]})).iloc[0].tolist()
    ['0.000', '']
    """
    return table.map(lambda value: "" if pd.isna(value) else f"{value:z.3f}")


def with_ends(values: pd.Series, low: pd.Series, high: pd.Series, digits: int) -> list[str]:
    """Every value as text with the ends of its interval."""
    rows = zip(values, low, high, strict=True)
    return [f"{value:z.{digits}f} [{start:z.{digits}f}, {end:z.{digits}f}]" for value, start, end in rows]


def ordered(table: pd.DataFrame, rows: str | Sequence[str], columns: str | Sequence[str], values: str) -> pd.DataFrame:
    """A pivot table in the order in which rows and columns occur in `table`, with titles."""
    wide = table.pivot(index=rows, columns=columns, values=values)
    wide = wide.reindex(index=table.set_index(rows).index.unique(), columns=table.set_index(columns).index.unique())
    wide = wide.rename(index=titled, columns=titled)
    return wide.rename_axis(index=[None] * wide.index.nlevels, columns=[None] * wide.columns.nlevels)
