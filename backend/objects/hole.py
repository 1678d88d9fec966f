"""The scan without its things: floors and walls go on where things stood.

Where a thing rested on a plane of what stays, the part of the plane under it is triangulated together with the rim of
the hole (Delaunay), so that the patch hangs together with the scan; heights and colours go on smoothly from the rim
(the discrete Laplace equation), which on a flat floor is the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial import ConvexHull, Delaunay, QhullError, cKDTree

from ..surface.mesh import vertex_edges
from ..surface.surface import Surface
from .cutting import cut_by_labels
from .separation import SeparationResult
from .solid_sketch import Sketches
from .support import Plane, bounding_planes

STAYS, GOES = 1, 2
FINE = 2  # pixels of a plane's map per voxel
NEAR = 1.5  # voxels from its plane within which the scan covers it
BESIDE = 0.10  # metres around a thing that belong to its hole
SHADOW = 1.0  # metres around a thing within which holes and bays of the scan are its shadow's
BAY = 0.25  # metres, half the width of a bay
BEHIND = 0.5  # metres from a thing to the walls that it may hide
ALIKE, APART = np.cos(np.radians(5.0)), 0.03  # planes of several things that are one
ACROSS = 0.7  # cosine between planes that bound each other
PLANE_PULL = 1e-3  # towards the plane, against the smoothness
LONGEST = 4.0  # voxels of a patch's edges
MOST_PIXELS = 16_000_000


@dataclass(frozen=True)
class Filled:
    """The scan without its things."""

    name: str
    vertices: np.ndarray  # (n, 3) float32 scene metres
    faces: np.ndarray  # (m, 3) int32
    colors: np.ndarray  # (n, 3) uint8
    observed: np.ndarray  # (n,) float32, 0 where it was filled


@dataclass(frozen=True)
class _Place:
    """Things on one plane."""

    plane: Plane
    held: list[tuple[np.ndarray, list[Plane]]]  # points of each thing's hull, and the other planes that bound it


def without_things(
    result: SeparationResult,
    surface: Surface,
    sketches: Sketches,
    progress: Callable[[float, str], None],
) -> tuple[Filled, tuple[str, ...]]:
    """Take the things out of the scan and fill what they hid; and sentences about holes that stay."""
    things = np.array([made.thing for made in result.objects] + [False])  # the last one for what is no object's
    goes = things[np.maximum(result.of_vertex, -1)]
    cut = cut_by_labels(surface.vertices, surface.faces, np.where(goes, GOES, STAYS).astype(np.uint16))
    faces = cut.faces[cut.face_labels == STAYS]
    used, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    patched = _Patched(cut.points[used], faces, cut.interpolate(surface.colors.astype(np.float64))[used], surface.voxel)
    places, lost = _places(result, surface, sketches)
    for turn, place in enumerate(places):
        progress(turn / len(places), "Filling what things hid")
        patched.fill(place)
    names = [sketches.name(sketch) for sketch in sketches.of.values()]
    name = "Scene without " + (", ".join(dict.fromkeys(names)) if len(set(names)) <= 3 else "Objects")
    notes = (f"Holes left open, because what they stood on is gone or not flat: {lost}.",) if lost else ()
    count = len(patched.vertices)
    observed = np.zeros(count, np.float32)
    observed[: len(used)] = 1.0
    colors = np.rint(patched.colors).clip(0, 255).astype(np.uint8)
    return Filled(name, patched.vertices.astype(np.float32), patched.faces.astype(np.int32), colors, observed), notes


def _places(result: SeparationResult, surface: Surface, sketches: Sketches) -> tuple[list[_Place], int]:
    """The planes of what stays that things rest on, those alike made one; and how many things have none."""
    places: list[_Place] = []
    lost = 0
    for sketch in sketches.of.values():
        planes = bounding_planes(surface, result.of_vertex, sketch.part, sketches.scene, BEHIND)
        staying = [one for one in planes if one.supporter < 0 or not result.objects[one.supporter].thing]
        lost += not planes
        for plane in staying:
            others = [other for other in staying if abs(other.normal @ plane.normal) < ACROSS]
            for place in places:
                one = place.plane
                apart = np.abs(one.height(sketch.held) - plane.height(sketch.held)).max()
                if one.normal @ plane.normal > ALIKE and apart < APART:
                    place.held.append((sketch.held, others))
                    break
            else:
                places.append(_Place(plane, [(sketch.held, others)]))
    return places, lost


class _Patched:
    """A mesh that patches are added to."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, voxel: float):
        self.vertices, self.faces, self.colors = vertices, faces, colors
        self._voxel = voxel

    def fill(self, place: _Place) -> None:
        """Add the patch of one plane."""
        plane, voxel = place.plane, self._voxel
        axes = _axes(plane.normal)
        wanted, low = self._wanted(place, axes)
        if wanted is None or not wanted.any():
            return
        heights = plane.height(self.vertices)
        flat = self.vertices @ axes.T
        rim = np.flatnonzero(_on_rim(self.faces, len(self.vertices)) & (np.abs(heights) < NEAR * voxel))
        pixel = voxel / FINE
        reach = ndimage.distance_transform_edt(~wanted)
        at = np.rint((flat[rim] - low) / pixel).astype(np.int64)
        inside = ((at >= 0) & (at < wanted.shape)).all(axis=1)
        rim, at = rim[inside], at[inside]
        rim = rim[reach[tuple(at.T)] < 1.5 * FINE]
        # New points keep away from the rim, so that the triangles along it are no slivers.
        depth = ndimage.distance_transform_edt(wanted)
        new = np.argwhere((depth > 0.6 * FINE) & _every(wanted.shape, FINE)) * pixel + low
        if len(rim):
            new = new[cKDTree(flat[rim]).query(new)[0] > 0.6 * voxel]
        points = np.concatenate([flat[rim], new])
        triangles = self._triangles(points, len(rim), wanted, low, reach)
        if triangles is None:
            return
        height, colors = self._continued(points, triangles, heights[rim], self.colors[rim], flat)
        # Triangles turn left about the normal, since the axes are right-handed with it.
        lifted = new @ axes + (plane.offset + height[len(rim) :])[:, None] * plane.normal
        index = np.concatenate([rim, len(self.vertices) + np.arange(len(new))])
        self.vertices = np.concatenate([self.vertices, lifted])
        self.colors = np.concatenate([self.colors, colors[len(rim) :]])
        self.faces = np.concatenate([self.faces, index[triangles]])

    def _wanted(self, place: _Place, axes: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """Map (X, Y) bool of the plane where things stood and nothing was scanned, and its lowest corner (2,)."""
        pixel, plane = self._voxel / FINE, place.plane
        flat = [held @ axes.T for held, _ in place.held]
        low = np.concatenate(flat).min(axis=0) - SHADOW - 4 * pixel
        high = np.concatenate(flat).max(axis=0) + SHADOW + 4 * pixel
        shape = tuple(int(n) for n in np.ceil((high - low) / pixel).astype(int) + 1)
        if shape[0] * shape[1] > MOST_PIXELS:
            return None, low
        covered = self._covered(plane, axes, low, shape)
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1).reshape(-1, 2) * pixel + low
        spots = grid @ axes + plane.offset * plane.normal
        beside, shaded = np.zeros(shape, bool), np.zeros(shape, bool)
        for (_, others), points in zip(place.held, flat, strict=True):
            mine = _in_hull(grid, points).reshape(shape)
            before = np.ones(len(spots), bool)
            for other in others:
                before &= other.height(spots) > -0.5 * self._voxel
            away = ndimage.distance_transform_edt(~mine) * pixel
            beside |= (away < BESIDE) & before.reshape(shape)
            shaded |= (away < SHADOW) & before.reshape(shape)
        wide = ndimage.distance_transform_edt(~covered) * pixel < BAY
        bays = ndimage.distance_transform_edt(wide) * pixel > BAY
        return ~covered & (beside | shaded & ndimage.binary_fill_holes(bays)), low

    def _covered(self, plane: Plane, axes: np.ndarray, low: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Where the plane was scanned."""
        voxel = self._voxel
        near = np.abs(plane.height(self.vertices)) < NEAR * voxel
        faces = self.faces[near[self.faces].all(axis=1)]
        a, b, c = self.vertices[faces].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        level = normal @ plane.normal > 0.5 * np.linalg.norm(normal, axis=1)
        corners = (np.stack([a, b, c])[:, level]) @ axes.T
        covered = np.zeros(shape, bool)
        n = 2 * FINE
        for i in range(n):
            for j in range(n - i):
                weights = np.array([i + 1 / 3, j + 1 / 3, n - i - j - 2 / 3]) / n
                at = np.rint((np.tensordot(weights, corners, 1) - low) * FINE / voxel).astype(np.int64)
                at = at[((at >= 0) & (at < shape)).all(axis=1)]
                covered[tuple(at.T)] = True
        return ndimage.binary_closing(covered, iterations=1)

    def _triangles(
        self, points: np.ndarray, rim: int, wanted: np.ndarray, low: np.ndarray, reach: np.ndarray
    ) -> np.ndarray | None:
        """Triangles (t, 3) between points (n, 2), counter-clockwise, that lie in the wanted part."""
        if len(points) < 4:
            return None
        try:
            triangles = Delaunay(points).simplices
        except QhullError:
            return None
        a, b, c = points[triangles].transpose(1, 0, 2)
        turned = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0
        triangles[turned] = triangles[turned][:, ::-1]
        pixel = self._voxel / FINE
        longest = np.max([np.linalg.norm(p - q, axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
        at = np.rint(((a + b + c) / 3 - low) / pixel).astype(np.int64).clip(0, np.array(wanted.shape) - 1)
        all_rim = (triangles < rim).all(axis=1)
        inside = reach[tuple(at.T)] <= np.where(all_rim, 0.0, 1.0 * FINE)
        triangles = triangles[inside & (longest < LONGEST * self._voxel)]
        return triangles if len(triangles) else None

    def _continued(
        self, points: np.ndarray, triangles: np.ndarray, heights: np.ndarray, colors: np.ndarray, flat: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Heights (n,) and colours (n, 3) of points, those of the rim, which come first, given."""
        rim, count = len(heights), len(points)
        given = np.column_stack([heights, colors])
        ends = vertex_edges(triangles)
        graph = sparse.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
        graph = graph + graph.T
        # Where no rim is near, colours are those of the scan around; heights those of the plane.
        nearest = self.colors[cKDTree(flat).query(points[rim:])[1]]
        aim = np.column_stack([np.zeros(count - rim), nearest])
        inner = sparse.diags(np.asarray(graph.sum(axis=1)).ravel() + PLANE_PULL) - graph
        found = spsolve(inner[rim:, rim:].tocsc(), graph[rim:, :rim] @ given + PLANE_PULL * aim)
        found = np.concatenate([given, found.reshape(count - rim, 4)])
        return found[:, 0], found[:, 1:]


def _axes(normal: np.ndarray) -> np.ndarray:
    """Two rows (2, 3) that span a plane, right-handed with its normal."""
    first = np.cross([0.0, 0.0, 1.0] if abs(normal[2]) < 0.9 else [0.0, 1.0, 0.0], normal)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(normal, first)])


def _every(shape: tuple[int, int], step: int) -> np.ndarray:
    every = np.zeros(shape, bool)
    every[::step, ::step] = True
    return every


def _on_rim(faces: np.ndarray, count: int) -> np.ndarray:
    """Vertices (count,) bool of edges that only one face has."""
    ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    keys, uses = np.unique(ends[:, 0] * count + ends[:, 1], return_counts=True)
    found = np.zeros(count, bool)
    found[keys[uses == 1] // count] = True
    found[keys[uses == 1] % count] = True
    return found


def _in_hull(points: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Which points (n, 2) lie in the convex hull of others (k, 2)."""
    try:
        equations = ConvexHull(held).equations
    except QhullError:
        return np.zeros(len(points), bool)
    low, high = held.min(axis=0), held.max(axis=0)
    inside = ((points >= low) & (points <= high)).all(axis=1)
    some = np.flatnonzero(inside)
    inside[some] = (points[some] @ equations[:, :2].T + equations[:, 2]).max(axis=1) <= 0
    return inside
