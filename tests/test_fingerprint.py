"""A notebook's code by hash: nothing that it runs is forgotten, and nothing else makes a stage run again."""

import ast
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from iadlib import fingerprint

ROOT = Path(__file__).parents[1]
METHODS = {path.name for path in (ROOT / "iadlib/detectors").glob("*.py")} - {"__init__.py", "base.py", "training.py"}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_notebook(path: Path, *cells: str) -> None:
    markdown = {"cell_type": "markdown", "source": ["from iadlib import never"]}
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    write(path, json.dumps({"cells": [markdown, *code]}))


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A package with two rooms; the notebook takes one function from each, and one of them needs a third module."""
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    package = tmp_path / "iadlib"
    write(package / "__init__.py", "")
    write(package / "kitchen/__init__.py", "from iadlib.kitchen.oven import bake\nfrom iadlib.kitchen.sink import wash")
    write(
        package / "kitchen/oven.py", "def bake():\n    from iadlib import cellar as below\n    return below.fetch()\n"
    )
    write(package / "kitchen/sink.py", "from iadlib.attic import rain\n")
    write(package / "cellar/__init__.py", "from iadlib.cellar.shelf import take as fetch\n")
    write(package / "cellar/shelf.py", "from iadlib.progress import track\n")
    write(package / "attic.py", "")
    write(package / "garden.py", "def dig(): ...\n")
    write(package / "progress.py", "def track(): ...\n")
    write_notebook(tmp_path / "notebooks/dinner.ipynb", "from iadlib import garden, kitchen", "kitchen.bake()")
    return tmp_path


def files_of(notebook: Path) -> set[str]:
    return {line.split("  ")[1] for line in fingerprint.fingerprint(notebook).splitlines()}


def test_names_are_followed_through_packages_functions_and_other_names(small):
    assert files_of(small / "notebooks/dinner.ipynb") == {
        "iadlib/cellar/shelf.py",
        "iadlib/garden.py",
        "iadlib/kitchen/oven.py",
        "notebooks/dinner.ipynb",
    }


def test_a_line_is_a_hash_and_a_path_in_order(small):
    lines = fingerprint.fingerprint(small / "notebooks/dinner.ipynb").splitlines()
    assert lines == sorted(lines, key=lambda line: line.split("  ")[1])
    assert f"{hashlib.sha256(b'def dig(): ...' + bytes([10])).hexdigest()}  iadlib/garden.py" in lines


@pytest.mark.parametrize(
    ("cell", "message"),
    [("import iadlib.garden", "write `from iadlib import"), ("from iadlib.gardn import dig", "no module iadlib.gardn")],
)
def test_what_cannot_be_followed_is_an_error_that_leaves_the_old_files(small, cell, message):
    write_notebook(small / "notebooks/dinner.ipynb", cell)
    write_notebook(small / "notebooks/breakfast.ipynb", "")
    write(small / "out/breakfast.txt", "old")
    with pytest.raises(SystemExit, match=message):
        fingerprint.main([str(small / "out")])
    assert (small / "out/breakfast.txt").read_text() == "old"


def test_the_file_is_whole_or_the_old_one(small, monkeypatch):
    notebook, output = small / "notebooks/dinner.ipynb", small / "new/folder/dinner.txt"
    fingerprint.main([str(output.parent)])
    assert output.read_text() == fingerprint.fingerprint(notebook)
    assert list(output.parent.iterdir()) == [output]
    output.write_text("old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fingerprint.main([str(output.parent)])
    assert output.read_text() == "old"


def test_the_benchmark_runs_metrics_and_cells_but_no_rendering_and_no_detector_of_a_name():
    files = files_of(ROOT / "notebooks/02_benchmark.ipynb")
    assert {"iadlib/metrics/detection.py", "iadlib/study/cells.py", "iadlib/types.py"} <= files
    assert not any(file.startswith("iadlib/rendering") or Path(file).name in METHODS for file in files)


def test_a_function_that_one_module_takes_from_a_detector_is_followed():
    assert "iadlib/detectors/anoddpm.py" in files_of(ROOT / "notebooks/05_ensemble.ipynb")  # its simplex noise


@pytest.mark.parametrize(
    ("edited", "differs"),
    [
        ("iadlib/metrics/detection.py", True),
        ("notebooks/02_benchmark.ipynb", True),
        ("iadlib/rendering/scene.py", False),
    ],
)
def test_an_edit_shows_where_it_is_reached(tmp_path, monkeypatch, edited, differs):
    for folder in ("iadlib", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    notebook = tmp_path / "notebooks/02_benchmark.ipynb"
    before = fingerprint.fingerprint(notebook)
    (tmp_path / edited).write_text((tmp_path / edited).read_text() + "\n")
    assert (fingerprint.fingerprint(notebook) != before) == differs


PACKAGES = sorted({path.parent.name for path in ROOT.glob("iadlib/*/__init__.py")} - {"detectors"})


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_only_passes_names_on(package):
    for node in ast.parse((ROOT / "iadlib" / package / "__init__.py").read_text()).body[1:]:  # after its docstring
        exported = isinstance(node, ast.Assign) and [target.id for target in node.targets] == ["__all__"]
        assert exported or isinstance(node, ast.ImportFrom), f"line {node.lineno}"
