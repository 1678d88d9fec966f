"""Which camera sees a point of a surface best. Plain arrays, no bpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .picking import Hit

TOLERANCE = 0.03  # metres that a surface may lie before a point and not hide it, plus a hundredth of the distance
NEAREST = 0.4  # metres; nearer is not better
GRAZING = 0.15  # cosine under which a surface is seen too slanted to mark it
MARGIN = 0.03  # part of the picture at its border that does not count


@dataclass(frozen=True)
class Lenses:
    """All keyframes of a capture, one row each. Pixels are centre-origin."""

    size: np.ndarray  # (N, 2) width and height
    focal: np.ndarray  # (N, 2) pixels
    center: np.ndarray  # (N, 2) pixels
    camera_to_scene: np.ndarray  # (N, 4, 4) rigid, OpenCV axes


def ranked(point: np.ndarray, normal: np.ndarray, lenses: Lenses) -> np.ndarray:
    """Rows of the cameras that have a point in their picture, the best first; what hides the point is not looked at.

    The score is the area in pixels that a small piece of the surface has (frontal and near), and less towards the
    border of the picture, where a thing's surroundings are cut off. The surface may be seen from either side.

    Args:
        point: (3,) scene metres. normal: (3,) unit length.
    """
    origin = lenses.camera_to_scene[:, :3, 3]
    ray = point - origin
    distance = np.maximum(np.linalg.norm(ray, axis=1), 1e-9)
    local = np.einsum("nji,nj->ni", lenses.camera_to_scene[:, :3, :3], ray)
    z = np.maximum(local[:, 2:], 1e-9)
    uv = lenses.focal * local[:, :2] / z + lenses.center
    place = (uv + 0.5) / lenses.size
    inside = (local[:, 2] > 1e-3) & (place > MARGIN).all(axis=1) & (place < 1 - MARGIN).all(axis=1)
    frontal = np.abs(ray @ normal) / distance
    central = 1 - 0.6 * np.minimum((np.abs(place - 0.5) * 2).max(axis=1), 1) ** 2
    area = lenses.focal.prod(axis=1) * frontal / np.maximum(distance, NEAREST) ** 2
    score = np.where(inside & (frontal > GRAZING), area * central, 0.0)
    order = np.argsort(-score, kind="stable")
    return order[score[order] > 0]


def is_seen(cast: Callable[[np.ndarray, np.ndarray], Hit | None], eye: np.ndarray, point: np.ndarray) -> bool:
    """Does nothing of a surface lie between an eye and a point on it?

    Args:
        cast: start (3,) and direction (3,) of a ray to where it meets the surface, or None.
    """
    distance = np.linalg.norm(point - eye)
    hit = cast(eye, point - eye)
    return hit is None or bool(np.linalg.norm(hit.point - eye) > distance * 0.99 - TOLERANCE)
