"""The images in data/rendered belong to the code and to the settings of the repository."""

import json
from pathlib import Path

import pytest

from iadlib.data import load_category
from iadlib.params import read_blocks
from iadlib.rendering import CATEGORIES, ON_HARDER_GROUND, plan_of, rendered_category

ROOT = Path(__file__).parents[1]
RENDERED = ROOT / "data/rendered"
FOLDERS = {name: (name, "rendering") for name in (*CATEGORIES, *ON_HARDER_GROUND)}
FOLDERS["defect_sizes"] = ("flat_connector", "defect_sizes")

pytestmark = pytest.mark.skipif(not RENDERED.is_dir(), reason="data/rendered is not here; `make render` makes it")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_has_the_images_of_its_settings_and_of_the_revision_of_its_category(folder):
    name, file = FOLDERS[folder]
    category, settings = rendered_category(name), read_blocks(f"{ROOT}/params/{file}.yaml:common")
    scale = category.scales[settings["scale"]]
    planned = {image.stem for image in plan_of(category, scale.counts | settings.get("counts", {}))}
    scenes = RENDERED / folder / "scenes"
    assert {path.relative_to(scenes).with_suffix("").as_posix() for path in scenes.rglob("*.json")} == planned
    expected = {"category": name, "revision": category.revision, "seed": settings["seed"], "width": scale.width}
    for path in scenes.rglob("*.json"):
        found = json.loads(path.read_text())["settings"]
        assert found == expected | {"samples": category.samples, "difficulty": {}}
    images = {path.relative_to(RENDERED / folder).with_suffix("").as_posix() for path in load(folder)["image"]}
    assert images == planned


def load(folder: str):
    return load_category(RENDERED / folder).samples


def test_the_repository_stays_small():
    sizes = [path.stat().st_size for path in RENDERED.rglob("*") if path.is_file()]
    assert sum(sizes) < 60e6
    assert max(sizes) < 5e6
