"""The line around a part of a triangle mesh. Plain arrays, no bpy."""

from __future__ import annotations

import numpy as np


def around(inside: np.ndarray, positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Segments through the triangles that are partly inside, from the middle of one cut side to that of the other.

    They join to closed lines, or end where the mesh ends.

    Args:
        inside: (V,) bool. positions: (V, 3) float32. faces: (F, 3) int32.

    Returns:
        (2 n, 3) float32, the two ends of each segment one after the other.
    """
    corners = inside[faces]
    count = corners.view(np.uint8) @ np.ones(3, np.uint8)
    cut = np.flatnonzero((count == 1) | (count == 2))
    corners, triangles = corners[cut], faces[cut]
    alone = np.argmax(corners == (count[cut] == 1)[:, None], axis=1)  # the corner that the line cuts off
    rows = np.arange(len(cut))
    tip = positions[triangles[rows, alone]]
    ends = [(tip + positions[triangles[rows, (alone + step) % 3]]) / np.float32(2) for step in (1, 2)]
    return np.stack(ends, axis=1).reshape(-1, 3)
