import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from iadlib.data import load_category
from iadlib.rendering import CATEGORIES, render_category, rendered_category, solids
from iadlib.rendering.flat_connector import CATEGORY, HOLES, THICKNESS
from iadlib.rendering.pushpins import LYING_AREA
from iadlib.rendering.scene import RESOLVED_WIDTH, photograph

NONE = {"train": 0, "validation": 0, "good": 0, "logical": 0, "structural": 0}
DEFECTS = {"missing_hole", "additional_hole", "resized_hole", "damaged_edge", "cut_corner", "scratch"}


@pytest.fixture(scope="module")
def scenes(flat_connector) -> list[dict]:
    return [json.loads(file.read_text()) for file in sorted(flat_connector.glob("scenes/*/*/*.json"))]


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def mask_of(category: Path, scene: dict) -> np.ndarray:
    (file,) = (category / "ground_truth" / scene["kind"] / f"{scene['index']:03d}").iterdir()
    return pixels(file)


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def holes_of(scene: dict) -> list[tuple]:
    return [(hole["x"], hole["y"], hole["diameter"]) for hole in scene["holes"]]


def test_an_interrupted_category_is_finished_with_the_bytes_of_an_uninterrupted_one(
    flat_connector, tmp_path, settings, counts
):
    resumed = tmp_path / "resumed"
    shutil.copytree(flat_connector, resumed)
    (resumed / "scenes/train/good/000.json").unlink()
    (resumed / "train/good/000.jpg").write_bytes(b"half an image")
    (resumed / "train/good/.abc.partial.jpg").write_bytes(b"half an image")
    (resumed / "ground_truth/logical_anomalies/001/000.png").unlink()
    render_category("flat_connector", resumed, counts=counts, **settings)
    assert content(resumed) == content(flat_connector)


def test_an_image_does_not_depend_on_the_images_before_it(flat_connector, tmp_path, settings):
    render_category("flat_connector", tmp_path, counts=NONE | {"structural": 1}, **settings)
    render_category("flat_connector", tmp_path, counts=NONE | {"structural": 1, "validation": 1}, **settings)
    assert content(tmp_path).items() <= content(flat_connector).items()


def test_another_seed_gives_another_image(flat_connector, tmp_path, settings):
    render_category("flat_connector", tmp_path, counts=NONE | {"train": 1}, **settings | {"seed": 4})
    assert (pixels(tmp_path / "train/good/000.jpg") != pixels(flat_connector / "train/good/000.jpg")).mean() > 0.5


def test_all_images_and_masks_have_one_size(flat_connector):
    images = {pixels(file).shape for file in flat_connector.glob("t*/*/*.jpg")}
    masks = {pixels(file).shape for file in flat_connector.glob("ground_truth/*/*/*.png")}
    assert (images, masks) == ({(64, 144, 3)}, {(64, 144)})


def test_the_metal_is_bright_and_the_cloth_is_black(flat_connector):
    image = pixels(flat_connector / "train/good/000.jpg").mean(axis=2)
    assert 120 < np.quantile(image, 0.75) < 200
    assert 15 < np.median(image[:4]) < 70


def test_each_defect_has_a_pixel_value_of_its_own_and_saturates_at_its_whole_region(flat_connector):
    entries = json.loads((flat_connector / "defects_config.json").read_text())
    assert {entry["defect_name"] for entry in entries} == DEFECTS
    assert [entry["pixel_value"] for entry in entries] == [255, 254, 253, 252, 251, 250]
    assert {(entry["saturation_threshold"], entry["relative_saturation"]) for entry in entries} == {(1.0, True)}


def test_an_anomalous_image_has_one_region_with_the_pixel_value_of_its_defect(flat_connector, scenes):
    entries = json.loads((flat_connector / "defects_config.json").read_text())
    values = {entry["defect_name"]: entry["pixel_value"] for entry in entries}
    anomalous = [scene for scene in scenes if scene["kind"] != "good"]
    assert {scene["defect_name"] for scene in anomalous} == DEFECTS
    for scene in anomalous:
        mask = mask_of(flat_connector, scene)
        assert set(np.unique(mask)) == {0, values[scene["defect_name"]]}
        assert (mask > 0).sum() == scene["defect"]["region_pixels"] >= 6


def test_a_region_lies_where_the_scene_file_says(flat_connector, scenes):
    camera = CATEGORY.camera(144)
    for scene in scenes:
        if scene["kind"] != "good":
            rows, columns = np.nonzero(mask_of(flat_connector, scene))
            pose = solids.pose_of(scene["pose"]["x"], scene["pose"]["y"], turn=scene["pose"]["turn"])
            at = trimesh.transform_points([[*scene["defect"]["at"], THICKNESS]], pose)
            column, row = camera.to_pixels(at)[0]
            assert np.hypot(rows + 0.5 - row, columns + 0.5 - column).min() < 8, scene["defect_name"]
            if scene["defect_name"] in ("missing_hole", "additional_hole", "resized_hole"):
                assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((column, row), abs=0.5)


def test_the_contrast_of_a_defect_is_its_difference_to_the_same_scene_without_it():
    def rendered(defect):
        return CATEGORY.render_image(defect, np.random.default_rng(7), 144, 2, CATEGORY.difficulty)

    (image, region, record), (intact, _, _) = rendered("missing_hole"), rendered(None)
    difference = np.abs(image.astype(float) - intact).mean(axis=2)
    assert record["defect"]["contrast_grey_levels"] == pytest.approx(difference[region].mean(), abs=0.006)
    assert difference[region].mean() > 20
    assert np.median(difference[~region]) == 0  # light, surfaces and noise are the same


def test_a_hole_is_where_its_ground_truth_is(flat_connector, scenes):
    (scene,) = (scene for scene in scenes if scene["defect_name"] == "additional_hole")
    image = pixels(flat_connector / "test/logical_anomalies" / f"{scene['index']:03d}.jpg").mean(axis=2)
    mask = mask_of(flat_connector, scene) > 0
    assert image[mask].mean() < 0.6 * np.median(image)


def test_a_scene_file_counts_the_holes_by_the_rule_it_obeys_or_breaks(scenes):
    intact = [(hole.x, hole.y, hole.diameter) for hole in HOLES]
    for scene in scenes:
        holes = holes_of(scene)
        kept = [hole for hole in intact if hole in holes]
        expected = {"missing_hole": (13, 13), "additional_hole": (15, 14), "resized_hole": (14, 13)}
        assert (len(holes), len(kept)) == expected.get(scene["defect_name"], (14, 14)), scene["defect_name"]


@pytest.mark.parametrize("name", CATEGORIES)
def test_a_scene_file_is_enough_to_check_the_rules(name, tmp_path):
    category = rendered_category(name)
    kind = "logical" if category.defects_of("logical_anomalies") else "structural"
    counts = dict.fromkeys(category.scales["quick"].counts, 0) | {kind: 1}
    folder = render_category(name, tmp_path, width=96, samples=1, counts=counts)
    (file,) = folder.glob("scenes/*/*/*.json")
    scene = json.loads(file.read_text())
    assert scene["defect_name"] == category.defects_of(f"{kind}_anomalies")[0]
    assert category.broken_rules(scene) == ([scene["breaks"]] if kind == "logical" else [])


@pytest.mark.parametrize(("width", "pixels_of_blur"), [(200, 0.25), (400, 0.5), (1700, 0.5)])
def test_a_wide_image_is_no_more_out_of_focus_than_the_widest_at_default_size(width, pixels_of_blur):
    drawn = [
        photograph(np.full((4, width, 3), 0.2), np.random.default_rng(seed))[1]["defocus_pixels"] for seed in range(40)
    ]
    assert np.mean(drawn) == pytest.approx(pixels_of_blur, rel=0.05)


@pytest.mark.parametrize("name", CATEGORIES)
def test_images_of_the_default_size_are_not_wider_than_what_the_lens_is_made_for(name):
    assert rendered_category(name).scales["default"].width <= RESOLVED_WIDTH


def test_only_anomalous_images_have_a_defect(scenes, counts):
    assert len(scenes) == sum(counts.values())
    for scene in scenes:
        assert ("defect" in scene) == (scene["kind"] != "good") == (scene["defect_name"] is not None)


def test_a_folder_rendered_with_other_settings_is_refused_and_left_alone(flat_connector, settings, counts):
    before = content(flat_connector)
    with pytest.raises(ValueError, match="remove the folder"):
        render_category("flat_connector", flat_connector, counts=counts, **settings | {"seed": 4})
    with pytest.raises(ValueError, match="more images than asked for"):
        render_category("flat_connector", flat_connector, counts=counts | {"train": 0}, **settings)
    assert content(flat_connector) == before


def test_processes_that_share_the_work_make_the_same_bytes(flat_connector, tmp_path, settings, monkeypatch):
    monkeypatch.setattr("iadlib.rendering.writing.ENOUGH_FOR_TWO", 1)
    render_category("flat_connector", tmp_path, counts=NONE | {"validation": 1, "logical": 1}, **settings)
    assert content(tmp_path).items() <= content(flat_connector).items()


def test_a_category_without_logical_anomalies_is_written_in_mvtec_ad_layout(tmp_path):
    counts = {"train": 1, "good": 1, "structural": 2}
    render_category("metal_nut", tmp_path, width=96, samples=1, counts=counts)
    category = load_category(tmp_path)
    category.check()
    assert category.layout == "mvtec_ad"
    assert not (tmp_path / "defects_config.json").exists()
    assert sorted(category.of("test")["defect"]) == ["bent_arm", "good", "scratch"]


def test_an_area_in_millimetres_becomes_a_saturation_threshold_in_pixels(tmp_path):
    thresholds = {}
    for width in (136, 272):
        folder = render_category("pushpins", tmp_path / str(width), width=width, counts=NONE)
        entries = json.loads((folder / "defects_config.json").read_text())
        (entry,) = (entry for entry in entries if entry["defect_name"] == "missing_pushpin")
        assert entry["relative_saturation"] is False
        thresholds[width] = entry["saturation_threshold"]
    assert thresholds == {136: round(LYING_AREA * 0.8**2), 272: round(LYING_AREA * 1.6**2)}


def test_an_easier_defect_is_drawn_when_asked_for_and_settings_are_kept_apart(tmp_path, settings):
    counts, easy = NONE | {"structural": 1}, {"damage_width": [9.5, 10], "damage_depth": [3, 3]}
    render_category("flat_connector", tmp_path, counts=counts, difficulty=easy, **settings)
    scene = json.loads((tmp_path / "scenes/test/structural_anomalies/000.json").read_text())
    assert scene["defect_name"] == "damaged_edge"
    assert 9.5 <= scene["defect"]["width"] <= 10
    assert scene["defect"]["depth"] == 3
    with pytest.raises(ValueError, match="remove the folder"):
        render_category("flat_connector", tmp_path, counts=counts, **settings)


def test_an_unknown_scale_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown scale 'huge'; there are: quick, default, full"):
        render_category("flat_connector", tmp_path, scale="huge")


def test_an_unknown_category_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown category 'flat_conector'; there are: flat_connector"):
        render_category("flat_conector", tmp_path)


def test_unknown_counts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown counts"):
        render_category("flat_connector", tmp_path, counts={"trian": 1})


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        render_category("flat_connector", tmp_path / "taken", counts=NONE)


def test_a_width_that_can_show_no_defect_is_refused(tmp_path):
    with pytest.raises(ValueError, match="too small"):
        render_category("flat_connector", tmp_path, width=20)
