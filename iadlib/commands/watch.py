"""Score the photographs that arrive in a folder, each once and none half-written, until the user stops it.

The output folder grows with every photograph: a heat map, then a row in scores.csv. Started again after an
interruption, the command goes on with the photographs that are not in the tables yet.
"""

import csv
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from iadlib import results
from iadlib.commands.score import BATCH, COLUMNS, Scorer, picture_name
from iadlib.data import DataError
from iadlib.data.photographs import photographs_below
from iadlib.files import write_json

PAUSE = 0.5  # seconds between two looks into the folder
PATIENCE = 10.0  # seconds that an unreadable file may take to change before it counts as bad
MARK = "watch.json"  # says which fitted detector wrote the folder


def watch(
    result: str | Path,
    folder: str | Path,
    out: str | Path,
    pictures: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Score every photograph that lies or arrives in `folder` until `stop()` is true or Ctrl-C is pressed.

    A photograph is read when its size and its time of change have been the same at two looks. A file that stays
    unreadable is printed and listed in errors.csv once.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise DataError(f"{folder}: a folder to watch is expected")
    if out.resolve() == folder.resolve() or out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out} lies inside the watched folder {folder}; name a folder elsewhere")
    scorer = Scorer(result)
    _claim(out, Path(result))
    scores, errors = Table(out / "scores.csv", COLUMNS), Table(out / "errors.csv", ("file", "error"))
    arrivals = Arrivals(folder, scores.keys | errors.keys)
    print(f"watching {folder}; {len(scores.keys)} photographs are scored already; Ctrl-C ends", flush=True)
    try:
        while not stop():
            ready = list(islice(arrivals.ready(), BATCH))
            for path, outcome in zip(ready, scorer.score(ready), strict=True):
                name = str(path.relative_to(folder))
                if isinstance(outcome, DataError):
                    if arrivals.give_up(path):
                        errors.append(name, str(outcome))
                        print(f"error: {outcome}", flush=True)
                    continue
                if pictures:
                    scorer.save_picture(path, outcome, out / "maps" / picture_name(name))
                scores.append(name, f"{outcome.score:.9g}", outcome.anomalous)
                arrivals.done(path)
                print(f"{outcome.score:12.5g}  {'anomalous' if outcome.anomalous else '':9}  {name}", flush=True)
            if not ready:
                time.sleep(PAUSE)
    except KeyboardInterrupt:
        pass
    print(f"{len(scores.keys)} photographs scored, {len(errors.keys)} unreadable, in {out}")


class Arrivals:
    """The photographs of a folder that are complete and not yet done."""

    def __init__(self, folder: Path, done: set[str]):
        self.folder, self.finished, self.problems = folder, set(done), set()
        self.seen: dict[str, tuple[tuple[int, int], float]] = {}  # file -> state and when it was first seen like that
        self.failed: dict[str, tuple[int, int]] = {}  # file -> the state in which it could not be read

    def ready(self) -> Iterator[Path]:
        """Files whose size and time of change are those of an earlier look."""
        present, problems = set(), []
        photographs, _ = photographs_below(self.folder, problems)
        for problem in problems:
            if problem not in self.problems:  # a link without a target, an image format that is not read
                self.problems.add(problem)
                print(f"error: {problem}", flush=True)
        for path in photographs:
            name = str(path.relative_to(self.folder))
            present.add(name)
            if name in self.finished:
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # gone in the meantime
            state, now = (status.st_size, status.st_mtime_ns), time.monotonic()
            known, since = self.seen.get(name, (None, now))
            if state != known:
                self.seen[name] = state, now
            elif self.failed.get(name) != state or now - since > PATIENCE:
                yield path
        for name in self.seen.keys() - present:  # taken away before they were done
            del self.seen[name]

    def done(self, path: Path) -> None:
        """Never offer this file again."""
        name = str(path.relative_to(self.folder))
        self.finished.add(name)
        self.seen.pop(name, None)
        self.failed.pop(name, None)

    def give_up(self, path: Path) -> bool:
        """Whether an unreadable file has had its time to become complete; if so it is done."""
        name = str(path.relative_to(self.folder))
        state, since = self.seen[name]
        if self.failed.get(name) == state and time.monotonic() - since > PATIENCE:
            self.done(path)
            return True
        self.failed[name] = state
        return False


class Table:
    """A CSV that grows by a row at a time and is never left with half a row; `keys` are its first column."""

    def __init__(self, path: Path, columns: Sequence[str]):
        self.path, self.keys = path, set()
        if not path.exists():
            self._write(columns)
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):  # an interruption has cut the last row
            os.truncate(path, len(whole))
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            self.keys = {row[0] for row in csv.reader(file) if row} - {columns[0]}

    def append(self, key: str, *values: object) -> None:
        """Add a row; it is on the disk when this returns."""
        self._write((key, *values))
        self.keys.add(key)

    def _write(self, row: Sequence[object]) -> None:
        with self.path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
            csv.writer(file, lineterminator="\n").writerow(row)
            file.flush()
            os.fsync(file.fileno())


def _claim(out: Path, result: Path) -> None:
    """Make the output folder, or check that the same fitted detector has begun it."""
    digest = hashlib.sha256((result / results.STATE).read_bytes()).hexdigest()
    mark = out / MARK
    if mark.is_file():
        if json.loads(mark.read_text())["sha256"] != digest:
            raise ValueError(f"{out} was begun with another fitted detector; name another folder")
    elif out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} exists and is not the output of --watch; name another folder")
    else:
        write_json(mark, {"result": str(result), "sha256": digest})
