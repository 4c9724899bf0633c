"""Score the photographs that arrive in a folder, each once and none half-written, until the user stops it.

The output folder grows with every photograph: a heat map, then a row in scores.csv. Started again after an
interruption, the command goes on with the photographs that are not in the tables yet. A photograph is known by its
name: one that replaces a scored photograph of the same name is reported and not scored.
"""

import csv
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path

from iadlib import results
from iadlib.commands.score import BATCH, NO_MAPS, Scorer, picture_name, score_line
from iadlib.data import DataError
from iadlib.data.images import shape_warning
from iadlib.data.photographs import photographs_below
from iadlib.files import locked, write_json

PAUSE = 0.5  # seconds between two looks into the folder; longer where a look takes longer
PATIENCE = 10.0  # seconds that an unreadable file may take to change before it counts as bad
MARK = "watch.json"  # says which fitted detector wrote the folder


def watch(
    result: str | Path,
    folder: str | Path,
    out: str | Path,
    pictures: bool = True,
    stop: Callable[[], bool] = lambda: False,
    bits: int | None = None,
) -> None:
    """Score every photograph that lies or arrives in `folder` until `stop()` is true or Ctrl-C is pressed.

    A photograph is read when its size and its time of change have been the same at two looks. A file that stays
    unreadable is printed and listed in errors.csv, and is tried again when it changes.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise DataError(
            f"{folder}: {'a folder to watch is expected, not a file' if folder.exists() else 'no such folder'}"
        )
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out} lies inside the watched folder {folder}; name a folder elsewhere")
    result = results.find_one(result)
    mark = {"result": str(result), "sha256": _digest(result), "bits": bits}
    _require_own(out, mark)
    scorer = Scorer(result, bits)
    if pictures and not scorer.detector.localises:
        print(NO_MAPS)
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked(out))
        except BlockingIOError:
            raise ValueError(f"{out}: another `score --watch` writes into this folder; name another one") from None
        if not (out / MARK).is_file():
            write_json(out / MARK, mark)
        scorer.save_threshold(out)
        scores, errors = Table(out / "scores.csv", scorer.columns), Table(out / "errors.csv", ("file", "error"))
        arrivals = Arrivals(folder, scores.keys, errors.keys, without=out.resolve())
        print(f"watching {folder}; {len(scores.keys)} photographs are scored already; Ctrl-C ends", flush=True)
        warning = None
        with suppress(KeyboardInterrupt):
            while not stop():
                started, ready = time.monotonic(), arrivals.ready()
                batch = list(islice(ready, BATCH))
                pause = max(PAUSE, time.monotonic() - started)
                while batch and not stop():
                    if warning is None and (warning := shape_warning(batch, scorer.size)):
                        print(f"warning: {warning}", flush=True)
                    _score_batch(batch, scorer, arrivals, scores, errors, out / "maps" if pictures else None)
                    batch = list(islice(ready, BATCH))
                time.sleep(pause)
        print(f"photographs scored: {len(scores.keys)}, files with errors: {len(errors.keys)}, in {out}")


class Arrivals:
    """The photographs of a folder that are complete and not yet done."""

    def __init__(self, folder: Path, scored: AbstractSet[str], bad: AbstractSet[str], without: Path | None = None):
        self.folder, self.without = folder, without
        # A state is the size of a file and its time of change; None: not known since the restart.
        self.scored: dict[str, tuple[int, int] | None] = dict.fromkeys(scored)
        self.bad: dict[str, tuple[int, int] | None] = dict.fromkeys(bad - scored)
        self.seen: dict[str, tuple[tuple[int, int], float]] = {}  # file -> state and when it was first seen like that
        self.failed: dict[str, tuple[int, int]] = {}  # file -> the state in which it could not be read
        self.problems: set[str] = set()  # of the last look

    def ready(self) -> Iterator[Path]:
        """Look once: files whose size and time of change are those of an earlier look."""
        present, problems = set(), []
        if not self.folder.is_dir():
            problems.append(f"{self.folder}: this folder is not there at the moment")
        photographs, _ = photographs_below(self.folder, problems, self.without)
        for problem in problems:
            if problem not in self.problems:  # a link without a target, an image format that is not read
                print(f"error: {problem}", flush=True)
        self.problems = set(problems)
        for path in photographs:
            name = self._name(path)
            present.add(name)
            if (state := _state(path)) is None or self._is_done(name, state):
                continue
            now = time.monotonic()
            known, since = self.seen.get(name, (None, now))
            if state != known:
                self.seen[name] = state, now
            elif self.failed.get(name) != state or now - since > PATIENCE:
                yield path
        for name in self.seen.keys() - present:  # taken away before they were done
            del self.seen[name]
            self.failed.pop(name, None)

    def is_changing(self, path: Path) -> bool:
        """Whether a file is no longer what it was when it was offered; one that has been taken away is not changing."""
        return _state(path) not in (None, self.seen[self._name(path)][0])

    def done(self, path: Path) -> None:
        """Never offer this file again."""
        name = self._name(path)
        self.scored[name] = self._forget(name)

    def give_up(self, path: Path) -> bool:
        """Whether an unreadable file has had its time to become complete; if so it is offered again when it changes."""
        name = self._name(path)
        state, since = self.seen[name]
        if self.failed.get(name) == state and time.monotonic() - since > PATIENCE:
            self.bad[name] = self._forget(name)
            return True
        self.failed[name] = state
        return False

    def _is_done(self, name: str, state: tuple[int, int]) -> bool:
        if name in self.scored:
            if self.scored[name] not in (None, state):
                print(f"error: {name} has changed since it was scored; it is not scored again", flush=True)
            self.scored[name] = state
            return True
        if name in self.bad and self.bad[name] in (None, state):
            self.bad[name] = state
            return True
        return False

    def _forget(self, name: str) -> tuple[int, int]:
        """Remove a file from those that are waited for; returns its state."""
        self.failed.pop(name, None)
        self.bad.pop(name, None)
        return self.seen.pop(name)[0]

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.folder))


class Table:
    """A CSV that grows by a row at a time and is never left with half a row; `keys` are its first column."""

    def __init__(self, path: Path, columns: Sequence[str]):
        self.path, self.keys = path, set()
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):  # an interruption has cut the last row
            os.truncate(path, len(whole))
        if not whole:
            self._write(columns)
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


def _score_batch(
    batch: Sequence[Path], scorer: Scorer, arrivals: Arrivals, scores: Table, errors: Table, maps: Path | None
) -> None:
    """Score some photographs, and write a heat map below `maps`, if given, and a row for each."""
    for path, outcome in zip(batch, scorer.score(batch), strict=True):
        name = str(path.relative_to(arrivals.folder))
        if arrivals.is_changing(path):
            continue  # it is offered again
        if isinstance(outcome, DataError):
            if arrivals.give_up(path):
                _report(errors, name, outcome)
            continue
        if maps is not None and (error := scorer.save_picture(path, outcome, maps / picture_name(name))):
            _report(errors, name, error)
        score, *probability = (results.EXACT % value for value in (outcome.score, *outcome.probability))
        scores.append(name, score, outcome.anomalous, *probability)
        arrivals.done(path)
        print(score_line(outcome.score, outcome.anomalous, name, *outcome.probability), flush=True)


def _report(errors: Table, name: str, error: DataError) -> None:
    errors.append(name, str(error))
    print(f"error: {error}", flush=True)


def _state(path: Path) -> tuple[int, int] | None:
    """The size of a file and its time of change; None if it has been taken away."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _digest(result: Path) -> str:
    """A checksum of what decides scores, alarms and probabilities: learned state, settings, known defects."""
    digest = hashlib.sha256()
    for name in (results.SETTINGS, results.STATE, results.CALIBRATION):
        if (result / name).is_file():
            digest.update((result / name).read_bytes())
    return digest.hexdigest()


def _require_own(out: Path, mark: dict) -> None:
    """Raise where `out` belongs to something else than the same fitted detector."""
    path = out / MARK
    if path.is_file():
        try:
            known = json.loads(path.read_text())
            same = known["sha256"] == mark["sha256"] and known.get("bits") == mark["bits"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path}: not written by --watch; name another folder") from None
        if not same:
            raise ValueError(
                f"{out} was begun with another fitted detector, threshold, known defects or bits; name another folder"
            )
    elif os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is not the output of --watch; name another folder")
