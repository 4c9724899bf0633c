"""The code that every notebook runs, by hash, in one small file each: stages depend on it, not on a list of modules.

    python -m iadlib.fingerprint artifacts/code

`artifacts/code/02_benchmark.txt` has a line, as of `sha256sum`, for the notebook and for every module whose code it
reaches: the names in its cells are followed to the modules that define them, and so on from there. So nobody can forget
a module in dvc.yaml, and dvc.lock, which DVC reads and writes around every stage, stays short.

Not followed: names that exist only when the code runs. Detectors and rendered categories are found by name, and a stage
lists the files of those that it uses. Left out: the `__init__` of packages, which only pass names on or say which
detectors there are, and the progress bar, which leaves nothing behind.
"""

import argparse
import ast
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {"__init__.py", "progress.py"}


class Imported(NamedTuple):
    """`from module import name as known_as`."""

    module: str
    name: str
    known_as: str


def fingerprint(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    paths = sorted({notebook.resolve().relative_to(ROOT).as_posix()} | reached(code))
    return "".join(f"{hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}  {path}\n" for path in paths)


def reached(code: str) -> set[str]:
    """The files of the package that the code runs, directly or not, as paths relative to the repository."""
    seen, todo = set(), named_in(code)
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            # What a package passes on is followed name by name: all of it would be too much.
            if file_of(module).name != "__init__.py":
                todo |= named_in(file_of(module).read_text())
    return {file_of(module).relative_to(ROOT).as_posix() for module in seen if file_of(module).name not in LEFT_OUT}


def named_in(code: str) -> set[str]:
    """The modules whose functions the code names: directly, or as attributes of a package that it imports."""
    imports = imports_of(code)
    modules = {(known_as, source_of(module, name)) for module, name, known_as in imports}
    attributes = {
        (node.value.id, node.attr)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return {module for _, module in modules} | {
        source_of(module, attribute)
        for known_as, module in modules
        for owner, attribute in attributes
        if owner == known_as
    }


def imports_of(code: str) -> list[Imported]:
    """Every import from the package, also those inside functions."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "iadlib" for alias in node.names):
            raise ValueError("`import iadlib` does not say what is used; write `from iadlib import …`")
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "iadlib":
            found += [Imported(node.module, alias.name, alias.asname or alias.name) for alias in node.names]
    return found


def source_of(module: str, name: str) -> str:
    """The module that a name comes from, where a package only passes it on."""
    if file_of(f"{module}.{name}"):
        return f"{module}.{name}"
    path = file_of(module)
    if path is None:
        raise ValueError(f"there is no module {module}")
    if path.name == "__init__.py":
        for imported in imports_of(path.read_text()):
            if imported.known_as == name:
                return source_of(imported.module, imported.name)
    return module


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m iadlib.fingerprint", description="Hash all that notebooks run.")
    parser.add_argument("out", type=Path, help="a folder, for one file a notebook")
    out = parser.parse_args(arguments).out
    texts = {}
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        try:
            texts[notebook.stem] = fingerprint(notebook)
        except (SyntaxError, ValueError) as error:
            raise SystemExit(f"{notebook}: {error}") from None
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        partial = out / f"{name}.partial"
        partial.write_text(text)
        partial.replace(out / f"{name}.txt")


if __name__ == "__main__":
    main()
