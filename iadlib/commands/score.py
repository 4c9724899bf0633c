"""Score photographs with a fitted detector: a table, heat maps, and which of them are anomalous."""

import hashlib
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from iadlib import results
from iadlib.data import DataError, find_photographs, load_images, read_image
from iadlib.data.images import require_depth, shape_warning
from iadlib.figures.pictures import heat_map_picture
from iadlib.files import LONGEST_NAME, require_new, whole_file, whole_folder, write_json
from iadlib.parallel import in_parallel
from iadlib.progress import track

COLUMNS = ("file", "score", "anomalous")
PROBABILITY = ("probability", "low", "high")  # further columns, where the detector was fitted with known defects
BATCH = 16  # photographs predicted together
ENDING = ".jpg"  # of a heat map
NO_MAPS = "the detector scores whole images and cannot say where an anomaly is: no heat maps"
THRESHOLD = "threshold.json"  # beside the scores: the detector's title, its threshold and the photographs' depth


class Scored(NamedTuple):
    """The score of one photograph, whether it is above the threshold, and its map (H, W) at the detector's size.

    The map is None where the detector does not localise. `probability` is that of a defect with the ends of its 95 %
    interval, or empty where no defects were known to the fit.
    """

    score: float
    anomalous: bool
    heat: np.ndarray | None
    probability: tuple[float, ...] = ()


class Scorer:
    """A fitted detector with its threshold: scores photographs of any size at the size of the fit.

    `bits` is the depth of the photographs, that of the fit where it is None.
    """

    def __init__(self, result: str | Path, bits: int | None = None):
        require_depth(bits)
        settings = results.read_settings(result)
        self.detector = results.load_detector(result)
        self.size, self.bits = tuple(settings["image_size"]), bits or settings["bits"]
        self.threshold, self.map_range = settings["thresholds"]["image"], settings["map_range"]
        self.calibrator = results.read_calibrator(result)
        self.columns = COLUMNS if self.calibrator is None else COLUMNS + PROBABILITY

    def score(self, files: Sequence[Path]) -> Iterator[Scored | DataError]:
        """The outcome of every file, in their order: an error where it cannot be read, or its score is not finite."""
        images, errors = [], {}
        for file in files:
            try:
                images.append(load_images([file], self.size, self.bits))
            except DataError as error:
                errors[file] = error
        predicted = iter(())
        if images:
            prediction = self.detector.predict(torch.cat(images))
            maps = [None] * len(images) if prediction.maps is None else prediction.maps
            predicted = zip(prediction.scores.tolist(), maps, strict=True)
        for file in files:
            if file in errors:
                yield errors[file]
            else:
                score, heat = next(predicted)
                if math.isfinite(score) and (heat is None or np.isfinite(heat).all()):
                    yield Scored(score, score > self.threshold, heat, self._probability(score))
                else:  # NaN is not above a threshold: the part would pass
                    yield DataError(f"{file}: its score is {score}, or its map has values that are not finite")

    def _probability(self, score: float) -> tuple[float, ...]:
        if self.calibrator is None:
            return ()
        values = self.calibrator.predict_proba([score]), *self.calibrator.interval([score])
        return tuple(float(value[0]) for value in values)

    def save_threshold(self, folder: Path) -> None:
        """Write what has scored the photographs of a folder, above which score they are anomalous, and their depth."""
        known = {"detector": self.detector.title, "threshold": self.threshold, "bits": self.bits}
        write_json(folder / THRESHOLD, known)

    def save_picture(self, file: Path, scored: Scored, path: Path) -> DataError | None:
        """Write the photograph beside its map, if it has one, as a JPEG.

        Returns the error if the photograph is no longer readable.
        """
        if scored.heat is None:
            return None
        name = os.fsencode(file.name).decode(errors="replace")
        heading = f"{name}: {scored.score:.4g}{', anomalous' if scored.anomalous else ''}"
        try:
            image = read_image(file, self.bits)
        except DataError as error:
            return DataError(f"{error}; it was scored before, and has no heat map")
        picture = heat_map_picture(image, scored.heat, [], *self.map_range, heading)
        with whole_file(path) as unfinished:
            picture.save(unfinished, quality=85)
        return None


def score(
    result: str | Path,
    photographs: Sequence[str | Path],
    out: str | Path,
    pictures: bool = True,
    bits: int | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Score photographs: the table (file, score, anomalous), highest score first, and the errors.

    Where the detector was fitted with known defects, the table also has the probability that a part is defective, at
    the share of defects among the validation images and the known defects, with the ends of its 95 % interval.

    An error names a file that is left out, or that has no heat map because it could not be read again. `photographs`
    are files, folders or glob patterns; `bits` is their depth, that of the fit where it is None. `out` becomes a folder
    with scores.csv, threshold.json and, with `pictures`, a heat map of every photograph below maps/. Where `result`
    holds several fitted detectors, one a seed, `out` holds a folder for each; the table of the first and the errors of
    all are returned. Raises `DataError` if no photograph can be scored.
    """
    out = require_new(out)
    folders = results.find(result)
    names = relative_names(find_photographs(photographs))
    if pictures and any(results.read_settings(each)["map_range"] is None for each in folders):
        print(NO_MAPS)
    if warning := shape_warning(names, results.read_settings(folders[0])["image_size"]):
        print(f"warning: {warning}", file=sys.stderr)
    with whole_folder(out) as folder:
        tasks = [(folder / each.relative_to(result), each, names, pictures, bits) for each in folders]
        outcomes = in_parallel(_score_into, tasks, "scoring")
    errors = dict.fromkeys(error for _, found in outcomes for error in found)
    return outcomes[0][0], list(errors)


def _score_into(
    folder: Path, result: Path, names: dict[Path, str], pictures: bool, bits: int | None
) -> tuple[pd.DataFrame, list[str]]:
    scorer = Scorer(result, bits)
    rows, errors, files = [], [], list(names)
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    for batch in track(batches, f"scoring with {scorer.detector.title}"):
        for file, outcome in zip(batch, scorer.score(batch), strict=True):
            if isinstance(outcome, DataError):
                errors.append(str(outcome))
            else:
                rows.append((names[file], outcome.score, outcome.anomalous, *outcome.probability))
                path = folder / "maps" / picture_name(names[file])
                if pictures and (error := scorer.save_picture(file, outcome, path)):
                    errors.append(str(error))
    if not rows:
        raise DataError("none of the photographs can be scored:\n" + "\n".join(errors))
    table = pd.DataFrame(rows, columns=scorer.columns).sort_values("score", ascending=False, kind="stable")
    scorer.save_threshold(folder)
    with whole_file(folder / "scores.csv") as unfinished:
        table.to_csv(unfinished, index=False, float_format=results.EXACT, errors="surrogateescape")
    return table, errors


def relative_names(files: Sequence[Path]) -> dict[Path, str]:
    """The files with their paths relative to the deepest folder that holds all of them."""
    absolute = {file: os.path.abspath(file) for file in files}  # noqa: PTH100, links stay as they are
    common = os.path.commonpath([os.path.dirname(path) for path in absolute.values()])  # noqa: PTH120
    return {file: os.path.relpath(path, common) for file, path in absolute.items()}


def picture_name(name: str) -> str:
    """The path of a heat map for a photograph's relative path; too long a file name ends in a checksum instead."""
    folder, file = os.path.split(name)
    if len(os.fsencode(file + ENDING)) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(file)).hexdigest()[:16]
        kept = os.fsencode(file)[: LONGEST_NAME - len(digest) - len(ENDING) - 1].decode(errors="ignore")
        file = f"{kept}-{digest}"
    return os.path.join(folder, file + ENDING)  # noqa: PTH118


def score_line(score: float, anomalous: bool, name: str, *probability: float) -> str:
    """One line of text for a photograph; `probability` as in `Scored`."""
    chance = "{:.2f} [{:.2f}, {:.2f}]  ".format(*probability) if probability else ""
    return f"{score:12.5g}  {'anomalous' if anomalous else '':9}  {chance}{name}"


def run(
    result: Path, photographs: Sequence[str], out: Path, pictures: bool, watch: bool, bits: int | None
) -> int | None:
    """The command line: print a line for every photograph; 1 where there were errors."""
    if watch:
        from iadlib.commands.watch import watch as watch_folder

        if len(photographs) != 1:
            raise ValueError("--watch takes one folder")
        return watch_folder(result, photographs[0], out, pictures, bits=bits)
    table, errors = score(result, photographs, out, pictures, bits)
    for row in table.itertuples(index=False):
        print(score_line(row.score, row.anomalous, row.file, *row[len(COLUMNS) :]))
    threshold = results.read_settings(results.find(result)[0])["thresholds"]["image"]
    count = f"anomalous photographs: {table['anomalous'].sum()} of {len(table)}"
    print(f"{count}, with a score above {threshold:.5g}; all results are in {out}")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0
