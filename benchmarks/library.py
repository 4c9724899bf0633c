"""PatchCore here and in a public library: seconds to fit, milliseconds an image and image AUROC, on one category.

    python -m pip install anomalib==2.7.0    # beside this package, in an environment of its own
    OMP_NUM_THREADS=2 python benchmarks/library.py --data FOLDER

Both get the same images at the same size, a backbone with the same weights and layers, and a coreset of the same
size; by itself, the library would take a coreset of a tenth of the patches. In three things they differ. This package
chooses the coreset by 128 projected channels, the library by as many as its Johnson-Lindenstrauss bound asks for.
This package folds batch normalisations into the backbone's convolutions. Its image score is the mean of the map's
highest 0.5 %, that of the library the largest patch score weighted by equation 7. Images pass one by one when they
are scored. Each run is a process of its own, this package before and after the library: compare the ratios, not the
times.
Writes benchmarks/library.csv. The committed table: LOCO AD's juice bottle, `--coreset 0.01`.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import torch
from detectors import processor  # the script beside this one
from torch import Tensor

from iadlib.commands.fit import working_size
from iadlib.data import load_category
from iadlib.detectors.patchcore import PatchCore
from iadlib.features import load_network
from iadlib.metrics import image_auroc
from iadlib.parallel import keep_freed_memory

BATCH_SIZE = 16
LAYERS = {"blocks.2": 2, "blocks.4": 3}  # as the library names them, and as this package does
Scores = Callable[[Tensor], Tensor]  # images (N, 3, H, W) in [0, 1] -> scores (N,)


def fit_iadlib(images: Tensor, share: float) -> Scores:
    detector = PatchCore(layers=tuple(LAYERS.values()), coreset_fraction=share, device="cpu").fit(images)
    return lambda batch: torch.from_numpy(detector.predict(batch).scores)


def fit_anomalib(images: Tensor, share: float) -> Scores:
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    weights = load_network(PatchCore.backbone, None)
    model = PatchcoreModel(layers=[*LAYERS], backbone=PatchCore.backbone, pre_trained=False)
    network = model.feature_extractor.feature_extractor
    missing, _ = network.load_state_dict(weights.state_dict(), strict=False)  # it has the first layers alone
    if missing:
        raise ValueError(f"{PatchCore.backbone}: no weights for {', '.join(missing)}")
    mean, std = (torch.tensor(weights.pretrained_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    model.train()
    for batch in images.split(BATCH_SIZE):
        model((batch - mean) / std)
    model.subsample_embedding(share)
    model.eval()
    return lambda batch: model((batch - mean) / std).pred_score.flatten()


PROGRAMS = {"iadlib": fit_iadlib, "anomalib": fit_anomalib}


def measured(name: str, data: str, share: float) -> dict:
    keep_freed_memory()
    category = load_category(data)
    size = working_size(category, "patchcore", None)
    train, test = (category.images(split, size) for split in ("train", "test"))
    PROGRAMS[name](train[:8], share)(test[:1])  # imports and first calls are not timed
    started = time.perf_counter()
    score = PROGRAMS[name](train, share)
    fitted = time.perf_counter()
    with torch.inference_mode():
        scores = torch.cat([score(image) for image in test.split(1)])
    scored = time.perf_counter()
    anomalous = (category.of("test")["label"] != "good").to_numpy()
    return {
        "program": name,
        "image": f"{size[1]} x {size[0]}",
        "training images": len(train),
        "coreset": share,
        "fit s": round(fitted - started, 1),
        "ms an image": round(1000 * (scored - fitted) / len(test), 1),
        "image AUROC": round(image_auroc(scores.numpy(), anomalous), 4),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--coreset", type=float, default=PatchCore.coreset_fraction, help="share of the patches")
    options = parser.parse_args()
    rows = []
    for name in ("iadlib", "anomalib", "iadlib"):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            rows.append(pool.submit(measured, name, options.data, options.coreset).result())
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    for column in ("fit s", "ms an image"):
        ours = table.loc[table["program"] == "iadlib", column].mean()
        table[f"{column}, relative to iadlib"] = (table[column] / ours).round(1)
    table.to_csv(Path(__file__).with_suffix(".csv"), index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
