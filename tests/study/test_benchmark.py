import numpy as np
import pytest

from iadlib.study import Study, benchmark


@pytest.fixture(scope="module")
def ranks(study):
    return benchmark.ranks(benchmark.values_of(study, "parts"))


def test_scores_are_those_of_the_lowest_seed_with_its_threshold(study):
    scores = benchmark.scores_of(study, "parts")
    assert set(scores["seed"]) == {0}
    assert set(scores["split"]) == {"validation", "test"}
    assert benchmark.thresholds_of(study, "parts") == {"PatchCore": 1.5, "PaDiM": 1.5}


def test_the_highest_score_has_rank_one_whatever_the_scale(study, ranks):
    values = benchmark.values_of(study, "parts")
    other = values.assign(score=np.where(values["method"] == "padim", values["score"] * 100 - 7, values["score"]))
    assert benchmark.ranks(benchmark.first_seeds(values)).max().tolist() == [1, 1]
    assert benchmark.ranks(other).equals(ranks)


def test_chosen_images_are_of_the_right_label(ranks):
    labels = ranks.reset_index().set_index("name")["label"]
    assert set(labels[benchmark.most_disputed(ranks)]) <= {"logical", "structural"}
    assert set(labels[benchmark.worst_misses(ranks)]) <= {"logical", "structural"}
    assert set(labels[benchmark.worst_false_alarms(ranks)]) == {"good"}


def test_the_worst_miss_has_the_lowest_mean_rank(ranks):
    changed = ranks.copy()
    changed.loc["structural/012"] = 0.01
    assert benchmark.worst_misses(changed, count=1) == ["structural/012"]
    changed.loc["logical/007", "padim"] = -3
    assert benchmark.most_disputed(changed, count=1) == ["logical/007"]


def test_with_good_images_only_there_are_no_misses(ranks):
    good = ranks.query("label == 'good'")
    assert benchmark.worst_misses(good) == benchmark.most_disputed(good) == []
    assert len(benchmark.worst_false_alarms(good)) == 3


def test_without_fitted_detectors_there_is_nothing_to_draw(study, capsys):
    assert benchmark.fitted(study, "parts", benchmark.values_of(study, "parts")) == {}
    assert capsys.readouterr().out.startswith("artifacts/quick/benchmark/parts/patchcore/0 is missing")


def test_losses_come_from_the_folders_of_detectors_that_learn(study, tmp_path):
    for method in ("patchcore", "padim"):
        (tmp_path / "artifacts/quick/benchmark/parts" / method / "0").mkdir(parents=True)
    folders = benchmark.fitted(Study("quick", tmp_path), "parts", benchmark.values_of(study, "parts"))
    (folders["padim"] / "training.csv").write_text("phase,step,loss\nonly,1,0.5\nonly,2,0.25\n")
    training = benchmark.training(folders)
    assert list(training) == ["PaDiM"]
    assert training["PaDiM"]["loss"].tolist() == [0.5, 0.25]
