"""What has moved in the results since another revision, and whether beyond noise."""

import io
import subprocess
from itertools import product
from pathlib import Path, PurePosixPath

import pandas as pd

from iadlib.data import DataError
from iadlib.metrics.differences import DIFFERENCE_METRICS, collect, difference
from iadlib.metrics.report import KINDS
from iadlib.metrics.values import long
from iadlib.progress import track

STEPS = ("benchmark", "ensemble")  # folders of reports/PROFILE with CATEGORY/values.csv
GROUPS = ("member", "output", "backbones", "feature")  # not every design and pair of members
BEFORE = " before"  # after the name of an entry of the other revision
IMAGE = ["name", "label"]


def compare(revision: str, profile: str = "embedded", folder: str | Path = ".") -> pd.DataFrame:
    """Print and return the metrics that differ from those committed at the git `revision`: now less then.

    Both are judged on the same test images, with one resample for both, so that the interval is that of the difference.
    Means over seeds and the categories of both revisions whose test images are the same; `folder` is the repository.
    """
    folder = Path(folder)
    tables, left_out = [], []
    for path in tracked(folder, revision, profile):
        if not (folder / path).is_file():
            continue
        sources = folder / path, io.StringIO(git(folder, "show", f"{revision}:{path}"))
        now, then = (long(pd.read_csv(source)) for source in sources)
        if images(now) != images(then):
            left_out.append(path.parent.as_posix())
            continue
        then["entry"] += BEFORE
        tables += [table.assign(category=path.parent.name) for table in (now, then)]
    if left_out:
        print(f"left out, since the test images are others: {', '.join(left_out)}")
    if not tables:
        raise DataError(f"no results of the profile {profile} that {revision} has too, on the same test images")
    moved = changes(pd.concat(tables, ignore_index=True))
    print(moved.round(4).to_string(index=False) if len(moved) else f"nothing has moved since {revision}")
    return moved


def changes(values: pd.DataFrame) -> pd.DataFrame:
    """entry, metric, kind, categories, difference, low, high, beyond: the entries that have moved."""
    values = values[values["group"].isin(GROUPS)].drop_duplicates(["category", "entry", "seed", "name"])
    cells = collect(values)
    entries = [name for name in dict.fromkeys(values["entry"]) if not name.endswith(BEFORE)]
    rows = []
    for entry, (metric, title), kind in track(list(product(entries, DIFFERENCE_METRICS.items(), KINDS)), "entries"):
        shared = [
            category
            for category in dict.fromkeys(values["category"])
            if {(category, entry), (category, entry + BEFORE)} <= set(cells) and kind in cells[category, entry].kinds()
        ]
        if shared:
            found = difference(cells, entry, entry + BEFORE, metric, [kind], shared)
            names = {"entry": entry, "metric": title, "kind": kind, "categories": len(shared)}
            rows.append(names | found | {"beyond": found["low"] > 0 or found["high"] < 0})
    columns = ["entry", "metric", "kind", "categories", "difference", "low", "high", "beyond"]
    table = pd.DataFrame(rows, columns=columns).dropna(subset="difference")
    return table[table["difference"] != 0].reset_index(drop=True)


def images(values: pd.DataFrame) -> list[tuple[str, ...]]:
    """The test images with their labels."""
    return sorted(map(tuple, values[IMAGE].drop_duplicates().to_numpy()))


def tracked(folder: Path, revision: str, profile: str) -> list[PurePosixPath]:
    """The tables with the values of every test image that the revision has."""
    places = [f"reports/{profile}/{step}" for step in STEPS]
    names = git(folder, "ls-tree", "-r", "--name-only", revision, "--", *places).splitlines()
    return [PurePosixPath(name) for name in names if name.endswith("/values.csv")]


def git(folder: Path, *arguments: str) -> str:
    """What git prints; its error is raised as `DataError`."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
