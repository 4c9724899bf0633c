"""Checksums of the fitted detectors that ensembles use: what an ensemble depends on, and no other detector."""

from collections.abc import Sequence
from pathlib import Path

from iadlib.data import DataError
from iadlib.data.reference import checksums
from iadlib.files import require_new, write_json
from iadlib.params import read_blocks


def members(fits: str | Path, names: Sequence[str], out: str | Path) -> dict[str, str]:
    """Write the SHA-256 of every file of the named detectors below `fits`, by relative path, as JSON."""
    fits, out = Path(fits), require_new(out)
    if missing := [name for name in names if not (fits / name).is_dir()]:
        raise DataError(f"{fits}: no fitted {', '.join(missing)}; add it to `methods` in params/grid.yaml")
    sums = {f"{name}/{path}": found for name in names for path, found in checksums(fits / name).items()}
    write_json(out, dict(sorted(sums.items())))
    return sums


def run(fits: Path, out: Path, file: Sequence[str]) -> None:
    """The command line: the detectors under `cuts` in the params files of the ensembles."""
    cuts = {}
    for specification in file:
        found = read_blocks(specification).get("cuts") or {}
        if not isinstance(found, dict):
            raise ValueError(f"{specification}: cuts: detectors with their cuts expected, not {found!r}")
        cuts |= found
    members(fits, list(cuts), out)
