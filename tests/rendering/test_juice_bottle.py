import json

import numpy as np
import pytest

from iadlib.rendering import scene
from iadlib.rendering.juice_bottle import (
    BAND,
    CATEGORY,
    FRUIT_AREA,
    GLASS,
    JUICES,
    LABEL_AREAS,
    PLACES,
    RADIUS,
    RIM,
    SIZES,
    TOLERANCE,
    blob,
    cap_solid,
    covers,
    juice_solid,
    label_solid,
    on_glass,
    outline,
    placed,
    printed,
    region,
    shows_fruit,
    turned,
    wall,
)

CAMERA = CATEGORY.camera(CATEGORY.scales["default"].width)
INTACT = CATEGORY.normal(np.random.default_rng(0))


def with_defect(defect: str, count: int = 40, intact: dict = INTACT) -> list[dict]:
    rng = np.random.default_rng(5)
    return [CATEGORY.add_defect(intact, defect, rng, CATEGORY.difficulty) for _ in range(count)]


def owned(description: dict) -> np.ndarray:
    """1 where juice shows, 2 and 3 for the labels in their order, 4 for the cap."""
    labels = [label_solid(label)[0] for label in description["labels"]]
    parts = [juice_solid(description["fill_level"]), *labels, cap_solid()]
    return scene.owners(CAMERA, *(placed(part, description) for part in parts))


def area_of(shown: np.ndarray) -> float:
    """mm² of the plane z = 0 behind what shows on the fine grid."""
    return float(scene.half_covered(shown).sum() / CAMERA.pixels_per_mm**2)


def overlap(marked: np.ndarray, other: np.ndarray) -> float:
    return (marked & other).sum() / (marked | other).sum()


def test_juice_cap_and_labels_are_watertight():
    torn = [label for drawn in with_defect("torn_label", 5) for label in drawn["labels"]]
    for solid in [juice_solid(150.0), cap_solid(), *(label_solid(label)[0] for label in torn)]:
        solid.merge_vertices(merge_tex=True, merge_norm=True)
        solid.update_faces(solid.nondegenerate_faces())  # around the axis
        assert solid.is_watertight
        assert solid.volume > 0


def test_rays_meet_the_glass_where_its_solid_is():
    bottle = placed(turned(wall(0, RIM)), INTACT)
    arc, height = on_glass(INTACT, CAMERA)
    inside = np.abs(arc) < RADIUS  # not where the ray only grazes it
    turn, pose = arc[inside] / RADIUS, INTACT["pose"]
    z = GLASS(height[inside]) * np.cos(turn) + pose["z"]
    x, y = (plane[inside] for plane in CAMERA.on_plane(0.0))
    found = scene.distance(CAMERA, bottle)[inside]
    expected = np.sqrt(x**2 + y**2 + CAMERA.distance**2) * (1 - z / CAMERA.distance)
    assert np.quantile(np.abs(found - expected), 0.99) < 0.4


@pytest.mark.parametrize("defect", ["swapped_labels", "wrong_fruit"])
def test_regions_on_labels_and_juice_are_what_shows_of_their_solids(defect):
    for description in with_defect(defect, 1):
        owners, fine = owned(description), on_glass(description, CAMERA)
        expected = np.isin(owners, [2, 3])
        if defect == "wrong_fruit":
            expected = (owners == 1) | shows_fruit(description["labels"][0], *fine)
        assert overlap(region(description, INTACT, CAMERA), scene.half_covered(expected)) > 0.96


def test_the_region_of_a_wrong_level_lies_between_the_band_and_the_level():
    for description in with_defect("wrong_fill_level", 3):
        level, nearer = description["fill_level"], float(np.clip(description["fill_level"], *BAND))
        shows = [
            scene.owners(CAMERA, placed(juice_solid(height), description)) == 1 for height in sorted((level, nearer))
        ]
        expected = scene.half_covered(shows[1] & ~shows[0])
        assert overlap(region(description, INTACT, CAMERA), expected) > 0.85


@pytest.mark.parametrize("at", [0, 1])
def test_the_region_of_a_missing_label_holds_what_the_intact_bottle_carries_and_little_more(at):
    kind, rng = ["fruit", "text"][at], np.random.default_rng(2)
    for _ in range(3):
        intact = CATEGORY.normal(rng)
        description = with_defect(f"missing_{kind}_label", 1, intact)[0]
        marked, shows = region(description, intact, CAMERA), scene.half_covered(owned(intact) == 2 + at)
        assert (marked & shows).sum() > 0.97 * shows.sum()
        assert marked.sum() < 1.4 * shows.sum()


def test_a_torn_label_is_gone_inside_its_region_and_whole_outside():
    pairs = []
    for description in with_defect("torn_label", 3):
        gone = scene.half_covered(np.isin(owned(INTACT), [2, 3]) & (owned(description) == 1))
        pairs.append((gone, region(description, INTACT, CAMERA)))
        assert 0.25 * pairs[-1][1].sum() < gone.sum()  # the rest of it is bare paper
    # Over all of them, since the ragged edge of a small tear is a good part of it.
    assert sum((marked & gone).sum() for gone, marked in pairs) > 0.9 * sum(gone.sum() for gone, _ in pairs)


def test_a_particle_shows_in_juice_beside_the_labels():
    for juice in JUICES:
        intact = INTACT | {"juice": juice}
        for description in with_defect("particle", 1, intact):
            marked = region(description, intact, CAMERA)
            assert marked.any()
            assert scene.half_covered(owned(description) == 1)[marked].mean() > 0.95


def test_the_areas_that_suffice_are_reached_on_every_bottle():
    rng, fruits, labels = np.random.default_rng(7), [], {kind: [] for kind in LABEL_AREAS}
    for _ in range(25):
        description = CATEGORY.normal(rng)
        fine = on_glass(description, CAMERA)
        fruits.append(area_of(shows_fruit(description["labels"][0], *fine)))
        for kind, label in zip(labels, description["labels"], strict=True):
            labels[kind].append(area_of(covers(label, *fine)))
    assert FRUIT_AREA <= min(fruits) < 1.12 * FRUIT_AREA
    for kind, areas in labels.items():
        assert LABEL_AREAS[kind] <= min(areas) < 1.06 * LABEL_AREAS[kind]


def test_either_of_two_swapped_labels_reaches_the_area_that_suffices():
    rng = np.random.default_rng(8)
    for _ in range(10):
        (description,) = with_defect("swapped_labels", 1, CATEGORY.normal(rng))
        fine = on_glass(description, CAMERA)
        assert min(area_of(covers(label, *fine)) for label in description["labels"]) >= LABEL_AREAS["text"]


def test_a_normal_bottle_moves_and_turns_and_its_labels_are_apart_and_in_the_picture():
    rng = np.random.default_rng(9)
    scenes = [CATEGORY.normal(rng) for _ in range(300)]
    assert all(3.5 < np.std([each["pose"][key] for each in scenes]) < 4.5 for key in "xz")
    assert 4.5 < np.std([each["labels"][0]["arc"] for each in scenes]) < 6
    along = np.linspace(-0.5, 0.5, 57) * SIZES["text"][0]
    for each in scenes:
        fruit, text = each["labels"]
        turn = np.radians(text["askew"])
        upper = along * np.sin(turn) + text["height"] + SIZES["text"][1] / 2 * np.cos(turn)
        assert not covers(fruit, text["arc"] + along, upper).any()
    for each in scenes[:20]:
        arc, _ = on_glass(each, CAMERA)
        edge = [arc[0], arc[-1], arc[:, 0], arc[:, -1]]
        assert np.isnan(np.concatenate(edge)).all()


def test_every_fruit_is_printed_on_its_own_picture_alone():
    pictures = {juice: printed(juice) for juice in JUICES}
    assert not printed("text")[1].any()
    for colours, picture in pictures.values():
        shown = picture[::2, ::2]
        blank = np.median(colours[:60].reshape(-1, 3), axis=0)
        assert (np.abs(colours[shown] - blank).max(axis=1) > 0.05).mean() > 0.9
    assert not np.array_equal(pictures["cherry"][1], pictures["banana"][1])


def test_rules_tell_labels_by_height_and_print():
    fruit, text = INTACT["labels"]
    other = fruit | {"print": next(juice for juice in JUICES if juice != INTACT["juice"])}
    lower = text | {"height": PLACES["text"] + TOLERANCE + 0.1}
    assert CATEGORY.broken_rules(INTACT | {"labels": [text, fruit]}) == []
    assert CATEGORY.broken_rules(INTACT | {"labels": [other, text]}) == ["fruit_of_the_juice"]
    assert CATEGORY.broken_rules(INTACT | {"labels": [fruit, lower]}) == ["labels_in_place"]
    assert CATEGORY.broken_rules(INTACT | {"labels": [fruit, text, text]}) == ["one_text_label"]
    assert CATEGORY.broken_rules(INTACT | {"labels": []}) == ["one_fruit_label", "one_text_label"]
    for level in (BAND[0] - 0.1, BAND[1] + 0.1):
        assert CATEGORY.broken_rules(INTACT | {"fill_level": level}) == ["filled_to_the_band"]


def test_defects_stay_in_their_ranges_and_leave_the_intact_bottle_alone():
    before = json.dumps(INTACT)
    ranges = {"torn_label": "tear", "stained_label": "stain", "particle": "particle"}
    for defect in CATEGORY.defects:
        for description in with_defect(defect, 20):
            drawn = description["defect"]
            for name in {"length", "contrast"} & set(drawn):
                low, high = getattr(CATEGORY.difficulty, f"{ranges[defect]}_{name}")
                assert low <= drawn[name] <= high
            assert GLASS(description["fill_level"]) < RADIUS - 10  # in the neck
            assert description["fill_level"] < RIM - 1
    assert json.dumps(INTACT) == before


def test_the_outline_of_a_blob_is_its_edge():
    drawn = {"form": 3, "turn": 40.0, "length": 20.0, "width": 12.0, "u": 5.0, "v": -2.0}
    assert blob(drawn, *outline(drawn).T) == pytest.approx(np.ones(len(outline(drawn))), abs=1e-6)
