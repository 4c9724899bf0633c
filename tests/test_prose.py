import pytest

from tests.prose import missing

TABLE = "what,difference,low,high\na,-0.0434,-0.0869,-0.0014\nb,0.5,0.4,0.6\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    return tmp_path


@pytest.mark.parametrize(
    "text", ["it loses 0.043 [0.001, 0.087]", "−0.043 [−0.087, −0.001]", "0.50 alone", "no number"]
)
def test_numbers_of_a_row_are_found_whatever_their_sign(folder, text):
    assert missing(text, [folder]) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.043 [0.4, 0.6]", "0.043 [0.4, 0.6]"),  # of two rows
        ("0.044 [0.001, 0.087]", "0.044 [0.001, 0.087]"),
        ("it is 0.7", "0.7"),
    ],
)
def test_numbers_that_no_row_has_are_named(folder, text, number):
    assert missing(text, [folder]) == [number]
