"""Turn the scores of all detectors and ensembles on a category into probabilities, and judge these.

A *scorer* is a detector or an ensemble with one seed. Its probabilities come from every calibrator in every protocol of
`iadlib.calibration.protocols`. No test label is used for the probability of its own image.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from iadlib import calibration, results
from iadlib.calibration import ARTIFICIAL, BOUNDED, CALIBRATORS, CROSS_FITTED, PLATT, UNCALIBRATED, Costs
from iadlib.data import Category, DataError, load_category
from iadlib.files import require_new, whole_folder, write_tables
from iadlib.metrics import image_auroc, percentiles, resampling_counts
from iadlib.metrics.entries import FEATURE, MEAN
from iadlib.parallel import in_parallel

ENSEMBLES = {FEATURE: FEATURE, MEAN: "mean of outputs"}  # entry -> scorer
MEMBERS_FIRST, AVERAGE, BOTH = "members", "average", "members, then average"
ERRORS = {
    "log loss": calibration.log_loss,
    "expected error": calibration.expected_calibration_error,
    "adaptive error": calibration.adaptive_calibration_error,
    "maximum error": calibration.maximum_calibration_error,
    "Brier score": calibration.brier_score,
}
WITH_INTERVALS = {"log loss": calibration.log_losses, "Brier score": calibration.squared_errors}  # losses by image
BETWEEN_KINDS = ("from logical", "structural by itself", "from structural", "logical by itself")
PERFECT = "expected error if right"
RESAMPLES = 300


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """The keys of params/calibration.yaml."""

    members: tuple[str, ...] = ()  # detectors whose average is calibrated; without any there is no averages.csv
    costs: dict[str, float] = field(default_factory=lambda: {"miss": 20.0, "false_alarm": 1.0, "review": 0.5})
    factory_prevalence: float = 0.02  # the share of defective parts where decisions are taken

    def __post_init__(self):
        if not 0 < self.factory_prevalence < 1:
            raise ValueError(f"factory_prevalence {self.factory_prevalence}: a share, above 0 and below 1")
        if self.members and not 2 <= len(set(self.members)) == len(self.members):
            raise ValueError(f"members {list(self.members)}: two or more different detectors, or none")
        self.costs_of_a_part()

    def costs_of_a_part(self) -> Costs:
        """The costs as `Costs`; raises ValueError where a key is missing or unknown."""
        try:
            return Costs(**self.costs)
        except TypeError:
            raise ValueError(f"costs {self.costs}: miss and false_alarm are needed, review may be given") from None


def calibrate(
    data: str | Path,
    fits: str | Path,
    benchmark: str | Path,
    ensemble: str | Path,
    out: str | Path,
    settings: CalibrationSettings | None = None,
) -> None:
    """Calibrate the scores of the category `data`, and write tables into the new folder `out`.

    `fits` holds the fitted detectors, which score normal validation images with painted anomalies; `benchmark` and
    `ensemble` hold the scores.csv of detectors and of ensembles. The tables:

    - probabilities.csv: of the first seed of every scorer, cross-fitted, a column for every calibrator; and a column
      `none`, uncalibrated
    - errors.csv, others.csv, artificial_errors.csv: errors by scorer, protocol and calibrator; cross-fitted, between
      the kinds of anomaly (only where there are two), and from painted anomalies, whose scores are in artificial.csv
    - averages.csv: errors of averages of members that are calibrated before, after, and both
    - decisions.csv, thresholds.csv: outcomes of the cheapest decisions, and the scores between which a person decides
    - functions.csv, function_scores.csv: both sigmoids of the scorer that separates the classes best, and of simulated
      scores

    Where the test images do not suffice, README.md says so and there is no table.
    """
    out, settings = require_new(out), settings or CalibrationSettings()
    category, folders = load_category(data), results.find(fits)
    scores = gather_scores(benchmark, ensemble)
    if reason := why_not(scores):
        sentence = f"{category.name} is not calibrated: {reason}"
        with whole_folder(out) as folder:
            (folder / "README.md").write_text(f"{sentence}.\n")
        print(sentence)
        return
    if missing := set(settings.members) - set(scores["scorer"]):
        raise DataError(f"members: no scores of {sorted(missing)[0]} in {benchmark}")
    category.require("validation")
    painted_images = painter(category)
    tasks = [(folder, category, painted_images) for folder in folders]
    painted = pd.concat(in_parallel(score_painted, tasks, "painted anomalies"), ignore_index=True)
    tasks = [(*key, part, painted) for key, part in scores.groupby(["scorer", "seed"], sort=False)]
    probabilities = pd.concat(in_parallel(probabilities_of, tasks, "calibrating"), ignore_index=True)
    tables = {
        "probabilities": probability_columns(probabilities),
        "artificial": painted,
        "errors": errors(probabilities, [CROSS_FITTED, UNCALIBRATED]),
        "others": errors(probabilities, BETWEEN_KINDS),
        "artificial_errors": errors(probabilities, [CROSS_FITTED, ARTIFICIAL]),
        "decisions": decisions(probabilities, settings),
        "thresholds": score_thresholds(scores, settings),
        **functions(scores),
    }
    if settings.members:
        tables["averages"] = errors(averaged(probabilities, scores, settings.members), [CROSS_FITTED])
    with whole_folder(out) as folder:
        write_tables(folder, tables, digits=6)
    print(f"{scores['scorer'].nunique()} scorers on {category.name} calibrated, in {out}")


def gather_scores(benchmark: str | Path, ensemble: str | Path) -> pd.DataFrame:
    """scorer, seed, split (validation or test), name, label, score of every detector and ensemble."""
    detectors, ensembles = read_scores(benchmark), read_scores(ensemble)
    ensembles = ensembles[ensembles["entry"].isin(ENSEMBLES)].replace({"entry": ENSEMBLES})
    tables = [detectors.rename(columns={"detector": "scorer"}), ensembles.rename(columns={"entry": "scorer"})]
    columns = ["scorer", "seed", "split", "name", "label", "score"]
    return pd.concat([table[columns] for table in tables if len(table)] or tables[:1], ignore_index=True)


def read_scores(folder: str | Path) -> pd.DataFrame:
    """The scores.csv of a report; a `DataError` where there is none, or a score is missing or infinite."""
    path = Path(folder) / "scores.csv"
    if not path.is_file():
        raise DataError(f"{path}: no such file; `judge` and `ensemble` write it")
    table = pd.read_csv(path, dtype={"name": str, "score": float})
    if bad := np.count_nonzero(~np.isfinite(table["score"])):
        raise DataError(f"{path}: {bad} scores are missing or infinite")
    return table


def why_not(scores: pd.DataFrame) -> str:
    """Why the test images do not suffice to cross-fit; or nothing."""
    test = scores[scores["split"] == "test"].drop_duplicates("name")
    counts = test["label"].value_counts()
    if "good" in counts and len(counts) > 1 and counts.min() > 1:
        return ""
    return f"calibration needs two good test images and two of an anomaly of every kind; there are {counts.to_dict()}"


def score_painted(folder: Path, category: Category, painted: Callable[[int, tuple], Tensor]) -> pd.DataFrame:
    """Scores of the validation images, each with a painted anomaly, by one fitted detector; see `painter`."""
    settings = results.read_settings(folder)
    detector, seed = results.load_detector(folder), int(settings["hyperparameters"].get("seed", 0))
    names = [f"{name} painted" for name in category.of("validation")["name"]]
    scores = detector.predict(painted(seed, tuple(settings["image_size"]))).scores
    return pd.DataFrame({"scorer": settings["detector"], "seed": seed, "name": names, "score": scores})


def painter(category: Category) -> Callable[[int, tuple], Tensor]:
    """What gives, by seed and image size, the validation images each with an anomaly painted by DRAEM's generator."""
    from iadlib.detectors.training import seeded
    from iadlib.noise import paint_every_image

    @functools.lru_cache(maxsize=4)  # a few seeds and sizes
    def painted(seed: int, size: tuple[int, int]) -> Tensor:
        with seeded(seed):
            return paint_every_image(category.images("validation", size))

    return painted


def probabilities_of(scorer: str, seed: int, scores: pd.DataFrame, painted: pd.DataFrame) -> pd.DataFrame:
    """scorer, seed, name, label, calibrator, protocol, probability: of the test images that each is judged by."""
    test = scores[scores["split"] == "test"].reset_index(drop=True)
    values, kinds = test["score"].to_numpy(), test["label"].to_numpy()
    normal = scores.loc[scores["split"] == "validation", "score"].to_numpy()
    anomalous = painted.loc[(painted["scorer"] == scorer) & (painted["seed"] == seed), "score"].to_numpy()
    found = list(calibration.calibrate_by_test_images(values, kinds))
    if len(set(normal)) > 1:  # else there is no spread to scale by
        found.append(calibration.scale_without_anomalies(values, normal))
    if len(normal) and len(anomalous):
        prevalence = (kinds != "good").mean()
        found += calibration.calibrate_by_artificial_images(values, prevalence, normal, anomalous)
    columns = test[["scorer", "seed", "name", "label"]]
    tables = [
        columns.iloc[judged].assign(calibrator=calibrator, protocol=protocol, probability=probabilities)
        for calibrator, protocol, judged, probabilities in found
    ]
    return pd.concat(tables, ignore_index=True)


def probability_columns(probabilities: pd.DataFrame) -> pd.DataFrame:
    """scorer, seed, name, label, and the uncalibrated and cross-fitted probabilities, a column for every calibrator.

    Only the first seed of every scorer; probabilities that a scorer lacks are missing.
    """
    first = probabilities["seed"] == probabilities.groupby("scorer")["seed"].transform("min")
    shown = probabilities[first & probabilities["protocol"].isin([CROSS_FITTED, UNCALIBRATED])]
    keys = ["scorer", "seed", "name", "label"]
    return shown.set_index([*keys, "calibrator"])["probability"].unstack("calibrator", sort=False).reset_index()


def errors(probabilities: pd.DataFrame, protocols: Sequence[str]) -> pd.DataFrame:
    """One row for every scorer, protocol and calibrator: means over the seeds of each error and of the Brier parts.

    Log loss and Brier score have a 95 % interval over the test images, from one set of resamples for all seeds and
    calibrators; "less Platt" is the difference to Platt scaling in the same protocol. Errors over bins have none, since
    resampling adds as much bias to them as the sample does. Instead, `PERFECT` is the expected error of the same
    probabilities in as many images if they were right.
    """
    rows = []
    for protocol in protocols:
        for scorer, part in probabilities[probabilities["protocol"] == protocol].groupby("scorer", sort=False):
            tables = {
                name: each.pivot(index=["name", "label"], columns="seed", values="probability")
                for name, each in part.groupby("calibrator", sort=False)
            }
            rows += [{"scorer": scorer, "protocol": protocol, **row} for row in errors_of(tables)]
    return pd.DataFrame(rows)


def errors_of(tables: dict[str, pd.DataFrame]) -> list[dict[str, float]]:
    """The rows of `errors` for one scorer and protocol; `tables` by calibrator, (name, label) x seed."""
    kinds = next(iter(tables.values())).index.get_level_values("label").to_numpy()
    labels = (kinds != "good").astype(int)
    shares = resampling_counts(kinds, RESAMPLES, seed=0) / len(kinds)  # (resamples, N)
    losses = {
        (name, error): np.mean([loss(each, labels) for each in table.to_numpy().T], axis=0)  # (N,)
        for name, table in tables.items()
        for error, loss in WITH_INTERVALS.items()
    }
    rng, rows = np.random.default_rng(0), []
    for name, table in tables.items():
        by_seed = table.to_numpy().T  # (seeds, N)
        row = {"calibrator": name}
        row |= {error: np.mean([judge(each, labels) for each in by_seed]) for error, judge in ERRORS.items()}
        row[PERFECT] = np.mean([calibration.expected_error_if_right(each, rng) for each in by_seed])
        parts = pd.DataFrame([asdict(calibration.brier_parts(each, labels)) for each in by_seed]).mean()
        row |= parts.add_prefix("Brier ").to_dict()
        for error in WITH_INTERVALS:
            row[f"{error} low"], row[f"{error} high"] = percentiles(shares @ losses[name, error])
            if PLATT in tables and name != PLATT:
                less = losses[name, error] - losses[PLATT, error]
                low, high = percentiles(shares @ less)
                row |= {f"{error} less Platt": less.mean(), f"{error} less Platt low": low}
                row[f"{error} less Platt high"] = high
        rows.append(row)
    return rows


def averaged(probabilities: pd.DataFrame, scores: pd.DataFrame, members: Sequence[str]) -> pd.DataFrame:
    """Probabilities of ensembles of outputs, cross-fitted; the scorer is what was calibrated.

    "members": the mean of the members' probabilities; "average": the calibrated mean of standardised scores; "members,
    then average": members are calibrated, and their mean again.
    """
    crossed = sigmoids(probabilities)
    keys = ["seed", "name", "label", "calibrator"]
    members_first = crossed[crossed["scorer"].isin(members)].groupby(keys, sort=False)["probability"].mean()
    parts = [
        crossed[crossed["scorer"] == ENSEMBLES[MEAN]].assign(scorer=AVERAGE),
        members_first.reset_index().assign(scorer=MEMBERS_FIRST, protocol=CROSS_FITTED),
    ]
    test = scores[(scores["split"] == "test") & scores["scorer"].isin(members)]
    tasks = [
        (seed, part.pivot(index=["name", "label"], columns="scorer", values="score"), name)
        for seed, part in test.groupby("seed", sort=False)
        for name in (PLATT, BOUNDED)
    ]
    return pd.concat([*parts, *in_parallel(calibrated_twice, tasks, "calibrating twice")], ignore_index=True)


def calibrated_twice(seed: int, scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """Probabilities of the members' average, calibrated before and after; `scores` are (name, label) x member."""
    kinds = scores.index.get_level_values("label").to_numpy()
    found = calibration.calibrated_twice(CALIBRATORS[name](), scores.to_numpy().T, kinds)
    named = scores.index.to_frame(index=False).assign(seed=seed, calibrator=name, scorer=BOTH)
    return named.assign(protocol=CROSS_FITTED, probability=found)


def decisions(probabilities: pd.DataFrame, settings: CalibrationSettings) -> pd.DataFrame:
    """The outcome of the cheapest decisions for every scorer, by both sigmoids: means over the seeds.

    `place` "test": at the prevalence of the test images. "factory": at `factory_prevalence`, with probabilities moved
    there and test images weighted accordingly. `without_images`: the cost of the best decision that is the same for all
    parts.
    """
    costs, rows = settings.costs_of_a_part(), []
    chosen = sigmoids(probabilities).groupby(["scorer", "calibrator"], sort=False)
    for place, ((scorer, name), part) in product(("test", "factory"), chosen):
        outcomes = []
        for _, each in part.groupby("seed"):
            labels = each["label"] != "good"
            here = labels.mean()
            prevalence = here if place == "test" else settings.factory_prevalence
            moved = calibration.with_prevalence(each["probability"], here, prevalence)
            weights = np.where(labels, prevalence / here, (1 - prevalence) / (1 - here))
            outcomes.append(asdict(calibration.decide(moved, labels, costs, weights)))
        row = {"place": place, "prevalence": prevalence, "scorer": scorer, "calibrator": name}
        row |= pd.DataFrame(outcomes).mean().to_dict()
        rows.append(row | {"without_images": costs.without_images(prevalence)})
    return pd.DataFrame(rows)


def sigmoids(probabilities: pd.DataFrame) -> pd.DataFrame:
    """The cross-fitted probabilities of both sigmoids."""
    chosen = (probabilities["protocol"] == CROSS_FITTED) & probabilities["calibrator"].isin([PLATT, BOUNDED])
    return probabilities[chosen]


def score_thresholds(scores: pd.DataFrame, settings: CalibrationSettings) -> pd.DataFrame:
    """Of every scorer's first seed the scores between which a person decides, by a bounded sigmoid of all test images.

    `pass_below` is minus infinity where no score is low enough, `reject_from` infinite where none is high enough.
    `place` as in `decisions`.
    """
    rows = []
    for scorer, part in scores[scores["split"] == "test"].groupby("scorer", sort=False):
        part = part[part["seed"] == part["seed"].min()]
        labels = part["label"] != "good"
        fitted, ends = CALIBRATORS[BOUNDED]().fit(part["score"], labels), settings.costs_of_a_part().thresholds()
        for place, prevalence in (("test", labels.mean()), ("factory", settings.factory_prevalence)):
            low, high = fitted.score_at(calibration.with_prevalence(ends, prevalence, labels.mean()))
            row = {"place": place, "prevalence": prevalence, "scorer": scorer}
            rows.append(row | {"pass_below": low, "reject_from": high})
    return pd.DataFrame(rows).sort_values("place", ascending=False, kind="stable")


def functions(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Both sigmoids, fitted to all test images of one scorer, and to simulated scores: for a figure, not to be judged.

    The scorer and seed with the highest AUROC, of equal ones that with the widest gap between the classes.
    functions: example, title, calibrator, score, probability. function_scores: example, label, score.
    """
    ranked = []
    for (scorer, seed), part in scores[scores["split"] == "test"].groupby(["scorer", "seed"], sort=False):
        values, anomalous = part["score"].to_numpy(), (part["label"] != "good").to_numpy()
        gap = (values[anomalous].min() - values[~anomalous].max()) / (values.std() or 1.0)
        ranked.append((image_auroc(values, anomalous), gap, scorer, seed, values, part["label"].to_numpy()))
    auroc, gap, scorer, seed, values, kinds = max(ranked, key=lambda each: each[:2])
    separated = "perfectly separated" if gap > 0 else "not perfectly separated"
    rng = np.random.default_rng(0)
    simulated = np.concatenate([rng.normal(0, 1, 30), rng.normal(9, 1.5, 30)])
    examples = {
        "category": (f"{scorer}, seed {seed}: image AUROC {auroc:.3f}, {separated}", values, kinds),
        "simulated": ("simulated scores, perfectly separated", simulated, np.repeat(["good", "structural"], 30)),
    }
    curves, images = [], []
    for example, (title, values, kinds) in examples.items():
        reach = np.ptp(values) * 0.15
        at = np.linspace(values.min() - reach, values.max() + reach, 200)
        for name in (PLATT, BOUNDED):
            fitted = CALIBRATORS[name]().fit(values, kinds != "good").predict_proba(at)
            named = {"example": example, "title": title, "calibrator": name}
            curves.append(pd.DataFrame({**named, "score": at, "probability": fitted}))
        images.append(pd.DataFrame({"example": example, "label": kinds, "score": values}))
    return {"functions": pd.concat(curves), "function_scores": pd.concat(images)}
