"""The walk of a handheld camera around a stage, and how well its poses are known."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from backend.captures.capture import Intrinsics

from .render import Space, looking
from .stage import Walk

KNOTS = 11  # of one loop
EVERY = 3  # one of so many frames is held out
FOCAL = 286.0 / 320.0  # focal length over width


def camera(size: tuple[int, int]) -> Intrinsics:
    """The pinhole camera of all scenes, its principal point a little off the middle."""
    width, height = size
    return Intrinsics(width, height, FOCAL * width, FOCAL * width, 0.504 * width - 0.5, 0.495 * height - 0.5)


def held_out(index: int) -> bool:
    """Whether a frame is one of the 20 of 60 that never teach."""
    return index % EVERY == 1


def poses(walk: Walk, space: Space, frames: int, rng: np.random.Generator) -> list[np.ndarray]:
    """``frames`` matrices (4, 4), camera to scene: loops around the stage, looking inward.

    Held-out views lie between the others in time, and beside and above or below the path.
    """
    knots = KNOTS * walk.loops
    share = np.arange(knots) / KNOTS
    first, last = np.radians(walk.arc)
    whole = abs(last - first) > 6.28
    turn = share if whole else 1 - np.abs(1 - share % 2)  # an arc is walked to and fro
    start = rng.uniform(0, 2 * np.pi) if whole else 0.0
    angle = start + first + (last - first) * turn
    radius = rng.uniform(0.82, 1.05, knots)[:, None] * np.array(walk.radius)
    eyes = np.empty((knots, 3))
    eyes[:, :2] = np.array(walk.center) + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    eyes[:, 2] = rng.uniform(*walk.height, knots)
    low, high = np.array(walk.low), np.array(walk.high)
    across = 0.5 * (low + high)[:2] * 1.35 - 0.35 * eyes[:, :2]  # beyond the middle, seen from the eye
    targets = rng.uniform(low, high, (knots, 3))
    targets[:, :2] = (0.55 * targets[:, :2] + 0.45 * across).clip(low[:2], high[:2])
    targets[:, :2] = _at_least(targets[:, :2], eyes[:, :2], 0.8 * np.mean(walk.radius), np.array(walk.center))
    eye_at, target_at = (CubicSpline(np.arange(knots), values) for values in (eyes, targets))
    result = []
    for index, t in enumerate(np.linspace(0, knots - 1, frames)):
        aside = np.array([0.10, 0.10, 0.07]) * np.mean(walk.radius) / 1.5 if held_out(index) else np.full(3, 0.012)
        eye = eye_at(t) + rng.normal(0, 1, 3) * aside
        target = target_at(t) + rng.normal(0, 1, 3) * (1.5 * aside)
        eye = _clear(eye, walk, space)
        result.append(looking(eye, target, rng.normal(0, 2.0)))
    return result


def _at_least(targets: np.ndarray, eyes: np.ndarray, distance: float, center: np.ndarray) -> np.ndarray:
    """Targets (K, 2) moved away from their eyes to a distance, past the centre, so that no view looks straight down."""
    away = targets - eyes + 0.3 * (center - eyes)
    length = np.linalg.norm(targets - eyes, axis=1, keepdims=True)
    moved = eyes + away / np.linalg.norm(away, axis=1, keepdims=True) * distance
    return np.where(length < distance, moved, targets)


def _clear(eye: np.ndarray, walk: Walk, space: Space) -> np.ndarray:
    """The eye, or the nearest place towards the middle and upwards where nothing is close."""
    away = np.linspace(0, 1, 41)[:, None] * (np.array([*walk.center, eye[2] + 0.5 * np.mean(walk.radius)]) - eye)
    tried = eye + away
    distance = space.clearance(tried)
    good = np.flatnonzero(distance >= walk.clearance)
    return tried[good[0] if len(good) else int(distance.argmax())]


def drifted(poses_: list[np.ndarray], shift: float, turn: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Poses as a tracker would report them: a slow drift of ``shift`` metres and ``turn`` degrees, and a jitter."""
    walk = _wander(len(poses_), rng)
    jitter = rng.normal(0, 0.25, walk.shape)
    error = (walk + jitter) * np.array([shift] * 3 + [np.radians(turn)] * 3) / np.sqrt(3)
    result = []
    for pose, offset in zip(poses_, error, strict=True):
        noisy = pose.copy()
        noisy[:3, 3] += offset[:3]
        noisy[:3, :3] = Rotation.from_rotvec(offset[3:]).as_matrix() @ pose[:3, :3]
        result.append(noisy)
    return result


def _wander(count: int, rng: np.random.Generator, memory: float = 0.9) -> np.ndarray:
    """(count, 6) first-order autoregressive noise of unit variance."""
    values = np.empty((count, 6))
    values[0] = rng.normal(0, 1, 6)
    for i in range(1, count):
        values[i] = memory * values[i - 1] + np.sqrt(1 - memory**2) * rng.normal(0, 1, 6)
    return values
