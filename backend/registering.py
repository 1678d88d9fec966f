"""Poses of a capture's frames, corrected once and then known by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from functools import partial

import numpy as np
import torch

from . import budget, out_of_memory
from .captures.capture import Capture
from .errors import UserError
from .progress import Progress
from .store import Store, key_of
from .surface.registration import registered

VERSION = 1  # raised whenever registration changes what it makes
LEAST = 3  # frames: fewer say nothing about each other's errors


def registered_capture(
    capture: Capture,
    progress: Progress,
    device: str | torch.device = "cpu",
    model: Collection[str] | None = None,
    store: Store | None = None,
    on_problem: Callable[[UserError], None] = lambda problem: None,
) -> Capture:
    """A capture with its frames registered to each other; see `surface.registration.registered`.

    Args:
        store: where corrected poses are kept; None for nowhere.
        on_problem: told when they could not be.

    Raises:
        UserError: as `surface.fusion.fuse`.
    """
    if len(capture.frames) < LEAST:
        return capture
    key = _key(capture, model)
    arrays = store.get_arrays(key) if store is not None else None
    if arrays is not None and _possible(arrays.get("poses"), len(capture.frames)):
        return _with_poses(capture, arrays["poses"])
    work = partial(registered, capture, progress, model=model)
    capture = out_of_memory.or_on_cpu(lambda on: work(device=on), torch.device(device))
    if store is not None:
        try:
            store.put_arrays(key, {"poses": poses_of(capture)})
        except UserError as problem:  # it costs time at the next opening, nothing else
            on_problem(problem)
    return capture


def poses_of(capture: Capture) -> np.ndarray:
    """(N, 4, 4) float64 rigid, camera (OpenCV axes) to scene metres, of a capture's frames."""
    return np.array([capture.camera_to_scene(frame) for frame in capture.frames]).reshape(-1, 4, 4)


def _key(capture: Capture, model: Collection[str] | None) -> str:
    names = [frame.name for frame in capture.frames]
    cameras = hashlib.sha256(np.ascontiguousarray(poses_of(capture))).hexdigest()
    chosen = None if model is None else sorted(model)
    return key_of("poses", VERSION, capture.fingerprint, names, chosen, cameras, budget.current().share)


def _with_poses(capture: Capture, poses: np.ndarray) -> Capture:
    return capture.with_poses({frame.name: pose for frame, pose in zip(capture.frames, poses, strict=True)})


def _possible(poses: np.ndarray | None, count: int) -> bool:
    """Whether an array from the cache can be poses: (count, 4, 4), finite and rigid."""
    if poses is None or poses.shape != (count, 4, 4) or poses.dtype != np.float64 or not np.isfinite(poses).all():
        return False
    turn = poses[:, :3, :3]
    upright = np.abs(turn @ turn.transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
    return bool(upright and np.array_equal(poses[:, 3], np.tile([0.0, 0.0, 0.0, 1.0], (count, 1))))
