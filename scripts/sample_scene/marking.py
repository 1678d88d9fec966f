"""Marks for the sample: pixels well inside the things, chosen and checked against the ground truth."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from . import labels
from .cameras import CENTER, FOCAL

APART = 0.6  # metres between the two marks of a label, so that they lie on two things or two ends of one
ROOM = 3.5  # pixels that a second mark needs to the border of its thing


def marks(names: list[str], poses: list[np.ndarray], uids: list[np.ndarray], depths: list[np.ndarray]) -> list[dict]:
    """One or two positive marks per label, first marks of all labels first.

    Args:
        names: frame names; poses: (4, 4) camera-to-world, OpenGL axes; uids: (H, W) ground truth; depths: (H, W)
            measured depth in millimetres.
    """
    first, second = [], []
    for uid in labels.CLASSES:
        spots = [_middle((image == uid) & (depth > 0)) for image, depth in zip(uids, depths, strict=True)]
        places = [_place(pose, depth, spot) for pose, depth, spot in zip(poses, depths, spots, strict=True)]
        order = sorted(range(len(names)), key=lambda i: -spots[i][2])
        best = order[0]
        first.append(_mark(uid, names[best], spots[best]))
        far = [i for i in order if spots[i][2] >= ROOM and np.linalg.norm(places[i] - places[best]) > APART]
        if far:
            second.append(_mark(uid, names[far[0]], spots[far[0]]))
    return first + second


def _middle(mask: np.ndarray) -> tuple[int, int, float]:
    """The pixel (u, v) farthest from the mask's border and that distance."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    v, u = np.unravel_index(int(distance.argmax()), mask.shape)
    return int(u), int(v), float(distance[v, u])


def _place(pose: np.ndarray, depth: np.ndarray, spot: tuple[int, int, float]) -> np.ndarray:
    u, v, _ = spot
    z = depth[v, u] / 1000.0
    ray = np.array([(u + 0.5 - CENTER[0]) / FOCAL, -(v + 0.5 - CENTER[1]) / FOCAL, -1.0])
    return pose[:3, :3] @ (ray * z) + pose[:3, 3]


def _mark(uid: int, frame: str, spot: tuple[int, int, float]) -> dict:
    return {"label": uid, "sign": 1, "frame": frame, "u": spot[0], "v": spot[1]}
