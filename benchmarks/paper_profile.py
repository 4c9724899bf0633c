"""What the published settings cost: memory and seconds measured on this machine, and hours of a whole study, estimated.

    python benchmarks/paper_profile.py --data data/rendered/flat_connector

Every detector is built with its block `paper`, with random weights in place of its backbone's trained ones: they cost
the same, and its scores mean nothing. It is fitted to IMAGES photographs at full size, for as few training steps as its
settings allow, and predicts one photograph. Each detector runs in its own process, whose peak memory is measured; a row
with an error has the last line of what the process printed. Seconds are those of the processor in one thread, so that
other programs change them little. Multiplications and additions of convolutions and matrix products are counted by
PyTorch (two for each pair), all others are not.

--image-size replaces the published size where a full one would take hours; the column `image` says so, and the estimate
multiplies operations by the ratio of the areas, which is exact for convolutions and too low for attention.

Rows are written to benchmarks/paper_profile.csv as they are measured. The estimate of a study, `estimate`, is computed
from the counted operations and written to benchmarks/paper_estimate.csv; nothing of it is measured. What a fit computes
beside its steps is taken to grow with the number of images, which is too much for DRAEM's statistics, by 0.3 % of its
fit. --estimate computes it again from the rows that there are.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from iadlib.data import fit_size, load_category
from iadlib.detectors import DETECTORS, Detector, create, detector_class
from iadlib.detectors import training as loop
from iadlib.params import read_blocks

ROOT = Path(__file__).resolve().parents[1]
ROWS, ESTIMATE = (Path(__file__).with_name(f"{name}.csv") for name in ("paper_profile", "paper_estimate"))
IMAGES = 3  # photographs to train with, which are the batch of a step where the settings ask for more
STEPS = 2
FEWER = {"epochs": STEPS, "teacher_epochs": STEPS, "student_epochs": STEPS, "steps": STEPS, "reverse_steps": 1}
LIMIT = 3600  # seconds of a process

# The estimate: sizes of MVTec AD (15 categories) and MVTec LOCO AD (5 categories) together.
CATEGORIES, SEEDS = 20, 5
TRAINING, PREDICTED = 5401 / CATEGORIES, 3597 / CATEGORIES  # images of a category: 3629 + 1772, and 1725 + 1872
CARD, PEAK, SHARE = "NVIDIA A100", 19.5e12, 0.4  # single precision a second as its maker states, and the share reached


def paper_settings(name: str) -> dict:
    return read_blocks(f"{ROOT / 'params/methods' / name}.yaml:common,paper")


def random_weights(backbone: str, folder: Path) -> str:
    """A checkpoint of timm's network with random weights; its name says so."""
    import timm

    path = folder / f"{backbone}-RANDOM.pth"
    if not path.exists():
        with loop.seeded(0):
            torch.save(timm.create_model(backbone, pretrained=False).state_dict(), path)
    return str(path)


def paper_detector(name: str, folder: Path, fewer: dict | None = None) -> tuple[Detector, tuple[int, ...]]:
    """The detector of the paper block with a random backbone, and its image size; `fewer` replaces large values."""
    settings = paper_settings(name)
    values = dict(settings["hyperparameters"])
    values |= {key: value for key, value in (fewer or {}).items() if key in values}
    if "checkpoint" in values:
        values["checkpoint"] = random_weights(values["backbone"], folder)
    return create(name, **values, device="cpu"), tuple(settings["image_size"])


def measure(name: str, data: str, smaller: int | None, count: int) -> dict:
    """One row: what fitting and predicting cost."""
    category = load_category(data)
    with tempfile.TemporaryDirectory() as folder:
        detector, image_size = paper_detector(name, Path(folder), FEWER)
        size = fit_size(category.sizes(), (smaller, smaller) if smaller else image_size)
        images = category.images("train", size)[: count + 1]
        train, validation = images[:count], images[count:]
        torch.set_num_threads(1)
        before, steps = peak_mebibytes(), []
        module = sys.modules[type(detector).__module__]
        if hasattr(module, "train"):
            module.train = counted(module.train, steps, count)
        with FlopCounterMode(display=False) as of_fit:
            fit_seconds = timed(detector.fit, train, validation)
        with FlopCounterMode(display=False) as of_predict:
            predict_seconds = timed(detector.predict, validation)
    trained = sum(step["operations"] for step in steps)
    return {
        "method": name,
        "image": f"{size[1]} x {size[0]}",
        "published": f"{image_size[1]} x {image_size[0]}",
        "images": count,
        "steps": sum(step["steps"] for step in steps),
        "fit CPU s": round(fit_seconds, 1),
        "CPU s a step": round(sum(s["seconds"] for s in steps) / max(1, sum(s["steps"] for s in steps)), 1),
        "predict CPU s an image": round(predict_seconds, 1),
        "peak MiB": round(peak_mebibytes()),
        "before MiB": round(before),
        "GFLOP fit without steps, an image": round((of_fit.get_total_flops() - trained) / count / 1e9, 2),
        "GFLOP steps, an image": round(trained / max(1, sum(s["steps"] * s["images"] for s in steps)) / 1e9, 2),
        "GFLOP predict, an image": round(of_predict.get_total_flops() / 1e9, 2),
        "torch": torch.__version__,
        "error": "",
    }


def counted(train, steps: list[dict], images: int):
    """The training loop, which also notes its steps, images a step, seconds and operations."""

    def watched(loss, samples, *args, **options):
        started = time.process_time()
        with FlopCounterMode(display=False) as counter:
            losses = train(loss, samples, *args, **options)
        noted = {"steps": options["steps"], "images": min(options["batch_size"], len(samples[0]), images)}
        steps.append(noted | {"seconds": time.process_time() - started, "operations": counter.get_total_flops()})
        return losses

    return watched


def timed(function, *args) -> float:
    started = time.process_time()
    function(*args)
    return time.process_time() - started


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def images_trained(name: str) -> float:
    """How many images pass through training steps in one fit of the published schedule."""
    values = asdict(detector_class(name)(**paper_settings(name)["hyperparameters"]))
    if "steps" in values:
        return values["steps"] * values["training_batch_size"]
    return TRAINING * sum(values[key] for key in ("epochs", "teacher_epochs", "student_epochs") if key in values)


def uncounted(name: str) -> tuple[float, float]:
    """Operations that grow faster than the number of images, for the fit of a category and for an image predicted.

    The memory bank of PatchCore and the Cholesky factors of PaDiM are the large ones.
    """
    values = paper_settings(name)["hyperparameters"]
    if name == "patchcore":
        patches = 32 * 32
        points, width = patches * TRAINING, values["embedding_dimension"]
        bank = values["coreset_fraction"] * points
        return 2 * points * bank * values["projection_dimension"], 2 * patches * bank * width
    if name == "padim":
        positions, width = 64 * 64, values["channels"]
        return positions * (2 * TRAINING * width**2 + width**3 / 3), positions * width**2
    return 0.0, 0.0


def estimate(rows: pd.DataFrame) -> pd.DataFrame:
    """Hours on one card for all categories and seeds, from the counted operations."""
    estimated = []
    for row in rows[rows["error"].isna() | (rows["error"] == "")].to_dict("records"):
        name = row["method"]
        more_to_fit, more_to_predict = uncounted(name)
        passes = paper_settings(name)["hyperparameters"].get("reverse_steps", 1)  # measured with one
        scale = 1e9 * area(row["published"]) / area(row["image"])
        fit = TRAINING * row["GFLOP fit without steps, an image"] * scale + more_to_fit
        fit += images_trained(name) * row["GFLOP steps, an image"] * scale
        predict = PREDICTED * (row["GFLOP predict, an image"] * scale * passes + more_to_predict)
        fits = CATEGORIES * SEEDS
        hours = [fits * operations / (PEAK * SHARE) / 3600 for operations in (fit, predict)]
        estimated.append(
            {
                "method": name,
                "TFLOP, one fit": round(fit / 1e12, 1),
                "TFLOP, predicting one category": round(predict / 1e12, 1),
                "fit h": round(hours[0], 2),
                "predict h": round(hours[1], 2),
                "h": round(sum(hours), 2),
            }
        )
    return pd.DataFrame(estimated)


def area(size: str) -> int:
    width, height = map(int, size.split(" x "))
    return width * height


def measured_apart(name: str, data: str, smaller: int | None = None, count: int = IMAGES) -> dict:
    """The row of a detector from a process of its own, or its error."""
    command = [sys.executable, __file__, "--one", name, "--data", data, "--images", str(count)]
    command += ["--image-size", str(smaller)] if smaller else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"method": name, "error": f"not finished after {LIMIT} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended by signal {-done.returncode}"]
        return {"method": name, "error": lines[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a category, such as data/rendered/flat_connector")
    parser.add_argument("--image-size", type=int, metavar="N", help="N x N pixels instead of the published size")
    parser.add_argument("--images", type=int, default=IMAGES, metavar="N", help=f"to train with (default: {IMAGES})")
    parser.add_argument("--methods", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--estimate", action="store_true", help="compute the estimate alone")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.data, options.image_size, options.images)))
        return
    rows = pd.read_csv(ROWS).to_dict("records") if ROWS.exists() else []
    for name in [] if options.estimate else options.methods:
        found = measured_apart(name, options.data, options.image_size, options.images)
        rows = [row for row in rows if row["method"] != name] + [found]
        rows.sort(key=lambda row: list(DETECTORS).index(row["method"]))
        pd.DataFrame(rows).to_csv(ROWS, index=False)
        print(found)
    estimate(pd.DataFrame(rows)).to_csv(ESTIMATE, index=False)
    print(f"written to {ROWS} and {ESTIMATE}")


if __name__ == "__main__":
    main()
