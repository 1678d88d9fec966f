"""How an object stands: the centre of its foot, its main horizontal direction, its size along its own axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import ConvexHull, QhullError

from ..surface.surface import Surface

FOOT_VERTICES = 32  # so many stray vertices below the foot are taken for noise, and never more than 1 %
FOOT_BAND = 0.05  # of the height (and at least two voxels): what touches the ground
UPRIGHT = 0.3  # of a normal along Z up to which a surface counts as a wall
SNAP = np.radians(7.0)  # nearer to a main direction of the scene, an object follows it
ROUND = 0.03  # a box no better than this over the one in the scene's directions says nothing


@dataclass(frozen=True)
class Pose:
    """Object to scene: turn by ``yaw`` about +Z, then move to ``origin``."""

    origin: np.ndarray  # (3,) float64 scene metres, centre of the foot
    yaw: float  # radians; the object's X is its main horizontal direction
    dimensions: np.ndarray  # (3,) float64 metres along the object's own axes

    def local(self, points: np.ndarray) -> np.ndarray:
        """Scene points (n, 3) in the object's own axes, float64."""
        return (points - self.origin) @ turn(self.yaw)

    def scene(self, points: np.ndarray) -> np.ndarray:
        """The object's points (n, 3) in the scene, float64."""
        return points @ turn(self.yaw).T + self.origin


def turn(yaw: float) -> np.ndarray:
    """(3, 3) rotation about +Z."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def standing(points: np.ndarray, voxel: float, scene_yaw: float) -> Pose:
    """The pose of points (n, 3) in scene metres; ``scene_yaw`` as of ``main_direction``."""
    yaw = _yaw(points[:, :2], scene_yaw)
    own = points @ turn(yaw)
    origin = turn(yaw) @ foot(own, voxel)
    return Pose(np.round(origin, 4), yaw, np.ptp(own, axis=0).astype(np.float64))


def main_direction(surface: Surface) -> float:
    """The direction of the scene's walls in radians, 0..pi/2: where most upright surface faces, up to quarter turns."""
    upright = np.abs(surface.normals[:, 2]) < UPRIGHT
    x, y = surface.normals[upright, :2].T.astype(np.float64)
    quarter = np.mod(np.arctan2(y, x), np.pi / 2)
    counts = np.bincount(np.minimum((quarter * 360 / np.pi).astype(int), 179), minlength=180).astype(float)
    return float((gaussian_filter1d(counts, 2.0, mode="wrap").argmax() + 0.5) * np.pi / 360)


def _yaw(points: np.ndarray, scene_yaw: float) -> float:
    """Direction of the long side of the smallest rectangle around points (n, 2), -pi/2..pi/2."""
    try:
        hull = points[ConvexHull(points).vertices]
    except QhullError:  # all on a line, or too few
        hull = points
    sides = np.roll(hull, -1, axis=0) - hull
    angles = np.append(np.mod(np.arctan2(sides[:, 1], sides[:, 0]), np.pi / 2), scene_yaw)
    along = hull @ np.stack([np.cos(angles), np.sin(angles)])
    across = hull @ np.stack([-np.sin(angles), np.cos(angles)])
    length, width = np.ptp(along, axis=0), np.ptp(across, axis=0)
    area = length * width
    best = int(area.argmin())
    off = np.mod(angles[best] - scene_yaw + np.pi / 4, np.pi / 2) - np.pi / 4
    if abs(off) < SNAP or area[-1] <= (1 + ROUND) * area[best]:
        best = len(angles) - 1
    angle = angles[best] if length[best] >= width[best] else angles[best] + np.pi / 2
    return float(np.mod(angle + np.pi / 2, np.pi) - np.pi / 2)


def foot(points: np.ndarray, voxel: float) -> np.ndarray:
    """Centre of the foot (3,) of points (n, 3): where the thing stands, to a tenth of a millimetre.

    The height is the lowest one but for a few stray points; the centre is that of the box around what lies in a band
    above it, which is the middle between a chair's legs and of a box's bottom, however densely its sides were seen.
    """
    stray = min(FOOT_VERTICES, len(points) // 100)
    low = np.partition(points[:, 2], stray)[stray]
    band = max(FOOT_BAND * (points[:, 2].max() - low), 2 * voxel)
    standing = points[(points[:, 2] >= low) & (points[:, 2] <= low + band), :2]
    near, far = np.percentile(standing, [1, 99], axis=0)
    return np.round(np.array([*(near + far) / 2, low]), 4)
