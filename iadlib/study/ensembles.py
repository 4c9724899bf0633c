"""Ensembles against their members and against one another: the same images, the same seeds, one table.

Every *entry* of the comparison has a group: "member", a detector alone, of the ensemble or only of pairs; "output",
members' scores and maps combined; "backbones", PatchCore averaged over several networks, as its authors do;
"labelled", scores combined with the help of test labels, cross-fitted; "feature", the study's feature-level ensemble,
which averages PatchCore's own distance in, the same without it, features alone, and the thesis's; "design", the study's
with one choice changed; "pair", two detectors at feature level and at output level.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import rankdata
from torch import Tensor

from iadlib.data import Category, fit_size, image_sizes, load_images, read_image
from iadlib.detectors import create
from iadlib.detectors.base import to_maps
from iadlib.ensemble import PRESETS, FeatureEnsemble
from iadlib.ensemble.members import Members
from iadlib.ensemble.output import cawpe, combined, stacked
from iadlib.metrics import image_auroc
from iadlib.progress import track
from iadlib.study.cells import anomaly_kinds, maps_at
from iadlib.study.comparisons import Entry
from iadlib.study.fitted import settings_of
from iadlib.study.folders import save_results
from iadlib.study.pictures import defects_of
from iadlib.types import Prediction

FOLDS = 5
FEATURE, ALONE, THESIS = "feature ensemble", "features alone", "thesis design"
THESIS_DESIGN = {key: value for key, value in PRESETS["thesis"].items() if key != "members"}
WATCHED_STEPS = 20  # a learning curve has so many points of the test images' AUROC


@dataclass(frozen=True, eq=False)
class Comparison:
    entries: list[Entry]
    curves: pd.DataFrame  # name, step, loss, artificial AUROC, test AUROC; of the first seed
    variances: dict[str, np.ndarray]  # member -> cumulative share of the variance by the number of components
    kept: dict[str, int]  # member -> how many components go into the joint maps


def member_settings(profile: str, methods: Sequence[str]) -> dict[str, dict]:
    """The hyperparameters that the benchmark uses, by method."""
    return {method: settings_of(profile, method)["hyperparameters"] for method in methods}


def compare(
    category: Category,
    cuts: dict[str, str],
    settings: dict[str, dict],
    members: Sequence[str],
    hyperparameters: dict,
    thesis: dict,
    designs: dict[str, dict],
    image_size: int | Sequence[int],
    seeds: Sequence[int],
    ablation_seeds: Sequence[int],
    backbones: dict[str, dict],
) -> Comparison:
    """Fit everything, once a seed; other designs and other pairs of members only with `ablation_seeds`.

    `members` are those of the ensemble; `cuts` names all that pairs are made of. `hyperparameters` are the study's
    ensemble's; `thesis` those of the thesis's design that the thesis leaves open. A design changes the study's, or the
    `members`. `backbones`: timm's name -> what changes in PatchCore's hyperparameters for it; they are averaged
    with the backbone that `settings` name.
    """
    category.require("train", "validation", "test")
    size = fit_size(image_sizes(category.samples["image"]), image_size)
    train, validation, test = (
        load_images(category.of(split)["image"], size) for split in ("train", "validation", "test")
    )
    labels = (category.of("test")["label"] != "good").to_numpy()
    folds = max(2, min(FOLDS, *(np.bincount(labels) // 2)))  # CAWPE divides again what remains
    entries, curves = [], []
    for seed in track(seeds, f"ensembles on {category.name}: seeds"):
        pool = Pool(cuts, settings, seed, train, validation, test)
        entries += [Entry("member", name, seed, said.scores, said.maps) for name, said in pool.test.items()]
        for how in ("mean", "maximum", "vote"):
            entries.append(_entry("output", how, seed, pool.combined(members, how)))
        if backbones:
            name = f"patchcore over {len(backbones) + 1} backbones"
            entries.append(_entry("backbones", name, seed, pool.over_backbones(backbones)))
        scores = np.stack([pool.test[name].scores for name in members], axis=1)
        for name, combine in (("stacking", stacked), ("CAWPE", cawpe)):
            entries.append(Entry("labelled", name, seed, combine(scores, labels, folds, seed), None))

        for name, design in ((FEATURE, {}), (ALONE, {"distances": False}), (THESIS, THESIS_DESIGN | thesis)):
            ensemble = pool.ensemble(members, hyperparameters | design)
            watch = _Watch(ensemble, lambda e=ensemble, p=pool: image_auroc(p.predicted(e).scores, labels))
            watched = seed == seeds[0] and name != ALONE  # whose discriminator learns as the study's does
            pool.fit(ensemble, watch if watched else None)
            entries.append(_entry("feature", name, seed, pool.predicted(ensemble)))
            if watched:
                curves.append(watch.curves().assign(name=name))
                if name == FEATURE:
                    shares = [each.cumulative().cpu().numpy() for each in ensemble.transform_.components_]
                    variances = dict(zip(members, shares, strict=True))
                    kept = dict(zip(members, ensemble.transform_.counts_, strict=True))
        if seed not in ablation_seeds:
            continue
        for name, design in designs.items():
            changed = hyperparameters | {"members": members} | design
            ensemble = pool.fit(pool.ensemble(changed.pop("members"), changed))
            entries.append(_entry("design", name, seed, pool.predicted(ensemble)))
        for pair in combinations(cuts, 2):
            ensemble = pool.fit(pool.ensemble(pair, hyperparameters))
            entries.append(_entry("pair", f"{' + '.join(pair)}: features", seed, pool.predicted(ensemble)))
            entries.append(_entry("pair", f"{' + '.join(pair)}: outputs", seed, pool.combined(pair, "mean")))
    return Comparison(entries, pd.concat(curves, ignore_index=True), variances, kept)


class Pool:
    """Detectors fitted with one seed, what they say, and what they show at their cuts: where ensembles start from."""

    def __init__(
        self,
        cuts: dict[str, str],
        settings: dict[str, dict],
        seed: int,
        train: Tensor,
        validation: Tensor,
        test: Tensor,
        batch_size: int = 16,
    ):
        self.cuts, self.settings, self.seed, self.size = cuts, settings, seed, test.shape[-2:]
        self.images, self.images_to_judge = (train, validation), test
        self.fitted = {name: create(name, **settings[name], seed=seed).fit(train, validation) for name in cuts}
        self.validation = {name: detector.predict(validation) for name, detector in self.fitted.items()}
        self.test = {name: detector.predict(test) for name, detector in self.fitted.items()}
        members = Members(self.fitted, cuts)
        members.share_backbones()
        self.shown_train = dict(zip(cuts, members.training_maps(train, batch_size), strict=True))
        self.shown_validation = dict(zip(cuts, members.maps(validation, batch_size), strict=True))
        self.shown_test = dict(zip(cuts, members.maps(test, batch_size), strict=True))

    def combined(self, members: Sequence[str], how: str) -> Prediction:
        return combined([self.test[name] for name in members], [self.validation[name] for name in members], how)

    def over_backbones(self, backbones: dict[str, dict]) -> Prediction:
        """The mean of PatchCores on the benchmark's backbone and on others, brought to one scale as all outputs are."""
        validation, test = [self.validation["patchcore"]], [self.test["patchcore"]]
        for backbone, changed in backbones.items():
            settings = self.settings["patchcore"] | {"backbone": backbone, "checkpoint": None} | changed
            detector = create("patchcore", **settings, seed=self.seed).fit(*self.images)
            validation.append(detector.predict(self.images[1]))
            test.append(detector.predict(self.images_to_judge))
        return combined(test, validation, "mean")

    def ensemble(self, members: Sequence[str], hyperparameters: dict) -> FeatureEnsemble:
        return FeatureEnsemble(
            **hyperparameters,
            members={name: self.cuts[name] for name in members},
            settings={name: self.settings[name] for name in members},
            seed=self.seed,
        )

    def fit(self, ensemble: FeatureEnsemble, monitor: Callable[[int], None] | None = None) -> FeatureEnsemble:
        return ensemble.fit(
            *self.images,
            fitted={name: self.fitted[name] for name in ensemble.members},
            shown=tuple([maps[m] for m in ensemble.members] for maps in (self.shown_train, self.shown_validation)),
            monitor=monitor,
        )

    def predicted(self, ensemble: FeatureEnsemble) -> Prediction:
        """What `ensemble.predict` says of the test images."""
        device = next(ensemble.discriminator_.parameters()).device
        parts = []
        for batch in zip(*(self.shown_test[name].split(ensemble.batch_size) for name in ensemble.members), strict=True):
            with torch.inference_mode():
                _, scores, image_scores = ensemble.judged([maps.to(device) for maps in batch], self.size)
                parts.append((image_scores.numpy(), to_maps(scores, self.size, ensemble.smoothing_sigma)))
        return Prediction(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class _Watch:
    """Looks at the test images while the discriminator learns, and tells nobody: a diagnostic that selects nothing."""

    def __init__(self, ensemble: FeatureEnsemble, auroc: Callable[[], float]):
        self.ensemble, self.auroc, self.seen = ensemble, auroc, {}

    def __call__(self, step: int) -> None:
        if step % max(1, self.ensemble.steps // WATCHED_STEPS) == 0:
            self.ensemble.discriminator_.eval()
            self.seen[step] = self.auroc()
            self.ensemble.discriminator_.train()

    def curves(self) -> pd.DataFrame:
        steps = np.arange(1, self.ensemble.steps + 1)
        return pd.DataFrame(
            {
                "step": steps,
                "loss": self.ensemble.losses_.numpy(),
                "artificial anomalies": self.ensemble.aurocs_.numpy(),
                "test images": pd.Series(self.seen).reindex(steps).to_numpy(),
            }
        )


def _entry(group: str, name: str, seed: int, prediction: Prediction) -> Entry:
    return Entry(group, name, seed, prediction.scores, prediction.maps)


def save_comparison(
    values: pd.DataFrame, pixels: pd.DataFrame, pictures: dict[str, Figure], out: str | Path | None
) -> None:
    """values.csv, pixel_auroc.csv and pictures into the folder `out`; None writes nothing."""
    save_results(out, {"values": values, "pixel_auroc": pixels}, pictures, "jpg")


def shown_side_by_side(
    category: Category, comparison: Comparison, names: Sequence[str], per_kind: int = 2
) -> tuple[list, dict[str, list], list, list[str]]:
    """For `figures.maps_side_by_side`: where the feature ensemble and the mean of its members' outputs disagree most.

    Of each kind, the anomalies whose rank among the test images it raises most, and lowers most; first seed.
    """
    first = {e.name: e for e in comparison.entries if e.seed == comparison.entries[0].seed and e.maps is not None}
    gain = rankdata(first[FEATURE].scores) - rankdata(first["mean"].scores)
    test = category.of("test")
    chosen = []
    for kind in anomaly_kinds(category):
        rows = np.flatnonzero(test["label"] == kind)
        ordered = rows[np.argsort(-gain[rows], kind="stable")]
        chosen += [*ordered[:per_kind], *ordered[-per_kind:]]
    paths = test["image"].iloc[chosen]
    defects = defects_of(category)
    return (
        [read_image(path) for path in paths],
        {name: maps_at(first[name].maps[chosen], image_sizes(paths)) for name in names},
        [category.regions(i) for i in chosen],
        [f"{defects[i].replace('_', ' ')}: rank {gain[i]:+.0f}" for i in chosen],
    )
