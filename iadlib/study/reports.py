"""What all tables of the study share: titles, means with their spread, and measurements of time and memory."""

import re

import pandas as pd

from iadlib.study.paths import ROOT


def titled(name: str) -> str:
    """The name of a detector as tables print it; detectors' names within a longer name are replaced too."""
    from iadlib.detectors import titles  # imports every detector, and with them torch

    known = titles()
    return re.sub(r"\w+", lambda word: known.get(word[0], word[0].replace("_", " ")), name)


def shown(mean: float | None, std: float | None = None) -> str:
    """Three digits, and the standard deviation where there is one.

    >>> shown(0.51234, 0.01), shown(0.5), shown(None)
    ('0.512 ± 0.010', '0.500', '')
    """
    if mean is None or pd.isna(mean):
        return ""
    return f"{mean:.3f}" if std is None or pd.isna(std) else f"{mean:.3f} ± {std:.3f}"


def with_interval(mean: float, low: float, high: float) -> str:
    """Two digits, and the ends of the interval.

    >>> with_interval(0.5, 0.4, 0.6)
    '0.50 [0.40, 0.60]'
    """
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def measured(what: str, profile: str) -> pd.DataFrame:
    """The measurements in benchmarks/`what`-`profile`-DEVICE.csv of every device; empty where there is no file."""
    files = sorted((ROOT / "benchmarks").glob(f"{what}-{profile}-*.csv"))
    tables = [pd.read_csv(file).assign(device=file.stem.rpartition("-")[2]) for file in files]
    return pd.concat(tables).set_index(["device", "method"]) if tables else pd.DataFrame()
