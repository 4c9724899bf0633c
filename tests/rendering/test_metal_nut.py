import numpy as np
import pytest
import trimesh

from iadlib.rendering import scene, solids
from iadlib.rendering.metal_nut import (
    BORE,
    CATEGORY,
    HINGE,
    HUB_HEIGHT,
    REACH,
    arm_at,
    as_it_lies,
    casting_of,
    depth_inside,
    outline,
    posed,
)

CAMERA = CATEGORY.camera(208)


def with_defect(defect: str, seed: int) -> tuple[dict, dict]:
    rng = np.random.default_rng([seed, 29])
    intact = CATEGORY.normal(rng)
    return CATEGORY.add_defect(intact, defect, rng, CATEGORY.difficulty), intact


def in_nut(description: dict, region: np.ndarray, z: float) -> np.ndarray:
    """Where the marked pixels are at height z, in the frame of the nut (N, 2)."""
    x, y = CAMERA.on_plane(z, rays=1)
    points = np.column_stack([x[region], y[region], np.full(region.sum(), z)])
    return trimesh.transform_points(points, np.linalg.inv(solids.flat_pose(description["pose"])))[:, :2]


def test_every_casting_is_one_watertight_solid_with_one_hole_and_stays_in_the_picture():
    for seed in range(4):
        description = CATEGORY.normal(np.random.default_rng(seed))
        solid = casting_of(description["casting"])
        assert solid.is_watertight
        assert solid.body_count == 1
        assert solid.euler_number == 0
        assert solid.bounds[:, 2] == pytest.approx((0, HUB_HEIGHT))
        assert np.abs(CAMERA.to_pixels(posed(description).vertices) - CAMERA.width / 2).max() < CAMERA.width / 2


def test_castings_differ_in_outline():
    first, second = (outline(CATEGORY.normal(np.random.default_rng(seed))["casting"]) for seed in range(2))
    assert np.abs(depth_inside(first, second)).max() > 0.2


def test_a_flipped_nut_rests_on_its_hub_and_sweeps_the_other_way():
    description, intact = with_defect("flipped", 0)
    tips = {}
    for name, state in (("flipped", description), ("intact", intact)):
        solid = casting_of(state["casting"])
        vertices = as_it_lies(state, solid.vertices)
        assert vertices[:, 2].min() == pytest.approx(0, abs=1e-4)
        assert vertices[:, 2].max() == pytest.approx(HUB_HEIGHT, abs=1e-4)
        assert trimesh.Trimesh(vertices, solid.faces, process=False).volume > 0
        # The claw at the end of an arm is ahead of the middle of its root.
        tip = vertices[np.hypot(vertices[:, 0], vertices[:, 1]).argmax(), :2]
        root = vertices[np.abs(np.hypot(vertices[:, 0], vertices[:, 1]) - 19) < 0.7, :2]
        near = root[(root @ tip) > 0.5 * np.linalg.norm(root, axis=1) * np.linalg.norm(tip)].mean(axis=0)
        tips[name] = near[0] * tip[1] - near[1] * tip[0]
    assert tips["intact"] > 20
    assert tips["flipped"] < -20


def test_the_region_of_a_flipped_nut_is_all_that_is_seen_of_it():
    description, intact = with_defect("flipped", 1)
    region = CATEGORY.region(description, intact, CAMERA)
    seen = scene.half_covered(scene.owners(CAMERA, posed(description)) == 1)
    assert (region != seen).mean() < 0.001
    assert np.hypot(*in_nut(description, region, HUB_HEIGHT).T).min() > BORE - 0.5


@pytest.mark.parametrize("seed", range(4))
def test_only_one_arm_bends_and_never_into_the_sheet(seed):
    description, intact = with_defect("bent_arm", seed)
    before = casting_of(intact["casting"]).vertices
    after = as_it_lies(description, before)
    moved = np.linalg.norm(after - before, axis=1)
    arm, _ = arm_at(intact["casting"], before[:, :2])
    assert not moved[arm != description["bend"]["arm"]].any()
    assert not moved[np.hypot(before[:, 0], before[:, 1]) < HINGE].any()
    angle = np.radians(abs(description["bend"]["degrees"]))
    assert 8 * np.sin(angle) < moved.max() < 18 * np.sin(angle)
    assert after[:, 2].min() > -1e-4
    raised = after[:, 2].max() - HUB_HEIGHT
    assert raised == 0 if description["bend"]["direction"] == "sideways" else raised > -1e-4


@pytest.mark.parametrize("seed", range(4))
def test_the_region_of_a_bent_arm_is_that_arm_where_it_is_and_where_it_should_be(seed):
    description, intact = with_defect("bent_arm", seed)
    region = CATEGORY.region(description, intact, CAMERA)
    solid = casting_of(intact["casting"])
    arm, _ = arm_at(intact["casting"], solid.vertices[:, :2])
    arm[np.hypot(*solid.vertices[:, :2].T) < HINGE + 4] = -1
    beyond = solid.faces[(arm[solid.faces] == description["bend"]["arm"]).all(axis=1)]
    for state in (intact, description):
        piece = trimesh.Trimesh(posed(state).vertices, beyond, process=False)
        shown = scene.half_covered(scene.owners(CAMERA, piece) == 1)
        assert shown.sum() > 300
        assert (shown & ~region).sum() <= 0.02 * shown.sum()
    others, _ = arm_at(intact["casting"], in_nut(description, region, intact["casting"]["thickness"]))
    assert (others == description["bend"]["arm"]).mean() > 0.95


@pytest.mark.parametrize("seed", range(2))
def test_the_region_of_a_scratch_follows_it_on_the_metal(seed):
    description, intact = with_defect("scratch", seed)
    region = CATEGORY.region(description, intact, CAMERA)
    metal = scene.half_covered(scene.owners(CAMERA, posed(intact)) == 1)
    assert not (region & ~metal).any()
    paths = np.concatenate(description["scratch"]["paths"])
    marked = in_nut(description, region, intact["casting"]["thickness"])
    assert np.linalg.norm(marked[:, None] - paths, axis=2).min(axis=1).max() < 2.2
    assert region.sum() > 0.6 * description["scratch"]["length"] * CAMERA.pixels_per_mm


@pytest.mark.parametrize("seed", range(2))
def test_the_region_of_a_stain_is_where_it_was_painted(seed):
    description, intact = with_defect("colour_stain", seed)
    region, stain = CATEGORY.region(description, intact, CAMERA), description["stain"]
    marked = in_nut(description, region, intact["casting"]["thickness"])
    from_path = np.linalg.norm(marked[:, None] - stain["path"], axis=2).min(axis=1)
    assert from_path.max() < stain["size"]
    assert np.median(from_path) < stain["size"] / 2
    assert not (region & ~scene.half_covered(scene.owners(CAMERA, posed(intact)) == 1)).any()


@pytest.mark.parametrize("defect", ["scratch", "colour_stain"])
def test_scratches_and_stains_are_drawn_on_the_metal(defect):
    for seed in range(20):
        description, intact = with_defect(defect, seed)
        drawn = description.get("scratch") or description["stain"]
        path = np.array(drawn["paths"][0] if "paths" in drawn else drawn["path"])
        assert (np.hypot(*path[5:7].T) > BORE).all()
        if seed < 4:
            assert (depth_inside(outline(intact["casting"]), path[5:7]) > 0).all()


def test_defects_are_drawn_within_the_stated_difficulty():
    difficulty = CATEGORY.difficulty
    for seed in range(15):
        for defect, key, ends in (
            ("bent_arm", "degrees", difficulty.bend_degrees),
            ("scratch", "strength", difficulty.scratch_strength),
            ("scratch", "width", difficulty.scratch_width),
            ("colour_stain", "size", difficulty.stain_size),
            ("colour_stain", "opacity", difficulty.stain_opacity),
        ):
            assert ends[0] <= abs(with_defect(defect, seed)[0]["defect"][key]) <= ends[1]


def test_an_arm_reaches_as_far_as_it_says():
    casting = CATEGORY.normal(np.random.default_rng(4))["casting"]
    assert np.hypot(*outline(casting).T).max() == pytest.approx(REACH - 1, abs=1.5)
