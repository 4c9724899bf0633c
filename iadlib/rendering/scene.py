"""What the rendered categories share: the recording set-up as a Mitsuba scene, and ground truth from geometry.

An overhead camera looks straight down at a part on black cloth, a softbox hangs above and to one side, and a sensor
model turns radiance into 8 bits. A category makes solids and a surface for them; everything else is here.

Lengths are millimetres. The cloth lies at z = 0, x points right and y up in the image, z to the camera. Textures are
rasters whose first row is at the largest y. Mitsuba is imported where it is used and only in the variant scalar_rgb,
which needs neither a GPU nor LLVM.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import trimesh
from scipy import ndimage

RAYS = 3  # ground truth is decided on 3 x 3 rays a pixel
RESOLVED_WIDTH = 304  # pixels, of the widest image at default size; from there on the lens keeps up with the sensor


@cache
def mitsuba():
    """Mitsuba in the one variant that runs everywhere; imported on first use, since that takes a second."""
    import mitsuba

    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above the origin, looking down; `field_width` is what it sees of the plane z = 0."""

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
        """Where the rays through a grid of rays x rays points in each pixel meet the plane at height z: x and y."""
        scale = (1 - z / self.distance) / self.pixels_per_mm
        columns = (np.arange(self.width * rays) + 0.5) / rays - self.width / 2
        rows = self.height / 2 - (np.arange(self.height * rays) + 0.5) / rays
        return np.meshgrid(columns * scale, rows * scale)

    def sensor(self, samples: int, seed: int, rays: int = 1) -> dict:
        """The Mitsuba sensor. The box filter keeps image blocks apart, so that bytes do not depend on threads."""
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
    """The softbox: one emitting rectangle that faces the origin, and the weak light of the room."""

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
    """The softbox as it stands from one recording to the next: moved by centimetres, a few percent brighter."""
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
):
    """A Mitsuba mesh; `texture_points` (N, 2) place each vertex on a texture of `size` centred at the origin.

    `material` is a description or, to be shared between shapes, what Mitsuba loaded of it.
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


def rounded(
    solid: trimesh.Trimesh, material: object, pose: np.ndarray, size: tuple = (1, 1), sharp_degrees: float = 35
):
    """A solid in its own frame, seen in a pose, as a Mitsuba mesh with smooth sides.

    Edges sharper than `sharp_degrees` stay edges. Textures of `size` in mm lie on it as seen from above, in its frame.
    """
    split = trimesh.graph.smooth_shade(solid, angle=np.radians(sharp_degrees))
    posed = trimesh.transform_points(split.vertices, pose)
    return shape(posed, split.faces, np.array(split.vertices[:, :2]), size, material, smooth=True)


def plain(solid: trimesh.Trimesh, radiance: float = 0.0):
    """A solid whose surface does not matter."""
    return shape(solid.vertices, solid.faces, solid.vertices[:, :2], (1, 1), {"type": "diffuse"}, radiance=radiance)


def radiance(
    camera: Camera, shapes: list, light: Light, samples: int, seed: int, bounces: int = 2, integrator: str = "path"
) -> np.ndarray:
    """Linear radiance (H, W, 3) that reaches the camera, after so many `bounces` from thing to thing at most.

    The blocks are fixed, since the random numbers of a pixel depend on them.
    """
    parts = {f"shape{i}": part for i, part in enumerate(shapes)}
    tracer = {"type": integrator, "max_depth": bounces + 2, "block_size": 16}
    scene = mitsuba().load_dict({"type": "scene", "integrator": tracer, **light.emitters(), **parts})
    sensor = mitsuba().load_dict(camera.sensor(samples, seed))
    return np.array(mitsuba().render(scene, sensor=sensor, spp=samples, seed=seed))


def distance(camera: Camera, *solids: trimesh.Trimesh) -> np.ndarray:
    """Distance along the ray to the solids or to the plane z = 0, on the fine grid of the ground truth."""
    scale = mitsuba().ScalarTransform4f().scale([camera.field_width, camera.field_width, 1])
    parts = {f"solid{i}": plain(solid) for i, solid in enumerate(solids)}
    return _first_hit(camera, {"type": "depth"}, parts | {"ground": {"type": "rectangle", "to_world": scale}})


def owners(camera: Camera, *solids: trimesh.Trimesh) -> np.ndarray:
    """Which solid each ray of the fine grid meets first: 1 for the first one, 2 for the second; 0 for none."""
    # Each shines with its number, and only light that comes straight from it is counted.
    parts = {f"solid{i}": plain(solid, radiance=i + 1) for i, solid in enumerate(solids)}
    return np.rint(_first_hit(camera, {"type": "path", "max_depth": 1}, parts)).astype(int)


def _first_hit(camera: Camera, integrator: dict, parts: dict) -> np.ndarray:
    mi = mitsuba()
    scene = mi.load_dict({"type": "scene", "integrator": integrator | {"block_size": 64}, **parts})
    sensor = mi.load_dict(camera.sensor(1, 0, RAYS))
    return np.array(mi.render(scene, sensor=sensor, spp=1, seed=0))[..., 0]


def half_covered(fine: np.ndarray) -> np.ndarray:
    """The pixels (H, W) of which at least half of the fine grid's rays say true."""
    rows, columns = (side // RAYS for side in fine.shape)
    return fine.reshape(rows, RAYS, columns, RAYS).mean(axis=(1, 3)) >= 0.5


def visible(image: np.ndarray, region: np.ndarray) -> dict:
    """How large a region shows, and by how many grey levels its mean differs from what surrounds it."""
    grey = image.mean(axis=2)
    around = ndimage.binary_dilation(region, iterations=4) & ~ndimage.binary_dilation(region)
    contrast = grey[region].mean() - grey[around].mean()
    return {"region_pixels": int(region.sum()), "contrast_grey_levels": round(float(contrast), 2)}


def photograph(light: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """What the sensor makes of radiance (H, W, 3): uint8 with vignetting, defocus, noise and sRGB; and its settings.

    Defocus is in pixels of the sensor. A lens that resolves its sensor blurs over about half a pixel, whatever their
    number: so a wider image shows more, and the blur grows with the width only up to RESOLVED_WIDTH.
    """
    height, width = light.shape[:2]
    settings = {
        "exposure": float(rng.normal(1.0, 0.015)),
        "defocus_pixels": float(rng.uniform(0.4, 0.6)) * min(width, RESOLVED_WIDTH) / 288,
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
