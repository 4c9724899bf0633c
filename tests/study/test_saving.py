import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from iadlib.study import save, show

TABLE = pd.DataFrame({"value": [1 / 3, 2.0]}, index=["a", "b"])


@pytest.fixture
def chart() -> Figure:
    figure, axis = plt.subplots(figsize=(2, 1))
    axis.plot([0, 1])
    plt.close(figure)
    return figure


@pytest.fixture
def photograph() -> Figure:
    figure, axis = plt.subplots(figsize=(2, 1))
    axis.imshow(np.zeros((8, 6, 3), dtype=np.uint8))
    plt.close(figure)
    return figure


def test_tables_are_csv_charts_png_and_photographs_jpeg(tmp_path, chart, photograph):
    save(tmp_path / "out", {"table": TABLE}, {"chart": chart, "photograph": photograph})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["chart.png", "photograph.jpg", "table.csv"]
    assert (tmp_path / "out/photograph.jpg").read_bytes().startswith(b"\xff\xd8\xff")


def test_an_index_is_written_if_it_has_a_name(tmp_path):
    save(tmp_path / "out", {"without": TABLE, "with": TABLE.rename_axis("letter")}, {})
    assert (tmp_path / "out/without.csv").read_text() == "value\n0.333333\n2\n"
    assert (tmp_path / "out/with.csv").read_text() == "letter,value\na,0.333333\nb,2\n"


def test_what_is_empty_is_not_written(tmp_path):
    save(tmp_path / "out", {"table": TABLE[:0]}, {"figure": None})
    assert list((tmp_path / "out").iterdir()) == []


def test_none_writes_nothing_and_shows_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(None, {"table": TABLE}, {})
    assert list(tmp_path.iterdir()) == []
    assert show(None) is None


def test_a_new_result_replaces_the_old_one_as_a_whole(tmp_path, chart):
    save(tmp_path / "out", {"old": TABLE}, {})
    save(tmp_path / "out", {"new": TABLE}, {})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new.csv"]
    with pytest.raises(AttributeError):
        save(tmp_path / "out", {"broken": TABLE}, {"figure": "no figure"})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new.csv"]


def test_a_cell_shows_photographs_as_jpeg(photograph):
    assert show(photograph).data.startswith(b"\xff\xd8\xff")
