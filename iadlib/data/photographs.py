"""Which files are photographs, and how they are found below folders, behind links and by patterns.

A photograph is a file whose name ends in one of `ENDINGS`, in small or capital letters. Hidden files, files that
desktops write, unfinished files (`*.partial`), and heat maps in a folder beside their table of scores are passed over.
A photograph that cannot be read is an error and is never left out: a broken link, a file without read permission, or a
file in an image format that is not read.
"""

import glob
import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from iadlib.data.errors import raise_together
from iadlib.files import PARTIAL

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif"),
    *(".jp2", ".j2k", ".gif", ".tga", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# Image formats that are not read: raw camera files, phones' formats, and the formats of drawing programs.
OTHER_FORMATS = (
    *(".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".raw", ".jxl", ".exr", ".hdr"),
    *(".psd", ".xcf", ".kra", ".svg", ".eps", ".pdf", ".ai", ".ico"),
)
DESKTOP_FILES = ("Thumbs.db", "desktop.ini", "__MACOSX")
LISTED_PROBLEMS = 10
SCORES = "scores.csv"
# By the first columns of the table beside them.
HEAT_MAPS = {b"file,score,anomalous": "maps", b"split,name,label,defect,score,anomalous": "pictures"}


def find_photographs(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Photographs among files, folders (searched at any depth, through links) and glob patterns, in natural order.

    A photograph that is reachable by two names is listed once. Raises one `DataError` that lists what cannot be read.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    problems: list[str] = []
    found: list[tuple[Path, Path]] = []
    for path in given:
        found += _expand(path, problems)
    photographs, _ = _separate(found, problems)
    if not photographs and not problems:
        searched = ", ".join(map(str, given)) or "no path given"
        problems.append(f"no photographs in {searched}; they end in {', '.join(ENDINGS)}")
    if problems:
        raise_together("photographs cannot be read:", problems, LISTED_PROBLEMS)
    return photographs


def photographs_below(folder: Path, problems: list[str], without: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Photographs and other files below one folder, or that one file, in natural order.

    What cannot be read is added to `problems`. The folder `without`, a real path, is passed over.
    """
    is_file = os.path.lexists(folder) and not folder.is_dir()
    found = _file(folder, problems) if is_file else files_below(folder, problems, without)
    return _separate(list(found), problems)


def files_below(folder: Path, problems: list[str], without: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """Every visible file below a folder with its real path, in natural order, through links.

    A link to a folder that contains it is not followed, and the folder `without`, a real path, is passed over. Broken
    links and folders that cannot be opened are added to `problems`. Nothing is found where there is no such folder.
    """
    if folder.is_dir():
        yield from _walk(folder, folder.resolve(), () if without is None else (without,), problems)


def visible(folder: Path) -> list[Path]:
    """Visible files and folders in a folder, in natural order; [] where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _is_visible(path.name)), key=lambda path: natural(path.name))


def copies(files: Iterable[Path]) -> dict[Path, Path]:
    """Every file whose content equals that of an earlier file -> that file; only files of the same length are read."""
    by_length: dict[int, list[Path]] = defaultdict(list)
    for file in files:
        by_length[file.stat().st_size].append(file)
    found, first = {}, {}
    for file in (file for group in by_length.values() if len(group) > 1 for file in group):
        with file.open("rb") as opened:
            known = first.setdefault(hashlib.file_digest(opened, "sha256").digest(), file)
        if known != file:
            found[file] = known
    return found


def natural(name: str) -> tuple[list[str | int], str]:
    """A sort key: 2 before 10, capital letters beside small ones, independent of the Unicode form of the name."""
    parts = re.split(r"([0-9]+)", normal_form(name))
    return [int(part) if index % 2 else part.casefold() for index, part in enumerate(parts)], name


def normal_form(name: str) -> str:
    """A file name in Unicode normal form C, so that names that look equal are equal."""
    return unicodedata.normalize("NFC", name)


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name not in DESKTOP_FILES and not name.endswith(PARTIAL)


def _expand(given: str | Path, problems: list[str]) -> Iterator[tuple[Path, Path]]:
    """Files with their real paths for one argument: a file, a folder or a pattern."""
    path = Path(given)
    if path.is_dir():
        yield from files_below(path, problems)
    elif os.path.lexists(path):
        if path.exists() and path.suffix.lower() not in (*ENDINGS, *OTHER_FORMATS):
            problems.append(f"{path}: not a photograph by its ending; photographs end in {', '.join(ENDINGS)}")
        else:
            yield from _file(path, problems)
    elif glob.has_magic(str(given)):
        matches = sorted(glob.glob(str(given), recursive=True), key=natural)  # noqa: PTH207
        if not matches:
            problems.append(f"{given}: no file matches this pattern")
        for match in map(Path, matches):
            yield from files_below(match, problems) if match.is_dir() else _file(match, problems)
    else:
        problems.append(f"{path}: no such file or folder")


def _walk(folder: Path, real: Path, skipped: tuple[Path, ...], problems: list[str]) -> Iterator[tuple[Path, Path]]:
    """As `files_below`, for a folder with its real path; `skipped` are real paths of folders to pass over."""
    if _unfit_for_tables(folder, problems):
        return
    if not os.access(folder, os.X_OK):
        problems.append(f"{folder}: no permission to enter this folder")
        return
    try:
        with os.scandir(folder) as entries:
            children = sorted((entry for entry in entries if _is_visible(entry.name)), key=lambda e: natural(e.name))
    except OSError as error:
        problems.append(f"{folder}: this folder cannot be opened ({error.strerror})")
        return
    pictures = _folder_of_heat_maps(folder) if any(entry.name == SCORES for entry in children) else None
    for entry in children:
        path = folder / entry.name
        if entry.name == pictures:
            continue
        if not path.is_dir():  # the entry's own is_dir raises on a link to itself
            yield from _file(path, problems, None if entry.is_symlink() else real / entry.name)
            continue
        target = path.resolve() if entry.is_symlink() else real / entry.name
        if target not in skipped and not real.is_relative_to(target):
            yield from _walk(path, target, (*skipped, real), problems)


def _folder_of_heat_maps(folder: Path) -> str | None:
    """The subfolder of heat maps that `score` or `detect` has drawn, if they wrote the table of scores here."""
    with suppress(OSError), (folder / SCORES).open("rb") as file:
        columns = file.readline().strip()
        return next((folder for first, folder in HEAT_MAPS.items() if columns.startswith(first)), None)
    return None


def _file(path: Path, problems: list[str], real: Path | None = None) -> Iterator[tuple[Path, Path]]:
    if not path.exists():
        problems.append(f"{path}: a broken link; restore the file it points to, or remove it")
    elif not path.is_file():  # reading a pipe would wait for its other end
        problems.append(f"{path}: a pipe or a device, not a file")
    elif not _unfit_for_tables(path, problems):
        yield path, path.resolve() if real is None else real


def _unfit_for_tables(path: Path, problems: list[str]) -> bool:
    """Whether the name of a file or folder has a carriage return, at which a CSV file ends a line."""
    if "\r" in path.name:
        problems.append(f"{str(path)!r}: a carriage return in the name; rename it")
        return True
    return False


def _separate(files: list[tuple[Path, Path]], problems: list[str]) -> tuple[list[Path], list[Path]]:
    """Photographs, each real file once, and all other files."""
    # A file's own name is preferred to a link to it.
    names: dict[Path, Path] = {}
    for path, real in files:
        if real not in names or _is_own_name(path, real):
            names[real] = path
    photographs: dict[Path, None] = {}
    other = []
    for path, real in files:
        ending = path.suffix.lower()
        if ending in OTHER_FORMATS:
            problems.append(f"{path}: images of the format {ending} are not read; convert it to PNG, or remove it")
        elif ending not in ENDINGS or names[real] != path:
            other.append(path)
        elif not os.access(path, os.R_OK):
            problems.append(f"{path}: no permission to read this photograph")
        else:
            photographs[path] = None
    return list(photographs), other


def _is_own_name(path: Path, real: Path) -> bool:
    """Whether no part of a path is a link."""
    return os.path.abspath(path) == str(real)  # noqa: PTH100
