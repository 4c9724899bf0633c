"""A box of pushpins, after the category of MVTec LOCO AD: one pushpin in each of 3 x 5 compartments.

Rules: no compartment is empty, none holds two pushpins, no pushpin lies on a wall, and no two touch. Positions and
turns are free, a few pushpins stand on their caps, and box, plastic, light and camera vary.

Ground truth and saturation:

- missing pushpin: the floor of the empty compartment is marked, since the pushpin could lie anywhere in it; the area of
  a lying pushpin suffices, about an eighth of that floor.
- two in one compartment: both are marked, since either could be the additional one; the area of one suffices. The
  threshold is one number, a little less than the smallest area of a lying pushpin.
- pushpin on a wall: the whole pushpin.
- bent needle: every pixel that shows another surface than the intact pushpin would, which is the needle and the floor
  where it should be, and the rust on the floor; half of that suffices, since each of them shows the defect.
- broken head: the same pixels and the piece that lies beside it; half of that suffices, since either shows the defect.
- foreign body: its whole visible area.

Lengths are millimetres in the frame of the box: x along its five columns, y along its three rows, the origin in its
middle, z = 0 the table.
"""

from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations

import numpy as np
import trimesh

from iadlib.rendering import scene, solids, surfaces
from iadlib.rendering.category import Defect, RenderedCategory, Rule, Scale, attempts

COLUMNS, ROWS = 5, 3
BOX = np.array([158.0, 94.0])
WALL, FLOOR, HEIGHT = 1.6, 1.6, 13.0
PITCH = (BOX - WALL) / (COLUMNS, ROWS)
INSIDE = PITCH - WALL  # size of a compartment's floor
CAP, HANDLE, LENGTH = 5.0, 12.0, 22.5  # of a pushpin: radius of the cap, length of the handle, total length
PROFILE = [  # radius and distance from the cap
    *[(0.0, 0.0), (4.4, 0.0), (CAP, 0.5), (CAP, 1.6), (4.3, 2.3), (3.3, 3.4), (2.9, 5.5), (3.1, 8.0), (3.9, 9.6)],
    *[(4.7, 10.4), (4.7, 11.3), (4.2, HANDLE), (0.0, HANDLE)],
]
NEEDLE = 0.6  # radius
OVERHANG = 2.0  # largest shift in the image of a pushpin that lies on a wall, by perspective
STANDING = 0.06  # share of pushpins that stand on their caps
RUST, DIRT, YELLOW = [0.3, 0.11, 0.04], [0.05, 0.04, 0.03], [0.85, 0.55, 0.03]  # albedos
FOREIGN = ([0.03, 0.03, 0.03], [0.45, 0.03, 0.025], [0.03, 0.09, 0.42], [0.03, 0.25, 0.08])  # albedos of foreign bodies
LYING_AREA = 103.0  # mm², smallest area of a lying pushpin in the image


@dataclass(frozen=True)
class Difficulty:
    """Ranges for uniform draws of a defect, from hard to see at default size to obvious."""

    bend_degrees: tuple[float, float] = (70.0, 150.0)
    rust_length: tuple[float, float] = (11.0, 17.0)  # mm, of the rust on the floor below a bent needle
    broken_off: tuple[float, float] = (6.5, 10.0)  # mm of the handle's length or width
    dirt: tuple[float, float] = (0.6, 1.0)  # opacity, on the fracture and on the piece
    foreign_length: tuple[float, float] = (11.0, 16.0)  # mm


def centre_of(compartment: int) -> np.ndarray:
    """The middle (x, y) of a compartment; they are numbered row by row from 0 at the top left."""
    row, column = divmod(compartment, COLUMNS)
    return (np.array([column, ROWS - 1 - row]) - (COLUMNS / 2 - 0.5, ROWS / 2 - 0.5)) * PITCH


def compartment_of(pin: dict) -> int:
    """The compartment nearest to the middle of a pushpin."""
    middle = footprint(pin).mean(axis=0)
    column, row = np.rint(middle / PITCH + (COLUMNS / 2 - 0.5, ROWS / 2 - 0.5)).astype(int)
    return int((ROWS - 1 - row) * COLUMNS + column)


def footprint(pin: dict) -> np.ndarray:
    """The ends (2, 2) of the axis of a pushpin with a straight needle, seen from above: cap and tip."""
    turn = np.radians(pin["turn"])
    reach = 0.0 if pin["standing"] else LENGTH
    return np.array([pin["x"], pin["y"]]) + reach * np.array([[0.0, 0.0], [np.cos(turn), np.sin(turn)]])


def axis(pin: dict) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 2) along the axis of a pushpin, seen from above, and its radii there."""
    along = np.linspace(0, LENGTH, 24)
    radii = np.where(along <= HANDLE, CAP, NEEDLE)
    cap, tip = footprint(pin)
    points = cap + (tip - cap) * (along / LENGTH)[:, None]
    if "bend" not in pin:
        return points, radii
    _, sideways, ahead = needle_path(pin).T
    direction = (tip - cap) / LENGTH
    needle = cap + ahead[:, None] * direction + sideways[:, None] * [-direction[1], direction[0]]
    handle = along <= HANDLE
    return np.concatenate([points[handle], needle]), np.concatenate([radii[handle], np.full(len(needle), NEEDLE)])


def lies_inside(pin: dict, compartment: int) -> bool:
    """Whether a pushpin touches no wall of a compartment."""
    points, radii = axis(pin)
    return bool((np.abs(points - centre_of(compartment)) + radii[:, None] < INSIDE / 2 - 0.2).all())


def apart(pin: dict, other: dict, gap: float = 0.3) -> bool:
    """Whether the distance between two pushpins, seen from above, is more than the gap."""
    return solids.apart(axis(pin), axis(other), gap)


def count_in(description: dict) -> np.ndarray:
    """The number of pushpins in every compartment."""
    return np.bincount([compartment_of(pin) for pin in description["pushpins"]], minlength=ROWS * COLUMNS)


RULES = {
    "none_empty": Rule(
        "every compartment holds a pushpin", lambda description: bool((count_in(description) >= 1).all())
    ),
    "none_crowded": Rule(
        "no compartment holds two pushpins", lambda description: bool((count_in(description) <= 1).all())
    ),
    "none_on_a_wall": Rule(
        "every pushpin lies inside one compartment and touches no wall",
        lambda description: all(lies_inside(pin, compartment_of(pin)) for pin in description["pushpins"]),
    ),
    "apart": Rule(
        "no two pushpins touch",
        lambda description: all(apart(*pair) for pair in combinations(description["pushpins"], 2)),
    ),
}
DEFECTS = {
    "missing_pushpin": Defect("an empty compartment", breaks="none_empty", saturation_mm2=LYING_AREA),
    "two_pushpins": Defect("a second pushpin in a compartment", breaks="none_crowded", saturation_mm2=LYING_AREA),
    "pushpin_on_wall": Defect("a pushpin across the wall between two compartments", breaks="none_on_a_wall"),
    "bent_needle": Defect("a needle bent sideways, rusted, with rust on the floor", saturation_share=0.5),
    "broken_head": Defect("a handle with a piece broken off, soiled, which lies beside it", saturation_share=0.5),
    "foreign_body": Defect("a dark or coloured crumb that does not belong here"),
}


def pushpin(rng: np.random.Generator, compartment: int, standing: bool = False) -> dict:
    """A pushpin in a random position in a compartment."""
    for _ in attempts("position for a pushpin"):
        x, y = centre_of(compartment) + rng.uniform(-0.5, 0.5, 2) * INSIDE
        pin = {"x": x, "y": y, "z": FLOOR, "turn": rng.uniform(0, 360), "standing": standing}
        if lies_inside(pin, compartment):
            return pin


def two_pushpins(rng: np.random.Generator, compartment: int) -> list[dict]:
    for _ in attempts("position for two pushpins"):
        pair = [pushpin(rng, compartment), pushpin(rng, compartment)]
        if apart(*pair):
            return pair


def pushpin_on_wall(rng: np.random.Generator, compartment: int) -> tuple[dict, int]:
    """A pushpin across a wall, its middle on the side of this compartment; and the compartment behind the wall."""
    row, column = divmod(compartment, COLUMNS)
    sides = np.array([(-1, 0), (1, 0), (0, 1), (0, -1)])
    inner = sides[[column > 0, column < COLUMNS - 1, row > 0, row < ROWS - 1]]
    towards = inner[rng.integers(len(inner))]
    middle = centre_of(compartment) + towards * (PITCH / 2 - rng.uniform(0.3, 3.0))
    middle += rng.uniform(-0.25, 0.25) * INSIDE * towards[::-1]
    turn = np.degrees(np.arctan2(towards[1], towards[0])) + rng.uniform(-50, 50) + rng.choice([0, 180])
    x, y = middle - LENGTH / 2 * np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))])
    beyond = compartment + int(towards[0]) - COLUMNS * int(towards[1])
    return {"x": x, "y": y, "z": HEIGHT, "turn": turn, "standing": False}, beyond  # cap and flange are above the walls


def normal(rng: np.random.Generator) -> dict:
    pose = {"turn": rng.normal(0, 0.7), "x": rng.normal(0, 0.8), "y": rng.normal(0, 0.6)}
    pins = [pushpin(rng, compartment, bool(rng.random() < STANDING)) for compartment in range(ROWS * COLUMNS)]
    return {"pose": pose, "pushpins": pins}


def add_defect(intact: dict, defect: str, rng: np.random.Generator, difficulty: Difficulty) -> dict:
    pins = list(intact["pushpins"])
    compartment = int(rng.integers(len(pins)))
    drawn = {"compartment": compartment}
    if defect == "missing_pushpin":
        del pins[compartment]
    elif defect == "two_pushpins":
        pins[compartment], second = two_pushpins(rng, compartment)
        pins.append(second)
    elif defect == "pushpin_on_wall":
        for _ in attempts("position for a pushpin on a wall"):  # the pushpin behind the wall moves aside
            pins = list(intact["pushpins"])
            pins[compartment], beyond = pushpin_on_wall(rng, compartment)
            pins[beyond] = pushpin(rng, beyond, pins[beyond]["standing"])
            others = [pin for at, pin in enumerate(pins) if at != compartment]
            if all(apart(pins[compartment], pin, OVERHANG) for pin in others):
                break
    elif defect == "foreign_body":
        colour = FOREIGN[int(rng.integers(len(FOREIGN)))]
        crumb = loose(rng, rng.uniform(*difficulty.foreign_length), colour)
        pins[compartment], place = beside(rng, compartment, {}, crumb["length"])
        return intact | {"pushpins": pins, "crumb": crumb | place, "defect": drawn | crumb | place}
    elif defect == "broken_head":
        damage = broken(rng, difficulty)
        dirt = damage["broken"]["dirt"]
        colour = np.add(np.multiply(YELLOW, 1 - dirt), np.multiply(DIRT, dirt)).tolist()
        piece = loose(rng, 1.3 * damage["broken"]["depth"], colour)
        pins[compartment], place = beside(rng, compartment, damage, piece["length"])
        return intact | {"pushpins": pins, "crumb": piece | place, "defect": drawn | damage["broken"] | place}
    else:
        for _ in attempts("position for a bent needle"):
            bend = bent(rng, difficulty)
            pins[compartment] = pushpin(rng, compartment) | bend
            if lies_inside(pins[compartment], compartment):  # it may reach farther aside than a straight one
                break
        rust = loose(rng, rng.uniform(*difficulty.rust_length), RUST) | {"height": 0.2}
        room = (INSIDE - rust["length"]) / 2 - 0.3
        middle = axis(pins[compartment])[0][-1] - centre_of(compartment)
        rust["x"], rust["y"] = (centre_of(compartment) + np.clip(middle, -room, room)).tolist()
        return intact | {"pushpins": pins, "crumb": rust, "defect": drawn | bend["bend"] | {"rust": rust["length"]}}
    return intact | {"pushpins": pins, "defect": drawn}


def loose(rng: np.random.Generator, length: float, colour: list[float]) -> dict:
    """A crumb that lies on the floor, without its place."""
    width = length * rng.uniform(0.45, 0.85)
    drawn = {"length": length, "width": width, "height": 0.6 * width, "turn": rng.uniform(0, 360), "colour": colour}
    return drawn | {"form": int(rng.integers(2**31))}


def beside(rng: np.random.Generator, compartment: int, damage: dict, length: float) -> tuple[dict, dict]:
    """A pushpin with a damage in a compartment, and the place of a crumb of that length that does not touch it."""
    for _ in attempts("position for a crumb"):  # draws both again, since some poses leave no room
        pin = pushpin(rng, compartment) | damage
        place = centre_of(compartment) + rng.uniform(-0.5, 0.5, 2) * (INSIDE - length - 1)
        points, radii = axis(pin)
        if (np.linalg.norm(points - place, axis=1) > radii + length / 2).all():
            return pin, {"x": place[0], "y": place[1]}


def bent(rng: np.random.Generator, difficulty: Difficulty) -> dict:
    bend = {"degrees": rng.uniform(*difficulty.bend_degrees), "at": rng.uniform(0.05, 0.35)}
    bend["degrees"] *= rng.choice([-1, 1])
    return {"bend": bend}


def broken(rng: np.random.Generator, difficulty: Difficulty) -> dict:
    gone = {"depth": rng.uniform(*difficulty.broken_off), "slope": rng.uniform(-30, 30)}
    gone |= {"at": str(rng.choice(["cap", "side"])), "form": int(rng.integers(2**31))}
    gone["dirt"] = rng.uniform(*difficulty.dirt)
    return {"broken": gone}


def needle_of(pin: dict) -> solids.manifold3d.Manifold:
    """The needle of a pushpin along z whose cap is at the origin."""
    along = np.linspace(0, 1, 40)
    return solids.tube(needle_path(pin), 2 * NEEDLE * np.clip((1 - along) / 0.25, 0.15, 1), sections=10)


def needle_path(pin: dict) -> np.ndarray:
    """The middle line (40, 3) of that needle; it bends along y, which is horizontal for a lying pushpin."""
    bend = pin.get("bend", {"degrees": 0.0, "at": 0.5})
    along = np.linspace(0, 1, 40)
    angles = np.radians(bend["degrees"]) * np.clip((along - bend["at"]) / 0.15 + 0.5, 0, 1)
    steps = (LENGTH - HANDLE + 1) / 39 * np.stack([0 * angles, np.sin(angles), np.cos(angles)], axis=1)
    return np.array([0, 0, HANDLE - 1]) + np.cumsum(steps, axis=0)


def handle_of(pin: dict) -> solids.manifold3d.Manifold:
    handle = solids.revolved(PROFILE)
    if "broken" not in pin:
        return handle
    broken = pin["broken"]
    rng = np.random.default_rng(broken["form"])
    side = np.radians(broken["slope"])
    at_side = broken["at"] == "side"
    outward = np.array([-np.cos(side), np.sin(side), 0.0] if at_side else [0.0, np.sin(side), -np.cos(side)])
    corner = np.array([0, 0, 1.0]) + CAP * outward if at_side else np.zeros(3)
    rest = solids.break_off(handle, rng, corner, outward, broken["depth"], (5.5, 7.5), (0.2, 1.2), 0.8)
    return max(rest.decompose(), key=solids.manifold3d.Manifold.volume)  # without splinters


@solids.cached(16)
def mesh_of(part: str, damage: dict) -> trimesh.Trimesh:
    """The "handle", the "needle" or the "whole" of a pushpin; do not change it, since it is kept."""
    if part == "whole":
        return solids.mesh_of(handle_of(damage) + needle_of(damage))
    return solids.mesh_of(handle_of(damage) if part == "handle" else needle_of(damage))


def damage_of(pin: dict) -> dict:
    """The entries of a pushpin that change its solid."""
    return {key: pin[key] for key in ("bend", "broken") if key in pin}


def pose_of(pin: dict, box: np.ndarray) -> np.ndarray:
    """The pose of a pushpin, which lies on its cap and its flange or stands on its cap."""
    slope = np.degrees(np.arcsin((CAP - PROFILE[9][0]) / PROFILE[9][1]))
    raised, tilt = (0.0, 0.0) if pin["standing"] else (CAP, 90 + slope)
    return box @ solids.pose_of(pin["x"], pin["y"], pin["z"] + raised, pin["turn"], tilt)


def soiled_fracture(pin: dict, pose: np.ndarray) -> object:
    """Dirt on the faces of a handle where a piece has broken off."""
    solid = scene.smoothed(mesh_of("handle", damage_of(pin)))
    middles = solid.vertices[solid.faces].mean(axis=1)
    radii, heights = np.transpose(PROFILE)
    inside = np.hypot(middles[:, 0], middles[:, 1]) < np.interp(middles[:, 2], heights[2:-1], radii[2:-1]) - 0.25
    broken = inside & (middles[:, 2] > 0.1) & (middles[:, 2] < HANDLE - 0.1)
    dirt = {"type": "mask", "opacity": pin["broken"]["dirt"], "bsdf": surfaces.even(DIRT)}
    return scene.coat(solid, broken, dirt, pose)


def crumb_of(crumb: dict) -> trimesh.Trimesh:
    size = (crumb["length"], crumb["width"], crumb["height"])
    return solids.mesh_of(solids.lump(np.random.default_rng(crumb["form"]), size))


def crumb_pose(crumb: dict) -> np.ndarray:
    return solids.pose_of(crumb["x"], crumb["y"], FLOOR, crumb["turn"])


@cache
def box_solid() -> trimesh.Trimesh:
    """The box: a block with rounded corners, without the compartments."""
    body = solids.extruded(solids.rectangle(*BOX, 4.0), 0, HEIGHT)
    for compartment in range(ROWS * COLUMNS):
        body -= solids.extruded(solids.rectangle(*INSIDE, 2.0, tuple(centre_of(compartment))), FLOOR, HEIGHT + 1)
    return solids.mesh_of(body)


def posed(description: dict) -> list[trimesh.Trimesh]:
    """Every solid in its pose: the pushpins in their order, the crumb if there is one, the box."""
    box, crumb = solids.flat_pose(description["pose"]), description.get("crumb")
    parts = [(mesh_of("whole", damage_of(pin)), pose_of(pin, box)) for pin in description["pushpins"]]
    if crumb:
        parts.append((crumb_of(crumb), box @ crumb_pose(crumb)))
    return [solid.copy().apply_transform(pose) for solid, pose in [*parts, (box_solid(), box)]]


def region(description: dict, intact: dict, camera: scene.Camera) -> np.ndarray:
    compartment, pins = description["defect"]["compartment"], list(description["pushpins"])
    if len(pins) < ROWS * COLUMNS:
        floor = np.stack(camera.on_plane(FLOOR), axis=-1)
        in_box = solids.in_frame(solids.flat_pose(description["pose"]), floor)
        return scene.half_covered((np.abs(in_box - centre_of(compartment)) < INSIDE / 2).all(axis=-1))
    parts = posed(description)
    if damage := damage_of(pins[compartment]):
        pins[compartment] = {key: value for key, value in pins[compartment].items() if key not in damage}
        moved = scene.changed(camera, posed(description | {"pushpins": pins}), parts)
        return scene.half_covered(moved | (scene.owners(camera, *parts) == len(parts) - 1))  # with the crumb
    # One pushpin per compartment: the marked one lies on a wall, unless there is a crumb, the last part but the box.
    marked = [compartment + 1] if len(parts) == ROWS * COLUMNS + 1 else [len(parts) - 1]
    if len(pins) > ROWS * COLUMNS:
        marked.append(compartment + 1)
    return scene.half_covered(np.isin(scene.owners(camera, *parts), marked))


def shapes(description: dict, rng: np.random.Generator) -> tuple[list, dict]:
    table_rng, box_rng, pins_rng = rng.spawn(3)
    box, crumb = solids.flat_pose(description["pose"]), description.get("crumb")
    grey, hue = float(box_rng.normal(0.72, 0.02)), float(pins_rng.normal(0, 0.02))
    box_material = surfaces.worn(box_rng, (grey, grey, 1.02 * grey), tuple(BOX))
    yellow = surfaces.loaded_plastic(np.add(YELLOW, (0, hue, 0)))
    steel = surfaces.metal((0.6, 0.6, 0.62), 0.25)
    bare = scene.mitsuba().load_dict(steel)
    found = [
        surfaces.sheet(table_rng, (230, 150), (0.06, 0.065, 0.07)),
        scene.rounded(box_solid(), box_material, box, tuple(BOX)),
    ]
    for pin in description["pushpins"]:
        pose = pose_of(pin, box)
        found.append(scene.rounded(mesh_of("handle", damage_of(pin)), yellow, pose))
        needle = surfaces.blend(steel, surfaces.even(RUST), 0.8) if "bend" in pin else bare
        found.append(scene.rounded(mesh_of("needle", damage_of(pin)), needle, pose))
        if "broken" in pin:
            found.append(soiled_fracture(pin, pose))
    if crumb:
        found.append(scene.rounded(crumb_of(crumb), surfaces.even(crumb["colour"]), box @ crumb_pose(crumb)))
    return found, {"box_grey": grey, "pin_hue": hue}


CATEGORY = RenderedCategory(
    *(RULES, DEFECTS, Difficulty()),
    *(normal, add_defect, region, shapes),
    revision=4,
    field=(170.0, 100.0),
    scales={
        "quick": Scale(160, {"train": 8, "validation": 4, "good": 4, "logical": 6, "structural": 6}),
        "default": Scale(400, {"train": 100, "validation": 20, "good": 50, "logical": 50, "structural": 50}),
        "full": Scale(1700, {"train": 372, "validation": 69, "good": 138, "logical": 91, "structural": 81}),
    },
    light=partial(scene.vary_light, radiance=4.8, room=0.3),
    tracer={"bounces": 0},  # light between the walls would need many more samples
)
