"""Polycam's raw data: ``keyframes/`` with images, cameras, depth and confidence, one stem per keyframe.

Sources: ``README.md`` and ``capture_folder.py`` of ``PolyCam/polyform``; nerfstudio's ``polycam_utils.py``. Poses are
camera-to-world with OpenGL axes, the world is Y-up; depth is in millimetres; confidence is 0, 127, 255. Corrected
images are undistorted and have a black rim, which carries no depth and does no harm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backend.captures import folders
from backend.captures.common import (
    BAD_LENS,
    NO_POSE,
    OPENGL_TO_OPENCV,
    Entry,
    Lens,
    Recording,
    list_folder,
    list_images,
    number,
    read_json,
)
from backend.errors import UserError

FORMAT = "Polycam raw data"


def find(folder: Path) -> Path | None:
    """The folder that holds ``keyframes`` with cameras."""
    keyframes = folders.folder(folder, "keyframes")
    if keyframes and (folders.folder(keyframes, "cameras") or folders.folder(keyframes, "corrected_cameras")):
        return folder
    return None


def read(root: Path) -> Recording:
    """Read a raw-data export. Raises UserError when it has no images or no depth."""
    keyframes = folders.folder(root, "keyframes")
    cameras, images = (folders.folder(keyframes, f"corrected_{name}") for name in ("cameras", "images"))
    corrected = bool(cameras and images and list_images(images))
    if not corrected:
        cameras, images = folders.folder(keyframes, "cameras"), folders.folder(keyframes, "images")
    depth = folders.folder(keyframes, "depth")
    if images is None or cameras is None:
        raise UserError("no_images", f"The capture {root.name} has no keyframe images; export it as raw data again.")
    if depth is None:
        raise UserError("no_depth", f"The capture {root.name} has no depth; Polycam records it in LiDAR mode only.")
    confidence = folders.folder(keyframes, "confidence")
    depths = {path.stem: path for path in list_images(depth)}
    trust = {path.stem: path for path in list_images(confidence)} if confidence else {}
    described = {path.stem: path for path in list_folder(cameras) if path.suffix.lower() == ".json"}
    entries = []
    for color in list_images(images):
        stem = color.stem
        pose, lens = _camera(read_json(described[stem])) if stem in described else (None, None)
        problem = NO_POSE if pose is None else BAD_LENS if lens is None else None
        entries.append(
            Entry(
                stem,
                color,
                depths.get(stem),
                pose,
                lens,
                timestamp=int(stem) / 1e6 if stem.isdecimal() and len(stem) < 18 else None,
                problem=problem,
                confidence=trust.get(stem),
            )
        )
    notes = [] if corrected else ["There are no corrected images, so the raw ones with some lens distortion are used."]
    return Recording(FORMAT, root.name, root, entries, up="+y", set_upright=True, notes=notes)


def _camera(data: Any) -> tuple[np.ndarray | None, Lens | None]:
    """Camera-to-world with OpenCV axes, and the lens; None for what is missing or no number."""
    if not isinstance(data, dict):
        return None, None
    rows = [number(data.get(f"t_{row}{column}")) for row in range(3) for column in range(4)]
    values = [number(data.get(key)) for key in ("fx", "fy", "cx", "cy", "width", "height")]
    pose = None
    if None not in rows:
        pose = np.vstack([np.array(rows).reshape(3, 4), [0, 0, 0, 1]]) @ OPENGL_TO_OPENCV
    if None in values or min(values) <= 0:
        return pose, None
    fx, fy, cx, cy, width, height = values
    return pose, Lens(fx, fy, cx, cy, round(width), round(height)).from_corner()
