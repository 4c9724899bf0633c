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
    PLACES,
    RADIUS,
    RIM,
    TEXT_AREA,
    TOLERANCE,
    blob,
    cap_solid,
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


def spoilt(defect: str, count: int = 40, intact: dict = INTACT) -> list[dict]:
    rng = np.random.default_rng(5)
    return [CATEGORY.spoil(intact, defect, rng, CATEGORY.difficulty) for _ in range(count)]


def owned(description: dict) -> np.ndarray:
    """1 where juice shows, 2 and 3 for the labels in their order, 4 for the cap."""
    labels = [label_solid(label)[0] for label in description["labels"]]
    parts = [juice_solid(description["fill_level"]), *labels, cap_solid()]
    return scene.owners(CAMERA, *(placed(part, description) for part in parts))


def overlap(marked: np.ndarray, other: np.ndarray) -> float:
    return (marked & other).sum() / (marked | other).sum()


def test_juice_cap_and_labels_are_watertight():
    torn = [label for drawn in spoilt("torn_label", 5) for label in drawn["labels"]]
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
    for description in spoilt(defect, 2):
        owners, fine = owned(description), on_glass(description, CAMERA)
        expected = np.isin(owners, [2, 3])
        if defect == "wrong_fruit":
            expected = (owners == 1) | shows_fruit(description["labels"][0], *fine)
        assert overlap(region(description, INTACT, CAMERA), scene.half_covered(expected)) > 0.96


def test_the_region_of_a_wrong_level_lies_between_the_band_and_the_level():
    for description in spoilt("wrong_fill_level", 6):
        level, nearer = description["fill_level"], float(np.clip(description["fill_level"], *BAND))
        shows = [
            scene.owners(CAMERA, placed(juice_solid(height), description)) == 1 for height in sorted((level, nearer))
        ]
        expected = scene.half_covered(shows[1] & ~shows[0])
        assert overlap(region(description, INTACT, CAMERA), expected) > 0.85


@pytest.mark.parametrize("at", [0, 1])
def test_the_region_of_a_missing_label_is_where_the_intact_bottle_carries_it(at):
    kind = ["fruit", "text"][at]
    description = spoilt(f"missing_{kind}_label", 1)[0]
    shows = scene.half_covered(owned(INTACT) == 2 + at)
    assert overlap(region(description, INTACT, CAMERA), shows) > 0.85


def test_a_torn_label_is_gone_inside_its_region_and_whole_outside():
    for description in spoilt("torn_label", 6):
        gone = scene.half_covered(np.isin(owned(INTACT), [2, 3]) & (owned(description) == 1))
        marked = region(description, INTACT, CAMERA)
        assert (marked & gone).sum() > 0.9 * gone.sum() > 0
        assert gone.sum() > 0.25 * marked.sum()  # the rest of it is bare paper


def test_a_particle_shows_in_juice_beside_the_labels():
    for juice in JUICES:
        intact = INTACT | {"juice": juice}
        for description in spoilt("particle", 4, intact):
            marked = region(description, intact, CAMERA)
            assert marked.any()
            assert scene.half_covered(owned(description) == 1)[marked].mean() > 0.95


def test_the_areas_that_suffice_are_those_of_normal_bottles():
    rng = np.random.default_rng(7)
    fruits, texts = {juice: [] for juice in JUICES}, []
    for _ in range(16):
        description = CATEGORY.normal(rng)
        fine = on_glass(description, CAMERA)
        fruits[description["juice"]].append(shows_fruit(description["labels"][0], *fine).mean())
        texts.append((owned(description) == 3).mean())
    field = np.prod(CATEGORY.field)
    assert np.median(texts) * field == pytest.approx(TEXT_AREA, rel=0.03)
    for shares in fruits.values():
        assert np.median(shares) * field == pytest.approx(FRUIT_AREA, rel=0.05)


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
    assert CATEGORY.broken(INTACT | {"labels": [text, fruit]}) == []
    assert CATEGORY.broken(INTACT | {"labels": [other, text]}) == ["fruit_of_the_juice"]
    assert CATEGORY.broken(INTACT | {"labels": [fruit, lower]}) == ["labels_in_place"]
    assert CATEGORY.broken(INTACT | {"labels": [fruit, text, text]}) == ["one_text_label"]
    assert CATEGORY.broken(INTACT | {"labels": []}) == ["one_fruit_label", "one_text_label"]
    for level in (BAND[0] - 0.1, BAND[1] + 0.1):
        assert CATEGORY.broken(INTACT | {"fill_level": level}) == ["filled_to_the_band"]


def test_defects_stay_in_their_ranges_and_leave_the_intact_bottle_alone():
    before = json.dumps(INTACT)
    ranges = {"torn_label": "tear", "stained_label": "stain", "particle": "particle"}
    for defect in CATEGORY.defects:
        for description in spoilt(defect, 60):
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
