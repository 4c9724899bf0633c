"""Images a second of fitted detectors in PyTorch and, exported, in ONNX Runtime, and the largest difference of scores.

    python benchmarks/export.py --data data/rendered/flat_connector --image-size 192

Each detector is fitted with the settings of its params file, those of `quick` by default: the weights do not change the
time. Both then predict the same test images one by one, in one thread, in turns: a turn of one follows a turn of the
other. A second is one of the processor's, so that other programs change it little. The numbers are medians over the
turns, the ratio is the median of the turns' ratios. Rows are written to benchmarks/export.csv as they are measured.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch

from iadlib.commands.export import NotExportable, write_model
from iadlib.data import fit_size, load_category
from iadlib.detectors import DETECTORS, create, detector_class
from iadlib.params import read_blocks

ROOT = Path(__file__).resolve().parents[1]
THREADS, TURNS, IMAGES = 1, 3, 4


def measure(name: str, profile: str, data: str, image_size: int | None) -> dict:
    settings = read_blocks(f"{ROOT / 'params/methods' / name}.yaml:common,{profile}")
    category = load_category(data)
    size = fit_size(category.sizes(), image_size or settings.get("image_size", detector_class(name).image_size))
    train, validation, test = (category.images(split, size) for split in ("train", "validation", "test"))
    detector = create(name, **settings.get("hyperparameters", {}), device="cpu").fit(train, validation)
    row = {"method": name, "image": f"{size[1]} x {size[0]}", "torch images/s": None, "onnxruntime images/s": None}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            write_model(detector, path, {})
        except NotExportable as error:
            return row | {"note": str(error)}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        images = test[:IMAGES].split(1)
        arrays = [image.numpy() for image in images]
        in_torch, in_runtime, differences = [], [], []
        for _ in range(TURNS + 1):
            started = time.process_time()
            expected = np.concatenate([detector.predict(image).scores for image in images])
            middle = time.process_time()
            found = np.concatenate([session.run(None, {"images": array})[0] for array in arrays])
            in_torch.append(middle - started)
            in_runtime.append(time.process_time() - middle)
            differences.append(np.abs(expected - found).max() / np.ptp(expected))
        megabytes = path.stat().st_size / 1e6
    turns = list(zip(in_torch[1:], in_runtime[1:], strict=True))  # the first is not counted
    return row | {
        "torch images/s": round(len(images) / statistics.median(each for each, _ in turns), 1),
        "onnxruntime images/s": round(len(images) / statistics.median(each for _, each in turns), 1),
        "ratio": round(statistics.median(torch_s / runtime_s for torch_s, runtime_s in turns), 2),
        "difference of scores, of their range": f"{max(differences):.1e}",
        "model MB": round(megabytes, 1),
        "threads": THREADS,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "note": "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a category, such as data/rendered/flat_connector")
    parser.add_argument("--profile", default="quick", help="whose hyperparameters are taken")
    parser.add_argument("--image-size", type=int, metavar="N", help="default: the profile's own")
    parser.add_argument("--methods", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    out = Path(__file__).with_name("export.csv")
    rows = pd.read_csv(out).to_dict("records") if out.exists() else []
    for name in options.methods:
        found = measure(name, options.profile, options.data, options.image_size)
        rows = [row for row in rows if row["method"] != name] + [found]
        rows.sort(key=lambda row: list(DETECTORS).index(row["method"]))
        print(found, flush=True)
        pd.DataFrame(rows).to_csv(out, index=False)


if __name__ == "__main__":
    main()
