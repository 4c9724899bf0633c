"""A reference: a folder whose `source.json` names the folder of a category, with a digest of its files."""

import hashlib
import json
import os
from pathlib import Path

from iadlib.data.errors import DataError, raise_together
from iadlib.data.photographs import files_below
from iadlib.files import whole_folder, write_json

REFERENCE = "source.json"


def follow_reference(folder: Path) -> tuple[Path, int | None]:
    """The folder that a `source.json` in `folder` names, and the bits it gives; the folder itself without one."""
    path = folder / REFERENCE
    if not path.is_file():
        return folder, None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return folder / content["folder"], content.get("bits")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a reference to a folder of photographs; write it with `refer`") from error


def write_reference(category, out: Path) -> None:
    """Write the folder `out` with a `source.json` for a category; see `require_replaceable`."""
    require_replaceable(out)
    folder = category.root
    if not folder.is_absolute():
        folder = Path(os.path.relpath(folder.resolve(), out.resolve()))
    # Whatever depends on a reference is computed anew when a photograph, a mask or a rule has changed.
    digest = hashlib.sha256(json.dumps(checksums(category.root)).encode()).hexdigest()
    content = {"folder": folder.as_posix(), "layout": category.layout, "sha256": digest}
    if category.given_bits is not None:
        content["bits"] = category.given_bits
    with whole_folder(out, overwrite=True) as unfinished:
        write_json(unfinished / REFERENCE, content)


def require_replaceable(out: Path) -> None:
    """Raise `FileExistsError` if something other than an older reference exists at `out`."""
    if os.path.lexists(out) and not (out.is_dir() and {path.name for path in out.iterdir()} <= {REFERENCE}):
        raise FileExistsError(f"{out} exists and is no reference; remove it, or name a path that does not exist")


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every visible file below a folder, through links, by relative path."""
    problems: list[str] = []
    sums = {}
    for path, _ in files_below(folder, problems):
        with path.open("rb") as content:
            sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(content, "sha256").hexdigest()
    if problems:
        raise_together(f"{folder}: files that cannot be read:", problems)
    return sums
