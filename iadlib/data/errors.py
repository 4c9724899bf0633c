"""The one error of this package."""

from collections.abc import Sequence
from typing import NoReturn


class DataError(ValueError):
    """A file or folder is not what it should be; the message names it and says what was expected."""


def raise_together(headline: str, problems: Sequence[str], limit: int | None = None) -> NoReturn:
    """Raise one `DataError` that lists the problems, the first `limit` of them if given."""
    lines = [headline, *problems[:limit]]
    if len(problems) > len(lines) - 1:
        lines.append(f"... and {len(problems) - len(lines) + 1} more")
    raise DataError("\n  ".join(lines))
