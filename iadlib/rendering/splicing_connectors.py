"""Two splicing connectors joined by a cable, after the category of MVTec LOCO AD.

Rules: both connectors have the same number of slots and are of one family (clear with orange levers or white with green
ones); exactly one cable joins them; it leaves both at the same slot, counted from the top; and it has the colour of
that number of slots: yellow for 2, blue for 3, red for 5. Poses of the connectors, path of the cable, slot and family,
hue and brightness of plastic and ground, light and camera vary.

Ground truth and saturation:

- different sizes, different families: both connectors are marked, since either could be the wrong one; the area of one
  suffices. The threshold is one number, a little less than the smallest area of a connector with two slots.
- missing cable: the ground between the connectors where a cable could lie; the visible area of the shortest cable on it
  suffices.
- second cable: both cables are marked, since either could be the additional one; the area of the shorter suffices.
- wrong slot: the whole cable is marked; half of it, with one end, suffices, since either end may be the wrong one.
- wrong colour: the whole cable.
- cut cable: every pixel that shows another surface than the intact cable would. The ends have moved aside: where they
  are and where they should be are marked; half of that suffices, since either shows the defect.
- damaged housing: every pixel that shows another surface than the intact housing would; the whole region, since the
  missing piece has only one position.
- soiled housing: the whole soiled area.

Lengths are millimetres. The table is z = 0, its origin below the camera. A connector's own frame has its origin in the
middle of its underside, x towards the wire openings and y along the slots; the right connector is turned by 180
degrees.
"""

from dataclasses import dataclass
from functools import cache, partial

import manifold3d
import numpy as np
import trimesh
from scipy import ndimage
from scipy.interpolate import CubicSpline
from scipy.special import expit

from iadlib.rendering import scene, solids, surfaces
from iadlib.rendering.category import Defect, RenderedCategory, Rule, Scale, attempts

PITCH, DEPTH, HEIGHT = 8.6, 24.0, 9.2  # of a connector: distance of slots, length along the wires, height
FRONT = DEPTH / 2
OPENING, OPENING_HEIGHT = 5.2, 4.3  # diameter of an opening, and height of its middle
LEVER = (-8.2, 6.2)  # start and end of a lever, along x of the connector
CABLE, CORE = 3.5, 2.0  # diameters of the cable and of the copper in it
INSERTED, STRAIGHT = 5.0, 7.0  # lengths of a cable inside a connector, and straight in front of it
SLACK, EDGE = 15.0, 39.0  # largest distance of a cable from the line between its openings, and from y = 0
NARROWEST_BEND = 9.0  # radius
COLOURS = {2: "yellow", 3: "blue", 5: "red"}  # number of slots: colour of the cable
INSULATION = {"yellow": (0.78, 0.52, 0.03), "blue": (0.03, 0.13, 0.45), "red": (0.52, 0.025, 0.02)}
HOUSINGS = {"orange": (0.60, 0.62, 0.63), "green": (0.82, 0.81, 0.78)}
LEVERS = {"orange": (0.85, 0.24, 0.015), "green": (0.06, 0.33, 0.12)}
DYES = {"housing": 0.012, "lever": 0.06}  # deviation of red, green and blue between batches of plastic
CONNECTOR_AREA = 465.0  # mm², smallest area of a connector with two slots in the image
CABLE_AREA, FREE_AREA = 325.0, 290.0  # mm², smallest visible areas of a cable: all of it, and beside connectors


@dataclass(frozen=True)
class Difficulty:
    """Ranges for uniform draws of a defect, from hard to see at default size to obvious."""

    cut_gap: tuple[float, float] = (1.5, 8.0)  # mm along the cable between the ends of its insulation
    cut_aside: tuple[float, float] = (0.0, 2.5)  # mm, sideways shift of an end
    broken_off: tuple[float, float] = (7.0, 11.0)  # mm across the missing corner of a housing
    lever_gone: tuple[float, float] = (8.0, 14.0)  # mm of a lever's length
    soil_length: tuple[float, float] = (14.0, 26.0)  # mm
    soil_strength: tuple[float, float] = (0.55, 0.9)  # share of the light that the soil absorbs


def width_of(slots: int) -> float:
    """The width of a connector along its slots."""
    return slots * PITCH + 1.6


def pose_of(connector: dict) -> np.ndarray:
    half_turn = 180 if connector["side"] == "right" else 0
    return solids.pose_of(connector["x"], connector["y"], turn=connector["turn"] + half_turn)


def in_frame(connector: dict, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) on the table, in a connector's own frame."""
    return solids.in_frame(pose_of(connector), points)


def ahead_of(connector: dict, slot: int, distance: float) -> np.ndarray:
    """The point (x, y) on the table in front of a slot's opening; slots are numbered from the top of the image."""
    across = ((connector["slots"] - 1) / 2 - slot) * PITCH * (-1 if connector["side"] == "right" else 1)
    pose = pose_of(connector)
    return pose[:2, :2] @ (FRONT + distance, across) + pose[:2, 3]


def slot_of(connector: dict, end: list) -> int:
    """The slot, numbered from the top, with a cable's end in it."""
    across = in_frame(connector, np.array(end))[1] * (-1 if connector["side"] == "right" else 1)
    return round(float((connector["slots"] - 1) / 2 - across / PITCH))


def in_one_slot(description: dict, cable: dict) -> bool:
    left, right = description["connectors"]
    return slot_of(left, cable["path"][0]) == slot_of(right, cable["path"][-1])


def alike(description: dict, key: str) -> bool:
    left, right = description["connectors"]
    return left[key] == right[key]


RULES = {
    "one_size": Rule("both connectors have the same number of slots", lambda description: alike(description, "slots")),
    "one_family": Rule("both connectors are of one family", lambda description: alike(description, "family")),
    "one_cable": Rule("exactly one cable joins the connectors", lambda description: len(description["cables"]) == 1),
    "one_slot": Rule(
        "every cable leaves both connectors at the same slot, counted from the top",
        lambda description: all(in_one_slot(description, cable) for cable in description["cables"]),
    ),
    "own_colour": Rule(
        "every cable has the colour that belongs to the number of slots of one of the connectors",
        lambda description: all(
            cable["colour"] in [COLOURS[connector["slots"]] for connector in description["connectors"]]
            for cable in description["cables"]
        ),
    ),
}
DEFECTS = {
    "different_sizes": Defect(
        "connectors with different numbers of slots", breaks="one_size", saturation_mm2=CONNECTOR_AREA
    ),
    "different_families": Defect(
        "connectors of different families", breaks="one_family", saturation_mm2=CONNECTOR_AREA
    ),
    "missing_cable": Defect("no cable", breaks="one_cable", saturation_mm2=FREE_AREA),
    "second_cable": Defect("a second cable in another slot", breaks="one_cable", saturation_mm2=CABLE_AREA),
    "wrong_slot": Defect("a cable between different slots", breaks="one_slot", saturation_share=0.5),
    "wrong_colour": Defect("a cable of the colour of another size", breaks="own_colour"),
    "cut_cable": Defect("a cable cut through", saturation_share=0.5),
    "damaged_housing": Defect("a connector with a corner or a lever broken off"),
    "soiled_housing": Defect("a connector with a dark smear on it"),
}


def curve_of(path: list) -> np.ndarray:
    """Points (N, 3), 0.5 mm apart, on the middle line of a cable through the points (x, y) of a path."""
    points = np.array(path)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(lengths)])
    first, last = ((points[end + 1] - points[end]) / lengths[end] for end in (0, -2))  # directions of the openings
    flat = CubicSpline(along, points, bc_type=((1, first), (1, last)))(np.linspace(0, along[-1], round(along[-1] * 2)))
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(flat, axis=0), axis=1))])
    # The cable leaves the opening horizontally and descends to the table.
    sunk = np.clip((np.minimum(run, run[-1] - run) - INSERTED - 1) / 16, 0, 1)
    height = OPENING_HEIGHT + (CABLE / 2 - OPENING_HEIGHT) * sunk**2 * (3 - 2 * sunk)
    return np.column_stack([flat, height])


def lies_well(path: list, connectors: list[dict]) -> bool:
    """Whether a cable has no tight bend, runs from left to right within its slack, and touches no housing outside."""
    curve = curve_of(path)[:, :2]
    steps = np.diff(curve, axis=0)
    turns = np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))
    outside = curve[round(2 * INSERTED + 6) : -round(2 * INSERTED + 6)]
    share = (curve[:, 0] - curve[0, 0]) / (curve[-1, 0] - curve[0, 0])
    aside_by = np.abs(curve[:, 1] - curve[0, 1] - share * (curve[-1, 1] - curve[0, 1]))
    return bool(
        (np.abs(turns) * NARROWEST_BEND < np.linalg.norm(steps[1:], axis=1)).all()
        and (steps[:, 0] > 0.25 * np.linalg.norm(steps, axis=1)).all()
        and aside_by.max() < SLACK
        and np.abs(curve[:, 1]).max() < EDGE
        and all(in_frame(connector, outside)[:, 0].min() > FRONT + CABLE / 2 for connector in connectors)
    )


def route(rng: np.random.Generator, connectors: list[dict], slots: tuple[int, int], like: list | None = None) -> list:
    """The path of a cable from a slot of the left connector to a slot of the right one.

    With `like`, it is similar to that path, and `lies_well` is not checked.
    """
    (start, straight), (end, last) = (
        [ahead_of(connector, slot, distance) for distance in (-INSERTED, STRAIGHT)]
        for connector, slot in zip(connectors, slots, strict=True)
    )
    for _ in attempts("path for a cable"):
        if like:
            shares = np.linspace(0, 1, len(like) - 2)[1:-1, None]
            moved = straight - like[1] + shares * (last - like[-2] - straight + like[1])
            points = like[2:-2] + moved + rng.normal(0, 2, moved.shape)
        else:
            count = int(rng.integers(1, 4))
            shares = 0.5 + (np.arange(count) - (count - 1) / 2) / 4 + rng.uniform(-0.06, 0.06, count)
            points = straight + shares[:, None] * (last - straight)
            points[:, 1] += rng.normal(0, 7) + rng.normal(0, 4, count)
        path = [point.tolist() for point in (start, straight, *points, last, end)]
        if like or lies_well(path, connectors):
            return path


def two_routes(rng: np.random.Generator, connectors: list[dict], slots: tuple[int, int]) -> tuple[list, list]:
    """The paths of two cables in different slots that lie side by side and do not touch."""
    for _ in attempts("path for two cables"):
        first = route(rng, connectors, (slots[0], slots[0]))
        second = route(rng, connectors, (slots[1], slots[1]), like=first)
        if lies_well(second, connectors) and gap_between(first, second) > 0.3:
            return first, second


def gap_between(first: list, second: list) -> float:
    """The distance between the surfaces of two cables, seen from above."""
    curves = curve_of(first)[:, None, :2], curve_of(second)[None, ::2, :2]
    return float(np.linalg.norm(curves[0] - curves[1], axis=2).min() - CABLE)


def normal(rng: np.random.Generator) -> dict:
    slots, family = int(rng.choice(list(COLOURS))), str(rng.choice(list(HOUSINGS)))
    height = rng.uniform(-5, 5)
    connectors = [
        {
            "side": side,
            "slots": slots,
            "family": family,
            "x": sign * 58 + rng.uniform(-4, 4),
            "y": height + rng.uniform(-4, 4),
            "turn": rng.uniform(-6, 6),
        }
        for side, sign in (("left", -1), ("right", 1))
    ]
    slot = int(rng.integers(slots))
    cable = {"colour": COLOURS[slots], "path": route(rng, connectors, (slot, slot))}
    return {"connectors": connectors, "cables": [cable]}


def add_defect(intact: dict, defect: str, rng: np.random.Generator, difficulty: Difficulty) -> dict:
    connectors = [dict(connector) for connector in intact["connectors"]]
    cables = [dict(cable) for cable in intact["cables"]]
    slots, slot = connectors[0]["slots"], slot_of(connectors[0], cables[0]["path"][0])
    which = int(rng.integers(2))
    changed, drawn = connectors[which], {}
    if defect == "different_sizes":
        changed["slots"] = int(rng.choice([other for other in COLOURS if other != slots]))
        fewest = min(slots, changed["slots"])
        slot = slot if slot < fewest else int(rng.integers(fewest))
        cables[0]["path"] = route(rng, connectors, (slot, slot))
        drawn = {"connector": which, "slots": changed["slots"], "instead_of": slots}
    elif defect == "different_families":
        changed["family"] = str(rng.choice([other for other in HOUSINGS if other != changed["family"]]))
        drawn = {"connector": which, "family": changed["family"]}
    elif defect == "missing_cable":
        cables, drawn = [], {"slot": slot, "colour": cables[0]["colour"]}
    elif defect == "second_cable":
        drawn = {"slot": int(rng.choice([other for other in range(slots) if other != slot]))}
        paths = two_routes(rng, connectors, (slot, drawn["slot"]))
        cables = [cables[0] | {"path": path} for path in paths]
    elif defect == "wrong_slot":
        drawn = {"connector": which, "slot": int(rng.choice([other for other in range(slots) if other != slot]))}
        pair = (drawn["slot"], slot) if which == 0 else (slot, drawn["slot"])
        cables[0]["path"] = route(rng, connectors, pair)
    elif defect == "wrong_colour":
        colour = str(rng.choice([other for other in COLOURS.values() if other != cables[0]["colour"]]))
        drawn = {"colour": colour, "instead_of": cables[0]["colour"]}
        cables[0]["colour"] = colour
    elif defect == "cut_cable":
        drawn = {"at": rng.uniform(0.27, 0.73), "gap": rng.uniform(*difficulty.cut_gap)}
        # The ends turn as they move aside, and must not meet.
        aside = np.minimum(rng.uniform(*difficulty.cut_aside, 2), 0.8 * drawn["gap"])
        drawn["aside"] = (aside * rng.choice([-1, 1], 2)).tolist()
        drawn["bare"] = min(1.2, 0.25 * drawn["gap"]) * rng.uniform(0.3, 1)
        cables[0]["cut"] = drawn
    elif defect == "damaged_housing":
        drawn = {"part": str(rng.choice(["corner", "lever"])), "form": int(rng.integers(2**31))}
        if drawn["part"] == "corner":
            drawn |= {"depth": rng.uniform(*difficulty.broken_off), "sides": rng.choice([-1, 1], 2).tolist()}
        else:
            drawn |= {"gone": rng.uniform(*difficulty.lever_gone), "lever": int(rng.integers(slots))}
        changed["broken"] = drawn
        drawn = {"connector": which, **drawn}
    else:
        length = rng.uniform(*difficulty.soil_length)
        drawn = {"length": length, "width": length * rng.uniform(0.3, 0.8), "turn": rng.uniform(0, 180)}
        drawn |= {"strength": rng.uniform(*difficulty.soil_strength), "form": int(rng.integers(2**31))}
        x, y = rng.uniform(-1, 1, 2) * (8, width_of(slots) / 2 - 3)
        drawn = changed["soil"] = drawn | {"x": x, "y": y}
        drawn = {"connector": which, **drawn}
    return intact | {"connectors": connectors, "cables": cables, "defect": drawn}


def across_slots(profile: list, width: float, y: float) -> manifold3d.Manifold:
    """A prism along y of a profile of (x, z), its middle at `y`."""
    return solids.extruded(solids.polygon(profile), -width / 2, width / 2).rotate((90, 0, 0)).translate((0, y, 0))


def slots_at(slots: int) -> np.ndarray:
    """The y coordinates of the slots in a connector's own frame."""
    return (np.arange(slots) - (slots - 1) / 2) * PITCH


@cache
def housing_of(slots: int) -> manifold3d.Manifold:
    """A bevelled housing with a sloping front, a recess for each lever, an opening for each wire, and grooves."""
    width = width_of(slots)
    profile = [(-FRONT, 0), (FRONT, 0), (FRONT, 1.4), (FRONT - 3.6, HEIGHT - 1.0), (FRONT - 4.4, HEIGHT)]
    body = across_slots([*profile, (-FRONT, HEIGHT)], width, 0)
    body ^= solids.extruded(solids.rectangle(DEPTH, width, 1.2), 0, HEIGHT, chamfer=0.7)
    middle, length = (LEVER[0] + LEVER[1]) / 2, LEVER[1] - LEVER[0]
    bore = [(0, -4), (OPENING / 2, -4), (OPENING / 2, 9.4), (3.2, 11), (3.2, 14), (0, 14)]
    for y in slots_at(slots):
        body -= solids.extruded(solids.rectangle(length + 0.8, 6.6, 1.0, (middle, y)), 6.0, HEIGHT + 1)
        body -= solids.extruded(solids.rectangle(4.0, 4.4, 1.8, (LEVER[0] - 0.4, y)), 7.4, HEIGHT + 1)
        body -= solids.revolved(bore).rotate((0, 90, 0)).translate((0, y, OPENING_HEIGHT))
    for y in slots_at(slots)[1:] - PITCH / 2:
        body -= solids.extruded(solids.rectangle(DEPTH + 1, 0.7, 0, (0, y)), HEIGHT - 0.8, HEIGHT + 1)
        body -= solids.extruded(solids.rectangle(2.2, 0.9, 0, (FRONT, y)), -1, HEIGHT)
    return body


@cache
def lever_of(y: float) -> manifold3d.Manifold:
    """A closed lever: an arched plate with ribs at its free end, away from the wire."""
    (start, end), rise = LEVER, HEIGHT + 0.9
    top = [(end, HEIGHT - 1.6), (end - 1.2, HEIGHT - 0.1), (end - 4, rise - 0.2), (end - 7, rise)]
    ribs = [(start + at, z) for at in (4.2, 2.8, 1.4) for z in (rise - 0.1, rise - 0.6)]
    ribs = [(at - shift, z) for (at, z), shift in zip(ribs, [0, 0.5] * 3, strict=True)]
    profile = [(start, 7.5), (end, 6.2), *top, *ribs, (start + 0.4, rise - 0.1), (start, rise - 0.5)]
    middle, length = (start + end) / 2, end - start
    outline = solids.extruded(solids.rectangle(length, 5.9, 0.8, (middle, y)), 0, HEIGHT + 2)
    return across_slots(profile, 6.0, y) ^ outline


def solids_of(connector: dict) -> tuple[trimesh.Trimesh, trimesh.Trimesh]:
    """Housing and levers in the connector's own frame; do not change them, since they are kept."""
    return housing_and_levers(connector["slots"], connector.get("broken"))


@solids.cached(6)
def housing_and_levers(slots: int, broken: dict | None) -> tuple[trimesh.Trimesh, trimesh.Trimesh]:
    housing, levers = housing_of(slots), [lever_of(float(y)) for y in slots_at(slots)]
    if broken:
        rng = np.random.default_rng(broken["form"])
        if broken["part"] == "corner":
            outward = np.array([*broken["sides"], rng.uniform(0.2, 0.9)])
            at_front = broken["sides"][0] > 0  # the upper edge is set back at the front
            corner = np.array([FRONT - 2 * at_front, width_of(slots) / 2, HEIGHT * (0.9 - 0.4 * at_front)])
            corner[:2] *= broken["sides"]
            outward /= np.linalg.norm(outward)
            housing = solids.break_off(housing, rng, corner, outward, broken["depth"], (6, 9), (0.2, 1.5), 0.9)
        else:
            left = LEVER[0] + broken["gone"]
            ragged = [(left + rng.uniform(-0.6, 0.6), y) for y in np.linspace(-4, 4, 6)]
            area = solids.polygon([(LEVER[0] - 2, -4), *ragged, (LEVER[0] - 2, 4)])
            y = slots_at(slots)[broken["lever"]]
            levers[broken["lever"]] -= solids.extruded(area.translate((0, y)), 0, HEIGHT + 2)
    return solids.mesh_of(housing), solids.mesh_of(manifold3d.Manifold.compose(levers))


def solids_along(cable: dict) -> tuple[trimesh.Trimesh, trimesh.Trimesh | None]:
    """The insulation of a cable and, if it is cut, the visible copper."""
    curve, cut = curve_of(cable["path"]), cable.get("cut")
    if not cut:
        return solids.mesh_of(solids.tube(curve, CABLE)), None
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    insulation, copper = [], []
    for sign, aside in zip((-1, 1), cut["aside"], strict=True):
        end = cut["at"] * run[-1] + sign * cut["gap"] / 2
        bare = np.linspace(end + 2 * sign, end - sign * cut["bare"], 12)
        covered = np.linspace(end, 0 if sign < 0 else run[-1], round(2 * run[-1]))
        for pieces, at, diameter in ((insulation, covered, CABLE), (copper, bare, CORE)):
            piece = np.stack([np.interp(at, run, column) for column in curve.T], axis=1)
            ahead = np.gradient(piece[:, :2], axis=0)
            ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) * np.sign(at[1] - at[0])
            sprung = np.clip(1 - sign * (at - end) / 10, 0, None) ** 2
            piece[:, :2] += (aside * sprung)[:, None] * ahead[:, ::-1] * (-1, 1)
            pieces.append(solids.tube(piece, diameter))
    return tuple(solids.mesh_of(manifold3d.Manifold.compose(pieces)) for pieces in (insulation, copper))


def posed(description: dict) -> tuple[list[trimesh.Trimesh], list[str]]:
    """Every solid in its pose, and its name: "connector 0", "connector 1", "cable" or "copper"."""
    parts, names = [], []
    for index, connector in enumerate(description["connectors"]):
        parts += [solid.copy().apply_transform(pose_of(connector)) for solid in solids_of(connector)]
        names += 2 * [f"connector {index}"]
    for cable in description["cables"]:
        insulation, copper = solids_along(cable)
        parts, names = [*parts, insulation], [*names, "cable"]
        if copper:
            parts, names = [*parts, copper], [*names, "copper"]
    return parts, names


def seen(description: dict, camera: scene.Camera, *wanted: str) -> np.ndarray:
    """The rays of the fine grid that meet a solid of these names first."""
    parts, names = posed(description)
    return np.isin(scene.owners(camera, *parts), [i + 1 for i, name in enumerate(names) if name in wanted])


def between(description: dict, camera: scene.Camera) -> np.ndarray:
    """The rays of the fine grid that meet the table where a cable could lie."""
    left, right = description["connectors"]
    table = np.stack(camera.on_plane(0.0), axis=-1)
    inside = (in_frame(left, table)[..., 0] > FRONT) & (in_frame(right, table)[..., 0] > FRONT)
    for sign, slots in ((1, (0, 0)), (-1, (left["slots"] - 1, right["slots"] - 1))):  # the highest and the lowest path
        start, end = (ahead_of(*pair, -INSERTED) for pair in zip((left, right), slots, strict=True))
        level = start[1] + (table[..., 0] - start[0]) / (end[0] - start[0]) * (end[1] - start[1])
        inside &= sign * (table[..., 1] - level) < SLACK + CABLE / 2
    inside &= np.abs(table[..., 1]) < EDGE + CABLE / 2
    return inside & ~seen(description, camera, "connector 0", "connector 1")


def soil_on(soil: dict, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The share of a connector's surface that soil covers at points in its frame; 0.5 is the edge of the soil."""
    turn, rng = np.radians(soil["turn"]), np.random.default_rng(soil["form"])
    along = (x - soil["x"]) * np.cos(turn) + (y - soil["y"]) * np.sin(turn)
    across = (y - soil["y"]) * np.cos(turn) - (x - soil["x"]) * np.sin(turn)
    distance = np.hypot(2 * along / soil["length"], 2 * across / soil["width"])
    angle = np.arctan2(across / soil["width"], along / soil["length"])
    ragged = sum(rng.normal(0, 0.25 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 8))
    return expit(9 * (1 + ragged - distance))


def region(description: dict, intact: dict, camera: scene.Camera) -> np.ndarray:
    cables, connectors = description["cables"], description["connectors"]
    if not cables:
        return scene.half_covered(between(description, camera))
    if not alike(description, "slots") or not alike(description, "family"):
        return scene.half_covered(seen(description, camera, "connector 0", "connector 1"))
    if "cut" in cables[0]:
        moved = seen(description, camera, "cable") != seen(intact, camera, "cable")
        return scene.half_covered(moved | seen(description, camera, "copper"))
    if any("broken" in connector for connector in connectors):
        return scene.half_covered(scene.changed(camera, posed(intact)[0], posed(description)[0]))
    for index, connector in enumerate(connectors):
        if "soil" in connector:
            table = np.stack(camera.on_plane(0.0), axis=-1)
            ray = np.sqrt((table**2).sum(axis=-1) + camera.distance**2)
            hit = table * (scene.distance(camera, *posed(description)[0]) / ray)[..., None]
            local = in_frame(connector, hit)
            soiled = soil_on(connector["soil"], local[..., 0], local[..., 1]) > 0.5
            return scene.half_covered(soiled & seen(description, camera, f"connector {index}"))
    return scene.half_covered(seen(description, camera, "cable"))  # in a wrong slot or colour, or two cables


def dye(rng: np.random.Generator) -> dict:
    """The colour of a batch of plastic: factors on red, green and blue of housings and of levers."""
    return {part: (rng.normal(1, 0.05) * rng.normal(1, hue, 3)).tolist() for part, hue in DYES.items()}


def plastics_of(connector: dict, dyed: dict, rng: np.random.Generator) -> tuple[object, object]:
    """The plastic of a connector's housing and of its levers, with wear and, if there is some, soil."""
    size, texels = (DEPTH, width_of(connector["slots"])), 6.0
    x, y = surfaces.raster(size, texels)
    shade = 1 + 0.03 * surfaces.smooth_noise(rng, x.shape, 30) + 0.015 * surfaces.smooth_noise(rng, x.shape, 2)
    shade -= 0.15 * surfaces.fibres(rng, size, texels, int(rng.integers(3, 14)), length=5.0)
    if "soil" in connector:
        mottle = np.clip(1 + 0.12 * surfaces.smooth_noise(rng, x.shape, 3), 0.6, 1.4)
        shade *= 1 - np.clip(connector["soil"]["strength"] * mottle, 0, 0.92) * soil_on(connector["soil"], x, y)
    through = np.ones_like(x)
    if connector["family"] == "orange":  # clear plastic, with the clamps dimly visible
        for at in slots_at(connector["slots"]):
            clamp = (np.abs(y - at) < 2.9) & (np.abs(x + 1.5) < 8.5)
            clamp |= (np.abs(x + 9.5) < 0.9) & (np.abs(y) < size[1] / 2 - 2)  # the bar that joins them
            through -= 0.16 * ndimage.gaussian_filter(clamp.astype(float), 3)
    colours = [
        np.array(usual[connector["family"]]) * dyed[part] for part, usual in (("housing", HOUSINGS), ("lever", LEVERS))
    ]
    first = 0 if connector["side"] == "left" else 2
    return tuple(
        surfaces.loaded_plastic(np.clip(value[..., None] * colour, 0.003, 0.9), 0.15, first + index)
        for index, (value, colour) in enumerate(zip((shade * through, shade), colours, strict=True))
    )


def ground(rng: np.random.Generator) -> tuple[object, dict]:
    """A matt, warm grey mat with a grid of small, partly worn dots; and the numbers drawn."""
    size, texels = (200.0, 112.0), 4.0
    x, y = surfaces.raster(size, texels)
    turn, brightness, pitch = rng.normal(0, 0.02), rng.uniform(0.85, 1.15), rng.uniform(0.94, 1.06)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    row_pitch, column_pitch = 2.0 * pitch, 2.3 * pitch
    row = np.rint(across / row_pitch + (offset := rng.uniform(0, 1)))
    from_row = across / row_pitch + offset - row
    column = along / column_pitch + rng.uniform(0, 1) + 0.5 * (row % 2)
    distance = np.hypot((column - np.rint(column)) * column_pitch, from_row * row_pitch)
    dots = expit((0.55 - distance) * 8)
    worn = np.clip(1 + 0.3 * surfaces.smooth_noise(rng, x.shape, 25), 0.2, 1.6)
    shade = 1 + 0.5 * dots * worn + 0.07 * surfaces.smooth_noise(rng, x.shape, 1.5)
    shade += 0.05 * surfaces.smooth_noise(rng, x.shape, 60)
    shade += 0.4 * surfaces.fibres(rng, size, texels, int(rng.integers(5, 20)), length=4.0) * rng.uniform(0.3, 1)
    albedo = np.clip(brightness * shade[..., None] * (0.185, 0.178, 0.166), 0.01, 0.9)
    return scene.rectangle(size, surfaces.matt(albedo)), {"ground_brightness": brightness, "dot_pitch": pitch}


def shapes(description: dict, rng: np.random.Generator) -> tuple[list, dict]:
    ground_rng, cables_rng, *connector_rngs, dye_rng = rng.spawn(5)
    mat, record = ground(ground_rng)
    found, dyed = [mat], dye(dye_rng)
    for connector, connector_rng in zip(description["connectors"], connector_rngs, strict=True):
        size = (DEPTH, width_of(connector["slots"]))
        for solid, material in zip(solids_of(connector), plastics_of(connector, dyed, connector_rng), strict=True):
            found.append(scene.rounded(solid, material, pose_of(connector), size))
    roughness = float(cables_rng.uniform(0.2, 0.35))
    tint = cables_rng.normal(1, 0.06, 3)
    for cable in description["cables"]:
        insulation, copper = solids_along(cable)
        plastic = surfaces.plastic(tuple((np.array(INSULATION[cable["colour"]]) * tint).tolist()), roughness)
        found.append(scene.rounded(insulation, plastic, np.eye(4)))
        if copper:
            found.append(scene.rounded(copper, surfaces.metal((0.85, 0.45, 0.25), 0.3), np.eye(4)))
    return found, record | {"dye": dyed, "cable_tint": tint.tolist(), "cable_roughness": roughness}


CATEGORY = RenderedCategory(
    *(RULES, DEFECTS, Difficulty()),
    *(normal, add_defect, region, shapes),
    revision=3,
    field=(170.0, 85.0),
    scales={
        "quick": Scale(168, {"train": 9, "validation": 3, "good": 4, "logical": 6, "structural": 4}),
        "default": Scale(400, {"train": 100, "validation": 20, "good": 50, "logical": 50, "structural": 50}),
        "full": Scale(1700, {"train": 354, "validation": 59, "good": 119, "logical": 108, "structural": 85}),
    },
    light=partial(scene.vary_light, radiance=5.0, room=0.3),
    tracer={"bounces": 0},
)
