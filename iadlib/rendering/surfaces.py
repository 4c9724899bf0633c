"""Materials and grounds: metal, plastic, paper-like surfaces, cloth, mats, and the rasters that describe them.

A raster covers a rectangle around the origin, in millimetres; its first row is at the largest y. A material is a
Mitsuba description of a BSDF, or a loaded BSDF.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import expit

from iadlib.rendering import solids
from iadlib.rendering.scene import Camera, mitsuba, rectangle, shape

GROUND_SIZE = (150.0, 84.0)
GROUND_TEXELS = 8.0  # per millimetre


def smooth_noise(rng: np.random.Generator, like: tuple[int, int], grain: float) -> np.ndarray:
    """Gaussian noise (rows, columns) of mean 0 and deviation 1, smoothed with a deviation of `grain` texels."""
    step = max(1, int(grain // 2))
    noise = ndimage.gaussian_filter(rng.standard_normal([side // step + 3 for side in like]), grain / step)
    if step > 1:
        noise = ndimage.zoom(noise, step, order=1)
    noise = noise[: like[0], : like[1]]
    return (noise - noise.mean()) / noise.std()


def raster(size: tuple[float, float], texels: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y (rows, columns) of the texels of a rectangle, `texels` of them per millimetre."""
    columns, rows = (round(side * texels) for side in size)
    return np.meshgrid(
        (np.arange(columns) + 0.5) / texels - size[0] / 2, size[1] / 2 - (np.arange(rows) + 0.5) / texels
    )


def bitmap(values: np.ndarray) -> dict:
    """A texture of linear values (rows, columns) or (rows, columns, 3)."""
    return {"type": "bitmap", "bitmap": mitsuba().Bitmap(np.atleast_3d(values).astype(np.float32)), "raw": True}


def matt(albedo: np.ndarray) -> dict:
    """A matt surface of an albedo (rows, columns, 3)."""
    return {"type": "diffuse", "reflectance": bitmap(albedo)}


def even(colour: Sequence[float]) -> dict:
    """A matt surface of one albedo."""
    return {"type": "diffuse", "reflectance": {"type": "rgb", "value": list(colour)}}


def plastic(colour: tuple[float, float, float], roughness: float = 0.1) -> dict:
    """Moulded plastic of one colour, with a gloss."""
    return {"type": "roughplastic", "diffuse_reflectance": {"type": "rgb", "value": list(colour)}, "alpha": roughness}


def loaded_plastic(diffuse: np.ndarray, roughness: float = 0.1, copy: int = 0) -> object:
    """Glossy plastic of a colour (3,) or an albedo (rows, columns, 3), as a loaded BSDF that lasts until the next call.

    For each rough plastic that it loads, Mitsuba tabulates a transmittance, which takes a tenth of a second. BSDFs are
    therefore kept, and their colours replaced. Several of a size in one scene need different numbers `copy`.
    """
    mi, diffuse = mitsuba(), diffuse.astype(np.float32)
    bsdf = _blank_plastic(diffuse.shape, roughness, copy)
    parameters = mi.traverse(bsdf)
    if diffuse.ndim == 1:
        parameters["diffuse_reflectance.value"] = mi.Color3f(diffuse)
    else:
        parameters["diffuse_reflectance.data"] = mi.TensorXf(diffuse)
    parameters.update()
    return bsdf


@cache
def _blank_plastic(size: tuple[int, ...], roughness: float, copy: int) -> object:
    texture = {"diffuse_reflectance": bitmap(np.zeros(size))} if len(size) > 1 else {}
    return mitsuba().load_dict(plastic((0, 0, 0), roughness) | texture)


def metal(colour: tuple | dict, roughness: float | dict, **more: str) -> dict:
    """Bare or plated metal; colour and roughness are values or textures."""
    colour = colour if isinstance(colour, dict) else {"type": "rgb", "value": list(colour)}
    return {"type": "roughconductor", "material": "none", "specular_reflectance": colour, "alpha": roughness, **more}


def blend(first: dict, second: dict, weight: float | dict) -> dict:
    """A mixture of two materials; `weight`, a number or a texture, is the share of the second."""
    return {"type": "blendbsdf", "weight": weight, "bsdf_0": first, "bsdf_1": second}


def with_relief(material: dict, relief: np.ndarray, texels: float, tilt: np.ndarray | float = 0.0) -> dict:
    """The material on a height raster in millimetres; `tilt` (rows, columns, 2) adds slopes."""
    down, right = np.gradient(relief, 1 / texels)
    normals = np.stack([-right, down, np.ones_like(relief)], axis=-1)
    normals[..., :2] += tilt
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return {"type": "normalmap", "normalmap": bitmap(normals / 2 + 0.5), "bsdf": material}


def groove(across: np.ndarray) -> np.ndarray:
    """The height of a scratch of depth 1 with raised edges, at distances from its middle line in half widths."""
    return 0.4 * np.exp(-(((across - 1.3) / 0.4) ** 2)) - np.clip(1 - across, 0, 1)


def fibres(
    rng: np.random.Generator, size: tuple[float, float], texels: float, count: int, length: float, curl: float = 0.25
) -> np.ndarray:
    """The share of each texel (rows, columns) that curled fibres or fine marks cover."""
    columns, rows = (round(side * texels) for side in size)
    canvas = Image.new("L", (columns, rows))
    draw = ImageDraw.Draw(canvas)
    for _ in range(count):
        turns = np.cumsum(rng.normal(0, curl, 12)) + rng.uniform(0, 2 * np.pi)
        steps = rng.gamma(2.0, length / 24) * texels * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        path = rng.uniform(0, 1, 2) * (columns, rows) + np.cumsum(steps, axis=0)
        draw.line([tuple(point) for point in path], fill=int(rng.uniform(60, 255)), width=int(rng.integers(1, 3)))
    return ndimage.gaussian_filter(np.asarray(canvas, dtype=float) / 255, 0.6)


def dust(rng: np.random.Generator, size: tuple[float, float], texels: float, tufts: int, specks: float) -> np.ndarray:
    """The share of each texel (rows, columns) that `tufts` of fluff and `specks` per mm² cover."""
    columns, rows = (round(side * texels) for side in size)
    sown = rng.random((rows, columns)) < specks / texels**2
    covered = np.clip(5 * ndimage.gaussian_filter(sown * rng.random((rows, columns)), 0.1 * texels), 0, 1)
    for _ in range(tufts):
        side = rng.uniform(2.0, 6.0)
        tangle = fibres(rng, (side, side), texels, int(rng.uniform(6, 12) * side), length=side / 2, curl=0.6)
        x, y = raster((side, side), texels)
        tangle *= np.exp(-(((x**2 + y**2) / (0.3 * side) ** 2) ** 2))
        top, left = rng.integers(0, (rows - len(x), columns - len(x)))
        place = covered[top : top + len(x), left : left + len(x)]
        np.maximum(place, tangle, out=place)
    return covered


def sheet(
    rng: np.random.Generator,
    size: tuple[float, float],
    colour: tuple[float, float, float],
    grain: float = 0.08,
    fluff: int = 0,
) -> object:
    """A matt, even sheet in the plane z = 0, as a mesh: a table top or a mat with a grain, marks of use and fluff."""
    texels = 4.0
    x, _ = raster(size, texels)
    shade = 1 + grain * (0.7 * smooth_noise(rng, x.shape, 1.5) + 0.5 * smooth_noise(rng, x.shape, 30))
    shade += 0.25 * fibres(rng, size, texels, int(rng.integers(10, 30)), length=8.0) * rng.uniform(0.3, 1)
    albedo = np.clip(shade, 0.2, None)[..., None] * np.array(colour)
    albedo += 0.25 * fibres(rng, size, texels, fluff, length=3.0)[..., None]
    return rectangle(size, matt(np.clip(albedo, 0.004, 0.95)))


def worn(
    rng: np.random.Generator, colour: tuple[float, float, float], size: tuple[float, float], texels: float = 4.0
) -> dict:
    """A matt surface of `size` in mm with marks of use."""
    x, _ = raster(size, texels)
    shade = 1 + 0.03 * smooth_noise(rng, x.shape, 40) + 0.015 * smooth_noise(rng, x.shape, 2)
    shade -= 0.12 * fibres(rng, size, texels, int(rng.integers(5, 25)), length=7.0)
    return matt(np.clip(shade[..., None] * np.array(colour), 0, 0.95))


def gentle_folds(rng: np.random.Generator, points: np.ndarray) -> Iterator[np.ndarray]:
    """One to three low, straight folds, each as heights (N,) at points (N, 2)."""
    for _ in range(int(rng.integers(1, 4))):
        direction, offset = rng.uniform(0, np.pi), rng.uniform(-45, 45)
        across = points @ (np.cos(direction), np.sin(direction)) - offset
        yield rng.uniform(0.6, 2.2) * np.exp(-((across / rng.uniform(2, 6)) ** 2))


def deep_folds(rng: np.random.Generator, points: np.ndarray) -> Iterator[np.ndarray]:
    """Eight to eleven bent folds, steep on one side, each as heights (N,) at points (N, 2)."""
    for _ in range(int(rng.integers(8, 12))):
        direction, start = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4, 2) * GROUND_SIZE
        turned = np.array([(np.cos(direction), -np.sin(direction)), (np.sin(direction), np.cos(direction))])
        across, along = ((points - start) @ turned).T
        across += rng.uniform(1, 4) * np.sin(along / rng.uniform(10, 25) + rng.uniform(0, 2 * np.pi))
        width = rng.uniform(2.0, 5.0) * np.where(across > 0, rng.uniform(0.35, 0.8), 1)
        ends = expit((rng.uniform(20, 70) - np.abs(along)) / 6)
        yield rng.uniform(2.5, 6.0) * np.exp(-((across / width) ** 2)) * ends


def cloth(
    rng: np.random.Generator,
    flat: np.ndarray,
    folds: Callable[[np.random.Generator, np.ndarray], Iterator[np.ndarray]] = gentle_folds,
    lies_beyond: float = 6.0,
    points_per_mm: int = 1,
    lint: tuple[int, int] = (20, 60),
    tufts: int = 0,
    sheen: float = 0.0,
) -> tuple[object, dict]:
    """Black cloth as a mesh, and the numbers drawn; it is flat inside the convex polygon `flat` (N, 2), under the part.

    A fold has its full height from `lies_beyond` mm outside that polygon on. `lint` is the range of the number of
    fibres, `tufts` the number of tufts of fluff; dust is added where there are tufts. `sheen` is the gloss of the
    threads, from 0 to 1.
    """
    columns, rows = (round(side) * points_per_mm + 1 for side in GROUND_SIZE)
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, columns), np.linspace(-0.5, 0.5, rows))
    points = np.stack([x.ravel(), y.ravel()], axis=1) * GROUND_SIZE
    height = 0.3 * smooth_noise(rng, (rows, columns), 6 * points_per_mm).ravel()
    raised = list(folds(rng, points))
    for fold in raised:
        height += fold
    edges = np.roll(flat, -1, axis=0) - flat
    outward = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
    outside = (points @ outward.T - (flat * outward).sum(axis=1)).max(axis=1)
    height *= np.clip(outside / lies_beyond, 0, 1) ** 1.5
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
    faces = np.concatenate([corner + np.array(half) for half in ((0, 1, columns + 1), (0, columns + 1, columns))])
    albedo, counts = cloth_albedo(rng, lint, tufts)
    material = matt(albedo)
    if sheen:
        gloss = bitmap(np.clip(sheen * albedo / np.median(albedo), 0, 1))
        material = {"type": "roughplastic", "diffuse_reflectance": bitmap(albedo), "specular_reflectance": gloss}
        material["alpha"] = 0.18
    vertices = np.column_stack([points, height])
    return shape(vertices, faces, points, GROUND_SIZE, material, smooth=True), {"folds": len(raised)} | counts


def cloth_albedo(rng: np.random.Generator, lint: tuple[int, int], tufts: int) -> tuple[np.ndarray, dict]:
    """The albedo of black twill with lint on it, and the numbers of fibres and tufts."""
    x, y = raster(GROUND_SIZE, GROUND_TEXELS)
    wobble = 0.15 * smooth_noise(rng, x.shape, 24)
    angle = rng.normal(0.0, 0.03)
    warp = (x * np.cos(angle) + y * np.sin(angle) + wobble) * 2 * np.pi / 1.1
    weft = (y * np.cos(angle) - x * np.sin(angle) + wobble) * 2 * np.pi / 1.3
    weave = 1 + 0.22 * np.cos(warp) * np.cos(weft) + 0.22 * np.cos(warp + weft)
    weave *= 1 + 0.3 * smooth_noise(rng, x.shape, 1.5) + 0.1 * smooth_noise(rng, x.shape, 40)
    count = int(rng.integers(*lint))
    lying = fibres(rng, GROUND_SIZE, GROUND_TEXELS, count, length=3.0)
    albedo = np.clip(rng.uniform(0.036, 0.046) * weave, 0.005, 1) + 0.3 * lying
    if not tufts:
        return albedo, {"lint": count}
    covered = dust(rng, GROUND_SIZE, GROUND_TEXELS, tufts, specks=0.3)
    return albedo + 0.3 * covered, {"lint": count, "tufts": tufts}


def mat(rng: np.random.Generator, flat: np.ndarray) -> tuple[object, dict]:
    """A grey, pebbled cutting mat as a mesh, with a printed grid, cuts, rubs and dust; and the numbers drawn.

    It is flat everywhere, whatever the outline `flat` of the part.
    """
    x, y = raster(GROUND_SIZE, GROUND_TEXELS)
    turn, shift = rng.normal(0, 0.03), rng.uniform(0, 10, 2)
    grid = (x * np.cos(turn) + y * np.sin(turn) + shift[0], y * np.cos(turn) - x * np.sin(turn) + shift[1])
    ink = np.zeros_like(x)
    for every, width, strength in ((10, 0.5, 1.0), (5, 0.3, 0.55)):
        for along in grid:
            off = np.abs((along + every / 2) % every - every / 2)
            ink = np.maximum(ink, strength * expit((width / 2 - off) / 0.06))
    ink *= np.clip(0.75 + 0.25 * smooth_noise(rng, x.shape, 30) + 0.15 * smooth_noise(rng, x.shape, 2), 0, 1)
    cuts, rubs = int(rng.integers(30, 70)), int(rng.integers(40, 90))
    cut = fibres(rng, GROUND_SIZE, GROUND_TEXELS, cuts, length=25.0, curl=0.01)
    rubbed = fibres(rng, GROUND_SIZE, GROUND_TEXELS, rubs, length=8.0)
    pebbles = 0.3 * np.abs(smooth_noise(rng, x.shape, 5))
    shade = 1 + 0.08 * smooth_noise(rng, x.shape, 60) + 0.05 * smooth_noise(rng, x.shape, 1.5)
    brightness = float(rng.normal(0.30, 0.012))
    albedo = brightness * (shade - 0.8 * cut + 0.5 * rubbed) + 0.25 * ink
    albedo += 0.45 * dust(rng, GROUND_SIZE, GROUND_TEXELS, tufts=int(rng.integers(12, 24)), specks=0.3)
    material = with_relief(matt(np.clip(albedo, 0.02, 0.9)), pebbles - 0.1 * cut, GROUND_TEXELS)
    record = {"brightness": brightness, "cuts": cuts, "rubs": rubs, "grid_turn": float(np.degrees(turn))}
    return rectangle(GROUND_SIZE, material), record


def zinc(
    rng: np.random.Generator, size: tuple[float, float], texels: float, relief: np.ndarray | float, shade: np.ndarray
) -> tuple[dict, dict]:
    """Galvanised steel and the numbers drawn; `relief` are heights in mm, `shade` multiplies the brightness.

    Zinc crystallises in grains. Each grain has its own tilt, grey level and roughness, and a pattern of dendrites.
    """
    x, y = raster(size, texels)
    grain = rng.uniform(2.2, 4.5)
    count = round(size[0] * size[1] / grain**2)
    seeds = rng.uniform(-0.52, 0.52, (count, 2)) * size
    warp = [0.3 * smooth_noise(rng, x.shape, 10) + 0.1 * smooth_noise(rng, x.shape, 3) for _ in range(2)]
    warped = np.stack([x + warp[0], y + warp[1]], axis=-1)
    owner = cKDTree(seeds).query(warped[::2, ::2])[1].repeat(2, axis=0).repeat(2, axis=1)[: x.shape[0], : x.shape[1]]
    dendrite, period = rng.uniform(0, np.pi, count)[owner], rng.uniform(0.7, 1.5, count)[owner]
    across = warped[..., 0] * np.cos(dendrite) + warped[..., 1] * np.sin(dendrite)
    feather = np.sin(2 * np.pi * across / period + 1.5 * smooth_noise(rng, x.shape, 5))
    feather *= 0.6 + 0.4 * smooth_noise(rng, x.shape, 12)
    tilt = rng.normal(0, rng.uniform(0.025, 0.045), (count, 2))[owner] + 0.022 * feather[..., None]
    grey = 1 + rng.normal(0, 0.05, count)[owner] + 0.035 * feather
    grey += 0.03 * smooth_noise(rng, x.shape, 60) + 0.03 * smooth_noise(rng, x.shape, 1.5)
    grey -= 0.08 * fibres(rng, size, texels, int(rng.integers(3, 12)), length=6.0)  # marks of handling
    stains = int(rng.integers(0, 4))
    for _ in range(stains):
        centre, radius = rng.uniform(-0.5, 0.5, 2) * size, rng.uniform(0.8, 4)
        distance = np.hypot(x - centre[0], y - centre[1]) / radius + 0.25 * smooth_noise(rng, x.shape, 12)
        grey *= 1 - rng.uniform(0.04, 0.16) * expit(8 * (1 - distance))
    roughness = np.clip(rng.uniform(0.22, 0.28) + rng.normal(0, 0.03, count)[owner], 0.15, 0.4)
    waves = 0.015 * smooth_noise(rng, x.shape, 20)
    brightness = float(rng.normal(0.62, 0.015))
    colour = np.clip(brightness * (grey * shade)[..., None] * (0.985, 1.0, 1.02), 0, 0.95)
    coat = blend(metal(bitmap(colour), bitmap(roughness), distribution="ggx"), matt(0.8 * colour), 0.3)
    material = with_relief(coat, waves + relief, texels, tilt)
    return material, {"grain": grain, "stains": stains, "brightness": brightness, "roughness": float(roughness.mean())}


def ce_mark(x: np.ndarray, y: np.ndarray, height: float) -> np.ndarray:
    """The points of the CE mark: two arcs of circles whose outer diameter is `height`, and the middle bar of the E."""
    unit = height / 20
    mark = (np.abs(y) <= 1.5 * unit) & (x >= 0.5 * unit) & (x <= 11 * unit)
    for centre in (-7.5 * unit, 9.5 * unit):
        distance = np.hypot(x - centre, y)
        mark |= (distance <= 10 * unit) & (distance >= 7 * unit) & (x <= centre + 3 * unit)
    return mark


def distance_to(path: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each point to a polyline (N, 2), and the position of its nearest point along it, from 0 to 1."""
    nearest, along = np.full(x.shape, np.inf), np.zeros(x.shape)
    for index, ((start_x, start_y), (step_x, step_y)) in enumerate(zip(path[:-1], np.diff(path, axis=0), strict=True)):
        share = np.clip(((x - start_x) * step_x + (y - start_y) * step_y) / (step_x**2 + step_y**2), 0, 1)
        distance = np.hypot(x - start_x - share * step_x, y - start_y - share * step_y)
        along = np.where(distance < nearest, (index + share) / (len(path) - 1), along)
        nearest = np.minimum(nearest, distance)
    return nearest, along


def on_scratch(scratch: dict, pose: np.ndarray, camera: Camera, z: float) -> np.ndarray:
    """The rays of the fine grid that meet a scratch at height z on an object in a pose; at least a pixel wide."""
    points = solids.in_frame(pose, np.stack(camera.on_plane(z), axis=-1))
    across, _ = distance_to(np.array(scratch["path"]), points[..., 0], points[..., 1])
    return across <= camera.line_radius(scratch["width"])
