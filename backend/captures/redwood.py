"""Redwood and Open3D: ``color|image|rgb``, ``depth`` and a ``.log`` or JSON trajectory.

Sources: Open3D's ``FileLOG.cpp``, ``PinholeCameraTrajectory.cpp`` and ``PinholeCameraIntrinsic.cpp``. A ``.log`` holds
camera-to-world matrices in blocks of five lines, the JSON trajectory world-to-camera ones in column-major order;
OpenCV axes; depth in millimetres; the world is the first camera.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backend.captures import folders
from backend.captures.common import (
    Entry,
    Lens,
    Recording,
    child,
    lens_from_matrix,
    list_folder,
    number,
    numbers,
    read_json,
    read_text,
)
from backend.errors import UserError

FORMAT = "Redwood / Open3D"
PRIMESENSE = Lens(525.0, 525.0, 319.5, 239.5, 640, 480)
USUAL = ("trajectory.log", "trajectory.json")


def find(folder: Path) -> Path | None:
    """The folder itself when it has a trajectory beside colour and depth folders."""
    if not folders.folder(folder, *folders.COLOR_NAMES, *folders.DEPTH_NAMES):
        return None
    return folder if _trajectory_file(folder) else None


def _trajectory_file(folder: Path) -> Path | None:
    usual = child(folder, *USUAL)
    if usual:
        return usual
    files = list_folder(folder)
    logs = [path for path in files if path.suffix.lower() == ".log" and path.is_file()]
    if logs:
        return logs[0]
    return next((path for path in files if path.suffix.lower() == ".json" and _is_trajectory(path)), None)


def _is_trajectory(path: Path) -> bool:
    try:
        data = read_json(path)
    except UserError:
        return False
    return isinstance(data, dict) and data.get("class_name") == "PinholeCameraTrajectory"


def read(root: Path) -> Recording:
    """Read a Redwood or Open3D folder. Raises UserError when the trajectory or the images cannot be used."""
    colors, depths = folders.color_images(root), folders.depth_images(root)
    source = _trajectory_file(root)
    if source is None:
        raise UserError("no_poses", f"The capture {root.name} has no trajectory; Clickfield needs camera poses.")
    lens, encoding, notes = _intrinsics(root)
    if source.suffix.lower() == ".json":
        poses, lenses = _json_trajectory(source)
    else:
        poses, lenses = read_log(source), []
    if len(poses) != len(colors):
        notes.append(f"{source.name} has {len(poses)} poses for {len(colors)} images; they were matched in order.")
    pairs = folders.match(colors, depths, "depth images")
    entries = [
        Entry(
            color.stem,
            color,
            depth,
            poses[i] if i < len(poses) else None,
            lenses[i] if i < len(lenses) and lenses[i] else lens,
        )
        for i, (color, depth) in enumerate(zip(colors, pairs, strict=True))
    ]
    return Recording(FORMAT, root.name, root, entries, encoding=encoding, notes=notes)


def read_log(path: Path) -> list[np.ndarray]:
    """The (4, 4) matrices of a ``.log`` in their order. Raises UserError when blocks are not five lines long."""
    rows = numbers(read_text(path), path.name)
    blocks = [rows[i : i + 5] for i in range(0, len(rows), 5)]
    if not blocks or any([len(row) for row in block] != [3, 4, 4, 4, 4] for block in blocks):
        sentence = f"The trajectory {path.name} is not made of blocks of three numbers and a 4x4 matrix."
        raise UserError("no_poses", sentence)
    return [np.array(block[1:]) for block in blocks]


def _json_trajectory(path: Path) -> tuple[list[np.ndarray | None], list[Lens | None]]:
    data = read_json(path)
    parameters = data.get("parameters") if isinstance(data, dict) else None
    if not isinstance(parameters, list) or not parameters:
        raise UserError("no_poses", f"The trajectory {path.name} has no list of camera parameters.")
    poses, lenses = [], []
    for entry in parameters:
        entry = entry if isinstance(entry, dict) else {}
        extrinsic = _values(entry.get("extrinsic"), 16)
        poses.append(None if extrinsic is None else extrinsic.reshape(4, 4, order="F"))
        lenses.append(_lens(entry.get("intrinsic"), path.name))
    return folders.inverted(poses), lenses


def _values(listed: Any, count: int) -> np.ndarray | None:
    if not isinstance(listed, list) or len(listed) != count:
        return None
    values = [number(value) for value in listed]
    return np.array([np.nan if value is None else value for value in values])


def _lens(intrinsic: Any, where: str) -> Lens | None:
    """A lens from Open3D's intrinsic object (column-major matrix); None when it is none."""
    if not isinstance(intrinsic, dict):
        return None
    matrix = _values(intrinsic.get("intrinsic_matrix"), 9)
    if matrix is None:
        return None
    width, height = number(intrinsic.get("width")), number(intrinsic.get("height"))
    known = width and height and 1 <= width <= 1e6 and 1 <= height <= 1e6
    size = (int(width), int(height)) if known else (0, 0)
    return lens_from_matrix(matrix.reshape(3, 3, order="F"), where, *size)


def _intrinsics(root: Path) -> tuple[Lens, str, list[str]]:
    """Lens, depth encoding and notes."""
    for path in list_folder(root)[:200]:
        if path.suffix.lower() != ".json" or not path.is_file():
            continue
        data = read_json(path)
        lens = _lens(data, path.name)
        if lens:
            per_metre = number(data.get("depth_scale"))
            usual = per_metre is None or per_metre <= 0 or per_metre == 1000
            return lens, "mm" if usual else repr(per_metre), []
    return (
        PRIMESENSE,
        "mm",
        ["There is no intrinsics JSON, so the PrimeSense default (525 pixels at 640 x 480) was taken."],
    )
