import errno
import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors import SafetensorError

from iadlib.detectors import base, create
from iadlib.files import ABANDONED, whole_file, whole_folder

LONG_AGO = time.time() - 2 * ABANDONED


def partial_folders(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".partial"))


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_an_error_without_a_path_gets_the_path_that_was_to_be_written(tmp_path, whole):
    with pytest.raises(OSError, match=str(tmp_path / "result")) as raised, whole(tmp_path / "result"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_a_detector_that_cannot_be_written_names_its_file(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(base, "save_file", full)
    detector = create("padim", layers=(1,), channels=4, device="cpu").fit(torch.rand(4, 3, 32, 32))
    with pytest.raises(OSError, match=f"{tmp_path / 'detector.safetensors'}.*No space left"):
        detector.save(tmp_path / "detector.safetensors")


def test_what_a_killed_process_left_is_removed(tmp_path):
    killed = "from iadlib.files import whole_folder\nimport os\nwith whole_folder('out') as folder: os._exit(9)"
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, check=False)
    [left] = partial_folders(tmp_path)
    os.utime(tmp_path / left, (LONG_AGO, LONG_AGO))
    with whole_folder(tmp_path / "out"):
        assert left not in partial_folders(tmp_path)


def test_partial_folders_of_others_stay(tmp_path):
    with whole_folder(tmp_path / "at work"):
        [at_work] = partial_folders(tmp_path)
        os.utime(tmp_path / at_work, (LONG_AGO, LONG_AGO))
        (tmp_path / ".just made.partial").mkdir()
        with whole_folder(tmp_path / "out"):
            assert {at_work, ".just made.partial"} < set(partial_folders(tmp_path))


def test_a_new_file_may_be_read_by_those_whom_the_umask_allows(tmp_path):
    with whole_file(tmp_path / "new") as unfinished:
        unfinished.touch(mode=0o600)
    (tmp_path / "plain").touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path):
    with pytest.raises(OSError, match="too long") as raised, whole_folder(tmp_path / ("x" * 256)):
        pytest.fail("the work began")
    assert raised.value.errno == errno.ENAMETOOLONG


def test_an_error_names_the_path_and_not_a_partial_one(tmp_path):
    def refused(unfinished):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(unfinished))

    with (
        pytest.raises(PermissionError, match=str(tmp_path / "model.onnx")),
        whole_file(tmp_path / "model.onnx") as path,
    ):
        refused(path)
