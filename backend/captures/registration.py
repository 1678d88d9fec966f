"""Depth of a camera beside the colour camera, as the colour camera would have measured it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from backend.captures.capture import Intrinsics


def depth_at_color_camera(
    load_depth: Callable[[], np.ndarray], camera: Intrinsics, color_from_depth: np.ndarray, target: Intrinsics
) -> np.ndarray:
    """(h, w) float32 z-depth in metres in the colour camera, 0 = none.

    Every measured pixel is carried over as the quad that it covers, and the nearest wins, so that a surface in front
    hides what the colour camera cannot see. Nothing is blended across depth edges.

    Args:
        load_depth: loads (H, W) z-depth in metres.
        camera: of the depth image.
        color_from_depth: (4, 4) rigid, depth camera to colour camera (OpenCV axes, metres).
        target: the colour camera at the resolution that is wanted.
    """
    depth = load_depth()
    v, u = np.nonzero(depth)
    points = camera.unproject(np.stack([u, v], axis=-1), depth[v, u])
    moved = points @ color_from_depth[:3, :3].T + color_from_depth[:3, 3]
    moved = moved[moved[:, 2] > 1e-3]
    pixel = target.project(moved)
    # Half the size of a source pixel in the target picture: its quad is filled, so that no grid of holes appears.
    half = 0.5 * max(target.fx / camera.fx, target.fy / camera.fy)
    result = np.full((target.height, target.width), np.inf, np.float32)
    reach = int(np.ceil(half))
    base = np.rint(pixel).clip(-1e6, 1e6).astype(np.int64)
    for dv in range(-reach, reach + 1):
        for du in range(-reach, reach + 1):
            at = base + np.array([du, dv])
            covered = (np.abs(at - pixel) <= half + 1e-6).all(axis=1)
            covered &= (at >= 0).all(axis=1) & (at[:, 0] < target.width) & (at[:, 1] < target.height)
            np.minimum.at(result, (at[covered, 1], at[covered, 0]), moved[covered, 2].astype(np.float32))
    result[~np.isfinite(result)] = 0
    return result
