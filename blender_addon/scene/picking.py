"""Where a ray meets the scan. Blender's own ray cast builds a tree of the mesh first, a second for a large scan."""

from __future__ import annotations

import numpy as np


class Picker:
    """Casts rays at one triangle mesh.

    The triangles near the ray's line are found with one matrix product over their centroids, the few that remain are
    met exactly (Moeller and Trumbore 1997): a few milliseconds per million triangles, and nothing to build.

    Args:
        positions: (V, 3) float32 metres. faces: (F, 3) int32.
    """

    def __init__(self, positions: np.ndarray, faces: np.ndarray):
        self._positions, self._faces = positions, faces
        corners = positions[faces]
        self._origin = positions.mean(axis=0) if len(positions) else np.zeros(3, dtype=np.float32)
        self._centers = corners.mean(axis=1) - self._origin
        self._squared = np.einsum("ij,ij->i", self._centers, self._centers)
        extent = np.linalg.norm(corners - corners.mean(axis=1, keepdims=True), axis=-1)
        self._radius = float(extent.max(initial=0.0))

    def cast(self, start: np.ndarray, direction: np.ndarray) -> np.ndarray | None:
        """The first point (3,) float64 of the surface on the ray, or None.

        Args:
            start: (3,) in the mesh's space. direction: (3,), any length.
        """
        if not len(self._faces):
            return None
        direction = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
        start = np.asarray(start, dtype=np.float64)
        local = start - self._origin
        products = self._centers @ np.stack([direction, local], axis=1).astype(np.float32)
        along = products[:, 0] - np.float32(local @ direction)
        squared = self._squared - 2 * products[:, 1] + np.float32(local @ local) - along * along
        slack = 1e-5 * (float(np.abs(local @ local)) + float(self._squared.max())) + self._radius**2
        near = np.nonzero((squared <= slack) & (along >= -self._radius - 1e-3))[0]
        return self._nearest(start, direction, near)

    def _nearest(self, start: np.ndarray, direction: np.ndarray, candidates: np.ndarray) -> np.ndarray | None:
        a, b, c = self._positions[self._faces[candidates]].astype(np.float64).transpose(1, 0, 2)
        edge_1, edge_2 = b - a, c - a
        p = np.cross(direction, edge_2)
        determinant = np.einsum("ij,ij->i", edge_1, p)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / determinant
            offset = start - a
            u = np.einsum("ij,ij->i", offset, p) * inverse
            q = np.cross(offset, edge_1)
            v = (q @ direction) * inverse
            distance = np.einsum("ij,ij->i", edge_2, q) * inverse
        met = (np.abs(determinant) > 1e-18) & (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (distance > 0)
        return start + distance[met].min() * direction if met.any() else None
