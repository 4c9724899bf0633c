import json

import numpy as np
import pytest

from iadlib.rendering.flat_connector import CATEGORY, DRAW, HOLES, SIZE, STAMP, THICKNESS, region, silhouette, solid_of

CAMERA = CATEGORY.camera(288)
INTACT = CATEGORY.normal(np.random.default_rng(0)) | {"pose": {"turn": 0.0, "x": 0.0, "y": 0.0}}


def drawn(defect: str, count: int = 40) -> list[dict]:
    rng = np.random.default_rng(5)
    return [INTACT | DRAW[defect](rng, CATEGORY.difficulty) for _ in range(count)]


def test_the_camera_sees_a_point_in_the_pixel_whose_ray_meets_it():
    x, y = CAMERA.on_plane(THICKNESS, rays=1)
    points = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, THICKNESS)])
    columns, rows = np.meshgrid(np.arange(288) + 0.5, np.arange(128) + 0.5)
    assert CAMERA.to_pixels(points) == pytest.approx(np.column_stack([columns.ravel(), rows.ravel()]))


def test_the_intact_part_is_one_watertight_solid_with_fourteen_holes():
    solid, _ = solid_of(INTACT)
    assert solid.is_watertight
    assert solid.body_count == 1
    assert solid.euler_number == 2 - 2 * len(HOLES)


@pytest.mark.parametrize(("defect", "holes"), [("missing_hole", 13), ("additional_hole", 15), ("resized_hole", 14)])
def test_the_solid_of_a_logical_anomaly_has_the_holes_that_it_names(defect, holes):
    for description in drawn(defect, 3):
        assert solid_of(description)[0].euler_number == 2 - 2 * holes


def test_the_region_of_a_missing_hole_is_the_disc_where_it_should_be():
    description = drawn("missing_hole", 1)[0]
    hole = HOLES[description["defect"]["hole"]]
    marked = region(description, INTACT, CAMERA)
    x, y = CAMERA.on_plane(THICKNESS, rays=1)
    distance = np.hypot(x - hole.x, y - hole.y)
    assert marked[distance < hole.diameter / 2 - 0.3].all()
    assert not marked[distance > hole.diameter / 2 + 0.6].any()


def test_the_region_of_a_resized_hole_is_a_ring():
    description = drawn("resized_hole", 1)[0]
    defect = description["defect"]
    x, y = CAMERA.on_plane(THICKNESS, rays=1)
    marked = region(description, INTACT, CAMERA)
    radii = sorted([defect["diameter"] / 2, defect["intact_diameter"] / 2])
    distance = np.hypot(x - defect["at"][0], y - defect["at"][1])
    assert not marked[distance < radii[0] - 0.3].any()
    assert not marked[distance > radii[1] + 0.8].any()
    assert marked[(distance > radii[0] + 0.8) & (distance < radii[1] - 0.3)].all()


def test_the_region_of_a_scratch_lies_on_metal():
    hole = HOLES[-1]
    path = [[hole.x - 12.0, 0.0], [hole.x + 12.0, 0.0]]
    marked = region(INTACT | {"scratch": {"path": path, "width": 0.4, "strength": 1.0}}, INTACT, CAMERA)
    x, y = CAMERA.on_plane(THICKNESS, rays=1)
    assert not marked[np.hypot(x - hole.x, y - hole.y) < hole.diameter / 2 - 0.3].any()
    assert np.abs(y[marked]).max() < 0.5
    assert marked.any(axis=0).sum() == pytest.approx((24 - hole.diameter) * CAMERA.pixels_per_mm, abs=4)


def test_an_undamaged_part_has_no_region():
    assert not region(INTACT, INTACT, CAMERA).any()


def test_the_silhouette_is_the_whole_plate_with_or_without_its_holes():
    seen = silhouette(INTACT, CAMERA)
    x, y = CAMERA.on_plane(THICKNESS, rays=1)
    assert (seen.shape, seen.dtype) == ((128, 288), bool)
    assert seen[(np.abs(x) < SIZE[0] / 2 - 2) & (np.abs(y) < SIZE[1] / 2 - 2)].all()
    assert not seen[(np.abs(x) > SIZE[0] / 2 + 0.5) | (np.abs(y) > SIZE[1] / 2 + 0.5)].any()
    for defect in ("missing_hole", "additional_hole", "resized_hole", "scratch"):
        assert (silhouette(drawn(defect, 1)[0], CAMERA) == seen).all()


@pytest.mark.parametrize("defect", ["cut_corner", "damaged_edge"])
def test_the_silhouette_lacks_what_was_cut_off_or_driven_in(defect):
    seen = silhouette(INTACT, CAMERA)
    for description in drawn(defect, 3):
        damaged, marked = silhouette(description, CAMERA), region(description, INTACT, CAMERA)
        assert (seen & ~damaged).sum() > 0
        assert (damaged & ~seen).sum() == 0
        assert not (seen & ~damaged & ~marked).any()


def test_the_silhouette_of_a_scene_read_from_json_moves_with_its_pose():
    description = json.loads(json.dumps(INTACT | {"pose": {"turn": 0.0, "x": 3.0, "y": -1.0}}))
    rows, columns = np.nonzero(silhouette(description, CAMERA))
    middle = CAMERA.to_pixels(np.array([[3.0, -1.0, THICKNESS]]))[0]
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(middle, abs=0.3)


def test_an_additional_hole_keeps_clear_of_the_others_of_the_stamp_and_of_the_edge():
    for description in drawn("additional_hole"):
        new = description["defect"]
        gaps = [np.hypot(new["x"] - o.x, new["y"] - o.y) - (new["diameter"] + o.diameter) / 2 for o in (*HOLES, STAMP)]
        assert min(gaps) > 1.5
        assert (np.abs((new["x"], new["y"])) + new["diameter"] / 2 <= SIZE / 2 - 3).all()


def test_defects_are_drawn_within_the_stated_difficulty():
    difficulty = CATEGORY.difficulty
    for defect in (description["defect"] for description in drawn("resized_hole")):
        change = abs(defect["diameter"] - defect["intact_diameter"])
        assert difficulty.resized_by[0] <= change <= difficulty.resized_by[1]
    for defect in (description["defect"] for description in drawn("cut_corner")):
        assert difficulty.corner_legs[0] <= min(defect["legs"]) <= max(defect["legs"]) <= difficulty.corner_legs[1]
    for defect in (description["defect"] for description in drawn("scratch")):
        assert difficulty.scratch_length[0] <= defect["length"] <= difficulty.scratch_length[1]


def test_a_cut_corner_takes_the_triangle_of_its_legs_away():
    for description in drawn("cut_corner", 3):
        taken = solid_of(INTACT)[0].volume - solid_of(description)[0].volume
        first, second = description["defect"]["legs"]
        rounding = 2.5**2 * (1 - np.pi / 4) * THICKNESS  # the corner that a round one lacks anyway
        assert taken == pytest.approx(first * second / 2 * THICKNESS - rounding, abs=4)


def test_a_blow_against_the_edge_takes_the_metal_inwards_and_down():
    for description in drawn("damaged_edge", 3):
        solid, before = solid_of(description)
        moved = (solid.vertices[:, :2] - before) @ description["dent"]["inward"]
        assert moved.min() >= -1e-6
        assert 0.5 * description["defect"]["depth"] < moved.max() < 1.4 * description["defect"]["depth"]
        assert solid.vertices[:, 2].max() <= THICKNESS + 1e-6
