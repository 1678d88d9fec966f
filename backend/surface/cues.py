"""What the frames of a capture say about the edges and vertices of its surface: colour steps, creases, silhouettes.

Fusing averages the frames, so the mesh is blurred where the poses are not exact and keeps nothing finer than a voxel.
Here every frame is asked on its own grid and the answers are averaged instead: a step in one photo stays a step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from ..captures.capture import Capture, Frame, Intrinsics
from ..captures.selection import evenly
from ..errors import UserError
from ..progress import Progress, silent
from .features import lab_from_srgb, mesh_edges
from .surface import Surface

MOST_FRAMES = 60  # evenly chosen; more add little and cost 30 ms each
NEAR = 0.05  # metres
SEEN_VOXELS, SEEN_SHARE = 1.5, 0.02  # a vertex is seen when the sensor's depth is within these of its own
PIXELS_PER_VOXEL = 3.0  # photos are reduced to about this
REACH = 1.5  # edge lengths beyond each end at which the wide differences are taken
TEXTURE_WINDOW = 7  # pixels of the reduced photo
FARTHEST_STEP = 4.0  # voxels: a larger crease is a jump in depth, and says no more

EDGE_NAMES = ("views", "contrast", "wide_contrast", "gradient", "bend", "sharpness", "occlusion")
VERTEX_NAMES = ("views", "L", "a", "b", "flicker", "fine_texture", "coarse_texture")


@dataclass(frozen=True)
class Cues:
    """Averages over the frames that see a mesh edge or vertex; 0 where none does.

    Columns of ``edges``, in the order of ``mesh_edges``: frames that see both ends; CIE Lab distance between the
    ends, and between points beyond them; Lab gradient at the middle; second difference of inverse depth along the edge
    (in voxels, positive where the surface bends away from the camera), and its magnitude; share of the frames that see
    one end only, the other being hidden.
    Columns of ``vertices``: frames that see it; Lab; how much that differs between frames; standard deviation of
    lightness in the photo from pixel to pixel, and within a window.
    """

    edges: np.ndarray  # (E, len(EDGE_NAMES)) float32
    vertices: np.ndarray  # (V, len(VERTEX_NAMES)) float32
    unreadable: tuple[str, ...] = ()  # names of the frames whose images could not be read


@dataclass(frozen=True)
class _Photo:
    """One frame, reduced; maps are flat with ``width`` columns."""

    points: np.ndarray  # (N, 3) float32: pixel u, v and z-depth of the vertices in view
    vertices: np.ndarray  # (N,) which those are
    seen: np.ndarray  # (N,) bool; the others are hidden
    width: int
    height: int
    lab: np.ndarray  # (P, 3) float32, lightly blurred
    gradient: np.ndarray  # (P,) float32
    texture: np.ndarray  # (P, 2) float32
    inverse_depth: np.ndarray  # (P,) float32, 0 = none

    def index(self, pixels: np.ndarray) -> np.ndarray:
        """Flat index of integer pixels (N, 2), those outside moved to the rim."""
        return np.clip(pixels[:, 1], 0, self.height - 1) * self.width + np.clip(pixels[:, 0], 0, self.width - 1)


def gather(capture: Capture, surface: Surface, progress: Progress = silent) -> Cues:
    """Ask the capture's frames about the surface.

    Args:
        capture: posed RGB-D frames.
        surface: what was fused from them.
        progress: called with 0..1 and a text for each frame; may raise ``Cancelled``.

    Frames that cannot be read are left out and named in the answer.
    """
    count = len(surface.vertices)
    edges = mesh_edges(surface.faces, count)
    sums = _Sums(edges, count, surface.voxel)
    frames = evenly(capture.frames, MOST_FRAMES)
    unreadable = []
    for number, (frame, photo) in enumerate(_photos(capture, surface, frames)):
        progress(number / len(frames), f"Looking at frame {number + 1} of {len(frames)}")
        if photo is None:
            unreadable.append(frame.name)
        else:
            sums.add(photo)
    return Cues(*sums.means(), tuple(unreadable))


def _photos(capture: Capture, surface: Surface, frames: list[Frame]) -> Iterator[tuple[Frame, _Photo | None]]:
    """Every frame in order, read ahead on worker threads."""

    def load(frame: Frame) -> _Photo | None:
        try:
            return _photo(frame, capture.camera_to_scene(frame), surface)
        except UserError:
            return None

    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(load, frame) for frame in frames[: workers + 1]]
        try:
            for number, frame in enumerate(frames):
                photo = waiting.pop(0).result()
                if number + workers + 1 < len(frames):
                    waiting.append(pool.submit(load, frames[number + workers + 1]))
                yield frame, photo
        finally:
            for future in waiting:
                future.cancel()


def _photo(frame: Frame, camera_to_scene: np.ndarray, surface: Surface) -> _Photo:
    depth = frame.depth()
    median = float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0
    reduce = max(round(surface.voxel * frame.intrinsics.fx / median / PIXELS_PER_VOXEL), 1)
    lab, gradient, texture = _looks(frame.color()[..., :3], reduce)
    height, width = gradient.shape
    # Pixel centres of the reduced photo in the full one, so that both maps are asked with the same pixel.
    full = frame.intrinsics
    center = (full.cx + 0.5) / reduce - 0.5, (full.cy + 0.5) / reduce - 0.5
    camera = Intrinsics(width, height, full.fx / reduce, full.fy / reduce, *center)
    points, vertices = _in_view(surface.vertices, camera, camera_to_scene)
    inverse = _inverse_depth(depth, frame.depth_intrinsics, camera)
    z = points[:, 2]
    at = inverse.ravel()[_index(points[:, 0], points[:, 1], width, height)]
    offset = np.where(at > 0, 1 / np.maximum(at, 1e-6), np.inf) - z
    reach = np.maximum(SEEN_VOXELS * surface.voxel, SEEN_SHARE * z)
    known = (np.abs(offset) < reach) | (offset < -reach)
    return _Photo(
        points[known],
        vertices[known],
        np.abs(offset[known]) < reach[known],
        width,
        height,
        lab.reshape(-1, 3),
        gradient.ravel(),
        texture.reshape(-1, 2),
        inverse.ravel(),
    )


def _in_view(points: np.ndarray, camera: Intrinsics, camera_to_scene: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel u, v and z (N, 3) of the points inside the picture, and which those are (N,)."""
    scene_to_camera = np.linalg.inv(camera_to_scene)
    project = (camera.matrix @ scene_to_camera[:3]).astype(np.float32)
    u, v, z = project[:, :3] @ points.T + project[:, 3:]
    inside = (z > NEAR) & (u > -0.5 * z) & (v > -0.5 * z)
    inside &= (u < (camera.width - 0.5) * z) & (v < (camera.height - 0.5) * z)
    chosen = np.flatnonzero(inside)
    z = z[chosen]
    return np.stack([u[chosen] / z, v[chosen] / z, z], axis=1), chosen


def _looks(color: np.ndarray, reduce: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blurred Lab (h, w, 3), its gradient per pixel (h, w) and texture (h, w, 2) of a reduced photo."""
    height, width = color.shape[0] // reduce, color.shape[1] // reduce
    color = color[: height * reduce, : width * reduce]
    total = sum(color[y::reduce, x::reduce].astype(np.uint16) for y in range(reduce) for x in range(reduce))
    lab = lab_from_srgb((total // reduce**2).astype(np.uint8).reshape(-1, 3)).reshape(height, width, 3)
    lightness = lab[..., 0]
    blurred = uniform_filter(lab, (3, 3, 1))
    fine = np.sqrt(np.maximum(uniform_filter((lightness - blurred[..., 0]) ** 2, TEXTURE_WINDOW), 0))
    mean = uniform_filter(lightness, TEXTURE_WINDOW)
    coarse = np.sqrt(np.maximum(uniform_filter(lightness**2, TEXTURE_WINDOW) - mean**2, 0))
    gradient = np.sqrt(sum((np.gradient(blurred, axis=axis) ** 2).sum(axis=2) for axis in (0, 1)))
    return blurred, gradient, np.stack([fine, coarse], axis=2)


def _inverse_depth(depth: np.ndarray, of: Intrinsics, camera: Intrinsics) -> np.ndarray:
    """Inverse depth (h, w) float32 on the pixels of a camera with the same centre and axes; 0 = none.

    Inverse depth is affine on planes in the picture, which makes its second differences vanish there.
    """
    u = np.rint((np.arange(camera.width) - camera.cx) / camera.fx * of.fx + of.cx).astype(int)
    v = np.rint((np.arange(camera.height) - camera.cy) / camera.fy * of.fy + of.cy).astype(int)
    values = depth[np.clip(v, 0, depth.shape[0] - 1)][:, np.clip(u, 0, depth.shape[1] - 1)]
    outside = ((v < 0) | (v >= depth.shape[0]))[:, None] | ((u < 0) | (u >= depth.shape[1]))[None, :]
    with np.errstate(divide="ignore"):
        return np.where((values > 0) & ~outside, 1 / values, 0).astype(np.float32)


def _index(u: np.ndarray, v: np.ndarray, width: int, height: int) -> np.ndarray:
    """Flat index of the nearest pixel."""
    column = np.clip(np.rint(u), 0, width - 1).astype(np.int32)
    row = np.clip(np.rint(v), 0, height - 1).astype(np.int32)
    return row * width + column


class _Sums:
    """Sums over frames."""

    def __init__(self, edges: np.ndarray, count: int, voxel: float):
        self._a, self._b = np.ascontiguousarray(edges[:, 0]), np.ascontiguousarray(edges[:, 1])
        self._voxel = voxel
        self._edges = np.zeros((len(edges), len(EDGE_NAMES)), np.float32)
        self._bent = np.zeros(len(edges), np.float32)  # frames with depth all along the edge
        self._vertices = np.zeros((count, len(VERTEX_NAMES)), np.float32)
        self._state = np.zeros(count, np.int8)  # of the current frame: 0 out of view, 1 hidden, 2 seen
        self._row = np.zeros(count, np.int32)

    def add(self, photo: _Photo) -> None:
        """Count one frame in."""
        at = _index(photo.points[:, 0], photo.points[:, 1], photo.width, photo.height)
        lab = photo.lab[at]
        seen = photo.seen
        color = lab[seen]
        once = np.ones((len(color), 1), np.float32)
        columns = [once, color, (color**2).sum(axis=1, keepdims=True), photo.texture[at[seen]]]
        self._vertices[photo.vertices[seen]] += np.concatenate(columns, axis=1)
        self._state[:] = 0
        self._state[photo.vertices] = 1 + seen
        self._row[photo.vertices] = np.arange(len(photo.vertices), dtype=np.int32)
        together = self._state[self._a] + self._state[self._b]
        both = np.flatnonzero(together == 4)
        self._add_edges(photo, both, lab)
        half = np.flatnonzero(together == 3)
        self._edges[half, 6] += 1

    def _add_edges(self, photo: _Photo, chosen: np.ndarray, lab: np.ndarray) -> None:
        a, b = self._row[self._a[chosen]], self._row[self._b[chosen]]
        start, stop = photo.points[a], photo.points[b]
        middle = 0.5 * (start + stop)
        # Whole pixels to both sides of one pixel: inverse depth is affine there only if the steps are the same.
        pixel = np.rint(middle[:, :2]).astype(np.int32)
        step = np.rint((0.5 + REACH) * (stop - start)[:, :2]).astype(np.int32)
        center, before, after = (photo.index(pixel + side * step) for side in (0, -1, 1))
        values = np.empty((len(chosen), 4), np.float32)
        values[:, 0] = 1
        values[:, 1] = np.sqrt(((lab[a] - lab[b]) ** 2).sum(axis=1))
        values[:, 2] = np.sqrt(((photo.lab[before] - photo.lab[after]) ** 2).sum(axis=1))
        values[:, 3] = photo.gradient[center]
        self._edges[chosen, :4] += values
        one, two, mid = photo.inverse_depth[before], photo.inverse_depth[after], photo.inverse_depth[center]
        last = np.array([photo.width - 1, photo.height - 1])
        known = (
            (one > 0) & (two > 0) & (mid > 0) & (np.abs(pixel - 0.5 * last) + np.abs(step) <= 0.5 * last).all(axis=1)
        )
        bend = (one[known] + two[known] - 2 * mid[known]) * -(middle[known, 2] ** 2) / self._voxel
        bend = np.clip(bend, -FARTHEST_STEP, FARTHEST_STEP)
        rows = chosen[known]
        self._edges[rows, 4] += bend
        self._edges[rows, 5] += np.abs(bend)
        self._bent[rows] += 1

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """The columns of ``Cues``."""
        edges, vertices = self._edges, self._vertices
        views = np.maximum(edges[:, :1], 1)
        edges[:, 6] /= np.maximum(edges[:, 6] + edges[:, 0], 1)
        edges[:, 1:4] /= views
        edges[:, 4:6] /= np.maximum(self._bent, 1)[:, None]
        vertices[:, 1:7] /= np.maximum(vertices[:, :1], 1)
        flicker = np.sqrt(np.maximum(vertices[:, 4] - (vertices[:, 1:4] ** 2).sum(axis=1), 0))
        return edges, np.concatenate([vertices[:, :4], flicker[:, None], vertices[:, 5:7]], axis=1)
