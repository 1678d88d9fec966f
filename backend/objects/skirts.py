"""What a closed thing leaves behind on the floor or wall that it rests on.

Around the foot of a thing its label runs out onto what it stands on. The closed thing has no part of that skirt, so it
belongs to the floor; otherwise one would look through a gap between the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from ..surface.mesh import vertex_normals
from ..surface.surface import Surface
from .closing import Closed
from .separation import SceneObject, SeparationResult

HEIGHT = 2.0  # voxels over the support: fusion rounds the foot of a thing
UNCOVERED = 0.25  # voxels from the closed thing
BEYOND = 1.0  # cells past its rim


def with_skirts(
    result: SeparationResult, surface: Surface, confidence: np.ndarray, closed: Mapping[int, Closed]
) -> dict[int, SceneObject]:
    """The objects that got skirts, by their index: those that stay open and that closed things rest on.

    Args:
        confidence: (V,) float32 of the scan's vertices.
        closed: things of the separation by their index.
    """
    cut, taken = result.cut, {}
    solid = {part: one for part, one in closed.items() if one.solid is not None}
    for part, one in solid.items():
        mine = np.flatnonzero(result.of_face == part)
        a, b, c = cut.points[cut.faces[mine]].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        free = np.ones(len(mine), bool)
        tree = facing = None
        for plane in one.sketch.planes:
            if plane.supporter < 0 or plane.supporter in solid:
                continue
            low = np.max([plane.height(corner) for corner in (a, b, c)], axis=0) < HEIGHT * surface.voxel
            skirt = np.flatnonzero(free & low & (normal @ plane.normal > 0))
            if not len(skirt):
                continue
            if tree is None:
                tree, facing = cKDTree(one.solid.vertices), vertex_normals(one.solid.vertices, one.solid.faces)
            corners = cut.points[cut.faces[mine[skirt]]].reshape(-1, 3)
            nearest = tree.query(corners)[1]
            over, beside = _apart(corners - one.solid.vertices[nearest], facing[nearest])
            uncovered = (over > UNCOVERED * surface.voxel) | (beside > BEYOND * one.sketch.lattice.voxel)
            skirt = skirt[uncovered.reshape(-1, 3).any(axis=1)]
            free[skirt] = False
            taken.setdefault(plane.supporter, []).append(mine[skirt])
    colors = cut.interpolate(surface.colors.astype(np.float32))
    sure = cut.interpolate(np.asarray(confidence, np.float32))
    return {
        part: _widened(result.objects[part], cut.points, cut.faces[np.concatenate(parts)], colors, sure)
        for part, parts in taken.items()
    }


def _apart(ways: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (n,) of ways (n, 3) along normals (n, 3) and across them."""
    along = np.einsum("ij,ij->i", ways, normals)
    return np.abs(along), np.linalg.norm(ways - along[:, None] * normals, axis=1)


def _widened(
    made: SceneObject, points: np.ndarray, faces: np.ndarray, colors: np.ndarray, confidence: np.ndarray
) -> SceneObject:
    """An object with more faces (m, 3) into points (n, 3); points in one place are one."""
    used, corners = np.unique(faces, return_inverse=True)
    vertices = np.concatenate([made.vertices, (points[used] - made.origin).astype(np.float32)])
    _, first, same = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    kept, number = np.unique(first[same.ravel()], return_inverse=True)  # in their order, the object's own first
    faces = np.concatenate([made.faces, corners.reshape(-1, 3) + len(made.vertices)])
    vertices = vertices[kept]
    return replace(
        made,
        vertices=vertices,
        faces=number[faces].astype(np.int32),
        colors=np.concatenate([made.colors, np.rint(colors[used]).astype(np.uint8)])[kept],
        labels=np.full(len(kept), made.label, np.uint16),
        confidence=np.concatenate([made.confidence, confidence[used].astype(np.float32)])[kept],
        dimensions=np.ptp(vertices, axis=0).astype(np.float64),
    )
