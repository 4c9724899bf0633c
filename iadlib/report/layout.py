"""The tables as the page shows them: few columns, values with their intervals as text."""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from iadlib.calibration import BOUNDED, CALIBRATORS, NONE
from iadlib.data.examples import counts
from iadlib.figures.text import spaced, titled, with_titles
from iadlib.metrics.defects import size_curves
from iadlib.metrics.entries import FEATURE
from iadlib.report.sentences import FIT, MEMBERS, PREDICT, change, number, within
from iadlib.study import Study, calibration
from iadlib.study.defects import with_panels
from iadlib.study.ensemble import BEST, GROUPS
from iadlib.study.masking import ground

GALLERY_WIDTH, GALLERY_DPI = 1100, 92  # pixels, and pixels an inch of the data set card's figure
SAMPLES = ["category", "train", "validation", "good", "logical", "structural"]


def main(table: pd.DataFrame) -> pd.DataFrame:
    """`Findings.main`: entries in rows, metrics and kinds in columns."""
    return _wide(table.assign(column=table["metric"] + ", " + table["kind"]), "entry", "column", within)


def _wide(table: pd.DataFrame, rows: str, columns: str, text: Callable[[Any], str]) -> pd.DataFrame:
    """One cell for each row of `table`, as `text`; rows and columns in the order in which they occur in it."""
    cells = table.assign(cell=[text(row) for row in table.itertuples()])
    wide = cells.pivot(index=rows, columns=columns, values="cell")
    wide = wide.reindex(index=table[rows].unique(), columns=table[columns].unique())
    return wide.fillna("").reset_index().rename_axis(columns=None)


def best_by_category(table: pd.DataFrame) -> pd.DataFrame:
    """`findings.best_by_category`."""
    return pd.DataFrame(
        {
            "category": table["category"].map(spaced),
            "anomalies": table["kind"],
            "best detector": table["entry"],
            "image AUROC": [within(row) for row in table.itertuples()],
            "others within its interval": table["as good"],
        }
    )


def best_by_defect(table: pd.DataFrame) -> pd.DataFrame:
    """`findings.best_by_defect`."""
    reference = table.filter(like="reference ").rename(columns=lambda name: name.removeprefix("reference "))
    name = table["reference"].iloc[0] if len(table) else "reference"
    return pd.DataFrame(
        {
            "defect": table["defect"].map(spaced) + " (" + table["category"].map(spaced) + ")",
            "images": table["images"],
            "best detector": table["entry"],
            "image AUROC": [within(row) for row in table.itertuples()],
            name: [within(row) for row in reference.itertuples()],
        }
    )


def masked(table: pd.DataFrame) -> pd.DataFrame:
    """masking_tables/by_ground.csv: grounds and radii in rows, metrics and kinds in columns."""
    place = table["category"].map(ground) + ", " + table["radius"].astype(str)
    cells = table.assign(place=place, column=table["metric"] + ", " + table["kind"]).dropna(subset="difference")
    return _wide(cells, "place", "column", change).rename(columns={"place": "ground, radius in pixels"})


def defects(table: pd.DataFrame) -> pd.DataFrame:
    """defects/aurocs.csv: the best detector of each defect."""
    best = table.loc[table.groupby("defect", sort=False)["auroc"].idxmax()].rename(columns={"auroc": "value"})
    return pd.DataFrame(
        {
            "defect": best["defect"].map(spaced),
            "images": best["images"],
            "best detector": best["method"].map(titled),
            "image AUROC": [within(row) for row in best.itertuples()],
        }
    )


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """ensemble_tables/differences.csv of one ensemble: the others in rows, metrics in columns."""
    cells = table.assign(against=short_names(table["against"])).dropna(subset="difference")
    return _wide(cells, "against", "metric", change).rename(columns={"against": "compared with"})


def short_names(against: pd.Series) -> pd.Series:
    """Names of entries without their group, and without the mark of the best of a group.

    >>> list(short_names(pd.Series(["alone: PaDiM (best)", "output level: mean", "feature level: features alone"])))
    ['PaDiM', 'mean of outputs', 'features alone']
    """
    names = []
    for group, _, name in (text.removesuffix(BEST).partition(": ") for text in against):
        names.append(f"{name} of outputs" if group == GROUPS["output"] else name)
    return pd.Series(names, index=against.index, dtype=str)


def by_size(study: Study) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """For `figures.detection_by_size`: the shares of the flat connector's defects that are found; None without any."""
    found = study.table("defects", "found.csv", empty=["method", "defect", "size"])
    halves = study.table("defects", "half_sizes.csv", empty=["method", "defect", "half"])
    if found.empty or halves.empty:
        return None
    points, curves = size_curves(found, halves)
    return with_titles(with_panels(points)), with_titles(with_panels(curves))


def reliability(study: Study, calibrators: Sequence[str] = (NONE, BOUNDED)) -> Figure | None:
    """Reliability diagrams of the feature ensemble on the first category that has probabilities; None without any."""
    for category in study.grid["categories"]:
        probabilities = calibration.read(study, category, "probabilities")
        chosen = probabilities[[name for name in probabilities if name in calibrators or name not in CALIBRATORS]]
        drawn = calibration.reliability_figure(chosen, FEATURE) if len(probabilities) else None
        if drawn is not None:
            drawn.suptitle(f"feature ensemble, {spaced(category)}")
            return drawn
    return None


def calibrators(table: pd.DataFrame) -> pd.DataFrame:
    """calibration_tables/overall.csv: the main errors."""
    columns = ["calibrator", "log loss", "expected error", "expected error if right", "Brier score", "lowest log loss"]
    return table[[name for name in columns if name in table]].sort_values("log loss")


def costs(table: pd.DataFrame) -> pd.DataFrame:
    """`cards.costs_of` with units; empty where a detector has no members or the threads are not known."""
    own, of_ensemble = table[FIT] - table[MEMBERS], table[MEMBERS] > 0
    return pd.DataFrame(
        {
            "detector or ensemble": table["entry"],
            "members, s": table[MEMBERS].map("{:.1f}".format).where(of_ensemble, ""),
            "itself, s": own.map("{:.1f}".format),
            "fit in all, s": table[FIT].map("{:.1f}".format),
            "ms an image": table[PREDICT].map("{:.1f}".format),
            "MiB": table["peak MiB"].map("{:.0f}".format),
            "pixels": table["image"].str.replace(" x ", "×"),
            "threads": table["threads"].map("{:.0f}".format).where(table["threads"].notna(), ""),
        }
    )


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """`Findings.ranks` without the columns of the categories."""
    return table[["entry", "rank", "best", "worst"]].assign(rank=[number(value) for value in table["rank"]])


def samples(study: Study) -> pd.DataFrame:
    """A row for each category: the number of images of each split and label."""
    rows = []
    for name in study.grid["categories"]:
        if (category := study.category(name)) is not None:
            table = counts(category)
            numbers = {"train": table.loc["train", "good"], "validation": table.loc["validation", "good"]}
            rows.append({"category": spaced(name)} | numbers | table.loc["test"].to_dict())
    return pd.DataFrame(rows, columns=SAMPLES)


def gallery(study: Study) -> bytes | None:
    """The picture of the data set card as a JPEG for the page; None where there is none."""
    path = study.reports / "dataset_card/gallery.png"
    if not path.is_file():
        return None
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((GALLERY_WIDTH, 4 * GALLERY_WIDTH))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=70)
    return content.getvalue()


def rules(study: Study, categories: Sequence[str]) -> dict[str, list[str]]:
    """The rules of every category as the data set card writes them; empty where there is no card."""
    path = study.reports / "dataset_card/README.md"
    sections = path.read_text(encoding="utf-8").split("\n## ") if path.is_file() else []
    found = {}
    for section in sections[1:]:
        name, _, text = section.partition("\n")
        if name.strip() in categories:
            written = text.partition("Rules:\n")[2].partition("\n|")[0]
            found[name.strip()] = re.findall(r"^- (.+?)(?: \(`\w+`\))?$", written, re.MULTILINE)
    return {name: lines for name, lines in found.items() if lines}
