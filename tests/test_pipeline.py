"""The stages: what they depend on, and where their results go."""

import ast
import subprocess
from pathlib import Path

import nbformat
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
PASSES_ON = {"iadlib/params.py", "iadlib/notebook.py", "iadlib/progress.py", "iadlib/types.py"}
METHODS = {path.relative_to(ROOT).as_posix() for path in (ROOT / "iadlib/detectors").glob("*.py")} - {
    "iadlib/detectors/base.py",
    "iadlib/detectors/training.py",
}


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imports_of(code: str) -> list[tuple[str, str]]:
    """(module, name) of every `from iadlib… import name`."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("iadlib")
        for alias in node.names
    ]


def source_of(module: str, name: str) -> str:
    """The module that a name comes from, where a package only passes it on."""
    if file_of(f"{module}.{name}"):
        return f"{module}.{name}"
    if file_of(module).name == "__init__.py":
        for other, exported in imports_of(file_of(module).read_text()):
            if exported == name:
                return source_of(other, name)
    return module


def named_in(code: str) -> set[str]:
    """The modules whose functions the code names: directly, or as attributes of a package that it imports."""
    modules = {name: source_of(module, name) for module, name in imports_of(code)}
    attributes = [
        (modules[node.value.id], node.attr)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    ]
    return {source_of(*pair) for pair in attributes} | set(modules.values())


def reached(code: str) -> set[str]:
    """The files of iadlib that the code runs, directly or not; packages that only pass names on are left out."""
    seen, todo = set(), named_in(code)
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            if file_of(module).name != "__init__.py":
                todo |= named_in(file_of(module).read_text())
    paths = [file_of(module).relative_to(ROOT).as_posix() for module in seen]
    return {path for path in paths if not path.endswith("__init__.py")} - PASSES_ON - METHODS


@pytest.mark.parametrize("stage", [name for name, stage in STAGES.items() if "iadlib.notebook" in stage.get("cmd", "")])
def test_a_stage_depends_on_all_the_code_its_notebook_runs(stage):
    named = STAGES[stage]["deps"]
    cells = nbformat.read(ROOT / next(dep for dep in named if dep.startswith("notebooks/")), as_version=4).cells
    files = reached("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    assert {file for file in files if not any(file == dep or file.startswith(f"{dep}/") for dep in named)} == set()


def test_a_rendering_depends_on_all_the_code_it_runs():
    named = [dep.replace("${item.category}", "flat_connector") for dep in STAGES["render"]["deps"]]
    files = reached(
        "from iadlib.rendering import render_category\nfrom iadlib.rendering.flat_connector import CATEGORY"
    )
    assert files - set(named) == set()


def test_small_results_are_kept_in_git_and_large_ones_are_not():
    for stage in STAGES.values():
        for out in stage.get("outs", []):
            path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            assert path.startswith("reports/") == (options == {"cache": False}), path
