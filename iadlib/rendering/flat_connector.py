"""A galvanised flat connector on black cloth: the thesis's category as a digital twin of its recording set-up.

The part is a plate of 100 x 35 x 2 mm with slightly rounded corners, twelve nail holes of 5 mm in two staggered rows,
two bolt holes of 11 mm, and a CE mark stamped into its middle. Its rules: every hole is there, none is added, each has
its size. Pose, light, metal and cloth vary from image to image.

Logical anomalies break a rule, structural ones damage the metal; an anomalous image has one. Ground truth is where the
camera sees another surface than on the intact part; for a scratch, its footprint on the metal. Every defect saturates
at its whole region, as in the thesis. Lengths are millimetres in the frame of the part: x along the plate, y across,
the origin in its middle, z = 0 its underside.
"""

from dataclasses import asdict, dataclass, field, replace

import manifold3d
import numpy as np
import trimesh
from scipy import ndimage

from iadlib.rendering import scene, surfaces

REVISION = 1  # a folder rendered by another revision is not resumed: raise it whenever the pictures change
WHOLE = {"saturation_threshold": 1.0, "relative_saturation": True}
DEFECTS = {  # in the order of their pixel values, 255 downwards
    "logical_anomalies": {"missing_hole": WHOLE, "additional_hole": WHOLE, "resized_hole": WHOLE},
    "structural_anomalies": {"damaged_edge": WHOLE, "cut_corner": WHOLE, "scratch": WHOLE},
}
COUNTS = {"train": 60, "validation": 20, "good": 30, "logical": 30, "structural": 30}
SAMPLES = 16
ASPECT = 128 / 288
FIELD_WIDTH = 112.0

SIZE = np.array([100.0, 35.0])
THICKNESS, CORNER_RADIUS = 2.0, 2.5
ROLL_WIDTH, ROLL_DEPTH = 0.6, 0.18  # the rim that punching and shearing roll over
TEXELS = 8.0  # of the metal's textures, per millimetre


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
STAMP = Hole(0.0, 0.0, 14.0)  # the CE mark's place, kept free of additional holes


@dataclass(frozen=True)
class Difficulty:
    """Ranges from which a defect is drawn, uniformly: from what a person overlooks to what is plain."""

    resized_by: tuple[float, float] = (0.8, 3.0)  # change of diameter, larger or smaller
    damage_width: tuple[float, float] = (3.0, 10.0)  # along the edge
    damage_depth: tuple[float, float] = (0.6, 3.0)  # into the plate
    damage_bend: tuple[float, float] = (0.0, 1.2)  # down, away from the camera
    corner_legs: tuple[float, float] = (2.5, 11.0)  # each of the two legs of the corner that is cut off
    scratch_length: tuple[float, float] = (6.0, 40.0)
    scratch_width: tuple[float, float] = (0.25, 0.8)
    scratch_strength: tuple[float, float] = (0.2, 1.0)  # from a faint mark to flanks at 45 degrees, half as bright
    smallest_region: int = 6  # pixels; a defect that shows less is drawn again


DEFAULT = Difficulty()


@dataclass(frozen=True)
class Part:
    """A connector as it lies there. `drawn` describes its defect in numbers; `at` is where it is."""

    at: tuple[float, float] = (0.0, 0.0)
    drawn: dict = field(default_factory=dict)
    holes: tuple[Hole, ...] = HOLES
    cut: np.ndarray | None = None  # corners (N, 2) of a convex piece that is cut away
    dent: dict | None = None
    scratch: dict | None = None


def missing_hole(rng: np.random.Generator, difficulty: Difficulty) -> Part:
    index = int(rng.integers(len(HOLES)))
    hole = HOLES[index]
    return Part((hole.x, hole.y), {"hole": index, **asdict(hole)}, HOLES[:index] + HOLES[index + 1 :])


def additional_hole(rng: np.random.Generator, difficulty: Difficulty) -> Part:
    diameter = float(rng.choice([NAIL, NAIL, BOLT]))
    while True:
        hole = Hole(*rng.uniform(-1, 1, 2) * (SIZE / 2 - 3 - diameter / 2), diameter)
        apart = [np.hypot(hole.x - o.x, hole.y - o.y) - (hole.diameter + o.diameter) / 2 for o in (*HOLES, STAMP)]
        if min(apart) > 1.5:
            return Part((hole.x, hole.y), asdict(hole), (*HOLES, hole))


def resized_hole(rng: np.random.Generator, difficulty: Difficulty) -> Part:
    index = int(rng.integers(len(HOLES)))
    hole = HOLES[index]
    resized = replace(hole, diameter=hole.diameter + float(rng.choice([-1, 1]) * rng.uniform(*difficulty.resized_by)))
    drawn = {"hole": index, **asdict(resized), "intact_diameter": hole.diameter}
    return Part((hole.x, hole.y), drawn, (*HOLES[:index], resized, *HOLES[index + 1 :]))


def damaged_edge(rng: np.random.Generator, difficulty: Difficulty) -> Part:
    width = rng.uniform(*difficulty.damage_width)
    axis = int(rng.random() < SIZE[1] / SIZE.sum())  # 0: on a long side, moved along x
    at = rng.uniform(-1, 1, 2) * (SIZE / 2 - CORNER_RADIUS - width / 2)
    inward = np.zeros(2)
    inward[1 - axis] = -rng.choice([-1, 1])
    at[1 - axis] = (-inward * SIZE / 2)[1 - axis]
    depth, bend = rng.uniform(*difficulty.damage_depth), rng.uniform(*difficulty.damage_bend)
    drawn = {"width": width, "depth": depth, "bend": bend}
    dent = drawn | {"at": at, "inward": inward, "phases": rng.uniform(0, 2 * np.pi, 2)}
    return Part(tuple(at), drawn, dent=dent)


def cut_corner(rng: np.random.Generator, difficulty: Difficulty) -> Part:
    side = rng.choice([-1, 1], 2)
    corner, legs = side * SIZE / 2, rng.uniform(*difficulty.corner_legs, 2)
    # One millimetre beyond the corner, on the prolonged line of the cut.
    reach = legs * (1 + 1 / legs[::-1])
    cut = corner + side * np.array([[1, 1], [1, -reach[1]], [-reach[0], 1]])
    return Part(tuple(corner), {"legs": legs.tolist()}, cut=cut)


def scratch(rng: np.random.Generator, difficulty: Difficulty) -> Part:
    length, width = rng.uniform(*difficulty.scratch_length), rng.uniform(*difficulty.scratch_width)
    while True:
        angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.06, 12))
        path = np.cumsum(length / 12 * np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0)
        path += rng.uniform(-0.5, 0.5, 2) * SIZE
        if (np.abs(path) < SIZE / 2 - 1).all():
            drawn = {"length": length, "width": width, "strength": rng.uniform(*difficulty.scratch_strength)}
            return Part(tuple(path.mean(axis=0)), drawn, scratch=drawn | {"path": path})


DRAW = {
    draw.__name__: draw for draw in (missing_hole, additional_hole, resized_hole, damaged_edge, cut_corner, scratch)
}


def outline(inset: float) -> np.ndarray:
    """The plate's outline (N, 2), counter-clockwise, moved inwards."""
    angles = np.linspace(0, np.pi / 2, 9)
    arc = (CORNER_RADIUS - inset) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    quarter = SIZE / 2 - CORNER_RADIUS + arc
    left = quarter[::-1] * (-1, 1)
    return np.concatenate([quarter, left, -quarter, -left])


def prism(levels: list[tuple[np.ndarray, float]]) -> trimesh.Trimesh:
    """The convex hull of outlines (N, 2) at heights."""
    return trimesh.convex.convex_hull(np.concatenate([np.column_stack([at, np.full(len(at), z)]) for at, z in levels]))


def solid_of(part: Part) -> tuple[trimesh.Trimesh, np.ndarray]:
    """The solid, and where its vertices (N, 2) sat before a blow moved them, which is where textures stick."""
    body = prism([(outline(0), 0), (outline(0), THICKNESS - ROLL_DEPTH), (outline(ROLL_WIDTH), THICKNESS)])
    tools = [] if part.cut is None else [prism([(part.cut, -1), (part.cut, THICKNESS + 1)])]
    for hole in part.holes:
        radius = hole.diameter / 2
        rim = [(radius, -1), (radius, THICKNESS - ROLL_DEPTH), (radius + ROLL_WIDTH, THICKNESS)]
        above = [(radius + ROLL_WIDTH, THICKNESS + 1), (0, THICKNESS + 1)]
        tool = trimesh.creation.revolve([(0, -1), *rim, *above], sections=48)
        tools.append(tool.apply_translation((hole.x, hole.y, 0)))
    solid = trimesh.boolean.difference([body, *tools], engine="manifold")
    if part.dent is None:
        return solid, solid.vertices[:, :2]
    mesh = manifold3d.Mesh(solid.vertices.astype(np.float32), solid.faces.astype(np.uint32))
    fine = manifold3d.Manifold(mesh).refine_to_length(0.6).to_mesh()
    intact = np.asarray(fine.vert_properties, dtype=float)[:, :3]
    return trimesh.Trimesh(intact + blow(part.dent, intact), fine.tri_verts, process=False), intact[:, :2]


def blow(dent: dict, points: np.ndarray) -> np.ndarray:
    """How far a blow against the edge moves points (N, 3): inwards, and the upper side down, in a ragged line."""
    depth_in, along = (points[:, :2] - dent["at"]) @ dent["inward"], (points[:, :2] - dent["at"]) @ dent["inward"][::-1]
    first, second = np.sin(along * 1.9 + dent["phases"][0]), np.sin(along * 4.7 + dent["phases"][1])
    profile = np.clip(1 - (2 * along / dent["width"]) ** 2, 0, 1) ** 1.5 * (1 + 0.2 * first + 0.12 * second)
    share = profile * np.exp(-((depth_in / (dent["depth"] + 1)) ** 2))
    down = share * dent["bend"] * points[:, 2] / THICKNESS
    return np.column_stack([share[:, None] * dent["depth"] * dent["inward"], -down])


def material_of(part: Part, rng: np.random.Generator) -> tuple[dict, dict]:
    """Zinc with the stamp and the scratch in it, and what was drawn for it."""
    x, y = surfaces.raster(SIZE, TEXELS)
    depth = rng.uniform(0.12, 0.22)
    mark = ndimage.gaussian_filter(surfaces.ce_mark(x, y, height=7.0).astype(float), 1.5)
    relief, shade = -depth * mark, 1 - 0.3 * mark
    if part.scratch is not None:
        half_width, strength = part.scratch["width"] / 2, part.scratch["strength"]
        distance, along = surfaces.distance_to(part.scratch["path"], x, y)
        across, strength = distance / half_width, strength * np.sin(np.pi * np.clip(along, 0.03, 0.97)) ** 0.4
        ridge = 0.4 * np.exp(-(((across - 1.3) / 0.4) ** 2))
        relief += strength * half_width * (ridge - np.clip(1 - across, 0, 1))
        shade *= 1 - 0.5 * strength * np.clip(1.5 - across, 0, 1)
    material, record = surfaces.zinc(rng, SIZE, TEXELS, relief, shade)
    return material, record | {"stamp_depth": depth}


def region_of(part: Part, pose: np.ndarray, camera: scene.Camera, intact: np.ndarray) -> np.ndarray:
    """The pixels (H, W) where the camera sees the defect; a scratch counts as at least one pixel wide."""
    if part.scratch is None:
        distance = scene.distance(camera, solid_of(part)[0].apply_transform(pose))
        return scene.half_covered(np.abs(distance - intact) > 0.1)
    x, y = camera.on_plane(THICKNESS)
    on_metal = intact < np.sqrt(x**2 + y**2 + (camera.distance - THICKNESS) ** 2) + 0.1
    in_part = np.stack([x - pose[0, 3], y - pose[1, 3]], axis=-1) @ pose[:2, :2]
    across, _ = surfaces.distance_to(part.scratch["path"], in_part[..., 0], in_part[..., 1])
    return scene.half_covered(on_metal & (across <= max(part.scratch["width"], 1.2 / camera.pixels_per_mm) / 2))


def render(
    defect: str | None, rng: np.random.Generator, width: int, samples: int, difficulty: Difficulty = DEFAULT
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """One photograph: the image (H, W, 3) uint8, the defect's region (H, W) or None, and all that was drawn."""
    for_pose, for_light, for_metal, for_cloth, for_defect, for_sensor = rng.spawn(6)
    camera = scene.Camera(width, round(width * ASPECT), FIELD_WIDTH)
    rotation, shift = for_pose.normal(0, 1.2), for_pose.normal(0, (1.0, 0.8))
    pose = trimesh.transformations.rotation_matrix(np.radians(rotation), (0, 0, 1))
    pose[:2, 3] = shift
    part, region = Part(), None
    if defect is not None:
        intact = scene.distance(camera, solid_of(part)[0].apply_transform(pose))
        while region is None or region.sum() < difficulty.smallest_region:
            part = DRAW[defect](for_defect, difficulty)
            region = region_of(part, pose, camera, intact)
    solid, on_texture = solid_of(part)
    material, metal_record = material_of(part, for_metal)
    posed = trimesh.transform_points(solid.vertices, pose)
    flat = trimesh.transform_points(np.column_stack([outline(0), np.zeros(len(outline(0)))]), pose)[:, :2]
    cloth, cloth_record = surfaces.cloth(for_cloth, flat)
    light = scene.vary_light(for_light)
    shapes = [scene.shape(posed, solid.faces, on_texture, SIZE, material), cloth]
    radiance = scene.radiance(camera, shapes, light, samples, int(for_sensor.integers(2**31)))
    image, sensor_record = scene.photograph(radiance, for_sensor)
    record = {"holes": [asdict(hole) for hole in part.holes]}
    record |= {"pose": {"rotation_degrees": rotation, "shift": shift.tolist()}, "light": asdict(light)}
    record |= {"metal": metal_record, "cloth": cloth_record, "sensor": sensor_record}
    if region is not None:
        at_pixels = camera.to_pixels(trimesh.transform_points([[*part.at, THICKNESS]], pose))[0]
        record["defect"] = {
            "at": part.at,
            "at_pixels": at_pixels.tolist(),
            **part.drawn,
            **scene.visible(image, region),
        }
    return image, region, record
