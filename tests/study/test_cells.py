import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from iadlib.data import DataError
from iadlib.metrics import image_auroc
from iadlib.study import evaluate, judge_runs, metrics_table, open_category, refer, run, save_cell
from iadlib.study.cells import maps_at
from iadlib.study.folders import whole_folder

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"
TILES = Path(__file__).parents[3] / "shared/data/magnetic_tile"


@pytest.fixture(scope="module")
def category():
    return open_category(SAMPLE)


@pytest.fixture(scope="module")
def runs(category):
    return run("patchcore", {"coreset_fraction": 0.05}, category, 64, seeds=[0, 1])


@pytest.fixture(scope="module")
def metrics(category, runs):
    return judge_runs(category, runs, false_positive_rate=0.05)


def test_metrics_are_those_of_the_scores(category, runs, metrics):
    labels = category.of("test")["label"]
    chosen = labels.isin(["good", "logical"]).to_numpy()
    by_hand = [image_auroc(result.test.scores[chosen], labels[chosen] == "logical") for result in runs]
    assert metrics["mean"]["image_auroc.logical"] == pytest.approx(np.mean(by_hand))
    assert metrics["std"]["image_auroc.logical"] == pytest.approx(np.std(by_hand, ddof=1))
    assert metrics["seeds"]["1"]["image_auroc.logical"] == pytest.approx(by_hand[1])


def test_thresholds_come_from_validation_alone(category, runs, metrics):
    for result in runs:
        values = metrics["seeds"][str(result.seed)]
        # 5 % of four validation images is none: the threshold is the highest of their scores.
        assert values["at_image_threshold.threshold"] == pytest.approx(result.validation.scores.max())
        above = result.validation.maps > values["at_pixel_threshold.threshold"]
        assert above.mean() == pytest.approx(0.05, abs=1e-3)


def test_one_seed_has_no_spread(category, runs):
    assert set(judge_runs(category, runs[:1], 0.05)["std"].values()) == {None}


def test_a_cell_on_disk_is_what_was_measured(category, runs, metrics, tmp_path):
    save_cell(category, runs, metrics, {}, tmp_path / "out", tmp_path / "artifacts")
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == metrics
    scores = pd.read_csv(tmp_path / "out/scores.csv")
    assert list(scores.columns) == ["split", "name", "label", "score_0", "score_1"]
    assert scores["split"].value_counts().to_dict() == {"test": 16, "validation": 4}
    np.testing.assert_allclose(scores.loc[scores["split"] == "test", "score_1"], runs[1].test.scores, rtol=1e-5)


def test_saved_maps_can_be_judged_by_the_command(category, runs, metrics, tmp_path):
    save_cell(category, runs, metrics, {}, None, tmp_path)
    report, expected = evaluate(SAMPLE, tmp_path / "maps-1.npz"), metrics["seeds"]["1"]
    for metric, kind in (("au_spro_0.05", "logical"), ("au_pro_0.3", "overall"), ("pixel_auroc", "overall")):
        assert report[metric][kind] == pytest.approx(expected[f"{metric}.{kind}"])


def test_the_table_shows_every_kind(metrics):
    table = metrics_table(metrics)
    assert list(table.columns) == ["logical", "structural", "mean", "overall"]
    assert "±" in table.loc["image AUROC", "logical"]
    assert table.loc["pixel AUROC", "logical"] == ""


def test_maps_take_the_photographs_own_size():
    maps = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    [resized] = maps_at(maps, [(4, 6)])
    assert resized.shape == (4, 6)
    # Pixels are areas: new centres lie a quarter of an old pixel beside the old ones, the border repeats.
    np.testing.assert_allclose(resized[0], [0, 0.25, 0.75, 1.25, 1.75, 2])
    np.testing.assert_allclose(resized[:, 0], [0, 0.75, 2.25, 3])


def test_a_reference_stands_for_the_folder_it_names(tmp_path):
    refer(SAMPLE, [tmp_path / "one", tmp_path / "two"])
    assert len(open_category(tmp_path / "two").samples) == len(open_category(SAMPLE).samples)


def test_a_reference_changes_with_any_photograph(tmp_path):
    photographs = tmp_path / "photographs"
    shutil.copytree(SAMPLE, photographs)
    refer(photographs, [tmp_path / "before"])
    shutil.copy(photographs / "train/good/001.png", photographs / "train/good/000.png")
    refer(photographs, [tmp_path / "after"])
    before, after = ((tmp_path / name / "source.json").read_text() for name in ("before", "after"))
    assert before != after


class Interrupted(BaseException):
    """As Ctrl-C is: no ordinary exception."""


@pytest.mark.parametrize("moment", ["while writing", "while moving in"])
def test_an_interruption_leaves_the_old_folder_whole(moment, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    move = Path.replace

    def interrupted(path, target):
        if path.name == "new":
            raise Interrupted
        return move(path, target)

    def write():
        with whole_folder(folder) as unfinished:
            (unfinished / "new.txt").write_text("new")
            if moment == "while writing":
                raise Interrupted
            monkeypatch.setattr(Path, "replace", interrupted)

    with pytest.raises(Interrupted):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (folder / "old.txt").read_text() == "old"


def test_a_finished_folder_takes_the_place_of_the_old_one(tmp_path):
    for name in ("old.txt", "new.txt"):
        with whole_folder(tmp_path / "out") as folder:
            (folder / name).write_text(name)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new.txt"]
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "out", overwrite=False):
        pass


def test_photographs_with_a_broken_file_are_refused_before_anything_is_written(tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(SAMPLE, broken)
    path = broken / "test/good/001.png"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"test/good/001\.png"):
        refer(broken, [tmp_path / "out"])
    assert not (tmp_path / "out").exists()


def test_a_category_without_training_images_cannot_be_learned(tmp_path):
    shutil.copytree(SAMPLE / "test", tmp_path / "only_test/test")
    shutil.copytree(SAMPLE / "ground_truth", tmp_path / "only_test/ground_truth")
    shutil.copy(SAMPLE / "defects_config.json", tmp_path / "only_test")
    with pytest.raises(DataError, match="no train images"):
        run("patchcore", {}, open_category(tmp_path / "only_test"), 64, [0])


@pytest.mark.skipif(not TILES.is_dir(), reason="the magnetic-tile photographs do not lie beside the repository")
def test_photographs_of_many_sizes_and_with_empty_masks_run_through(tmp_path):
    few = tmp_path / "tiles"
    for folder in sorted(TILES.glob("MT_*")):
        (few / folder.name / "Imgs").mkdir(parents=True)
        names = sorted(path.stem for path in (folder / "Imgs").glob("*.jpg"))[: 20 if folder.name == "MT_Free" else 4]
        for name in names:
            for path in (folder / "Imgs").glob(f"{name}.*"):
                shutil.copy(path, few / folder.name / "Imgs")
    emptied = next((few / "MT_Crack/Imgs").glob("*.png"))
    Image.fromarray(np.zeros_like(np.asarray(Image.open(emptied)))).save(emptied)
    category = open_category(few)
    result = judge_runs(category, run("patchcore", {"coreset_fraction": 0.02}, category, 96, [0]), 0.05)
    assert 0.5 < result["mean"]["image_auroc.structural"] <= 1
    assert 0.5 < result["mean"]["pixel_auroc.overall"] <= 1
