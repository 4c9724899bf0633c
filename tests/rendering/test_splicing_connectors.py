import copy

import numpy as np
import pytest

from iadlib.rendering import scene
from iadlib.rendering.splicing_connectors import (
    CABLE,
    CABLE_AREA,
    CATEGORY,
    COLOURS,
    CONNECTOR_AREA,
    FREE_AREA,
    FRONT,
    HEIGHT,
    PITCH,
    between,
    curve_of,
    gap_between,
    in_frame,
    posed,
    seen,
    slot_of,
    solids_of,
)

CAMERA = CATEGORY.camera(CATEGORY.scales["default"].width)
SQUARE_MM = CAMERA.pixels_per_mm**2


def normals(count: int, seed: int = 0) -> list[dict]:
    return [CATEGORY.normal(np.random.default_rng([seed, index])) for index in range(count)]


def with_defect(defect: str, count: int, seed: int = 0) -> list[tuple[dict, dict]]:
    """Scenes with the defect, each with the intact one that it comes from."""
    rng = np.random.default_rng(seed)
    return [(CATEGORY.add_defect(intact, defect, rng, CATEGORY.difficulty), intact) for intact in normals(count, seed)]


def area_of(description: dict, *names: str) -> float:
    """mm² of the plane z = 0 behind what is seen of these solids."""
    return float(scene.half_covered(seen(description, CAMERA, *names)).sum() / SQUARE_MM)


@pytest.mark.parametrize("defect", [None, "different_sizes", "second_cable", "cut_cable", "damaged_housing"])
def test_every_solid_is_watertight(defect):
    scenes = normals(2) if defect is None else [description for description, _ in with_defect(defect, 2)]
    for description in scenes:
        assert all(part.is_watertight and part.volume > 0 for part in posed(description)[0])


@pytest.mark.parametrize("slots", COLOURS)
def test_a_connector_has_a_lever_and_an_open_hole_for_every_slot(slots):
    housing, levers = solids_of({"slots": slots})
    assert levers.body_count == slots
    assert housing.bounds[:, 0] == pytest.approx([-FRONT, FRONT])
    assert housing.extents[1] == pytest.approx(slots * PITCH + 1.6)
    assert housing.bounds[:, 2] == pytest.approx([0, HEIGHT])
    assert levers.bounds[1, 2] < HEIGHT + 1


def areas_of_each(description: dict, name: str) -> list[float]:
    """mm² of the plane z = 0 behind every "cable" or every "connector"."""
    parts, names = posed(description)
    owners = scene.owners(CAMERA, *parts)
    names = [f"cable {index}" if each == "cable" else each for index, each in enumerate(names)]
    numbers = {each: [i + 1 for i, other in enumerate(names) if other == each] for each in names}
    shown = {each: scene.half_covered(np.isin(owners, those)).sum() / SQUARE_MM for each, those in numbers.items()}
    return [float(area) for each, area in shown.items() if each.startswith(name)]


def test_the_area_that_suffices_is_reached_by_either_of_two_cables():
    areas = [area for description, _ in with_defect("second_cable", 8) for area in areas_of_each(description, "cable")]
    assert len(areas) == 16
    assert CABLE_AREA <= min(areas) < 1.1 * CABLE_AREA


@pytest.mark.parametrize("defect", ["different_sizes", "different_families"])
def test_the_area_that_suffices_is_reached_by_either_of_two_connectors(defect):
    scenes = with_defect(defect, 8, seed=3)  # with connectors of two slots, the smallest
    areas = [area for description, _ in scenes for area in areas_of_each(description, "connector")]
    assert len(areas) == 16
    assert CONNECTOR_AREA <= min(areas) < 1.05 * CONNECTOR_AREA


def test_the_area_that_suffices_is_reached_where_the_missing_cable_was():
    for description, intact in with_defect("missing_cable", 6):
        region = CATEGORY.region(description, intact, CAMERA)
        cable = scene.half_covered(seen(intact, CAMERA, "cable"))
        assert (region & cable).sum() / SQUARE_MM >= FREE_AREA


def test_both_connectors_are_of_one_batch_of_plastic_and_batches_differ():
    drawn = [CATEGORY.shapes(normals(1)[0], np.random.default_rng(seed))[1] for seed in range(3)]
    assert len({each["ground_brightness"] for each in drawn}) == 3
    assert all(0.85 <= each["ground_brightness"] <= 1.15 for each in drawn)
    assert len({tuple(each["dye"]["lever"]) for each in drawn}) == 3


def test_a_cable_lies_where_a_missing_one_is_marked():
    for description in normals(3):
        outside = np.stack(CAMERA.on_plane(0.0), axis=-1)  # as close to a housing, it is higher than the table
        free = [in_frame(connector, outside)[..., 0] > FRONT + 4 for connector in description["connectors"]]
        cable = seen(description, CAMERA, "cable") & free[0] & free[1]
        assert cable.sum() > 1000
        assert between(description, CAMERA)[cable].all()


def test_the_rules_look_at_where_a_cable_ends():
    (description,) = normals(1, seed=3)
    turned = copy.deepcopy(description)
    for connector in turned["connectors"]:
        connector["y"] -= 1.0  # both slip along the cable by less than half a slot
    assert CATEGORY.broken_rules(turned) == []
    turned["connectors"][0]["y"] += 1.0 + PITCH
    assert CATEGORY.broken_rules(turned) == ["one_slot"]


def test_slots_count_from_the_top_on_both_sides():
    for description in normals(12):
        for connector, end in zip(description["connectors"], (0, -1), strict=True):
            point = np.array(description["cables"][0]["path"][end])
            above = connector["slots"] / 2 - (point[1] - connector["y"]) / PITCH - 0.5
            assert slot_of(connector, point) == pytest.approx(above, abs=0.5)
    assert {slot_of(each["connectors"][0], each["cables"][0]["path"][0]) for each in normals(40)} == set(range(5))


def test_a_connector_of_another_size_leaves_the_cable_in_one_slot_and_of_one_of_the_colours():
    for description, intact in with_defect("different_sizes", 40):
        sizes = [connector["slots"] for connector in description["connectors"]]
        (cable,) = description["cables"]
        assert slot_of(description["connectors"][0], cable["path"][0]) < min(sizes)
        assert cable["colour"] == intact["cables"][0]["colour"] == COLOURS[description["defect"]["instead_of"]]


def test_two_cables_do_not_touch_and_both_are_marked():
    for description, _ in with_defect("second_cable", 12):
        first, second = (cable["path"] for cable in description["cables"])
        assert gap_between(first, second) > 0.2
    region = CATEGORY.region(description, description, CAMERA)
    assert region.sum() / SQUARE_MM == pytest.approx(2.2 * CABLE_AREA, rel=0.2)


def test_a_cable_lies_on_the_table_and_enters_the_openings():
    for description in normals(12):
        curve = curve_of(description["cables"][0]["path"])
        assert curve[:, 2].min() == pytest.approx(CABLE / 2)
        assert curve[[0, -1], 2].min() > CABLE
        for connector, end in zip(description["connectors"], curve[[0, -1], :2], strict=True):
            assert in_frame(connector, end)[0] < FRONT - 3


def test_a_cut_is_marked_where_the_cable_is_gone():
    for description, intact in with_defect("cut_cable", 2):
        cut, curve = description["defect"], curve_of(intact["cables"][0]["path"])
        region = CATEGORY.region(description, intact, CAMERA)
        rows, columns = np.nonzero(region)
        column, row = CAMERA.to_pixels(curve[[round(cut["at"] * (len(curve) - 1))]])[0]
        assert np.hypot(columns + 0.5 - column, rows + 0.5 - row).max() / CAMERA.pixels_per_mm < 15
        assert region.sum() / SQUARE_MM > 0.5 * cut["gap"] * CABLE
        assert CATEGORY.difficulty.cut_gap[0] <= cut["gap"] <= CATEGORY.difficulty.cut_gap[1]


@pytest.mark.parametrize("defect", ["damaged_housing", "soiled_housing"])
def test_a_damage_is_marked_on_the_connector_that_has_it(defect):
    for description, intact in with_defect(defect, 2, seed=1):
        region = CATEGORY.region(description, intact, CAMERA)
        connector = seen(intact, CAMERA, f"connector {description['defect']['connector']}")
        assert region.sum() >= 2
        assert scene.half_covered(connector)[region].mean() > 0.9


def test_adding_a_defect_leaves_the_scene_as_it_was():
    for defect in CATEGORY.defects:
        for _, intact in with_defect(defect, 3):
            before = copy.deepcopy(intact)
            CATEGORY.add_defect(intact, defect, np.random.default_rng(1), CATEGORY.difficulty)
            assert intact == before
