"""Run a command in which the kernels of notebooks start at once, as forks of a process that has imported everything.

    python -m iadlib.warm_kernels make-many-notebooks

Most of a small notebook's time is its imports. The road: one process imports the study and waits at a socket; Jupyter
is told, by a kernel specification under JUPYTER_PATH, to start a relay in place of a kernel; the relay hands its
arguments, environment and working directory over, and the waiting process forks into that kernel. A kernel ends when
its relay does, a relay when its kernel or whoever started it does. Results are the same bits: seeds are set after the
fork.
"""

import contextlib
import ctypes
import functools
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

IMPORTED = ("iadlib.calibration", "iadlib.detectors", "iadlib.ensemble", "iadlib.figures", "iadlib.study")
INTERRUPT = b"i"
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def run(command: list[str]) -> int:
    """The command's exit status. Where processes cannot be forked safely, it runs with kernels of its own."""
    if sys.platform != "linux":
        return subprocess.call(command)
    with tempfile.TemporaryDirectory(prefix="iadlib-") as folder, socket.socket(socket.AF_UNIX) as listening:
        address = f"{folder}/socket"
        specification = Path(folder) / "kernels" / "python3" / "kernel.json"
        specification.parent.mkdir(parents=True)
        # Without site-packages and without this file's folder, whose types.py is not Python's.
        relay = [sys.executable, "-S", "-P", str(Path(__file__).resolve()), address, "-f", "{connection_file}"]
        specification.write_text(json.dumps({"argv": relay, "display_name": "Python 3", "language": "python"}))
        listening.bind(address)
        listening.listen(64)
        # Read when the libraries are loaded; a pool of threads would not survive a fork.
        warm = subprocess.Popen(
            [sys.executable, "-m", "iadlib.warm_kernels", "--serve", str(listening.fileno())],
            env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
            pass_fds=[listening.fileno()],
        )
        paths = os.pathsep.join([folder, os.environ.get("JUPYTER_PATH", "")]).rstrip(os.pathsep)
        try:
            return subprocess.call(command, env=os.environ | {"JUPYTER_PATH": paths})
        except KeyboardInterrupt:
            return 130
        finally:
            warm.kill()
            warm.wait()


def end_with_parent(sent: signal.Signals) -> None:
    """Let this process be sent a signal when its parent ends; on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, sent)


def serve(listening: socket.socket) -> None:
    """When somebody first asks, import what notebooks import; become a kernel for everyone who asks, until killed."""
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the kernels
    while True:
        connection, _ = listening.accept()
        import_all()
        if os.fork() == 0:
            listening.close()
            become_kernel(connection)
        connection.close()


@functools.cache
def import_all() -> None:
    importlib.import_module("ipykernel.kernelapp")
    for package in map(importlib.import_module, IMPORTED):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def become_kernel(connection: socket.socket) -> None:
    with connection.makefile("r") as file:
        asked = json.loads(file.readline())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = ["ipykernel_launcher", *asked["arguments"], f"--IPKernelApp.parent_handle={os.getppid()}"]
    threading.Thread(target=obey, args=(connection,), daemon=True).start()
    importlib.import_module("ipykernel.kernelapp").launch_new_instance()
    os._exit(0)


def obey(connection: socket.socket) -> None:
    """Interrupt this kernel when the relay is interrupted; end it when the relay has ended."""
    while connection.recv(1):
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(1)


def relay(address: str, arguments: list[str]) -> None:
    """Stand for a kernel: start it, pass interrupts on, and end when it ends, or when this process's parent does."""
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        asked = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}
        connection.sendall(json.dumps(asked).encode() + b"\n")
        signal.signal(signal.SIGINT, lambda *_: connection.send(INTERRUPT))
        connection.settimeout(1)
        while os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                with contextlib.suppress(ConnectionError):  # a kernel that is killed
                    connection.recv(1)
                break


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(socket.socket(fileno=int(sys.argv[2])))
    elif Path(sys.argv[1]).is_socket():
        relay(sys.argv[1], sys.argv[2:])
    else:
        sys.exit(run(sys.argv[1:]))
