import numpy as np
import pytest

from iadlib.rendering import scene
from iadlib.rendering.fastener_kit import (
    AFFECTED,
    AREAS,
    CATEGORY,
    FIELD,
    LONG,
    MARGIN,
    RULES,
    SHORT,
    THREAD,
    in_stretch,
    nut_of,
    of_kind,
    posed,
    screw_of,
    washer_solid,
)

CAMERA = CATEGORY.camera(264)


def with_defect(defect: str, seed: int) -> tuple[dict, dict]:
    rng = np.random.default_rng([seed, 29])
    intact = CATEGORY.normal(rng)
    return CATEGORY.add_defect(intact, defect, rng, CATEGORY.difficulty), intact


def first_with(key: str, defect: str) -> tuple[dict, dict]:
    """The first draw of a defect whose numbers have a key."""
    return next(pair for seed in range(50) if key in (pair := with_defect(defect, seed))[0]["defect"])


def mm2(pixels: np.ndarray) -> float:
    return pixels.sum() / CAMERA.pixels_per_mm**2


def test_every_piece_is_one_watertight_solid():
    solids = [screw_of(length, {}) for length in (LONG, SHORT, 16.3, 53.8)] + [nut_of({}), washer_solid()]
    for seed in range(3):
        solids.append(screw_of(SHORT, with_defect("stripped_thread", seed)[0]["defect"]["stripped"]))
        solids.append(nut_of(with_defect("deformed_nut", seed)[0]["defect"]))
    assert all(solid.is_watertight and solid.body_count == 1 for solid in solids)


def test_every_piece_rests_on_the_mat():
    for description in [CATEGORY.normal(np.random.default_rng(0)), with_defect("wrong_length", 0)[0]]:
        for solid in posed(description):
            assert solid.bounds[0, 2] == pytest.approx(0, abs=0.05)


def test_a_piece_covers_the_area_that_suffices_to_have_found_it():
    areas = {kind: [] for kind in AREAS}
    for seed in range(3):
        description = CATEGORY.normal(np.random.default_rng(seed))
        owners = scene.owners(CAMERA, *posed(description))
        for kind, found in areas.items():
            found += [mm2(owners == index + 1) / scene.RAYS**2 for index in of_kind(description, kind)]
    assert {kind: np.median(found) for kind, found in areas.items()} == pytest.approx(AREAS, rel=0.1)


@pytest.mark.parametrize("kind", AREAS)
def test_the_region_of_a_missing_piece_is_the_mat_inside_its_margin_without_what_lies_there(kind):
    description, intact = with_defect(f"missing_{kind}", 0)
    region = CATEGORY.region(description, intact, CAMERA)
    covered = sum(AREAS[other] * len(of_kind(description, other)) for other in AREAS)
    covered += 55.4 * len(of_kind(description, "washer"))  # nothing lies in a hole
    covered += 36.3 * len(of_kind(description, "nut"))
    assert mm2(region) == pytest.approx(np.prod(np.array(FIELD) - 2 * MARGIN) - covered, rel=0.01)


@pytest.mark.parametrize("kind", AREAS)
def test_all_pieces_of_a_kind_of_which_there_is_one_too_many_are_marked(kind):
    description, intact = with_defect(f"additional_{kind}", 0)
    count = len(of_kind(intact, kind)) + 1
    assert len(description["defect"]["marked"]) == len(of_kind(description, kind)) == count
    assert mm2(CATEGORY.region(description, intact, CAMERA)) == pytest.approx(count * AREAS[kind], rel=0.1)


def test_the_rules_tell_numbers_and_lengths_of_screws_apart():
    long, short, wrong = ({"kind": "screw", "length": length} for length in (LONG, SHORT, 33.0))
    others = [{"kind": kind} for kind in ("nut", "nut", "washer", "washer", "washer")]

    def broken(*screws):
        return [
            name for name, rule in RULES.items() if name != "apart" and not rule.holds({"pieces": [*screws, *others]})
        ]

    assert broken(long, short) == []
    assert broken(long) == broken(short) == ["none_missing"]
    assert broken(long, long) == broken(short, short) == ["two_lengths"]
    assert broken(long, wrong) == broken(wrong, short) == ["right_lengths"]
    assert broken(long, long, short) == broken(long, short, short) == ["none_too_many"]


def test_a_wrong_length_is_off_by_as_much_as_its_difficulty_says():
    shortest, longest = CATEGORY.difficulty.length_off
    for seed in range(15):
        drawn = with_defect("wrong_length", seed)[0]["defect"]
        off = min(abs(drawn["length"] - LONG), abs(drawn["length"] - SHORT))
        assert shortest <= off <= longest
        assert off == pytest.approx(abs(drawn["off"]))


def test_a_stripped_thread_is_marked_over_the_stretch_that_lost_it():
    description, intact = with_defect("stripped_thread", 1)
    drawn, index = description["defect"]["stripped"], description["defect"]["piece"]
    region = CATEGORY.region(description, intact, CAMERA)
    assert mm2(region) == pytest.approx(1.85 * THREAD * drawn["length"], rel=0.1)
    before, after = (scene.distance(CAMERA, *posed(pieces)) for pieces in (intact, description))
    wider = drawn | {"from": drawn["from"] - 0.6, "length": drawn["length"] + 1.2}
    differs = np.abs(before - after) > 0.05
    assert differs.sum() > 0.5 * region.sum() * scene.RAYS**2
    assert (differs & in_stretch(CAMERA, intact, index, wider)).sum() > 0.97 * differs.sum()


def test_a_broken_nut_is_marked_at_its_corner_and_a_squashed_one_all_over():
    description, intact = first_with("broken", "deformed_nut")
    assert 0 < mm2(CATEGORY.region(description, intact, CAMERA)) < 0.5 * AREAS["nut"]  # at most 8.5 of 15 mm
    description, intact = first_with("squashed", "deformed_nut")
    area = mm2(CATEGORY.region(description, intact, CAMERA))
    assert 0.5 * AREAS["nut"] < area < AREAS["nut"]  # squashed to 0.45 of its width at most, and wider across


def test_a_scratch_is_marked_on_its_washer():
    description, intact = with_defect("scratched_washer", 0)
    owner = scene.owners(CAMERA, *posed(intact)) == description["defect"]["piece"] + 1
    region = CATEGORY.region(description, intact, CAMERA)
    assert (scene.half_covered(owner) & region).sum() >= 0.95 * region.sum() > 0


def test_a_structural_defect_leaves_every_piece_where_it_was():
    for defect in ("stripped_thread", "deformed_nut", "scratched_washer"):
        description, intact = with_defect(defect, 2)
        for piece, before in zip(description["pieces"], intact["pieces"], strict=True):
            assert {key: piece[key] for key in before} == before
        assert description["pieces"][description["defect"]["piece"]]["kind"] == AFFECTED[defect][0]


def test_pieces_on_top_of_each_other_break_their_rule():
    pieces = CATEGORY.normal(np.random.default_rng(0))["pieces"]
    assert RULES["apart"].holds({"pieces": pieces})
    moved = pieces[-1] | {key: pieces[-2][key] for key in ("x", "y")}
    assert not RULES["apart"].holds({"pieces": [*pieces[:-1], moved]})
