"""The pipeline as jobs, on a small pipeline in a repository of its own."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from iadlib import pipeline
from iadlib.commands.cluster import ClusterSettings, cluster
from iadlib.params import read_settings
from tests.test_benchmarks import ROOT, script

pytestmark = pytest.mark.filterwarnings("ignore:.*_NoneStep.value:DeprecationWarning")  # of a library of DVC's

COPY = "echo ${{item.letter}}.{kind} >> log.txt && test ! -e broken.${{item.letter}} && cat {source} > {out}"


def matrix(kind: str, source: str) -> dict:
    """A stage for each letter that copies a file, appends its name to log.txt, and fails where a file says so."""
    return {
        "matrix": {"letter": ["a", "b"]},
        "cmd": COPY.format(kind=kind, source=source, out=f"{kind}.${{item.letter}}"),
        "deps": [source],
        "outs": [f"{kind}.${{item.letter}}"],
    }


STAGES = {
    "source": {"frozen": True, "cmd": "echo never >> log.txt", "outs": [{"source.txt": {"cache": False}}]},
    "fit": matrix("fit", "source.txt"),
    "judge": matrix("judge", "fit.${item.letter}"),
    "table": {
        "cmd": "echo table >> log.txt; cat judge.a judge.b > table.txt",
        "deps": ["judge.a", "judge.b"],
        "params": ["title"],
        "outs": [{"table.txt": {"cache": False}}],
    },
}


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """A repository of five stages that are to run: fit@a, fit@b, judge@a, judge@b, table."""
    monkeypatch.chdir(tmp_path)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths).rstrip(os.pathsep))
    dvc("init", "--no-scm", "--quiet")
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    Path("params.yaml").write_text("title: first\n")
    Path("source.txt").write_text("pixels\n")
    dvc("commit", "--quiet", "--force", "source")
    return tmp_path


def dvc(*arguments: str) -> str:
    return subprocess.run(["dvc", *arguments], check=True, capture_output=True, text=True).stdout


def ran() -> list[str]:
    """The stages whose commands have run since the last call, in order."""
    log = Path("log.txt")
    lines = log.read_text().split() if log.is_file() else []
    log.unlink(missing_ok=True)
    return lines


def run(**settings: object) -> None:
    cluster(ClusterSettings(jobs_at_once=2, **settings), local=True)


def test_every_stage_runs_once_after_those_that_it_depends_on_and_the_lock_is_that_of_dvc_repro(study):
    run()
    lines = ran()
    assert [sorted(lines[:2]), sorted(lines[2:4]), lines[4:]] == [["a.fit", "b.fit"], ["a.judge", "b.judge"], ["table"]]
    assert json.loads(dvc("status", "--json")) == {}
    by_jobs = yaml.safe_load(Path("dvc.lock").read_text())
    dvc("repro", "--force")
    assert yaml.safe_load(Path("dvc.lock").read_text()) == by_jobs


def test_after_a_failure_only_what_is_missing_runs(study):
    Path("broken.b").touch()
    with pytest.raises(RuntimeError, match=r"(?s)fit@b \(log: .*judge@b \(not run, after fit@b\).*table \(not run"):
        run()
    assert sorted(ran()) == ["a.fit", "a.judge", "b.fit"]
    assert sorted(json.loads(dvc("status", "--json"))) == ["fit@b", "judge@b", "table"]
    Path("broken.b").unlink()
    run()
    assert ran() == ["b.fit", "b.judge", "table"]
    run()
    assert ran() == []
    assert json.loads(dvc("status", "--json")) == {}


def test_only_what_a_change_reaches_runs_again_and_no_further_than_results_differ(study):
    run()
    ran()
    Path("params.yaml").write_text("title: second\n")
    run()
    assert ran() == ["table"]
    Path("fit.a").write_text("damaged")
    run()
    assert ran() == ["a.fit"]
    assert json.loads(dvc("status", "--json")) == {}


def test_results_of_dependencies_that_changed_meanwhile_are_not_recorded(study, capsys):
    root = str(study)
    pipeline.run_stage(root, "fit@a")
    pipeline.run_stage(root, "fit@b")
    Path("source.txt").write_text("other pixels\n")
    pipeline.run_stage(root, "fit@b")
    pipeline.record(root)
    assert "fit@a: a dependency has changed" in capsys.readouterr().out
    assert "fit@a" in json.loads(dvc("status", "--json"))
    assert "fit@b" not in json.loads(dvc("status", "--json"))


def test_a_job_that_starts_again_after_its_end_does_nothing(study):
    pipeline.run_stage(str(study), "fit@a")
    pipeline.run_stage(str(study), "fit@a")
    assert ran() == ["a.fit"]


def test_a_command_that_does_not_make_its_output_has_failed(study):
    text = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(text.replace("> fit.${item.letter}", "> /dev/null"))
    with pytest.raises(RuntimeError, match=r"fit@a has not made fit\.a"):
        pipeline.run_stage(str(study), "fit@a")
    assert pipeline.notes(Repo()) == []


def test_the_committed_settings_name_stages_of_the_pipeline_and_give_a_gpu_to_those_that_fit():
    settings = read_settings(ClusterSettings, [f"{ROOT}/params/cluster.yaml:common"])
    assert settings.stages.keys() <= yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].keys()
    assert {name for name, options in settings.stages.items() if "gres" in options} >= {"fit", "fit_masked", "ensemble"}


def test_options_of_a_stage_that_there_is_not_are_an_error(study):
    with pytest.raises(ValueError, match="options of a stage 'fits'; there are fit, judge"):
        run(stages={"fits": {"gres": "gpu:1"}})


def test_nothing_runs_on_a_dry_run(study, capsys):
    cluster(ClusterSettings(), local=True, dry=True)
    assert ran() == []
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["fit, 2 stages", "judge@a, after 1 others"]
    assert printed[-1] == "5 stages to run; 0 jobs are in the queue"


# -- the commands that SLURM gets -------------------------------------------------------------------------------------

SBATCH = """#!/bin/sh
number=$(( $(cat sbatch.count 2> /dev/null || echo 0) + 1 ))
echo $number > sbatch.count
cp "$1" job.$number
echo "Submitted batch job $number"
"""


@pytest.fixture
def submissions(study, monkeypatch):
    """A function that submits with an `sbatch` that only notes, and `squeue` that lists what a file names."""
    programs = study / "bin"
    programs.mkdir()
    for name, text in {
        "sbatch": SBATCH,
        "srun": "#!/bin/sh\n",
        "squeue": "#!/bin/sh\ncat queue 2> /dev/null; true\n",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def submitted(**settings: object) -> list[dict[str, str]]:
        """The options of every new job or array; their numbers are 1, 2, … over all calls."""
        before = len(list(study.glob("job.*")))
        cluster(ClusterSettings(**settings))
        jobs = [
            Path(f"job.{before + 1 + number}").read_text() for number in range(len(list(study.glob("job.*"))) - before)
        ]
        options = [[line[10:] for line in job.splitlines() if line.startswith("#SBATCH --")] for job in jobs]
        return [{name: value for name, _, value in (line.partition("=") for line in lines)} for lines in options]

    return submitted


def test_alike_stages_are_an_array_and_jobs_wait_for_what_they_depend_on(submissions):
    jobs = submissions()
    assert [job["job-name"] for job in jobs] == ["fit", "judge", "judge", "table", "record"]
    assert jobs[0]["array"] == "0-1%2"
    found = [job.get("dependency") for job in jobs]
    assert found == [None, "afterok:1_0", "afterok:1_1", "afterok:2:3", "afterany:1:2:3:4"]


def test_no_more_jobs_run_at_once_than_the_settings_say(submissions):
    jobs = submissions(jobs_at_once=1)
    assert jobs[0]["array"] == "0-1%1"
    found = [job.get("dependency") for job in jobs[1:4]]
    assert found == ["afterok:1_0,afterany:1", "afterok:1_1,afterany:1:2", "afterok:2:3,afterany:1:2:3"]


def test_options_of_a_stage_override_the_default(submissions):
    fit, judge, *_ = submissions(default={"mem": "4G", "time": 30}, stages={"fit": {"gres": "gpu:1", "time": 90}})
    assert (fit["mem"], fit["gres"], fit["time"]) == ("4G", "gpu:1", "90")
    assert (judge["mem"], judge["time"], "gres" in judge) == ("4G", "30", False)


def test_jobs_that_are_in_the_queue_are_not_submitted_again(submissions):
    submissions()
    Path("queue").write_text("1_1\n3\n5\n")  # fit@b, judge@b and the last job
    jobs = submissions()
    assert [job["job-name"] for job in jobs] == ["fit", "judge", "table", "record"]
    assert "array" not in jobs[0]
    assert [job.get("dependency") for job in jobs] == [None, "afterok:6", "afterok:3:7", "afterany:1_1:3:5:6:7:8"]


@pytest.mark.slow
def test_a_cluster_of_two_nodes_runs_the_pipeline_and_resumes_it(study):
    slurm = script("slurm")
    if reason := slurm.missing():
        pytest.skip(reason)
    (study / "slurm").mkdir()
    with slurm.cluster(study / "slurm"):
        Path("broken.b").touch()
        cluster(ClusterSettings())
        slurm.wait_until(lambda: not slurm.queue(), 600)
        assert sorted(ran()) == ["a.fit", "a.judge", "b.fit"]
        assert sorted(json.loads(dvc("status", "--json"))) == ["fit@b", "judge@b", "table"]
        Path("broken.b").unlink()
        cluster(ClusterSettings(jobs_at_once=1))
        slurm.wait_until(lambda: not slurm.queue(), 600)
    assert ran() == ["b.fit", "b.judge", "table"]
    assert json.loads(dvc("status", "--json")) == {}
