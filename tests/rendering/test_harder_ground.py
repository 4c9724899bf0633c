"""The flat connector on its three grounds: the same images but for what lies under the plate."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from iadlib.data import load_category
from iadlib.rendering import ON_HARDER_GROUND, flat_connector, render_category, scene
from iadlib.rendering.card import write_card

COUNTS = {"train": 1, "validation": 1, "good": 1, "logical": 1, "structural": 2}
CAMERA = flat_connector.CATEGORY.camera(144)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("grounds")
    for name in ("flat_connector", *ON_HARDER_GROUND):
        render_category(name, folder / name, seed=3, width=144, samples=4, counts=COUNTS, progress=False)
    return folder


def scenes(category: Path) -> dict[str, dict]:
    files = sorted(category.glob("scenes/*/*/*.json"))
    return {str(file.relative_to(category / "scenes").with_suffix("")): json.loads(file.read_text()) for file in files}


def grey(category: Path, stem: str) -> np.ndarray:
    return np.asarray(Image.open(category / f"{stem}.png")).mean(axis=2)


def metal(description: dict) -> np.ndarray:
    """The pixels (H, W) that show nothing but metal, away from every edge."""
    plate = flat_connector.solid_of(description)[0].apply_transform(flat_connector.pose_of(description))
    return ndimage.binary_erosion(scene.half_covered(scene.owners(CAMERA, plate) == 1), iterations=3)


def ground(description: dict) -> np.ndarray:
    return ~ndimage.binary_dilation(flat_connector.silhouette(description, CAMERA), iterations=3)


def without_ground(description: dict) -> dict:
    """What does not depend on the ground: not its own numbers, and not the grey levels that a defect differs by."""
    kept = description | {"surfaces": description["surfaces"]["metal"], "settings": dict(description["settings"])}
    del kept["settings"]["category"]
    if "defect" in kept:
        kept["defect"] = {name: value for name, value in kept["defect"].items() if name != "contrast_grey_levels"}
    return kept


@pytest.mark.parametrize("name", ON_HARDER_GROUND)
def test_a_scene_has_the_part_pose_defect_metal_light_and_sensor_of_its_pair(rendered, name):
    plain, harder = scenes(rendered / "flat_connector"), scenes(rendered / name)
    assert len(plain) == sum(COUNTS.values())
    assert {stem: without_ground(each) for stem, each in harder.items()} == {
        stem: without_ground(each) for stem, each in plain.items()
    }


@pytest.mark.parametrize("name", ON_HARDER_GROUND)
def test_ground_truth_has_the_bytes_of_its_pair(rendered, name):
    files = sorted((rendered / "flat_connector/ground_truth").rglob("*.png"))
    assert len(files) == COUNTS["logical"] + COUNTS["structural"]
    for file in files:
        assert (rendered / name / file.relative_to(rendered / "flat_connector")).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ON_HARDER_GROUND)
def test_the_metal_looks_the_same_and_the_ground_does_not(rendered, name):
    for stem, description in scenes(rendered / name).items():
        difference = np.abs(grey(rendered / name, stem) - grey(rendered / "flat_connector", stem))
        assert difference[metal(description)].mean() < 1
        assert difference[ground(description)].mean() > 5


def test_folds_have_light_and_dark_sides(rendered):
    spread = {}
    for name in ("flat_connector", "flat_connector_folds"):
        found = scenes(rendered / name).items()
        smooth = [ndimage.gaussian_filter(grey(rendered / name, stem), 1.5)[ground(each)] for stem, each in found]
        spread[name] = np.mean([values.std() for values in smooth])
    assert spread["flat_connector_folds"] > 1.5 * spread["flat_connector"]


def test_the_mat_is_nearly_as_bright_as_the_darker_metal(rendered):
    for stem, description in scenes(rendered / "flat_connector_mat").items():
        image = grey(rendered / "flat_connector_mat", stem)
        darker, mat = np.quantile(image[metal(description)], 0.1), image[ground(description)]
        assert 0.6 * darker < np.median(mat) < darker


@pytest.mark.parametrize("name", ON_HARDER_GROUND)
def test_a_category_on_harder_ground_opens_like_any_other(rendered, name):
    category = load_category(rendered / name)
    category.check()
    assert category.name == name
    assert len(category.samples) == sum(COUNTS.values())


def test_the_card_shows_harder_grounds_apart_from_the_categories(rendered, tmp_path):
    write_card(rendered, tmp_path)
    text = (tmp_path / "README.md").read_text()
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    assert sections == ["## flat_connector", "## The flat connector on harder ground", "## What it is not", "## Use"]
    assert all(f"- `{name}`: " in text for name in ON_HARDER_GROUND)
    assert (tmp_path / "harder_ground.png").stat().st_size > 10_000
