"""Notebooks tell; the package computes. Each asks one question first and says last what was seen."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from iadlib.notebook import canonical, main

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
ALLOWED_IMPORTS = {"iadlib", "pandas"}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def cells(request) -> list:
    return nbformat.read(request.param, as_version=4).cells


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3


def test_the_first_cell_asks_the_second_holds_the_parameters_the_last_says_what_was_seen(cells):
    assert cells[0].cell_type == "markdown"
    assert "?" in cells[0].source
    assert cells[1].metadata.get("tags") == ["parameters"]
    assert cells[-1].cell_type == "markdown"


def test_no_function_class_or_loop_over_fits(cells):
    for cell in cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.While)
                assert not (isinstance(node, ast.Attribute) and node.attr in {"fit", "predict"})


def test_only_the_study_is_imported(cells):
    for cell in cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                    assert {name.split(".")[0] for name in names} <= ALLOWED_IMPORTS


def test_sources_are_stripped(cells):
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)


@pytest.fixture
def small(tmp_path) -> Path:
    """A notebook with one parameter that prints it; it fails on 'fail'."""
    cells = [
        nbformat.v4.new_markdown_cell("What is the word?"),
        nbformat.v4.new_code_cell('word = "none"\nnumbers = []', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell('print(word, numbers)\nassert word != "fail"'),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def test_values_keep_their_types_and_two_runs_are_the_same_bytes(small, tmp_path):
    params = tmp_path / "some.yaml"
    params.write_text("quick: {numbers: [1, 0.5, true]}\n")
    outputs = [tmp_path / "first.ipynb", tmp_path / "second.ipynb"]
    for output in outputs:
        main([str(small), str(output), "-f", f"{params}:quick", "-p", "word", "yes"])
    assert "yes [1, 0.5, True]" in outputs[0].read_text()
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_an_unknown_parameter_is_an_error_before_anything_runs(small, tmp_path):
    with pytest.raises(SystemExit, match="no parameter 'wrod'; it has word, numbers"):
        main([str(small), str(tmp_path / "out.ipynb"), "-p", "wrod", "yes"])
    assert not (tmp_path / "out.ipynb").exists()


def test_a_failing_notebook_leaves_the_old_output_and_says_where_the_traceback_is(small, tmp_path):
    output = tmp_path / "out.ipynb"
    output.write_text("old")
    with pytest.raises(SystemExit, match=r"AssertionError[\s\S]*out\.running\.ipynb"):
        main([str(small), str(output), "-p", "word", "fail"])
    assert output.read_text() == "old"


def test_a_killed_run_leaves_the_old_output(small, tmp_path):
    small.write_text(small.read_text().replace("assert word", "import time; time.sleep(60); assert word"))
    output = tmp_path / "out.ipynb"
    output.write_text("old")
    started = tmp_path / "started"
    small.write_text(small.read_text().replace("import time;", f"open('{started}', 'w'); import time;"))
    process = subprocess.Popen([sys.executable, "-m", "iadlib.notebook", str(small), str(output)])
    for _ in range(600):
        if started.exists():
            break
        time.sleep(0.1)
    assert started.exists()
    process.kill()
    process.wait()
    assert output.read_text() == "old"


def test_canonical_drops_what_differs_between_runs():
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("1", metadata={"papermill": {"duration": 1.0}, "tags": ["parameters"]})],
        metadata={"papermill": {"start_time": "now"}, "language_info": {"name": "python", "version": "3.11.7"}},
    )
    cell = canonical(notebook).cells[0]
    assert cell.metadata == {"tags": ["parameters"]}
    assert cell.id == "cell-00"
    assert notebook.metadata == {"kernelspec": {}, "language_info": {"name": "python"}}
