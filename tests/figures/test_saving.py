import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from iadlib.figures.saving import save, show

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


def test_tables_are_csv_and_latex_and_figures_pdf(tmp_path, chart, photograph):
    save(tmp_path / "out", {"table": TABLE}, {"chart": chart, "photograph": photograph})
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["chart.pdf", "photograph.pdf", "table.csv", "table.tex"]
    assert all(path.read_bytes().startswith(b"%PDF") for path in (tmp_path / "out").glob("*.pdf"))
    assert "/DCTDecode" in (tmp_path / "out/photograph.pdf").read_text(encoding="latin-1")


def test_figures_that_another_page_shows_are_pictures_too(tmp_path, chart, photograph):
    figures = {"chart": chart, "photograph": photograph, "other": chart}
    save(tmp_path / "out", {}, figures, pictures=["chart", "photograph"])
    assert (tmp_path / "out/chart.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out/photograph.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert not (tmp_path / "out/other.png").exists()


def test_the_same_figure_is_the_same_bytes(tmp_path, chart, photograph):
    for name in ("first", "second"):
        save(tmp_path / name, {}, {"chart": chart, "photograph": photograph})
    for name in ("chart.pdf", "photograph.pdf"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_an_index_is_written_unless_it_only_numbers_the_rows(tmp_path):
    numbered = TABLE.reset_index(drop=True)
    save(tmp_path / "out", {"numbered": numbered, "unnamed": TABLE, "named": TABLE.rename_axis("letter")}, {})
    assert (tmp_path / "out/numbered.csv").read_text() == "value\n0.333333\n2\n"
    assert (tmp_path / "out/unnamed.csv").read_text() == "row,value\na,0.333333\nb,2\n"
    assert (tmp_path / "out/named.csv").read_text() == "letter,value\na,0.333333\nb,2\n"


def test_columns_of_two_levels_become_one_row_of_names(tmp_path):
    save(tmp_path / "out", {"table": pd.DataFrame({("AU-sPRO", "logical"): [0.5]}, index=["a"])}, {})
    assert (tmp_path / "out/table.csv").read_text() == 'row,"AU-sPRO, logical"\na,0.5\n'


def test_special_characters_are_text_in_latex(tmp_path):
    save(tmp_path / "out", {"table": pd.DataFrame({"a_b & c": ["50 % ± #1", "{x}"]})}, {})
    text = (tmp_path / "out/table.tex").read_text()
    assert r"a\_b \& c" in text
    assert r"50 \% $\pm$ \#1" in text
    assert r"\{x\}" in text


def test_data_of_many_rows_are_no_table_of_a_page(tmp_path):
    save(tmp_path / "out", {"data": pd.DataFrame({"value": range(1000)})}, {})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data.csv"]


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
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["new.csv", "new.tex"]
    with pytest.raises(AttributeError):
        save(tmp_path / "out", {"broken": TABLE}, {"figure": "no figure"})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["new.csv", "new.tex"]


def test_a_cell_shows_photographs_as_jpeg(photograph):
    assert show(photograph).data.startswith(b"\xff\xd8\xff")
