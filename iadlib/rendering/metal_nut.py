"""A cast metal nut on a dark sheet, after the category of MVTec AD: four swept arms around a bored hub, at any turn.

All anomalies are structural. The folder has the layout of MVTec AD, which has no saturation: every region saturates at
its own area, since each defect has one unambiguous place.

- bent arm: the moved part of the arm, where it is and where it should be.
- scratch and colour stain: the scratched or stained area that the camera sees on the metal.
- flipped: the nut lies upside down, and all of it is marked. (By the rules of MVTec LOCO AD, a smaller share would
  suffice, since the missing hub alone shows the defect; but MVTec AD marks and counts the whole part.)

The arms are swept clockwise or counter-clockwise, depending on the side that is up: a flipped nut differs by its
outline and by its flat back. A casting is a flat mesh of points, raised to heights that round off its edges; the face
of the hub and the bore are turned on a lathe.

Lengths are millimetres in the frame of the nut, seen from above: the origin in its middle, z = 0 the sheet.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import trimesh
from scipy import ndimage
from scipy.spatial import Delaunay, cKDTree
from scipy.special import expit

from iadlib.rendering import scene, solids, surfaces
from iadlib.rendering.category import Defect, RenderedCategory, Scale, attempts

ARMS = 4
BODY, REACH = 15.6, 31.0  # radii of the disc with the arms, and of an arm's tip
HUB, HUB_HEIGHT, BORE = 11.0, 9.0, 5.0  # radius of the hub, its height above the sheet, radius of the hole
CHAMFER = 1.3  # of the bore, radially
HINGE, BEND_LENGTH = 15.8, 6.0  # radius where a bend begins, and its length along the arm
INSETS = (0.0, 0.15, 0.45, 0.9, 1.5)  # rings of points inside the outline, for its rounded edges
# Radius: share of the descent from hub to arms.
DESCENT = {9.4: 0.0, 10.2: 0.0, 10.9: 0.07, 11.6: 0.5, 12.1: 0.86, 12.6: 0.96, 13.2: 1.0}
ROUNDING, BACK_ROUNDING = 1.4, 0.7  # of the casting's upper and lower edges
SIZE, TEXELS = (68.0, 68.0), 8.0  # of the textures, in mm and per mm
PAINTED = 0.5  # share of a texel that a stain covers at the edge of its region
STAINS = {"blue": (0.03, 0.09, 0.42), "red": (0.45, 0.03, 0.025), "green": (0.03, 0.25, 0.08)}
STAINS |= {"rust": (0.23, 0.08, 0.02)}


@dataclass(frozen=True)
class Difficulty:
    """Ranges for uniform draws of a defect, from hard to see at default size to obvious."""

    bend_degrees: tuple[float, float] = (8.0, 32.0)  # up or sideways
    scratch_length: tuple[float, float] = (5.0, 22.0)  # mm
    scratch_width: tuple[float, float] = (0.3, 1.0)  # mm
    scratch_strength: tuple[float, float] = (0.3, 1.0)  # 1: flanks at 45 degrees, bare metal or black
    stain_size: tuple[float, float] = (3.0, 10.0)  # mm, width
    stain_opacity: tuple[float, float] = (0.25, 0.95)  # 1: paint that hides the metal


DEFECTS = {
    "bent_arm": Defect("an arm bent up or sideways"),
    "scratch": Defect("scratches in the metal"),
    "colour_stain": Defect("paint or rust on the metal"),
    "flipped": Defect("the nut lies upside down"),
}


def normal(rng: np.random.Generator) -> dict:
    pose = {"turn": rng.uniform(0, 360), "x": rng.normal(0, 0.9), "y": rng.normal(0, 0.9)}
    casting = {"reach": (REACH + rng.normal(0, 0.3) + rng.normal(0, 0.25, ARMS)).tolist()}
    casting |= {"angles": (90.0 * np.arange(ARMS) + rng.normal(0, 0.5, ARMS)).tolist()}
    casting |= {"width": rng.normal(11.6, 0.2), "sweep": rng.normal(24, 0.7), "thickness": rng.normal(5.5, 0.15)}
    return {"pose": pose, "casting": casting | {"form": int(rng.integers(2**31))}, "flipped": False}


def add_defect(intact: dict, defect: str, rng: np.random.Generator, difficulty: Difficulty) -> dict:
    if defect == "flipped":
        return intact | {"flipped": True, "defect": {"flipped": True}}
    if defect == "bent_arm":
        drawn = {"arm": int(rng.integers(ARMS)), "direction": str(rng.choice(["up", "sideways"]))}
        side = rng.choice([-1, 1]) if drawn["direction"] == "sideways" else 1
        drawn["degrees"] = float(side * rng.uniform(*difficulty.bend_degrees))
        return intact | {"bend": drawn, "defect": drawn}
    if defect == "scratch":
        drawn = {"length": rng.uniform(*difficulty.scratch_length), "width": rng.uniform(*difficulty.scratch_width)}
        drawn |= {"strength": rng.uniform(*difficulty.scratch_strength), "tone": str(rng.choice(["bright", "dark"]))}
        path = path_on_metal(rng, intact["casting"], drawn["length"], 0.08)
        beside = rng.uniform(-1, 1, (int(rng.integers(0, 3)), 1, 2)) * 2.2
        beside = [path[rng.integers(0, 4) : rng.integers(8, 13)] + shift for shift in beside]
        paths = [path, *(line for line in beside if on_flat(intact["casting"], line).mean() >= 0.8)]
        at = path.mean(axis=0).tolist()
        return intact | {
            "scratch": drawn | {"paths": [line.tolist() for line in paths]},
            "defect": drawn | {"at": at, "lines": len(paths)},
        }
    drawn = {"size": rng.uniform(*difficulty.stain_size), "opacity": rng.uniform(*difficulty.stain_opacity)}
    drawn |= {"colour": str(rng.choice(list(STAINS))), "form": int(rng.integers(2**31))}
    path = path_on_metal(rng, intact["casting"], rng.uniform(0.1, 1.3) * drawn["size"], 0.2)
    return intact | {"stain": drawn | {"path": path.tolist()}, "defect": drawn | {"at": path.mean(axis=0).tolist()}}


def path_on_metal(rng: np.random.Generator, casting: dict, length: float, curl: float) -> np.ndarray:
    """A curved line (12, 2); at least 80 % of its points, and its middle, are on flat metal."""
    for _ in attempts("position on the metal"):
        path = solids.random_curve(rng, length, curl)
        path += rng.uniform(-1, 1, 2) * REACH - path[6]
        inside = on_flat(casting, path)
        if inside[5:7].all() and inside.mean() >= 0.8:
            return path


def swept(casting: dict, radii: np.ndarray) -> np.ndarray:
    """The angles in radians by which the middle line of an arm is ahead of its root, at radii."""
    along = np.clip((radii - HUB) / (REACH - HUB), 0, None)
    return np.radians(casting["sweep"]) * along**1.4


def half_width(casting: dict, radii: np.ndarray) -> np.ndarray:
    return casting["width"] / 2 * np.interp(radii, [BODY, REACH], [1.08, 0.92])


def arm_at(casting: dict, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The arm nearest to points (N, 2), and their counter-clockwise distances from its middle line."""
    radii = np.hypot(*points.T)
    ahead = np.arctan2(points[:, 1], points[:, 0]) - swept(casting, radii)
    offsets = (ahead[:, None] - np.radians(casting["angles"]) + np.pi) % (2 * np.pi) - np.pi
    arm = np.abs(offsets).argmin(axis=1)
    return arm, offsets[np.arange(len(points)), arm] * radii


def on_flat(casting: dict, points: np.ndarray) -> np.ndarray:
    """Whether points (N, 2) are on the flat face of the hub or of an arm."""
    radii, (arm, aside) = np.hypot(*points.T), arm_at(casting, points)
    on_face = (radii > BORE + CHAMFER + 0.3) & (radii < HUB - 1)
    on_arm = (radii > HUB + 2) & (radii < np.array(casting["reach"])[arm] - 4)
    return on_face | on_arm & (np.abs(aside) < half_width(casting, radii) - 1)


def resampled(contour: np.ndarray) -> np.ndarray:
    """Evenly spaced points, 0.6 mm apart, on a closed line (N, 2)."""
    closed = np.concatenate([contour, contour[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    places = np.linspace(0, along[-1], round(along[-1] / 0.6), endpoint=False)
    return np.column_stack([np.interp(places, along, column) for column in closed.T])


def outward(contour: np.ndarray) -> np.ndarray:
    """Unit normals (N, 2) of a closed line that runs counter-clockwise."""
    ahead = np.roll(contour, -1, axis=0) - np.roll(contour, 1, axis=0)
    return np.stack([ahead[:, 1], -ahead[:, 0]], axis=1) / np.linalg.norm(ahead, axis=1, keepdims=True)


@solids.cached(4)
def outline(casting: dict) -> np.ndarray:
    """The outline (N, 2) of the nut from above, counter-clockwise; arms end in claws, and edges are uneven."""
    area = solids.circle(2 * BODY, sections=96)
    for angle, reach in zip(casting["angles"], casting["reach"], strict=True):
        edges = []
        for side, end in ((-1, reach - 3.5), (1, reach)):
            radii = np.linspace(HUB - 3, end, 16)
            turns = np.radians(angle) + swept(casting, radii) + side * half_width(casting, radii) / radii
            edges.append((radii * [np.cos(turns), np.sin(turns)]).T)
        area += solids.polygon(np.concatenate([edges[0], edges[1][::-1]]))
    for step in (-1.6, 1.6 + 3.0, -3.0):
        area = area.offset(step, solids.manifold3d.JoinType.Round, circular_segments=48)
    contour = resampled(area.to_polygons()[0])
    rng, around = np.random.default_rng(casting["form"]), np.linspace(0, 2 * np.pi, len(contour), endpoint=False)
    waves = np.arange(5, 45)
    sizes, phases = rng.normal(0, 1, len(waves)) / waves**0.5, rng.uniform(0, 2 * np.pi, len(waves))
    uneven = 0.06 * np.sin(around[:, None] * waves + phases) @ sizes
    return contour + uneven[:, None] * outward(contour)


def depth_inside(contour: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The distance of points (N, 2) from a densely sampled outline, negative outside."""
    distance, nearest = cKDTree(contour).query(points)
    return -np.sign(((points - contour[nearest]) * outward(contour)[nearest]).sum(axis=1)) * distance


def flat_mesh(contour: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 2) and triangles that fill an outline, and the points' distances from it; 9 mm beyond the rings."""
    area = solids.polygon(contour)
    rings = [contour, *(resampled(area.offset(-inset).to_polygons()[0]) for inset in INSETS[1:])]
    turns = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    hub = [radius * np.stack([np.cos(turns), np.sin(turns)], axis=1) for radius in DESCENT]
    grid = np.stack(np.meshgrid(*[np.arange(-REACH - 1, REACH + 1, 1.2)] * 2), axis=-1).reshape(-1, 2)
    from_hub = np.abs(np.hypot(*grid.T) - (min(DESCENT) + max(DESCENT)) / 2) - (max(DESCENT) - min(DESCENT)) / 2
    inside = np.concatenate([*hub, grid[(from_hub > 0.6) & (depth_inside(contour, grid) > INSETS[-1] + 0.4)]])
    points = np.concatenate([*rings, inside])
    depths = np.repeat([*INSETS, 9.0], [len(part) for part in [*rings, inside]])
    triangles = Delaunay(points).simplices
    # Triangles between points of the outline alone fill the gap between two arms.
    triangles = triangles[(triangles >= len(contour)).any(axis=1)]
    (ax, ay), (bx, by), (cx, cy) = points[triangles].transpose(1, 2, 0)
    clockwise = (bx - ax) * (cy - ay) < (by - ay) * (cx - ax)
    triangles[clockwise] = triangles[clockwise][:, ::-1]
    return points, triangles, depths


@solids.cached(4)
def casting_of(casting: dict) -> trimesh.Trimesh:
    """The nut with its hub up: a flat mesh raised to the upper and the lower side, then bored and turned.

    Do not change it, since it is kept.
    """
    points, triangles, depths = flat_mesh(outline(casting))
    fall = np.interp(np.hypot(*points.T), list(DESCENT), list(DESCENT.values()))
    top = HUB_HEIGHT + fall * (casting["thickness"] - HUB_HEIGHT) - rolled(depths, ROUNDING)
    vertices = np.concatenate([np.column_stack([points, z]) for z in (top, rolled(depths, BACK_ROUNDING))])
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    _, first, times = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    (start, end), under = edges[first[times == 1]].T, len(points)
    walls = [np.column_stack([start, start + under, end]), np.column_stack([end, start + under, end + under])]
    blank = solids.of(trimesh.Trimesh(vertices, np.concatenate([triangles, triangles[:, ::-1] + under, *walls])))
    bore = [(0, -1), (BORE + 2, -1), (BORE, 1), (BORE, HUB_HEIGHT - CHAMFER), (BORE + CHAMFER + 1, HUB_HEIGHT + 1)]
    groove = [(8.6, -1), (9.9, -1), (9.7, 0.5), (8.8, 0.5)]  # around the hole, on the back
    tools = solids.revolved([*bore, (0, HUB_HEIGHT + 1)], 96) + solids.revolved(groove, 96)
    return solids.mesh_of(blank - tools)


def rolled(depths: np.ndarray, radius: float) -> np.ndarray:
    """The height by which a rounded edge is below the flat face, at distances from the outline."""
    return radius * (1 - np.sqrt(1 - np.clip(1 - depths / radius, 0, 1) ** 2))


def as_it_lies(description: dict, points: np.ndarray) -> np.ndarray:
    """The positions of points (N, 3) of the casting after an arm was bent or the nut was flipped."""
    if description["flipped"]:
        return points * (1, -1, -1) + (0, 0, HUB_HEIGHT)
    if "bend" not in description:
        return points
    bend, casting = description["bend"], description["casting"]
    middle = np.radians(casting["angles"][bend["arm"]]) + swept(casting, np.array(HINGE + 3))
    frame = np.array([[np.cos(middle), np.sin(middle), 0], [-np.sin(middle), np.cos(middle), 0], [0, 0, 1]])
    ahead, *others = frame @ points.T
    arm, _ = arm_at(casting, points[:, :2])
    beyond = np.where(arm == bend["arm"], ahead - HINGE, -1)
    angle = np.radians(bend["degrees"])
    share, straight = np.clip(beyond / BEND_LENGTH, 0, 1) * angle, np.clip(beyond - BEND_LENGTH, 0, None)
    cosine, sine, radius = np.cos(share), np.sin(share), BEND_LENGTH / angle
    # The underside of an arm bent up, or the middle of an arm bent sideways, keeps its length.
    bent = int(bend["direction"] == "up")
    beside = others[bent]
    others[bent] = radius * (1 - cosine) + straight * sine + beside * cosine
    moved = np.transpose([HINGE + radius * sine + straight * cosine - beside * sine, *others]) @ frame
    return np.where(beyond[:, None] > 0, moved, points)


def posed(description: dict) -> trimesh.Trimesh:
    """The nut in its pose."""
    solid = casting_of(description["casting"])
    lying = as_it_lies(description, solid.vertices)
    pose = solids.flat_pose(description["pose"])
    return trimesh.Trimesh(trimesh.transform_points(lying, pose), solid.faces, process=False)


def scratch_distance(scratch: dict, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each point to the nearest line of a scratch, and its position along that line, from 0 to 1."""
    lines = [surfaces.distance_to(np.array(path), x, y) for path in scratch["paths"]]
    nearest = np.argmin([distance for distance, _ in lines], axis=0)
    return tuple(np.choose(nearest, values) for values in zip(*lines, strict=True))


def stain_cover(stain: dict) -> np.ndarray:
    """The share of each texel that a stain with a ragged edge covers, without its opacity."""
    x, y = surfaces.raster(SIZE, TEXELS)
    rng = np.random.default_rng(stain["form"])
    distance, _ = surfaces.distance_to(np.array(stain["path"]), x, y)
    ragged = 0.22 * surfaces.smooth_noise(rng, x.shape, 12) + 0.06 * surfaces.smooth_noise(rng, x.shape, 3)
    return expit(7 * (1 + ragged - 2 * distance / stain["size"]))


def region(description: dict, intact: dict, camera: scene.Camera) -> np.ndarray:
    """The pixels (H, W) where the camera sees the defect; a scratch is at least one pixel wide."""
    before, after = posed(intact), posed(description)
    seen = scene.distance(camera, before if "bend" in description else after)
    x, y = camera.on_plane(0)
    share = seen / np.sqrt(x**2 + y**2 + camera.distance**2)  # of the distance to the sheet
    on_metal = share < 1 - 0.1 / camera.distance
    if description["flipped"]:
        return scene.half_covered(on_metal)
    in_nut = solids.in_frame(solids.flat_pose(description["pose"]), np.stack([share * x, share * y], axis=-1))
    x, y = np.moveaxis(in_nut, -1, 0)
    if "bend" in description:
        points = np.stack([x, y, (1 - share) * camera.distance], axis=-1).reshape(-1, 3)
        moved = np.linalg.norm(as_it_lies(description, points) - points, axis=1) > 0.1
        return scene.half_covered(scene.changed(camera, [before], [after]) | on_metal & moved.reshape(x.shape))
    if "scratch" in description:
        half = camera.line_radius(description["scratch"]["width"])
        return scene.half_covered(on_metal & (scratch_distance(description["scratch"], x, y)[0] <= half))
    texels = [(SIZE[1] / 2 - y) * TEXELS - 0.5, (x + SIZE[0] / 2) * TEXELS - 0.5]
    covered = ndimage.map_coordinates(stain_cover(description["stain"]), texels, order=1)
    return scene.half_covered(on_metal & (covered >= PAINTED))


def material_of(description: dict, rng: np.random.Generator) -> tuple[dict, dict]:
    """Cast metal with turned faces and, if there is one, a scratch or a stain; and the numbers drawn."""
    x, y = surfaces.raster(SIZE, TEXELS)
    back = description["flipped"]
    contour = outline(description["casting"])
    if back:
        contour = contour[::-1] * (1, -1)
    coarser = np.stack([x[2::4, 2::4], y[2::4, 2::4]], axis=-1)  # the outline is smooth
    depth = depth_inside(contour, coarser.reshape(-1, 2)).reshape(coarser.shape[:2])
    depth = ndimage.zoom(depth, 4, order=1, mode="nearest", grid_mode=True)
    noise = partial(surfaces.smooth_noise, rng, x.shape)
    radius = np.hypot(x + 0.02 * noise(60), y)
    turned = np.zeros_like(x) if back else expit((HUB - 0.2 - radius) / 0.1)  # the face of the hub and the chamfer
    # Grain and pits of the mould, removed where the nut was turned.
    coarse = rng.uniform(0.8, 1.25)
    mould = 0.016 * coarse * noise(1.2) + 0.03 * coarse * noise(4) + 0.05 * noise(24)
    pits = np.clip(noise(2.5) - rng.uniform(2.2, 2.7), 0, 0.8)
    relief = (1 - turned) * (mould - 0.16 * pits) + turned * (0.004 * noise(1.5) - 0.1 * (pits > 0.5))
    steps = ndimage.gaussian_filter1d(rng.normal(0, 1, round(radius.max() * 12) + 2), 0.7)  # of the turning tool
    relief += 0.012 * turned * np.interp(radius * 12, np.arange(len(steps)), steps)
    if not back:  # the start of the thread in the chamfer
        thread = np.sin(2 * np.pi * radius / 0.55 - np.arctan2(y, x)) * expit((BORE + CHAMFER - 0.25 - radius) / 0.05)
        relief += 0.05 * thread
    bare = expit((0.9 + 0.35 * noise(8) - depth) / 0.2)  # edges, where the surface and dirt are worn off
    marks = surfaces.fibres(rng, SIZE, TEXELS, int(rng.integers(10, 40)), length=5.0)
    grey = 1 + 0.05 * noise(70) + 0.035 * noise(10) + 0.04 * noise(1.5) - 0.3 * pits
    grey *= 1 + 0.16 * turned + 0.14 * bare - 0.1 * marks
    if not back:  # a bare edge of the hub, and dirt around it
        grey *= 1 + 0.06 * np.exp(-(((radius - HUB + 0.4) / 0.35) ** 2))
        grey *= 1 - 0.15 * np.exp(-(((radius - HUB - 1.4) / 0.9) ** 2))
    roughness = 0.31 - 0.07 * turned - 0.05 * bare + 0.02 * noise(20)
    if "scratch" in description:
        half, strength = description["scratch"]["width"] / 2, description["scratch"]["strength"]
        distance, along = scratch_distance(description["scratch"], x, y)
        across, strength = distance / half, strength * np.sin(np.pi * np.clip(along, 0.04, 0.96)) ** 0.4
        # A fresh scratch is a smooth, bright track; an old one is a groove with dirt in it.
        carved, tone = (0.2, 0.8) if description["scratch"]["tone"] == "bright" else (1.0, -0.8)
        relief *= 1 - strength * np.clip(2 - across, 0, 1)
        relief += carved * strength * half * surfaces.groove(across)
        grey *= 1 + tone * strength * np.clip(2 - 1.5 * across, 0, 1)
    brightness, warmth = float(rng.normal(0.54, 0.02)), float(rng.normal(0, 0.012))
    colour = np.clip(brightness * grey[..., None] * (1 + warmth, 1.0, 1 - warmth), 0.02, 0.95)
    colour, alpha = surfaces.bitmap(colour), surfaces.bitmap(np.clip(roughness, 0.2, 0.5))
    skin = {"type": "diffuse", "reflectance": colour}
    coat = surfaces.blend(surfaces.metal(colour, alpha, distribution="ggx"), skin, 0.3)
    if "stain" in description:
        stain = description["stain"]
        paint = np.clip(1 + 0.15 * noise(3) + 0.15 * noise(14), 0.3, None)[..., None] * STAINS[stain["colour"]]
        weight = surfaces.bitmap(stain["opacity"] * stain_cover(stain))
        coat = surfaces.blend(coat, surfaces.matt(np.clip(paint, 0, 0.9)), weight)
    material = surfaces.with_relief(coat, relief, TEXELS)
    return material, {"brightness": brightness, "warmth": warmth, "grain": coarse}


def shapes(description: dict, rng: np.random.Generator) -> tuple[list, dict]:
    metal_rng, sheet_rng = rng.spawn(2)
    split = scene.smoothed(casting_of(description["casting"]))
    points = np.array(split.vertices)
    pose = solids.flat_pose(description["pose"])
    posed_points = trimesh.transform_points(as_it_lies(description, points), pose)
    # Textures are placed on the casting before the bend, so that marks on an arm bend with it.
    on_texture = points[:, :2] * (1, -1 if description["flipped"] else 1)
    material, metal = material_of(description, metal_rng)
    nut = scene.shape(posed_points, split.faces, on_texture, SIZE, material, smooth=True)
    grey = float(sheet_rng.uniform(0.009, 0.017))
    return [nut, surfaces.sheet(sheet_rng, (96, 96), (grey, grey, grey), grain=0.15)], {"metal": metal, "sheet": grey}


CATEGORY = RenderedCategory(
    *({}, DEFECTS, Difficulty()),
    *(normal, add_defect, region, shapes),
    revision=2,
    field=(70.0, 70.0),
    scales={
        "quick": Scale(112, {"train": 12, "good": 4, "structural": 4}),
        "default": Scale(400, {"train": 120, "good": 50, "structural": 50}),
        "full": Scale(700, {"train": 220, "good": 22, "structural": 93}),
    },
    light=partial(scene.vary_light, radiance=5.7, room=0.31),
    tracer={"bounces": 0},
    samples=6,
    layout="mvtec_ad",
)
