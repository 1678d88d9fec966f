"""Colour for depth images of a first-generation Kinect whose colour camera was not registered (7-Scenes).

Calibration: the general depth-to-colour transform that simplerecon's ``seven_scenes_dataset.py`` uses, which comes
from ``visloc_pseudo_gt_limitations``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from backend.captures.capture import Intrinsics

COLOR_FROM_DEPTH = np.array(
    [
        [0.99996518, 0.00267651, -0.00790410, -0.02555894],
        [-0.00274093, 0.99996303, -0.00815045, 0.00010110],
        [0.00788199, 0.00817183, 0.99993555, 0.00203183],
    ]
)
TYPICAL = 2.0  # metres; assumed where an image has no depth at all


def color_at_depth_camera(
    load_color: Callable[[], np.ndarray],
    load_depth: Callable[[], np.ndarray],
    color_camera: Intrinsics,
    depth_camera: Intrinsics,
) -> np.ndarray:
    """The colour image as the depth camera would have seen it, (height, width, 3) uint8.

    Depth stays as measured and keeps its pose; colour is looked up through each pixel's depth, holes borrowing the
    depth of the nearest measured pixel.
    """
    color, depth = load_color(), load_depth()
    measured = depth > 0
    if measured.any():
        nearest = distance_transform_edt(~measured, return_distances=False, return_indices=True)
        depth = depth[tuple(nearest)]
    else:
        depth = np.full_like(depth, TYPICAL)
    u, v = np.meshgrid(np.arange(depth_camera.width), np.arange(depth_camera.height))
    points = depth_camera.unproject(np.stack([u, v], axis=-1), depth)
    uv = color_camera.project(points @ COLOR_FROM_DEPTH[:, :3].T + COLOR_FROM_DEPTH[:, 3])
    where = [uv[..., 1], uv[..., 0]]
    planes = [map_coordinates(color[..., c].astype(np.float32), where, order=1, mode="nearest") for c in range(3)]
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)
