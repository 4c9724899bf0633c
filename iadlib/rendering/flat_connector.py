"""A galvanised flat connector on black cloth: a rendered counterpart of the category photographed in the thesis.

The part is a plate of 100 x 35 x 2 mm with slightly rounded corners, twelve nail holes of 5 mm in two staggered rows,
two bolt holes of 11 mm, and a CE mark stamped into its middle. Rules: every hole is present, there is no other hole,
and every hole has its diameter. Pose, light, metal and cloth vary from image to image.

A logical anomaly breaks a rule, a structural anomaly damages the metal; an anomalous image has one anomaly. Ground
truth is where the camera sees another surface than on the intact part; for a scratch, it is the scratched area of the
metal. Every defect saturates at its whole region, as in the thesis: the place of each defect is unambiguous, so a
detector that marks half of a hole has not found it.

Lengths are millimetres in the frame of the part: x along the plate, y across, the origin in its middle, z = 0 its
underside.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import trimesh
from scipy import ndimage

from iadlib.rendering import scene, solids, surfaces
from iadlib.rendering.category import Defect, RenderedCategory, Rule, Scale, attempts

SIZE = np.array([100.0, 35.0])
THICKNESS, CORNER_RADIUS = 2.0, 2.5
ROLL_WIDTH, ROLL_DEPTH = 0.6, 0.18  # of the edges, which punching and shearing round off
TEXELS = 8.0  # per millimetre, of the metal's textures


@dataclass(frozen=True)
class Hole:
    x: float
    y: float
    diameter: float


NAIL, BOLT = 5.0, 11.0
HOLES = (
    *(Hole(x, 10.5, NAIL) for x in (-43.0, -29.0, -15.0, 15.0, 29.0, 43.0)),
    *(Hole(x, -10.5, NAIL) for x in (-36.0, -22.0, -8.0, 8.0, 22.0, 36.0)),
    *(Hole(x, 0.0, BOLT) for x in (-32.0, 32.0)),
)
STAMP = Hole(0.0, 0.0, 14.0)  # the area of the CE mark, which additional holes avoid


@dataclass(frozen=True)
class Difficulty:
    """Ranges for uniform draws of a defect, from hard to see to obvious. Lengths are millimetres."""

    resized_by: tuple[float, float] = (0.8, 3.0)  # change of the diameter, up or down
    damage_width: tuple[float, float] = (3.0, 10.0)  # along the edge
    damage_depth: tuple[float, float] = (0.6, 3.0)  # into the plate
    damage_bend: tuple[float, float] = (0.0, 1.2)  # down, away from the camera
    corner_legs: tuple[float, float] = (2.5, 11.0)  # of each leg of the triangle that is cut off
    scratch_length: tuple[float, float] = (12.0, 45.0)
    scratch_width: tuple[float, float] = (0.5, 1.6)
    scratch_strength: tuple[float, float] = (0.4, 1.0)  # 1: flanks at 45 degrees, half as bright


def holes_at(description: dict, hole: Hole) -> list[dict]:
    """The holes whose middle is within 0.5 mm of that of `hole`."""
    return [found for found in description["holes"] if np.hypot(found["x"] - hole.x, found["y"] - hole.y) < 0.5]


RULES = {
    "all_holes": Rule(
        "each of the fourteen holes is there", lambda description: all(holes_at(description, hole) for hole in HOLES)
    ),
    "no_other_hole": Rule(
        "there is no other hole",
        lambda description: len(description["holes"]) == sum(len(holes_at(description, hole)) for hole in HOLES),
    ),
    "hole_sizes": Rule(
        "every hole has the diameter of the drawing, 5 or 11 mm",
        lambda description: all(
            abs(found["diameter"] - hole.diameter) < 0.2 for hole in HOLES for found in holes_at(description, hole)
        ),
    ),
}
DEFECTS = {
    "missing_hole": Defect("a hole is not there", breaks="all_holes"),
    "additional_hole": Defect("a hole where none belongs", breaks="no_other_hole"),
    "resized_hole": Defect("a hole too large or too small", breaks="hole_sizes"),
    "damaged_edge": Defect("an edge driven in by a blow"),
    "cut_corner": Defect("a corner cut off"),
    "scratch": Defect("a scratch in the metal"),
}


def missing_hole(rng: np.random.Generator, difficulty: Difficulty) -> dict:
    index = int(rng.integers(len(HOLES)))
    hole = HOLES[index]
    return with_holes(HOLES[:index] + HOLES[index + 1 :], at=[hole.x, hole.y], hole=index, **asdict(hole))


def additional_hole(rng: np.random.Generator, difficulty: Difficulty) -> dict:
    diameter = float(rng.choice([NAIL, NAIL, BOLT]))
    for _ in attempts("position for a hole"):
        hole = Hole(*rng.uniform(-1, 1, 2) * (SIZE / 2 - 3 - diameter / 2), diameter)
        apart = [np.hypot(hole.x - o.x, hole.y - o.y) - (hole.diameter + o.diameter) / 2 for o in (*HOLES, STAMP)]
        if min(apart) > 1.5:
            return with_holes((*HOLES, hole), at=[hole.x, hole.y], **asdict(hole))


def resized_hole(rng: np.random.Generator, difficulty: Difficulty) -> dict:
    index = int(rng.integers(len(HOLES)))
    hole = HOLES[index]
    resized = replace(hole, diameter=hole.diameter + float(rng.choice([-1, 1]) * rng.uniform(*difficulty.resized_by)))
    holes = (*HOLES[:index], resized, *HOLES[index + 1 :])
    return with_holes(holes, at=[hole.x, hole.y], hole=index, **asdict(resized), intact_diameter=hole.diameter)


def with_holes(holes: tuple[Hole, ...], **defect) -> dict:
    return {"holes": [asdict(hole) for hole in holes], "defect": defect}


def damaged_edge(rng: np.random.Generator, difficulty: Difficulty) -> dict:
    width = rng.uniform(*difficulty.damage_width)
    axis = int(rng.random() < SIZE[1] / SIZE.sum())  # 0: on a long side, moved along x
    at = rng.uniform(-1, 1, 2) * (SIZE / 2 - CORNER_RADIUS - width / 2)
    inward = np.zeros(2)
    inward[1 - axis] = -rng.choice([-1, 1])
    at[1 - axis] = (-inward * SIZE / 2)[1 - axis]
    drawn = {"at": at.tolist(), "width": width, "depth": rng.uniform(*difficulty.damage_depth)}
    drawn["bend"] = rng.uniform(*difficulty.damage_bend)
    return {
        "defect": drawn,
        "dent": drawn | {"inward": inward.tolist(), "phases": rng.uniform(0, 2 * np.pi, 2).tolist()},
    }


def cut_corner(rng: np.random.Generator, difficulty: Difficulty) -> dict:
    side = rng.choice([-1, 1], 2)
    corner, legs = side * SIZE / 2, rng.uniform(*difficulty.corner_legs, 2)
    # A triangle that contains the corner: it is 1 mm larger on each side, along the line of the cut.
    reach = legs * (1 + 1 / legs[::-1])
    cut = corner + side * np.array([[1, 1], [1, -reach[1]], [-reach[0], 1]])
    return {"defect": {"at": corner.tolist(), "legs": legs.tolist()}, "cut": cut.tolist()}


def scratch(rng: np.random.Generator, difficulty: Difficulty) -> dict:
    length, width = rng.uniform(*difficulty.scratch_length), rng.uniform(*difficulty.scratch_width)
    strength = rng.uniform(*difficulty.scratch_strength)
    for _ in attempts("position for a scratch"):
        path = solids.random_curve(rng, length, 0.06) + rng.uniform(-0.5, 0.5, 2) * SIZE
        if (np.abs(path) < SIZE / 2 - 1).all():
            drawn = {"at": path.mean(axis=0).tolist(), "length": length, "width": width, "strength": strength}
            return {"defect": drawn, "scratch": drawn | {"path": path.tolist()}}


DRAW = {
    draw.__name__: draw for draw in (missing_hole, additional_hole, resized_hole, damaged_edge, cut_corner, scratch)
}


def normal(rng: np.random.Generator) -> dict:
    pose = {"turn": rng.normal(0, 1.2), "x": rng.normal(0, 1.0), "y": rng.normal(0, 0.8)}
    return {"pose": pose, "holes": [asdict(hole) for hole in HOLES]}


def add_defect(intact: dict, defect: str, rng: np.random.Generator, difficulty: Difficulty) -> dict:
    return intact | DRAW[defect](rng, difficulty)


def outline(inset: float) -> np.ndarray:
    """The outline (N, 2) of the plate, counter-clockwise, moved inwards by `inset`."""
    angles = np.linspace(0, np.pi / 2, 9)
    arc = (CORNER_RADIUS - inset) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    quarter = SIZE / 2 - CORNER_RADIUS + arc
    left = quarter[::-1] * (-1, 1)
    return np.concatenate([quarter, left, -quarter, -left])


def prism(levels: list[tuple[np.ndarray, float]]) -> trimesh.Trimesh:
    """The convex hull of outlines (N, 2) at heights."""
    return trimesh.convex.convex_hull(np.concatenate([np.column_stack([at, np.full(len(at), z)]) for at, z in levels]))


@solids.cached(4)
def undented(holes: list[dict], cut: list | None) -> trimesh.Trimesh:
    """The plate with holes, without the corner inside the triangle `cut`."""
    body = prism([(outline(0), 0), (outline(0), THICKNESS - ROLL_DEPTH), (outline(ROLL_WIDTH), THICKNESS)])
    tools = [prism([(cut, -1), (cut, THICKNESS + 1)])] if cut else []
    for hole in holes:
        radius = hole["diameter"] / 2
        rim = [(radius, -1), (radius, THICKNESS - ROLL_DEPTH), (radius + ROLL_WIDTH, THICKNESS)]
        above = [(radius + ROLL_WIDTH, THICKNESS + 1), (0, THICKNESS + 1)]
        tool = trimesh.creation.revolve([(0, -1), *rim, *above], sections=48)
        tools.append(tool.apply_translation((hole["x"], hole["y"], 0)))
    return trimesh.boolean.difference([body, *tools], engine="manifold") if tools else body


def solid_of(description: dict) -> tuple[trimesh.Trimesh, np.ndarray]:
    """The plate, and the positions (N, 2) of its vertices before a blow, which are their positions on textures."""
    solid = undented(description["holes"], description.get("cut")).copy()
    if "dent" not in description:
        return solid, solid.vertices[:, :2]
    fine = solids.mesh_of(solids.of(solid), finer_than=0.6)
    moved = fine.vertices + blow(description["dent"], fine.vertices)
    return trimesh.Trimesh(moved, fine.faces, process=False), fine.vertices[:, :2]


def blow(dent: dict, points: np.ndarray) -> np.ndarray:
    """The displacement of points (N, 3) by a blow against the edge: inwards and, on the upper side, down."""
    inward, phases = np.array(dent["inward"]), dent["phases"]
    depth_in, along = (points[:, :2] - dent["at"]) @ inward, (points[:, :2] - dent["at"]) @ inward[::-1]
    first, second = np.sin(along * 1.9 + phases[0]), np.sin(along * 4.7 + phases[1])
    profile = np.clip(1 - (2 * along / dent["width"]) ** 2, 0, 1) ** 1.5 * (1 + 0.2 * first + 0.12 * second)
    share = profile * np.exp(-((depth_in / (dent["depth"] + 1)) ** 2))
    down = share * dent["bend"] * points[:, 2] / THICKNESS
    return np.column_stack([share[:, None] * dent["depth"] * inward, -down])


def material_of(description: dict, rng: np.random.Generator) -> tuple[dict, dict]:
    """Zinc with the stamp and, if there is one, the scratch; and the numbers drawn."""
    x, y = surfaces.raster(SIZE, TEXELS)
    depth = rng.uniform(0.12, 0.22)
    mark = ndimage.gaussian_filter(surfaces.ce_mark(x, y, height=7.0).astype(float), 1.5)
    relief, shade = -depth * mark, 1 - 0.3 * mark
    if "scratch" in description:
        half_width, strength = description["scratch"]["width"] / 2, description["scratch"]["strength"]
        distance, along = surfaces.distance_to(np.array(description["scratch"]["path"]), x, y)
        across, strength = distance / half_width, strength * np.sin(np.pi * np.clip(along, 0.03, 0.97)) ** 0.4
        relief += strength * half_width * surfaces.groove(across)
        shade *= 1 - 0.5 * strength * np.clip(1.5 - across, 0, 1)
    material, record = surfaces.zinc(rng, SIZE, TEXELS, relief, shade)
    return material, record | {"stamp_depth": depth}


def posed(description: dict) -> trimesh.Trimesh:
    """The plate in its pose."""
    return solid_of(description)[0].apply_transform(solids.flat_pose(description["pose"]))


def region(description: dict, intact: dict, camera: scene.Camera) -> np.ndarray:
    """The pixels (H, W) where the camera sees the defect; a scratch is at least one pixel wide."""
    before = posed(intact)
    if "scratch" not in description:
        return scene.half_covered(scene.changed(camera, [before], [posed(description)]))
    x, y = camera.on_plane(THICKNESS)
    on_metal = scene.distance(camera, before) < np.sqrt(x**2 + y**2 + (camera.distance - THICKNESS) ** 2) + 0.1
    pose = solids.flat_pose(description["pose"])
    return scene.half_covered(on_metal & surfaces.on_scratch(description["scratch"], pose, camera, THICKNESS))


def silhouette(description: dict, camera: scene.Camera) -> np.ndarray:
    """The pixels (H, W) of the plate with its holes filled, but without a cut corner or a dent."""
    return scene.half_covered(scene.owners(camera, posed(description | {"holes": []})) == 1)


def shapes(
    description: dict,
    rng: np.random.Generator,
    ground: str = "cloth",
    make_ground: Callable[[np.random.Generator, np.ndarray], tuple[object, dict]] = surfaces.cloth,
) -> tuple[list, dict]:
    """The plate on a ground, which `make_ground` makes flat under the outline (N, 2) of the plate."""
    metal_rng, ground_rng = rng.spawn(2)
    pose = solids.flat_pose(description["pose"])
    solid, on_texture = solid_of(description)
    material, metal = material_of(description, metal_rng)
    plate = scene.shape(trimesh.transform_points(solid.vertices, pose), solid.faces, on_texture, SIZE, material)
    flat = trimesh.transform_points(np.column_stack([outline(0), np.zeros(len(outline(0)))]), pose)[:, :2]
    ground_shape, ground_record = make_ground(ground_rng, flat)
    return [plate, ground_shape], {"metal": metal, ground: ground_record}


CATEGORY = RenderedCategory(
    *(RULES, DEFECTS, Difficulty()),
    *(normal, add_defect, region, shapes),
    revision=3,
    field=(112.0, 112.0 * 128 / 288),
    scales={
        "quick": Scale(144, {"train": 8, "validation": 4, "good": 4, "logical": 6, "structural": 6}),
        "default": Scale(400, {"train": 100, "validation": 20, "good": 50, "logical": 50, "structural": 50}),
        "full": Scale(1152, {"train": 300, "validation": 60, "good": 100, "logical": 90, "structural": 90}),
    },
)
