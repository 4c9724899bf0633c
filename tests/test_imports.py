"""Who may import whom: the road is walked in one direction."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "iadlib"
METHODS = {path.stem for path in (PACKAGE / "detectors").glob("*.py")} - {"__init__", "base", "training"}

# A room -> the rooms whose modules it may import. `types`, `params` and `progress` are values, files and a bar.
MAY_IMPORT = {
    "types": set(),
    "params": set(),
    "progress": set(),
    "notebook": {"params", "progress", "warm_kernels"},
    "warm_kernels": set(),
    "fingerprint": set(),
    "data": {"types"},
    "rendering": {"types", "data", "figures"},
    "metrics": {"types"},
    "features": {"types"},
    "detectors": {"types", "features", "progress"},
    "calibration": set(),
    "figures": {"types"},
    "ensemble": {"types", "features", "detectors", "progress"},
    "study": {
        "types",
        "params",
        "data",
        "rendering",
        "detectors",
        "ensemble",
        "metrics",
        "calibration",
        "figures",
        "progress",
    },
    "__main__": {"params", "study", "data", "rendering", "metrics"},
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


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_lies_before_it_on_the_road(path):
    room = room_of(path)
    rooms = {name.split(".")[0] for name in imported(path)} - {room}
    assert rooms <= MAY_IMPORT[room]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_no_method_imports_another(method):
    others = {f"detectors.{other}" for other in METHODS - {method}}
    assert not others & imported(PACKAGE / "detectors" / f"{method}.py")
