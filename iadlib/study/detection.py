"""Fit and predict one category without a notebook: the scores as a table, every test image as a picture."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from iadlib import figures
from iadlib.data import load_category
from iadlib.metrics import threshold_from_normals
from iadlib.study.cells import anomaly_kinds, judge_runs, run, save_maps
from iadlib.study.folders import whole_folder, write_json
from iadlib.study.pictures import panel, scored


def detect(
    data: str | Path,
    method: str,
    hyperparameters: dict,
    image_size: int,
    seed: int,
    false_positive_rate: float,
    out: str | Path,
) -> tuple[pd.DataFrame, dict | None]:
    """The scores of the test images, highest first, and the metrics where there are anomalies to judge by.

    Writes scores.csv, maps.npz, a picture of every test image, metrics.json and the fitted detector into `out`, which
    must not exist.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"{out} exists; name a folder that does not, so that nothing is overwritten")
    category = load_category(data)
    category.check()
    [result] = run(method, hyperparameters, category, image_size, [seed])
    threshold = threshold_from_normals(result.validation.scores, false_positive_rate)
    table = scored(category, result).assign(anomalous=result.test.scores > threshold)
    table = table.sort_values("score", ascending=False)
    metrics = judge_runs(category, [result], false_positive_rate) if anomaly_kinds(category) else None
    with whole_folder(out, overwrite=False) as folder:
        table.to_csv(folder / "scores.csv", index=False, float_format="%.6g")
        save_maps(folder / "maps.npz", category, result)
        result.detector.save(folder / "detector.safetensors")
        if metrics:
            write_json(folder / "metrics.json", metrics)
        highest = float(np.max(result.test.maps))
        for index in tqdm(table.index, desc="pictures", leave=False, disable=None):
            picture = folder / "pictures" / f"{table.loc[index, 'name']}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            figures.heat_map_panel(*panel(category, result, table.loc[[index]]), highest=highest).savefig(picture)
    return table, metrics
