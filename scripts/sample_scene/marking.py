"""Marks for the sample: pixels well inside the things, chosen and checked against the ground truth."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from . import labels
from .cameras import CENTER, FOCAL

APART = 0.6  # metres between the marks of a label, so that they lie on two things or on different parts of one
ROOM = 3.5  # pixels that a further mark needs to the border of its thing
OF_BEST = 0.4  # and that distance as a fraction of the first mark's
# What a person adds after a look at the first labels: (class, frame, u, v). The lamp has spread onto the wall.
CORRECTIONS = (("Wall", "000014", 135, 66),)


def marks(names: list[str], poses: list[np.ndarray], uids: list[np.ndarray], depths: list[np.ndarray]) -> list[dict]:
    """Up to two positive marks per class of things and three per class of surfaces, as far from each other as can be.

    Args:
        names: frame names; poses: (4, 4) camera-to-world, OpenGL axes; uids: (H, W) ground truth; depths: (H, W)
            measured depth in millimetres.

    Returns:
        The first marks of all classes, then the second ones, then the third ones, then the corrections.
    """
    rounds: list[list[dict]] = [[], [], []]
    for uid, (_, _, thing, _) in labels.CLASSES.items():
        spots = [_middle((image == uid) & (depth > 0)) for image, depth in zip(uids, depths, strict=True)]
        places = np.array([_place(pose, depth, spot) for pose, depth, spot in zip(poses, depths, spots, strict=True)])
        room = np.array([spot[2] for spot in spots])
        good = room >= max(ROOM, OF_BEST * room.max())
        chosen = [int(room.argmax())]
        while len(chosen) < (2 if thing else 3):
            apart = np.linalg.norm(places[:, None] - places[chosen], axis=-1).min(axis=1) * good
            if apart.max() < APART:
                break
            chosen.append(int(apart.argmax()))
        for turn, index in enumerate(chosen):
            rounds[turn].append(_mark(uid, names[index], spots[index]))
    uid_of = {name: uid for uid, (name, *_) in labels.CLASSES.items()}
    corrections = [_mark(uid_of[name], frame, (u, v, 0.0)) for name, frame, u, v in CORRECTIONS]
    return [mark for turn in rounds for mark in turn] + corrections


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
