"""Notebooks read results and draw. Each asks one question first and says last what was seen."""

import ast
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from iadlib.__main__ import main as command
from iadlib.notebook import canonical, main
from iadlib.report.page import main as report_page
from tests.prose import missing

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests/sample/flat_connector"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALLOWED_IMPORTS = {"iadlib", "pandas"}
TABLES = {  # notebook -> folders below reports/embedded with the tables that its last cell quotes
    "03_tables": ["tables"],
    "04_flat_connector": ["masking_tables", "tables"],
    "04_flat_connector_defects": ["defects"],
    "05_ensemble_tables": ["ensemble_tables", "tables"],
    "06_calibration_tables": ["calibration_tables"],
}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def cells(request) -> list:
    return nbformat.read(request.param, as_version=4).cells


def code_of(cells: list) -> list[ast.AST]:
    return [node for cell in cells if cell.cell_type == "code" for node in ast.walk(ast.parse(cell.source))]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3


def test_the_first_cell_asks_the_second_holds_the_parameters_the_last_says_what_was_seen(cells):
    assert cells[0].cell_type == "markdown"
    assert "?" in cells[0].source
    assert cells[1].metadata.get("tags") == ["parameters"]
    assert cells[-1].cell_type == "markdown"
    assert cells[-1].source.startswith("## What was seen")


def test_no_function_or_class(cells):
    for node in code_of(cells):
        assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.While)


def test_only_the_notebook_of_the_ensemble_fits_and_only_the_joint_head():
    fitting = {}
    for path in NOTEBOOKS:
        nodes = code_of(nbformat.read(path, as_version=4).cells)
        calls = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in {"fit", "predict"}]
        fitting |= {path.stem: [ast.unparse(call.value.func) for call in calls]} if calls else {}
    assert fitting == {"05_ensemble": ["JointHead"]}


def test_only_the_study_is_imported(cells):
    for node in code_of(cells):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert {name.split(".")[0] for name in names} <= ALLOWED_IMPORTS


def test_sources_are_stripped(cells):
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)


@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_the_last_cell_is_in_a_committed_table(name):
    text = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells[-1].source
    assert missing(text, [ROOT / "reports/embedded" / folder for folder in TABLES[name]]) == []


def test_no_committed_notebook_shows_nan():
    for path in sorted((ROOT / "reports").glob("*/notebooks/**/*.ipynb")):
        outputs = [found for cell in nbformat.read(path, as_version=4).cells for found in cell.get("outputs", [])]
        shown = [output.get("data", {}).get("text/html", output.get("text", "")) for output in outputs]
        shown = re.sub(r"base64,[\w+/=]+", "", "".join(shown))
        assert not re.search(r"\bnan\b|<NA>", shown, flags=re.IGNORECASE), path


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Path:
    """A study of two detectors with tiny settings on the sample, made by the commands of the pipeline."""
    root = tmp_path_factory.mktemp("study")
    results, reports = (root / kind / "quick/benchmark/flat_connector" for kind in ("artifacts", "reports"))
    (root / "params").mkdir()
    (root / "params/grid.yaml").write_text("methods: [padim, simplenet]\ncategories: {flat_connector: {}}\n")
    shutil.copytree(SAMPLE, root / "data/rendered/flat_connector")
    for name in ("padim", "simplenet"):
        settings = ["-f", f"{ROOT}/params/methods/{name}.yaml:common,quick", "--image-size", "64", "--seeds", "0"]
        command(["fit", "--data", str(SAMPLE), "--detector", name, "--out", str(results / name), *settings])
    command(["judge", "--data", str(SAMPLE), "--results", str(results), "--out", str(reports)])
    return root


def executed(name: str, output: Path, **parameters: str | Path) -> list:
    options = [text for key, value in parameters.items() for text in ("-p", key, str(value))]
    main([str(ROOT / "notebooks" / f"{name}.ipynb"), str(output), *options])
    return [found for cell in nbformat.read(output, as_version=4).cells for found in cell.get("outputs", [])]


def printed(outputs: list) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_a_category_is_shown_with_the_maps_and_losses_of_all_detectors(judged, tmp_path):
    outputs = executed("02_benchmark", tmp_path / "02.ipynb", profile="quick", folder=judged, out=tmp_path / "out")
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) == 3
    assert printed(outputs) == ""
    names = {path.name for path in (tmp_path / "out").iterdir() if path.suffix not in {".csv", ".tex"}}
    assert names == {"scores.pdf", "roc.pdf", "learning.pdf", "disputed.pdf", "missed.pdf", "false_alarms.pdf"}
    assert (tmp_path / "02.ipynb").stat().st_size < 1_000_000


def test_the_report_leaves_out_what_has_no_results_and_shows_photographs_with_maps(judged, tmp_path):
    notebook, index = tmp_path / "07.ipynb", tmp_path / "index.html"
    executed("07_report", notebook, profile="quick", folder=judged, out=tmp_path / "out")
    report_page([str(notebook), "--profile", "quick", "--folder", str(judged), "--out", str(index)])
    text = index.read_text()
    assert "There are no results with a masked background." in text
    assert "Average ranks need at least two categories" in text
    assert "nan" not in re.sub(r"data:image/\w+;base64,[\w+/=]+", "", text).lower()
    [collection] = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1])
    assert sorted(collection["methods"]) == ["PaDiM", "SimpleNet"]
    assert {"photograph", "ground truth", "PaDiM", "SimpleNet"} == set(
        next(image for image in collection["images"] if image["label"] != "good")["pictures"]
    )
    assert {"main.csv", "main.tex", "main.pdf"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_good_test_images_alone_are_lines_and_no_traceback(judged, tmp_path):
    folder, reports = tmp_path / "study", tmp_path / "study/reports/quick/benchmark/flat_connector"
    shutil.copytree(judged, folder)
    data = folder / "data/rendered/flat_connector"
    for part in ("test/logical_anomalies", "test/structural_anomalies", "ground_truth"):
        shutil.rmtree(data / part)
    for name in ("values.csv", "scores.csv"):
        table = pd.read_csv(reports / name)
        table[table["label"] == "good"].to_csv(reports / name, index=False)
    for path in reports.glob("*/metrics.json"):
        content = json.loads(path.read_text())
        content["mean"] = {key: value for key, value in content["mean"].items() if key.startswith("at_image")}
        path.write_text(json.dumps(content))
    assert "no metrics" in printed(executed("02_benchmark", tmp_path / "02.ipynb", profile="quick", folder=folder))


def test_where_nothing_is_computed_lines_say_how_to(tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params/grid.yaml").write_text("methods: [padim]\n")
    lines = printed(executed("02_benchmark", tmp_path / "02.ipynb", folder=tmp_path)).splitlines()
    assert lines
    assert all("is missing; `dvc repro` computes it" in line or line.startswith("no metrics") for line in lines)


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


def test_each_entry_of_a_list_runs_once_under_its_name(small, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text("words: {one: {}, two: {}}\n")
    main([str(small), str(tmp_path / "out/{word}.ipynb"), "--each", "word", f"{grid}:words", "-p", "word", "a {word}"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"one.ipynb", "two.ipynb"}
    assert "a two []" in (tmp_path / "out/two.ipynb").read_text()


def test_an_entry_that_fails_is_named_and_its_traceback_kept(small, tmp_path):
    (tmp_path / "grid.yaml").write_text("words: [one, fail]\n")
    output = str(tmp_path / "out/{word}.ipynb")
    with pytest.raises(SystemExit, match=r"AssertionError[\s\S]*fail\.running\.ipynb"):
        main([str(small), output, "--each", "word", f"{tmp_path}/grid.yaml:words", "-p", "word", "{word}"])
    assert not (tmp_path / "out/fail.ipynb").exists()


def test_a_list_that_is_not_there_is_an_error(small, tmp_path):
    with pytest.raises(SystemExit, match=r"grid.yaml:words: FILE:KEY of a list"):
        main([str(small), str(tmp_path / "{word}.ipynb"), "--each", "word", f"{tmp_path}/grid.yaml:words"])


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
