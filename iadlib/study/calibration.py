"""Scores of detectors and ensembles into probabilities, in every way that the study compares, and tables of it.

A *scorer* is a detector or an ensemble with one seed; its scores of the test images are those that the benchmark has
written. Every calibrator is fitted in several *protocols*, which say what it may learn from:

- "cross-fitted": the other folds of the test images;
- "from logical" or "from structural": of the other folds only this kind of anomaly and the normal images; it is judged
  by normal images and the other kind;
- "from artificial": the normal validation images and the same with painted anomalies, no test image; probabilities are
  then moved to the test images' prevalence;
- "uncalibrated": Gaussian scaling by the normal validation images, which asks for no anomaly at all.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from matplotlib.figure import Figure

from iadlib import calibration
from iadlib.calibration import Costs, cross_fit, with_prevalence
from iadlib.detectors import create
from iadlib.detectors.training import seeded
from iadlib.metrics import image_auroc, percentiles, resampled_images
from iadlib.progress import track
from iadlib.study.ensembles import FEATURE
from iadlib.study.fitted import fitted, images_for
from iadlib.study.folders import ROOT, open_category, save_figures, whole_folder

CALIBRATORS = {
    "histogram binning": calibration.HistogramBinning,
    "isotonic regression": calibration.IsotonicCalibration,
    "Bayesian binning": calibration.BayesianBinning,
    "Platt scaling": calibration.PlattScaling,
    "bounded sigmoid": calibration.BoundedSigmoid,
}
BOUNDED, PLATT = "bounded sigmoid", "Platt scaling"
UNCALIBRATED, CROSS_FITTED, ARTIFICIAL = "uncalibrated", "cross-fitted", "from artificial"
ENSEMBLES = {FEATURE: FEATURE, "mean": "mean of outputs"}
ERRORS = {
    "log loss": calibration.log_loss,
    "expected error": calibration.expected_calibration_error,
    "adaptive error": calibration.adaptive_calibration_error,
    "maximum error": calibration.maximum_calibration_error,
    "Brier score": calibration.brier_score,
}
WITH_INTERVALS = ("log loss", "expected error")
MEMBERS_FIRST, AVERAGE, BOTH = "members", "average", "members, then average"
FOLDS = 5
RESAMPLES = 300


def gather(profile: str, category: str) -> pd.DataFrame:
    """scorer, seed, split (validation or test), name, label, score: of every detector and ensemble on a category."""
    reports = ROOT / "reports" / profile
    parts = []
    for method in yaml.safe_load((ROOT / "params/grid.yaml").read_text())["methods"]:
        table = pd.read_csv(reports / "benchmark" / category / method / "scores.csv")
        long = table.melt(["split", "name", "label"], var_name="seed", value_name="score")
        parts.append(long.assign(scorer=method, seed=long["seed"].str.removeprefix("score_").astype(int)))
    values = pd.read_csv(reports / "ensemble" / category / "values.csv")
    chosen = values[values["entry"].isin(ENSEMBLES)]
    parts.append(chosen.assign(scorer=chosen["entry"].map(ENSEMBLES), split="test"))
    return pd.concat(parts, ignore_index=True)[["scorer", "seed", "split", "name", "label", "score"]]


def artificial(
    profile: str, category: str, scores: pd.DataFrame, data: str | None, artifacts: str | None
) -> pd.DataFrame:
    """Scores of validation images with painted anomalies (DRAEM's generator), by the detectors that `artifacts` keeps.

    Without `artifacts`, what the last run of the pipeline has written.
    """
    if artifacts is None:
        return pd.read_csv(ROOT / "reports" / profile / "calibration" / category / "artificial.csv")
    normal = open_category(data).of("validation")
    parts = []
    for method in track(sorted(set(scores.loc[scores["split"] == "validation", "scorer"])), "artificial anomalies"):
        images = images_for(profile, method, list(normal["image"]))
        for seed, detector in fitted(profile, method, artifacts).items():
            said = detector.predict(_painted(images, seed)).scores
            names = [f"{name} painted" for name in normal["name"]]
            parts.append(pd.DataFrame({"scorer": method, "seed": seed, "name": names, "score": said}))
    return pd.concat(parts, ignore_index=True)


def _painted(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Every image once, each with an anomaly."""
    painter, finished = create("draem"), images.clone()
    missing = torch.ones(len(images), dtype=torch.bool)
    with seeded(seed):
        while missing.any():  # the generator leaves half of the images as they are
            painted, masks = painter.painted(images, images, None)
            now = missing & (masks.flatten(1).sum(dim=1) > 0)
            finished[now], missing = painted[now], missing & ~now
    return finished


def probabilities(scores: pd.DataFrame, painted: pd.DataFrame, folds: int = FOLDS) -> pd.DataFrame:
    """scorer, seed, calibrator, protocol, name, label, probability: of the test images that each is judged by."""
    rows = []
    test = scores[scores["split"] == "test"]
    for key, part in track(list(test.groupby(["scorer", "seed"], sort=False)), "calibrating"):
        rows += _of_scorer(part, folds)
        of_key = dict(zip(("scorer", "seed"), key, strict=True))
        normal = _rows(scores[scores["split"] == "validation"], **of_key)
        if len(normal):
            anomalous = _rows(painted, **of_key)
            rows += _without_test(part, normal, anomalous)
    return pd.concat(rows, ignore_index=True)


def _rows(scores: pd.DataFrame, scorer: str, seed: int) -> np.ndarray:
    return scores.loc[(scores["scorer"] == scorer) & (scores["seed"] == seed), "score"].to_numpy()


def _of_scorer(part: pd.DataFrame, folds: int) -> list[pd.DataFrame]:
    kinds, values = part["label"].to_numpy(), part["score"].to_numpy()
    labels = (kinds != "good").astype(int)
    present = [kind for kind in ("logical", "structural") if kind in set(kinds)]
    folds = min(folds, *pd.Series(kinds).value_counts())
    rows = []
    for name, made in CALIBRATORS.items():
        rows.append(_said(part, name, CROSS_FITTED, cross_fit(made(), values, labels, folds, strata=kinds)))
        for kind in present if len(present) == 2 else ():
            learned = cross_fit(made(), values, labels, folds, strata=kinds, learn_from=np.isin(kinds, ["good", kind]))
            rows.append(_said(part, name, f"from {kind}", learned)[kinds != kind])
    return rows


def _without_test(part: pd.DataFrame, normal: np.ndarray, anomalous: np.ndarray) -> list[pd.DataFrame]:
    values, prevalence = part["score"].to_numpy(), (part["label"] != "good").mean()
    rows = [_said(part, "none", UNCALIBRATED, calibration.gaussian_scaling(values, normal))]
    learned = np.concatenate([normal, anomalous]), np.repeat([0, 1], [len(normal), len(anomalous)])
    for name, made in CALIBRATORS.items():
        moved = with_prevalence(made().fit(*learned).predict_proba(values), learned[1].mean(), prevalence)
        rows.append(_said(part, name, ARTIFICIAL, moved))
    return rows


def _said(part: pd.DataFrame, calibrator: str, protocol: str, values: np.ndarray) -> pd.DataFrame:
    named = part[["scorer", "seed", "name", "label"]]
    return named.assign(calibrator=calibrator, protocol=protocol, probability=values)


def errors(said: pd.DataFrame, protocols: Sequence[str] = (CROSS_FITTED, UNCALIBRATED)) -> pd.DataFrame:
    """One line for every scorer, calibrator and protocol: mean over the seeds of each error and of the Brier parts.

    Log loss and expected error with a 95 % interval over the test images, one resample for all seeds, calibrators and
    scorers; `less Platt` is the difference to Platt scaling in the same protocol, with its interval.
    """
    rows = []
    for protocol in [name for name in protocols if name in set(said["protocol"])]:
        of_protocol = said[said["protocol"] == protocol]
        for scorer, part in track(list(of_protocol.groupby("scorer", sort=False)), f"errors, {protocol}"):
            rows += _errors_of(scorer, protocol, part)
    return pd.DataFrame(rows)


def _errors_of(scorer: str, protocol: str, part: pd.DataFrame) -> list[dict]:
    tables = {
        name: each.pivot(index=["name", "label"], columns="seed", values="probability")
        for name, each in part.groupby("calibrator", sort=False)
    }
    kinds = next(iter(tables.values())).index.get_level_values("label").to_numpy()
    labels, drawn = (kinds != "good").astype(int), list(resampled_images(kinds, RESAMPLES, seed=0))
    resampled = {
        (name, error): np.array(
            [np.mean([ERRORS[error](row[c], labels[c]) for row in table.to_numpy().T]) for c in drawn]
        )
        for name, table in tables.items()
        for error in WITH_INTERVALS
    }
    rows = []
    for name, table in tables.items():
        by_seed = table.to_numpy().T  # (seeds, N)
        row = {"scorer": scorer, "protocol": protocol, "calibrator": name}
        row |= {error: np.mean([judge(each, labels) for each in by_seed]) for error, judge in ERRORS.items()}
        parts = pd.DataFrame([asdict(calibration.brier_parts(each, labels)) for each in by_seed]).mean()
        row |= parts.add_prefix("Brier ").to_dict()
        for error in WITH_INTERVALS:
            row[f"{error} low"], row[f"{error} high"] = percentiles(resampled[name, error])
            if PLATT in tables and name != PLATT:
                platt = np.mean([ERRORS[error](each, labels) for each in tables[PLATT].to_numpy().T])
                low, high = percentiles(resampled[name, error] - resampled[PLATT, error])
                row |= {f"{error} less Platt": row[error] - platt, f"{error} less Platt low": low}
                row[f"{error} less Platt high"] = high
        rows.append(row)
    return rows


def pivot(table: pd.DataFrame, error: str, protocol: str = CROSS_FITTED) -> pd.DataFrame:
    """Scorers in rows, calibrators in columns, with the interval's ends."""
    rows = table[table["protocol"] == protocol]
    cells = [
        f"{value:.3f} [{low:.3f}, {high:.3f}]"
        for value, low, high in zip(rows[error], rows[f"{error} low"], rows[f"{error} high"], strict=True)
    ]
    wide = rows.assign(cell=cells).pivot(index="scorer", columns="calibrator", values="cell")
    names = [name for name in ("none", *CALIBRATORS) if name in wide]
    return wide.reindex(index=dict.fromkeys(rows["scorer"]), columns=names).rename_axis(index=None, columns=None)


def by_protocol(table: pd.DataFrame, error: str) -> pd.DataFrame:
    """The mean over the scorers; protocols in rows, calibrators in columns."""
    wide = table.groupby(["protocol", "calibrator"], sort=False)[error].mean().unstack()
    return (
        wide[[name for name in ("none", *CALIBRATORS) if name in wide]].round(3).rename_axis(index=None, columns=None)
    )


def averaged(said: pd.DataFrame, scores: pd.DataFrame, members: Sequence[str], folds: int = FOLDS) -> pd.DataFrame:
    """Output-level ensembles, calibrated before their members' average, after it, and both; as `probabilities`.

    Their scorer is what was calibrated. "average" calibrates the mean of standardised scores. For both, what a second
    calibrator learns from are averages of members' cross-fitted probabilities.
    """
    parts = []
    crossed = said[(said["protocol"] == CROSS_FITTED) & (said["calibrator"].isin([PLATT, BOUNDED]))]
    average = crossed[crossed["scorer"] == ENSEMBLES["mean"]]
    parts.append(average.assign(scorer=AVERAGE))
    keys = ["seed", "name", "label", "calibrator"]
    members_first = crossed[crossed["scorer"].isin(members)].groupby(keys, sort=False)["probability"].mean()
    members_first = members_first.reset_index().assign(scorer=MEMBERS_FIRST, protocol=CROSS_FITTED)
    parts.append(members_first)
    for (_, name), part in members_first.groupby(["seed", "calibrator"], sort=False):
        kinds = part["label"].to_numpy()
        again = cross_fit(
            CALIBRATORS[name](),
            part["probability"].to_numpy(),
            (kinds != "good").astype(int),
            min(folds, *pd.Series(kinds).value_counts()),
            strata=kinds,
        )
        parts.append(part.assign(scorer=BOTH, probability=again))
    return pd.concat(parts, ignore_index=True)


def example(scores: pd.DataFrame) -> dict:
    """For `figures.calibration_functions`: the scorer and seed whose classes are the furthest apart, and both sigmoids
    fitted to all of its test images."""
    best, chosen = -1.0, None
    for (scorer, seed), part in scores[scores["split"] == "test"].groupby(["scorer", "seed"], sort=False):
        value = image_auroc(part["score"].to_numpy(), (part["label"] != "good").to_numpy())
        if value > best:
            best, chosen = value, (scorer, seed, part)
    scorer, seed, part = chosen
    values, labels = part["score"].to_numpy(), (part["label"] != "good").to_numpy().astype(int)
    reach = np.ptp(values) * 0.15
    at = np.linspace(values.min() - reach, values.max() + reach, 400)
    curves = {name: CALIBRATORS[name]().fit(values, labels).predict_proba(at) for name in (PLATT, BOUNDED)}
    title = f"{scorer.replace('_', ' ')}, seed {seed}: image AUROC {best:.3f}"
    return {"scores": values, "kinds": list(part["label"]), "at": at, "curves": curves, "title": title}


def reliability(said: pd.DataFrame, scorer: str) -> dict[str, tuple]:
    """For `figures.reliability_diagrams`: by calibrator the curve and the probabilities, all seeds together.

    A band takes the seeds' images for independent, which they are not: it is too narrow by up to the square root of
    the number of seeds. So each image counts once, with its mean probability over the seeds.
    """
    rows = said[(said["scorer"] == scorer) & said["protocol"].isin([CROSS_FITTED, UNCALIBRATED])]
    found = {}
    for name in [n for n in ("none", *CALIBRATORS) if n in set(rows["calibrator"])]:
        mean = rows[rows["calibrator"] == name].groupby(["name", "label"])["probability"].mean().reset_index()
        values, labels = mean["probability"].to_numpy(), (mean["label"] != "good").to_numpy().astype(int)
        found[name] = calibration.reliability_curve(values, labels), values
    return found


def decisions(
    said: pd.DataFrame, calibrators: Sequence[str], costs: Costs, prevalence: float | None = None
) -> pd.DataFrame:
    """Of every scorer with every calibrator: what the cheapest decision promises, costs, and leaves to a person.

    With `prevalence`, in a factory where this share of the parts is anomalous: probabilities are moved there, and test
    images weighed. Means over the seeds. Beside them the cheapest decision without looking at any image.
    """
    rows = []
    crossed = said[(said["protocol"] == CROSS_FITTED) & said["calibrator"].isin(calibrators)]
    for (scorer, name), part in crossed.groupby(["scorer", "calibrator"], sort=False):
        outcomes = []
        for _, each in part.groupby("seed"):
            labels, values = (each["label"] != "good").to_numpy().astype(int), each["probability"].to_numpy()
            here, weights = labels.mean(), None
            if prevalence is not None:
                values = with_prevalence(values, here, prevalence)
                weights = np.where(labels == 1, prevalence / here, (1 - prevalence) / (1 - here))
            outcomes.append(asdict(calibration.decide(values, labels, costs, weights)))
        rows.append({"scorer": scorer, "calibrator": name, **pd.DataFrame(outcomes).mean().to_dict()})
    return pd.DataFrame(rows).set_index(["scorer", "calibrator"]).round(4)


def blind_cost(costs: Costs, prevalence: float) -> float:
    """The mean cost of the best decision that is the same for all parts."""
    return min(prevalence * costs.miss, (1 - prevalence) * costs.false_alarm, costs.review)


def save(
    said: pd.DataFrame,
    painted: pd.DataFrame,
    table: pd.DataFrame,
    combined: pd.DataFrame,
    pictures: dict[str, Figure],
    out: str | Path | None,
) -> None:
    """Probabilities, artificial scores and errors as CSV, and figures, into the folder `out`; None writes nothing."""
    if out is None:
        return
    with whole_folder(ROOT / out) as folder:
        crossed = said[(said["protocol"] == CROSS_FITTED) & (said["calibrator"] == BOUNDED)]
        crossed.to_csv(folder / "probabilities.csv", index=False, float_format="%.5g")
        painted.to_csv(folder / "artificial.csv", index=False, float_format="%.6g")
        table.to_csv(folder / "errors.csv", index=False, float_format="%.6g")
        combined.to_csv(folder / "averages.csv", index=False, float_format="%.6g")
        save_figures(folder, pictures, "png")


def gather_errors(profile: str, file: str = "errors.csv") -> pd.DataFrame:
    """The errors of all categories of the grid."""
    grid = yaml.safe_load((ROOT / "params/grid.yaml").read_text())
    folder = ROOT / "reports" / profile / "calibration"
    parts = [pd.read_csv(folder / name / file).assign(category=name) for name in grid["categories"]]
    return pd.concat(parts, ignore_index=True)


def overall(table: pd.DataFrame, protocol: str = CROSS_FITTED) -> pd.DataFrame:
    """Mean of every error over all pairs of scorer and category, and how often a calibrator has the lowest."""
    rows = table[table["protocol"] == protocol]
    means = rows.groupby("calibrator", sort=False)[list(ERRORS)].mean()
    for error in WITH_INTERVALS:
        lowest = rows.loc[rows.groupby(["category", "scorer"])[error].idxmin(), "calibrator"]
        means[f"lowest {error}"] = lowest.value_counts()
    means = means.reindex([name for name in ("none", *CALIBRATORS) if name in means.index])
    return means.fillna(0).round(4).rename_axis(None)


def less_platt(table: pd.DataFrame, error: str, calibrator: str = BOUNDED) -> pd.DataFrame:
    """For `figures.differences`: a calibrator's error less Platt's, by category and scorer, with intervals."""
    rows = table[(table["calibrator"] == calibrator) & (table["protocol"] == CROSS_FITTED)]
    column = f"{error} less Platt"
    return pd.DataFrame(
        {
            "what": rows["category"] + ": " + rows["scorer"],
            "kind": "both kinds",
            "difference": rows[column],
            "low": rows[f"{column} low"],
            "high": rows[f"{column} high"],
        }
    )


def save_overall(tables: dict[str, pd.DataFrame], pictures: dict[str, Figure], out: str | Path | None) -> None:
    """Tables and figures by their names, into the folder `out`; None writes nothing."""
    if out is None:
        return
    with whole_folder(ROOT / out) as folder:
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", float_format="%.6g")
        save_figures(folder, pictures, "png")
