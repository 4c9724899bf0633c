"""Write files and folders whole or not at all: an interruption leaves the old content or the new one, never a part."""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # its import takes longer than most commands' help
    import pandas as pd

PARTIAL = ".partial"  # suffix of what is being written; ignored by git, DVC and every reader of photographs


def require_new(path: str | Path) -> Path:
    """Raise `FileExistsError` if something exists at `path`, so that no result is overwritten."""
    path = Path(path)
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists; remove it, or name a path that does not exist")
    return path


@contextmanager
def whole_folder(folder: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its name when the block ends without an error.

    With `overwrite` an existing folder is replaced; without, it is refused before and after the work.
    """
    folder = Path(folder)
    if not overwrite:
        require_new(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=PARTIAL, dir=folder.parent) as workplace:
        unfinished = Path(workplace) / "new"
        unfinished.mkdir()
        yield unfinished
        if not overwrite:
            require_new(folder)
        replaced = Path(workplace) / "old"
        try:
            if os.path.lexists(folder):
                folder.replace(replaced)
            unfinished.replace(folder)
        except BaseException:
            if os.path.lexists(replaced) and not os.path.lexists(folder):
                replaced.replace(folder)
            raise


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends without an error.

    The temporary name has the same ending, since libraries choose a format by it, and does not grow with the name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f".{secrets.token_hex(8)}{PARTIAL}{path.suffix}"
    try:
        yield unfinished
        if path.exists():
            shutil.copymode(path, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: str | Path, content: dict) -> None:
    """JSON with an indent of one space; NaN and infinity are refused."""
    text = json.dumps(content, indent=1, allow_nan=False)
    with whole_file(path) as unfinished:
        unfinished.write_text(text + "\n")


def write_tables(folder: Path, tables: "Mapping[str, pd.DataFrame]", digits: int = 9, empty: bool = False) -> None:
    """FOLDER/NAME.csv for every table that has rows, with `empty` for the others too.

    Nine digits are enough for float32 to be read as it was. An index is written if it has a name.
    """
    for name, table in tables.items():
        if empty or len(table):
            indexed = any(level is not None for level in table.index.names)
            table.to_csv(folder / f"{name}.csv", index=indexed, float_format=f"%.{digits}g")
