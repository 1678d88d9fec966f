"""SceneNet RGB-D: a rendered trajectory with ``photo/ depth/ instance/``, its poses in a protobuf above it.

Source: ``scenenet.proto`` and ``camera_pose_and_intrinsics_example.py`` of ``jmccormac/pySceneNetRGBD``. Depth is the
distance along the ray in millimetres; a picture integrates from shutter opening to closing, so the pose is halfway; the
view is 60 degrees wide and 45 high; the world is Y-up. The protobuf is read field by field: a length-delimited tree of
trajectories (1), their render path (2), their views (4) with frame number (1) and two camera poses (2, 3).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backend.captures import folders
from backend.captures.common import Entry, Lens, Recording, list_folder
from backend.errors import UserError

FORMAT = "SceneNet RGB-D"
MAX_PROTOBUF = 1 << 30
UP = np.array([0.0, 1.0, 0.0])
LEVELS = 5  # folders above a trajectory in which the protobuf is looked for


class _Bad(Exception):
    """Bytes that are no protobuf."""


def find(folder: Path) -> Path | None:
    """The folder itself when it holds ``photo``, ``depth`` and ``instance``."""
    return folder if all(folders.folder(folder, name) for name in ("photo", "depth", "instance")) else None


def read(root: Path) -> Recording:
    """Read a trajectory. Raises UserError when its poses cannot be found."""
    poses = _poses(root)
    depths, instances = (folders.numbered(folders.folder(root, name)) for name in ("depth", "instance"))
    entries = []
    for number, color in sorted(folders.numbered(folders.folder(root, "photo")).items()):
        entries.append(
            Entry(
                f"{number:06d}",
                color,
                depths.get(number),
                poses.get(number),
                _lens(320, 240),
                instances=instances.get(number),
            )
        )
    return Recording(FORMAT, root.name, root, entries, up="+y", ray_distance=True)


def _lens(width: int, height: int) -> Lens:
    fx, fy = width / 2 / math.tan(math.radians(30)), height / 2 / math.tan(math.radians(22.5))
    return Lens(fx, fy, width / 2, height / 2, width, height).from_corner()


def _poses(root: Path) -> dict[int, np.ndarray]:
    """Camera-to-world by frame number, from the first protobuf above the folder that names it."""
    place, damaged = root, None
    for _ in range(LEVELS):
        for path in list_folder(place):
            if path.suffix.lower() != ".pb" or not path.is_file() or path.stat().st_size > MAX_PROTOBUF:
                continue
            try:
                found = _trajectory(path.read_bytes(), root)
            except (_Bad, struct.error, UnicodeDecodeError) as error:
                damaged = (path.name, error)
                continue
            if found:
                return found
        place = place.parent
    if damaged:
        raise UserError("no_poses", f"The file {damaged[0]} is damaged; download it again.", repr(damaged[1]))
    sentence = (
        f"The poses of {root.name} were not found; put SceneNet's .pb file beside or above the trajectory's folder."
    )
    raise UserError("no_poses", sentence)


def _trajectory(data: bytes, root: Path) -> dict[int, np.ndarray]:
    trajectories = [value for field, value in _fields(data) if field == 1 and isinstance(value, bytes)]
    for trajectory in trajectories:
        parts = list(_fields(trajectory))
        path = next((value.decode() for field, value in parts if field == 2 and isinstance(value, bytes)), "")
        names = tuple(part for part in path.split("/") if part)
        if names == root.parts[len(root.parts) - len(names) :] or len(trajectories) == 1:
            views = (dict(_fields(value)) for field, value in parts if field == 4 and isinstance(value, bytes))
            return {int(view.get(1, 0)): _halfway(view) for view in views if 2 in view and 3 in view}
    return {}


def _halfway(view: dict[int, int | float | bytes]) -> np.ndarray:
    """(4, 4) camera-to-world between shutter opening and closing."""
    opened, closed = (_pose(view[field]) for field in (2, 3))
    eye, target = (opened[0] + closed[0]) / 2, (opened[1] + closed[1]) / 2
    matrix = np.full((4, 4), np.nan)
    forward = target - eye
    right = np.cross(forward, UP)
    if np.linalg.norm(forward) > 1e-9 and np.linalg.norm(right) > 1e-9:
        forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
        matrix = np.eye(4)
        matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = right, np.cross(forward, right), forward, eye
    return matrix


def _pose(data: int | float | bytes) -> tuple[np.ndarray, np.ndarray]:
    """Eye and target of a pose message: camera (1) and lookat (2), each with x, y, z."""
    if not isinstance(data, bytes):
        raise _Bad("a pose is a number")
    parts = dict(_fields(data))
    points = []
    for field in (1, 2):
        value = parts.get(field, b"")
        if not isinstance(value, bytes):
            raise _Bad("a point is a number")
        xyz = dict(_fields(value))
        points.append(np.array([float(xyz.get(axis, 0.0)) for axis in (1, 2, 3)]))
    return points[0], points[1]


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Field number and value of one message: varints as int, fixed widths as float, the rest as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise _Bad("a field is longer than its message")
            value, at = data[at : at + length], at + length
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            (value,) = struct.unpack_from("<d" if kind == 1 else "<f", data, at)
            at += width
        else:
            raise _Bad(f"wire type {kind}")
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _Bad("the end")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise _Bad("a number without end")
