"""The recording set-up that all categories share, as a Mitsuba scene, and ground truth from geometry.

A camera looks straight down at a part, a softbox hangs above and to one side, and a sensor model turns radiance into
8 bits. A category makes solids and materials; camera, light, sensor and ground truth are made here.

Lengths are millimetres. The ground is the plane z = 0; x points right and y up in the image, z points to the camera.
Textures are rasters whose first row is at the largest y. Mitsuba is imported on first use, in the variant scalar_rgb,
which needs neither a GPU nor LLVM.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import trimesh
from scipy import ndimage

RAYS = 3  # ground truth is decided by 3 x 3 rays per pixel, the "fine grid"
RESOLVED_WIDTH = 400  # pixels, the widest default image; the blur in pixels does not grow with the width beyond it


@cache
def mitsuba():
    """Mitsuba in the variant that runs on every machine; the import takes a second."""
    import mitsuba

    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above the origin, looking down; `field_width` is the width that it sees of the plane z = 0."""

    width: int
    height: int
    field_width: float
    distance: float = 400.0

    @property
    def pixels_per_mm(self) -> float:
        return self.width / self.field_width

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Image coordinates (column, row), pixel centres at .5, of points (N, 3)."""
        scale = self.pixels_per_mm * self.distance / (self.distance - points[:, 2:])
        return points[:, :2] * scale * (1, -1) + (self.width / 2, self.height / 2)

    def on_plane(self, z: float, rays: int = RAYS) -> tuple[np.ndarray, np.ndarray]:
        """x and y where rays meet the plane at height z; rays x rays of them pass through each pixel."""
        scale = (1 - z / self.distance) / self.pixels_per_mm
        columns = (np.arange(self.width * rays) + 0.5) / rays - self.width / 2
        rows = self.height / 2 - (np.arange(self.height * rays) + 0.5) / rays
        return np.meshgrid(columns * scale, rows * scale)

    def line_radius(self, width: float) -> float:
        """Half the width in mm at which ground truth marks a line: at least 0.6 pixels, so that it has no gaps."""
        return max(width, 1.2 / self.pixels_per_mm) / 2

    def sensor(self, samples: int, seed: int, rays: int = 1) -> dict:
        """The Mitsuba sensor. With a box filter, image blocks do not overlap, and bytes do not depend on threads."""
        mi = mitsuba()
        return {
            "type": "perspective",
            "fov": float(np.degrees(2 * np.arctan(self.field_width / 2 / self.distance))),
            "fov_axis": "x",
            "to_world": mi.ScalarTransform4f().look_at(origin=[0, 0, self.distance], target=[0, 0, 0], up=[0, 1, 0]),
            "film": {
                "type": "hdrfilm",
                "width": self.width * rays,
                "height": self.height * rays,
                "rfilter": {"type": "box"},
                "pixel_format": "rgb",
                "component_format": "float32",
            },
            "sampler": {"type": "multijitter", "sample_count": samples, "seed": seed},
        }


@dataclass(frozen=True)
class Light:
    """The softbox, an emitting rectangle that faces the origin, and the weak, even light of the room."""

    centre: tuple[float, float, float]
    size: tuple[float, float]
    radiance: float
    room: float
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def emitters(self) -> dict:
        mi = mitsuba()
        frame = mi.ScalarTransform4f()
        facing = frame.look_at(origin=list(self.centre), target=[0, 0, 0], up=[0, 1, 0])
        colour = {"type": "rgb", "value": [self.radiance * channel for channel in self.tint]}
        return {
            "softbox": {
                "type": "rectangle",
                "to_world": facing @ frame.scale([self.size[0] / 2, self.size[1] / 2, 1]),
                "emitter": {"type": "area", "radiance": colour},
            },
            "room": {"type": "constant", "radiance": {"type": "rgb", "value": self.room}},
        }


def vary_light(rng: np.random.Generator, radiance: float = 3.7, room: float = 0.1) -> Light:
    """A softbox that varies between images: its position by about a centimetre, its radiance by a few percent."""
    centre = np.array([-90.0, 110.0, 420.0]) + rng.normal(0, [8, 8, 5])
    tint = 1 + rng.normal(0, 0.006, 3)
    return Light(tuple(centre), (260.0, 200.0), float(radiance * rng.normal(1, 0.022)), room, tuple(tint))


def shape(
    vertices: np.ndarray,
    faces: np.ndarray,
    texture_points: np.ndarray,
    size: tuple,
    material: object,
    smooth: bool = False,
    radiance: float = 0.0,
) -> object:
    """A Mitsuba mesh; `texture_points` (N, 2) place each vertex on a texture of `size` centred at the origin.

    `material` is a description, or a loaded BSDF that several shapes may share.
    """
    mi = mitsuba()
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(material) if isinstance(material, dict) else material
    properties["face_normals"] = not smooth
    if radiance:
        properties["emitter"] = mi.load_dict({"type": "area", "radiance": {"type": "rgb", "value": [radiance] * 3}})
    mesh = mi.Mesh(
        "solid", len(vertices), len(faces), has_vertex_normals=smooth, has_vertex_texcoords=True, props=properties
    )
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = np.ravel(vertices).astype(np.float32)
    parameters["faces"] = np.ravel(faces).astype(np.uint32)
    parameters["vertex_texcoords"] = np.ravel(0.5 + texture_points / size * (1, -1)).astype(np.float32)
    parameters.update()
    return mesh


def rectangle(size: tuple[float, float], material: object) -> object:
    """A Mitsuba mesh of the rectangle of `size` in the plane z = 0, its texture as large as itself."""
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.array(size) / 2
    vertices, faces = np.column_stack([corners, np.zeros(4)]), np.array([(0, 1, 2), (0, 2, 3)])
    return shape(vertices, faces, corners, size, material)


@lru_cache(maxsize=32)
def smoothed(solid: trimesh.Trimesh) -> trimesh.Trimesh:
    """The solid with vertices split along edges sharper than 35 degrees, so that these edges stay sharp.

    The result is kept for solids that are used again, since a cached solid is the same object; do not change it.
    """
    return trimesh.graph.smooth_shade(solid, angle=np.radians(35))


def rounded(solid: trimesh.Trimesh, material: object, pose: np.ndarray, size: tuple = (1, 1)) -> object:
    """A solid in a pose, as a Mitsuba mesh with smooth sides and sharp edges.

    A texture of `size` in mm is projected on it from above, in the solid's own frame.
    """
    split = smoothed(solid)
    posed = trimesh.transform_points(split.vertices, pose)
    return shape(posed, split.faces, np.array(split.vertices[:, :2]), size, material, smooth=True)


def coat(split: trimesh.Trimesh, covered: np.ndarray, material: object, pose: np.ndarray) -> object:
    """A layer on the faces `covered` (F,) of a `smoothed` solid in a pose, a hundredth of a millimetre above them."""
    vertices = trimesh.transform_points(split.vertices + 0.01 * split.vertex_normals, pose)
    return shape(vertices, split.faces[covered], split.vertices[:, :2], (1, 1), material, smooth=True)


def _plain(solid: trimesh.Trimesh, radiance: float = 0.0) -> object:
    return shape(solid.vertices, solid.faces, solid.vertices[:, :2], (1, 1), {"type": "diffuse"}, radiance=radiance)


def radiance(
    camera: Camera, shapes: list, light: Light, samples: int, seed: int, bounces: int = 2, integrator: str = "path"
) -> np.ndarray:
    """Linear radiance (H, W, 3) that reaches the camera, with at most `bounces` reflections from shape to shape.

    The block size is fixed, since the random numbers of a pixel depend on it.
    """
    parts = {f"shape{i}": part for i, part in enumerate(shapes)}
    tracer = {"type": integrator, "max_depth": bounces + 2, "block_size": 16}
    scene = mitsuba().load_dict({"type": "scene", "integrator": tracer, **light.emitters(), **parts})
    sensor = mitsuba().load_dict(camera.sensor(samples, seed))
    return np.array(mitsuba().render(scene, sensor=sensor, spp=samples, seed=seed))


def distance(camera: Camera, *solids: trimesh.Trimesh) -> np.ndarray:
    """Distance along the ray to the solids or to the plane z = 0, on the fine grid of the ground truth."""
    scale = mitsuba().ScalarTransform4f().scale([camera.field_width, camera.field_width, 1])
    parts = {f"solid{i}": _plain(solid) for i, solid in enumerate(solids)}
    return _first_hit(camera, {"type": "depth"}, parts | {"ground": {"type": "rectangle", "to_world": scale}})


def changed(camera: Camera, before: list[trimesh.Trimesh], after: list[trimesh.Trimesh]) -> np.ndarray:
    """The rays of the fine grid that meet another surface after a change, nearer or farther by 0.1 mm."""
    return np.abs(distance(camera, *after) - distance(camera, *before)) > 0.1


def owners(camera: Camera, *solids: trimesh.Trimesh) -> np.ndarray:
    """The number of the solid that each ray of the fine grid meets first, from 1 on; 0 where it meets none."""
    # Each solid emits its number as radiance, and only directly visible light is counted.
    parts = {f"solid{i}": _plain(solid, radiance=i + 1) for i, solid in enumerate(solids)}
    return np.rint(_first_hit(camera, {"type": "path", "max_depth": 1}, parts)).astype(int)


def _first_hit(camera: Camera, integrator: dict, parts: dict) -> np.ndarray:
    mi = mitsuba()
    scene = mi.load_dict({"type": "scene", "integrator": integrator | {"block_size": 64}, **parts})
    sensor = mi.load_dict(camera.sensor(1, 0, RAYS))
    return np.array(mi.render(scene, sensor=sensor, spp=1, seed=0))[..., 0]


def half_covered(fine: np.ndarray) -> np.ndarray:
    """The pixels (H, W) of which at least half of the rays of the fine grid are true."""
    rows, columns = (side // RAYS for side in fine.shape)
    return fine.reshape(rows, RAYS, columns, RAYS).mean(axis=(1, 3)) >= 0.5


def visible(image: np.ndarray, intact: np.ndarray, region: np.ndarray) -> dict:
    """The area of a region in pixels, and its contrast to the image (H, W, 3) of the same scene without the defect.

    The contrast is the mean absolute difference of the 8-bit values in the region.
    """
    contrast = np.abs(image[region].astype(float) - intact[region]).mean()
    return {"region_pixels": int(region.sum()), "contrast_grey_levels": round(float(contrast), 2)}


def photograph(light: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """The uint8 image of radiance (H, W, 3), with vignetting, defocus, noise and sRGB encoding; and the settings drawn.

    A lens that matches its sensor blurs over about half a pixel, whatever the number of pixels. The blur in pixels
    therefore grows with the width only up to RESOLVED_WIDTH, and a wider image shows finer detail.
    """
    height, width = light.shape[:2]
    settings = {
        "exposure": float(rng.normal(1.0, 0.015)),
        "defocus_pixels": float(rng.uniform(0.4, 0.6)) * min(width, RESOLVED_WIDTH) / RESOLVED_WIDTH,
        "vignetting": float(rng.uniform(0.08, 0.14)),
        "noise": float(rng.uniform(0.003, 0.005)),
    }
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height) * height / width)
    signal = light * settings["exposure"] * (1 - settings["vignetting"] * (x**2 + y**2))[..., None]
    signal = ndimage.gaussian_filter(signal, (settings["defocus_pixels"], settings["defocus_pixels"], 0))
    deviation = settings["noise"] * np.sqrt(0.15 + np.clip(signal, 0, 1) * 2)  # read noise and shot noise
    signal = np.clip(signal + deviation * rng.standard_normal(signal.shape), 0, 1)
    encoded = np.where(signal <= 0.0031308, 12.92 * signal, 1.055 * np.maximum(signal, 1e-9) ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8), settings
