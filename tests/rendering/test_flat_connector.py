import numpy as np
import pytest

from iadlib.rendering import scene
from iadlib.rendering.flat_connector import (
    DEFAULT,
    DRAW,
    FIELD_WIDTH,
    HOLES,
    SIZE,
    STAMP,
    THICKNESS,
    Part,
    region_of,
    solid_of,
)

CAMERA = scene.Camera(288, 128, FIELD_WIDTH)
POSE = np.eye(4)


@pytest.fixture(scope="module")
def intact() -> np.ndarray:
    return scene.distance(CAMERA, solid_of(Part())[0])


def drawn(defect: str, count: int = 40) -> list[Part]:
    rng = np.random.default_rng(5)
    return [DRAW[defect](rng, DEFAULT) for _ in range(count)]


def test_the_camera_sees_a_point_in_the_pixel_whose_ray_meets_it():
    x, y = CAMERA.on_plane(THICKNESS, rays=1)
    points = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, THICKNESS)])
    columns, rows = np.meshgrid(np.arange(288) + 0.5, np.arange(128) + 0.5)
    assert CAMERA.to_pixels(points) == pytest.approx(np.column_stack([columns.ravel(), rows.ravel()]))


def test_the_intact_part_is_one_watertight_solid_with_fourteen_holes():
    solid, _ = solid_of(Part())
    assert solid.is_watertight
    assert solid.body_count == 1
    assert solid.euler_number == 2 - 2 * len(HOLES)


@pytest.mark.parametrize(("defect", "holes"), [("missing_hole", 13), ("additional_hole", 15), ("resized_hole", 14)])
def test_the_solid_of_a_logical_anomaly_has_the_holes_that_it_names(defect, holes):
    for part in drawn(defect, 3):
        assert solid_of(part)[0].euler_number == 2 - 2 * holes


def test_the_region_of_a_missing_hole_is_the_disc_where_it_should_be(intact):
    hole = HOLES[3]
    region = region_of(Part(holes=HOLES[:3] + HOLES[4:]), POSE, CAMERA, intact)
    x, y = CAMERA.on_plane(THICKNESS, rays=1)
    distance = np.hypot(x - hole.x, y - hole.y)
    assert region[distance < hole.diameter / 2 - 0.3].all()
    assert not region[distance > hole.diameter / 2 + 0.6].any()


def test_the_region_of_a_resized_hole_is_a_ring(intact):
    (part,) = drawn("resized_hole", 1)
    x, y = CAMERA.on_plane(THICKNESS, rays=1)
    region = region_of(part, POSE, CAMERA, intact)
    radii = sorted([part.drawn["diameter"] / 2, part.drawn["intact_diameter"] / 2])
    distance = np.hypot(x - part.at[0], y - part.at[1])
    assert not region[distance < radii[0] - 0.3].any()
    assert not region[distance > radii[1] + 0.8].any()
    assert region[(distance > radii[0] + 0.8) & (distance < radii[1] - 0.3)].all()


def test_the_region_of_a_scratch_lies_on_metal(intact):
    hole = HOLES[-1]
    path = np.array([[hole.x - 12.0, 0.0], [hole.x + 12.0, 0.0]])
    part = Part(scratch={"path": path, "width": 0.4, "strength": 1.0})
    region = region_of(part, POSE, CAMERA, intact)
    x, y = CAMERA.on_plane(THICKNESS, rays=1)
    assert not region[np.hypot(x - hole.x, y - hole.y) < hole.diameter / 2 - 0.3].any()
    assert np.abs(y[region]).max() < 0.5
    assert region.any(axis=0).sum() == pytest.approx((24 - hole.diameter) * CAMERA.pixels_per_mm, abs=4)


def test_an_undamaged_part_has_no_region(intact):
    assert not region_of(Part(), POSE, CAMERA, intact).any()


def test_an_additional_hole_keeps_clear_of_the_others_of_the_stamp_and_of_the_edge():
    for part in drawn("additional_hole"):
        *others, new = part.holes
        gaps = [np.hypot(new.x - o.x, new.y - o.y) - (new.diameter + o.diameter) / 2 for o in (*others, STAMP)]
        assert min(gaps) > 1.5
        assert (np.abs((new.x, new.y)) + new.diameter / 2 <= SIZE / 2 - 3).all()


def test_defects_are_drawn_within_the_stated_difficulty():
    for part in drawn("resized_hole"):
        change = abs(part.drawn["diameter"] - part.drawn["intact_diameter"])
        assert DEFAULT.resized_by[0] <= change <= DEFAULT.resized_by[1]
    for part in drawn("cut_corner"):
        assert DEFAULT.corner_legs[0] <= min(part.drawn["legs"]) <= max(part.drawn["legs"]) <= DEFAULT.corner_legs[1]
    for part in drawn("scratch"):
        assert DEFAULT.scratch_length[0] <= part.drawn["length"] <= DEFAULT.scratch_length[1]


def test_a_cut_corner_takes_the_triangle_of_its_legs_away():
    for part in drawn("cut_corner", 3):
        taken = solid_of(Part())[0].volume - solid_of(part)[0].volume
        first, second = part.drawn["legs"]
        rounding = 2.5**2 * (1 - np.pi / 4) * THICKNESS  # the corner that a round one lacks anyway
        assert taken == pytest.approx(first * second / 2 * THICKNESS - rounding, abs=4)


def test_a_blow_against_the_edge_takes_the_metal_inwards_and_down():
    for part in drawn("damaged_edge", 3):
        solid, before = solid_of(part)
        moved = (solid.vertices[:, :2] - before) @ part.dent["inward"]
        assert moved.min() >= -1e-6
        assert 0.5 * part.drawn["depth"] < moved.max() < 1.4 * part.drawn["depth"]
        assert solid.vertices[:, 2].max() <= THICKNESS + 1e-6
