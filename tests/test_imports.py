"""Who may import whom: imports go in one direction."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "iadlib"
METHODS = {path.stem for path in (PACKAGE / "detectors").glob("*.py")} - {"__init__", "base", "training"}
LEAVES = {"types", "files", "params", "progress", "parallel"}  # values, files, settings, a bar, processes

# A package or module -> those that its modules may import, beside the leaves.
MAY_IMPORT = {
    **{leaf: set() for leaf in LEAVES},
    "notebook": set(),
    "data": set(),
    "rendering": {"data", "figures"},
    "metrics": set(),
    "calibration": set(),
    "figures": set(),
    "features": set(),
    "stored": set(),
    "noise": set(),
    "detectors": {"features", "noise", "stored"},
    "ensemble": {"features", "noise", "stored", "detectors", "metrics"},
    "explorer": {"data"},
    "results": {"data", "detectors", "calibration"},
    "commands": {
        *("results", "data", "detectors", "ensemble", "rendering", "metrics", "calibration", "figures", "noise"),
        *("explorer", "pipeline"),
    },
    "study": {"results", "data", "detectors", "metrics", "calibration", "figures"},
    "report": {"study", "results", "data", "metrics", "calibration", "figures", "explorer"},
    "pipeline": set(),
    "__main__": {"commands", "detectors"},
}


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, at any depth, as dotted names below iadlib."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "iadlib":
            inside = node.module.removeprefix("iadlib").lstrip(".")
            found |= {inside} if inside else {alias.name for alias in node.names}
            assert node.level == 0, f"{path}: a relative import"
        if isinstance(node, ast.Import):
            found |= {a.name.removeprefix("iadlib.") for a in node.names if a.name.startswith("iadlib.")}
    return found


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_comes_before_it(path):
    package = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    packages = {name.split(".")[0] for name in imported(path)} - {package}
    assert packages <= MAY_IMPORT[package] | LEAVES


@pytest.mark.parametrize("method", sorted(METHODS))
def test_no_method_imports_another(method):
    others = {f"detectors.{other}" for other in METHODS - {method}}
    assert not others & imported(PACKAGE / "detectors" / f"{method}.py")


def test_only_its_own_file_the_table_and_the_ensembles_defaults_name_a_detector():
    allowed = {"detectors/__init__.py", "ensemble/feature.py"}
    named = set()
    for path in MODULES:
        strings = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        place = path.relative_to(PACKAGE).as_posix()
        named |= {(place, method) for method in METHODS & strings if place != f"detectors/{method}.py"}
    assert {place for place, _ in named} <= allowed
