"""The flat connector on its three grounds: the same images except for the ground."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from iadlib.data import load_category
from iadlib.rendering import ON_HARDER_GROUND, flat_connector, rendered_category, scene
from iadlib.rendering.card import write_card

CAMERA = flat_connector.CATEGORY.camera(144)


def scenes(category: Path) -> dict[str, dict]:
    files = sorted(category.glob("scenes/*/*/*.json"))
    return {str(file.relative_to(category / "scenes").with_suffix("")): json.loads(file.read_text()) for file in files}


def grey(category: Path, stem: str) -> np.ndarray:
    return np.asarray(Image.open(category / f"{stem}.jpg")).mean(axis=2)


def metal(description: dict) -> np.ndarray:
    """The pixels (H, W) that show nothing but metal, away from every edge."""
    plate = scene.owners(CAMERA, flat_connector.posed(description)) == 1
    return ndimage.binary_erosion(scene.half_covered(plate), iterations=3)


def ground(description: dict) -> np.ndarray:
    return ~ndimage.binary_dilation(flat_connector.silhouette(description, CAMERA), iterations=3)


def without_ground(description: dict) -> dict:
    """The scene without the numbers of the ground and without the contrast of a defect, which depends on the ground."""
    kept = description | {"surfaces": description["surfaces"]["metal"], "settings": dict(description["settings"])}
    del kept["settings"]["category"]
    if "defect" in kept:
        kept["defect"] = {name: value for name, value in kept["defect"].items() if name != "contrast_grey_levels"}
    return kept


@pytest.mark.parametrize("name", ON_HARDER_GROUND)
def test_a_scene_has_the_part_pose_defect_metal_light_and_sensor_of_its_pair(grounds, name):
    plain, harder = scenes(grounds / "flat_connector"), scenes(grounds / name)
    assert len(harder) == 4
    for stem, description in harder.items():
        assert without_ground(description) == without_ground(plain[stem])


@pytest.mark.parametrize("name", ON_HARDER_GROUND)
def test_ground_truth_has_the_bytes_of_its_pair(grounds, name):
    files = sorted((grounds / name / "ground_truth").rglob("*.png"))
    assert len(files) == 2
    for file in files:
        assert (grounds / "flat_connector" / file.relative_to(grounds / name)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ON_HARDER_GROUND)
def test_the_metal_looks_the_same_and_the_ground_does_not(name):
    """Before compression, which spreads differences within blocks of 8 x 8 pixels."""
    images = []
    for category in (flat_connector.CATEGORY, rendered_category(name)):
        rng = np.random.default_rng(3)
        image, _, description = category.render_image(None, rng, CAMERA.width, 2, category.difficulty)
        images.append(image.mean(axis=2))
    difference = np.abs(images[1] - images[0])
    assert difference[metal(description)].mean() < 1
    assert difference[ground(description)].mean() > 5


def test_folds_have_light_and_dark_sides(grounds):
    spread = {}
    for name in ("flat_connector", "flat_connector_folds"):
        found = scenes(grounds / name).items()
        smooth = [ndimage.gaussian_filter(grey(grounds / name, stem), 1.5)[ground(each)] for stem, each in found]
        spread[name] = np.mean([values.std() for values in smooth])
    assert spread["flat_connector_folds"] > 1.5 * spread["flat_connector"]


def test_the_mat_is_nearly_as_bright_as_the_darker_metal(grounds):
    for stem, description in scenes(grounds / "flat_connector_mat").items():
        image = grey(grounds / "flat_connector_mat", stem)
        darker, mat = np.quantile(image[metal(description)], 0.1), image[ground(description)]
        assert 0.6 * darker < np.median(mat) < darker


@pytest.mark.parametrize("name", ON_HARDER_GROUND)
def test_a_category_on_harder_ground_opens_like_any_other(grounds, name):
    category = load_category(grounds / name)
    category.check()
    assert category.name == name
    assert len(category.samples) == 4


def test_the_card_shows_harder_grounds_apart_from_the_categories(grounds, tmp_path):
    write_card(grounds, tmp_path)
    text = (tmp_path / "README.md").read_text()
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    ground = "## The flat connector on harder ground"
    assert sections == ["## flat_connector", ground, "## Limitations", "## Difficulty", "## Use"]
    assert all(f"- `{name}`: " in text for name in ON_HARDER_GROUND)
    assert (tmp_path / "harder_ground.png").stat().st_size > 10_000
