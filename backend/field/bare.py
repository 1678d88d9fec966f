"""What a field learns from when nothing but a surface is known: its points, colours and normals, and the signed
distances around it. No camera ever saw it, so every point is taught as if one looked at it along its own normal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ..surface.surface import Surface
from .sampling import RayPool, pool_from_points

TRUNCATION_VOXELS = 4.0
LOOK = 4.0  # truncations from a point to where it is looked at from: far enough to teach free space beside it
FINEST = 1 / 400  # of the diagonal: a fine mesh needs no narrower band than the field's cells
POINTS = 150_000  # drawn on the surface, evenly by area


class SurfaceDistances:
    """Signed distances to the tangent planes of a surface's vertices, as a fused volume would give them."""

    def __init__(self, surface: Surface):
        self.voxel = max(surface.voxel, FINEST * float(np.linalg.norm(np.ptp(surface.vertices, axis=0))))
        self.truncation = TRUNCATION_VOXELS * self.voxel
        self.device = torch.device("cpu")
        self._tree = cKDTree(surface.vertices)
        self._vertices = surface.vertices.astype(np.float64)
        self._normals = surface.normals.astype(np.float64)

    def sample(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Scene points (P, 3) to signed distance in metres (P,), positive outside, and 1 where it is known, else 0.

        Nothing is known beyond a truncation, and beside the rim of an open surface, where its tangent plane goes on.
        """
        where = points.numpy().astype(np.float64)
        distance, nearest = self._tree.query(where, distance_upper_bound=1.5 * self.truncation, workers=-1)
        found = np.isfinite(distance)
        nearest = np.where(found, nearest, 0)
        height = np.einsum("pk,pk->p", where - self._vertices[nearest], self._normals[nearest])
        aside = np.sqrt(np.maximum(np.where(found, distance, 0.0) ** 2 - height**2, 0.0))
        known = found & (np.abs(height) < self.truncation) & (aside < self.truncation)
        height = height.clip(-self.truncation, self.truncation)
        return torch.from_numpy(height.astype(np.float32)), torch.from_numpy(known.astype(np.float32))


def pool_from_surface(
    surface: Surface, distances: SurfaceDistances, progress: Callable[[float, str], None], seed: int = 0
) -> RayPool:
    """The replay pool of a surface, drawn evenly by area. Raises what ``progress`` raises."""
    random = np.random.default_rng(seed)
    corners = surface.vertices[surface.faces].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    running = np.cumsum(areas)
    face = np.searchsorted(running, random.random(POINTS) * running[-1], side="right").clip(max=len(areas) - 1)
    a, b = np.sqrt(random.random(POINTS)), random.random(POINTS)
    share = np.stack([1 - a, a * (1 - b), a * b], axis=1)[..., None]  # uniform in a triangle (Osada et al. 2002)
    chosen = surface.faces[face]
    points, normals = ((share * values[chosen]).sum(axis=1) for values in (surface.vertices, surface.normals))
    colors = (share * surface.colors[chosen]).sum(axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    eyes = points + LOOK * distances.truncation * normals
    return pool_from_points(
        torch.from_numpy(points.astype(np.float32)),
        torch.from_numpy(np.rint(colors).astype(np.uint8)),
        torch.from_numpy(eyes.astype(np.float32)),
        torch.arange(POINTS, dtype=torch.int32),
        distances,
        progress,
        seed,
    )
