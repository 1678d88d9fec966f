"""A software z-buffer: which triangle each pixel sees, exactly, without a GPU.

Homogeneous rasterisation (Olano and Greer 1997): with p0, p1, p2 in camera coordinates and the ray r = (x, y, 1) of a
pixel, e_i = r . (p_j x p_k) / det are the barycentric coordinates over z; all are >= 0 exactly where the ray meets the
triangle in front of the camera, and their sum is 1/z. All are affine in the pixel, also for triangles that cross the
camera's plane, so nothing is clipped: the near plane is one more half plane on the screen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..captures.capture import Intrinsics

TRIANGLES = 1 << 18  # per pass
SPANS = 1 << 19  # scan line pieces per pass
FRAGMENTS = 1 << 21
NOTHING = np.iinfo(np.int64).max


@dataclass(frozen=True)
class RasterResult:
    """What each pixel (H, W) of a camera sees."""

    face: np.ndarray  # (H, W) int32, -1 = nothing
    depth: np.ndarray  # (H, W) float32 z-depth in metres, 0 = nothing
    barycentric: np.ndarray  # (H, W, 3) float32, perspective-correct weights of the face's corners


def rasterize(
    vertices: np.ndarray, faces: np.ndarray, intrinsics: Intrinsics, camera_to_scene: np.ndarray, near: float = 0.05
) -> RasterResult:
    """Render the nearest triangle at every pixel centre, seen from either side.

    Args:
        vertices: (V, 3) scene metres; faces: (F, 3) int.
        intrinsics: of the camera; camera_to_scene: (4, 4), OpenCV axes.
        near: metres of z before which nothing is drawn.

    Returns:
        Of equal depths (in float32) the lower face wins.
    """
    height, width = intrinsics.height, intrinsics.width
    scene_to_camera = np.linalg.inv(np.asarray(camera_to_scene, np.float64))
    points = np.asarray(vertices, np.float64) @ scene_to_camera[:3, :3].T + scene_to_camera[:3, 3]
    # In rays (x / z, y / z) scaled to pixels: the edge functions below are then affine in the column and row.
    points[:, 0] = intrinsics.fx * points[:, 0] + intrinsics.cx * points[:, 2]
    points[:, 1] = intrinsics.fy * points[:, 1] + intrinsics.cy * points[:, 2]
    buffer = np.full(height * width, NOTHING)
    visible, left, right, top, bottom = _screen_boxes(points, faces, width, height, near)
    for start in range(0, len(visible), TRIANGLES):
        part = slice(start, start + TRIANGLES)
        boxes = [side[part] for side in (left, right, top, bottom)]
        _draw(points, faces, visible[part], *boxes, near, width, buffer)
    return _resolve(points, faces, buffer, width, height)


def _screen_boxes(points: np.ndarray, faces: np.ndarray, width: int, height: int, near: float) -> tuple:
    """Faces that can cover a pixel centre, with their first and last columns and rows."""
    z = points[:, 2]
    front = z > near
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.where(front, points[:, 0] / z, np.nan).astype(np.float32)
        v = np.where(front, points[:, 1] / z, np.nan).astype(np.float32)
    corner = faces.T
    in_front = front[corner[0]].astype(np.int8) + front[corner[1]] + front[corner[2]]
    candidates = np.flatnonzero(in_front)
    corner = corner[:, candidates]
    sides = []
    for value, size in ((u, width), (v, height)):
        a, b, c = value[corner[0]], value[corner[1]], value[corner[2]]
        # float32 is good to a thousandth of a pixel on any screen; the exact test follows.
        low, high = np.fmin(np.fmin(a, b), c) - 0.01, np.fmax(np.fmax(a, b), c) + 0.01
        crossing = in_front[candidates] < 3
        low, high = np.where(crossing, 0, low), np.where(crossing, size - 1, high)
        sides += [np.ceil(low.clip(0, size)).astype(np.int32), np.floor(high.clip(-1, size - 1)).astype(np.int32)]
    keep = (sides[0] <= sides[1]) & (sides[2] <= sides[3])
    return (candidates[keep], *(side[keep] for side in sides))


def _draw(points, faces, visible, left, right, top, bottom, near, width, buffer) -> None:
    """Scan line spans of the triangles, then their fragments, into the buffer of (depth bits, face) keys."""
    p0, p1, p2 = (points[faces[visible, i]] for i in range(3))
    edges = np.stack([np.cross(p1, p2), np.cross(p2, p0), np.cross(p0, p1)], 1)  # (T, 3 edges, 3)
    determinant = np.einsum("ti,ti->t", p0, edges[:, 0])
    flat = np.abs(determinant) < 1e-18
    edges *= np.sign(determinant)[:, None, None]
    inverse_z = edges.sum(1) / np.where(flat, 1.0, np.abs(determinant))[:, None]  # 1/z = A u + B v + C
    planes = np.concatenate([edges, np.array([0.0, 0.0, 1.0 / near]) - inverse_z[:, None] * np.ones((1, 1, 1))], 1)
    rows = np.where(flat, 0, bottom - top + 1).astype(np.int64)
    ends = np.cumsum(rows)
    start = 0
    while start < len(rows):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + SPANS, side="right")), start + 1)
        count = rows[start:stop]
        of = np.repeat(np.arange(start, stop), count)
        y = top[of] + np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
        x0, x1 = _spans(planes, of, y, left[of], right[of])
        keep = x0 <= x1
        _fragments(of[keep], y[keep], x0[keep], x1[keep], inverse_z, visible, width, buffer)
        start = stop


def _spans(planes: np.ndarray, of: np.ndarray, y: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple:
    """First and last column (S,) of row y (S,) where all half planes (T, 4, 3) of triangle ``of`` (S,) are >= 0."""
    x0, x1 = left.astype(np.float64), right.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(planes.shape[1]):
            a = planes[of, i, 0]
            rest = planes[of, i, 1] * y + planes[of, i, 2]
            limit = -rest / a
            np.maximum(x0, limit, out=x0, where=a > 0)
            np.minimum(x1, limit, out=x1, where=a < 0)
            x1[(a == 0) & (rest < 0)] = -1.0
    return np.ceil(x0).astype(np.int64), np.floor(x1).astype(np.int64)


def _fragments(of, y, x0, x1, inverse_z, visible, width, buffer) -> None:
    """Scatter the nearest fragment of each span's pixels into the buffer."""
    count = x1 - x0 + 1
    ends = np.cumsum(count)
    start = 0
    while start < len(count):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + FRAGMENTS, side="right")), start + 1)
        part = slice(start, stop)
        repeat = count[part]
        step = np.arange(int(repeat.sum())) - np.repeat(ends[part] - repeat - done, repeat)
        a, b, c = inverse_z[of[part]].T
        value = np.repeat(a * x0[part] + b * y[part] + c, repeat) + np.repeat(a, repeat) * step
        pixel = np.repeat(y[part] * width + x0[part], repeat) + step
        # Positive floats sort like their bits, so the smallest key is the nearest depth, then the lowest face.
        depth = (1.0 / np.maximum(value, 1e-30)).astype(np.float32).view(np.int32).astype(np.int64)
        np.minimum.at(buffer, pixel, depth << 32 | np.repeat(visible[of[part]], repeat))
        start = stop


def _resolve(points: np.ndarray, faces: np.ndarray, buffer: np.ndarray, width: int, height: int) -> RasterResult:
    hit = np.flatnonzero(buffer != NOTHING)
    face = np.full(height * width, -1, np.int32)
    face[hit] = buffer[hit] & 0xFFFFFFFF
    p0, p1, p2 = (points[faces[face[hit], i]] for i in range(3))
    ray = np.stack([hit % width, hit // width, np.ones(len(hit))], 1)
    weights = np.stack([np.einsum("pi,pi->p", ray, np.cross(a, b)) for a, b in ((p1, p2), (p2, p0), (p0, p1))], 1)
    total = weights.sum(1, keepdims=True)
    depth = np.zeros(height * width, np.float32)
    depth[hit] = np.einsum("pi,pi->p", p0, np.cross(p1, p2)) / total[:, 0]
    barycentric = np.zeros((height * width, 3), np.float32)
    barycentric[hit] = (weights / total).clip(0.0, 1.0)
    shape = (height, width)
    return RasterResult(face.reshape(shape), depth.reshape(shape), barycentric.reshape(*shape, 3))


def interpolate(result: RasterResult, faces: np.ndarray, per_vertex: np.ndarray) -> np.ndarray:
    """(H, W, ...) float32 perspective-correct interpolation of values (V, ...), 0 where nothing is seen."""
    values = np.zeros((*result.face.shape, *per_vertex.shape[1:]), np.float32)
    hit = result.face >= 0
    corners = per_vertex[faces[result.face[hit]]].astype(np.float32)  # (P, 3, ...)
    values[hit] = np.einsum("pi,pi...->p...", result.barycentric[hit], corners)
    return values


def nearest_vertex(result: RasterResult, faces: np.ndarray) -> np.ndarray:
    """(H, W) int32: the corner of the seen face that is nearest in barycentric weight, -1 where nothing is seen."""
    nearest = np.full(result.face.shape, -1, np.int32)
    hit = result.face >= 0
    nearest[hit] = faces[result.face[hit], result.barycentric[hit].argmax(1)]
    return nearest
