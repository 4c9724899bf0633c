"""A kit of fasteners on a dark mat, after the screw bag of MVTec LOCO AD, without the bag.

Rules: there are exactly two screws, two nuts and three washers; one screw is 45 mm long and the other 25 mm; no two
pieces touch, and none leaves the mat. Positions and turns are free; metal, wear, mat, light and camera vary.

Ground truth and saturation:

- missing piece: the free area of the mat is marked, without a margin where no piece lies, since the piece could be
  anywhere in it; the area of the piece suffices, a few percent of the marked area. There is a defect for every kind of
  piece, since their areas differ.
- additional piece, two long screws: all pieces of that kind are marked, since any could be the wrong one; the area of
  one suffices.
- screw of a wrong length, and structural defects: the whole region. For a stripped thread, it is the stretch of the
  screw without a thread; for a squashed nut, the whole nut, since all of it is deformed; for a broken nut, every pixel
  that shows another surface than the intact nut would; for a scratch, the scratched area.

Lengths are millimetres: x points right and y up in the image, the origin in its middle, z = 0 the mat. Screws, nuts
and washers are M8, but for a coarser thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import trimesh
from scipy import ndimage

from iadlib.rendering import scene, solids, surfaces
from iadlib.rendering.category import Defect, RenderedCategory, Rule, Scale, attempts

FIELD = (128.0, 88.0)
MARGIN = 3.0  # smallest distance of a piece from the edge of the image
GAP = 1.2  # smallest distance between pieces
LONG, SHORT, TOLERANCE = 45.0, 25.0, 0.5  # of screws, from below the head to the tip
FLATS, HEAD, NUT = 13.0, 5.3, 6.5  # width across flats of heads and nuts; heights of a head and of a nut
THREAD, PITCH, DEPTH = 4.0, 1.9, 0.95  # radius of a thread, pitch and depth of its grooves
THREADED = 30.0  # length of thread on a long screw
HOLE, WASHER, THICKNESS = 8.4, 18.0, 1.6  # diameters and thickness of a washer
CORNERS = FLATS / np.cos(np.pi / 6)  # width across corners of heads and nuts
KINDS = {"screw": 2, "nut": 2, "washer": 3}  # numbers in a kit
RUST = [0.36, 0.13, 0.04]  # albedo
AREAS = {"long_screw": 420.0, "short_screw": 270.0, "nut": 124.0, "washer": 203.0}  # mm² in the image


@dataclass(frozen=True)
class Difficulty:
    """Ranges for uniform draws of a defect, from hard to see at default size to obvious. Lengths are millimetres."""

    length_off: tuple[float, float] = (3.5, 9.0)  # difference from a right length, up or down
    stripped_length: tuple[float, float] = (10.0, 18.0)  # along the screw
    stripped_share: tuple[float, float] = (0.8, 1.0)  # share of the thread's depth that is worn away
    squashed_by: tuple[float, float] = (0.35, 0.55)  # share of a nut's width
    broken_off: tuple[float, float] = (5.5, 8.5)  # from a nut's corner towards its middle
    scratch_length: tuple[float, float] = (11.0, 16.0)
    scratch_width: tuple[float, float] = (2.5, 4.5)
    scratch_strength: tuple[float, float] = (0.5, 1.0)  # 1: deep and dark
    rust: tuple[float, float] = (0.45, 0.95)  # opacity on bare steel: in a scratch, and where a thread is worn away


def of_kind(description: dict, kind: str) -> list[int]:
    """The indices of the pieces of a kind; "long_screw" and "short_screw" are screws of that length."""
    length = {"long_screw": LONG, "short_screw": SHORT}.get(kind)
    found = enumerate(description["pieces"])
    if length is None:
        return [index for index, piece in found if piece["kind"] == kind]
    return [index for index, piece in found if abs(piece.get("length", 0.0) - length) < TOLERANCE]


def discs(piece: dict) -> tuple[np.ndarray, np.ndarray]:
    """Circles that cover a piece, seen from above: their centres (N, 2) and radii (N,)."""
    middle = np.array([piece["x"], piece["y"]])
    if piece["kind"] != "screw":
        wider = 1 + piece.get("squashed", {}).get("by", 0.0) / 3
        return middle[None], np.array([(WASHER if piece["kind"] == "washer" else wider * CORNERS) / 2])
    turn, half = np.radians(piece["turn"]), (piece["length"] + HEAD) / 2
    along = np.concatenate([[-half + HEAD / 2], np.linspace(HEAD + 2 - half, half - 2, 16)])
    radii = np.concatenate([[np.hypot(HEAD, CORNERS) / 2], np.full(16, np.hypot(THREAD, 2.0))])
    return middle + along[:, None] * (np.cos(turn), np.sin(turn)), radii


def on_the_mat(piece: dict, margin: float = 0.0) -> bool:
    middles, radii = discs(piece)
    return bool((np.abs(middles) + radii[:, None] + margin <= np.array(FIELD) / 2).all())


def apart(piece: dict, other: dict, gap: float = 0.0) -> bool:
    return solids.apart(discs(piece), discs(other), gap)


def all_apart(description: dict) -> bool:
    pieces = description["pieces"]
    pairs = ((piece, other) for index, piece in enumerate(pieces) for other in pieces[:index])
    return all(on_the_mat(piece) for piece in pieces) and all(apart(*pair) for pair in pairs)


def two_lengths(description: dict) -> bool:
    """Whether two screws of right lengths differ in length; wrong lengths and numbers break other rules."""
    long, short = (len(of_kind(description, kind)) for kind in ("long_screw", "short_screw"))
    return len(of_kind(description, "screw")) != 2 or (long, short) not in ((2, 0), (0, 2))


RULES = {
    "none_missing": Rule(
        "there are two screws, two nuts and three washers at least",
        lambda description: all(len(of_kind(description, kind)) >= count for kind, count in KINDS.items()),
    ),
    "none_too_many": Rule(
        "there are two screws, two nuts and three washers at most",
        lambda description: all(len(of_kind(description, kind)) <= count for kind, count in KINDS.items()),
    ),
    "right_lengths": Rule(
        "every screw is 45 or 25 mm long",
        lambda description: all(
            index in of_kind(description, "long_screw") + of_kind(description, "short_screw")
            for index in of_kind(description, "screw")
        ),
    ),
    "two_lengths": Rule("where there are two screws of 45 or 25 mm, one is long and the other short", two_lengths),
    "apart": Rule("no piece touches another or leaves the mat", all_apart),
}
NAMES = {kind: kind.replace("_", " ") for kind in AREAS}
MISSING = {
    f"missing_{kind}": Defect(f"a {NAMES[kind]} too few", "none_missing", saturation_mm2=area)
    for kind, area in AREAS.items()
}
ADDITIONAL = {
    f"additional_{kind}": Defect(f"a {NAMES[kind]} too many", "none_too_many", saturation_mm2=area)
    for kind, area in AREAS.items()
}
DEFECTS = {
    **MISSING,
    **ADDITIONAL,
    "two_long_screws": Defect("two long screws, no short one", "two_lengths", saturation_mm2=AREAS["long_screw"]),
    "wrong_length": Defect("a screw whose length is neither 45 nor 25 mm", "right_lengths"),
    "stripped_thread": Defect("a stretch of thread that is worn away and rusted"),
    "deformed_nut": Defect("a nut squashed, or with a corner broken off"),
    "scratched_washer": Defect("a rusted scratch across the face of a washer"),
}


def placed(rng: np.random.Generator, kind: str, others: Sequence[dict], **more) -> dict:
    """A piece in a random position on the mat, apart from the others."""
    length = {"long_screw": {"length": LONG}, "short_screw": {"length": SHORT}}.get(kind, {})
    kind = "screw" if length else kind
    for _ in attempts(f"position for a {kind}"):
        x, y = rng.uniform(-0.5, 0.5, 2) * FIELD
        piece = {"kind": kind, "x": x, "y": y, "turn": rng.uniform(0, 360), **length, **more}
        if on_the_mat(piece, MARGIN) and all(apart(piece, other, GAP) for other in others):
            return piece


def normal(rng: np.random.Generator) -> dict:
    pieces = []
    for kind in ("long_screw", "short_screw", "nut", "nut", "washer", "washer", "washer"):
        pieces.append(placed(rng, kind, pieces))
    return {"pieces": pieces}


def add_defect(intact: dict, defect: str, rng: np.random.Generator, difficulty: Difficulty) -> dict:
    """The defect's "piece" is the index of the defective piece; "marked" are the indices that ground truth marks."""
    pieces, drawn = list(intact["pieces"]), {}
    kind = AFFECTED[defect][0] if defect in AFFECTED else defect.partition("_")[2]
    index = int(rng.choice(of_kind(intact, kind)))
    others = pieces[:index] + pieces[index + 1 :]
    marked = [index]
    if defect in MISSING:
        pieces, marked = others, []
    elif defect in ADDITIONAL:
        pieces.append(placed(rng, kind, pieces))
        index, marked = len(pieces) - 1, of_kind({"pieces": pieces}, kind)
    elif defect == "two_long_screws":
        pieces[index] = placed(rng, "long_screw", others)
        marked = of_kind({"pieces": pieces}, "long_screw")
    elif defect == "wrong_length":
        off = rng.choice([-1, 1]) * rng.uniform(*difficulty.length_off)
        drawn = {"off": off, "length": pieces[index]["length"] + off}
        pieces[index] = placed(rng, "screw", others, length=drawn["length"])
    else:
        drawn = AFFECTED[defect][1](rng, pieces[index], difficulty)
        pieces[index] = pieces[index] | drawn
    return intact | {"pieces": pieces, "defect": {"piece": index, "marked": marked, **drawn}}


def stripped(rng: np.random.Generator, screw: dict, difficulty: Difficulty) -> dict:
    length = min(rng.uniform(*difficulty.stripped_length), thread_of(screw["length"]) - 4)
    start = screw["length"] - rng.uniform(2.0, thread_of(screw["length"]) - length - 1.0) - length
    share = rng.uniform(*difficulty.stripped_share)
    drawn = {"from": start, "length": length, "share": share, "rust": rng.uniform(*difficulty.rust)}
    return {"stripped": drawn | {"form": int(rng.integers(2**31))}}


def deformed(rng: np.random.Generator, nut: dict, difficulty: Difficulty) -> dict:
    if rng.random() < 0.5:
        return {"squashed": {"by": rng.uniform(*difficulty.squashed_by), "across": rng.uniform(0, 360)}}
    drawn = {"depth": rng.uniform(*difficulty.broken_off), "corner": int(rng.integers(6))}
    return {"broken": drawn | {"form": int(rng.integers(2**31))}}


def scratched(rng: np.random.Generator, washer: dict, difficulty: Difficulty) -> dict:
    """A nearly straight scratch beside the hole."""
    length, width = rng.uniform(*difficulty.scratch_length), rng.uniform(*difficulty.scratch_width)
    inner, outer = HOLE / 2 + 0.7, WASHER / 2 - 0.7
    turn = rng.uniform(0, 2 * np.pi)
    for _ in attempts("position for a scratch"):
        along = np.linspace(-0.5, 0.5, 12) * length + rng.uniform(-0.5, 0.5) * outer
        beside = rng.uniform(inner, outer) + np.cumsum(rng.normal(0, 0.06 * length / 12, 12))
        if (np.hypot(along, beside) < outer).all() and (np.hypot(along, beside) > inner).all():
            break
        length *= 0.99  # a long scratch fits only next to the hole
    path = np.stack([along, beside], axis=1) @ [(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))]
    drawn = {"length": length, "width": width, "strength": rng.uniform(*difficulty.scratch_strength)}
    drawn["rust"] = rng.uniform(*difficulty.rust)
    return {"scratch": drawn | {"path": path.tolist()}}


AFFECTED = {  # defect -> the kind of piece that it affects and, for structural defects, the function that draws it
    "two_long_screws": ("short_screw", None),
    "wrong_length": ("screw", None),
    "stripped_thread": ("screw", stripped),
    "deformed_nut": ("nut", deformed),
    "scratched_washer": ("washer", scratched),
}


def thread_of(length: float) -> float:
    """The length of a screw's thread: a short screw is threaded except for a neck."""
    return min(THREADED, length - 2.0)


def thread(start: float, end: float, damage: dict) -> solids.manifold3d.Manifold:
    """A V-thread along z, bevelled at its end; the lines of its mesh follow the helix.

    `damage` is the "stripped" entry of a screw, or empty.
    """
    around, lines = 40, 10  # vertices in a turn, lines in a pitch
    phase = np.arange(round((end - start) / PITCH + 4) * lines)[:, None] / lines
    share = np.arange(around) / around
    along = start + PITCH * (phase + share - 2)  # (lines, around)
    ridge = np.interp(phase % 1, (0.0, 0.1, 0.5, 0.6, 1.0), (1.0, 1.0, 0.0, 0.0, 1.0))
    radius, angle = THREAD - DEPTH * (1 - ridge) + 0 * along, 2 * np.pi * share + 0 * along
    if damage:
        shifts = np.random.default_rng(damage["form"]).uniform(0, 2 * np.pi, 4)
        waves = sum(np.cos(i * angle + (2.3 - i) * along + shift) for i, shift in enumerate(shifts))
        worn = np.minimum(radius, THREAD - DEPTH * damage["share"]) + 0.04 * waves
        inside = damage["length"] / 2 - np.abs(along - damage["from"] - damage["length"] / 2)
        radius = radius + np.clip(0.5 + inside / 0.5, 0, 1) * (worn - radius)
    vertices = np.stack([radius * np.cos(angle), radius * np.sin(angle), along], axis=-1).reshape(-1, 3)
    number = np.arange(len(vertices)).reshape(along.shape)
    # After one turn, a line continues as the line one pitch farther.
    sheet = np.column_stack([number[:-lines], number[lines:, 0]])
    a, b, c, d = (part.ravel() for part in (sheet[:-1, :-1], sheet[:-1, 1:], sheet[1:, 1:], sheet[1:, :-1]))
    faces = [np.column_stack([a, b, c]), np.column_stack([a, c, d])]
    for row, order in ((0, -1), (len(sheet) - 1, 1)):  # a fan closes either end
        rim = np.concatenate([sheet[row], number[row + lines - 1 : row : -1, 0]])
        fan = np.column_stack([rim, np.roll(rim, -1), np.full(len(rim), len(vertices))])
        vertices = np.concatenate([vertices, [(0, 0, along[[row, row + lines], 0].mean())]])
        faces.append(fan[:, ::order])
    body = solids.of(trimesh.Trimesh(vertices, np.concatenate(faces), process=False))
    wide = THREAD + 1
    return body ^ solids.revolved([(0, start), (wide, start), (wide, end - 2), (THREAD - DEPTH, end), (0, end)])


def bevelled(height: float, both: bool) -> solids.manifold3d.Manifold:
    """A hexagonal prism on z = 0, a flat side towards +x, its corners bevelled below or on both ends."""
    hexagon = solids.extruded(solids.regular(FLATS, 6).rotate(30), 0, height)
    inner, outer = FLATS / 2 - 0.4, CORNERS / 2 + 0.1
    above = [(outer, height - 0.9), (inner, height)] if both else [(outer, height)]
    return hexagon ^ solids.revolved([(0, 0), (inner, 0), (outer, 0.9), *above, (0, height)], 96)


@solids.cached(8)
def screw_of(length: float, damage: dict) -> trimesh.Trimesh:
    """A screw along z, from the head below z = 0 to its tip; `damage` as in `thread`."""
    start = length - thread_of(length)
    shank = solids.extruded(solids.circle(2 * THREAD - 0.6), -0.5, start + 0.4)
    threaded = thread(start, length, damage)
    return solids.mesh_of(bevelled(HEAD, both=False).translate((0, 0, -HEAD)) + shank + threaded)


@solids.cached(4)
def nut_of(damage: dict) -> trimesh.Trimesh:
    """A nut on z = 0; `damage` may have the entries "squashed" and "broken" of a piece."""
    groove = np.arange(1.0, NUT - 1.0, 1.2)
    grooves = [point for z in groove for point in ((3.4, z), (THREAD, z + 0.6))]
    bore = [(0, -1), (5.4, -1), (3.4, 1.0), *grooves, (3.4, NUT - 1.0), (5.4, NUT + 1), (0, NUT + 1)]
    solid = bevelled(NUT, both=True) - solids.revolved(bore)
    if "broken" in damage:
        broken = damage["broken"]
        rng, angle = np.random.default_rng(broken["form"]), np.radians(30 + 60 * broken["corner"])
        outward = np.array([np.cos(angle), np.sin(angle), 0.0])
        corner = CORNERS / 2 * outward + (0, 0, NUT * rng.uniform(0.6, 0.8))
        solid = solids.break_off(solid, rng, corner, outward, broken["depth"], (6.0, 9.0), (0.1, 0.8), 1.2)
    mesh = solids.mesh_of(solid)
    if "squashed" in damage:
        across, by = np.radians(damage["squashed"]["across"]), damage["squashed"]["by"]
        axes = np.array([(np.cos(across), np.sin(across)), (-np.sin(across), np.cos(across))])
        mesh.vertices[:, :2] = mesh.vertices[:, :2] @ axes.T * (1 - by, 1 + by / 3) @ axes
    return mesh


@cache
def washer_solid() -> trimesh.Trimesh:
    inner, outer = HOLE / 2, WASHER / 2
    above = [(outer, THICKNESS - 0.4), (outer - 0.4, THICKNESS), (inner + 0.2, THICKNESS), (inner, THICKNESS - 0.2)]
    return solids.mesh_of(solids.revolved([(inner, 0), (outer - 0.1, 0), (outer, 0.1), *above], 96))


def solid_of(piece: dict) -> trimesh.Trimesh:
    """The solid of a piece in its own frame; do not change it, since it is kept."""
    if piece["kind"] == "screw":
        return screw_of(piece["length"], piece.get("stripped", {}))
    if piece["kind"] == "nut":
        return nut_of({key: piece[key] for key in ("squashed", "broken") if key in piece})
    return washer_solid()


def pose_of(piece: dict) -> np.ndarray:
    """The pose of a piece. A screw rests on an edge of its head and on the end of its thread."""
    if piece["kind"] != "screw":
        return solids.pose_of(piece["x"], piece["y"], turn=piece["turn"])
    slope = np.arctan2(FLATS / 2 - THREAD, piece["length"] - 1.5)
    back = (piece["length"] - HEAD) / 2  # from the middle of the screw to the lower side of its head
    z = FLATS / 2 * np.cos(slope) - back * np.sin(slope)
    lying = solids.pose_of(piece["x"], piece["y"], z, piece["turn"], 90 + np.degrees(slope))
    return lying @ solids.pose_of(0, 0, -back)


def posed(description: dict) -> list[trimesh.Trimesh]:
    """Every piece in its pose, in the order of the scene."""
    return [solid_of(piece).copy().apply_transform(pose_of(piece)) for piece in description["pieces"]]


def region(description: dict, intact: dict, camera: scene.Camera) -> np.ndarray:
    index, parts = description["defect"]["piece"], posed(description)
    if len(parts) < len(intact["pieces"]):
        covered = ndimage.binary_fill_holes(scene.owners(camera, *parts) > 0)  # with the holes of the washers
        beyond = [np.abs(at) > side / 2 - MARGIN for at, side in zip(camera.on_plane(0), FIELD, strict=True)]
        return ~scene.half_covered(covered | beyond[0] | beyond[1])
    piece = description["pieces"][index]
    if "stripped" in piece:
        return scene.half_covered(in_stretch(camera, intact, index, piece["stripped"]))
    if "broken" in piece:
        return scene.half_covered(scene.changed(camera, posed(intact), parts))
    if "scratch" in piece:
        washer = scene.owners(camera, *parts) == index + 1
        return scene.half_covered(washer & surfaces.on_scratch(piece["scratch"], pose_of(piece), camera, THICKNESS))
    marked = np.array(description["defect"]["marked"])
    return scene.half_covered(np.isin(scene.owners(camera, *parts), marked + 1))


def in_stretch(camera: scene.Camera, description: dict, index: int, stretch: dict) -> np.ndarray:
    """The rays of the fine grid that meet a stretch of a screw."""
    x, y = camera.on_plane(0)
    rays = np.stack([x, y, np.full_like(x, -camera.distance)], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    hits = rays * scene.distance(camera, *posed(description))[..., None] + (0, 0, camera.distance)
    inverse = np.linalg.inv(pose_of(description["pieces"][index]))
    x, y, along = np.moveaxis(hits @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
    inside = (along > stretch["from"]) & (along < stretch["from"] + stretch["length"])
    return inside & (np.hypot(x, y) < THREAD + 0.05)


def flat_metal(rng: np.random.Generator, colour: np.ndarray, roughness: float, scratch: dict | None) -> dict:
    """The surface of a washer or nut: zinc-plated steel with marks of tumbling and, if given, a scratch."""
    size, texels = (WASHER, WASHER), 10.0
    x, y = surfaces.raster(size, texels)
    grey = 1 + 0.03 * surfaces.smooth_noise(rng, x.shape, 25) + 0.03 * surfaces.smooth_noise(rng, x.shape, 2)
    grey -= 0.15 * surfaces.fibres(rng, size, texels, int(rng.integers(2, 9)), length=4.0)
    relief = 0.012 * surfaces.smooth_noise(rng, x.shape, 25) + 0.001 * surfaces.smooth_noise(rng, x.shape, 3)
    if scratch:
        distance, along = surfaces.distance_to(np.array(scratch["path"]), x, y)
        across = distance / scratch["width"] * 2
        strength = scratch["strength"] * np.sin(np.pi * np.clip(along, 0.1, 0.9)) ** 0.5
        relief -= strength * scratch["width"] / 2 * np.clip(1 - across, 0, 1)
        grey *= 1 - 0.65 * strength * np.clip(1.5 - across, 0, 1)
    colour = grey[..., None] * colour
    if scratch:
        rusted = scratch["rust"] * np.clip(3 - 2.4 * across, 0, 1) * np.clip(along * (1 - along) * 20, 0, 1)
        mottled = np.clip(0.9 + 0.15 * surfaces.smooth_noise(rng, x.shape, 4), 0.4, 1.0)
        colour += (rusted * mottled)[..., None] * (RUST - colour)
    colour = surfaces.bitmap(np.clip(colour, 0, 0.95))
    return surfaces.with_relief(plated(colour, roughness), relief, texels)


def rusted_stretch(screw: dict, zinc: dict) -> object:
    """Rust on the worn stretch of a screw."""
    solid, stretch = scene.smoothed(solid_of(screw)), screw["stripped"]
    along = solid.vertices[:, 2]
    worn = ((along > stretch["from"]) & (along < stretch["from"] + stretch["length"]))[solid.faces].all(axis=1)
    rust = surfaces.blend(zinc, surfaces.even(RUST), stretch["rust"])
    return scene.coat(solid, worn, rust, pose_of(screw))


def plated(colour: dict, roughness: float) -> dict:
    """Zinc: a conductor with a thin deposit that scatters a little of the light."""
    return surfaces.blend(surfaces.metal(colour, roughness), {"type": "diffuse", "reflectance": colour}, 0.15)


def shapes(description: dict, rng: np.random.Generator) -> tuple[list, dict]:
    mat_rng, lots_rng, *piece_rngs = rng.spawn(2 + len(description["pieces"]))
    grey, fluff = float(mat_rng.uniform(0.02, 0.04)), int(mat_rng.integers(5, 40))
    found = [surfaces.sheet(mat_rng, (200, 150), (grey, grey, 1.05 * grey), grain=0.15, fluff=fluff)]
    # Pieces of a kind come from one lot and look similar.
    lots = {kind: {"grey": lots_rng.normal(0.72, 0.03), "tint": lots_rng.normal(0, 0.01)} for kind in KINDS}
    for lot in lots.values():
        lot["roughness"] = lots_rng.uniform(0.16, 0.28)
    for piece, piece_rng in zip(description["pieces"], piece_rngs, strict=True):
        lot = lots[piece["kind"]]
        colour = lot["grey"] * piece_rng.normal(1, 0.03) * np.array([1 - lot["tint"], 1, 1.02 + lot["tint"]])
        roughness = float(lot["roughness"] * piece_rng.normal(1, 0.08))
        if piece["kind"] == "screw":
            material = plated({"type": "rgb", "value": colour.tolist()}, roughness)
            if "stripped" in piece:
                found.append(rusted_stretch(piece, material))
        else:
            material = flat_metal(piece_rng, colour, roughness, piece.get("scratch"))
        found.append(scene.rounded(solid_of(piece), material, pose_of(piece), (WASHER, WASHER)))
    return found, {"mat_grey": grey, "fluff": fluff, "lots": lots}


CATEGORY = RenderedCategory(
    *(RULES, DEFECTS, Difficulty()),
    *(normal, add_defect, region, shapes),
    revision=2,
    field=FIELD,
    scales={
        "quick": Scale(144, {"train": 8, "validation": 4, "good": 4, "logical": 10, "structural": 3}),
        "default": Scale(400, {"train": 100, "validation": 20, "good": 50, "logical": 50, "structural": 50}),
        "full": Scale(1600, {"train": 360, "validation": 60, "good": 122, "logical": 137, "structural": 82}),
    },
    light=partial(scene.vary_light, radiance=3.1, room=0.3),
    tracer={"bounces": 1},
)
