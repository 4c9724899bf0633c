"""Scores of detectors and ensembles into probabilities, in every way that the study compares, and tables of it.

A *scorer* is a detector or an ensemble with one seed; its scores of the test images are those that the benchmark has
written. Every calibrator is fitted in several *protocols*, which say what it may learn from:

- "cross-fitted": the other folds of the test images;
- "from logical" or "from structural": of the other folds only this kind of anomaly and the normal images; it is judged
  by normal images and the other kind, at that prevalence. "structural by itself" and "logical by itself" learn from the
  kind that they are judged by, on the same images: what knowing tomorrow's defects would be worth;
- "from artificial": the normal validation images and the same with painted anomalies, no test image; probabilities are
  then moved to the test images' prevalence;
- "uncalibrated": Gaussian scaling by the normal validation images, which asks for no anomaly at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.model_selection import StratifiedKFold

from iadlib import calibration
from iadlib.calibration import Costs, cross_fit, with_prevalence
from iadlib.detectors.training import seeded
from iadlib.metrics import image_auroc, percentiles, resampled_images
from iadlib.noise import paint_every_image
from iadlib.progress import track
from iadlib.study.ensembles import FEATURE
from iadlib.study.fitted import fitted, images_for
from iadlib.study.folders import ROOT, open_category, read_grid, save_results

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
WITH_INTERVALS = ("log loss", "Brier score")
PERFECT = "expected error if right"
MEMBERS_FIRST, AVERAGE, BOTH = "members", "average", "members, then average"
FOLDS = 5
RESAMPLES = 300
DRAWS_IF_RIGHT = 30


def gather(profile: str, category: str) -> pd.DataFrame:
    """scorer, seed, split (validation or test), name, label, score: of every detector and ensemble on a category."""
    reports = ROOT / "reports" / profile
    parts = []
    for method in read_grid()["methods"]:
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
    with seeded(seed):
        return paint_every_image(images)


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
        for kind, other in (present, present[::-1]) if len(present) == 2 else ():
            judged, known = kinds != kind, np.isin(kinds, ["good", kind])
            learned = cross_fit(made(), values, labels, folds, strata=kinds, learn_from=known)
            moved = with_prevalence(learned, labels[known].mean(), labels[judged].mean())
            rows.append(_said(part, name, f"from {kind}", moved)[judged])
            itself = cross_fit(made(), values, labels, folds, strata=kinds, learn_from=judged)
            rows.append(_said(part, name, f"{other} by itself", itself)[judged])
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

    Log loss and Brier score with a 95 % interval over the test images, one resample for all seeds and calibrators;
    `less Platt` is the difference to Platt scaling in the same protocol. Errors over bins have none: resampling adds as
    much bias to them as the sample does. Instead, `PERFECT` is the expected error that the same probabilities would
    show in as many images if they were right.
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
    rng, rows = np.random.default_rng(0), []
    platt = {
        error: np.mean([ERRORS[error](each, labels) for each in tables[PLATT].to_numpy().T])
        for error in WITH_INTERVALS
        if PLATT in tables
    }
    for name, table in tables.items():
        by_seed = table.to_numpy().T  # (seeds, N)
        row = {"scorer": scorer, "protocol": protocol, "calibrator": name}
        row |= {error: np.mean([judge(each, labels) for each in by_seed]) for error, judge in ERRORS.items()}
        right = [(each, (rng.random(len(each)) < each).astype(int)) for each in by_seed for _ in range(DRAWS_IF_RIGHT)]
        row[PERFECT] = np.mean([calibration.expected_calibration_error(*each) for each in right])
        parts = pd.DataFrame([asdict(calibration.brier_parts(each, labels)) for each in by_seed]).mean()
        row |= parts.add_prefix("Brier ").to_dict()
        for error in WITH_INTERVALS:
            row[f"{error} low"], row[f"{error} high"] = percentiles(resampled[name, error])
            if platt and name != PLATT:
                low, high = percentiles(resampled[name, error] - resampled[PLATT, error])
                row |= {f"{error} less Platt": row[error] - platt[error], f"{error} less Platt low": low}
                row[f"{error} less Platt high"] = high
        rows.append(row)
    return rows


def pivot(table: pd.DataFrame, error: str) -> pd.DataFrame:
    """Scorers in rows, calibrators in columns, with the interval's ends where there is one."""
    if error in WITH_INTERVALS:
        ends = zip(table[error], table[f"{error} low"], table[f"{error} high"], strict=True)
        cells = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in ends]
    else:
        cells = table[error].round(3)
    wide = table.assign(cell=cells).pivot(index="scorer", columns="calibrator", values="cell")
    return wide.reindex(index=dict.fromkeys(table["scorer"]), columns=_ordered(wide)).rename_axis(
        index=None, columns=None
    )


def by_protocol(table: pd.DataFrame, error: str) -> pd.DataFrame:
    """Protocols in rows, calibrators in columns: means over the scorers that have every protocol in the table, so that
    all lines speak of the same."""
    complete = table.groupby("scorer")["protocol"].nunique() == table["protocol"].nunique()
    rows = table[table["scorer"].isin(complete.index[complete])]
    wide = rows.groupby(["protocol", "calibrator"], sort=False)[error].mean().round(3).unstack()
    return wide[_ordered(wide)].rename_axis(index=None, columns=None)


def _ordered(wide: pd.DataFrame) -> list[str]:
    return [name for name in ("none", *CALIBRATORS) if name in wide]


def averaged(said: pd.DataFrame, scores: pd.DataFrame, members: Sequence[str], folds: int = FOLDS) -> pd.DataFrame:
    """Output-level ensembles, calibrated before their members' average, after it, and both; as `probabilities`.

    Their scorer is what was calibrated. "average" calibrates the mean of standardised scores.
    """
    crossed = said[(said["protocol"] == CROSS_FITTED) & (said["calibrator"].isin([PLATT, BOUNDED]))]
    parts = [crossed[crossed["scorer"] == ENSEMBLES["mean"]].assign(scorer=AVERAGE)]
    keys = ["seed", "name", "label", "calibrator"]
    members_first = crossed[crossed["scorer"].isin(members)].groupby(keys, sort=False)["probability"].mean()
    parts.append(members_first.reset_index().assign(scorer=MEMBERS_FIRST, protocol=CROSS_FITTED))
    test = scores[(scores["split"] == "test") & scores["scorer"].isin(members)]
    for seed, part in test.groupby("seed", sort=False):
        wide = part.pivot(index=["name", "label"], columns="scorer", values="score")
        kinds = wide.index.get_level_values("label").to_numpy()
        for name in (PLATT, BOUNDED):
            both = calibrated_twice(CALIBRATORS[name], wide.to_numpy().T, kinds, folds)
            named = wide.index.to_frame(index=False).assign(seed=seed, calibrator=name, scorer=BOTH)
            parts.append(named.assign(protocol=CROSS_FITTED, probability=both))
    return pd.concat(parts, ignore_index=True)


def calibrated_twice(made: Callable, scores: np.ndarray, kinds: np.ndarray, folds: int) -> np.ndarray:
    """Probabilities (N,): members (M, N) calibrated, averaged, the average calibrated; no label of a fold reaches it.

    Within the other folds, the second calibrator learns from averages of probabilities that are cross-fitted again.
    """
    labels, probabilities = (kinds != "good").astype(int), np.empty(len(kinds))
    folds = min(folds, *pd.Series(kinds).value_counts())
    for others, held in StratifiedKFold(folds, shuffle=True, random_state=0).split(kinds, kinds):
        strata = kinds[others]
        inner = min(folds, *pd.Series(strata).value_counts())
        seen = [cross_fit(made(), member[others], labels[others], inner, strata=strata) for member in scores]
        first = [made().fit(member[others], labels[others]).predict_proba(member[held]) for member in scores]
        second = made().fit(np.mean(seen, axis=0), labels[others])
        probabilities[held] = second.predict_proba(np.mean(first, axis=0))
    return probabilities


def example(scores: pd.DataFrame) -> dict:
    """For `figures.calibration_functions`: the scorer and seed with the highest AUROC, of those with the same the one
    with the widest gap, and both sigmoids fitted to all of its test images."""
    ranked = []
    for (scorer, seed), part in scores[scores["split"] == "test"].groupby(["scorer", "seed"], sort=False):
        values, labels = part["score"].to_numpy(), (part["label"] != "good").to_numpy().astype(int)
        gap = (values[labels == 1].min() - values[labels == 0].max()) / (values.std() or 1.0)
        ranked.append((image_auroc(values, labels), gap, scorer, seed, values, labels, list(part["label"])))
    auroc, gap, scorer, seed, values, labels, kinds = max(ranked, key=lambda each: each[:2])
    apart = "perfectly separated" if gap > 0 else "not perfectly separated"
    title = f"{scorer.replace('_', ' ')}, seed {seed}: image AUROC {auroc:.3f}, {apart}"
    return _functions(values, labels, kinds, title)


def simulated_example() -> dict:
    """The same of simulated scores of 30 good and 30 anomalous images, far apart: no detector is involved."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 30), rng.normal(9, 1.5, 30)])
    labels = np.repeat([0, 1], 30)
    return _functions(values, labels, ["good"] * 30 + ["structural"] * 30, "simulated scores, perfectly separated")


def _functions(values: np.ndarray, labels: np.ndarray, kinds: Sequence[str], title: str) -> dict:
    reach = np.ptp(values) * 0.15
    at = np.linspace(values.min() - reach, values.max() + reach, 400)
    curves = {name: CALIBRATORS[name]().fit(values, labels).predict_proba(at) for name in (PLATT, BOUNDED)}
    return {"scores": values, "kinds": kinds, "at": at, "curves": curves, "title": title}


def reliability(said: pd.DataFrame, scorer: str) -> dict[str, tuple]:
    """For `figures.reliability_diagrams`: by calibrator the curve and the probabilities, of the first seed."""
    rows = said[(said["scorer"] == scorer) & said["protocol"].isin([CROSS_FITTED, UNCALIBRATED])]
    rows = rows[rows["seed"] == rows["seed"].min()]
    found = {}
    for name in [n for n in ("none", *CALIBRATORS) if n in set(rows["calibrator"])]:
        part = rows[rows["calibrator"] == name]
        values, labels = part["probability"].to_numpy(), (part["label"] != "good").to_numpy().astype(int)
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


def score_thresholds(scores: pd.DataFrame, costs: Costs, prevalence: float | None = None) -> pd.DataFrame:
    """Of every scorer, first seed: scores between which a person is asked, by a bounded sigmoid of all test images.

    "pass below" -inf: no score is low enough; "reject from" inf: none is high enough. With `prevalence`, for a factory
    where this share of the parts is anomalous.
    """
    rows = {}
    for scorer, part in scores[scores["split"] == "test"].groupby("scorer", sort=False):
        part = part[part["seed"] == part["seed"].min()]
        labels = (part["label"] != "good").to_numpy().astype(int)
        ends = np.array(costs.thresholds())
        if prevalence is not None:
            ends = with_prevalence(ends, prevalence, labels.mean())
        rows[scorer] = CALIBRATORS[BOUNDED]().fit(part["score"].to_numpy(), labels).score_at(ends)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["pass below", "reject from"]).round(4)


def blind_cost(costs: Costs, prevalence: float) -> float:
    """The mean cost of the best decision that is the same for all parts."""
    return min(prevalence * costs.miss, (1 - prevalence) * costs.false_alarm, costs.review)


def save(
    said: pd.DataFrame,
    painted: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    pictures: dict[str, Figure],
    out: str | Path | None,
) -> None:
    """Probabilities, artificial scores, tables by their names, figures, into the folder `out`; None writes nothing.

    A category with one kind of anomaly has no other to learn from, and so an empty table.
    """
    crossed = said[(said["protocol"] == CROSS_FITTED) & (said["calibrator"] == BOUNDED)]
    crossed = crossed.assign(probability=crossed["probability"].map("{:.5g}".format))
    save_results(out, {"probabilities": crossed, "artificial": painted, **tables}, pictures)


def gather_errors(profile: str, file: str = "errors.csv") -> pd.DataFrame:
    """The errors of all categories of the grid that have such a file."""
    folder = ROOT / "reports" / profile / "calibration"
    files = {name: folder / name / file for name in read_grid()["categories"]}
    parts = [pd.read_csv(path).assign(category=name) for name, path in files.items() if path.is_file()]
    return pd.concat(parts, ignore_index=True)


def overall(table: pd.DataFrame, protocol: str = CROSS_FITTED) -> pd.DataFrame:
    """Mean of every error over all pairs of scorer and category, and how often a calibrator has the lowest log loss."""
    rows = table[table["protocol"] == protocol]
    columns = [*ERRORS, PERFECT, "Brier reliability", "Brier resolution"]
    found = rows.groupby("calibrator", sort=False)[columns].mean()
    lowest = rows.loc[rows.groupby(["category", "scorer"])["log loss"].idxmin(), "calibrator"]
    found["lowest log loss"] = lowest.value_counts()
    return found.reindex(_ordered(found.T)).fillna({"lowest log loss": 0}).round(4).rename_axis(None)


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
    save_results(out, tables, pictures, index=True)
