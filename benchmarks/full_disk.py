"""Run commands on a disk that is too small, and into a folder that cannot be written; then again with enough room.

    sudo python benchmarks/full_disk.py        # as root, since it mounts small file systems in memory

Every command first runs with room enough. Then it runs on disks that hold 5 to 95 per cent of what it writes, and on
one that is mounted read-only: it must end with status 1 and one line that names a path, and leave nothing; only
`render` leaves what it has rendered, and goes on from there. After the disk has grown, the same command must succeed.
The last line counts runs and faults; the exit status is 1 if any failed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from interruptions import plates, product

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
ROOM = "256m"


def mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def used_bytes(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def run(command: list[str], folder: Path) -> tuple[int, list[str]]:
    """Exit status and the lines on standard error."""
    root = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": root})
    return done.returncode, [line for line in done.stderr.splitlines() if line.strip() and "it/s" not in line]


def commands(inputs: Path, disk: Path) -> Iterator[tuple[str, list[str]]]:
    """Commands by name, which write below `disk`."""
    good, category = plates(inputs / "good", 14), inputs / "category"
    for part, first, count in (("train/good", 0, 12), ("test/good", 20, 4), ("test/scratch", 30, 4)):
        plates(category / part, count, first)
    fitted = inputs / "fitted"
    subprocess.run(product("fit", "--data", good, "--detector", "padim", "--out", fitted), check=True, cwd=inputs)
    (inputs / "masks").mkdir()
    for number in range(3):
        shutil.copyfile(inputs / "mask.png", inputs / f"masks/{number:03}_scratch.png")
    (inputs / "d.yaml").write_text("annotations: masks\ndefects: {scratch: {kind: structural}}\n")
    yield "fit", product("fit", "--data", good, "--detector", "padim", "--out", disk / "out")
    yield "score", product("score", fitted, good, "--out", disk / "out")
    yield "detect", product("detect", "--data", category, "--detector", "padim", "--out", disk / "out")
    yield "mask", product("mask", category, "--radius", "4", "--out", disk / "out")
    yield "build", product("build", good, "--description", inputs / "d.yaml", "--out", disk / "out")
    yield "render", product("render", "metal_nut", "--out", disk / "out", "--scale", "quick")


def faults(name: str, status: int, lines: list[str], disk: Path) -> list[str]:
    found = [] if status == 1 else [f"exit status {status}"]
    if len(lines) != 1 or not lines[0].startswith("error: ") or str(disk) not in lines[0]:
        found.append("the error is " + " / ".join(lines[-3:]))
    left = sorted(path.name for path in disk.iterdir() if name != "render" or not path.name.endswith(".partial"))
    return found + ([f"left behind: {', '.join(left)}"] if left else [])


if __name__ == "__main__":
    from PIL import Image, ImageDraw

    runs = failed = 0
    with tempfile.TemporaryDirectory(prefix="full-disk-") as temporary:
        inputs, disk = Path(temporary) / "inputs", Path(temporary) / "disk"
        inputs.mkdir()
        disk.mkdir()
        mask = Image.new("L", (240, 160))
        ImageDraw.Draw(mask).rectangle((30, 20, 90, 60), fill=255)
        mask.save(inputs / "mask.png")
        for name, command in commands(inputs, disk):
            mount(disk, f"size={ROOM}")
            status, lines = run(command, inputs)
            needed = used_bytes(disk)
            subprocess.run(["umount", disk], check=True)
            runs += 1
            if status:
                failed += 1
                print(f"{name}: fails with room enough: {' / '.join(lines[-3:])}")
                continue
            for share in (*SHARES, "read-only"):
                mount(disk, f"size={ROOM},ro" if share == "read-only" else f"size={int(needed * share) // 1024}k")
                found = faults(name, *run(command, inputs), disk)
                remount(disk, f"size={ROOM},rw")
                shutil.rmtree(disk / "out", ignore_errors=True)
                again, lines = run(command, inputs)
                if again:
                    found.append(f"with room again: {' / '.join(lines[-3:])}")
                subprocess.run(["umount", disk], check=True)
                runs += 1
                failed += bool(found)
                label = share if isinstance(share, str) else f"{share:.0%} of {needed / 1024:.0f} KiB"
                print(f"{name}, {label}: {'; '.join(found) or 'one error, nothing left, completes'}", flush=True)
    print(f"{runs} runs, {failed} with faults")
    sys.exit(bool(failed))
