import json
import shutil
import threading
import time

import pandas as pd
import pytest

from iadlib import results
from iadlib.commands import watch as module
from iadlib.commands.score import score
from iadlib.commands.watch import Arrivals, Table, watch
from tests.commands.conftest import plate


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.02)
    monkeypatch.setattr(module, "PATIENCE", 0.3)


class Watching:
    """`watch` in a thread, until the table has as many rows as are waited for."""

    def __init__(self, result, folder, out):
        self.out, self.stopped = out, threading.Event()
        self.thread = threading.Thread(target=watch, args=(result, folder, out, False, self.stopped.is_set))
        self.thread.start()

    def wait_for(self, rows: int, table: str = "scores.csv") -> None:
        for _ in range(1000):
            if (self.out / table).exists() and len(pd.read_csv(self.out / table)) >= rows:
                return
            time.sleep(0.02)
        raise AssertionError(f"not {rows} rows in {table} after 20 s")

    def stop(self) -> pd.DataFrame:
        self.stopped.set()
        self.thread.join()
        return pd.read_csv(self.out / "scores.csv")


def test_photographs_are_scored_once_as_they_arrive_and_a_restart_goes_on(result, tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    plate(80).save(folder / "0.png")
    watching = Watching(result, folder, tmp_path / "out")
    watching.wait_for(1)
    plate(81, defective=True).save(folder / "1.png")
    watching.wait_for(2)
    watching.stop()
    plate(82).save(folder / "2.png")
    again = Watching(result, folder, tmp_path / "out")
    again.wait_for(3)
    table = again.stop()
    assert list(table["file"]) == ["0.png", "1.png", "2.png"]
    assert table["anomalous"][1]
    expected, _ = score(result, [folder], tmp_path / "expected", pictures=False)
    merged = table.merge(expected, on="file")
    assert merged["score_x"].tolist() == pytest.approx(merged["score_y"].tolist(), rel=1e-5)


def test_photographs_of_another_shape_are_warned_of_once(result, tmp_path, capfd):
    folder = tmp_path / "camera"
    folder.mkdir()
    plate(80).resize((300, 60)).save(folder / "0.png")
    watching = Watching(result, folder, tmp_path / "out")
    watching.wait_for(1)
    plate(81).resize((300, 60)).save(folder / "1.png")
    watching.wait_for(2)
    watching.stop()
    assert capfd.readouterr().out.count("photographs have another shape than those of the fit, ") == 1


def test_a_photograph_that_is_written_slowly_is_scored_when_it_is_complete(result, tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    plate(80).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    watching = Watching(result, folder, tmp_path / "out")
    with (folder / "slow.png").open("wb") as file:
        for start in range(0, len(content), len(content) // 8):
            file.write(content[start : start + len(content) // 8])
            file.flush()
            time.sleep(0.06)
    watching.wait_for(1)
    assert len(watching.stop()) == 1
    assert len(pd.read_csv(tmp_path / "out/errors.csv")) == 0


def test_a_bad_photograph_is_named_once(result, tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"not an image")
    plate(80).save(folder / "good.png")
    watching = Watching(result, folder, tmp_path / "out")
    watching.wait_for(1, "errors.csv")
    watching.wait_for(1)
    watching.stop()
    plate(81).save(folder / "later.png")
    again = Watching(result, folder, tmp_path / "out")
    again.wait_for(2)
    time.sleep(3 * module.PATIENCE)
    again.stop()
    assert pd.read_csv(tmp_path / "out/errors.csv")["file"].tolist() == ["bad.png"]


def test_a_folder_of_another_detector_is_not_continued(result, good_parts, tmp_path):
    from iadlib.commands.fit import FitSettings, fit

    [other] = fit(
        [good_parts], "padim", tmp_path / "other", FitSettings(image_size=32, hyperparameters={"channels": 5})
    )
    (tmp_path / "camera").mkdir()
    watch(result, tmp_path / "camera", tmp_path / "out", stop=lambda: True)
    with pytest.raises(ValueError, match="another fitted detector"):
        watch(other, tmp_path / "camera", tmp_path / "out", stop=lambda: True)


def test_a_folder_that_was_begun_with_another_threshold_is_not_continued(result, tmp_path):
    (tmp_path / "camera").mkdir()
    watch(result, tmp_path / "camera", tmp_path / "out", stop=lambda: True)
    shutil.copytree(result, tmp_path / "stricter")
    settings = results.read_settings(result)
    settings["thresholds"]["image"] /= 2
    (tmp_path / "stricter" / results.SETTINGS).write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="another fitted detector, threshold, known defects or bits"):
        watch(tmp_path / "stricter", tmp_path / "camera", tmp_path / "out", stop=lambda: True)


def test_a_folder_with_one_seed_is_watched_with_and_several_are_refused(result, tmp_path):
    (tmp_path / "camera").mkdir()
    shutil.copytree(result, tmp_path / "fitted/0")
    watch(tmp_path / "fitted", tmp_path / "camera", tmp_path / "out", stop=lambda: True)
    shutil.copytree(result, tmp_path / "fitted/1")
    with pytest.raises(ValueError, match=r"2 fitted detectors; name one of them, .*fitted/0"):
        watch(tmp_path / "fitted", tmp_path / "camera", tmp_path / "other", stop=lambda: True)
    assert not (tmp_path / "other").exists()


def test_files_of_somebody_else_are_not_continued(result, tmp_path):
    (tmp_path / "camera").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/watch.json").write_text("mine")
    with pytest.raises(ValueError, match=r"watch\.json: not written by --watch"):
        watch(result, tmp_path / "camera", tmp_path / "mine", stop=lambda: True)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="not the output of --watch"):
        watch(result, tmp_path / "camera", tmp_path / "file", stop=lambda: True)


def test_an_output_folder_is_written_by_one_process_at_a_time(result, tmp_path):
    (tmp_path / "camera").mkdir()
    plate(80).save(tmp_path / "camera/0.png")
    watching = Watching(result, tmp_path / "camera", tmp_path / "out")
    watching.wait_for(1)
    with pytest.raises(ValueError, match="another `score --watch` writes into this folder"):
        watch(result, tmp_path / "camera", tmp_path / "out", stop=lambda: True)
    assert len(watching.stop()) == 1
    watch(result, tmp_path / "camera", tmp_path / "out", stop=lambda: True)


def test_one_look_offers_all_photographs_that_are_complete(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.png").touch()
    arrivals = Arrivals(tmp_path, {"3.png"}, {"5.png"})
    assert list(arrivals.ready()) == []
    assert len(list(arrivals.ready())) == 38


def test_a_name_that_is_used_again_is_reported_once_and_not_scored(tmp_path, capsys):
    path = tmp_path / "part.png"
    path.write_bytes(b"first")
    arrivals = Arrivals(tmp_path, set(), set())
    list(arrivals.ready())
    [offered] = arrivals.ready()
    arrivals.done(offered)
    assert list(arrivals.ready()) == []
    assert capsys.readouterr().out == ""
    path.write_bytes(b"another one")
    looks = [list(arrivals.ready()) for _ in range(3)]
    assert looks == [[], [], []]
    assert capsys.readouterr().out.count("part.png has changed since it was scored") == 1


def test_an_unreadable_photograph_is_offered_again_when_it_changes(tmp_path):
    path = tmp_path / "part.png"
    path.write_bytes(b"half")
    arrivals = Arrivals(tmp_path, set(), {"part.png"})
    assert [list(arrivals.ready()) for _ in range(3)] == [[], [], []]
    path.write_bytes(b"complete")
    assert [list(arrivals.ready()) for _ in range(2)] == [[], [path]]
    assert not arrivals.is_changing(path)
    path.write_bytes(b"and more")
    path.write_bytes(b"and more than that")
    assert arrivals.is_changing(path)


def test_a_folder_that_disappears_is_reported_every_time(tmp_path, capsys):
    folder = tmp_path / "camera"
    arrivals = Arrivals(folder, set(), set())
    for _ in range(2):
        folder.mkdir()
        list(arrivals.ready())
        folder.rmdir()
        for _ in range(2):
            list(arrivals.ready())
    assert capsys.readouterr().out.count("not there at the moment") == 2


@pytest.mark.parametrize("content", ["", "fi"])
def test_a_table_whose_header_was_cut_by_an_interruption_gets_it_again(tmp_path, content):
    path = tmp_path / "scores.csv"
    path.write_text(content)
    Table(path, ("file", "score")).append("a.png", 1)
    assert path.read_text() == "file,score\na.png,1\n"


def test_a_row_that_was_cut_by_an_interruption_is_removed(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("file,score\na.png,1\nb.p")
    table = Table(path, ("file", "score"))
    assert table.keys == {"a.png"}
    table.append("c.png", 2)
    assert path.read_text() == "file,score\na.png,1\nc.png,2\n"


def test_a_name_with_a_newline_and_commas_is_one_row(tmp_path):
    table = Table(tmp_path / "scores.csv", ("file", "score"))
    table.append('a\n"b",c.png', 1)
    assert Table(tmp_path / "scores.csv", ("file", "score")).keys == {'a\n"b",c.png'}
