"""Tasks in processes, and what ends them."""

import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from iadlib import parallel
from iadlib.parallel import in_parallel

TASK = """
import sys, time
from pathlib import Path
from iadlib import __main__, files, parallel

def work(i):
    Path(sys.argv[1], f"{i}.begun").touch()
    time.sleep(60)

def run(**_):
    with files.whole_folder(Path(sys.argv[1]) / "out"):
        parallel.in_parallel(work, [(0,), (1,)], "work")

parallel.cores = lambda: 2
__main__.run = run
__main__.main(["card", "x", "--out", "y"])
"""


FREED = """
import resource
from iadlib.parallel import keep_freed_memory

keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytearray(64 * 2**20)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the GNU C library alone can be told to keep memory")
def test_freed_memory_is_used_again():
    fetched = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True).stdout
    assert float(fetched) < 2 * 64  # MiB from the system; 20 * 64 if every array goes back to it


def test_an_ended_command_leaves_no_process_and_nothing_half_written(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", TASK, str(tmp_path)], start_new_session=True)
    for _ in range(1200):
        if len(list(tmp_path.glob("*.begun"))) == 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert {path.name for path in tmp_path.iterdir()} == {"0.begun", "1.begun"}
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_an_error_of_one_task_ends_the_others(monkeypatch):
    def work(seconds):
        if not seconds:
            raise ValueError("no seconds")
        time.sleep(seconds)

    monkeypatch.setattr(parallel, "cores", lambda: 2)
    started = time.monotonic()
    with pytest.raises(ValueError, match="no seconds"):
        in_parallel(work, [(0,), (60,)], "waiting")
    assert time.monotonic() - started < 30


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_is_the_only_one_while_many_tasks_wait(monkeypatch):
    def work(number):
        time.sleep(0.05)
        raise ValueError(f"task {number}")

    monkeypatch.setattr(parallel, "cores", lambda: 2)
    for _ in range(3):
        with pytest.raises(ValueError, match="task 0"):
            in_parallel(work, [(number,) for number in range(200)], "failing")
