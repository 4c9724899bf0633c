"""Which files are photographs, and where they are found."""

import os
import unicodedata
from pathlib import Path

import pytest

from iadlib.data import DataError, find_photographs
from iadlib.data.photographs import ENDINGS, photographs_below
from tests.data.conftest import write_image


@pytest.fixture
def folder(tmp_path) -> Path:
    """Photographs 2, 10 and day2/1, and files that are none."""
    root = tmp_path / "photographs"
    for name in ("10.png", "2.png", "day2/1.png"):
        write_image(root / name)
    for name in ("notes.txt", ".hidden.png", "Thumbs.db", "upload.png.partial", ".git/1.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names(found: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found]


def test_a_folder_is_searched_at_any_depth_in_natural_order(folder):
    assert names(find_photographs([folder]), folder) == ["2.png", "10.png", "day2/1.png"]


def test_files_folders_and_patterns_may_be_mixed(folder):
    found = find_photographs([folder / "day2", f"{folder}/1*.png", str(folder / "2.png")])
    assert names(found, folder) == ["day2/1.png", "10.png", "2.png"]


def test_a_single_path_need_not_be_in_a_list(folder):
    assert find_photographs(str(folder)) == find_photographs([folder])


def test_a_pattern_may_search_at_any_depth(folder):
    assert names(find_photographs(f"{folder}/**/*.png"), folder) == ["2.png", "10.png", "day2/1.png"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(folder):
    path = write_image(folder / "lot[7].png")
    assert find_photographs(path) == [path]


@pytest.mark.parametrize("ending", [*ENDINGS, ".PNG", ".JPG", ".Tiff", ".WEBP"])
def test_every_ending_of_a_photograph_is_seen_in_any_case(tmp_path, ending):
    path = tmp_path / f"image{ending}"
    path.write_bytes(b"x")
    assert find_photographs(tmp_path) == [path]


def test_files_that_are_no_photographs_are_reported_beside_them(folder):
    photographs, other = photographs_below(folder, [])
    assert names(photographs, folder) == ["2.png", "10.png", "day2/1.png"]
    assert names(other, folder) == ["notes.txt"]


def test_links_to_folders_and_files_are_followed(folder, tmp_path):
    write_image(tmp_path / "elsewhere/store/1.png")
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    (folder / "b.png").symlink_to(write_image(tmp_path / "more/1.png"))
    assert names(find_photographs(folder), folder)[-3:] == ["a/store/1.png", "b.png", "day2/1.png"]


def test_a_link_to_a_parent_is_not_followed(folder, tmp_path):
    before = find_photographs(folder)
    (folder / "day2/up").symlink_to(folder)
    (folder / "top").symlink_to(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "back").symlink_to(folder / "day2")
    (folder / "day2/round").symlink_to(other)
    assert find_photographs(folder) == before


def test_a_photograph_with_two_names_is_found_once_under_its_own(folder):
    (folder / "a").symlink_to(folder / "day2")
    (folder / "copy.png").symlink_to(folder / "2.png")
    assert names(find_photographs([folder, folder / "2.png"]), folder) == ["2.png", "10.png", "day2/1.png"]


def test_broken_links_are_an_error_that_names_all_of_them(folder):
    for name in ("3.png", "day2/4.png"):
        (folder / name).symlink_to(folder / "gone.png")
    with pytest.raises(DataError) as caught:
        find_photographs(folder)
    assert f"{folder / '3.png'}: a broken link" in str(caught.value)
    assert f"{folder / 'day2/4.png'}: a broken link" in str(caught.value)


@pytest.mark.parametrize("name", ["lot\r1.png", "lot\r1/0.png"])
def test_a_name_with_a_carriage_return_is_an_error(folder, name):
    write_image(folder / name)
    with pytest.raises(DataError, match="a carriage return in the name; rename it"):
        find_photographs(folder)


def test_a_folder_that_cannot_be_entered_is_a_problem_and_the_rest_is_found(folder, monkeypatch):
    closed, access = folder / "day2", os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and access(path, mode))
    problems = []
    found, _ = photographs_below(folder, problems)
    assert names(found, folder) == ["2.png", "10.png"]
    assert problems == [f"{closed}: no permission to enter this folder"]


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "raw.dng", "layers.xcf"])
def test_an_image_format_that_is_not_read_is_an_error(folder, name):
    (folder / name).write_bytes(b"x")
    with pytest.raises(DataError, match=rf"{name}: images of the format \.\w+ are not read; convert it to PNG"):
        find_photographs(folder)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone", "gone: no such file or folder"),
        ("*.jpg", r"\*\.jpg: no file matches this pattern"),
        ("notes.txt", r"notes\.txt: not a photograph by its ending; photographs end in \.png, \.jpg"),
    ],
)
def test_a_path_without_photographs_is_named(folder, path, message):
    with pytest.raises(DataError, match=message):
        find_photographs([folder, folder / path])


def test_an_empty_folder_is_an_error_that_lists_the_endings(tmp_path):
    with pytest.raises(DataError, match=rf"no photographs in {tmp_path}; they end in \.png"):
        find_photographs(tmp_path)


def test_the_unicode_form_of_a_name_does_not_change_the_order(tmp_path):
    for form, folder in (("NFC", "a"), ("NFD", "b")):
        for name in ("ö1.png", "oz.png", "p.png"):
            write_image(tmp_path / folder / unicodedata.normalize(form, name))
    found = [[unicodedata.normalize("NFC", path.name) for path in find_photographs(tmp_path / name)] for name in "ab"]
    assert found[0] == found[1]
