"""Finer triangles where a mesh is coarse: labels live on vertices, so a wall of two triangles could not be divided.

An edge longer than the limit is cut in the middle on both of its sides, also along a seam of a texture whose vertices
are doubled, so that no crack opens. Original vertices keep their numbers.
"""

from __future__ import annotations

import numpy as np

from backend import budget

from .part import Part

WANTED = 60_000  # vertices that a surface should have at least, evenly spread
SLACK = 1.6  # times the even length that an edge may be long before it is cut
FINEST = 1 / 600  # of the diagonal: shorter edges are never cut
MOST = 1_500_000  # vertices beyond which nothing is cut any more
PASSES = 24


def longest_edge(parts: list[Part]) -> float:
    """The length from which edges are cut, for parts with (F, 3) faces; the same for all, so that seams fit."""
    area = sum(_area(part) for part in parts)
    used = np.concatenate([part.positions[part.faces.ravel()] for part in parts])
    even = np.sqrt(area * 2 / np.sqrt(3) / WANTED)  # side of equilateral triangles, two per vertex
    return float(max(SLACK * even, FINEST * np.linalg.norm(np.ptp(used, axis=0)) if len(used) else 0.0))


def refine(part: Part, longest: float) -> int:
    """Cut edges longer than ``longest`` in halves until there are none; how many vertices were added."""
    before, limit = len(part.positions), longest * longest
    most = min(MOST, budget.current().vertices)
    for _ in range(PASSES):
        faces = part.faces
        lengths = np.stack([_squared(part.positions, faces[:, k], faces[:, (k + 1) % 3]) for k in range(3)], axis=1)
        long = lengths > limit
        if not long.any():
            break
        ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1)[long]
        keys, at = np.unique(ends.min(1) << 32 | ends.max(1), return_inverse=True)
        if len(part.positions) + len(keys) > most:
            break
        middle = np.full(faces.shape, -1, np.int64)
        middle[long] = len(part.positions) + at.ravel()
        _add_middles(part, keys >> 32, keys & 0xFFFFFFFF)
        part.faces = _cut(faces, middle)
    return len(part.positions) - before


def _area(part: Part) -> float:
    a, b, c = (part.positions[part.faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def _squared(positions: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((positions[a] - positions[b]) ** 2).sum(axis=1)


def _add_middles(part: Part, a: np.ndarray, b: np.ndarray) -> None:
    for name in ("positions", "normals", "uv"):
        values = getattr(part, name)
        if values is not None:
            setattr(part, name, np.concatenate([values, (values[a] + values[b]) / 2]))
    if part.colors is not None:
        mean = (part.colors[a].astype(np.uint16) + part.colors[b] + 1) // 2
        part.colors = np.concatenate([part.colors, mean.astype(np.uint8)])
    for name in ("labels", "instances"):
        values = getattr(part, name)
        if values is not None:
            setattr(part, name, np.concatenate([values, values[a]]))


def _cut(faces: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Triangles cut at the middles (F, 3) of their edges, -1 where an edge stays whole."""
    cuts = (middle >= 0).sum(axis=1)
    # Turned so that a single cut is on the first edge, and a single whole edge is the last one.
    turn = np.where(cuts == 1, (middle >= 0).argmax(1), np.where(cuts == 2, ((middle < 0).argmax(1) + 1) % 3, 0))
    order = (turn[:, None] + np.arange(3)) % 3
    faces, middle = np.take_along_axis(faces, order, 1), np.take_along_axis(middle, order, 1)
    (a, b, c), (ab, bc, ca) = faces.T, middle.T
    made = [faces[cuts == 0]]
    templates = {
        1: ((a, ab, c), (ab, b, c)),
        2: ((ab, b, bc), (a, ab, bc), (a, bc, c)),
        3: ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)),
    }
    for number, triangles in templates.items():
        some = cuts == number
        made += [np.stack([corner[some] for corner in triangle], axis=1) for triangle in triangles]
    return np.concatenate(made)
