"""Independent tasks spread over the cores, one thread each: the results do not depend on the number of cores."""

import ctypes
import multiprocessing
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from iadlib.progress import track

Outcome = TypeVar("Outcome")
SIGNAL_WHEN_PARENT_ENDS = 1  # PR_SET_PDEATHSIG of prctl(2)
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)
# What the forked processes work on: they inherit it, so that images and fitted members are shared and not copied.
_inherited: tuple[Callable[..., Any], Sequence[tuple]] | None = None


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(
    function: Callable[..., Outcome], tasks: Iterable[tuple], description: str, apart: bool = False
) -> list[Outcome]:
    """`function(*task)` for every task, in the order of the tasks.

    The processes are forks of this one: functions and arguments need not be picklable, and nothing is imported again.
    With a GPU, which forks cannot share, inside another such process, and, unless `apart` is set, for a single task,
    everything runs here. Raises the first error of a task.
    """
    global _inherited
    import torch  # here, because it takes seconds

    tasks = list(tasks)
    processes = min(cores(), len(tasks))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same bits everywhere; and a pool of threads does not survive a fork
    try:
        if processes <= int(not apart) or not _can_fork() or torch.cuda.is_available():
            return [function(*task) for task in track(tasks, description)]
        _inherited = function, tasks
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(processes, context, initializer=_begin) as pool:
            try:
                outcomes = [pool.submit(_run, index) for index in range(len(tasks))]
                return [outcome.result() for outcome in track(outcomes, description)]
            except BaseException:  # futures are not cancelled: the pool's thread raises on cancelled ones
                for process in multiprocessing.active_children():
                    process.terminate()  # its task may take minutes, and nobody waits for the outcome
                raise
    finally:
        _inherited = None
        torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """Let this process and its forks use memory again that tensors have freed; with the GNU C library only.

    By default, arrays of more than 32 MiB go back to the system at once, and so does the free end of the heap beyond
    twice the largest array that was freed so far. The system hands out pages one by one and filled with zeros, which on
    a virtual machine can take as long as the networks. Here arrays of more than 128 MiB go back, and the free end of
    the heap beyond 1 GiB. Threads other than the main one have small heaps of their own and gain less.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        if not library.mallopt(MMAP_THRESHOLD, 128 * 2**20):
            library.mallopt(MMAP_THRESHOLD, 32 * 2**20)  # the most that older versions allow
        library.mallopt(TRIM_THRESHOLD, 2**30)


def _can_fork() -> bool:
    return "fork" in multiprocessing.get_all_start_methods() and multiprocessing.parent_process() is None


def _begin() -> None:
    """Let the parent decide when this process ends: Ctrl-C reaches both, and the parent then ends this one."""
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(index: int) -> Any:
    function, tasks = _inherited
    return function(*tasks[index])


def end_with_parent(sent: signal.Signals) -> None:
    """Let this process receive a signal when its parent ends; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SIGNAL_WHEN_PARENT_ENDS, sent)
