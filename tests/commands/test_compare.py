import subprocess

import numpy as np
import pandas as pd
import pytest

from iadlib.__main__ import main
from iadlib.commands.compare import compare
from iadlib.data import DataError

LABELS = ["good"] * 20 + ["logical"] * 20 + ["structural"] * 20


def values(shift: float) -> pd.DataFrame:
    """One detector whose logical anomalies score `shift` above the good images; the others are separated."""
    noise = np.random.default_rng(0).uniform(0, 1, len(LABELS))
    table = pd.DataFrame({"label": LABELS, "name": [f"{label}/{i}" for i, label in enumerate(LABELS)], "seed": 0})
    shifts = {"good": 0, "logical": shift, "structural": 9}
    table["score"], table["au_spro"] = (
        noise + table["label"].map(shifts),
        np.where(table["label"] == "good", np.nan, 0.5),
    )
    return table.assign(group="member", entry="padim", regions=(table["label"] != "good").astype(int))


@pytest.fixture
def repository(tmp_path):
    """A git repository with committed results."""

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    folder = tmp_path / "reports/embedded/benchmark/parts"
    folder.mkdir(parents=True)
    values(0.1).to_csv(folder / "values.csv", index=False)
    for arguments in (["init"], ["add", "."], ["commit", "-m", "results"]):
        git(*arguments)
    return tmp_path


def write(repository, table: pd.DataFrame) -> None:
    table.to_csv(repository / "reports/embedded/benchmark/parts/values.csv", index=False)


def test_the_same_results_have_not_moved(repository, capsys):
    assert compare("HEAD", folder=repository).empty
    assert "nothing has moved since HEAD" in capsys.readouterr().out


def test_what_has_moved_is_listed_with_the_interval_of_the_difference(repository):
    write(repository, values(5))
    [row] = compare("HEAD", folder=repository).itertuples()
    assert (row.entry, row.metric, row.kind, row.categories) == ("padim", "image AUROC", "logical", 1)
    assert 0 < row.low < row.difference < row.high
    assert row.beyond


def test_a_small_change_is_not_beyond_the_interval(repository):
    table = values(0.1)
    table.loc[table["name"] == "logical/20", "score"] += 0.3
    write(repository, table)
    [row] = compare("HEAD", folder=repository).itertuples()
    assert row.difference != 0
    assert not row.beyond


def test_other_test_images_are_not_compared(repository, capsys):
    write(repository, values(5).replace({"name": {"good/0": "good/new"}}))
    with pytest.raises(DataError, match="on the same test images"):
        compare("HEAD", folder=repository)
    assert "left out, since the test images are others: reports/embedded/benchmark/parts" in capsys.readouterr().out


def test_an_unknown_revision_is_one_line(repository, monkeypatch):
    monkeypatch.chdir(repository)
    with pytest.raises(SystemExit, match="error: git ls-tree"):
        main(["compare", "nowhere"])
