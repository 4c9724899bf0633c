"""A page to look through the results of `score` or `detect`."""

import json
from pathlib import Path

import pandas as pd

from iadlib import results
from iadlib.commands.score import THRESHOLD, picture_name
from iadlib.data import DataError, load_category
from iadlib.detectors import detector_class
from iadlib.explorer import Collection, Photograph, explorer, picture
from iadlib.files import require_new, whole_file
from iadlib.progress import track


def show(result: str | Path, out: str | Path, photographs: str | Path | None = None) -> None:
    """Write the new HTML file `out`, which shows what the folder `result` of `score` or `detect` holds.

    Pictures are those beside the scores. Where there are none, `photographs` is the category that was given to
    `detect`, or the folder to which the names in the table of `score` are relative.
    """
    result, out = Path(result), require_new(out)
    is_fitted = (result / results.SETTINGS).is_file()
    table, name, threshold, bits = _fitted(result) if is_fitted else _scored(result)
    folder, images = result / ("pictures" if is_fitted else "maps"), []
    test = load_category(photographs).of("test") if is_fitted and photographs is not None else None
    paths = {} if test is None else dict(zip(test["name"], test["image"], strict=True))
    for row in track(list(table.itertuples(index=False)), "pictures"):
        path = folder / picture_name(row.name)
        if not path.is_file():
            if photographs is None:
                missing = path if folder.is_dir() else f"{result}, which has no heat maps"
                raise DataError(f"{missing}: no picture to show; name the folder of the photographs with --photographs")
            path = paths.get(row.name, Path(photographs) / row.name)
        known = {"label": row.label, "defect": None if row.defect == "good" else row.defect} if is_fitted else {}
        images.append(Photograph(row.name, {name: picture(path, bits=bits)}, {name: row.score}, **known))
    title = f"{name} on the test images in {result}" if is_fitted else f"Photographs scored in {result}"
    page = explorer(title, [Collection(result.name, [name], {name: threshold}, images)])
    with whole_file(out) as unfinished:
        unfinished.write_text(page, encoding="utf-8", errors="backslashreplace")  # names may be no valid text
    print(f"{len(images)} photographs, {out.stat().st_size / 1e6:.1f} MB, in {out}")


def _fitted(result: Path) -> tuple[pd.DataFrame, str, float, int]:
    """The test images of `detect`, the detector's title, its threshold and the depth of the photographs."""
    settings, table = results.read_settings(result), results.read_scores(result)
    table = table[table["split"] == "test"]
    if table.empty:
        raise DataError(f"{result}: no test images; score photographs, and show the folder that `score` has made")
    return table, detector_class(settings["detector"]).title, settings["thresholds"]["image"], settings["bits"]


def _scored(result: Path) -> tuple[pd.DataFrame, str, float, int]:
    """The photographs of `score`, the title of the detector that has scored them, its threshold, and their depth."""
    path = result / results.SCORES
    if not path.is_file():
        raise DataError(f"{result}: no {results.SCORES} here; show the folder that `score` or `detect` has made")
    try:
        table = pd.read_csv(path, dtype={"file": str}, keep_default_na=False, encoding_errors=results.ODD_NAMES)
        table = table.rename(columns={"file": "name"}).astype({"score": float})
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: not a table of `score` ({error})") from error
    if table.empty:
        raise DataError(f"{path}: no photographs")
    try:
        known = json.loads((result / THRESHOLD).read_text(encoding="utf-8"))
        return table, str(known["detector"]), float(known["threshold"]), int(known["bits"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        path = result / THRESHOLD
        raise DataError(f"{path}: not written by `score` ({error}); score the photographs again") from error
