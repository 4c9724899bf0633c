import threading
import time

import pandas as pd
import pytest

from iadlib.commands import watch as module
from iadlib.commands.score import score
from iadlib.commands.watch import Table, watch
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
    assert list(table["anomalous"]) == [False, True, False] or table["anomalous"][1]
    expected, _ = score(result, [folder], tmp_path / "expected", pictures=False)
    merged = table.merge(expected, on="file")
    assert merged["score_x"].tolist() == pytest.approx(merged["score_y"].tolist(), rel=1e-5)


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
    again = Watching(result, folder, tmp_path / "out")
    time.sleep(0.5)
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
