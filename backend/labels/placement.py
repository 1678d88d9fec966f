"""From marks as the person made them (a pixel on a frame, or points in space) to vertices of the scan."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ..captures.capture import Capture, Frame
from ..errors import UserError
from ..surface.raster import rasterize
from ..surface.surface import Surface

REACH = 0.10  # metres from a mark's point to the scan
REACH_VOXELS = 5.0
WINDOW = 2  # pixels to each side where a missing depth is looked for


@dataclass(frozen=True)
class PlacedMark:
    """A mark on the scan. ``problem`` says in a sentence why it could not be placed; then it has no vertices."""

    id: int
    label: int  # uid
    sign: int  # 1 this, -1 not this
    vertices: np.ndarray  # (n,) int64, distinct, ascending
    points: np.ndarray  # (n, 3) float32 scene metres, where those vertices are
    problem: str | None = None
    local: bool = False  # it teaches only the connected piece that it lies on


@dataclass
class _Lookup:
    """What placing needs from one surface again and again."""

    tree: cKDTree
    pixels: dict[tuple, np.ndarray | str] = field(default_factory=dict)


_lookups: dict[int, _Lookup] = {}


def place_marks(document: dict[str, Any], capture: Capture | None, surface: Surface) -> list[PlacedMark]:
    """Find the vertices that each mark of a checked label document stands for.

    Args:
        document: ``marks`` as ``backend.protocol.checked_document`` returns them, points in scene metres.
        capture: where frames are looked up; None when there is no capture.
        surface: the scan.

    Returns:
        One entry per mark that is not muted, in the document's order; one that cannot be placed carries its problem.
    """
    lookup = _lookup(surface)
    return [_placed(mark, capture, surface, lookup) for mark in document["marks"] if not mark.get("muted")]


def nearest_vertices(points: np.ndarray, surface: Surface, reach: float) -> np.ndarray:
    """The vertex nearest to each point (N, 3) in scene metres, (N,) int64; -1 where none is within reach."""
    distance, nearest = _lookup(surface).tree.query(points, distance_upper_bound=reach)
    return np.where(np.isfinite(distance), nearest, -1).astype(np.int64)


def vertices_within(points: np.ndarray, surface: Surface, reach: float) -> np.ndarray:
    """Which vertices (V,) lie within reach of any of some points (N, 3) in scene metres."""
    within = np.zeros(len(surface.vertices), bool)
    for found in _lookup(surface).tree.query_ball_point(points, reach, return_sorted=False):
        within[found] = True
    return within


def _lookup(surface: Surface) -> _Lookup:
    key = id(surface.vertices)
    if key not in _lookups:
        _lookups[key] = _Lookup(cKDTree(surface.vertices))
        weakref.finalize(surface.vertices, _lookups.pop, key, None)
    return _lookups[key]


def _placed(mark: dict[str, Any], capture: Capture | None, surface: Surface, lookup: _Lookup) -> PlacedMark:
    if mark["points"]:
        points: np.ndarray | str = np.array(mark["points"], np.float64)
    else:
        points = _pixel_point(mark, capture, surface, lookup)
    if isinstance(points, str):
        return _unplaced(mark, points)
    reach = min(REACH, max(REACH_VOXELS * surface.voxel, 0.02))
    distance, nearest = lookup.tree.query(points, distance_upper_bound=reach)
    near = np.isfinite(distance)
    if not near.any():
        return _unplaced(mark, f"There is no scan within {100 * reach:.0f} cm of this mark; place it on the scan.")
    vertices = np.unique(nearest[near]).astype(np.int64)
    points = surface.vertices[vertices]
    return PlacedMark(mark["id"], mark["label"], mark["sign"], vertices, points, local=mark.get("local", False))


def _unplaced(mark: dict[str, Any], problem: str) -> PlacedMark:
    nothing = np.zeros(0, np.int64), np.zeros((0, 3), np.float32)
    return PlacedMark(mark["id"], mark["label"], mark["sign"], *nothing, problem, mark.get("local", False))


def _pixel_point(mark: dict[str, Any], capture: Capture | None, surface: Surface, lookup: _Lookup) -> np.ndarray | str:
    """The scene point (1, 3) that a mark's pixel shows, or the problem."""
    name, u, v = mark["frame"], mark["u"], mark["v"]
    try:
        if capture is None:
            raise KeyError(name)
        frame = capture.frame(name)
    except KeyError:
        return f"The capture has no frame called {name}; the mark on it was left out."
    if not (-0.5 <= u <= frame.intrinsics.width - 0.5 and -0.5 <= v <= frame.intrinsics.height - 0.5):
        return f"Pixel ({u:g}, {v:g}) lies outside frame {name}; the mark was left out."
    camera_to_scene = capture.camera_to_scene(frame)
    key = (capture.fingerprint, name, u, v, camera_to_scene.tobytes())
    if key not in lookup.pixels:
        lookup.pixels[key] = _seen_point(frame, camera_to_scene, np.array([u, v]), surface, lookup)
    return lookup.pixels[key]


def _seen_point(
    frame: Frame, camera_to_scene: np.ndarray, pixel: np.ndarray, surface: Surface, lookup: _Lookup
) -> np.ndarray | str:
    for point in _candidates(frame, camera_to_scene, pixel, surface):
        if np.isfinite(lookup.tree.query(point, distance_upper_bound=min(REACH, REACH_VOXELS * surface.voxel))[0]):
            return point[None]
    return f"Frame {frame.name} has no depth at pixel ({pixel[0]:g}, {pixel[1]:g}) and no scan is seen there."


def _candidates(frame: Frame, camera_to_scene: np.ndarray, pixel: np.ndarray, surface: Surface) -> Iterator[np.ndarray]:
    """Scene points that the pixel may show: by the sensor's depth, then by a ray cast against the scan."""
    ray = frame.intrinsics.unproject(pixel, np.array(1.0))
    z = _sensor_depth(frame, frame.depth_intrinsics.project(ray))
    if z > 0:
        yield camera_to_scene[:3, :3] @ (ray * z) + camera_to_scene[:3, 3]
    z = _ray_depth(frame, camera_to_scene, pixel, surface)
    if z > 0:
        yield camera_to_scene[:3, :3] @ (ray * z) + camera_to_scene[:3, 3]


def _sensor_depth(frame: Frame, pixel: np.ndarray) -> float:
    """Depth in metres at a pixel of the depth image; the median of a small window where it is missing; 0 for none."""
    try:
        depth = frame.depth()
    except UserError:
        return 0.0  # The scan itself still answers where the depth image cannot be read.
    u, v = np.rint(pixel).astype(int)
    if not (0 <= v < depth.shape[0] and 0 <= u < depth.shape[1]):
        return 0.0
    if depth[v, u] > 0:
        return float(depth[v, u])
    window = depth[max(v - WINDOW, 0) : v + WINDOW + 1, max(u - WINDOW, 0) : u + WINDOW + 1]
    return float(np.median(window[window > 0])) if (window > 0).any() else 0.0


def _ray_depth(frame: Frame, camera_to_scene: np.ndarray, pixel: np.ndarray, surface: Surface) -> float:
    """Depth of the scan along the ray of a pixel: a one-pixel camera that looks there; 0 for none."""
    camera = frame.intrinsics
    small = type(camera)(1, 1, camera.fx, camera.fy, camera.cx - float(pixel[0]), camera.cy - float(pixel[1]))
    return float(rasterize(surface.vertices, surface.faces, small, camera_to_scene).depth[0, 0])
