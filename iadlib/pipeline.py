"""The pipeline's stages as jobs: which of them are to run, what a job does, and how its results are recorded.

A job runs the command of one stage and then writes a note: a checksum of the command and of all dependencies, as they
were when the command started. A last job records every stage that has a valid note by `dvc commit`.

Jobs do not call `dvc repro`, because DVC's locks do not work across nodes: a process identifier in them says nothing on
another node. No job waits for a lock, and only the last job writes files that jobs share. See docs/cluster.md.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from iadlib.files import whole_file

if TYPE_CHECKING:  # their imports take a second
    from dvc.repo import Repo
    from dvc.stage import PipelineStage


class Group(NamedTuple):
    """Stages of one name that wait for the same stages: one array of jobs."""

    kind: str  # the stages' name in dvc.yaml
    before: frozenset[str]  # what must have succeeded
    stages: list[str]


# -- what is to be done -----------------------------------------------------------------------------------------------


def folder_of(repo: "Repo") -> Path:
    """Where jobs, their logs and their notes are; DVC and git ignore it."""
    return Path(repo.tmp_dir) / "cluster"


def plan(repo: "Repo", queued: Collection[str] = ()) -> list[Group]:
    """The stages that have changed, and all that depend on them, without those in `queued`; dependencies come first."""
    import networkx

    graph = repo.index.graph  # an edge points from a stage to one that it depends on
    todo = set()
    for stage in reversed(list(networkx.topological_sort(graph))):
        if stage.cmd and not stage.frozen:
            follows = any(before in todo for before in graph.successors(stage))
            if follows or stage.name in queued or (changed(stage) and not has_note(stage)):
                todo.add(stage)
    wanted = graph.subgraph(todo)
    groups = []
    for generation in networkx.topological_generations(wanted.reverse()):
        alike = defaultdict(list)
        for name, stage in sorted((stage.name, stage) for stage in generation):
            before = frozenset(other.name for other in wanted.successors(stage))
            alike[kind_of(name), before] += [name] * (name not in queued)
        groups += [Group(*key, stages) for key, stages in alike.items() if stages]
    return groups


def kind_of(name: str) -> str:
    """The stage's name in dvc.yaml, without the values of the matrix."""
    return name.partition("@")[0]


def changed(stage: "PipelineStage") -> bool:
    """Whether `dvc status` would list a stage; without DVC's locks, so that jobs may ask."""
    return stage.changed_stage() or any(entry.status() for entry in (*stage.deps, *stage.outs))


def basis(stage: "PipelineStage") -> str:
    """A checksum of a stage's command and of all that it depends on, as they are now."""
    stage.save_deps(allow_missing=True)  # in memory
    content = [stage.cmd, sorted((str(dependency), dependency.hash_info.value) for dependency in stage.deps)]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def notes(repo: "Repo") -> list[Path]:
    """The notes of stages that are done and not recorded, by name."""
    return sorted(folder_of(repo).glob("done/[!.]*"))


def note_of(stage: "PipelineStage") -> Path:
    return folder_of(stage.repo) / "done" / stage.name


def has_note(stage: "PipelineStage") -> bool:
    """Whether a job has run the stage's command, on the dependencies as they are now, and its results are there."""
    note = note_of(stage)
    return note.is_file() and all(out.exists for out in stage.outs) and note.read_text() == basis(stage)


# -- what jobs do -----------------------------------------------------------------------------------------------------


def run_stage(root: str, name: str) -> None:
    """Run the command of a stage, unless nothing has changed since it last ran, and leave a note."""
    from dvc.repo import Repo
    from dvc.stage.run import cmd_run

    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    stage = Repo(root).stage.load_one(name=name)
    if not changed(stage) or has_note(stage):
        print(f"{name}: nothing has changed")
        return
    print(f"{name}: {stage.cmd}", flush=True)
    before = basis(stage)
    note_of(stage).unlink(missing_ok=True)
    for out in stage.outs:
        out.remove()
    cmd_run(stage)
    if missing := [str(out) for out in stage.outs if not out.exists]:
        raise RuntimeError(f"{name} has not made {', '.join(missing)}")
    with whole_file(note_of(stage)) as unfinished:
        unfinished.write_text(before)


def record(root: str) -> None:
    """Write every stage with a valid note into dvc.lock and DVC's cache."""
    from dvc.repo import Repo

    repo = Repo(root)
    found = notes(repo)
    done = [note for note in found if has_note(repo.stage.load_one(name=note.name))]
    for note in found:
        if note not in done:
            print(f"{note.name}: a dependency has changed since it ran; submit again")
    if done:
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "commit", "--quiet", "--force"]
        subprocess.run([*command, *(note.name for note in done)], cwd=root, check=True)
    for note in found:
        note.unlink()
    print(f"{len(done)} stages are recorded in dvc.lock")
