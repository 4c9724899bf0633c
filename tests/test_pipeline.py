"""The stages: what they depend on, and that nothing else can go stale unseen."""

import subprocess
from pathlib import Path

import yaml

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
            if "$" not in dependency:
                assert (ROOT / dependency).exists(), dependency


def test_small_results_are_kept_in_git_and_large_ones_are_not():
    for stage in STAGES.values():
        for out in stage.get("outs", []):
            path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            assert path.startswith("reports/") == (options == {"cache": False}), path
