"""A progress bar that a person sees wherever the work runs.

Inside a notebook that the pipeline executes, standard error is a cell's output. `iadlib.notebook` names the terminal
it was started from in an environment variable, and the bar is written there: live in the terminal, nothing in the
notebook.
"""

import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

TERMINAL = "IADLIB_TERMINAL"

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str) -> Iterator[Item]:
    """The items, with a bar of how many are done, which disappears at the end.

    Processes that work side by side draw no bars: the one that started them draws one for all.
    """
    terminal = os.environ.get(TERMINAL, "")
    with Path(terminal).open("w") if terminal and Path(terminal).exists() else nullcontext(sys.stderr) as stream:
        hidden = not stream.isatty() or multiprocessing.parent_process() is not None
        yield from tqdm(items, desc=description, file=stream, leave=False, disable=hidden)
