"""Write files and folders whole or not at all: an interruption leaves the old content or the new one, never a part."""

import errno
import fcntl
import glob
import json
import os
import platform
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # its import takes longer than most commands' help
    import pandas as pd

ROOT = Path(__file__).resolve().parents[1]  # of the repository
PARTIAL = ".partial"  # suffix of what is being written; ignored by git, DVC and every reader of photographs
OWN = f".iadlib-{platform.node()}-"  # before the names of partial folders that processes of this machine make
LONGEST_NAME = 255  # bytes that file systems allow
ABANDONED = 60  # seconds after which a partial folder that nobody has locked is removed
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)  # errors of a disk


def require_new(path: str | Path) -> Path:
    """Raise `FileExistsError` if something exists at `path`, so that no result is overwritten.

    A name that is too long for a file system is refused too, before any work.
    """
    path = Path(path)
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists; remove it, or name a path that does not exist")
    return path


@contextmanager
def whole_folder(folder: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its name when the block ends without an error.

    With `overwrite` an existing folder is replaced; without, it is refused before and after the work. What killed
    processes have left beside it is removed.
    """
    folder = Path(folder)
    if not overwrite:
        require_new(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder.parent)
    with (
        _named(folder),
        tempfile.TemporaryDirectory(prefix=OWN, suffix=PARTIAL, dir=folder.parent) as workplace,
        locked(workplace),
    ):
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
        with _named(path):
            yield unfinished
            if path.exists():
                shutil.copymode(path, unfinished)
            else:  # some libraries let the owner alone read what they write
                mask = os.umask(0)
                os.umask(mask)
                unfinished.chmod(0o666 & ~mask)
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the path in errors that name a partial one, and in errors of the disk that name none."""
    try:
        yield
    except OSError as error:
        if PARTIAL in str(error.filename) or (error.filename is None and error.errno in FULL):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def locked(folder: str | Path, required: bool = False) -> Iterator[None]:
    """Hold a lock on a folder, which ends with the process; `BlockingIOError` where another process holds it.

    On a file system without locks nothing is locked, or with `required` `OSError` is raised.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if required or error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(parent: Path) -> None:
    """Remove partial folders of this machine that no process holds a lock on.

    New ones stay, since they may be locked in a moment, and those that hold the content that was being replaced.
    """
    for path in parent.glob(f"{glob.escape(OWN)}*{PARTIAL}"):
        with suppress(OSError), locked(path, required=True):
            if time.time() - path.stat().st_mtime > ABANDONED and not os.path.lexists(path / "old"):
                shutil.rmtree(path, ignore_errors=True)


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
            path = folder / f"{name}.csv"
            table.to_csv(path, index=indexed, float_format=f"%.{digits}g", errors="surrogateescape")
