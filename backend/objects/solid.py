"""Closed objects, meshed once from a field of their own.

The field is the maximum of three: what cameras saw (a truncated signed distance, finer than the scan's), the border
with the neighbours' labels, and the planes that the object stands on or leans against. What no camera saw is inside as
far as the hull of the seen surface reaches and the minimum cut of ``solid_unseen`` says so. The zero level of such a
field is closed and oriented by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_matrix
from scipy.spatial import ConvexHull, QhullError, cKDTree
from skimage.measure import marching_cubes

from ..surface.mesh import components, vertex_edges
from .solid_field import Lattice, Seen
from .solid_unseen import blurred, filled
from .support import Plane, main_support, shadowed
from .symmetry import find_mirror, mirrored
from .validity import hollow_share

THINNEST = 2.0  # cells: what is seen from one side only is at least so thick
BORDER_BLUR = 1.2  # cells, of the border between labels
CLIP = 1.2  # cells of distance that matter
NUDGE = 1e-3  # cells: no vertex falls onto a cell
SMOOTHING = 10  # pairs of steps
TORN = 2.5  # cells of distance per cell of way: a step behind an outline, not a surface
FULL_WEIGHT = 0.25  # of an object's median weight: seen well
SMALLEST = 0.02  # of the largest piece's area
FEWEST = 4  # cells of surface; fewer have no hull
SAME_FACET = np.cos(np.radians(8.0))  # facets of a hull whose normals are nearer are one
HULL_ROOM = 1.2  # cells: outlines are a little farther out than what is surely surface
EMPTY = 1.0  # cells in front of a seen surface
EVEN = 1.6  # cells of distance to the next cell
FAR_SIDE = 0.7  # truncations in front of a surface where one should be a cell before it
COMPANY, ALONE = 10, 3.0  # so many cells of a seen surface lie within so many cells of each other
LEAST_SEEN = 0.05  # share of a piece's area
APART = 3  # cells


@dataclass(frozen=True)
class Neighbours:
    """Whose the surface is, around one object."""

    points: np.ndarray  # (n, 3) float32 on the scan, about a cell apart
    mine: np.ndarray  # (n,) bool
    on_support: np.ndarray  # (n,) bool: of a plane that bounds the object, which settles the border by itself
    carried: Sequence[tuple[np.ndarray, Plane]]  # for each thing on top of it: its samples (n,) bool, and the plane


@dataclass(frozen=True)
class Solid:
    """A mesh in scene coordinates, and the field that it came from."""

    vertices: np.ndarray  # (n, 3) float64 scene metres
    faces: np.ndarray  # (m, 3) int64, outward
    colors: np.ndarray  # (n, 3) uint8
    observed: np.ndarray  # (n,) float32 0..1
    hollow: float  # share of sealed cavities, as of ``validity.hollow_share``
    free_violation: float  # share of its volume that cameras saw empty
    mirror_error: float | None  # metres, of the mirror that helped


def hull_planes(points: np.ndarray) -> np.ndarray:
    """The convex hull of points (n, 3) as rows (m, 4) of a . p + d <= 0, but for facets that hardly turn."""
    try:
        hull = ConvexHull(points)
    except QhullError:  # flat
        hull = ConvexHull(points, qhull_options="QJ")
    a, b, c = points[hull.simplices].transpose(1, 0, 2)
    left = hull.equations[np.argsort(-np.linalg.norm(np.cross(b - a, c - a), axis=1), kind="stable"), :3]
    chosen = []
    while len(left):
        chosen.append(left[0])
        left = left[left @ left[0] < SAME_FACET]
    normals = np.array(chosen)
    return np.column_stack([normals, -(points[hull.vertices] @ normals.T).max(axis=0)])


def solidify(
    lattice: Lattice,
    seen: Seen,
    around: Neighbours,
    planes: Sequence[Plane],
    margin: float = 0.0,
    mirror: bool = False,
) -> Solid | None:
    """Close an object; None when nothing of it is left.

    Args:
        planes: that bound it.
        margin: metres that the border with its neighbours moves outwards.
        mirror: whether the other side of a symmetric object may speak for the unseen.
    """
    distance, observed = seen.distance / np.float32(lattice.voxel), seen.weight > 0
    free, shell = _seen_as(distance, observed)
    dark = ~(free | shell)
    beneath = _beneath(lattice, planes)
    border = _border(lattice, around, dark, margin)
    own = (border <= 0) & (beneath <= 0)
    color, found = seen.color, find_mirror(lattice, seen, around.points[around.mine]) if mirror else None
    if found is not None:
        told, there, looks = mirrored(lattice, seen, found, dark & own, observed & own)
        distance[told], color = there / lattice.voxel, color.copy()
        color[told] = np.column_stack([looks, np.full(len(looks), 255)])
        free, shell = _seen_as(distance, observed | told)
        dark = ~(free | shell)
    fringe = _fringe(shell & own, distance, seen.truncation / lattice.voxel)
    skin = np.argwhere(shell & own & ~fringe & (distance > -1.0) & (beneath < -1.0))
    skin = _in_company(skin[_unevenness(skin, distance) < EVEN])
    if len(skin) < FEWEST:
        return None
    hull = hull_planes(shadowed(lattice.centers(skin), main_support(planes)))
    outside_hull = _outside_hull(lattice, hull, (dark | fringe) & own)
    outside_hull[fringe] -= 1.0  # thin things are all outline
    shell &= outside_hull <= 0
    asked = dark & own & (outside_hull <= 0)
    unseen = filled(dark, shell, free, own, outside_hull <= 0, _emptiness(lattice, hull, free, own))
    known = free | own & (outside_hull <= 0)
    invented = np.where(dark, blurred(unseen | shell & own, known, 1.5), distance)
    field = np.maximum(np.maximum(invented, outside_hull), np.maximum(border, beneath))
    inside = field < 0
    empty = observed & (seen.distance > EMPTY * lattice.voxel)
    trusted = np.where(observed & ~dark & (field <= distance + 1e-6), seen.weight, 0.0)
    if found is not None:
        trusted[told] = 0.0
    return _meshed(
        _Levels(lattice, field.clip(-CLIP, CLIP), distance, trusted, beneath, color),
        hollow_share(inside, free, asked & ~unseen),
        float((inside & empty).sum() / max(inside.sum(), 1)),
        None if found is None else found.error,
    )


def _seen_as(distance: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells (X, Y, Z) bool that were seen empty, and those just behind a seen surface; distances in cells."""
    free = observed & (distance > 0)
    return free, observed & ~free & (distance > -THINNEST)


def _fringe(shell: np.ndarray, distance: np.ndarray, truncation: float) -> np.ndarray:
    """Cells (X, Y, Z) bool just behind an outline, in its shadow; distances in cells.

    There the distance looks as if the surface went on. What shows that it does not is the other side of that surface:
    cameras looked through it to something farther.
    """
    cells = np.argwhere(shell)
    inner = np.clip(cells, 1, np.array(distance.shape) - 2).T
    axes = np.eye(3, dtype=np.int64)[:, :, None]
    slope = np.stack([distance[tuple(inner + axis)] - distance[tuple(inner - axis)] for axis in axes], axis=1)
    slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    before = np.rint(cells + (1.0 - distance[tuple(cells.T)])[:, None] * slope).astype(np.int64)
    before = tuple(before.clip(0, np.array(distance.shape) - 1).T)
    beyond = (distance[before] > max(FAR_SIDE * truncation, 2.0)) | (_unevenness(cells, distance) > TORN)
    fringe = np.zeros(distance.shape, bool)
    fringe[tuple(cells[beyond].T)] = True
    return fringe


def _in_company(cells: np.ndarray) -> np.ndarray:
    """Cells (n, 3) of a surface, without those that lie about alone: noise would stretch the hull."""
    if len(cells) < COMPANY:
        return cells[:0]
    return cells[cKDTree(cells).query(cells, COMPANY)[0][:, -1] < ALONE]


def _unevenness(cells: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """How much the distance changes from some cells (n, 3) to the next ones: about one for a single surface."""
    here = distance[tuple(cells.T)]
    inner = np.clip(cells, 1, np.array(distance.shape) - 2).T
    steps = (sign * axis[:, None] for axis in np.eye(3, dtype=np.int64) for sign in (1, -1))
    return np.max([np.abs(distance[tuple(inner + step)] - here) for step in steps], axis=0)


def _beneath(lattice: Lattice, planes: Sequence[Plane]) -> np.ndarray:
    """How far (X, Y, Z) cells lie behind the planes, in cells; negative in front of all."""
    deepest = np.full(lattice.shape, -CLIP, np.float32)
    for plane in planes:
        np.maximum(deepest, lattice.height(plane.normal, plane.offset) / np.float32(-lattice.voxel), out=deepest)
    return deepest


def _border(lattice: Lattice, around: Neighbours, dark: np.ndarray, margin: float) -> np.ndarray:
    """Signed distance (X, Y, Z) to the border with the neighbours in cells, good near its zero; negative inside.

    A cell is its nearest surface's. In the unseen, supports do not count: their plane says where they end. What stands
    on the object begins at its foot, however near it is.
    """
    nearest = _nearest(lattice, around.points)
    mine = _owned(lattice, around, nearest)
    if around.on_support.any():
        free_standing = np.flatnonzero(~around.on_support)
        others = free_standing[_nearest(lattice, around.points[free_standing])]
        mine = np.where(dark, _owned(lattice, around, others), mine)
    if margin:
        shift = margin / lattice.voxel
        mine = (distance_transform_edt(~mine) - distance_transform_edt(mine)) < shift
    return blurred(mine, np.ones_like(mine), BORDER_BLUR)


def _nearest(lattice: Lattice, points: np.ndarray) -> np.ndarray:
    """Index (X, Y, Z) of the point (n, 3) nearest to each cell, to half a cell."""
    cells = np.rint(points / lattice.voxel).astype(np.int64) - lattice.first
    inside = ((cells >= 0) & (cells < lattice.shape)).all(axis=1)
    index = np.full(lattice.shape, -1, np.int64)
    index[tuple(cells[inside].T)] = np.flatnonzero(inside)
    at = distance_transform_edt(index < 0, return_distances=False, return_indices=True)
    return index[tuple(at)]


def _owned(lattice: Lattice, around: Neighbours, nearest: np.ndarray) -> np.ndarray:
    mine = around.mine[nearest]
    for samples, plane in around.carried:
        mine |= samples[nearest] & (lattice.height(plane.normal, plane.offset) < 0)
    return mine


def _outside_hull(lattice: Lattice, hull: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Signed distance (X, Y, Z) to the hull in cells where asked, -CLIP elsewhere."""
    outside = np.full(lattice.shape, -CLIP, np.float32)
    cells = np.argwhere(asked)
    normals, offsets = hull[:, :3].astype(np.float32).T, hull[:, 3].astype(np.float32)
    found = [np.zeros(0, np.float32)]
    for part in np.array_split(cells, max(len(cells) * len(hull) // 4_000_000, 1)):
        found.append((lattice.centers(part).astype(np.float32) @ normals + offsets).max(axis=1, initial=-1.0))
    outside[asked] = np.concatenate(found) / np.float32(lattice.voxel) - HULL_ROOM
    return outside


def _emptiness(lattice: Lattice, hull: np.ndarray, free: np.ndarray, own: np.ndarray) -> float:
    """Share of the hull's own cells (X, Y, Z) bool that cameras saw empty, from one cell in each APART cubed."""
    some = (slice(1, None, APART),) * 3
    cells = np.argwhere(own[some]) * APART + 1
    cells = cells[(lattice.centers(cells) @ hull[:, :3].T + hull[:, 3]).max(axis=1) < 0]
    return float(free[tuple(cells.T)].mean()) if len(cells) else 0.0


@dataclass(frozen=True)
class _Levels:
    """What a mesh is made from; all arrays (X, Y, Z)."""

    lattice: Lattice
    field: np.ndarray  # cells
    distance: np.ndarray  # cells, to what was seen
    trusted: np.ndarray  # weight where the field is what was seen
    beneath: np.ndarray  # cells behind the supports
    color: np.ndarray  # with 4 channels


def _meshed(levels: _Levels, hollow: float, violation: float, mirror_error: float | None) -> Solid | None:
    field = np.where(np.abs(levels.field) < NUDGE, np.float32(NUDGE), levels.field)
    for axis in range(3):
        for end in (0, -1):
            rim = [slice(None)] * 3
            rim[axis] = end
            field[tuple(rim)] = CLIP
    if not (field < 0).any():
        return None
    places, faces, _, _ = marching_cubes(field, 0.0)
    ends = [tuple(side(places).astype(np.int64).T) for side in (np.floor, np.ceil)]
    first, second = ends
    torn = np.abs(levels.distance[first] - levels.distance[second]) > TORN
    weight = np.where(torn, 0.0, np.minimum(levels.trusted[first], levels.trusted[second]))
    usual = float(np.median(weight[weight > 0])) if (weight > 0).any() else 1.0
    observed = np.clip(weight / (FULL_WEIGHT * usual), 0.0, 1.0).astype(np.float32)
    # What lies on a support is exact as it is.
    flat = np.minimum(np.abs(levels.beneath[first]), np.abs(levels.beneath[second])) < 1.0
    faces, kept = _whole_pieces(places, faces.astype(np.int64), observed)
    if not len(faces):
        return None
    places, observed = places[kept].astype(np.float64), observed[kept]
    colors = _colors(levels.color, [tuple(axis[kept] for axis in end) for end in ends], observed, places)
    places = _smoothed(places, faces, (observed < 0.5) & ~flat[kept])
    vertices = (places + levels.lattice.first) * levels.lattice.voxel
    return Solid(vertices, faces, colors, observed, hollow, violation, mirror_error)


def _whole_pieces(vertices: np.ndarray, faces: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces, and indices of the vertices that they use, without crumbs, bubbles, and pieces that nobody saw."""
    piece = components(faces, len(vertices))
    of_face, count = piece[faces[:, 0]], int(piece.max()) + 1
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    each = 0.5 * np.linalg.norm(normal, axis=1)
    area = np.bincount(of_face, each, count)
    volume = np.bincount(of_face, np.einsum("ij,ij->i", a, normal) / 6, count)
    looked = np.bincount(of_face, each * observed[faces].mean(axis=1), count)
    outer = volume > 0
    largest = area[outer].max(initial=0.0)
    keep = outer & (area > SMALLEST * largest) & (looked > LEAST_SEEN * area)
    faces = faces[keep[of_face]]
    kept = np.unique(faces)
    return np.searchsorted(kept, faces), kept


def _smoothed(vertices: np.ndarray, faces: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Vertices (n, 3) with the moving ones (n,) smoothed without shrinking (Taubin 1995)."""
    ends = vertex_edges(faces)
    ends = np.concatenate([ends, ends[:, ::-1]])
    ends = ends[moving[ends[:, 0]]]
    size = (len(vertices), len(vertices))
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=size).tocsr()
    rows = np.flatnonzero(moving)
    graph = graph[rows]
    degree = np.maximum(np.asarray(graph.sum(axis=1)), 1)
    vertices = vertices.copy()
    for step in [0.5, -0.53] * SMOOTHING:
        vertices[rows] += step * (graph @ vertices / degree - vertices[rows])
    return vertices


def _colors(color: np.ndarray, ends: list[tuple], observed: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(n, 3) uint8: what was fused at the vertices; where that is nothing, what was seen nearest."""
    first, second = (color[end].astype(np.float32) for end in ends)
    shares = first[:, 3:] + second[:, 3:]
    colors = (first[:, :3] * first[:, 3:] + second[:, :3] * second[:, 3:]) / np.maximum(shares, 1.0)
    told = (shares[:, 0] > 0) & (observed > 0)
    if told.any() and not told.all():
        distance, near = cKDTree(places[told]).query(places[~told], min(8, int(told.sum())))
        share = 1.0 / np.maximum(distance.reshape(len(near), -1), 0.5) ** 2
        around = colors[told][near.reshape(len(near), -1)]
        colors[~told] = (around * share[..., None]).sum(axis=1) / share.sum(axis=1, keepdims=True)
    return np.rint(colors).clip(0, 255).astype(np.uint8)
