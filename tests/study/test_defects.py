import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iadlib.data import load_category
from iadlib.study import Study, defects

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"
METHODS = ("patchcore", "padim")


@pytest.fixture(scope="module")
def category():
    return load_category(SAMPLE)


@pytest.fixture(scope="module")
def study(category, tmp_path_factory) -> Study:
    """The sample as the benchmark's images and as the many defects, with random scores around the threshold 0.5."""
    here = Study("quick", tmp_path_factory.mktemp("defects"))
    test = category.of("test").assign(defect=category.defects())
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


@pytest.mark.parametrize(("half", "cell"), [(0.0, "< 6"), (np.inf, "> 40"), (12.34, "12")])
def test_a_size_beyond_all_that_were_drawn_is_not_extrapolated(half, cell):
    sizes = {"half": half, "low": half, "high": half, "smallest": 6.0, "largest": 40.0}
    row = pd.DataFrame([{"method": "padim", "defect": "scratch", **sizes}])
    table = defects.half_table(row, pd.Series({"padim": 0.1}))
    assert table.loc["PaDiM"].tolist() == [0.1, f"{cell} [{cell}, {cell}]"]
    assert list(table.columns) == ["false alarms", "scratch: length, mm"]


def test_found_means_a_score_above_the_threshold(study, found):
    scores = defects.scores_of(study)
    assert (scores["found"] == (scores["score"] > 0.5)).all()
    both = found.merge(scores, on=["method", "name"])
    assert len(both) == len(found) == 2 * (scores["label"] != "good").sum() / 2
    assert (both["found_x"] == both["found_y"]).all()


def test_without_photographs_the_saved_table_is_read(study, found, tmp_path):
    elsewhere = Study("quick", tmp_path)
    shutil.copytree(study.reports, elsewhere.reports)
    (elsewhere.reports / "defects").mkdir()
    found.to_csv(elsewhere.reports / "defects/found.csv", index=False)
    assert defects.shares(defects.found_by_size(elsewhere, None)).equals(defects.shares(found))


def test_shares_are_by_defect_and_of_holes_by_diameter(found):
    table = defects.shares(found)
    assert list(table.columns) == ["images", "PatchCore", "PaDiM"]
    assert table["images"].sum() == found["name"].nunique()
    assert any(label.startswith("missing hole of ") for label in table.index)


def test_of_each_defect_the_image_that_fewest_find_is_shown(found, category):
    images, titles, regions = defects.worst_misses(found, category)
    assert len(images) == len(titles) == len(regions) == found["defect"].nunique()
    fewest = found.groupby(["defect", "name"])["found"].sum().groupby("defect").min()
    assert sorted(int(title.split("found by ")[1][0]) for title in titles) == sorted(fewest)


def test_good_images_with_most_alarms_are_shown(study, category):
    images, titles = defects.false_alarms(defects.scores_of(study), category, count=2)
    assert len(images) == 2
    assert all(title.startswith("good/") and title.endswith(" of 2") for title in titles)
