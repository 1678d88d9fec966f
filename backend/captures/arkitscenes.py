"""Apple's ARKitScenes: ``lowres_wide``, ``lowres_depth``, ``lowres_wide_intrinsics`` and ``lowres_wide.traj``.

Sources: ``DATA.md`` and ``threedod/benchmark_scripts/utils/tenFpsDataLoader.py`` of ``apple/ARKitScenes``. The
trajectory is world-to-camera (axis-angle and translation), OpenCV axes, world Z-up; depth is in millimetres and
registered; confidence is 0 to 2. Pictures lie as the sensor does.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from backend.captures import folders
from backend.captures.common import (
    BAD_LENS,
    Entry,
    Lens,
    Problem,
    Recording,
    child,
    list_folder,
    list_images,
    numbers,
    read_text,
)
from backend.errors import UserError

FORMAT = "ARKitScenes"
TIME = re.compile(r"_(\d+\.\d+)$")
POSE_TOLERANCE = 0.0056  # seconds; Apple's loader takes 5 ms, file names are rounded to the millisecond
LENS_TOLERANCE = 0.0015
LATE = Problem("no_poses", "no pose was recorded within 5 ms", "no poses were recorded within 5 ms")


def find(folder: Path) -> Path | None:
    """The folder with ``lowres_wide`` and its trajectory: this one, or its ``<id>_frames``."""
    inside = [path for path in list_folder(folder) if path.name.endswith("_frames") and path.is_dir()]
    for root in (folder, *inside[:1]):
        if folders.folder(root, "lowres_wide") and child(root, "lowres_wide.traj"):
            return root
    return None


def read(root: Path) -> Recording:
    """Read a scene. Raises UserError when images, intrinsics or the trajectory are missing."""
    colors = list_images(folders.folder(root, "lowres_wide"))
    depths = _by_time(root, "lowres_depth")
    if not depths:
        raise UserError("no_depth", f"The capture {root.name} has no lowres_depth; download its depth images too.")
    confidences, lenses = _by_time(root, "confidence"), _by_time(root, "lowres_wide_intrinsics", images=False)
    times, poses = _trajectory(child(root, "lowres_wide.traj"))
    entries = []
    for color in colors:
        time = _time(color)
        if time is None:
            continue
        lens_file = _nearest(lenses, time, LENS_TOLERANCE)
        lens = _lens(lens_file) if lens_file else None
        index = int(np.abs(times - time).argmin())
        late = abs(times[index] - time) > POSE_TOLERANCE
        entries.append(
            Entry(
                color.stem,
                color,
                _nearest(depths, time, LENS_TOLERANCE),
                None if late else poses[index],
                lens,
                timestamp=time,
                problem=LATE if late else None if lens else BAD_LENS,
                confidence=_nearest(confidences, time, LENS_TOLERANCE),
            )
        )
    name = root.name.removesuffix("_frames")
    return Recording(FORMAT, name, root, entries, up="+z", set_upright=True)


def _time(path: Path) -> float | None:
    found = TIME.search(path.stem)
    return float(found[1]) if found else None


def _by_time(root: Path, name: str, images: bool = True) -> dict[float, Path]:
    found = folders.folder(root, name)
    files = (list_images(found) if images else list_folder(found)) if found else []
    return {time: path for path in files if (time := _time(path)) is not None}


def _nearest(files: dict[float, Path], time: float, tolerance: float) -> Path | None:
    if time in files:
        return files[time]
    # File names of one frame differ by a millisecond at most.
    steps = (round(time + step, 3) for step in (0.001, -0.001))
    return next((files[step] for step in steps if step in files and abs(step - time) < tolerance), None)


def _lens(path: Path) -> Lens | None:
    rows = numbers(read_text(path), path.name)
    if len(rows) != 1 or len(rows[0]) != 6 or not np.isfinite(rows[0]).all() or min(rows[0][:4]) <= 0:
        return None
    width, height, fx, fy, cx, cy = rows[0]
    return Lens(fx, fy, cx, cy, round(width), round(height)).from_corner()


def _trajectory(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Times (N,) and camera-to-world matrices."""
    rows = numbers(read_text(path), path.name)
    if not rows or any(len(row) != 7 for row in rows):
        raise UserError("no_poses", f"The file {path.name} must have lines of 7 numbers: time, rotation, translation.")
    table = np.array(rows)
    table = table[np.isfinite(table).all(axis=1)]
    if not len(table):
        raise UserError("no_poses", f"The file {path.name} has no usable pose.")
    world_to_camera = np.tile(np.eye(4), (len(table), 1, 1))
    world_to_camera[:, :3, :3] = Rotation.from_rotvec(table[:, 1:4]).as_matrix()
    world_to_camera[:, :3, 3] = table[:, 4:]
    return table[:, 0], list(np.linalg.inv(world_to_camera))
