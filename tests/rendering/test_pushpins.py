import numpy as np
import pytest
from scipy import ndimage

from iadlib.rendering import scene, solids
from iadlib.rendering.pushpins import (
    CATEGORY,
    COLUMNS,
    HEIGHT,
    INSIDE,
    LYING_AREA,
    PITCH,
    ROWS,
    apart,
    axis,
    box_solid,
    centre_of,
    compartment_of,
    handle_of,
    needle_of,
    needle_path,
    posed,
)

CAMERA = CATEGORY.camera(272)


def with_defect(defect: str, seed: int) -> tuple[dict, dict]:
    rng = np.random.default_rng([seed, 23])
    intact = CATEGORY.normal(rng) | {"pose": {"turn": 0.0, "x": 0.0, "y": 0.0}}
    return CATEGORY.add_defect(intact, defect, rng, CATEGORY.difficulty), intact


def test_box_and_pushpin_are_watertight():
    pin = solids.mesh_of(handle_of({}) + needle_of({}))
    assert box_solid().is_watertight
    assert pin.is_watertight
    assert pin.body_count == 1


def test_a_lying_pushpin_covers_the_area_that_suffices_to_have_found_it():
    areas = []
    for seed in range(2):
        description = CATEGORY.normal(np.random.default_rng(seed))
        owners = scene.owners(CAMERA, *posed(description))
        for number, pin in enumerate(description["pushpins"], start=1):
            if not pin["standing"]:
                areas.append((owners == number).sum() / scene.RAYS**2 / CAMERA.pixels_per_mm**2)
    assert np.median(areas) == pytest.approx(LYING_AREA, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_the_region_of_a_missing_pushpin_is_the_whole_floor_of_its_compartment(seed):
    description, intact = with_defect("missing_pushpin", seed)
    region = CATEGORY.region(description, intact, CAMERA)
    assert region.sum() / CAMERA.pixels_per_mm**2 == pytest.approx(INSIDE.prod(), rel=0.05)
    assert region.sum() / CAMERA.pixels_per_mm**2 > 6 * LYING_AREA
    rows, columns = np.nonzero(region)
    middle = (columns.mean() + 0.5, rows.mean() + 0.5)
    expected = CAMERA.to_pixels(np.array([[*centre_of(description["defect"]["compartment"]), 1.6]]))[0]
    assert middle == pytest.approx(expected, abs=0.5)


def test_both_of_two_pushpins_are_marked():
    description, intact = with_defect("two_pushpins", 0)
    area = CATEGORY.region(description, intact, CAMERA).sum() / CAMERA.pixels_per_mm**2
    assert area == pytest.approx(2 * LYING_AREA, rel=0.15)


def test_a_pushpin_on_a_wall_touches_two_compartments():
    for seed in range(30):
        description, _ = with_defect("pushpin_on_wall", seed)
        pin = description["pushpins"][description["defect"]["compartment"]]
        assert compartment_of(pin) == description["defect"]["compartment"]
        points, _ = axis(pin)
        compartments = {tuple(np.rint(point / PITCH).astype(int)) for point in points}
        assert len(compartments) >= 2


def test_a_pushpin_on_a_wall_touches_no_other_one():
    for seed in range(30):
        description, _ = with_defect("pushpin_on_wall", seed)
        at = description["defect"]["compartment"]
        others = [pin for number, pin in enumerate(description["pushpins"]) if number != at]
        assert all(apart(description["pushpins"][at], pin) for pin in others), seed


def test_a_pushpin_on_a_wall_does_not_cut_into_the_box():
    for seed in range(3):
        description, _ = with_defect("pushpin_on_wall", seed)
        pin = posed(description)[description["defect"]["compartment"]]
        assert HEIGHT - 0.1 < pin.vertices[:, 2].min() < HEIGHT + 5


def test_pushpins_that_touch_break_the_rule_that_they_are_apart():
    scene_ = CATEGORY.normal(np.random.default_rng(1))
    pin = scene_["pushpins"][0]
    moved = scene_["pushpins"][1] | {key: pin[key] for key in ("x", "y", "turn", "standing")}
    broken = CATEGORY.broken_rules(scene_ | {"pushpins": [pin, moved, *scene_["pushpins"][2:]]})
    assert broken == ["none_empty", "none_crowded", "apart"]


def test_the_area_that_suffices_is_reached_by_either_of_two_pushpins():
    for seed in range(2):
        description, intact = with_defect("two_pushpins", seed)
        region, owners = CATEGORY.region(description, intact, CAMERA), scene.owners(CAMERA, *posed(description))
        for number in (description["defect"]["compartment"] + 1, len(description["pushpins"])):
            area = (scene.half_covered(owners == number) & region).sum() / CAMERA.pixels_per_mm**2
            assert area >= LYING_AREA


def test_the_rust_below_a_bent_needle_is_more_than_the_share_that_suffices():
    for seed in range(3):
        description, intact = with_defect("bent_needle", seed)
        region, owners = CATEGORY.region(description, intact, CAMERA), scene.owners(CAMERA, *posed(description))
        rust = scene.half_covered(owners == len(posed(description)) - 1)
        assert not (rust & ~region).any()
        assert rust.sum() > CATEGORY.defects["bent_needle"].saturation_share * region.sum()


def test_a_broken_piece_is_marked_and_touches_no_pushpin():
    description, intact = with_defect("broken_head", 0)
    owners = scene.owners(CAMERA, *posed(description))
    pieces = scene.half_covered(owners == len(posed(description)) - 1)
    assert not (pieces & ~CATEGORY.region(description, intact, CAMERA)).any()
    pushpins = scene.half_covered((owners > 0) & (owners <= len(description["pushpins"])))
    assert not (ndimage.binary_dilation(pieces, iterations=1) & pushpins).any()


def test_a_bent_needle_stays_in_its_compartment():
    for seed in range(30):
        description, _ = with_defect("bent_needle", seed)
        compartment = description["defect"]["compartment"]
        pin = description["pushpins"][compartment]
        local = needle_path(pin) @ np.array([(0, 0), (0, 1), (1, 0)])  # ahead and sideways
        turn = np.radians(pin["turn"])
        turned = local @ np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
        from_middle = turned + np.array([pin["x"], pin["y"]]) - centre_of(compartment)
        assert (np.abs(from_middle) < INSIDE / 2 - 0.5).all()


def test_the_ways_that_a_bent_needle_takes_in_words_and_in_metal_agree():
    description, _ = with_defect("bent_needle", 3)
    pin = description["pushpins"][description["defect"]["compartment"]]
    points, _ = axis(pin)
    tip = posed(description | {"pose": {"turn": 0, "x": 0, "y": 0}})[description["defect"]["compartment"]]
    ends = tip.vertices[:, :2]
    assert np.linalg.norm(ends - points[-1], axis=1).min() < 1.0


def test_a_bent_needle_is_marked_where_it_is_and_where_it_should_be():
    description, intact = with_defect("bent_needle", 1)
    pin = description["pushpins"][description["defect"]["compartment"]]
    region = CATEGORY.region(description, intact, CAMERA)
    turn = np.radians(pin["turn"])
    tip = np.array([[pin["x"] + 21 * np.cos(turn), pin["y"] + 21 * np.sin(turn), 6.0]])
    column, row = CAMERA.to_pixels(tip)[0].astype(int)
    assert region[row - 2 : row + 3, column - 2 : column + 3].any()


def test_breaking_takes_plastic_away():
    whole = handle_of({}).volume()
    for seed in range(5):
        description, _ = with_defect("broken_head", seed)
        pin = description["pushpins"][description["defect"]["compartment"]]
        assert 0.1 * whole < handle_of(pin).volume() < 0.999 * whole


def test_compartments_are_numbered_from_the_top_left_row_by_row():
    assert centre_of(0) == pytest.approx((-2 * PITCH[0], PITCH[1]))
    assert centre_of(ROWS * COLUMNS - 1) == pytest.approx((2 * PITCH[0], -PITCH[1]))
