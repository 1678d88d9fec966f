"""3D Scanner App, "All data" export: ``frame_00000.json`` and ``.jpg``, ``depth_00000.png``, ``conf_00000.png``.

Sources: ``pwais/psegs`` (``ios_lidar.py``) and ``introlab/rtabmap`` (``CameraImages.cpp``). Poses are camera-to-world,
row-major, with OpenGL axes; the world is Y-up; intrinsics belong to the full picture; depth is in millimetres and
registered. There is a JSON file for every frame, a picture only for some.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from backend.captures.common import (
    BAD_LENS,
    NO_POSE,
    OPENGL_TO_OPENCV,
    Entry,
    Lens,
    Recording,
    list_folder,
    listed_numbers,
    number,
    read_json,
)
from backend.errors import UserError

FORMAT = "3D Scanner App"
PART = re.compile(r"(frame|depth|conf)_(\d{1,9})\.(json|jpe?g|png)", re.IGNORECASE)


def find(folder: Path) -> Path | None:
    """The folder itself when it has a frame's JSON file with a camera pose of ARKit."""
    frames = [path for path in list_folder(folder) if (part := PART.fullmatch(path.name)) and part[3].lower() == "json"]
    for path in frames[:3]:
        try:
            data = read_json(path)
        except UserError:
            continue
        if isinstance(data, dict) and "cameraPoseARFrame" in data:
            return folder
    return None


def read(root: Path) -> Recording:
    """Read an export. Raises UserError when it has no depth at all."""
    parts: dict[tuple[str, int], Path] = {}
    for path in list_folder(root):
        part = PART.fullmatch(path.name)
        if part:
            kind = "json" if part[3].lower() == "json" else part[1].lower()
            parts[kind, int(part[2])] = path
    if not any(kind == "depth" for kind, _ in parts):
        sentence = f"The capture {root.name} has no depth images; export it with all data in a LiDAR mode."
        raise UserError("no_depth", sentence)
    entries = []
    for index in sorted(index for kind, index in parts if kind == "frame"):
        described = parts.get(("json", index))
        pose, lens, time = _camera(read_json(described)) if described else (None, None, None)
        entries.append(
            Entry(
                f"frame_{index:05d}",
                parts["frame", index],
                parts.get(("depth", index)),
                pose,
                lens,
                timestamp=time,
                problem=NO_POSE if pose is None else BAD_LENS if lens is None else None,
                confidence=parts.get(("conf", index)),
            )
        )
    blind = sum(kind == "json" and ("frame", index) not in parts for kind, index in parts)
    notes = [f"{blind} frames have a pose but no picture and were not used."] if blind else []
    return Recording(FORMAT, root.name, root, entries, up="+y", set_upright=True, notes=notes)


def _camera(data: Any) -> tuple[np.ndarray | None, Lens | None, float | None]:
    if not isinstance(data, dict):
        return None, None, None
    pose, matrix = listed_numbers(data.get("cameraPoseARFrame"), 16), listed_numbers(data.get("intrinsics"), 9)
    lens = None
    if matrix is not None and min(matrix[0], matrix[4], matrix[2], matrix[5]) > 0:
        lens = Lens(matrix[0], matrix[4], matrix[2], matrix[5]).from_corner()
    return (
        None if pose is None else np.array(pose).reshape(4, 4) @ OPENGL_TO_OPENCV,
        lens,
        number(data.get("time")),
    )
