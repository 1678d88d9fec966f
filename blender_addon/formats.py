"""What a dropped file looks like, told before the backend has read it. No bpy.

Only names and the first bytes are looked at, so that the import dialog opens at once; the backend decides.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from functools import lru_cache
from pathlib import Path

ENDINGS = (".json", ".txt", ".log", ".csv", ".zip", ".r3d", ".sens", ".mkv", ".bag")
UNKNOWN = "No capture format is known by this file; Import will look at its folder"
BIGGEST_JSON = 64 << 20  # bytes that are read to tell one JSON file from another
BY_ENDING = {".sens": "ScanNet .sens", ".mkv": "Azure Kinect recording", ".bag": "RealSense recording"}
BY_NAME = {
    "rgb.txt": "TUM RGB-D",
    "depth.txt": "TUM RGB-D",
    "groundtruth.txt": "TUM RGB-D",
    "camera-intrinsics.txt": "7-Scenes or 3DMatch folder",
    "odometry.csv": "Stray Scanner",
    "camera_matrix.csv": "Stray Scanner",
    "traj.txt": "Replica",
    "traj_w_c.txt": "Replica",
    "scene_camera.json": "BOP scene",
    "intrinsic_color.txt": "ScanNet folder",
    "intrinsic_depth.txt": "ScanNet folder",
    "cameras.txt": "COLMAP model",
    "images.txt": "COLMAP model",
}
# Names inside an archive, the first that is met; then names of a folder's files beside a JSON file.
IN_ARCHIVE = (
    (re.compile(r"(^|/)rgbd/|\.r3d$"), "Record3D"),
    (re.compile(r"(^|/)keyframes/(corrected_)?(images|cameras)/"), "Polycam raw data"),
    (re.compile(r"(^|/)(camera_matrix|odometry)\.csv$"), "Stray Scanner"),
    (re.compile(r"(^|/)frame_\d{5}\.json$"), "3D Scanner App"),
    (re.compile(r"(^|/)transforms[^/]*\.json$"), "nerfstudio transforms.json"),
    (re.compile(r"(^|/)rgb\.txt$"), "TUM RGB-D"),
    (re.compile(r"\.color\.(png|jpg)$"), "7-Scenes or 3DMatch folder"),
)


# Sub-folders by which a folder looks like a capture.
FOLDERS = {"rgb", "color", "depth", "images", "keyframes", "lowres_wide", "photo", "results", "sparse", "rgbd"}


def seems_capture(folder: Path) -> bool:
    """Whether a folder is worth a look: it holds a file or a sub-folder that captures have."""
    try:
        return _holds_parts(str(folder), os.stat(folder).st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=32)
def _holds_parts(folder: str, changed: int) -> bool:
    """The answer for a folder as it was at a time; a dialog asks with every redraw. Raises OSError."""
    names = {entry.name.lower() for entry in os.scandir(folder)}
    known = BY_NAME.keys() | FOLDERS | {"transforms.json", "seq-01"}
    return bool(names & known) or any(name.endswith((".color.png", ".color.jpg", ".sens", ".r3d")) for name in names)


def seen(path: Path) -> str:
    """The format that a file seems to belong to, as a person would call it; empty when none is known by it."""
    name, ending = path.name.lower(), path.suffix.lower()
    if ending in (".zip", ".r3d"):
        return _archive(path)
    if ending in BY_ENDING:
        return BY_ENDING[ending]
    if name in BY_NAME:
        return BY_NAME[name]
    if ending == ".log":
        return "Redwood / Open3D trajectory"
    return _json(path) if ending == ".json" else ""


def _archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError):
        return ""
    for pattern, known in IN_ARCHIVE:
        if any(pattern.search(name) for name in names):
            return f"{known} (archive)"
    return ""


def _json(path: Path) -> str:
    try:
        beside = [other.name for other in path.parent.iterdir()]
        if path.name.lower() == "info.json" and any(IN_ARCHIVE[3][0].search(name) for name in beside):
            return "3D Scanner App"
        if path.name.lower() == "mesh_info.json" and "keyframes" in beside:
            return "Polycam raw data"
        if path.stat().st_size > BIGGEST_JSON:
            return ""
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(data, dict):
        return ""
    if isinstance(data.get("frames"), list):
        return "nerfstudio transforms.json"
    if data.get("class_name") == "PinholeCameraTrajectory":
        return "Redwood / Open3D trajectory"
    if "cameraPoseARFrame" in data:
        return "3D Scanner App"
    return "Record3D" if "poses" in data and "K" in data else ""
