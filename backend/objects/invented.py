"""Colours of what no camera saw, from what cameras saw of the same thing."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .graphs import continued, vertex_graph

SEEN = 0.5  # observed from here on: a colour is as it was seen
HOLD = 30.0  # against one neighbour
BESIDE = 2.0  # voxels from another label, where labels and photos may be off: such colours are not spread


def with_invented(
    vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, observed: np.ndarray, others: np.ndarray, voxel: float
) -> np.ndarray:
    """Colours (n, 3) float64 whose unseen part goes on smoothly from the seen one.

    Args:
        vertices: (n, 3) scene metres. faces: (m, 3) int. colors: (n, 3) 0..255. observed: (n,) 0..1.
        others: (k, 3) scene points with another label. voxel: metres of the scan.
    """
    share = (observed / SEEN).clip(0.0, 1.0)
    near = others[_within(others, vertices.min(axis=0), vertices.max(axis=0), BESIDE * voxel)]
    apart = np.full(len(vertices), True)
    if len(near):
        apart = np.isinf(cKDTree(near).query(vertices, distance_upper_bound=BESIDE * voxel)[0])
    hold = HOLD * share**2
    if (hold * apart).any():
        hold = hold * apart
    if not hold.any():
        return colors.astype(np.float64)
    smooth = continued(vertex_graph(faces, len(vertices)), colors.astype(np.float64), hold, colors)
    return share[:, None] * colors + (1.0 - share[:, None]) * smooth


def _within(points: np.ndarray, low: np.ndarray, high: np.ndarray, reach: float) -> np.ndarray:
    return ((points > low - reach) & (points < high + reach)).all(axis=1)
