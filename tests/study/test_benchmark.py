from iadlib.study import Study, benchmark


def test_scores_are_those_of_the_lowest_seed_with_its_threshold(study):
    scores = benchmark.scores_of(study, "parts")
    assert set(scores["seed"]) == {0}
    assert set(scores["split"]) == {"validation", "test"}
    assert benchmark.thresholds_of(study, "parts") == {"PatchCore": 1.5, "PaDiM": 1.5}


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
