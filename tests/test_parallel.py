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
import resource, sys
from iadlib import parallel

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        [bytearray(20 * 2**20) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

parallel.cores = lambda: 2
if sys.argv[1] == "kept":
    parallel.keep_freed_memory()
print(faults(), *parallel.in_parallel(faults, [(), ()], "in forks"))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the GNU C library alone can be told to keep memory")
def test_freed_memory_is_used_again_also_in_forks():
    def pages(how):
        command = [sys.executable, "-c", FREED, how]
        return [int(found) for found in subprocess.run(command, capture_output=True, check=True).stdout.split()]

    for kept, returned in zip(pages("kept"), pages("returned"), strict=True):
        assert 5 * kept < returned


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
