"""A progress bar that a person sees wherever the work runs.

Inside a notebook that the pipeline executes, standard error is a cell's output. `iadlib.notebook` names the terminal
it was started from in an environment variable, and the bar is written there: live in the terminal, nothing in the
notebook.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

TERMINAL = "IADLIB_TERMINAL"

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a bar of how many are done; it disappears at the end."""
    terminal = os.environ.get(TERMINAL, "")
    with Path(terminal).open("w") if terminal and Path(terminal).exists() else nullcontext(sys.stderr) as stream:
        yield from tqdm(items, desc=description, total=total, file=stream, leave=False, disable=not stream.isatty())
