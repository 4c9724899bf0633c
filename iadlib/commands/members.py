"""Checksums of the fitted detectors that ensembles use: what an ensemble depends on, and no other detector."""

import hashlib
from pathlib import Path

from iadlib.data import DataError
from iadlib.files import write_json


def members(results: str | Path, names: list[str], out: str | Path) -> dict[str, str]:
    """Write the SHA-256 of every file of the named detectors below `results`, by relative path, as JSON."""
    results = Path(results)
    if missing := [name for name in names if not (results / name).is_dir()]:
        raise DataError(f"{results}: no fitted {', '.join(missing)}; add it to `methods` in params/grid.yaml")
    files = sorted(path for name in names for path in (results / name).rglob("*") if path.is_file())
    sums = {path.relative_to(results).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    write_json(out, sums)
    return sums
