"""The stages: what they depend on, and where their results go."""

import subprocess
from pathlib import Path

import pytest
import yaml

from iadlib.fingerprint import fingerprint, reached

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def dvc(*arguments: str) -> str:
    return subprocess.run(["dvc", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_every_cell_of_the_grid_is_a_stage_of_its_own():
    names = dvc("stage", "list", "--name-only").split()
    grid = yaml.safe_load((ROOT / "params/grid.yaml").read_text())
    for profile in yaml.safe_load((ROOT / "params/profile.yaml").read_text())["profiles"]:
        for method in grid["methods"]:
            for category in grid["categories"]:
                assert f"benchmark@{profile}-{method}-{category}" in names


def test_a_detector_is_a_dependency_of_its_own_cells_only():
    assert "iadlib/detectors/${item.method}.py" in STAGES["benchmark"]["deps"]
    assert not any(dep == "iadlib/detectors" for stage in STAGES.values() for dep in stage.get("deps", []))


def test_every_dependency_in_the_repository_exists():
    for stage in STAGES.values():
        for dependency in stage.get("deps", []):
            if "$" not in dependency and not dependency.startswith("artifacts/code/"):  # made by the stage `code`
                assert (ROOT / dependency).exists(), dependency


# stage -> the stem of the notebook that it runs
NOTEBOOKS = {
    name: Path(stage["cmd"].split()[3]).stem
    for name, stage in STAGES.items()
    if stage.get("cmd", "").startswith("python -m iadlib.notebook ")
}


def test_every_notebook_has_a_fingerprint_and_stages():
    stems = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(STAGES["code"]["outs"]) == {f"artifacts/code/{stem}.txt" for stem in stems}
    assert set(NOTEBOOKS.values()) == stems


@pytest.mark.parametrize("stage", NOTEBOOKS)
def test_a_stage_depends_on_the_code_of_its_notebook(stage):
    assert f"artifacts/code/{NOTEBOOKS[stage]}.txt" in STAGES[stage]["deps"]


@pytest.mark.parametrize("stage", NOTEBOOKS)
def test_a_stage_lists_what_its_notebook_asks_for_by_name_with_all_that_this_runs_and_no_other_code(stage):
    grid = yaml.safe_load((ROOT / "params/grid.yaml").read_text())
    methods = grid[STAGES[stage]["matrix"].get("method", "${methods}").strip("${}")]
    listed = {
        dependency.replace("${item.method}", method)
        for dependency in STAGES[stage]["deps"]
        for method in methods
        if dependency.startswith("iadlib/")
    }
    text = fingerprint(ROOT / "notebooks" / f"{NOTEBOOKS[stage]}.ipynb")
    followed = {line.split()[1] for line in text.splitlines()}
    assert listed & followed == set()
    assert {file for path in listed for file in reached((ROOT / path).read_text())} <= listed | followed


def test_a_rendering_depends_on_all_the_code_it_runs():
    named = [dep.replace("${item.category}", "flat_connector") for dep in STAGES["render"]["deps"]]
    files = reached(
        "from iadlib.rendering import render_category\nfrom iadlib.rendering.flat_connector import CATEGORY"
    )
    assert files - set(named) == set()


def test_small_results_are_kept_in_git_and_large_ones_are_not():
    for stage in STAGES.values():
        for out in stage.get("outs", []):
            path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            assert path.startswith("reports/") == (options == {"cache": False}), path
