"""Run the pipeline's stages as jobs of a SLURM cluster, or as processes of this machine, through submitit.

A second submission leaves out the stages that are done and those that are still in the queue.
"""

import json
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from iadlib.files import locked, write_json
from iadlib.pipeline import Group, folder_of, kind_of, notes, plan, record, run_stage

if TYPE_CHECKING:  # their imports take a second
    from dvc.repo import Repo
    from submitit import Job

RECORD = "record"  # the name of the last job


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What `params/cluster.yaml` may say."""

    jobs_at_once: int | None = None  # of all stages together; None: as many as the cluster allows
    setup: tuple[str, ...] = ()  # shell commands before each job, `module load cuda` for example
    default: dict[str, str | int] = field(default_factory=dict)  # options of sbatch; `time` in minutes
    stages: dict[str, dict[str, str | int]] = field(default_factory=dict)  # by name, they override the default


def cluster(settings: ClusterSettings, local: bool = False, dry: bool = False) -> None:
    """Submit what `dvc repro` would run, and return; with `local` run it on this machine, and wait.

    With `dry` only print the jobs. Raises `RuntimeError` if a local job fails.
    """
    from dvc.repo import Repo

    repo = Repo()
    folder = folder_of(repo)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        queued = {} if local else still_queued(folder)
        if local and (processes := still_running(folder)):
            raise RuntimeError(f"jobs of an earlier call are running: processes {', '.join(map(str, processes))}")
        kinds = {kind_of(stage.name) for stage in repo.index.graph if stage.cmd} | {RECORD}
        if unknown := sorted(settings.stages.keys() - kinds):
            raise ValueError(f"options of a stage {unknown[0]!r}; there are {', '.join(sorted(kinds))}")
        groups = plan(repo, queued)
        for group in groups:
            text = group.stages[0] if len(group.stages) == 1 else f"{group.kind}, {len(group.stages)} stages"
            print(text + (f", after {len(group.before)} others" if group.before else ""))
        print(f"{sum(len(group.stages) for group in groups)} stages to run; {len(queued)} jobs are in the queue")
        if not dry and (groups or notes(repo)):
            run = run_here if local else submit
            run(repo, groups, settings, queued)


def submit_jobs(
    folder: Path, kind: str, functions: Sequence[Callable], settings: ClusterSettings, local: bool, **more: object
) -> "list[Job]":
    """Submit jobs with the options of a kind of stage, several as one array; a local job may use one GPU, or none."""
    try:
        import submitit
    except ModuleNotFoundError:
        raise ModuleNotFoundError("submitit is not installed; run: pip install '.[cluster]'") from None
    options = {"time": 60} | settings.default | settings.stages.get(kind, {})
    minutes, gpu = int(options.pop("time")), "gpu" in str(options.get("gres")) or any("gpus" in key for key in options)
    executor = submitit.AutoExecutor(folder / "jobs", cluster="local" if local else "slurm")
    executor.update_parameters(
        name=kind,
        timeout_min=minutes,
        stderr_to_stdout=True,
        local_gpus_per_node=int(gpu),
        slurm_setup=list(settings.setup),
        slurm_additional_parameters={"kill-on-invalid-dep": "yes", "requeue": True} | options,
        **more,
    )
    return executor.submit_array(functions)


def submit(repo: "Repo", groups: Sequence[Group], settings: ClusterSettings, queued: dict[str, str]) -> None:
    """Submit arrays of jobs, each after the jobs that its stages depend on, and the job that records them.

    `jobs_at_once` is a number of places. A job also waits for the end, good or bad, of all jobs before it in its place:
    the last of them may leave the queue early, when a job that it depends on fails.
    """
    folder, ids, ends = folder_of(repo), dict(queued), list(queued.values())
    places = deque(ends[place :: settings.jobs_at_once] for place in range(settings.jobs_at_once or 0))
    for group in groups:
        taken = [places.popleft() for _ in range(min(len(group.stages), len(places)))]
        more = {"slurm_array_parallelism": len(taken)} if taken else {}
        dependency = depending(
            afterok=[ids[name] for name in group.before], afterany=[job for place in taken for job in place]
        )
        functions = [partial(run_stage, repo.root_dir, name) for name in group.stages]
        jobs = submit_jobs(folder, group.kind, functions, settings, False, slurm_dependency=dependency, **more)
        ids |= {name: job.job_id for name, job in zip(group.stages, jobs, strict=True)}
        ends.append(jobs[0].job_id.partition("_")[0])  # of an array: when all of it has ended
        places.extend([*place, ends[-1]] for place in taken)
        write_json(folder / "jobs.json", ids)  # now, since a submission may be interrupted
    last = partial(record, repo.root_dir)
    dependency = depending(afterany=ends)
    (job,) = submit_jobs(folder, RECORD, [last], settings, False, slurm_dependency=dependency)
    write_json(folder / "jobs.json", ids | {RECORD: job.job_id})
    print(f"submitted; the last job is {job.job_id}, and the logs are in {folder / 'jobs'}")


def depending(**jobs: Sequence[str]) -> str | None:
    """The value of sbatch's option `--dependency`."""
    return ",".join(":".join([kind, *sorted(set(ids))]) for kind, ids in jobs.items() if ids) or None


def run_here(repo: "Repo", groups: Sequence[Group], settings: ClusterSettings, queued: dict[str, str]) -> None:
    """Run the same jobs as processes of this machine, one group after another, `jobs_at_once` at once."""
    folder, failed, at_once = folder_of(repo), {}, settings.jobs_at_once or 1
    for group in groups:
        if missing := sorted(group.before & failed.keys()):
            failed |= dict.fromkeys(group.stages, f"not run, after {missing[0]}")
            continue
        for first in range(0, len(group.stages), at_once):
            names = group.stages[first : first + at_once]
            functions = [partial(run_stage, repo.root_dir, name) for name in names]
            jobs = submit_jobs(folder, group.kind, functions, settings, True)
            ended = zip(names, jobs, strict=True)
            failed |= {name: f"log: {job.paths.stdout}" for name, job in ended if job.exception()}
    (job,) = submit_jobs(folder, RECORD, [partial(record, repo.root_dir)], settings, True)
    job.result()
    print(job.stdout().splitlines()[-1])
    if failed:
        raise RuntimeError("\n".join(["these stages failed:", *(f"  {name} ({why})" for name, why in failed.items())]))


def still_queued(folder: Path) -> dict[str, str]:
    """The jobs of earlier submissions that wait or run, by stage."""
    path = folder / "jobs.json"
    if not path.is_file():
        return {}
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return {name: job for name, job in json.loads(path.read_text()).items() if job in listed}


def still_running(folder: Path) -> list[int]:
    """The processes of local jobs of a call that was killed."""
    import psutil

    arguments = {process.pid: process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"])}
    return [pid for pid, given in arguments.items() if {"submitit.local._local", str(folder / "jobs")} <= set(given)]
