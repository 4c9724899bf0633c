"""Tables and figures of calibration: how far the probabilities of detectors and ensembles can be trusted.

`python -m iadlib calibrate` writes the files that are read here; `iadlib.calibration.protocols` describes the
calibrators and the protocols. A *scorer* is a detector or an ensemble. A category has no files if its test images are
all good, and no others.csv if they have one kind of anomaly only: its tables are empty, its figures None.
"""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from iadlib import calibration, figures
from iadlib.calibration import BOUNDED, CALIBRATORS, CROSS_FITTED, NONE
from iadlib.figures.text import ordered, titled, with_ends
from iadlib.metrics.curves import curve_table
from iadlib.study.paths import Study

EMPTY = ["scorer", "protocol", "calibrator"]
ERRORS = ["log loss", "expected error", "expected error if right", "adaptive error", "maximum error", "Brier score"]
ERRORS += ["Brier reliability", "Brier resolution", "Brier uncertainty", "Brier within"]


def read(study: Study, category: str, file: str) -> pd.DataFrame:
    """One file of one category; empty where it is missing."""
    return study.table("calibration", category, f"{file}.csv", empty=EMPTY)


def gather(study: Study, file: str) -> pd.DataFrame:
    """errors.csv, others.csv, artificial_errors.csv or averages.csv of all categories of the grid that have it."""
    return study.gather("calibration", study.grid["categories"], file, EMPTY)


def about(probabilities: pd.DataFrame) -> str:
    """How many scorers were calibrated, and on which test images."""
    if probabilities.empty:
        return "No probabilities: calibration needs good and anomalous test images, and `dvc repro` to compute them."
    labels = probabilities.drop_duplicates("name")["label"]
    counts = ", ".join(f"{count} {label}" for label, count in labels.value_counts(sort=False).items())
    prevalence = (labels != "good").mean()
    return f"{probabilities['scorer'].nunique()} scorers; test images: {counts}; prevalence {prevalence:.3f}"


def by_scorer(errors: pd.DataFrame, error: str) -> pd.DataFrame:
    """One error: scorers in rows, calibrators in columns, with the ends of the interval where there is one."""
    if errors.empty:
        return errors
    cells = errors[error].map("{:.3f}".format)
    if f"{error} low" in errors:
        cells = with_ends(errors[error], errors[f"{error} low"], errors[f"{error} high"], digits=3)
    return _none_first(ordered(errors.assign(cell=cells), "scorer", "calibrator", "cell")).fillna("")


def by_protocol(errors: pd.DataFrame, error: str) -> pd.DataFrame:
    """One error: protocols in rows, calibrators in columns; means over the scorers that have every protocol."""
    if errors.empty:
        return errors
    keys = [key for key in ("category", "scorer") if key in errors]
    complete = errors.groupby(keys)["protocol"].transform("nunique") == errors["protocol"].nunique()
    means = errors[complete].groupby(["protocol", "calibrator"], sort=False)[error].mean().round(3).reset_index()
    return _none_first(ordered(means, "protocol", "calibrator", error)).rename_axis("protocol")


def by_calibrator(errors: pd.DataFrame) -> pd.DataFrame:
    """All errors and the parts of the Brier score: calibrators in rows, means over scorers and categories.

    "lowest log loss": for how many scorers and categories a cross-fitted calibrator has the lowest log loss.
    """
    if errors.empty:
        return errors
    table = _none_first(errors.groupby("calibrator", sort=False)[ERRORS].mean().round(4).T).T
    crossed = errors[errors["protocol"] == CROSS_FITTED]
    keys = [key for key in ("category", "scorer") if key in errors]
    lowest = crossed.loc[crossed.groupby(keys)["log loss"].idxmin(), "calibrator"].value_counts()
    return table.assign(**{"lowest log loss": lowest.reindex(table.index, fill_value=0)})


def _none_first(table: pd.DataFrame) -> pd.DataFrame:
    return table[sorted(table.columns, key=lambda name: name != NONE)]


def less_platt(errors: pd.DataFrame, error: str, calibrator: str = BOUNDED) -> pd.DataFrame:
    """For `figures.differences`: an error of a calibrator less that of Platt scaling, by category and scorer."""
    rows = errors[(errors["calibrator"] == calibrator) & (errors["protocol"] == CROSS_FITTED)]
    column = f"{error} less Platt"
    ends = {column: "difference", f"{column} low": "low", f"{column} high": "high"}
    what = rows["category"] + ": " + rows["scorer"].map(titled)
    return rows.rename(columns=ends).assign(what=what, kind="both kinds")[["what", "kind", *ends.values()]]


def by_place(table: pd.DataFrame, place: str) -> pd.DataFrame:
    """decisions.csv or thresholds.csv at one place, "test" or "factory", with titles."""
    if table.empty:
        return table
    rows = table[table["place"] == place].drop(columns=["place", "prevalence"])
    index = [name for name in ("scorer", "calibrator") if name in rows]
    rows = rows.assign(scorer=rows["scorer"].map(titled)).set_index(index).round(4)
    return rows.rename(columns=lambda name: name.replace("_", " "))


def functions_figure(study: Study, category: str, example: str) -> Figure | None:
    """Both sigmoids and the scores that they were fitted to; `example` is "category" or "simulated"."""
    curves, images = (read(study, category, file) for file in ("functions", "function_scores"))
    if curves.empty:
        return None
    curves, images = curves[curves["example"] == example], images[images["example"] == example]
    at = curves.loc[curves["calibrator"] == curves["calibrator"].iloc[0], "score"].to_numpy()
    by_name = {name: part["probability"].to_numpy() for name, part in curves.groupby("calibrator", sort=False)}
    title = titled(curves["title"].iloc[0])
    return figures.calibration_functions(images["score"].to_numpy(), list(images["label"]), at, by_name, title)


def reliability_figure(probabilities: pd.DataFrame, scorer: str) -> Figure | None:
    """Reliability diagrams of every calibrator for one scorer, from probabilities.csv."""
    found = {
        name: (calibration.reliability_curve(values, anomalous), values.to_numpy())
        for name, values, anomalous in _of_calibrators(probabilities, scorer)
    }
    return figures.reliability_diagrams(found, titled(scorer)) if found else None


def reliability_table(probabilities: pd.DataFrame, scorer: str) -> pd.DataFrame:
    """The share of anomalous images by calibrator and probability, for `dvc plots`; linear between bins."""
    curves = {}
    for name, values, anomalous in _of_calibrators(probabilities, scorer):
        curve = calibration.reliability_curve(values, anomalous)
        curves[name] = curve.probability, curve.share
    return curve_table(curves, "probability")


def _of_calibrators(probabilities: pd.DataFrame, scorer: str) -> Iterator[tuple[str, pd.Series, pd.Series]]:
    """The calibrators that a scorer has probabilities of, with these and whether the images are anomalous."""
    rows = probabilities[probabilities["scorer"] == scorer]
    for name in (NONE, *CALIBRATORS):
        if name in rows and rows[name].notna().any():
            yield name, rows[name], rows["label"] != "good"
