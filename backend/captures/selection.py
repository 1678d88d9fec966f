"""Which of the usable frames become keyframes, and which of these are looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.captures.capture import Frame
from backend.captures.common import Entry, ImportOptions

TRANSLATION = 0.10  # metres that count as one step of motion
ROTATION = np.radians(10.0)  # so does this angle


def choose(entries: list[Entry], options: ImportOptions) -> list[Entry]:
    """The keyframes: every ``step``-th entry, then by motion if wanted, at most ``max_frames`` of them."""
    entries = entries[:: options.step]
    if options.keyframes == "motion" and len(entries) > 2:
        indices = by_motion(np.stack([entry.pose for entry in entries]), options.max_frames)
    elif options.max_frames and len(entries) > options.max_frames:
        indices = np.rint(np.linspace(0, len(entries) - 1, options.max_frames)).astype(int)
    else:
        return entries
    return [entries[i] for i in indices]


def evenly(frames: Sequence[Frame], most: int) -> list[Frame]:
    """At most so many of some frames, spread evenly."""
    return [frames[i] for i in sorted({i * len(frames) // most for i in range(most)})] if frames else []


def by_motion(poses: np.ndarray, at_most: int) -> np.ndarray:
    """Indices of poses spread evenly along the path travelled.

    Args:
        poses: (N, 4, 4) camera to world in metres, in the order of recording.
        at_most: largest number of indices; 0 = no limit.

    Returns:
        Sorted unique indices, the first pose always among them: one per 0.10 m or 10 degrees of motion, fewer when
        there are more than ``at_most``.
    """
    path = np.concatenate([[0.0], np.cumsum(steps(poses))])
    count = max(2, int(path[-1] + 1e-6) + 1)
    if at_most:
        count = min(count, at_most)
    marks = np.linspace(0.0, path[-1], count)
    return np.unique(np.searchsorted(path, marks - 1e-6).clip(0, len(poses) - 1))


def steps(poses: np.ndarray) -> np.ndarray:
    """(N-1,) motion between consecutive poses (N, 4, 4), in units of 0.10 m plus 10 degrees."""
    moved = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    cosine = (np.einsum("nij,nij->n", poses[1:, :3, :3], poses[:-1, :3, :3]) - 1) / 2
    return moved / TRANSLATION + np.arccos(cosine.clip(-1, 1)) / ROTATION
