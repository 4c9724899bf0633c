"""Checksums of the fitted detectors that ensembles use: what an ensemble depends on, and no other detector."""

from pathlib import Path

from iadlib.commands.ensemble import EnsembleSettings
from iadlib.data import DataError
from iadlib.data.reference import checksums
from iadlib.files import write_json


def members(fits: str | Path, out: str | Path, settings: EnsembleSettings) -> dict[str, str]:
    """Write the SHA-256 of every file of the detectors in `cuts` below `fits`, by relative path, as JSON."""
    fits = Path(fits)
    if missing := [name for name in settings.cuts if not (fits / name).is_dir()]:
        raise DataError(f"{fits}: no fitted {', '.join(missing)}; add it to `methods` in params/grid.yaml")
    sums = {f"{name}/{path}": found for name in settings.cuts for path, found in checksums(fits / name).items()}
    write_json(out, dict(sorted(sums.items())))
    return sums
