"""A bottle of juice, after the category of MVTec LOCO AD: cherry, orange or banana, with two labels.

Rules: the juice reaches into a band of the neck; the bottle carries one label with a fruit, in the middle, and one with
text, below; and the fruit is that of the juice. Position, turn, fill level within the band, heights of the labels, hue,
paper, backdrop and brightness vary.

Ground truth and saturation:

- wrong fill level: the missing juice below the band or the excess above it, from the nearer end of the band; the whole
  region, since the band is unambiguous.
- wrong fruit: the picture of the fruit and all visible juice, since either could be the wrong one; the area of the
  picture suffices.
- swapped labels: both labels, since either shows the defect; the area of the smaller one, with the text, suffices.
- missing label: the glass where the label could be, from the position of the other label; the area of a label suffices.
- torn label: the missing piece and the bare fibres along the tear; the whole region, since the rest of the label shows
  where the piece was.
- stained label, particle: the whole visible area.

Each saturation area is a little less than the smallest one of the draws, since turned bottles show less.

Lengths are millimetres. The axis of the bottle is parallel to y, its front faces +z; heights are above the table. A
position on the glass is a height and an arc: the angle from the front, to the right, times RADIUS.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import trimesh
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import PchipInterpolator

from iadlib.rendering import scene, solids, surfaces
from iadlib.rendering.category import Defect, RenderedCategory, Rule, Scale, attempts

TABLE = -94.0  # y
RADIUS = 29.0  # of the bottle's body
GLASS = PchipInterpolator(  # the radius of the glass at a height
    [0, 0.8, 3, 99, 106, 114, 122, 131, 139, 147, 156, 164.5, 166.3, 167.7, 169.5, 174],
    [26, 27.8, RADIUS, RADIUS, 28.3, 25.6, 21.4, 17, 14.4, 13.2, 13, 13, 14.3, 14.3, 13, 13],
)
HEIGHTS = np.concatenate([[0, 0.4, 0.8, 1.2, 2, 3, 9], np.arange(99, 171, 1.5)])  # of rings of vertices
FLOOR, RIM = 3.5, 171.0  # heights where the juice and the cap begin
BAND = (148.0, 156.0)  # of the fill level
SIZES = {"fruit": (58.0, 56.0), "text": (56.0, 21.0)}  # of the labels: length along the arc, and height
PLACES = {"fruit": 67.0, "text": 21.5}  # heights of the labels' middles
SWAPPED = {"fruit": 39.0, "text": 84.5}
TOLERANCE = 3.0  # of these heights
ASIDE, TURNED = 7.0, 9.0  # largest shift of a bottle along x and z, and its largest turn, as an arc
STRAY = np.array([0.5, 2.5])  # largest shift of a label along the arc and in height
PAPER, FIBRES = 0.12, 1.1  # thickness of a label, and width of the bare fibres along a tear
TEXELS = 12.0  # of a label, per mm
FRUIT_MIDDLE = 5.0  # height of the fruit's middle above the middle of its label
CREAM, GREEN, GOLD = "#f0e9d6", "#184a34", "#b28c46"
JUICES = {"cherry": (0.2, 0.006, 0.012), "orange": (0.86, 0.33, 0.02), "banana": (0.86, 0.7, 0.3)}
JUICE_SIZE = (112.0, 180.0)  # of its texture: length along the arc, and height
STAIN = np.array([0.75, 0.95, 1.1])  # absorption of red, green and blue, relative to the contrast
TURNS = np.linspace(0, 2 * np.pi, 256, endpoint=False)
FRUIT_AREA = 525.0  # mm², smallest visible area of a fruit's picture
LABEL_AREAS = {"fruit": 2700.0, "text": 990.0}  # mm², smallest visible areas


@dataclass(frozen=True)
class Difficulty:
    """Ranges for uniform draws of a defect, from hard to see at default size to obvious."""

    level_off: tuple[float, float] = (3.0, 13.0)  # mm between the level and the band
    tear_length: tuple[float, float] = (18.0, 42.0)  # mm, part of it beyond the label's edge
    stain_length: tuple[float, float] = (16.0, 36.0)
    stain_contrast: tuple[float, float] = (0.5, 0.9)  # share of the paper's brightness
    particle_length: tuple[float, float] = (5.0, 11.0)
    particle_contrast: tuple[float, float] = (0.4, 0.95)  # 0: colour of the juice, 1: of the particle


def kind_of(label: dict) -> str:
    return "text" if label["print"] == "text" else "fruit"


def count(description: dict, kind: str) -> int:
    return sum(kind_of(label) == kind for label in description["labels"])


def in_place(label: dict) -> bool:
    return abs(label["height"] - PLACES[kind_of(label)]) < TOLERANCE


RULES = {
    "filled_to_the_band": Rule(
        "the juice reaches into the band of the neck",
        lambda description: BAND[0] <= description["fill_level"] <= BAND[1],
    ),
    "fruit_of_the_juice": Rule(
        "a fruit on a label is that of the juice",
        lambda description: {label["print"] for label in description["labels"]} <= {"text", description["juice"]},
    ),
    "one_fruit_label": Rule(
        "the bottle carries exactly one label with a fruit", lambda description: count(description, "fruit") == 1
    ),
    "one_text_label": Rule(
        "the bottle carries exactly one label with text", lambda description: count(description, "text") == 1
    ),
    "labels_in_place": Rule(
        "a label with a fruit sits in the middle of the bottle, a label with text below",
        lambda description: all(in_place(label) for label in description["labels"]),
    ),
}
DEFECTS = {
    "wrong_fill_level": Defect("too much juice, or too little", breaks="filled_to_the_band"),
    "wrong_fruit": Defect("the fruit of another juice", breaks="fruit_of_the_juice", saturation_mm2=FRUIT_AREA),
    "swapped_labels": Defect(
        "each label in the other's place", breaks="labels_in_place", saturation_mm2=LABEL_AREAS["text"]
    ),
    "missing_fruit_label": Defect(
        "no label in the middle", breaks="one_fruit_label", saturation_mm2=LABEL_AREAS["fruit"]
    ),
    "missing_text_label": Defect("no label below", breaks="one_text_label", saturation_mm2=LABEL_AREAS["text"]),
    "torn_label": Defect("a label with a piece torn off"),
    "stained_label": Defect("a stain on a label"),
    "particle": Defect("something that floats in the juice"),
}


def normal(rng: np.random.Generator) -> dict:
    juice, turn = str(rng.choice(list(JUICES))), rng.uniform(-TURNED, TURNED)
    pose = {"x": rng.uniform(-ASIDE, ASIDE), "y": TABLE + rng.normal(0, 0.7), "z": rng.uniform(-ASIDE, ASIDE)}
    labels = []
    for kind, print_ in (("fruit", juice), ("text", "text")):
        arc, height = (turn, PLACES[kind]) + STRAY * rng.uniform(-1, 1, 2)
        place = {"arc": float(arc), "height": float(height), "askew": rng.normal(0, 0.6)}
        labels.append({"print": print_, **place, "wear": rng.uniform(0.2, 1.0)})
    return {"juice": juice, "fill_level": rng.uniform(BAND[0] + 0.5, BAND[1] - 0.5), "labels": labels, "pose": pose}


def add_defect(intact: dict, defect: str, rng: np.random.Generator, difficulty: Difficulty) -> dict:
    labels = list(intact["labels"])
    if defect == "wrong_fill_level":
        off = rng.uniform(*difficulty.level_off)
        level = BAND[1] + off if rng.random() < 0.5 else BAND[0] - off
        return intact | {"fill_level": level, "defect": {"level_off": off}}
    if defect == "wrong_fruit":
        fruit = str(rng.choice([juice for juice in JUICES if juice != intact["juice"]]))
        return intact | {"labels": [labels[0] | {"print": fruit}, labels[1]], "defect": {"fruit": fruit}}
    if defect == "swapped_labels":
        heights = [label["height"] + SWAPPED[kind_of(label)] - PLACES[kind_of(label)] for label in labels]
        swapped = [label | {"height": height} for label, height in zip(labels, heights, strict=True)]
        return intact | {"labels": swapped, "defect": {"heights": heights}}
    if defect.startswith("missing"):
        kind = defect.split("_")[1]
        return intact | {"labels": [label for label in labels if kind_of(label) != kind], "defect": {"missing": kind}}
    drawn = {"form": int(rng.integers(2**31)), "turn": rng.uniform(0, 360), "width": rng.uniform(0.5, 0.9)}
    if defect == "particle":
        drawn["length"] = rng.uniform(*difficulty.particle_length)
        drawn |= {"contrast": rng.uniform(*difficulty.particle_contrast)} | free_place(intact, drawn["length"], rng)
        drawn["width"] *= drawn["length"]
        return intact | {"particle": drawn, "defect": drawn}
    at = int(rng.integers(2))
    if defect == "torn_label":  # at a corner, or anywhere along the upper or the lower edge
        drawn["length"] = rng.uniform(*difficulty.tear_length)
        along = rng.choice([-0.5, 0.5]) if rng.random() < 0.6 else rng.uniform(-0.4, 0.4)
        middle = (along, rng.choice([-0.5, 0.5]))
    else:
        drawn |= {"length": rng.uniform(*difficulty.stain_length), "contrast": rng.uniform(*difficulty.stain_contrast)}
        middle = rng.uniform(-0.36, 0.36, 2)
    drawn["width"] *= drawn["length"]
    drawn |= dict(zip("uv", (middle * np.array(SIZES[kind_of(labels[at])])).tolist(), strict=True))
    labels[at] = labels[at] | {"torn" if defect == "torn_label" else "stain": drawn}
    return intact | {"labels": labels, "defect": {"label": kind_of(labels[at]), **drawn}}


def free_place(description: dict, length: float, rng: np.random.Generator) -> dict:
    """A position (u, v) on the glass with nothing but juice around an object of that length."""
    margin = 0.75 * length
    for _ in attempts("free position on the glass"):
        arc = float(rng.uniform(-0.8, 0.8) * RADIUS)
        height = float(rng.uniform(FLOOR + 6 + margin, description["fill_level"] - 3 - margin))
        if not any(covers(label, arc, height, (margin, margin)) for label in description["labels"]):
            return {"u": arc, "v": height}


def on_label(label: dict, arc, height) -> tuple:
    """A position on the glass in the frame of a label: to the right of its middle, and above it."""
    cosine, sine = np.cos(np.radians(label["askew"])), np.sin(np.radians(label["askew"]))
    right, above = arc - label["arc"], height - label["height"]
    return right * cosine + above * sine, above * cosine - right * sine


def covers(label: dict, arc, height, margin: tuple[float, float] = (0.0, 0.0)):
    """Whether an undamaged label covers a position on the glass, or is within a margin along the arc and in height."""
    (u, v), (width, tall) = on_label(label, arc, height), np.array(SIZES[kind_of(label)]) / 2 + margin
    return (np.abs(u) < width) & (np.abs(v) < tall)


@cache
def raggedness(form: int) -> np.ndarray:
    """The relative radius, about 1, of a ragged blob in the directions TURNS."""
    rng, waves = np.random.default_rng(form), np.arange(2, 24)
    sizes, phases = 0.22 * rng.standard_normal(len(waves)) / waves**0.9, rng.uniform(0, 2 * np.pi, len(waves))
    return np.clip(1 + np.cos(np.outer(TURNS, waves) + phases) @ sizes, 0.5, 1.5)


def blob(drawn: dict, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A ragged blob as a function: below 1 inside, 1 at its edge."""
    turn, right, above = np.radians(drawn["turn"]), u - drawn["u"], v - drawn["v"]
    along = (right * np.cos(turn) + above * np.sin(turn)) / drawn["length"] * 2
    across = (above * np.cos(turn) - right * np.sin(turn)) / drawn["width"] * 2
    edge = np.interp(np.arctan2(across, along), TURNS, raggedness(drawn["form"]), period=2 * np.pi)
    return np.hypot(along, across) / edge


def outline(drawn: dict) -> np.ndarray:
    """The edge (N, 2) of a blob."""
    turn, edge = np.radians(drawn["turn"]), raggedness(drawn["form"])
    along, across = edge * np.cos(TURNS) * drawn["length"] / 2, edge * np.sin(TURNS) * drawn["width"] / 2
    u = drawn["u"] + along * np.cos(turn) - across * np.sin(turn)
    return np.stack([u, drawn["v"] + along * np.sin(turn) + across * np.cos(turn)], axis=1)


def on_particle(particle: dict, arc: np.ndarray, height: np.ndarray) -> np.ndarray:
    """As `blob`, for a particle, which is as wide in the neck as on the body."""
    narrower = GLASS(particle["v"]) / RADIUS
    return blob(particle, particle["u"] + (arc - particle["u"]) * narrower, height)


def on_tear(label: dict, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """As `blob`, for the missing piece of a label together with the bare fibres around it."""
    return blob(label["torn"], u, v) / (1 + 2 * FIBRES / label["torn"]["length"])


def on_glass(description: dict, camera: scene.Camera) -> tuple[np.ndarray, np.ndarray]:
    """Arc and height where the rays of the fine grid meet the front of the glass; the arc is NaN beside the glass."""
    (x, y), (aside, table, nearer) = camera.on_plane(0.0), (description["pose"][key] for key in "xyz")
    away, radii = camera.distance - nearer, GLASS(steps := np.linspace(0, RIM, 800))
    a, b, height = x**2 + camera.distance**2, x * aside + camera.distance * away, y - table
    with np.errstate(invalid="ignore"):
        for _ in range(5):  # meet a cylinder as wide as the glass at the height found before
            share = (b - np.sqrt(b**2 - a * (aside**2 + away**2 - np.interp(height, steps, radii) ** 2))) / a
            height = share * y - table
    arc = RADIUS * np.arctan2(share * x - aside, away - share * camera.distance)
    return np.where((height > 0) & (height < RIM), arc, np.nan), height


def shows_fruit(label: dict, arc: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Whether the picture of the fruit covers these positions."""
    picture, (width, tall) = printed(label["print"])[1], SIZES["fruit"]
    u, v = np.nan_to_num(on_label(label, arc, height), nan=1e3)
    size = np.array(picture.shape)[:, None, None]
    places = (np.stack([0.5 - v / tall, u / width + 0.5]) * size).astype(int)  # row and column
    return covers(label, arc, height) & picture[tuple(np.clip(places, 0, size - 1))]


def region(description: dict, intact: dict, camera: scene.Camera) -> np.ndarray:
    level, labels, drawn = description["fill_level"], description["labels"], description["defect"]
    arc, height = on_glass(description, camera)
    labelled = np.any([covers(label, arc, height) for label in labels], axis=0)
    if "level_off" in drawn:
        lower, upper = sorted((level, float(np.clip(level, *BAND))))
        marked = np.isfinite(arc) & (height > lower) & (height < upper)
    elif "fruit" in drawn:
        juice = np.isfinite(arc) & (height > FLOOR) & (height < level) & ~labelled
        marked = juice | shows_fruit(labels[0], arc, height)
    elif "missing" in drawn:
        (other,) = labels
        place = {"print": drawn["missing"], "arc": other["arc"], "height": PLACES[drawn["missing"]], "askew": 0.0}
        marked = covers(place, arc, height, STRAY * (2, 1))  # both labels are shifted along the arc
    elif "particle" in description:
        marked = on_particle(description["particle"], arc, height) < 1
    elif "label" in drawn:
        (label,) = (label for label in labels if kind_of(label) == drawn["label"])
        u, v = on_label(label, arc, height)
        damage = on_tear(label, u, v) if "torn" in label else blob(label["stain"], u, v)
        marked = covers(label, arc, height) & (damage < 1)
    else:
        marked = labelled
    return scene.half_covered(marked)


def turned(profile: np.ndarray, ribs: float = 0.0, sections: int = 200) -> trimesh.Trimesh:
    """The surface of revolution of a line (N, 2) of radius and height; `ribs` is their height where it is widest."""
    turns, (radii, heights) = np.linspace(0, 2 * np.pi, sections + 1), np.array(profile, dtype=float).T
    around = radii[:, None] + ribs * np.isclose(radii, radii.max())[:, None] * (-1.0) ** np.arange(sections + 1)
    x, y, z = -around * np.sin(turns), np.broadcast_to(heights[:, None], around.shape), -around * np.cos(turns)
    at = (np.arange(len(radii) - 1)[:, None] * (sections + 1) + np.arange(sections)).reshape(-1, 1)
    corners = [at + np.array(half) for half in ((0, 1, sections + 1), (1, sections + 2, sections + 1))]
    return trimesh.Trimesh(np.stack([x, y, z], axis=-1).reshape(-1, 3), np.concatenate(corners), process=False)


def wall(bottom: float, top: float) -> np.ndarray:
    """The profile (N, 2) of the glass between two heights: radius and height."""
    heights = np.unique(np.clip(HEIGHTS, bottom, top))
    return np.stack([GLASS(heights), heights], axis=1)


def juice_solid(level: float) -> trimesh.Trimesh:
    """The juice, slightly higher at the glass."""
    bottom = [(0, FLOOR), (RADIUS - 5, FLOOR), (RADIUS - 1.5, FLOOR + 2)]
    return turned([*bottom, *wall(FLOOR + 5.5, level), (GLASS(level) - 0.8, level - 0.5), (0, level - 0.6)])


@cache
def cap_solid() -> trimesh.Trimesh:
    radii, above = [0, 14.9, 15.4, 15.4, 15, 14, 12.9, 0], np.array([0, 0, 0.8, 12.8, 14, 14.8, 15, 15])
    return turned(np.stack([radii, RIM + above], axis=1), ribs=0.25, sections=96)


@solids.cached(4)
def flat_label(kind: str, torn: dict | None) -> trimesh.Trimesh:
    """A label, perhaps torn, before it is wrapped around the glass."""
    area = solids.rectangle(*SIZES[kind], 2.0)
    if torn:
        area -= solids.polygon(outline(torn))
    return trimesh.graph.smooth_shade(solids.mesh_of(solids.extruded(area, 0, PAPER), finer_than=2.5), angle=1.0)


def label_solid(label: dict) -> tuple[trimesh.Trimesh, np.ndarray]:
    """A label around the glass, and the positions (N, 2) of its vertices on its print."""
    flat = flat_label(kind_of(label), label.get("torn"))
    u, v, thickness = flat.vertices.T
    right, above = on_label({"arc": 0.0, "height": 0.0, "askew": -label["askew"]}, u, v)
    turn, reach = (label["arc"] + right) / RADIUS, RADIUS + 0.04 + thickness
    vertices = np.stack([reach * np.sin(turn), label["height"] + above, reach * np.cos(turn)], axis=1)
    return trimesh.Trimesh(vertices, flat.faces, process=False), np.stack([u, v], axis=1)


def disc(u: float, v: float, radius: float, begin: float = 0, end: float = 360, flat: float = 0.97) -> np.ndarray:
    """The edge (N, 2) of a disc, or of its sector between two directions in degrees."""
    turns = np.radians(np.linspace(begin, end, 60))
    edge = np.stack([u + radius * np.cos(turns), v + flat * radius * np.sin(turns)], axis=1)
    return edge if end - begin == 360 else np.append(edge, [(u, v)], axis=0)


def leaf(u: float, v: float, length: float, degrees: float) -> Iterator[tuple]:
    along, turn = np.linspace(0, 1, 30), np.radians(degrees)
    half = 0.24 * length * np.sin(np.pi * along**0.8)
    edge = np.append(np.stack([along * length, half], 1), np.stack([along * length, -half], 1)[::-1], axis=0)
    edge = edge @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (u, v)
    yield "#468232", edge
    yield GREEN, edge[:27:26], 0.35


def fruit(name: str) -> Iterator[tuple]:
    """The areas (colour, points) and lines (colour, points, width) of a picture, in mm from its middle."""
    along = np.linspace(0, 1, 30)[:, None]
    if name == "cherry":
        for u, v in ((-9.0, -5.5), (8.5, -7.5)):
            bow = np.array([u, 14.0]) * along * (1 - along)
            yield "#605c28", (2.5, 15.5) + along * (u - 2.5, v - 9.5) + bow, 0.9
            yield "#780816", disc(u, v, 8.9)
            yield "#b01424", disc(u - 0.3, v + 0.3, 8.3)
            yield "#e87880", disc(u - 3.0, v + 3.2, 1.7, flat=0.8)
        yield from leaf(2.5, 15.5, 14.0, 8)
    elif name == "orange":
        yield "#ce640c", disc(-4.0, 0.0, 11.6)
        yield "#f08818", disc(-4.3, 0.3, 11.0)
        yield "#fcc46e", disc(-8.5, 5.0, 2.6, flat=0.8)
        yield "#605c28", np.array([(-4.0, 9.5), (-4.6, 13.2)]), 1.1
        yield from leaf(-4.0, 10.6, 12.0, 28)
        yield "#ce640c", disc(11.5, -6.0, 9.0, 180, 360)
        yield "#fae8be", disc(11.5, -6.0, 8.2, 180, 360)
        for begin in range(184, 360, 44):
            yield "#f08818", disc(11.5, -6.4, 7.4, begin, begin + 40)
    else:
        turns = np.radians(200 + 122 * along)
        outward = np.append(np.cos(turns), np.sin(turns), axis=1)
        half = 4.45 * np.sin(0.12 + 2.82 * along) ** 0.55 * outward
        for middle in ((3.0, 17.5), (-2.0, 9.5)):
            spine = middle + outward * (20.5, 17.0)
            yield "#ce9e24", np.append(spine - half, (spine + half)[::-1], axis=0)
            yield "#f6d03e", np.append(spine - half, (spine + 0.45 * half)[::-1], axis=0)
            yield "#5c421e", spine[:2], 3.0
            yield "#5c421e", spine[-2:], 3.0


@cache
def printed(what: str) -> tuple[np.ndarray, np.ndarray]:
    """The print of a label as linear albedo (rows, columns, 3), and the mask of its fruit's picture, twice as fine."""
    size, fine = np.array(SIZES["text" if what == "text" else "fruit"]), 2 * TEXELS
    image = Image.new("RGB", tuple(np.rint(size * fine).astype(int).tolist()), CREAM)
    draw = ImageDraw.Draw(image)

    def paint(colour: str, places, width: float = 0.0, above: float = 0.0) -> None:
        pixels = [tuple(place) for place in (size / 2 + np.array(places) * (1, -1) - (0, above)) * fine]
        if width:
            draw.line(pixels, colour, round(width * fine), joint="curve")
        else:
            draw.polygon(pixels, colour)

    def letters(colour: str, text: str, v: float, height: float) -> None:
        font = ImageFont.load_default(1.38 * height * fine)
        middle = (size[0] / 2 * fine, (size[1] / 2 - v) * fine)
        draw.text(middle, text, colour, font, "mm", stroke_width=0.02 * height * fine)

    for each in fruit(what) if what != "text" else ():
        paint(*each, above=FRUIT_MIDDLE)
    picture = (np.asarray(image) != image.getpixel((0, 0))).any(axis=2)
    right, top = size / 2
    paint(GOLD, np.array([(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1)]) * (right - 1.6, top - 1.6), 0.6)
    if what == "text":
        letters(GREEN, "100 % JUICE", 3.0, 5.5)
        letters(GREEN, "no sugar added - shake well", -4.8, 2.4)
        paint(GOLD, [(-14, -1.6), (14, -1.6)], 0.3)
    else:
        paint(GREEN, [(-right, -12.5), (right, -12.5), (right, -23.0), (-right, -23.0)])
        letters(CREAM, "ORCHARD", -17.7, 5.4)
    pixels = np.asarray(image.reduce(2), dtype=float)
    return (pixels / 255) ** 2.2, picture


def paper(label: dict, rng: np.random.Generator) -> dict:
    """The paper of a printed label with marks of handling, a tear or a stain."""
    size = SIZES[kind_of(label)]
    u, v = surfaces.raster(size, TEXELS)
    shade = 1 + 0.02 * surfaces.smooth_noise(rng, u.shape, 60) + 0.02 * surfaces.smooth_noise(rng, u.shape, 6)
    shade -= 0.25 * label["wear"] * np.exp(np.maximum(np.abs(u) - size[0] / 2, np.abs(v) - size[1] / 2) / 0.6)
    albedo = 0.88 * printed(label["print"])[0] * shade[..., None]
    rubbed = 0.25 * label["wear"] * surfaces.fibres(rng, size, TEXELS, int(25 * label["wear"]), length=6.0)
    albedo += rubbed[..., None] * (0.75 - albedo)
    if "torn" in label:
        albedo += np.clip(20 - 20 * on_tear(label, u, v), 0, 1)[..., None] * (0.85 - albedo)
    if "stain" in label:
        soaked = np.clip(10.5 - 10 * blob(label["stain"], u, v), 0, 1)
        soaked *= np.clip(0.9 + 0.12 * surfaces.smooth_noise(rng, u.shape, 20), 0.6, 1.0)
        albedo *= 1 - label["stain"]["contrast"] * soaked[..., None] * STAIN
    return surfaces.matt(np.clip(albedo, 0.01, 0.9))


def juice_material(description: dict, hue: np.ndarray, rng: np.random.Generator) -> dict:
    """The juice with the gloss of the glass in front of it."""
    u, v = surfaces.raster(JUICE_SIZE, 5.0)
    v += JUICE_SIZE[1] / 2
    shade = 1 + rng.uniform(-0.1, 0.12) * (0.5 - v / BAND[0])  # sediment
    shade += 0.025 * surfaces.smooth_noise(rng, u.shape, 50) + 0.02 * surfaces.smooth_noise(rng, u.shape, 8)
    albedo = shade[..., None] * hue
    froth = 0.35 * np.clip((v - description["fill_level"]) / rng.uniform(0.8, 2.0) + 1.0, 0, 1)
    albedo += froth[..., None] * (0.8 - albedo)
    if "particle" in description:
        particle = description["particle"]
        colour = (0.75, 0.62, 0.42) if description["juice"] == "cherry" else (0.05, 0.03, 0.015)
        inside = particle["contrast"] * np.clip(8.5 - 8 * on_particle(particle, u, v), 0, 1)
        albedo += inside[..., None] * (colour - albedo)
    return surfaces.plastic((0, 0, 0), 0.07) | {"diffuse_reflectance": surfaces.bitmap(np.clip(albedo, 0.004, 0.95))}


def glass(description: dict, bottom: float, top: float) -> object:
    """Empty glass: it reflects as a pane at its angle to the camera would, and transmits the rest."""
    solid = placed(turned(wall(bottom, top)), description)
    towards = np.array([0, 0, scene.Camera.distance]) - solid.vertices
    cosine = np.abs((solid.vertex_normals * towards).sum(axis=1)) / np.linalg.norm(towards, axis=1)
    once = 0.04 + 0.96 * (1 - cosine) ** 5  # Schlick's approximation, for one of its two surfaces
    # The texture is a ramp from 0 to 1: the texture point of a vertex is its reflectance.
    ramp = surfaces.bitmap(np.tile(np.linspace(0, 1, 256), (2, 1))) | {"wrap_mode": "clamp"}
    shiny = {"type": "twosided", "bsdf": surfaces.metal((0.95, 0.97, 0.96), 0.06)}
    points = np.stack([2 * once / (1 + once) - 0.5, np.zeros(len(once))], axis=1)
    material = {"type": "mask", "opacity": ramp, "bsdf": shiny}
    return scene.shape(solid.vertices, solid.faces, points, (1, 1), material, smooth=True)


def placed(solid: trimesh.Trimesh, description: dict) -> trimesh.Trimesh:
    return solid.copy().apply_translation([description["pose"][key] for key in "xyz"])


def backdrop(description: dict, colour: tuple, rng: np.random.Generator) -> object:
    """A sheet on the table that curves upwards behind the bottle."""
    half, bow, turns = 95.0, 45.0, np.linspace(0, np.pi / 2, 24)
    z = np.concatenate([[110.0], -70.0 - bow * np.sin(turns), [-115.0]])
    y = np.concatenate([[0.0], bow - bow * np.cos(turns), [300.0]])
    along = np.append(0, np.cumsum(np.hypot(np.diff(y), np.diff(z))))
    size = (2 * half, float(along[-1]))
    x = np.tile([-half, half], len(along))
    vertices = np.stack([x, y.repeat(2) + description["pose"]["y"], z.repeat(2)], axis=1)
    points = np.stack([x, along.repeat(2) - size[1] / 2], axis=1)
    at = 2 * np.arange(len(along) - 1)[:, None]
    faces = np.concatenate([at + np.array(half) for half in ((0, 1, 3), (0, 3, 2))])
    return scene.shape(vertices, faces, points, size, surfaces.worn(rng, colour, size, 2.0), smooth=True)


def shapes(description: dict, rng: np.random.Generator) -> tuple[list, dict]:
    backdrop_rng, juice_rng, cap_rng, *label_rngs = rng.spawn(5)
    grey = tuple((backdrop_rng.uniform(0.2, 0.32) * backdrop_rng.normal((0.97, 1.0, 1.05), 0.015)).tolist())
    hue = np.array(JUICES[description["juice"]]) * juice_rng.normal(1, (0.03, 0.05, 0.05)) * juice_rng.normal(1, 0.03)
    lid = (cap_rng.normal(1, 0.05) * np.array([0.62, 0.5, 0.27])).tolist()
    lacquer = surfaces.blend(surfaces.even(lid), surfaces.metal((0.9, 0.9, 0.9), 0.2), 0.06)
    parts = []
    for solid, material in (
        (juice_solid(description["fill_level"]), juice_material(description, hue, juice_rng)),
        (cap_solid(), lacquer),
    ):
        arc = RADIUS * np.arctan2(solid.vertices[:, 0], solid.vertices[:, 2])
        parts.append((solid, np.stack([arc, solid.vertices[:, 1] - JUICE_SIZE[1] / 2], 1), JUICE_SIZE, material))
    for label, label_rng in zip(description["labels"], label_rngs, strict=False):
        parts.append((*label_solid(label), SIZES[kind_of(label)], paper(label, label_rng)))
    found = [
        scene.shape(placed(solid, description).vertices, solid.faces, points, size, material, smooth=True)
        for solid, points, size, material in parts
    ]
    found += [glass(description, 0.0, FLOOR + 5.5), glass(description, description["fill_level"], RIM)]
    found.append(backdrop(description, grey, backdrop_rng))
    return found, {"backdrop": list(grey), "juice": hue.tolist(), "cap": lid}


def light(rng: np.random.Generator) -> scene.Light:
    """A softbox farther to the left than usual, so that its reflection is on the side of the bottle.

    The brightness of softbox and room varies more than in the other categories.
    """
    brightness = float(rng.normal(1, 0.05))
    usual = scene.vary_light(rng, radiance=10.5 * brightness, room=0.2 * brightness)
    return replace(usual, centre=tuple(np.add(usual.centre, (-170.0, 60.0, -110.0)).tolist()))


CATEGORY = RenderedCategory(
    *(RULES, DEFECTS, Difficulty()),
    *(normal, add_defect, region, shapes),
    revision=3,
    field=(110.0, 220.0),
    scales={
        "quick": Scale(96, {"train": 9, "validation": 3, "good": 4, "logical": 5, "structural": 4}),
        "default": Scale(200, {"train": 100, "validation": 20, "good": 50, "logical": 50, "structural": 50}),
        "full": Scale(800, {"train": 335, "validation": 54, "good": 94, "logical": 142, "structural": 94}),
    },
    light=light,
    tracer={"bounces": 0, "integrator": "volpath"},
)
