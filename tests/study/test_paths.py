import pytest

from iadlib import detectors
from iadlib.data import DataError
from iadlib.figures import text
from iadlib.study import Study


def test_a_missing_result_is_an_error_that_names_file_and_command(study):
    with pytest.raises(DataError, match=r"benchmark/bolts/values\.csv: no such result; `dvc repro` computes it"):
        study.table("benchmark", "bolts", "values.csv")


def test_missing_photographs_are_one_printed_line(study, capsys):
    assert study.category("parts") is None
    assert capsys.readouterr().out.startswith("data/rendered/parts is missing; `dvc repro` computes it.")
    assert study.masked("parts", "radius_8") is None
    assert capsys.readouterr().out.startswith("data/quick/masked/parts/radius_8 is missing; `dvc repro` computes it.")


def test_of_fitted_detectors_those_that_exist_are_found(study, tmp_path, capsys):
    here = Study("quick", tmp_path)
    (tmp_path / "artifacts/quick/one/0").mkdir(parents=True)
    assert here.fitted({"one": "one/0", "two": "two/0"}) == {"one": tmp_path / "artifacts/quick/one/0"}
    assert capsys.readouterr().out == ""
    assert study.fitted({"one": "one/0"}) == {}
    assert capsys.readouterr().out.count("\n") == 1


def test_titles_read_from_the_source_are_those_of_the_classes():
    assert text.titles() == detectors.titles()


def test_detectors_within_a_longer_name_get_their_titles():
    assert text.titled("padim + simplenet: outputs") == "PaDiM + SimpleNet: outputs"
    assert text.titled("cut_corner") == "cut corner"
