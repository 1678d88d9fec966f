"""Which objects are the same thing in several places, and one mesh of what cameras saw of all of them.

Objects stand upright, so a registration is a turn about Z and a shift. It starts from turns all round, each improved by
trimmed ICP on few points; the best few are refined on all points to the planes of the other (Chen and Medioni 1992).
Whether two are the same is then asked of the empty space: how much of what was seen of one would stand, moved to the
other's place, where cameras looked through. The share of points that meet says much less: a somewhat larger chair meets
nearly as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..captures.capture import Capture, Intrinsics
from ..progress import Progress, silent
from .srgb import to_linear

TURNS, ROUGH_STEPS, FINE_STEPS = 24, 10, 16
KEPT = 4  # of the rough registrations
POINTS, ROUGH_POINTS = 2500, 500
SEEN = 128  # of 255: a vertex that cameras saw
WIDE, NARROW = 0.08, 0.024  # of an object's size: points farther apart are no pair, at first and at last
TOLERANCE, TOLERANCE_VOXELS = 0.02, 1.0  # metres, and of the scan's: in front of what was measured
DEPTH_SIDE = 320  # pixels of the depth maps that say what is empty, at most
DEPTH_SHARE = 0.01  # of the depth: its noise
SAME, DIFFERENT = 0.02, 0.05  # shares of points in empty space
ENOUGH, LITTLE = 0.4, 0.2  # shares of points that meet
TINTED = 0.2  # apart in their shares of light: other colours, not only other light
SIZES = 1.6  # times as large in some direction: not even compared


@dataclass(frozen=True)
class Candidate:
    """An object that is compared."""

    vertices: np.ndarray  # (n, 3) float metres, own axes, Z up
    faces: np.ndarray  # (m, 3) int
    observed: np.ndarray  # (n,) uint8
    colors: np.ndarray  # (n, 3) uint8
    label: int
    matrix: np.ndarray  # (4, 4) own axes to scene


@dataclass(frozen=True)
class Match:
    """How one object fits another."""

    move: np.ndarray  # (4, 4) own axes of the first to those of the second
    rmse: float  # metres, of the pairs that meet
    inliers: float  # share of the seen points that meet, the better of both directions
    violation: float  # share of the seen points where the other's place has no room, the worse of both
    tint: float  # between their usual shares of red, green and blue light, 0 to 2

    @property
    def same(self) -> bool:
        """Surely the same thing."""
        return self.violation < SAME and self.inliers >= ENOUGH and self.tint < TINTED

    @property
    def unsure(self) -> bool:
        """Only a person can say."""
        return not self.same and self.violation < DIFFERENT and self.inliers >= LITTLE


class Emptiness:
    """The space that the keyframes of a capture saw to be empty. The depth images are read once."""

    def __init__(self, capture: Capture, voxel: float, progress: Progress = silent):
        self.tolerance = max(TOLERANCE, TOLERANCE_VOXELS * voxel)
        self._maps: list[tuple[Intrinsics, np.ndarray, np.ndarray]] = []
        for number, frame in enumerate(capture.frames):
            progress(number / len(capture.frames), "Looking at what is empty")
            camera, depth = _pooled(frame.depth(), frame.depth_intrinsics)
            self._maps.append((camera, np.linalg.inv(capture.camera_to_scene(frame)), depth))

    def holds(self, points: np.ndarray) -> np.ndarray:
        """(P,) bool: scene points (P, 3) that more keyframes look through than see a surface at."""
        through, met = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
        for camera, scene_to_camera, depth in self._maps:
            local = points @ scene_to_camera[:3, :3].T + scene_to_camera[:3, 3]
            ahead = np.flatnonzero(local[:, 2] > 0.05)
            column, row = np.rint(camera.project(local[ahead])).T
            inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
            ahead = ahead[inside]
            measured = depth[row[inside].astype(np.int64), column[inside].astype(np.int64)]
            z = local[ahead, 2]
            slack = self.tolerance + DEPTH_SHARE * z
            through[ahead] += (measured > 0) & (z < measured - slack)
            met[ahead] += (measured > 0) & (np.abs(z - measured) <= slack)
        return through > met


def _pooled(depth: np.ndarray, camera: Intrinsics) -> tuple[Intrinsics, np.ndarray]:
    """A coarser depth map of the nearest depth around each pixel, 0 where any of them is unknown."""
    step = max(1, -(-max(depth.shape) // DEPTH_SIDE))
    height, width = (size // step * step for size in depth.shape)
    known = np.where(depth > 0, depth, -1.0)[:height, :width].reshape(height // step, step, width // step, step)
    pooled = known.min(axis=(1, 3)).astype(np.float32)
    padded = np.pad(pooled, 1, mode="edge")
    around = [padded[y : y + pooled.shape[0], x : x + pooled.shape[1]] for y in range(3) for x in range(3)]
    return camera.resized(width // step, height // step) if step > 1 else camera, np.min(around, axis=0)


class Seen:
    """Points on what cameras saw of an object, evenly spread, and all of its surface to find them on."""

    def __init__(self, made: Candidate, emptiness: Emptiness):
        self.made = made
        corners = made.vertices[made.faces].astype(np.float64)
        self.normals_of_faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = 0.5 * np.linalg.norm(self.normals_of_faces, axis=1)
        share = (made.observed[made.faces] >= SEEN).all(axis=1)
        self.area = float(area[share].sum())
        self.points, self.normals = spread(corners, area * share, POINTS)
        # What is empty even at its own place says nothing about the other's.
        fine = ~emptiness.holds(moved(made.matrix, self.points)) if len(self.points) else np.zeros(0, bool)
        self.points, self.normals = self.points[fine], self.normals[fine]
        light = to_linear(made.colors[made.observed >= SEEN] / 255.0) + 1e-3
        self.tint = np.median(light / light.sum(axis=1, keepdims=True), axis=0) if len(light) else np.full(3, 1 / 3)
        self.size = np.ptp(self.points, axis=0) if len(self.points) else np.zeros(3)
        self.tree = cKDTree(self.points) if len(self.points) else None


def spread(corners: np.ndarray, weight: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 3) and unit normals spread over triangles (m, 3, 3) by weight (m,); the same ones every time."""
    total = np.cumsum(weight)
    if not len(total) or total[-1] <= 0:
        return np.zeros((0, 3)), np.zeros((0, 3))
    number = np.arange(count)
    chosen = np.searchsorted(total, (number + 0.5) / count * total[-1]).clip(0, len(total) - 1)
    u, v = (number * 0.7548776662466927) % 1.0, (number * 0.5698402909980532) % 1.0  # R2 sequence (Roberts 2018)
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    a, b, c = corners[chosen].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return a + u[:, None] * (b - a) + v[:, None] * (c - a), normals


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) under a (4, 4) rigid transform."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def match(first: Seen, second: Seen, emptiness: Emptiness) -> Match | None:
    """Register the first object to the second and judge it; None when they cannot be the same by their sizes."""
    if first.tree is None or second.tree is None or _unlike(first.size, second.size):
        return None
    size = float(np.linalg.norm(np.maximum(first.size, second.size)))
    rough = [_rough(first, second, 2 * np.pi * turn / TURNS, size) for turn in range(TURNS)]
    rough.sort(key=lambda found: found[0])
    judged = [_judged(first, second, _refined(first, second, move, size), size, emptiness) for _, move in rough[:KEPT]]
    return min(judged, key=lambda made: (round(made.violation, 3), -made.inliers))


def _unlike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two things differ much in height, or in the longer side of their outlines."""
    extents = np.array([[size[2], np.hypot(size[0], size[1])] for size in (one, other)]) + 0.02
    return bool((extents.max(axis=0) / extents.min(axis=0) > SIZES).any())


def _rough(first: Seen, second: Seen, turn: float, size: float) -> tuple[float, np.ndarray]:
    """Mean truncated squared distance (m^2) and move, from one turn, with few points."""
    points = first.points[:: max(len(first.points) // ROUGH_POINTS, 1)]
    move = _turned(turn)
    middles = [0.5 * (seen.points.min(axis=0) + seen.points.max(axis=0)) for seen in (first, second)]
    middles[0] = moved(move, middles[0])
    move[:2, 3] = (middles[1] - middles[0])[:2]
    for step in range(ROUGH_STEPS):
        here = moved(move, points)
        distance, at = second.tree.query(here)
        reach = max(WIDE * size * (1 - step / ROUGH_STEPS), NARROW * size)
        reach = max(reach, float(np.quantile(distance, 0.4)))
        near = distance <= reach
        move = _closer(here[near], second.points[at[near]]) @ move
    distance = second.tree.query(moved(move, points))[0]
    return float((np.minimum(distance, WIDE * size) ** 2).mean()), move


def _turned(angle: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


def _closer(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The turn about Z and shift (4, 4) of least squares between pairs (p, 3): Umeyama 1991 in the plane."""
    a, b = points.mean(axis=0), wanted.mean(axis=0)
    p, q = points - a, wanted - b
    angle = np.arctan2((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum(), (p[:, :2] * q[:, :2]).sum())
    move = _turned(angle)
    move[:3, 3] = b - move[:3, :3] @ a
    return move


def _refined(first: Seen, second: Seen, move: np.ndarray, size: float) -> np.ndarray:
    """All points, to the planes of the second's."""
    for step in range(FINE_STEPS):
        here = moved(move, first.points)
        distance, at = second.tree.query(here)
        reach = size * (WIDE + (NARROW - WIDE) * min(1.0, 2 * step / FINE_STEPS))
        facing = ((first.normals @ move[:3, :3].T) * second.normals[at]).sum(axis=1) > 0.3
        near = (distance < reach) & facing
        if near.sum() < 20:
            break
        p, q, n = here[near], second.points[at[near]], second.normals[at[near]]
        middle = p.mean(axis=0)
        arm = p - middle
        rows = np.column_stack([n[:, 1] * arm[:, 0] - n[:, 0] * arm[:, 1], n])
        rest = ((q - p) * n).sum(axis=1)
        left = rows.T @ rows + np.diag([1e-6 * size**2, 1e-3, 1e-3, 1e-3]) * len(p)
        angle, *shift = np.linalg.solve(left, rows.T @ rest)
        turn = _turned(angle)
        turn[:3, 3] = middle + shift - turn[:3, :3] @ middle
        move = turn @ move
    return move


def _judged(first: Seen, second: Seen, move: np.ndarray, size: float, emptiness: Emptiness) -> Match:
    back = np.linalg.inv(move)
    there, here = moved(move, first.points), moved(back, second.points)
    distance, at = second.tree.query(there)
    apart = np.abs(((second.points[at] - there) * second.normals[at]).sum(axis=1))
    near = distance < NARROW * size
    other = first.tree.query(here)[0] < NARROW * size
    empty = [_impossible(second.made, there, emptiness).mean(), _impossible(first.made, here, emptiness).mean()]
    tint = float(np.abs(first.tint - second.tint).sum())
    rmse = float(np.sqrt((apart[near] ** 2).mean())) if near.any() else float("inf")
    return Match(move, rmse, float(max(near.mean(), other.mean())), float(max(empty)), tint)


def _impossible(made: Candidate, points: np.ndarray, emptiness: Emptiness) -> np.ndarray:
    """(P,) bool: points (P, 3) in an object's axes that its place has no room for: in space that cameras saw empty, or
    in what it stands on, so that a tall thing is no low one that is sunk into the floor."""
    below = points[:, 2] < made.vertices[:, 2].min() - emptiness.tolerance
    return below | emptiness.holds(moved(made.matrix, points))
