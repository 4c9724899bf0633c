"""Fit ensembles of fitted detectors on one category, and judge them beside their members.

Every *entry* of the comparison belongs to a group:

    member     one detector alone
    output     the scores and maps of the members combined
    backbones  the outputs of one detector with several backbones combined
    labelled   scores of the members combined with the help of test labels, cross-fitted
    feature    the study's feature ensemble, the same without the members' own distances, and the thesis's design
    design     the study's feature ensemble with one choice changed
    pair       the first detector combined with another one, at feature level and at output level

Members are loaded from the folders that `fit` has written. Their features are computed once for each seed; the heads of
the ensembles, which learn from these features, are fitted side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from iadlib import metrics, results
from iadlib.commands.judge import Truth, with_first_columns
from iadlib.data import Category, DataError, load_category
from iadlib.data.category import SPLITS
from iadlib.detectors import Detector, create
from iadlib.ensemble.compositions import changed_compositions, changed_places, weights_of
from iadlib.ensemble.feature import PRESETS, FeatureEnsemble, check_whole, kinds_of, of_patches
from iadlib.ensemble.head import Artificial, JointHead
from iadlib.ensemble.members import Members, check_validation, share_backbones
from iadlib.ensemble.output import cawpe, stacked
from iadlib.ensemble.settings import SCORING, HeadSettings, settings_of
from iadlib.ensemble.transforms import Covariance, covariances
from iadlib.files import require_new, whole_folder, write_json, write_tables
from iadlib.metrics import image_auroc
from iadlib.metrics.combining import COMBINATIONS, combined
from iadlib.metrics.entries import ALONE, FEATURE, MEAN, SOFT, TABLES, THESIS
from iadlib.metrics.values import SEPARATOR, wide
from iadlib.parallel import in_parallel
from iadlib.params import check_values
from iadlib.types import Prediction

GROUPS = ("member", "output", "backbones", "labelled", "feature", "design", "pair")
ARTIFICIAL = "artificial"
WATCHED = (FEATURE, THESIS)  # whose training curves are kept
THESIS_DESIGN = {key: value for key, value in PRESETS["thesis"].items() if key != "members"}
FOLDS = 5  # of the cross-fitting with labels
WATCHED_STEPS = 10  # steps at which the AUROC of the test images is computed for the learning curves
BATCH_SIZE = 16  # images whose features are computed together


@dataclass(frozen=True, kw_only=True)
class EnsembleSettings:
    """The keys of params/ensemble.yaml, which describes them."""

    cuts: dict[str, str]  # detector -> cut
    members: tuple[str, ...]
    hyperparameters: dict = field(default_factory=dict)  # of the feature ensemble's head
    thesis: dict = field(default_factory=dict)
    designs: dict[str, dict] = field(default_factory=dict)
    backbones: dict[str, dict] = field(default_factory=dict)  # detector -> backbone -> changed hyperparameters
    ablation_seeds: tuple[int, ...] = ()

    def __post_init__(self):
        designs = {f"designs: {name}": design for name, design in self.designs.items()} | {"thesis": self.thesis}
        named = {f"{where}: members": design.get("members", ()) for where, design in designs.items()}
        for where, names in {"members": self.members, **named, "backbones": self.backbones}.items():
            if unknown := [name for name in names if name not in self.cuts]:
                raise ValueError(f"{where}: {unknown[0]!r} has no cut; cuts has {', '.join(self.cuts)}")
        if unclear := [name for name in self.designs if SEPARATOR in name]:
            raise ValueError(f"designs: {unclear[0]!r} contains {SEPARATOR!r}, which separates names in tables")
        if not self.members:
            raise ValueError("members: one detector or more")
        for design in self.all_designs(ablations=True):  # checks all names and values
            check_whole({name: self.cuts[name] for name in design.members}, design.head(self).distances)

    def all_designs(self, ablations: bool) -> list["Design"]:
        """The feature ensembles that are fitted with every seed, and those with the ablation seeds only.

        Those without distances of the members have no member that sees the image as a whole.
        """
        joined = tuple(of_patches({name: self.cuts[name] for name in self.members}))
        thesis = {"members": joined} | THESIS_DESIGN | self.thesis
        designs = [
            Design("feature", FEATURE, self.members, {}),
            Design("feature", ALONE, joined, {"distances": False}),
        ]
        others = [("feature", THESIS, thesis)]
        if ablations:
            others += [("design", name, changes) for name, changes in self.designs.items()]
        for group, name, changes in others:
            members = tuple(changes.get("members", self.members))
            designs.append(Design(group, name, members, {k: v for k, v in changes.items() if k != "members"}))
        if not ablations:
            return designs
        return designs + [Design("pair", f"{' + '.join(pair)}: features", pair, {}) for pair in self.pairs()]

    def pairs(self) -> list[tuple[str, str]]:
        """The first of the detectors that have a cut, with each of the others."""
        first, *others = self.cuts
        return [(first, other) for other in others]


class Design(NamedTuple):
    """One feature ensemble of the comparison; `changes` are those of its hyperparameters that differ."""

    group: str
    entry: str
    members: tuple[str, ...]
    changes: dict

    def head(self, settings: EnsembleSettings, seed: int = 0) -> JointHead:
        """Its head, not fitted."""
        values = check_values(HeadSettings, settings.hyperparameters | self.changes, self.entry)
        kinds = kinds_of({name: settings.cuts[name] for name in self.members})
        return JointHead(kinds=kinds, **values | {"seed": seed})


class Judged(NamedTuple):
    """One entry with one seed."""

    group: str
    entry: str
    values: pd.DataFrame  # a row for every test image
    pixel_auroc: float | None
    validation: np.ndarray | None = None  # scores (N,) of the normal validation images
    maps: np.ndarray | None = None  # of the test images, where they are kept
    curves: pd.DataFrame | None = None  # of the training, where it is watched
    head: dict[str, np.ndarray] | None = None  # learned state, where it is kept


@dataclass(frozen=True, eq=False)
class Inputs:
    """What all tasks have in common."""

    settings: EnsembleSettings
    truth: Truth
    images: dict[str, Tensor]  # (N, 3, H, W) by split; ARTIFICIAL: anomalies made from the validation images
    places: np.ndarray  # (M, H, W) bool: the changed pixels of these anomalies
    names: list[str]  # of the test images

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.images["test"].shape[-2:])

    @property
    def anomalous(self) -> np.ndarray:
        """(N,) bool, of the test images."""
        return (self.truth.samples["label"] != "good").to_numpy()

    def judged(self, group: str, entry: str, prediction: Prediction, **kept) -> Judged:
        """An entry with scores and, where its members localise, maps."""
        truth = self.truth
        maps = None if prediction.maps is None else metrics.resize_maps(prediction.maps, truth.sizes)
        report, values = metrics.judge_images(truth.samples, prediction.scores, maps, truth.regions, truth.known)
        return Judged(group, entry, values, report.get("pixel_auroc", {}).get("overall"), **kept)


class Outputs(NamedTuple):
    """What one fitted detector predicts."""

    validation: Prediction
    test: Prediction
    weights: tuple[float, float] = (1.0, 1.0)  # of scores and of maps in combinations with weights


class Pool:
    """The detectors fitted with one seed: what the ensembles of this seed learn from.

    `members` has for every detector its outputs, and by split its maps (N, h, w, C) at its cut.
    """

    def __init__(self, seed: int, members: dict[str, tuple[Outputs, dict[str, np.ndarray]]]):
        self.seed, self.outputs = seed, {name: outputs for name, (outputs, _) in members.items()}
        self._maps = {
            name: {split: torch.from_numpy(each).permute(0, 3, 1, 2) for split, each in maps.items()}
            for name, (_, maps) in members.items()
        }
        batches = zip(*(each["train"].split(BATCH_SIZE) for each in self._maps.values()), strict=True)
        self._covariances = dict(zip(members, covariances(batches), strict=True))

    def maps(self, split: str, members: Sequence[str]) -> list[Tensor]:
        """The maps (N, C, h, w) of the members."""
        return [self._maps[name][split] for name in members]

    def covariances(self, members: Sequence[str]) -> list[Covariance]:
        """The covariances of the members' training maps."""
        return [self._covariances[name] for name in members]


def ensemble(
    data: str | Path, members: str | Path, settings: EnsembleSettings, out: str | Path, report: str | Path
) -> pd.DataFrame:
    """Fit all ensembles of the detectors below the folder `members` (DETECTOR/SEED/), and return their values.

    The values have a row for every entry, seed and test image. The new folder `report` gets values.csv, the same with
    one row for each image (`iadlib.metrics.values.long` reads it); pixel_auroc.csv, a row for every entry with maps and
    seed; scores.csv, the scores of validation and test images by the mean of the outputs and by the feature ensemble;
    curves.csv, the training with the first seed; and variances.csv, the cumulative variance of the principal components
    of each member with patches. The new folder `out` gets the test images' maps of the
    members, of the mean and of the feature ensemble, ENTRY/maps.npz, and the fitted feature ensemble, all of the first
    seed.
    """
    out, report = require_new(out), require_new(report)
    category = load_category(data)
    if category.of("test")["label"].eq("good").nunique() < 2:
        needed = "ensembles are judged by good and by anomalous test images"
        return write_nothing(out, report, f"{category.name} has no ensembles: {needed}, and one kind is missing")
    category.require("train", "validation")
    check_validation(len(category.of("validation")))
    folders = folders_by_seed(Path(members), settings)
    size = common_size(folders)
    images = {split: category.images(split, size) for split in SPLITS}
    images[ARTIFICIAL] = changed_compositions(images["validation"])
    places = changed_places(images[ARTIFICIAL], images["validation"])
    inputs = Inputs(settings, Truth.of(category), images, places, list(category.of("test")["name"]))
    detectors = {
        seed: {name: results.load_detector(folder) for name, folder in named.items()} for seed, named in folders.items()
    }
    in_parallel(fill_backbones, [(detectors, images)], "ensembles: backbones")
    averaged, first = over_backbones(inputs, detectors), min(folders)
    judged = {
        seed: judge_seed(inputs, seed, named, detectors[seed], averaged, first=seed == first)
        for seed, named in folders.items()
    }
    feature = feature_ensemble(inputs, judged[first], detectors[first], first)
    with whole_folder(out) as artifacts, whole_folder(report) as folder:
        tables = tables_of(category, judged) | {"variances": variances(feature)}
        write_tables(folder, tables | {"values": wide(tables["values"])})
        for each in (each for each in judged[first] if each.maps is not None):
            place = artifacts / each.entry.replace(" ", "_")
            place.mkdir()
            results.write_maps(place, inputs.names, each.maps)
        save_ensemble(artifacts / FEATURE.replace(" ", "_"), feature, category.bits)
    print(f"{sum(map(len, judged.values()))} entries judged on {len(inputs.names)} test images, in {report}")
    return tables["values"]


def folders_by_seed(members: Path, settings: EnsembleSettings) -> dict[int, dict[str, Path]]:
    """Seed -> detector -> its folder, for the seeds that all detectors were fitted with, ascending."""
    found: dict[str, dict[int, Path]] = {}
    for name in settings.cuts:
        if not (members / name).is_dir():
            raise DataError(f"{members}: no fitted {name}, which `cuts` in params/ensemble.yaml names")
        found[name] = {
            results.read_settings(each)["hyperparameters"]["seed"]: each for each in results.find(members / name)
        }
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in found.values())))
    if not seeds:
        raise DataError(f"{members}: no seed that {', '.join(found)} were all fitted with")
    if missing := sorted(set(settings.ablation_seeds) - set(seeds)):
        raise DataError(f"{members}: ablation_seeds {missing}, but all detectors were fitted with {seeds} only")
    return {seed: {name: by_seed[seed] for name, by_seed in found.items()} for seed in seeds}


def common_size(folders: dict[int, dict[str, Path]]) -> tuple[int, int]:
    """The image size (height, width) that all detectors were fitted at."""
    fits = [fit for named in folders.values() for fit in named.items()]
    found = dict.fromkeys((name, *results.read_settings(folder)["image_size"]) for name, folder in fits)
    sizes = {(height, width) for _, height, width in found}
    if len(sizes) > 1:
        listed = ", ".join(f"{name} {height} x {width}" for name, height, width in found)
        raise DataError(
            f"detectors of an ensemble are fitted at one image size, but these at several, height x width: {listed}; "
            "set the same image_size in their params files and fit them again"
        )
    return sizes.pop()


def fill_backbones(detectors: dict[int, dict[str, Detector]], images: dict[str, Tensor]) -> None:
    """Let all detectors with the same backbone share its maps of all images, and compute these once."""
    everyone = [detector for named in detectors.values() for detector in named.values()]
    for backbone in share_backbones(everyone, keep_all=True):
        for split in images.values():
            for batch in split.split(BATCH_SIZE):
                backbone(batch)


def over_backbones(inputs: Inputs, detectors: dict[int, dict[str, Detector]]) -> dict[tuple[str, int], list[Outputs]]:
    """(Detector, seed) -> its outputs with each of the further backbones."""
    tasks = [
        (inputs, name, {seed: named[name] for seed, named in detectors.items()}, {"backbone": backbone} | changes)
        for name, changed in inputs.settings.backbones.items()
        for backbone, changes in changed.items()
    ]
    found: dict[tuple[str, int], list[Outputs]] = {}
    for each in in_parallel(with_backbone, tasks, "ensembles: other backbones"):
        for key, outputs in each.items():
            found.setdefault(key, []).append(outputs)
    return found


def with_backbone(
    inputs: Inputs, name: str, detectors: dict[int, Detector], changes: dict
) -> dict[tuple[str, int], Outputs]:
    """(Detector, seed) -> the outputs of one detector fitted with changed hyperparameters."""
    others = {
        seed: create(name, **detector.hyperparameters() | {"checkpoint": None} | changes)
        for seed, detector in detectors.items()
    }
    share_backbones(others.values(), keep_all=True)
    train, validation, test = (inputs.images[split] for split in SPLITS)
    for other in others.values():
        other.fit(train, validation)
    return {(name, seed): Outputs(other.predict(validation), other.predict(test)) for seed, other in others.items()}


def judge_seed(
    inputs: Inputs,
    seed: int,
    folders: dict[str, Path],
    detectors: dict[str, Detector],
    averaged: dict[tuple[str, int], list[Outputs]],
    first: bool,
) -> list[Judged]:
    """All entries of one seed, in the order of the tables; with `first`, maps and training curves are kept."""
    settings, ablation = inputs.settings, seed in inputs.settings.ablation_seeds
    tasks = [(inputs, name, detectors[name], folder) for name, folder in folders.items()]
    members = dict(zip(folders, in_parallel(read_member, tasks, f"ensembles, seed {seed}: members"), strict=True))
    [pool] = in_parallel(Pool, [(seed, members)], "ensembles: covariances")

    def joined(names: Sequence[str]) -> list[Outputs]:
        return [pool.outputs[name] for name in names]

    designs = settings.all_designs(ablation)
    groups = sorted(grouped(designs, settings), key=lambda group: -cost(group[0].head(settings)))
    tasks = [(fit_designs, inputs, pool, group, first) for group in groups]
    tasks += [(judge_outputs, inputs, "member", name, joined([name]), "", first) for name in settings.cuts]
    tasks += [(judge_outputs, inputs, "output", name, joined(settings.members), name, first) for name in COMBINATIONS]
    for (name, fitted_with), outputs in averaged.items():
        if fitted_with == seed:
            entry = f"{name} over {1 + len(outputs)} backbones"
            tasks.append((judge_outputs, inputs, "backbones", entry, [pool.outputs[name], *outputs], MEAN, False))
    tasks.append((judge_labelled, inputs, pool))
    for pair in settings.pairs() if ablation else ():
        # With weights of the same kind and the same combination as the features.
        tasks.append((judge_outputs, inputs, "pair", f"{' + '.join(pair)}: outputs", joined(pair), SOFT, False))
    found = in_parallel(lambda function, *rest: function(*rest), tasks, f"ensembles, seed {seed}")
    order = [design.entry for design in designs]
    entries = list(chain(*found))
    entries.sort(key=lambda each: (GROUPS.index(each.group), order.index(each.entry) if each.entry in order else 0))
    return entries


def grouped(designs: Sequence[Design], settings: EnsembleSettings) -> list[list[Design]]:
    """Designs that share one training: they differ in their scoring, or in members that see the image as a whole."""
    groups: dict[str, list[Design]] = {}
    for design in designs:
        joined = of_patches({name: settings.cuts[name] for name in design.members})
        training = {key: value for key, value in settings_of(design.head(settings)).items() if key not in SCORING}
        groups.setdefault(repr((joined, training)), []).append(design)
    return list(groups.values())


def cost(head: JointHead) -> float:
    """A rough measure of the time that a training takes: long tasks are started first."""
    return head.steps * head.heads * (5 if head.noise == "simplex" else 1)


def read_member(inputs: Inputs, name: str, detector: Detector, folder: Path) -> tuple[Outputs, dict[str, np.ndarray]]:
    """What a `Pool` holds of one detector; its test predictions are those in its folder."""
    table = results.read_scores(folder).query("split == 'test'").set_index("name")
    if set(table.index) != set(inputs.names):
        raise DataError(f"{folder}: scores of other test images than this category has; fit the detector again")
    saved = results.read_maps(folder, inputs.names)
    found = None if saved is None else np.stack([*saved.values()])
    test = Prediction(table.loc[inputs.names, "score"].to_numpy(np.float32), found)
    members, images = Members({name: detector}, {name: inputs.settings.cuts[name]}), inputs.images
    [maps] = members.training_maps(images["train"], BATCH_SIZE)
    others = ("validation", "test", ARTIFICIAL)
    maps = {"train": maps} | {split: members.maps(images[split], BATCH_SIZE)[0] for split in others}
    arrays = {split: found.permute(0, 2, 3, 1).numpy() for split, found in maps.items()}  # contiguous: see `stored`
    normal, artificial = (detector.predict(images[split]) for split in ("validation", ARTIFICIAL))
    return Outputs(normal, test, weights_of(normal, artificial, inputs.places)), arrays


def fit_designs(inputs: Inputs, pool: Pool, designs: Sequence[Design], first: bool) -> list[Judged]:
    """Feature ensembles that share one training."""
    size, members = inputs.size, designs[0].members
    head = designs[0].head(inputs.settings, pool.seed)
    watched = first and designs[0].entry in WATCHED
    watch = Watch(head, pool.maps("test", members), size, inputs.anomalous) if watched else None

    def normal_and_artificial(members: Sequence[str]) -> tuple[list[Tensor], tuple[int, int], Artificial]:
        return pool.maps("validation", members), size, Artificial(pool.maps(ARTIFICIAL, members), inputs.places)

    head.fit(pool.maps("train", members), *normal_and_artificial(members), pool.covariances(members), watch)
    judged = []
    for design in designs:
        wanted = design.head(inputs.settings, pool.seed)
        changes = {name: getattr(wanted, name) for name in ("kinds", *SCORING)}
        fitted, test = (
            head.with_scoring(*normal_and_artificial(design.members), **changes),
            pool.maps("test", design.members),
        )
        prediction, kept = fitted.predict(test, size), {}
        if design.entry == FEATURE:
            kept["validation"] = fitted.predict(pool.maps("validation", design.members), size).scores
            if first:
                state = {key: tensor.cpu().numpy() for key, tensor in fitted.state_dict().items()}
                kept |= {"maps": prediction.maps, "head": state}
        if watched and design is designs[0]:
            kept["curves"] = watch.curves()
        judged.append(inputs.judged(design.group, design.entry, prediction, **kept))
    return judged


class Watch:
    """The AUROC of the test images along the training of a discriminator, a diagnostic: nothing is chosen by it.

    To be cheap it uses every second row and column of the patches, and the discriminator's score alone.
    """

    def __init__(self, head: JointHead, maps: Sequence[Tensor], size: tuple[int, int], anomalous: np.ndarray):
        self.head, self.maps, self.size, self.anomalous = head, maps, size, anomalous
        self.step, self.found, self.joint = 0, {}, None

    def __call__(self) -> None:
        self.step += 1
        if self.step % max(1, self.head.steps // WATCHED_STEPS):
            return
        with torch.inference_mode():
            if self.joint is None:
                self.joint = torch.cat([self.head.joint(maps)[..., ::2, ::2] for maps in self.head.batches(self.maps)])
            self.head.discriminator_.eval()
            scores = self.head.image_scores(-self.head.discriminator_(self.joint), self.size)
            self.head.discriminator_.train()
        self.found[self.step] = image_auroc(scores.numpy(), self.anomalous)

    def curves(self) -> pd.DataFrame:
        """step, loss, artificial anomalies (AUROC), test images (AUROC, with gaps)."""
        steps = np.arange(1, self.head.steps + 1)
        test = pd.Series(self.found, dtype=float).reindex(steps).to_numpy()
        learned = {"loss": self.head.losses_.numpy(), "artificial anomalies": self.head.aurocs_.numpy()}
        return pd.DataFrame({"step": steps} | learned | {"test images": test})


def judge_outputs(
    inputs: Inputs, group: str, entry: str, outputs: Sequence[Outputs], combination: str, first: bool
) -> list[Judged]:
    """The outputs of some detectors combined; of one detector alone without `combination`."""
    validation, test, weights = zip(*outputs, strict=True)
    prediction, kept = combined(test, validation, combination, weights) if combination else test[0], {}
    if entry == MEAN:
        kept["validation"] = combined(validation, validation, combination).scores
    if first and entry in (MEAN, *inputs.settings.members):
        kept["maps"] = prediction.maps
    return [inputs.judged(group, entry, prediction, **kept)]


def judge_labelled(inputs: Inputs, pool: Pool) -> list[Judged]:
    """The members' scores combined with test labels; they have no maps."""
    scores = np.stack([pool.outputs[name].test.scores for name in inputs.settings.members], axis=1)
    labels = inputs.anomalous
    folds = min(FOLDS, *(np.bincount(labels, minlength=2) // 2))  # CAWPE divides what remains once more
    if folds < 2:
        print("fewer than 4 good or 4 anomalous test images: no ensembles that are fitted to labels")
        return []
    truth, judged = inputs.truth, []
    for entry, combine in (("stacking", stacked), ("CAWPE", cawpe)):
        probabilities = combine(scores, labels, folds, pool.seed)
        _, values = metrics.judge_images(truth.samples, probabilities, None, truth.regions)
        judged.append(Judged("labelled", entry, values, None))
    return judged


def feature_ensemble(
    inputs: Inputs, judged: Sequence[Judged], detectors: dict[str, Detector], seed: int
) -> FeatureEnsemble:
    """The study's feature ensemble of one seed, from the fitted members and the state of its head."""
    [state] = [each.head for each in judged if each.entry == FEATURE]
    design, *_ = inputs.settings.all_designs(ablations=False)
    head = design.head(inputs.settings, seed)
    head.load_state_dict({key: torch.from_numpy(values) for key, values in state.items()})
    cuts = {name: inputs.settings.cuts[name] for name in inputs.settings.members}
    return FeatureEnsemble.of({name: detectors[name] for name in cuts}, cuts, head)


def save_ensemble(folder: Path, feature: FeatureEnsemble, bits: int) -> None:
    """settings.json and detector.safetensors: `FeatureEnsemble(**hyperparameters).load(file)` reads them again."""
    settings = {
        "ensemble": type(feature).__name__,
        "hyperparameters": feature.hyperparameters(),
        "image_size": list(feature.image_size_),
        "bits": bits,
    }
    write_json(folder / results.SETTINGS, settings)
    feature.save(folder / results.STATE)


def variances(feature: FeatureEnsemble) -> pd.DataFrame:
    """member, component, cumulative share of the variance, kept (whether it is part of the joint maps)."""
    transform, members = feature.head_.transform_, feature.head_.joined_members()
    if len(transform.components_) < len(members):
        members = ["all members"]
    tables = []
    for member, components, count in zip(members, transform.components_, transform.counts_, strict=True):
        number = np.arange(1, len(components.variances) + 1)
        table = {"member": member, "component": number, "cumulative": components.cumulative().cpu().numpy()}
        tables.append(pd.DataFrame(table | {"kept": number <= count}))
    return pd.concat(tables, ignore_index=True)


def tables_of(category: Category, judged: dict[int, list[Judged]]) -> dict[str, pd.DataFrame]:
    """values, pixel_auroc, scores and curves: see `ensemble`."""
    values, pixels, scores, curves = [], [], [], []
    for seed, each in ((seed, each) for seed, listed in judged.items() for each in listed):
        names = {"category": category.name, "group": each.group, "entry": each.entry, "seed": seed}
        values.append(with_first_columns(each.values, names))
        if each.pixel_auroc is not None:
            pixels.append(names | {"pixel_auroc": each.pixel_auroc})
        if each.curves is not None:
            curves.append(with_first_columns(each.curves, {"name": each.entry}))
        if each.validation is not None:
            for split, found in (("validation", each.validation), ("test", each.values["score"].to_numpy())):
                samples = category.of(split)[["name", "label"]].assign(score=found)
                scores.append(with_first_columns(samples, {"entry": each.entry, "seed": seed, "split": split}))
    tables = {name: pd.concat(parts) for name, parts in {"values": values, "scores": scores, "curves": curves}.items()}
    return tables | {"values": tables["values"].reset_index(drop=True), "pixel_auroc": pd.DataFrame(pixels)}


def write_nothing(out: Path, report: Path, sentence: str) -> pd.DataFrame:
    """The outputs of a category without ensembles: `sentence` in README.md, and tables without rows."""
    with whole_folder(out) as artifacts, whole_folder(report) as tables:
        (artifacts / "README.md").write_text(f"{sentence}.\n")
        for name, columns in TABLES.items():
            pd.DataFrame(columns=columns).to_csv(tables / f"{name}.csv", index=False)
    print(sentence)
    return pd.DataFrame(columns=TABLES["values"])
