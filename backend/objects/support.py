"""The planes that an object stands on or leans against, from what is around it.

A neighbour's plane bounds an object when the object lies in front of it: floors, table tops, walls and the lids of
boxes do, the sides of neighbours do not. Planes are fitted by consensus (RANSAC, Fischler and Bolles 1981) to what
lies within reach of the object, one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree

from ..surface.surface import Surface

REACH = 0.10  # metres around the object, and at least REACH_VOXELS
REACH_VOXELS = 4.0
BELOW = 0.25  # metres under the object where a floor is looked for, if nothing touches it
TRIALS = 120
MOST_POINTS = 4_000  # that a fit looks at
LEAST_POINTS = 12
ON = 0.8  # voxels from a plane
LEAST_SHARE = 0.12  # of what is around the object
FACING = 0.8  # cosine between a point's normal and its plane's
IN_FRONT = 0.97  # share of the object in front of a plane that bounds it
COVERED = 0.7  # of a plane's points may be under the part: the rest is around it
MOST_PLANES = 4
MOST_SCENE_PLANES, LEAST_OF_SCENE = 12, 0.02
MOST_HULL_POINTS = 20_000
UP = 0.8  # of a normal along Z: a floor


@dataclass(frozen=True)
class Plane:
    """Points p with normal . p = offset; the normal points to the object's side."""

    normal: np.ndarray  # (3,) float64 unit
    offset: float  # metres
    supporter: int  # the part that most of it belongs to; -1 is unlabelled surface
    spread: float  # metres, root mean square distance of its points
    points: int

    def height(self, points: np.ndarray) -> np.ndarray:
        """Signed distances (n,) of points (n, 3)."""
        return points @ self.normal - self.offset


def scene_planes(surface: Surface, stays: np.ndarray) -> list[Plane]:
    """The floors, walls and ceilings of a scan, the largest first.

    Args:
        stays: (V,) bool vertices that belong to no thing.
    """
    planes: list[Plane] = []
    left = every = np.flatnonzero(stays)
    generator = np.random.default_rng(0)
    while len(planes) < MOST_SCENE_PLANES and len(left) > LEAST_OF_SCENE * len(every):
        found = _fit(surface, left, generator)
        if found is None or found[2].sum() < LEAST_OF_SCENE * len(every):
            break
        normal, offset, inliers = found
        planes.append(_plane(surface, np.full(len(stays), -1), left[inliers], normal, offset))
        left = left[~inliers]
    return planes


def bounding_planes(
    surface: Surface, of_vertex: np.ndarray, part: int, known: Sequence[Plane], reach: float = REACH
) -> list[Plane]:
    """Planes that bound one part, the strongest first: those of the scene, then others around it.

    Args:
        of_vertex: (V,) int part of each vertex, negative where it is no object's.
        known: as of ``scene_planes``.
        reach: metres around the part where planes are looked for, and at least REACH_VOXELS.
    """
    mine = surface.vertices[of_vertex == part].astype(np.float64)
    around = _around(surface, of_vertex, part, max(reach, REACH_VOXELS * surface.voxel), mine)
    least = max(LEAST_SHARE * len(around), LEAST_POINTS)
    farthest = max(reach, BELOW)
    planes: list[Plane] = []
    left = around
    for plane in known:
        on = _on(surface, left, plane.normal, plane.offset)
        if on.sum() >= 0.5 * least and _bounds(plane, mine, surface.vertices[left[on]], surface.voxel, farthest):
            planes.append(_plane(surface, of_vertex, left[on], plane.normal, plane.offset))
            left = left[np.abs(plane.height(surface.vertices[left])) > 2 * surface.voxel]
    generator = np.random.default_rng(part)
    while len(planes) < MOST_PLANES and len(left) >= least:
        found = _fit(surface, left, generator)
        if found is None or found[2].sum() < least:
            break
        normal, offset, inliers = found
        plane = _plane(surface, of_vertex, left[inliers], normal, offset)
        if _bounds(plane, mine, surface.vertices[left[inliers]], surface.voxel, farthest):
            planes.append(plane)
        left = left[~inliers]
    if not any(plane.normal[2] > UP for plane in planes):
        # Its foot was out of every picture, or what it stands on: it ends at the floor all the same.
        floors = [plane for plane in known if plane.normal[2] > UP]
        planes += [plane for plane in floors if _above(plane, mine, surface.voxel, farthest)][:1]
    return planes


def main_support(planes: list[Plane]) -> Plane | None:
    """What an object rests on: the floor under it, or else the strongest plane."""
    floors = [plane for plane in planes if plane.normal[2] > UP]
    return max(floors or planes, key=lambda plane: plane.points, default=None)


def shadowed(points: np.ndarray, support: Plane | None) -> np.ndarray:
    """Points (n, 3) and their shadows on the support: what stands on it goes down to it."""
    points = points[:: len(points) // MOST_HULL_POINTS + 1]
    if support is None:
        return points
    down = points - support.height(points)[:, None] * support.normal
    if support.normal[2] > UP:  # plumb down, however the floor's fit leans
        down = points.copy()
        down[:, 2] = (support.offset - points[:, :2] @ support.normal[:2]) / support.normal[2]
    return np.concatenate([points, down])


def _around(surface: Surface, of_vertex: np.ndarray, part: int, reach: float, mine: np.ndarray) -> np.ndarray:
    """Vertices (n,) of others within reach of the part, and of floors a little farther under it."""
    low, high = mine.min(axis=0) - reach, mine.max(axis=0) + reach
    others = of_vertex != part
    near = np.flatnonzero(others & _within(surface.vertices, low, high))
    if len(near):
        away = cKDTree(mine).query(surface.vertices[near], distance_upper_bound=reach)[0]
        near = near[np.isfinite(away)]
    beneath = np.flatnonzero(
        others
        & _within(surface.vertices, low - [0, 0, BELOW], [*high[:2], mine[:, 2].min() + surface.voxel])
        & (surface.normals[:, 2] > UP)
    )
    return np.union1d(near, beneath)


def _within(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return ((points >= low) & (points <= high)).all(axis=1)


def _fit(
    surface: Surface, around: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """The plane with most points: normal, offset and which of ``around`` (n,) bool lie on it."""
    some = around if len(around) <= MOST_POINTS else generator.choice(around, MOST_POINTS, replace=False)
    points, normals = surface.vertices[some].astype(np.float64), surface.normals[some].astype(np.float64)
    near = ON * surface.voxel
    # One point and its normal make a candidate; a fit to its consensus makes the plane.
    tried = generator.integers(0, len(some), TRIALS)
    heights = points @ normals[tried].T - np.einsum("ij,ij->i", points[tried], normals[tried])
    votes = ((np.abs(heights) < near) & (normals @ normals[tried].T > FACING)).sum(axis=0)
    best = tried[votes.argmax()]
    normal, offset = normals[best], float(points[best] @ normals[best])
    for _ in range(4):
        on = (np.abs(points @ normal - offset) < near) & (normals @ normal > FACING)
        if on.sum() < LEAST_POINTS:
            return None
        center = points[on].mean(axis=0)
        fitted = np.linalg.svd(points[on] - center, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
        offset = float(center @ normal)
    return normal, offset, _on(surface, around, normal, offset)


def _on(surface: Surface, some: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """Which of some vertices (n,) lie on a plane and face the same way."""
    near = np.abs(surface.vertices[some] @ normal - offset) < ON * surface.voxel
    return near & (surface.normals[some] @ normal > FACING)


def _plane(surface: Surface, of_vertex: np.ndarray, on: np.ndarray, normal: np.ndarray, offset: float) -> Plane:
    owners, counts = np.unique(np.maximum(of_vertex[on], -1), return_counts=True)
    heights = surface.vertices[on] @ normal - offset
    return Plane(normal, offset, int(owners[counts.argmax()]), float(np.sqrt((heights**2).mean())), len(on))


def _above(plane: Plane, mine: np.ndarray, voxel: float, reach: float) -> bool:
    """Whether a part (n, 3) lies in front of a plane and comes near it."""
    heights = plane.height(mine)
    # Scans are rounded off where things meet, and labels run over by a voxel there.
    return bool((heights > -1.5 * voxel).mean() > IN_FRONT and np.percentile(heights, 2) < reach)


def _bounds(plane: Plane, mine: np.ndarray, points: np.ndarray, voxel: float, reach: float) -> bool:
    """Whether a part (n, 3) lies in front of a plane, near it, and on it: the plane's points (k, 3) go on around it."""
    if not _above(plane, mine, voxel, reach):
        return False
    heights = plane.height(mine)
    across = np.linalg.svd(plane.normal[None])[2][1:].T
    try:
        rows = ConvexHull(mine[heights < REACH] @ across).equations
    except (QhullError, ValueError):  # too little of it is near
        return True
    within = (points @ across @ rows[:, :2].T + rows[:, 2]).max(axis=1) <= 0
    return bool(within.mean() < COVERED)
