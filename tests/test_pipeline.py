"""The stages: what they depend on, and where their results go."""

import ast
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def dvc(*arguments: str) -> str:
    return subprocess.run(["dvc", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_every_cell_of_the_grid_is_a_stage_of_its_own():
    names = dvc("stage", "list", "--name-only").split()
    grid = yaml.safe_load((ROOT / "params/grid.yaml").read_text())
    for profile in yaml.safe_load((ROOT / "params/profile.yaml").read_text())["profiles"]:
        for method in grid["methods"]:
            for category in grid["categories"]:
                assert f"benchmark@{profile}-{method}-{category}" in names


def test_a_detector_is_a_dependency_of_its_own_cells_only():
    assert "iadlib/detectors/${item.method}.py" in STAGES["benchmark"]["deps"]
    assert not any(dep == "iadlib/detectors" for stage in STAGES.values() for dep in stage.get("deps", []))


def test_every_dependency_in_the_repository_exists():
    for stage in STAGES.values():
        for dependency in stage.get("deps", []):
            if "$" not in dependency:
                assert (ROOT / dependency).exists(), dependency


# What a stage runs, apart from the code that only passes values on (params, notebook, progress, __main__).
PASSES_ON = {"iadlib/params.py", "iadlib/notebook.py", "iadlib/progress.py", "iadlib/__init__.py", "iadlib/types.py"}
METHODS = {f"iadlib/detectors/{path.name}" for path in (ROOT / "iadlib/detectors").glob("*.py")} - {
    "iadlib/detectors/base.py",
    "iadlib/detectors/training.py",
}


def reached(modules: set[str]) -> set[str]:
    """The files of iadlib that these modules import, directly or not."""
    files, todo = set(), set(modules)
    while todo:
        name = todo.pop().replace(".", "/")
        path = next(p for p in (ROOT / f"{name}.py", ROOT / name / "__init__.py") if p.is_file())
        if path in files:
            continue
        files.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("iadlib"):
                submodules = {f"{node.module}.{alias.name}" for alias in node.names}
                todo |= {m for m in submodules if list(ROOT.glob(f"{m.replace('.', '/')}*"))} | {node.module}
    return {path.relative_to(ROOT).as_posix() for path in files}


@pytest.mark.parametrize(
    ("stage", "entry"),
    [
        ("render", "iadlib.rendering.flat_connector"),
        ("benchmark", "iadlib.study"),
        ("ensemble", "iadlib.study.ensembles"),
        ("ensemble", "iadlib.study.ensemble_tables"),
    ],
)
def test_a_stage_depends_on_all_the_code_it_runs(stage, entry):
    named = [dep.replace("${item.category}", "flat_connector") for dep in STAGES[stage]["deps"]]
    files = reached({entry}) - PASSES_ON - METHODS
    missing = {file for file in files if not any(file == dep or file.startswith(f"{dep}/") for dep in named)}
    assert missing == set()


def test_small_results_are_kept_in_git_and_large_ones_are_not():
    for stage in STAGES.values():
        for out in stage.get("outs", []):
            path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            assert path.startswith("reports/") == (options == {"cache": False}), path
