"""The numbers of a text, and whether committed tables have them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

NUMBER = r"[+\-−]?\d+\.\d+"
INTERVAL = re.compile(rf"({NUMBER})\s*(?:%\s*)?\[({NUMBER}),\s*({NUMBER})\]")


def missing(text: str, folders: Iterable[Path]) -> list[str]:
    """The numbers that no table has.

    A number with its interval must stand in one row of a table, the three of them together: single numbers of three
    digits are found in large tables by chance. Signs are left out, since a text may say "loses 0.043". A number counts
    as found if a table's number is rounded to it.
    """
    rows = [row for folder in folders for row in rows_of(folder)]
    known = [value for row in rows for value in row]
    wrong = [found[0] for found in INTERVAL.finditer(text) if not any(together(found.groups(), row) for row in rows)]
    singles = re.findall(NUMBER, INTERVAL.sub("", text))
    return wrong + [number for number in singles if not any(rounded(number, value) for value in known)]


def rows_of(folder: Path) -> Iterator[list[float]]:
    """The numbers of every row of the tables in a folder, also those in text, without sign."""
    for path in sorted(folder.glob("*.csv")):
        for line in path.read_text().splitlines()[1:]:
            yield [abs(float(number)) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", line)]


def together(numbers: tuple[str, ...], row: list[float]) -> bool:
    """Whether the row has all of the numbers."""
    return all(any(rounded(number, value) for value in row) for number in numbers)


def rounded(number: str, value: float) -> bool:
    digits = len(number.partition(".")[2])
    return abs(abs(float(number.replace("−", "-"))) - value) <= 0.5 * 10.0**-digits + 1e-9
