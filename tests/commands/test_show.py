import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from iadlib.__main__ import main
from iadlib.commands.detect import detect
from iadlib.commands.fit import FitSettings
from iadlib.commands.score import score
from iadlib.commands.show import show
from iadlib.data import DataError
from iadlib.results import read_settings
from tests.commands.conftest import plate

ODD_NAME = "<b>&'$x<!--.png"


@pytest.fixture(scope="module")
def scored(result, tmp_path_factory):
    """Three good photographs and a defective one, scored: the photographs, the scores, and the table."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "new").mkdir()
    for number in range(3):
        plate(40 + number).save(folder / f"new/{number}.png")
    plate(50, defective=True).save(folder / "new" / ODD_NAME)
    table, _ = score(result, [folder / "new"], folder / "scores")
    return folder / "new", folder / "scores", table


def data_of(page):
    """The collections that a page shows."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_a_page_shows_every_photograph_with_its_score_and_the_threshold_of_the_fit(result, scored, tmp_path):
    _, scores, table = scored
    show(scores, tmp_path / "page.html")
    [collection] = data_of((tmp_path / "page.html").read_text())
    [method] = collection["methods"]
    shown = {image["name"]: image for image in collection["images"]}
    assert set(shown) == set(table["file"]) == {"0.png", "1.png", "2.png", ODD_NAME}
    for row in table.itertuples():
        found = shown[row.file]["scores"][method]
        assert found == pytest.approx(row.score)
        assert (found > collection["thresholds"][method]) == row.anomalous
        assert shown[row.file]["label"] is None
    assert collection["thresholds"] == {method: read_settings(result)["thresholds"]["image"]}


def test_pictures_are_inside_the_page(scored, tmp_path):
    show(scored[1], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "http" not in page
    [collection] = data_of(page)
    content = collection["images"][0]["pictures"][collection["methods"][0]].removeprefix("data:image/webp;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(content))).size[0] > 100


def test_the_page_of_detect_tells_good_images_from_defects(tmp_path):
    for part, count, defective in (("train/good", 8, False), ("test/good", 2, False), ("test/scratch", 2, True)):
        (tmp_path / "plates" / part).mkdir(parents=True)
        for number in range(count):
            plate(number + 10 * defective, defective).save(tmp_path / "plates" / part / f"{number}.png")
    settings = FitSettings(image_size=64, hyperparameters={"channels": 20})
    detect(tmp_path / "plates", "padim", tmp_path / "out", settings)
    main(["show", str(tmp_path / "out"), "--out", str(tmp_path / "page.html")])
    [collection] = data_of((tmp_path / "page.html").read_text())
    assert collection["methods"] == ["PaDiM"]
    assert sorted(str(image["defect"]) for image in collection["images"]) == ["None", "None", "scratch", "scratch"]
    assert {image["label"] for image in collection["images"] if image["defect"] is None} == {"good"}


def test_without_heat_maps_the_photographs_are_shown(result, scored, tmp_path):
    photographs, _, _ = scored
    score(result, [photographs], tmp_path / "scores", pictures=False)
    with pytest.raises(DataError, match="name the folder of the photographs with --photographs"):
        show(tmp_path / "scores", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    show(tmp_path / "scores", tmp_path / "page.html", photographs)
    [collection] = data_of((tmp_path / "page.html").read_text())
    content = collection["images"][0]["pictures"][collection["methods"][0]].removeprefix("data:image/webp;base64,")
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).shape == (64, 96, 3)


def test_scores_without_their_threshold_are_refused(scored, tmp_path):
    shutil.copytree(scored[1], tmp_path / "scores")
    (tmp_path / "scores/threshold.json").unlink()
    with pytest.raises(DataError, match=r"threshold\.json.*score the photographs again"):
        show(tmp_path / "scores", tmp_path / "page.html")


def test_a_folder_without_scores_is_refused(result, tmp_path):
    with pytest.raises(DataError, match=r"no scores\.csv here"):
        show(tmp_path, tmp_path / "page.html")
    with pytest.raises(DataError, match="no test images"):
        show(result, tmp_path / "page.html")
