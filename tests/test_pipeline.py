"""The stages: what they depend on, where their results go, and what an edit runs again."""

import ast
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
GRID = yaml.safe_load((ROOT / "params/grid.yaml").read_text())
RENDERED = ("render", "harder_ground", "defect_sizes")
LOCKED = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
COMPUTED = {
    name: stage["cmd"].split()[3]
    for name, stage in STAGES.items()
    if stage.get("cmd", "").startswith("python -m iadlib ")
}
SHOWN = {
    name: Path(stage["cmd"].split()[3])
    for name, stage in STAGES.items()
    if stage.get("cmd", "").startswith("python -m iadlib.notebook ")
}
# What changes no result: how work is spread, shown and written, and the names of parameters and detectors.
WITHOUT_INFLUENCE = {"files.py", "parallel.py", "params.py", "progress.py", "types.py", "errors.py", "__init__.py"}
# Code that a stage's command imports and that the stage does not run.
NOT_RUN = {
    "sizes": {"iadlib/figures/pictures.py", "iadlib/commands/watch.py"},
    "judge": {"iadlib/rendering"},
    "ensemble": {"iadlib/rendering"},
}


def dvc(*arguments: str, root: Path = ROOT) -> str:
    return subprocess.run(["dvc", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def imported(path: Path) -> set[Path]:
    """The files of the package that a module imports by name, not through an `__init__`, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("iadlib"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {ROOT / f"{name.replace('.', '/')}.py" for name in names}
    return {file for file in found if file.is_file()}


def reached(path: Path) -> set[Path]:
    """All files of the package that run when a module runs, as far as its imports say."""
    todo, seen = {path}, set()
    while todo:
        file = todo.pop()
        seen.add(file)
        todo |= imported(file) - seen
    return seen


def test_every_detector_has_a_stage_of_its_own_on_every_category():
    names = dvc("stage", "list", "--name-only").split()
    for profile in yaml.safe_load((ROOT / "params/profile.yaml").read_text())["profiles"]:
        for method in GRID["methods"]:
            for category in GRID["categories"]:
                assert f"fit@{profile}-{method}-{category}" in names


def test_every_dependency_in_the_repository_exists():
    for stage in STAGES.values():
        for dependency in stage.get("deps", []):
            if "$" not in dependency:
                assert (ROOT / dependency).exists(), dependency


@pytest.mark.parametrize("stage", COMPUTED)
def test_a_command_depends_on_the_code_that_it_imports(stage):
    module = ROOT / f"iadlib/commands/{COMPUTED[stage]}.py"
    known = [*STAGES[stage]["deps"], *NOT_RUN.get(stage, ())]
    listed = [ROOT / path for path in known if path.startswith("iadlib/")]
    missing = {
        file.relative_to(ROOT).as_posix()
        for file in reached(module)
        if file.name not in WITHOUT_INFLUENCE and not any(file == one or one in file.parents for one in listed)
    }
    assert missing == set()


@pytest.mark.parametrize("stage", SHOWN)
def test_a_notebook_depends_on_itself_on_the_study_and_on_the_figures(stage):
    assert {SHOWN[stage].as_posix(), "iadlib/study", "iadlib/figures"} <= set(STAGES[stage]["deps"])


def test_every_notebook_has_a_stage():
    assert {path.name for path in SHOWN.values()} == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_renderings_and_small_results_are_kept_in_git_and_large_results_are_not():
    for name, stage in STAGES.items():
        for out in stage.get("outs", []):
            path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            in_git = path.startswith("reports/") or name in RENDERED
            assert in_git == (options == {"cache": False}), path


def test_no_rendering_runs_on_its_own():
    assert {name for name, stage in STAGES.items() if stage.get("frozen")} == set(RENDERED)


def test_git_ignores_the_data_that_are_not_rendered():
    names = [*GRID["rendered"], *STAGES["harder_ground"]["matrix"]["category"], "defect_sizes"]
    kept = [f"data/rendered/{name}/README.md" for name in names]
    ignored = ["data/rendered/mine/source.json", "data/quick/masked/flat_connector/none/README.md"]
    found = subprocess.run(["git", "check-ignore", *kept, *ignored], cwd=ROOT, capture_output=True, text=True).stdout
    assert found.split() == ignored


def changed_stages(copy: Path) -> set[str]:
    """The names of the stages in the lock whose own code or parameters have changed since they ran."""
    status = yaml.safe_load(dvc("status", "--json", root=copy)) or {}
    own = ("params/", "iadlib/", "notebooks/")
    return {
        name
        for name, changes in status.items()
        for change in changes
        if name in LOCKED and isinstance(change, dict)
        if any(path.startswith(own) for path in change.get("changed deps", {}))
    }


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The repository's own files, without data and artifacts."""
    copy = tmp_path_factory.mktemp("copy") / "study"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    return copy


@pytest.fixture
def edited(copy):
    """Replace text in a file of the copy; the file is as before at the end."""
    before = {}

    def edit(name: str, old: str, new: str) -> None:
        before[name] = (copy / name).read_text()
        assert old in before[name]
        (copy / name).write_text(before[name].replace(old, new, 1))

    yield edit
    for name, text in before.items():
        (copy / name).write_text(text)


def test_the_committed_lock_belongs_to_the_code_and_the_parameters(copy):
    assert changed_stages(copy) == set()
    assert set(LOCKED) == set(dvc("stage", "list", "--name-only").split())


def test_a_figure_s_colour_runs_notebooks_and_fits_nothing(copy, edited):
    edited("iadlib/figures/style.py", "#", "#1")
    drawn = {name for name in LOCKED if name.split("@")[0] in {*SHOWN, "card"}}
    assert drawn
    assert changed_stages(copy) == drawn


def test_a_detector_s_parameter_runs_that_detector_s_fits_alone(copy, edited):
    edited("params/methods/padim.yaml", "common: {}", "common: {another: 1}")
    fits = {name for name in LOCKED if name.split("@")[0] in {"fit", "fit_masked"} and "-padim" in name}
    shown = {name for name in LOCKED if name.split("@")[0] == "report"}  # the page shows every detector's settings
    assert fits
    assert changed_stages(copy) == fits | shown
