"""Kill commands at random moments, run them to their end, and compare what they leave with an uninterrupted run.

    python benchmarks/interruptions.py pipeline 100        # `dvc repro` of the quick profile, in a fresh clone
    python benchmarks/interruptions.py fit 20
    python benchmarks/interruptions.py score 20            # score --watch
    python benchmarks/interruptions.py build 20

A kill is SIGKILL to the whole process group. Whenever a command comes to its end before the kills are used up, its
result is compared and it starts from nothing again. The last line counts kills and results that differ; the exit status
is 1 if any differs.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
MADE = ("artifacts", "reports", "data/quick")  # what the stages of the quick profile make


class Task(NamedTuple):
    """A command and how to look at it; `seconds` is how long an uninterrupted run takes."""

    command: list[str]
    folder: Path  # where it runs
    reset: Callable[[], None]  # removes what it has made
    content: Callable[[], dict[str, object]]  # what it has made, by name
    check: Callable[[], str | None]  # after a kill: what is half-written, or None
    done: Callable[[], bool]  # after a kill: whether all was written, so that the command would refuse to run again
    seconds: float


def tree(folder: Path) -> dict[str, object]:
    """The bytes of every file below a folder, without what killed processes have left half-written."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".partial" not in str(path)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run(command: list[str], folder: Path, seconds: float | None = None) -> bool:
    """Run a command; after `seconds` kill its process group. Whether it came to its end."""
    environment = os.environ | {"PYTHONPATH": str(folder if (folder / "iadlib").is_dir() else ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with status {process.returncode}:\n{output.decode()[-3000:]}")
    return True


def campaign(name: str, task: Task, kills: int, seed: int) -> int:
    """The number of results that differ from an uninterrupted run, and of half-written ones after a kill."""
    draw = random.Random(seed)
    task.reset()
    run(task.command, task.folder)
    expected = task.content()
    task.reset()
    done = finished = wrong = 0

    def compare() -> int:
        found = task.content()
        differing = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        print(
            f"  run {finished} to its end after {done} kills: {len(differing)} differences", *differing[:5], flush=True
        )
        task.reset()
        return bool(differing)

    while done < kills:
        ended = run(task.command, task.folder, draw.uniform(0, task.seconds))
        done += not ended
        if not ended and (half := task.check()):
            wrong += 1
            print(f"  kill {done}: {half}", flush=True)
        if ended or task.done():
            finished += 1
            wrong += compare()
    run(task.command, task.folder)
    finished += 1
    wrong += compare()
    print(f"{name}: {done} kills, {finished} runs to the end, {wrong} wrong")
    return wrong


# -- tasks ------------------------------------------------------------------------------------------------------------


def plates(folder: Path, count: int, first: int = 0) -> Path:
    """Photographs of a textured plate."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels = np.random.default_rng(number).integers(100, 140, (160, 240, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


def product(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "iadlib", *map(str, arguments)]


def of_pipeline(workplace: Path) -> Task:
    clone = workplace / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    (clone / ".venv").symlink_to(ROOT / ".venv")
    run(["make", "-o", ".venv/.ready", "quick", "STAGES=card"], clone)  # makes the folder where the profile runs
    quick, dvc = clone / ".quick", Path(sys.executable).with_name("dvc")

    def reset() -> None:
        for name in (*MADE, ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(quick / name, ignore_errors=True)
        (quick / "dvc.lock").unlink(missing_ok=True)
        run([str(dvc), "commit", "--quiet", "--force", "render", "harder_ground", "defect_sizes"], quick)

    def content() -> dict[str, object]:
        return {f"{part}/{name}": data for part in MADE for name, data in tree(quick / part).items()}

    return Task([str(dvc), "repro"], quick, reset, content, lambda: None, lambda: False, seconds=30)


def _only(folder: Path, allowed: set[str]) -> str | None:
    strange = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    unexpected = [name for name in strange if name not in allowed]
    return f"{folder} has {', '.join(unexpected)}" if unexpected else None


def of_fit(workplace: Path) -> Task:
    out, command = workplace / "out", product("fit", "--data", plates(workplace / "good", 30), "--out", "out/result")
    files = {"settings.json", "detector.safetensors", "scores.csv"}

    def check() -> str | None:
        result = out / "result"
        missing = files - {path.name for path in result.iterdir()} if result.exists() else set()
        return f"{result} lacks {', '.join(sorted(missing))}" if missing else _only(out, {"result"})

    return Task(
        [*command, "--detector", "padim"],
        workplace,
        lambda: shutil.rmtree(out, ignore_errors=True),
        lambda: tree(out / "result"),
        check,
        lambda: (out / "result").exists(),
        seconds=12,
    )


def of_score(workplace: Path) -> Task:
    """`score --watch` on 60 photographs; a small driver stops it when all of them are scored."""
    good = plates(workplace / "good", 12)
    run(product("fit", "--data", good, "--detector", "padim", "--image-size", "64", "--out", "result"), workplace)
    plates(workplace / "new", 60, first=100)
    driver = workplace / "drive.py"
    driver.write_text(
        "from pathlib import Path\n"
        "from iadlib.commands.watch import watch\n"
        "table = Path('out/scores.csv')\n"
        "watch('result', 'new', 'out', stop=lambda: table.is_file() and table.read_text().count('\\n') > 60)\n"
    )
    out = workplace / "out"

    def content() -> dict[str, object]:
        table = pd.read_csv(out / "scores.csv").sort_values("file")
        return {f"maps/{name}": data for name, data in tree(out / "maps").items()} | {"scores": table.to_csv()}

    return Task(
        [sys.executable, str(driver)],
        workplace,
        lambda: shutil.rmtree(out, ignore_errors=True),
        content,
        lambda: None,
        lambda: False,
        seconds=14,
    )


def of_build(workplace: Path) -> Task:
    photographs = plates(workplace / "photographs", 60)
    (workplace / "masks").mkdir()
    for number in range(8):
        mask = np.zeros((160, 240), np.uint8)
        mask[20:60, 30:90] = 255
        Image.fromarray(mask).save(workplace / f"masks/{number:03}_scratch.png")
    (workplace / "d.yaml").write_text("annotations: masks\ndefects: {scratch: {kind: structural}}\n")
    out = workplace / "out"

    def check() -> str | None:
        if not (out / "category").exists():
            return _only(out, set())
        return None if (out / "category/README.md").is_file() else f"{out / 'category'} is incomplete"

    return Task(
        product("build", photographs, "--description", "d.yaml", "--out", "out/category"),
        workplace,
        lambda: shutil.rmtree(out, ignore_errors=True),
        lambda: tree(out / "category"),
        check,
        lambda: (out / "category").exists(),
        seconds=4,
    )


TASKS = {"pipeline": of_pipeline, "fit": of_fit, "score": of_score, "build": of_build}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="interruptions-") as temporary:
        differing = campaign(options.task, TASKS[options.task](Path(temporary)), options.kills, options.seed)
    print(f"{time.monotonic() - started:.0f} s")
    sys.exit(bool(differing))
