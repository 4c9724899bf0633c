"""The one error of this package, and what is found while many files are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

Fields = Mapping[str, tuple[str, Callable[[Any], bool]]]  # what a value is, in words and as a check


class DataError(ValueError):
    """A file or folder is not what it should be; the message names it and states what was expected."""


@dataclass(frozen=True)
class Findings:
    """What is found while many files are read, a sentence for each: all of it is reported together."""

    problems: list[str] = field(default_factory=list)  # errors
    suspicious: list[str] = field(default_factory=list)  # possible errors, for a person to look at
    soft_edges: list[str] = field(default_factory=list)  # masks with grey values between background and defect


def misfits(values: Mapping[str, Any], fields: Fields) -> list[str]:
    """A sentence for every value that is not what its field expects; a value that is missing has none."""
    return [
        f"{name} is {expected}, not {values[name]!r}"
        for name, (expected, fits) in fields.items()
        if name in values and not fits(values[name])
    ]


def raise_together(headline: str, problems: Sequence[str], limit: int | None = None) -> NoReturn:
    """Raise one `DataError` that lists the problems, the first `limit` of them if given."""
    lines = [headline, *problems[:limit]]
    if len(problems) > len(lines) - 1:
        lines.append(f"... and {len(problems) - len(lines) + 1} more")
    raise DataError("\n  ".join(lines))
