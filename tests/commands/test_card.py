from pathlib import Path

import pytest

from iadlib.commands.card import card

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"


def test_the_card_describes_the_rendered_folders(tmp_path):
    card(SAMPLE.parent, tmp_path / "card")
    text = (tmp_path / "card/README.md").read_text()
    assert "144 x 64 pixels" in text
    assert "8 training, 4 validation and 16 test images: 4 good, 6 with a logical and 6 with a structural" in text
    assert "| missing_hole | a hole is not there | all_holes | all of the region |" in text
    assert (tmp_path / "card/gallery.png").stat().st_size > 10_000


def test_a_folder_without_rendered_categories_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="no folder here has the name of a rendered category"):
        card(tmp_path, tmp_path / "card")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(tmp_path):
    with pytest.raises(FileExistsError, match="exists"):
        card(SAMPLE.parent, tmp_path)
