"""Run one notebook with parameters and keep what it shows: a thin wrapper over papermill.

    python -m iadlib.notebook notebooks/02_benchmark.ipynb reports/embedded/notebooks/02_benchmark.ipynb
        -f params/study.yaml:common,embedded -p category flat_connector

With `--each category params/grid.yaml:categories` it runs once for every entry of that list, side by side, and the
entry takes the place of {category} in the output and in the values.

What the wrapper adds: values come from blocks of params files with their types, and a name that the notebook does not
have is an error; the output file appears whole or not at all; the output is canonical (no times, no random ids), so
that the same results are the same bytes; progress bars reach the terminal; the notebook ends when its parent process
ends.
"""

import argparse
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

# nbformat imports a grammar of internet addresses through this module, which takes a second at every start.
sys.modules.setdefault("rfc3987_syntax", None)

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from iadlib.parallel import end_with_parent, in_parallel
from iadlib.params import read_blocks, read_list
from iadlib.progress import TERMINAL

PACKAGE = Path(__file__).resolve().parent


def run_notebook(source: Path, output: Path, parameters: dict) -> None:
    """Execute `source` with `parameters` into `output`; on failure leave `output` as it was."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that removes what is half-written
    known = papermill.inspect_notebook(str(source))
    for name in parameters:
        if name not in known:
            raise SystemExit(f"{source} has no parameter {name!r}; it has {', '.join(known)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    running = output.with_suffix(".running.ipynb")
    os.environ.setdefault(TERMINAL, f"/proc/{os.getpid()}/fd/2" if sys.stderr.isatty() else "")
    # The kernel imports the package that this module belongs to, also where another checkout is the installed one.
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths).rstrip(os.pathsep)
    os.environ["OMP_NUM_THREADS"] = "1"  # the same bits whatever the number of cores
    os.environ["PYTHONHASHSEED"] = "0"  # sets of text in one order: a library draws in the order of a set
    try:
        with tempfile.TemporaryDirectory(prefix="iadlib-") as folder:
            # By default the sockets are files in the notebook's folder, with the same names for all notebooks.
            kernel = {"transport": "ipc", "ip": f"{folder}/kernel", "shutdown_wait_time": 1}
            papermill.execute_notebook(
                str(source),
                str(running),
                parameters=parameters,
                kernel_name="python3",
                cwd=str(source.parent),
                progress_bar=False,
                config=Config({"KernelManager": kernel}),
                coalesce_streams=True,
            )
    except PapermillExecutionError as error:
        last = re.sub(r"\x1b\[[0-9;]*m", "", f"{error.ename}: {error.evalue}")
        raise SystemExit(f"{source} failed: {last}\nThe whole traceback is in {running}") from None
    except BaseException:
        running.unlink(missing_ok=True)
        raise
    nbformat.write(canonical(nbformat.read(running, as_version=4)), running)
    running.replace(output)


def canonical(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without what differs between runs or machines."""
    kernel = notebook.metadata.get("kernelspec", {})
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in ("tags",) if key in cell.metadata})
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
    return notebook


def for_entry(source: Path, output: Path, parameters: dict, placeholder: str, entry: str) -> tuple[Path, Path, dict]:
    """The arguments of `run_notebook` with an entry in place of the placeholder."""
    values = {k: v.replace(placeholder, entry) if isinstance(v, str) else v for k, v in parameters.items()}
    return source, Path(str(output).replace(placeholder, entry)), values


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m iadlib.notebook", description=run_notebook.__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-f", "--file", action="append", default=[], metavar="FILE:BLOCK,BLOCK")
    parser.add_argument("-p", "--parameter", action="append", default=[], nargs=2, metavar=("NAME", "TEXT"))
    parser.add_argument("--each", nargs=2, metavar=("NAME", "FILE:KEY"))
    options = parser.parse_args(arguments)
    parameters = {}
    try:
        for specification in options.file:
            parameters |= read_blocks(specification)
        parameters |= dict(options.parameter)
        tasks = [(options.source, options.output, parameters)]
        if options.each:
            name, listed = options.each
            tasks = [for_entry(*tasks[0], f"{{{name}}}", entry) for entry in read_list(listed)]
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    end_with_parent(signal.SIGTERM)
    try:
        if len(tasks) == 1:
            run_notebook(*tasks[0])
        else:
            in_parallel(run_notebook, tasks, options.source.stem)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
