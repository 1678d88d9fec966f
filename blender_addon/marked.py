"""Where the marks of the scene are in Blender's world, as arrays for drawing and for finding one under the pointer."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Vector

from . import live
from .lookup import edit_state
from .scene import cameras
from .scene.scan import find_scan

_known: dict[str, object] = {}


@dataclass(frozen=True)
class Dots:
    """One row per point of a mark. Rows of one mark follow each other."""

    positions: np.ndarray  # (N, 3) float32, Blender's world
    rows: np.ndarray  # (N,) int64, row of the mark in the scene's list
    first: np.ndarray  # (N,) bool, the first point of its mark


def dots(scene: bpy.types.Scene) -> Dots | None:
    """All marks whose place is known; None when the scan is hidden or gone. Worked out once for each state."""
    own = scene.clickfield
    scan = find_scan(scene, own.capture_id)
    if scan is None or not scan.visible_get():
        return None
    found = live.session().mark_points
    placed = tuple(map(tuple, scan.matrix_world)), tuple(own.scene_from_world)
    key = (edit_state(scene), len(own.marks), placed, live.session().canvas.picker(scan) is not None)
    if _known.get("key") != key or _known.get("found") is not found:
        _known.update(key=key, found=found, dots=_dots(scene, scan, found))
    return _known["dots"]


def forget() -> None:
    """Let go of what was worked out last."""
    _known.clear()


def _dots(scene: bpy.types.Scene, scan: bpy.types.Object, found: dict) -> Dots:
    own = scene.clickfield
    from_world = np.array(own.scene_from_world, dtype=np.float64).reshape(4, 4)
    positions, rows, first = [], [], []
    by_frame = None
    for row, mark in enumerate(own.marks):
        if len(mark.points):
            points = np.empty(3 * len(mark.points), dtype=np.float32)
            mark.points.foreach_get("co", points)
            points = points.reshape(-1, 3) @ from_world[:3, :3].T + from_world[:3, 3]
        elif mark.uid in found:
            points = np.array([found[mark.uid]])
        else:
            if by_frame is None:
                by_frame = {c.clickfield.frame: c for c in cameras.capture_cameras(scene, own.capture_id)}
            points = _through(scan, by_frame.get(mark.frame), mark.u, mark.v)
        positions.append(points)
        rows += [row] * len(points)
        first += [True, *[False] * (len(points) - 1)][: len(points)]
    joined = np.concatenate([np.zeros((0, 3)), *positions])
    placed = np.array(scan.matrix_world)
    joined = joined @ placed[:3, :3].T + placed[:3, 3]
    return Dots(joined.astype(np.float32), np.array(rows, dtype=np.int64), np.array(first, dtype=bool))


def _through(scan: bpy.types.Object, camera: bpy.types.Object | None, u: float, v: float) -> np.ndarray:
    """The point (1, 3) of the scan, in its own space, that a pixel shows; none while the backend has not placed it."""
    nowhere = np.zeros((0, 3))
    picker = live.session().canvas.picker(scan)
    if camera is None or picker is None:
        return nowhere
    lens = camera.clickfield
    matrix = scan.matrix_world.inverted_safe() @ camera.matrix_world @ cameras.OPENCV_TO_BLENDER
    ray = matrix.to_3x3() @ Vector(((u - lens.cx) / lens.fx, (v - lens.cy) / lens.fy, 1.0))
    point = picker.cast(np.array(matrix.translation), np.array(ray))
    return nowhere if point is None else point[None]
