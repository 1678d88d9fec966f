"""Mesh parts as plain arrays: rounded boxes, lathed, swept, extruded and pleated shapes. Metres, Z up.

Faces have no orientation: what is drawn with them lights both sides. Sharp edges have their vertices twice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

SHARP = np.cos(np.radians(40.0))


class Part(NamedTuple):
    """N vertices and M triangles; ``texture`` are the coordinates that materials are painted in (metres)."""

    points: np.ndarray  # (N, 3) float64
    normals: np.ndarray  # (N, 3) float64, unit
    faces: np.ndarray  # (M, 3) int64
    texture: np.ndarray  # (N, 3) float64

    def moved(self, at=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0), scale=1.0) -> Part:
        """Scaled, turned by angles about X, Y, Z in degrees (in that order), moved to ``at``; painted as before."""
        matrix = rotation(turn)
        factor = np.broadcast_to(np.asarray(scale, float), 3)
        normals = unit(self.normals / factor) @ matrix.T
        return Part((self.points * factor) @ matrix.T + np.asarray(at, float), normals, self.faces, self.texture)

    def painted(self, texture: np.ndarray) -> Part:
        """The same shape with other texture coordinates (N, 3)."""
        return self._replace(texture=texture)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def cross(a, b) -> np.ndarray:
    """Cross product over the last axis; on small arrays several times as fast as numpy's."""
    (ax, ay, az), (bx, by, bz) = np.moveaxis(np.asarray(a), -1, 0), np.moveaxis(np.asarray(b), -1, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def rotation(turn) -> np.ndarray:
    """(3, 3) rotation about X, then Y, then Z by degrees."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def joined(parts: list[Part]) -> Part:
    """Several parts as one."""
    starts = np.cumsum([0, *(len(part.points) for part in parts[:-1])])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
    columns = (np.concatenate([part[i] for part in parts]) for i in (0, 1, 3))
    points, normals, texture = columns
    return Part(points, normals, np.concatenate(faces), texture)


def sheet(grid: np.ndarray, closed: bool = False) -> Part:
    """A smooth surface over a grid of points (rows, columns, 3); ``closed`` joins the last column to the first."""
    if closed:
        grid = np.concatenate([grid, grid[:, :1]], 1)
    rows, columns = grid.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    wrapped = np.concatenate([grid[:, -2:-1], grid, grid[:, 1:2]], 1) if closed else None
    across = 0.5 * (wrapped[:, 2:] - wrapped[:, :-2]) if closed else np.gradient(grid, axis=1)
    normals = cross(np.gradient(grid, axis=0), across)
    # Where a grid shrinks to a point, its neighbour's normal is the better guess.
    weak = np.linalg.norm(normals, axis=-1) < 1e-12
    for row, other in ((0, 1), (-1, -2)):
        normals[row][weak[row]] = normals[other][weak[row]]
    points = grid.reshape(-1, 3)
    return Part(points, unit(normals.reshape(-1, 3)), faces, points)


def box(size, bevel: float = 0.0) -> Part:
    """A box around the origin; ``bevel`` rounds its edges by that radius."""
    half = np.asarray(size, float) / 2
    bevel = min(bevel, 0.98 * half.min())
    corner, normals, faces = _box(bevel > 0)
    points = corner * (half - bevel) + bevel * normals if bevel > 0 else corner * half
    return Part(points, normals, faces, points)


@lru_cache
def _box(rounded: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signs of the corners, normals and faces of a box; rounded ones have a strip along every edge."""
    steps = np.array([-1.0, -1.0, 1.0, 1.0]) if rounded else np.array([-1.0, 1.0])
    outward = np.array([-1.0, 0.0, 0.0, 1.0]) if rounded else np.zeros(2)
    index = np.arange(len(steps) ** 2).reshape(len(steps), -1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    side = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    corners, normals, faces = [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            corner, normal = np.zeros((2, len(steps), len(steps), 3))
            for grid, values in ((corner, steps), (normal, outward)):
                grid[..., axis] = sign
                grid[..., (axis + 1) % 3], grid[..., (axis + 2) % 3] = values[:, None], values
            faces.append(side + index.size * len(corners))
            corners.append(corner.reshape(-1, 3))
            normals.append(unit(normal.reshape(-1, 3)))
    return np.concatenate(corners), np.concatenate(normals), np.concatenate(faces)


def pillow(size, roundness: float = 5.0, cuts: int = 9) -> Part:
    """A superellipsoid: ``roundness`` 2 is an ellipsoid, 5 a cushion, 12 nearly a box."""
    line = np.tan(np.linspace(-np.pi / 4, np.pi / 4, cuts))
    half, sides = np.asarray(size, float) / 2, []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            grid = np.empty((cuts, cuts, 3))
            grid[..., axis] = sign
            grid[..., (axis + 1) % 3], grid[..., (axis + 2) % 3] = line[:, None], line[None, :]
            grid /= (np.abs(grid) ** roundness).sum(-1, keepdims=True) ** (1.0 / roundness)
            side = sheet(grid * half)
            normals = np.sign(side.points) * np.abs(side.points / half) ** (roundness - 1) / half
            sides.append(side._replace(normals=unit(normals)))
    return joined(sides)


def lathe(profile, segments: int = 24, sweep: float = 360.0) -> Part:
    """A profile of (radius, z) turned about Z; corners sharper than 40 degrees stay sharp."""
    profile = np.asarray(profile, float)
    angles = np.radians(np.linspace(0, sweep, segments + 1))
    closed = sweep >= 360.0
    angles = angles[:-1] if closed else angles
    steps = unit(np.pad(np.diff(profile, axis=0), ((0, 0), (0, 1))))
    sharp = np.flatnonzero((steps[1:] * steps[:-1]).sum(1) < SHARP) + 1
    parts = []
    for run in np.split(np.arange(len(profile) - 1), sharp):
        ring = profile[run[0] : run[-1] + 2]
        r, z = ring[:, 0, None], np.broadcast_to(ring[:, 1, None], (len(ring), len(angles)))
        parts.append(sheet(np.stack([r * np.cos(angles), r * np.sin(angles), z], -1), closed))
    return joined(parts)


def sphere(radius: float, rings: int = 12) -> Part:
    """A ball around the origin."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, rings)
    return lathe(np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1), 2 * rings)


def tube(points, radius, segments: int = 8, closed: bool = False) -> Part:
    """A round tube along a polyline (n, 3) of one radius or one per point; ``closed`` joins its ends."""
    line = np.asarray(points, float)
    if closed:
        line = np.concatenate([line, line[:1]])
    radius = np.broadcast_to(np.asarray(radius, float), len(line))
    tangents = unit(np.gradient(line, axis=0))
    if closed:
        tangents[[0, -1]] = unit(line[1] - line[-2])
    side = cross(tangents[0], [0.0, 0.0, 1.0] if abs(tangents[0, 2]) < 0.9 else [1.0, 0.0, 0.0])
    angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    grid = np.empty((len(line), segments, 3))
    for i, tangent in enumerate(tangents):
        side = unit(side - tangent * (side @ tangent))
        other = cross(tangent, side)
        ring = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other
        grid[i] = line[i] + radius[i] * ring
    body = sheet(grid, closed=True)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    around = np.linspace(0, 2 * np.pi, segments + 1)
    local = np.stack(np.broadcast_arrays(0.02 * np.cos(around), 0.02 * np.sin(around), length[:, None]), -1)
    body = body.painted(local.reshape(-1, 3))
    if closed:
        return body
    return joined([body, *(disc_through(grid[end], line[end], tangents[end]) for end in (0, -1))])


def disc_through(ring: np.ndarray, center: np.ndarray, normal: np.ndarray) -> Part:
    """A fan from a centre to a closed ring of points (n, 3)."""
    n = len(ring)
    faces = np.stack([np.full(n, n), np.arange(n), (np.arange(n) + 1) % n], 1)
    points = np.concatenate([ring, center[None]])
    return Part(points, np.broadcast_to(unit(normal), points.shape).copy(), faces, points)


def rod(start, end, radius: float, end_radius: float | None = None, segments: int = 10) -> Part:
    """A straight round bar with closed ends."""
    radii = [radius, radius if end_radius is None else end_radius]
    return tube([start, end], radii, segments)


def bar(start, end, width: float, thick: float | None = None) -> Part:
    """A straight square bar from one point to another; ``width`` is horizontal."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = end - start
    z = unit(along)
    x = unit(cross(z, [0.0, 0.0, 1.0] if abs(z[2]) < 0.95 else [0.0, 1.0, 0.0]))
    matrix = np.stack([x, cross(z, x), z], 1)
    part = box((width, width if thick is None else thick, np.linalg.norm(along)))
    return part._replace(points=part.points @ matrix.T + (start + end) / 2, normals=part.normals @ matrix.T)


def ring(radius: float, thick: float, segments: int = 28, around: int = 8) -> Part:
    """A torus about Z."""
    angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    circle = np.stack([radius * np.cos(angles), radius * np.sin(angles), 0 * angles], 1)
    return tube(circle, thick, around, closed=True)


def prism(outline, thick: float) -> Part:
    """An outline (n, 2) in XZ, star-shaped about its mean, extruded along Y by ``thick`` about 0."""
    outline = np.asarray(outline, float)
    n, y = len(outline), thick / 2
    front, back = (np.stack([outline[:, 0], np.full(n, side), outline[:, 1]], 1) for side in (-y, y))
    parts = [disc_through(ring_, ring_.mean(0), np.array([0, s, 0])) for ring_, s in ((front, -1.0), (back, 1.0))]
    following = np.roll(np.arange(n), -1)
    quads = np.stack([front, back, back[following], front[following]], 1)  # (n, 4, 3)
    normals = unit(cross(quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0]))
    first = 4 * np.arange(n)[:, None]
    faces = np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])])
    points = quads.reshape(-1, 3)
    return joined([*parts, Part(points, np.repeat(normals, 4, 0), faces, points)])


def copies(part: Part, points: np.ndarray, matrices: np.ndarray) -> Part:
    """A part placed (K times) at points (K, 3) with linear maps (K, 3, 3); thin parts' normals are only turned."""
    k, n = len(points), len(part.points)
    placed = np.einsum("kij,nj->kni", matrices, part.points) + points[:, None]
    normals = unit(np.einsum("kij,nj->kni", matrices, part.normals))
    faces = part.faces[None] + n * np.arange(k)[:, None, None]
    shift = 0.37 * np.arange(k)[:, None, None] * np.array([0.0, 0.0, 1.0])
    texture = part.texture[None] + shift
    return Part(placed.reshape(-1, 3), normals.reshape(-1, 3), faces.reshape(-1, 3), texture.reshape(-1, 3))


def leaf(length: float, width: float, droop: float, along: int = 5) -> Part:
    """A blade from the origin along X that bends down by ``droop`` radians at its tip; texture x, y in 0..1, -1..1."""
    s, t = np.meshgrid(np.linspace(0, 1, along), np.array([-1.0, 0.0, 1.0]), indexing="ij")
    half = width / 2 * np.sin(np.pi * (0.04 + 0.95 * s) ** 0.8) ** 0.8
    bend = max(droop, 1e-3) * s
    x, z = length * np.sin(bend) / max(droop, 1e-3), length * (np.cos(bend) - 1) / max(droop, 1e-3)
    part = sheet(np.stack([x, t * half, z + 0.2 * np.abs(t) * half], -1))
    return part.painted(np.stack([s, t, 0 * s], -1).reshape(-1, 3))


def pleats(width: float, height: float, folds: float, depth: float, phase: float = 0.0) -> Part:
    """A hanging cloth in XZ from z = 0 to ``height``, with folds along X."""
    x, z = np.linspace(-width / 2, width / 2, int(8 * folds) + 1), np.linspace(0, height, 7)
    xx, zz = np.meshgrid(x, z, indexing="ij")
    wave = np.sin(2 * np.pi * folds * xx / width + phase + 0.5 * np.sin(2.5 * zz))
    y = depth * (0.6 + 0.4 * (1 - zz / height)) * wave * (0.8 + 0.2 * np.sin(9 * xx + phase))
    return sheet(np.stack([xx, y, zz], -1))
