"""Renders of the Replica rooms in their two layouts.

iMAP / NICE-SLAM: ``traj.txt`` (16 numbers per frame) and ``results/frame*.jpg``, ``results/depth*.png`` with 6553.5
values per metre; ``cam_params.json`` beside the rooms. Sources: nice-slam's ``datasets.py``, nvblox's ``replica.cpp``.

Semantic-NeRF: ``traj_w_c.txt``, ``rgb/rgb_0.png``, ``depth/depth_0.png`` in millimetres, a field of view of 90 degrees,
true classes and instances. Source: ``SSR/datasets/replica/replica_datasets.py``.

Both: camera-to-world with OpenCV axes, world Z-up, centre-origin pixels.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from backend.captures import folders
from backend.captures.common import (
    Entry,
    Lens,
    Recording,
    child,
    list_folder,
    list_images,
    number,
    read_json,
)
from backend.captures.images import BrokenImage, read_header
from backend.errors import UserError

IMAP = "Replica (iMAP / NICE-SLAM)"
SEMANTIC = "Replica (Semantic-NeRF)"
USUAL = Lens(600.0, 600.0, 599.5, 339.5, 1200, 680)
PER_METRE = 6553.5
VOID = {0: "void"}


def find_imap(folder: Path) -> Path | None:
    """The folder that holds ``traj.txt`` and ``results`` with frames and depth: this one, or its only room."""
    if _is_room(folder):
        return folder
    if child(folder, "cam_params.json") is None:
        return None
    rooms = [path for path in list_folder(folder) if path.is_dir() and _is_room(path)]
    return rooms[0] if len(rooms) == 1 else None


def _is_room(folder: Path) -> bool:
    results = folders.folder(folder, "results")
    if results is None or child(folder, "traj.txt") is None:
        return False
    names = [path.name.lower() for path in list_folder(results)]
    return any(n.startswith("frame") for n in names) and any(n.startswith("depth") for n in names)


def read_imap(root: Path) -> Recording:
    """Read one room. Raises UserError when the trajectory does not fit the images."""
    images = list_images(folders.folder(root, "results"))
    colors = [path for path in images if path.name.lower().startswith("frame")]
    depths = [path for path in images if path.name.lower().startswith("depth")]
    poses = folders.pose_list(child(root, "traj.txt"), len(colors))
    lens, per_metre = _camera(root)
    pairs = folders.match(colors, depths, "depth images")
    entries = [
        Entry(color.stem, color, depth, pose, lens) for color, depth, pose in zip(colors, pairs, poses, strict=True)
    ]
    return Recording(IMAP, root.name, root, entries, encoding=repr(per_metre), up="+z")


def _camera(root: Path) -> tuple[Lens, float]:
    """The lens and the values per metre, from ``cam_params.json`` here or one level up, else the usual ones."""
    path = child(root, "cam_params.json") or child(root.parent, "cam_params.json")
    if path is None:
        return USUAL, PER_METRE
    values = _search(read_json(path))
    found = [number(values.get(key)) for key in ("fx", "fy", "cx", "cy", "w", "h", "scale")]
    if any(value is None or value <= 0 for value in found):
        raise UserError("no_intrinsics", f"The file {path.name} lacks a positive w, h, fx, fy, cx, cy or scale.")
    fx, fy, cx, cy, width, height, scale = found
    return Lens(fx, fy, cx, cy, round(width), round(height)), scale


def _search(data: Any, depth: int = 0) -> dict[str, Any]:
    """The object that has the focal length; files nest it differently."""
    if not isinstance(data, dict) or depth > 4:
        return {}
    if "fx" in data:
        return data
    return next((found for value in data.values() if (found := _search(value, depth + 1))), {})


def find_semantic(folder: Path) -> Path | None:
    """The folder itself when it holds ``traj_w_c.txt`` beside ``rgb``."""
    return folder if child(folder, "traj_w_c.txt") and folders.folder(folder, "rgb") else None


def read_semantic(root: Path) -> Recording:
    """Read one sequence with its true labels. Raises UserError when the trajectory does not fit the images."""
    colors, depths = folders.color_images(root), folders.depth_images(root)
    poses = folders.pose_list(child(root, "traj_w_c.txt"), len(colors))
    lens = _right_angle(colors)
    pairs = folders.match(colors, depths, "depth images")
    labels = folders.truth_images(root, colors, "semantic_class")
    instances = folders.truth_images(root, colors, "semantic_instance")
    entries = [
        Entry(color.stem, color, depth, pose, lens, labels=label, instances=instance)
        for color, depth, pose, label, instance in zip(colors, pairs, poses, labels, instances, strict=True)
    ]
    recording = Recording(SEMANTIC, f"{root.parent.name} {root.name}".strip(), root, entries, up="+z")
    recording.classes = _class_names(root)
    return recording


def _right_angle(colors: list[Path]) -> Lens | None:
    """The pinhole whose picture is 90 degrees wide."""
    for path in colors[:20]:
        try:
            header = read_header(path)
        except BrokenImage:
            continue
        width, height = header.width, header.height
        return Lens(width / 2, width / 2, (width - 1) / 2, (height - 1) / 2, width, height)
    return None


def _class_names(root: Path) -> dict[int, str]:
    """Class names of Replica's ``info_semantic.json`` where it lies beside the sequence or the room."""
    for place in (root, root.parent, root.parent.parent):
        path = child(place, "info_semantic.json")
        listed = read_json(path).get("classes") if path is not None and isinstance(read_json(path), dict) else None
        if isinstance(listed, list):
            named = [entry for entry in listed if isinstance(entry, dict) and type(entry.get("id")) is int]
            names = {entry["id"]: re.sub(r"\s+", " ", str(entry.get("name", "")))[:256] for entry in named}
            return VOID | {uid: name or f"class {uid}" for uid, name in names.items()}
    return {}
