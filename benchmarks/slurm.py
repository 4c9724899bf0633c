"""Run the quick profile on a SLURM cluster of two nodes on this machine, kill jobs and a node, and compare the results.

    apt-get install --no-install-recommends slurm-wlm munge
    python benchmarks/slurm.py

First `dvc repro` runs the quick profile in a fresh clone. Then the clone starts from nothing again, and `python -m
iadlib cluster` submits the same stages. While they run, one job is cancelled, the command of a second is killed, and
a node is lost with all of its processes. When the queue is empty the node comes back, and a second submission runs the
rest. Every file is compared with those of `dvc repro`. The exit status is 1 if a file differs, if a stage has run twice
without need, or if `dvc status` is not clean. Where SLURM is not installed, the script says so and ends with status 0.

The daemons are processes of the user who runs this, with their files in temporary folders; they end with the script.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path

import psutil
import yaml

LIMIT = 4 * 3600  # seconds to wait for jobs
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
SEARCHED = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
CONFIGURATION = """\
ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={short}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={short}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/completed.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=500000,bf_interval=2
MpiDefault=none
SlurmdTimeout=15
KillWait=5
ReturnToService=2
GresTypes=gpu
{nodes}
PartitionName=trial Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=16000 Gres=gpu:1"
# Every stage that takes a GPU on a real cluster takes one of the two that these nodes pretend to have.
SETTINGS = {
    "jobs_at_once": 2,
    "default": {"cpus-per-task": 1, "time": 60},
    "stages": {kind: {"gres": "gpu:1"} for kind in ("fit", "fit_masked", "ensemble")},
}


def missing() -> str | None:
    """Why there can be no SLURM cluster here."""
    lacking = [program for program in PROGRAMS if not shutil.which(program, path=SEARCHED)]
    return f"SLURM is not installed here: no {', '.join(lacking)}" if lacking else None


class Cluster:
    """Daemons of SLURM for nodes of this machine, named node1, node2, …"""

    def __init__(self, folder: Path, count: int):
        self.folder, self.names = folder, [f"node{number}" for number in range(1, count + 1)]
        self.short = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # of sockets: paths have 107 bytes at most
        self.daemons: dict[str, subprocess.Popen] = {}
        host, user, ports = socket.gethostname(), psutil.Process().username(), free_ports(count + 1)
        lines = [NODE.format(name=name, host=host, port=port) for name, port in zip(self.names, ports[1:], strict=True)]
        values = {"folder": folder, "short": self.short, "host": host, "user": user}
        (folder / "slurm.conf").write_text(CONFIGURATION.format(**values, ports=ports, nodes="\n".join(lines)))
        (folder / "gres.conf").write_text(f"NodeName={','.join(self.names)} Name=gpu File={folder}/gpu\n")
        (folder / "gpu").touch()
        (folder / "cgroup.conf").touch()
        for path in (folder / "state", *(self.short / name for name in self.names)):
            path.mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")

    def start(self) -> None:
        files = {f"{key}-file": self.folder / f"munge.{key}" for key in ("key", "pid", "seed", "log")}
        files["socket"] = self.short / "munge.socket"
        self.daemon("munged", "--foreground", "--force", *(f"--{key}={path}" for key, path in files.items()))
        wait_until(files["socket"].exists, 120)
        self.daemon("slurmctld", "-D")
        for name in self.names:
            self.start_node(name)
        wait_until(lambda: self.states() == ["idle"] * len(self.names), 120)

    def start_node(self, name: str) -> None:
        self.daemon("slurmd", "-D", "-N", name, called=name)

    def daemon(self, program: str, *arguments: str, called: str | None = None) -> None:
        with (self.folder / f"{called or program}.out").open("a") as output:
            command = [shutil.which(program, path=SEARCHED), *arguments]
            self.daemons[called or program] = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True
            )

    def states(self) -> list[str]:
        done = subprocess.run(["sinfo", "--noheader", "--Node", "--format=%T"], capture_output=True, text=True)
        return done.stdout.split()

    def lose_node(self, name: str) -> int:
        """End a node as a power cut does; the number of processes."""
        running = [process for process in self.processes() if process[0] == name]
        self.daemons[name].kill()
        self.daemons[name].wait()
        for _, process in running:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return 1 + len(running)

    def processes(self) -> list[tuple[str, psutil.Process]]:
        """The processes of jobs, and SLURM's own that watch them, with the nodes that they are on."""
        found = {}
        for process in psutil.process_iter():
            try:
                environment = process.environ()
                parent = process.parent()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if environment.get("SLURM_CONF") == os.environ["SLURM_CONF"] and "SLURMD_NODENAME" in environment:
                found[process] = environment["SLURMD_NODENAME"]
                if parent and parent.name().startswith("slurmstepd"):
                    found[parent] = environment["SLURMD_NODENAME"]
        return [(node, process) for process, node in found.items()]

    def stop(self) -> None:
        with suppress(FileNotFoundError, subprocess.CalledProcessError, TimeoutError, RuntimeError):
            subprocess.run(["scancel", "--me"], check=True, capture_output=True)
            wait_until(lambda: not queue(), 30)  # SLURM's processes that watch jobs end with these
        for process in reversed(self.daemons.values()):
            process.terminate()
        for _, process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for process in self.daemons.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.short, ignore_errors=True)


@contextmanager
def cluster(folder: Path, count: int = 2) -> Iterator[Cluster]:
    """A running cluster; commands such as sbatch find it by an environment variable."""
    before = os.environ.get("SLURM_CONF")
    nodes = Cluster(folder, count)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()
        del os.environ["SLURM_CONF"]
        if before:
            os.environ["SLURM_CONF"] = before


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(condition: Callable[[], object], seconds: float, pause: float = 0.5) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"after {seconds} s")
        time.sleep(pause)


def queue() -> list[str]:
    """The jobs that wait or run. Raises `RuntimeError` if SLURM holds one: such a job would wait for ever."""
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i %r"]  # job, reason why it waits
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    if held := [line for line in lines if "held" in line.lower()]:
        raise RuntimeError(f"SLURM holds {', '.join(held)}: see slurmctld.log and slurmd-*.log")
    return [line.split()[0] for line in lines]


# -- the trial --------------------------------------------------------------------------------------------------------


def running(nodes: Cluster) -> list[tuple[str, str, psutil.Process]]:
    """Stages whose commands run now: their names, nodes and processes."""
    found = {}
    for node, process in nodes.processes():
        with suppress(psutil.NoSuchProcess):
            if stage := process.environ().get("DVC_STAGE"):
                found.setdefault(stage, (stage, node, process))
    return list(found.values())


def cancel(environment: dict[str, str]) -> None:
    """Cancel the job of a process with these variables. scancel ignores the plain number of a job in an array."""
    in_array = "SLURM_ARRAY_TASK_ID" in environment
    names = ["SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"] if in_array else ["SLURM_JOB_ID"]
    job = "_".join(environment[name] for name in names)
    subprocess.run(["scancel", job], check=True)
    wait_until(lambda: job not in queue(), 300)


def disturb(nodes: Cluster, pause: float) -> tuple[set[str], str]:
    """Cancel a job, kill the command of another and lose a node, each after `pause` seconds.

    The stages that were cut off, and the lost node.
    """
    cut = set()

    def next_victim() -> tuple[str, str, psutil.Process]:
        time.sleep(pause)
        wait_until(lambda: {stage for stage, *_ in running(nodes)} - cut, LIMIT)
        return next(one for one in running(nodes) if one[0] not in cut)

    stage, _, process = next_victim()
    cancel(process.environ())
    print(f"cancelled: the job of {stage}", flush=True)
    cut.add(stage)
    stage, _, process = next_victim()
    process.kill()
    print(f"killed: the command of {stage}", flush=True)
    cut.add(stage)
    _, name, _ = next_victim()
    lost = {stage for stage, node, _ in running(nodes) if node == name}
    print(f"lost: {name} with {nodes.lose_node(name)} processes, of {', '.join(lost)}", flush=True)
    return cut | lost, name


def submit(quick: Path) -> None:
    subprocess.run([sys.executable, "-m", "iadlib", "cluster"], cwd=quick, check=True)


def most_at_once(folder: Path) -> int:
    """The largest number of jobs that ran at the same time, by SLURM's own list of jobs that have ended."""
    ended = (folder / "completed.txt").read_text()
    times = re.findall(r"StartTime=(\d\S+) EndTime=(\d\S+)", ended)
    events = sorted(
        [(start, 1) for start, _ in times] + [(end, -1) for _, end in times],
    )
    return max(accumulate(change for _, change in events))


def reference(workplace: Path) -> Path:
    """Where `dvc repro` has run the quick profile."""
    task, begun = of_pipeline(workplace), time.monotonic()
    task.reset()
    subprocess.run(task.command, cwd=task.folder, check=True, stdout=subprocess.DEVNULL)
    print(f"dvc repro took {time.monotonic() - begun:.0f} s", flush=True)
    return task.folder


def trial(workplace: Path, expected: Path, pause: float) -> bool:
    """Whether a disturbed run on the cluster ends with the files in `expected`, and ran nothing twice without need."""
    task = of_pipeline(workplace)  # a clone with the settings of the quick profile
    quick = task.folder
    os.environ["PYTHONPATH"] = f"{quick}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    task.reset()
    (quick / "params/cluster.yaml").write_text(yaml.safe_dump({"common": SETTINGS}))
    folder = workplace / "slurm"
    folder.mkdir()
    with cluster(folder) as nodes:
        begun = time.monotonic()
        submit(quick)
        cut, lost = disturb(nodes, pause)
        wait_until(lambda: not queue(), LIMIT)
        print(f"the queue is empty after {time.monotonic() - begun:.0f} s", flush=True)
        nodes.start_node(lost)
        submit(quick)
        wait_until(lambda: not queue(), LIMIT)
        print(f"and again after {time.monotonic() - begun:.0f} s", flush=True)
        begun = time.monotonic()
        submit(quick)
        print(f"a third submission has nothing to run, in {time.monotonic() - begun:.0f} s", flush=True)
        left = queue()
    wanted, found = (
        {f"{part}/{name}": data for part in MADE for name, data in tree(folder / part).items()}
        for folder in (expected, quick)
    )
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    logs = (quick / ".dvc/tmp/cluster/jobs").glob("*_log.out")
    starts = Counter(name for log in logs for name in re.findall(r"^(\S+@\S+|\w+): python ", log.read_text(), re.M))
    twice = sorted(name for name, count in starts.items() if count > 1)
    status = json.loads(subprocess.run(["dvc", "status", "--json"], cwd=quick, check=True, capture_output=True).stdout)
    locks = [yaml.safe_load((folder / "dvc.lock").read_text())["stages"] for folder in (expected, quick)]
    unlike = sorted(name for name in locks[0].keys() | locks[1].keys() if locks[0].get(name) != locks[1].get(name))
    print(f"{len(starts)} stages, {sum(starts.values())} starts of commands; twice: {', '.join(twice) or 'none'}")
    print(f"at most {most_at_once(folder)} jobs at once; {len(left)} are left in the queue")
    print(f"{len(found)} files, {len(differing)} differ", *differing[:5])
    print(f"dvc.lock has {len(locks[1])} stages, {len(unlike)} differ", *unlike)
    print(f"dvc status lists {len(status)} stages", *status)
    return not (differing or unlike or status or left) and set(twice) <= cut


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pause", type=float, default=20, metavar="SECONDS", help="before each kill (default: 20)")
    parser.add_argument("--expected", type=Path, metavar="DIR", help="a folder where `dvc repro` has run already")
    options = parser.parse_args()
    if reason := missing():
        sys.exit(print(f"skipped: {reason}"))
    from interruptions import MADE, of_pipeline, tree  # the script of this name beside this one

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the daemons end, too
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    temporary = Path(tempfile.mkdtemp(prefix="slurm-"))
    workplaces = [temporary / name for name in ("repro", "cluster")]
    for workplace in workplaces:
        workplace.mkdir()
    expected = options.expected or reference(workplaces[0])
    if not trial(workplaces[1], expected, options.pause):
        sys.exit(f"see {temporary}")
    shutil.rmtree(temporary)
