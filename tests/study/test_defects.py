import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iadlib import figures
from iadlib.data import load_category
from iadlib.study import Study, defects
from iadlib.study.pictures import defects_of

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"
METHODS = ("patchcore", "padim")


@pytest.fixture(scope="module")
def category():
    return load_category(SAMPLE)


@pytest.fixture(scope="module")
def study(category, tmp_path_factory) -> Study:
    """The sample as the benchmark's images and as the many defects, with random scores around the threshold 0.5."""
    here = Study("quick", tmp_path_factory.mktemp("defects"))
    test = category.of("test").assign(defect=defects_of(category))
    rng, parts = np.random.default_rng(0), []
    (here.folder / "params").mkdir()
    (here.folder / "params/grid.yaml").write_text(f"methods: [{', '.join(METHODS)}]\n")
    for method in METHODS:
        scores = rng.uniform(0, 1, len(test)) + 0.5 * (test["label"] != "good")
        parts.append(test[["name", "label", "defect"]].assign(entry=method, seed=0, score=scores))
        benchmark, sizes = here.reports / "benchmark/flat_connector" / method, here.artifacts / "sizes" / method / "0"
        benchmark.mkdir(parents=True)
        sizes.mkdir(parents=True)
        metrics = {"seeds": {"0": {"at_image_threshold.threshold": 0.5}}}
        (benchmark / "metrics.json").write_text(json.dumps(metrics))
        table = pd.DataFrame({"file": test["name"] + ".png", "score": scores, "anomalous": scores > 0.5})
        table.sort_values("score").to_csv(sizes / "scores.csv", index=False)
    pd.concat(parts).to_csv(here.reports / "benchmark/flat_connector/values.csv", index=False)
    return here


@pytest.fixture(scope="module")
def found(study, category):
    return defects.found_by_size(study, category)


@pytest.fixture(scope="module")
def aurocs(study):
    return defects.aurocs(defects.scores_of(study))


def simulated(half: float, spread: float = 0.15, count: int = 200, method: str = "padim") -> pd.DataFrame:
    """Scratches of 6 to 40 mm, found by a detector that finds half of those of length `half`."""
    rng = np.random.default_rng(0)
    size = np.linspace(6, 40, count)
    chance = 1 / (1 + np.exp(-np.log(size / half) / spread))
    names = [f"structural_anomalies/{i:03d}" for i in range(count)]
    parts = [
        pd.DataFrame({"name": names, "seed": seed, "size": size, "found": rng.random(count) < chance})
        for seed in (0, 1)
    ]
    columns = {"method": method, "defect": "scratch", "strength": rng.uniform(0.2, 1, 2 * count), "pixels": 50}
    return pd.concat(parts, ignore_index=True).assign(**columns)


@pytest.mark.parametrize(("half", "cell"), [(1e-3, "< 6"), (1e5, "> 40")])
def test_a_size_beyond_all_that_were_drawn_is_not_extrapolated(half, cell):
    table = defects.half_table(defects.half_sizes(simulated(half), resamples=9), pd.Series({"padim": 0.1}))
    assert table.loc["PaDiM"].tolist() == [0.1, f"{cell} [{cell}, {cell}]"]


def test_holes_have_no_size_at_which_half_are_found(found):
    assert not set(defects.half_sizes(found, resamples=2)["defect"]) & set(defects.TWO_SIZES)


def test_found_means_a_score_above_the_threshold(study, found):
    scores = defects.scores_of(study)
    assert (scores["found"] == (scores["score"] > 0.5)).all()
    both = found.merge(scores, on=["method", "name"])
    assert len(both) == len(found) == 2 * (scores["label"] != "good").sum() / 2
    assert (both["found_x"] == both["found_y"]).all()


def test_the_numbers_that_a_defect_was_drawn_with_are_those_of_its_scene(category):
    drawn = defects.drawn_defects(category)
    assert len(drawn) == (category.of("test")["label"] != "good").sum()
    areas = {
        name: sum(region.mask.sum() for region in category.regions(i))
        for i, name in enumerate(category.of("test")["name"])
    }
    assert drawn["pixels"].tolist() == [areas[name] for name in drawn["name"]]
    assert drawn["strength"].notna().equals(drawn["defect"] == "scratch")


def test_without_photographs_the_saved_table_is_read(study, found, tmp_path):
    elsewhere = Study("quick", tmp_path)
    shutil.copytree(study.reports, elsewhere.reports)
    (elsewhere.reports / "defects").mkdir()
    found.to_csv(elsewhere.reports / "defects/found.csv", index=False)
    assert defects.shares(defects.found_by_size(elsewhere, None)).equals(defects.shares(found))


def test_every_defect_and_every_detector_has_its_place_in_the_tables(study, found, aurocs):
    scores, names = defects.scores_of(study), set(found["defect"])
    assert set(aurocs["defect"]) == names
    assert list(defects.auroc_table(aurocs).columns) == ["PatchCore", "PaDiM"]
    assert len(defects.shares(found)) >= len(names)
    assert list(defects.by_contrast(found).columns) == ["PatchCore", "PaDiM"]
    assert defects.false_alarm_rates(scores).between(0, 1).all()


def test_of_each_defect_the_image_that_fewest_find_is_shown(found, category):
    images, titles, regions = defects.worst_misses(found, category)
    assert len(images) == len(titles) == len(regions) == found["defect"].nunique()
    fewest = found.groupby(["defect", "name"])["found"].sum().groupby("defect").min()
    assert sorted(int(title.split("found by ")[1][0]) for title in titles) == sorted(fewest)


def test_figures_take_the_tables_as_they_are(study, category, aurocs, tmp_path):
    pair = pd.concat([simulated(15.0), simulated(25.0, method="patchcore")])
    curves = defects.size_curves(pair, defects.half_sizes(pair, resamples=2))
    figures.detection_by_size(*curves).savefig(tmp_path / "sizes.png")
    figures.size_and_strength(defects.scratches(pair)).savefig(tmp_path / "scratches.png")
    figures.defect_heat_map(aurocs, "image AUROC").savefig(tmp_path / "aurocs.png")
    figures.image_grid(*defects.false_alarms(defects.scores_of(study), category)).savefig(tmp_path / "alarms.png")
    assert min(path.stat().st_size for path in tmp_path.iterdir()) > 5_000
