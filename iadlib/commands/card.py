"""Describe rendered categories in a data set card."""

from pathlib import Path

from iadlib.files import whole_folder
from iadlib.rendering.card import write_card


def card(folder: str | Path, out: str | Path) -> None:
    """Write rules, defects, counts and pictures of the rendered categories in `folder` into the new folder `out`."""
    with whole_folder(out) as unfinished:
        write_card(Path(folder), unfinished)
    print(f"the data set card is in {out}")
