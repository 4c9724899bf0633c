"""References to photographs that are elsewhere, and the command that writes them."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iadlib.commands.refer import refer
from iadlib.data import DataError, load_category, write_reference
from iadlib.data.reference import checksums
from tests.data.conftest import write_image


def reference(path) -> dict:
    return json.loads((path / "source.json").read_text())


def test_a_reference_opens_the_category_it_names(mvtec_loco, tmp_path):
    refer(mvtec_loco, tmp_path / "a/one")
    category = load_category(tmp_path / "a/one")
    assert (category.name, category.root) == ("plug", mvtec_loco)
    assert category.samples.equals(load_category(mvtec_loco).samples)
    assert reference(tmp_path / "a/one")["layout"] == "mvtec_loco"


def test_a_relative_folder_is_found_from_any_working_directory(mvtec_ad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refer("bolt", "data/embedded/bolt")
    assert not os.path.isabs(reference(tmp_path / "data/embedded/bolt")["folder"])  # noqa: PTH117
    monkeypatch.chdir(mvtec_ad)
    assert len(load_category(tmp_path / "data/embedded/bolt").samples) == 16


def test_the_digest_follows_links_and_changes_with_a_photograph(mvtec_ad, tmp_path):
    (mvtec_ad / "train").rename(tmp_path / "store")
    (mvtec_ad / "train").symlink_to(tmp_path / "store")
    (tmp_path / "store/up").symlink_to(tmp_path)
    (tmp_path / "store/up").unlink()
    digests = []
    for value in (128, 129, 128):
        write_image(tmp_path / "store/good/3.png", value)
        write_reference(load_category(mvtec_ad), tmp_path / "out")
        digests.append(reference(tmp_path / "out")["sha256"])
    assert digests[0] == digests[2] != digests[1]


def test_a_link_to_a_parent_makes_no_endless_walk(mvtec_ad, tmp_path):
    (mvtec_ad / "more").mkdir()
    (mvtec_ad / "more/up").symlink_to(mvtec_ad)
    write_reference(load_category(mvtec_ad), tmp_path / "out")
    assert len(reference(tmp_path / "out")["sha256"]) == 64


def test_the_depth_is_kept_with_the_reference(tmp_path):
    for number in range(3):
        path = tmp_path / f"dark/{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((64, 48), 1300 + number, dtype=np.uint16)).save(path)
    refer(tmp_path / "dark", tmp_path / "out", bits=12)
    assert load_category(tmp_path / "out").bits == 12


def test_a_category_with_a_bad_file_is_not_referred_to(mvtec_ad, tmp_path):
    (mvtec_ad / "train/good/3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"good/3\.png: not readable as an image"):
        refer(mvtec_ad, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_broken_reference_is_named(tmp_path):
    (tmp_path / "source.json").write_text("{}")
    with pytest.raises(DataError, match=r"source\.json: not a reference to a folder of photographs"):
        load_category(tmp_path)


def test_the_command_prints_how_many_files_are_used(mvtec_ad, tmp_path, capsys):
    (mvtec_ad / "train/good/notes.txt").write_text("words")
    refer(mvtec_ad, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "train: 12 of 13 files used: 10 train, 2 validation" in printed
    assert "test: 4 of 4 files used" in printed


def test_checksums_follow_links_and_name_what_cannot_be_read(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/state").write_text("learned")
    (tmp_path / "fits").mkdir()
    (tmp_path / "fits/0").symlink_to(tmp_path / "cache")
    assert checksums(tmp_path / "fits") == {"0/state": hashlib.sha256(b"learned").hexdigest()}
    (tmp_path / "fits/1").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="fits/1: a broken link"):
        checksums(tmp_path / "fits")


@pytest.mark.parametrize("out", ["category", "category/test", "notes.txt", "results"])
def test_only_an_older_reference_is_replaced(mvtec_ad, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    mvtec_ad.rename("category")
    Path("notes.txt").write_text("a thesis")
    Path("results").mkdir()
    Path("results/thesis.txt").write_text("a thesis")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=f"{out} exists and is no reference"):
        refer("category", out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    refer("category", "reference")
    refer("category", "reference")
