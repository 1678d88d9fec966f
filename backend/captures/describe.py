"""What a person wants to know of a capture before importing it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from backend.captures.capture import Capture
from backend.errors import UserError

SAMPLES = 16  # depth images that are opened for the depth range


def describe(capture: Capture) -> dict[str, Any]:
    """A capture in plain values that JSON can hold.

    Returns:
        ``name, format, frames`` (count), ``first, last`` (frame names), ``resolutions`` ({"color", "depth"}: text like
        "640 x 480" -> count), ``depth_metres`` ([2 %, median, 98 %] over up to 16 frames, None without any),
        ``depth_missing`` (share of pixels without depth), ``path_metres`` (length of the camera's path), ``left_out``
        ([{"name", "reason"}]), ``notes``, ``scene_from_world`` (16 numbers), ``fingerprint``, ``unreadable`` (names of
        sampled frames whose depth image is damaged).
    """
    frames = capture.frames
    positions = np.stack([frame.camera_to_world[:3, 3] for frame in frames])
    values, missing, unreadable = [], [], []
    for index in np.unique(np.linspace(0, len(frames) - 1, SAMPLES).astype(int)):
        try:
            depth = frames[index].depth()
        except UserError:
            unreadable.append(frames[index].name)
            continue
        missing.append(float((depth == 0).mean()))
        values.append(depth[depth > 0][::7])
    found = np.concatenate([*values, np.zeros(0, np.float32)])
    return {
        "name": capture.name,
        "format": capture.format,
        "frames": len(frames),
        "first": frames[0].name,
        "last": frames[-1].name,
        "resolutions": {
            "color": dict(Counter(f"{f.intrinsics.width} x {f.intrinsics.height}" for f in frames)),
            "depth": dict(Counter(f"{f.depth_intrinsics.width} x {f.depth_intrinsics.height}" for f in frames)),
        },
        "depth_metres": [round(float(v), 4) for v in np.percentile(found, [2, 50, 98])] if len(found) else None,
        "depth_missing": round(float(np.mean(missing)), 4) if missing else None,
        "path_metres": round(float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum()), 3),
        "left_out": [{"name": left.name, "reason": left.reason} for left in capture.left_out],
        "notes": list(capture.notes),
        "scene_from_world": [float(v) for v in capture.scene_from_world.ravel()],
        "fingerprint": capture.fingerprint,
        "unreadable": unreadable,
    }
