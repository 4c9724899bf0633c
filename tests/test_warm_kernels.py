"""Kernels that are forks of one process: the same bytes, and no process that outlives its purpose."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

WARM = [sys.executable, "-m", "iadlib.warm_kernels"]
NOTEBOOK = [sys.executable, "-m", "iadlib.notebook"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")


def notebook(path: Path, code: str) -> Path:
    cells = [
        nbformat.v4.new_markdown_cell("What is it?"),
        nbformat.v4.new_code_cell("number = 1", metadata={"tags": ["parameters"]}),
        *map(nbformat.v4.new_code_cell, code.split("\n\n")),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def test_a_forked_kernel_gives_the_bytes_of_one_of_its_own(tmp_path):
    source = notebook(
        tmp_path / "source.ipynb",
        "import os, sys\nopen(os.environ['WHERE'], 'w').write(str('iadlib.study' in sys.modules)) > 0\n\n"
        "from iadlib import figures\nfigures.learning_curve({'loss': [3.0, 2.0]})\n\n"
        "import torch\nos.getcwd(), torch.get_num_threads(), torch.rand(3, generator=torch.Generator())",
    )
    for name, before in (("warm", WARM), ("cold", [])):
        subprocess.run(
            [*before, *NOTEBOOK, str(source), str(tmp_path / f"{name}.ipynb")],
            env=os.environ | {"WHERE": str(tmp_path / name)},
            check=True,
        )
    assert [(tmp_path / name).read_text() for name in ("warm", "cold")] == ["True", "False"]
    assert (tmp_path / "warm.ipynb").read_bytes() == (tmp_path / "cold.ipynb").read_bytes()


def test_notebooks_that_start_at_once_have_kernels_of_their_own(tmp_path):
    source = notebook(tmp_path / "source.ipynb", "number")
    outputs = [tmp_path / f"{number}.ipynb" for number in range(2)]
    both = "".join(f'"$@" {output} -p number {output.stem} & ' for output in outputs)
    subprocess.run([*WARM, "sh", "-c", f"{both} wait", "sh", *NOTEBOOK, str(source)], check=True)
    shown = [nbformat.read(output, as_version=4).cells[-1].outputs[0].data["text/plain"] for output in outputs]
    assert shown == ["'0'", "'1'"]


def test_the_status_is_that_of_the_command():
    assert subprocess.run([*WARM, "sh", "-c", "exit 3"]).returncode == 3


def test_a_kernel_ends_when_whoever_started_it_is_killed(tmp_path):
    pids = tmp_path / "kernel", tmp_path / "runner"
    source = notebook(
        tmp_path / "source.ipynb",
        f"import os, time\nopen({str(pids[0])!r}, 'w').write(str(os.getpid()) + '\\n'); time.sleep(120)",
    )
    runner = [*NOTEBOOK, str(source), str(tmp_path / "out.ipynb")]
    # the command itself goes on, so that nothing but the relay can notice
    command = [*WARM, "sh", "-c", f'"$@" & echo $! > {pids[1]}; exec sleep 120', "sh", *runner]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        assert soon(lambda: pids[0].exists() and pids[0].read_text().endswith("\n"))
        os.kill(int(pids[1].read_text()), signal.SIGKILL)
        assert soon(lambda: not Path(f"/proc/{pids[0].read_text().strip()}").exists())
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def soon(happens, seconds: float = 60) -> bool:
    for _ in range(int(10 * seconds)):
        if happens():
            return True
        time.sleep(0.1)
    return False
