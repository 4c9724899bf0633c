"""Solid geometry: areas, solids and poses. A solid is a watertight triangle mesh; lengths are millimetres."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, wraps

import manifold3d
import numpy as np
import trimesh
from trimesh.transformations import rotation_matrix, translation_matrix


def cached(size: int) -> Callable:
    """A decorator that keeps the `size` last results of a function whose arguments JSON can hold.

    Callers share a result and must not change it.
    """

    def decorate(function: Callable) -> Callable:
        kept = lru_cache(size)(lambda text: function(*json.loads(text)))

        @wraps(function)
        def call(*arguments):
            return kept(json.dumps(arguments))

        return call

    return decorate


def polygon(points: Iterable, rounding: float = 0.0) -> manifold3d.CrossSection:
    """The area inside a closed line (N, 2), with rounded convex and concave corners."""
    area = manifold3d.CrossSection([np.asarray(points, dtype=float)], manifold3d.FillRule.Positive)
    for step in (-rounding, 2 * rounding, -rounding) if rounding else ():
        area = area.offset(step, manifold3d.JoinType.Round, circular_segments=32)
    return area


def rectangle(
    width: float, height: float, rounding: float = 0.0, centre: tuple = (0.0, 0.0)
) -> manifold3d.CrossSection:
    """The area of a rectangle with rounded corners."""
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (width / 2, height / 2) + centre
    return polygon(corners, rounding)


def circle(diameter: float, centre: tuple = (0.0, 0.0), sections: int = 48) -> manifold3d.CrossSection:
    return manifold3d.CrossSection.circle(diameter / 2, sections).translate(centre)


def regular(across_flats: float, corners: int) -> manifold3d.CrossSection:
    """The area of a regular polygon with an even number of corners; `across_flats` separates opposite sides."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = across_flats / 2 / np.cos(np.pi / corners)
    return polygon(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def extruded(area: manifold3d.CrossSection, bottom: float, top: float, chamfer: float = 0.0) -> manifold3d.Manifold:
    """A prism between two heights; `chamfer` bevels the upper edge and needs a convex area."""
    if not chamfer:
        return area.extrude(top - bottom).translate((0, 0, bottom))
    inner = area.offset(-chamfer, manifold3d.JoinType.Miter)
    levels = [area.extrude(1e-4).translate((0, 0, z)) for z in (bottom, top - chamfer)]
    return manifold3d.Manifold.batch_hull([*levels, inner.extrude(1e-4).translate((0, 0, top))])


def revolved(profile: Sequence[tuple[float, float]], sections: int = 48) -> manifold3d.Manifold:
    """The solid of revolution of a closed profile of (radius, z) around the z axis."""
    area = manifold3d.CrossSection([np.asarray(profile, dtype=float)], manifold3d.FillRule.NonZero)
    return area.revolve(sections)


def tube(path: np.ndarray, diameter: float | np.ndarray, sections: int = 16) -> manifold3d.Manifold:
    """A round wire along a smooth line (N, 3), with one diameter or one for each point (N,)."""
    ahead = np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    aside = np.cross(ahead, np.eye(3)[np.abs(ahead).max(axis=0).argmin()])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    above = np.cross(aside, ahead)
    turns = np.linspace(0, 2 * np.pi, sections, endpoint=False)
    ring = np.cos(turns)[:, None, None] * aside + np.sin(turns)[:, None, None] * above  # (sections, N, 3)
    vertices = (path + np.broadcast_to(diameter, len(path))[:, None] / 2 * ring).transpose(1, 0, 2).reshape(-1, 3)
    vertices = np.concatenate([vertices, path[[0, -1]]])
    at = np.arange(len(path) - 1)[:, None] * sections
    this, following = np.arange(sections), np.roll(np.arange(sections), -1)
    corners = [at + this, at + following, at + sections + this, at + sections + following]
    a, b, c, d = (np.broadcast_to(corner, (len(path) - 1, sections)).ravel() for corner in corners)
    last = (len(path) - 1) * sections
    first_cap = np.column_stack([np.full(sections, len(vertices) - 2), following, this])
    last_cap = np.column_stack([np.full(sections, len(vertices) - 1), last + this, last + following])
    faces = np.concatenate([np.column_stack([a, b, c]), np.column_stack([b, d, c]), first_cap, last_cap])
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    if mesh.volume < 0:
        mesh.invert()
    return of(mesh)


def lump(rng: np.random.Generator, size: tuple[float, float, float]) -> manifold3d.Manifold:
    """An angular lump that lies on z = 0: the hull of random points on an ellipsoid of `size`."""
    points = rng.standard_normal((16, 3))
    points *= np.array(size) / 2 / np.linalg.norm(points, axis=1, keepdims=True)
    return manifold3d.Manifold.hull_points(points).translate((0, 0, -points[:, 2].min()))


def break_off(
    solid: manifold3d.Manifold,
    rng: np.random.Generator,
    corner: np.ndarray,
    outward: np.ndarray,
    depth: float,
    radii: tuple[float, float],
    shallower: tuple[float, float],
    sway: float,
) -> manifold3d.Manifold:
    """A solid whose corner is broken off up to `depth` below it, with the hollows of a brittle fracture.

    Each of five hollows is a sphere of a radius from `radii`. The first is `depth` deep; the others are less deep by a
    length from `shallower`, and are moved sideways by random lengths of deviation `sway`.
    """
    for less in (0.0, *rng.uniform(*shallower, 4)):
        radius = rng.uniform(*radii)
        centre = corner + outward * (radius - depth + less) + rng.normal(0, sway * (less > 0), 3)
        solid -= manifold3d.Manifold.sphere(radius, 48).translate(centre)
    return solid


def of(mesh: trimesh.Trimesh) -> manifold3d.Manifold:
    return manifold3d.Manifold(manifold3d.Mesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32)))


def mesh_of(solid: manifold3d.Manifold, finer_than: float | None = None) -> trimesh.Trimesh:
    """The triangles of a solid, with no edge longer than `finer_than`."""
    mesh = (solid if finer_than is None else solid.refine_to_length(finer_than)).to_mesh()
    return trimesh.Trimesh(np.asarray(mesh.vert_properties, dtype=float)[:, :3], mesh.tri_verts, process=False)


def pose_of(x: float, y: float, z: float = 0.0, turn: float = 0.0, tilt: float = 0.0) -> np.ndarray:
    """The 4 x 4 matrix of rotations by `tilt` about y and `turn` about z, in degrees, and a shift."""
    tilted, turned = rotation_matrix(np.radians(tilt), (0, 1, 0)), rotation_matrix(np.radians(turn), (0, 0, 1))
    return translation_matrix((x, y, z)) @ turned @ tilted


def flat_pose(pose: dict) -> np.ndarray:
    """The matrix of a scene's "pose": a position in the plane z = 0 and a turn about z."""
    return pose_of(pose["x"], pose["y"], turn=pose["turn"])


def in_frame(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) of the plane z = 0 in the frame of an object in a pose that turns about z alone."""
    return (points - pose[:2, 3]) @ pose[:2, :2]


def apart(circles: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray], gap: float = 0.0) -> bool:
    """Whether the distances of all circles from all others, given by centres (N, 2) and radii (N,), exceed a gap."""
    distances = np.linalg.norm(circles[0][:, None] - others[0], axis=2)
    return bool((distances > circles[1][:, None] + others[1] + gap).all())


def random_curve(rng: np.random.Generator, length: float, curl: float) -> np.ndarray:
    """A line (12, 2) in a random direction, which changes by a deviation of `curl` radians at each point."""
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, curl, 12))
    return np.cumsum(length / 12 * np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0)
