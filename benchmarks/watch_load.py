"""Feed `score --watch` thousands of photographs, some of them bad, and look at its tables and its memory.

    python benchmarks/watch_load.py            # 2,000 photographs, of which 200 are no images or cut short
    python benchmarks/watch_load.py 500

A photograph arrives every few milliseconds, half of them in two writes. At the end every good one must be in scores.csv
once, every bad one in errors.csv once, and the resident memory of the last quarter must exceed that of the second by
less than 5 per cent. The exit status is 1 otherwise.
"""

import argparse
import functools
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from interruptions import ROOT, plates, product
from PIL import Image

BAD_SHARE = 0.1
INTERVAL = 0.02  # seconds between arrivals


def photograph(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(100, 140, (120, 180, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def resident(process: subprocess.Popen) -> int:
    """MiB of memory of a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def rows(path: Path) -> list[str]:
    return pd.read_csv(path)["file"].tolist() if path.is_file() and path.stat().st_size else []


def feed(arrivals: Path, count: int, bad: set[int], process: subprocess.Popen, done: Path) -> list[tuple[int, int]]:
    """Write the photographs; (photographs scored, MiB) over time, until all are done."""
    memory = []
    for number in range(count):
        content = photograph(number)
        content = content[: len(content) // 2] if number in bad else content
        path = arrivals / f"{number:05}.png"
        with path.open("wb") as file:
            file.write(content[: len(content) // 3])
            if number % 2:
                file.flush()
                time.sleep(INTERVAL)
            file.write(content[len(content) // 3 :])
        time.sleep(INTERVAL)
        if number % 50 == 0:
            memory.append((len(rows(done / "scores.csv")), resident(process)))
    deadline = time.monotonic() + 1800
    while len(rows(done / "scores.csv")) + len(rows(done / "errors.csv")) < count and time.monotonic() < deadline:
        time.sleep(2)
        memory.append((len(rows(done / "scores.csv")), resident(process)))
    return memory


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=2000)
    count = parser.parse_args().count
    bad = set(np.random.default_rng(0).permutation(count)[: round(BAD_SHARE * count)].tolist())
    with tempfile.TemporaryDirectory(prefix="watch-load-") as temporary:
        workplace = Path(temporary)
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        good = plates(workplace / "good", 12)
        fit = product("fit", "--data", good, "--detector", "padim", "--image-size", "64", "--out", workplace / "fitted")
        subprocess.run(fit, check=True, env=environment)
        (workplace / "new").mkdir()
        watch = product("score", workplace / "fitted", workplace / "new", "--watch", "--out", workplace / "out")
        with (workplace / "log").open("w") as log:
            # A shell lets its background jobs ignore Ctrl-C, and they pass that on.
            listen = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
            process = subprocess.Popen(watch, env=environment, stdout=log, stderr=log, preexec_fn=listen)
            memory = feed(workplace / "new", count, bad, process, workplace / "out")
            process.send_signal(signal.SIGINT)
            process.wait(60)
        scored, errors = rows(workplace / "out/scores.csv"), rows(workplace / "out/errors.csv")
        printed = (workplace / "log").read_text()
    good_names = sorted(f"{number:05}.png" for number in range(count) if number not in bad)
    bad_names = sorted(f"{number:05}.png" for number in bad)
    unnamed = [name for name in bad_names if name not in printed]
    values = [value for _, value in memory]
    quarter = len(values) // 4
    second, last = max(values[quarter : 2 * quarter]), max(values[-quarter:])
    print(f"{len(scored)} scored, {len(set(scored))} different, {len(good_names)} good")
    print(f"{len(errors)} errors, {len(bad_names)} bad, {len(unnamed)} not named on the terminal")
    print(f"memory: {second} MiB in the second quarter, {last} MiB in the last; exit status {process.returncode}")
    right = sorted(scored) == good_names and sorted(errors) == bad_names and not unnamed and not process.returncode
    sys.exit(not (right and last < 1.05 * second))
