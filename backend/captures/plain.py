"""Plain folders: ``rgb|color|images``, ``depth``, poses and a camera matrix; autolabel's scenes are a dialect.

Poses are 4x4 camera-to-world matrices with OpenCV axes, one file per frame in ``pose/`` or one row per image in
``poses.txt``; the matrix is in ``intrinsics.txt`` or ``K.txt``, 3x3 or 4x4, centre-origin; depth is in millimetres.
autolabel (``ethz-asl/autolabel``, README) writes the same files with world-to-camera poses.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from backend.captures import folders
from backend.captures.common import (
    Entry,
    Lens,
    Recording,
    child,
    lens_from_matrix,
    list_images,
    read_matrix,
    read_table,
)
from backend.captures.lens import color_lens
from backend.errors import UserError

FORMAT = "folders with poses and intrinsics"
AUTOLABEL = "autolabel scene"
INTRINSICS = (
    "intrinsics.txt",
    "k.txt",
    "intrinsic.txt",
    "camera-intrinsics.txt",
    "camera_intrinsics.txt",
    "intrinsics_color.txt",
)
POSE_FILES = ("poses.txt", "pose.txt", "traj.txt", "trajectory.txt")
AUTOLABEL_MARKS = (
    "raw_rgb",
    "raw_depth",
    "bbox.txt",
    "distortion_parameters.txt",
    "label_map.csv",
    "gt_masks",
    "gt_semantic",
)


def find(folder: Path) -> Path | None:
    """The folder itself when it has colour beside depth, poses or intrinsics."""
    color = folders.folder(folder, *folders.COLOR_NAMES)
    depth = folders.folder(folder, *folders.DEPTH_NAMES)
    other = child(folder, *INTRINSICS, *POSE_FILES) or folders.folder(folder, *folders.POSE_NAMES)
    return folder if (color and (depth or other)) or (depth and other) else None


def read(root: Path) -> Recording:
    """Read plain folders. Raises UserError when colour, depth, poses or intrinsics are missing, or counts differ."""
    colors, depths = folders.color_images(root), folders.depth_images(root)
    autolabel = child(root, *AUTOLABEL_MARKS) is not None
    lens, depth_lens, notes = _lenses(root, folders.image_size(colors))
    poses = _poses(root, colors)
    pairs = folders.match(colors, depths, "depth images")
    entries = [
        Entry(color.stem, color, depth, pose, lens, depth_lens)
        for color, depth, pose in zip(colors, pairs, poses, strict=True)
    ]
    if not autolabel:
        return Recording(FORMAT, root.name, root, entries, poses_may_be_inverse=True, notes=notes)
    labels = folders.truth_images(root, colors, "gt_semantic", "semantic")
    entries = [
        replace(entry, pose=pose, labels=label)
        for entry, pose, label in zip(entries, folders.inverted(poses), labels, strict=True)
    ]
    recording = Recording(AUTOLABEL, root.name, root, entries, notes=notes)
    recording.classes = _class_names(child(root, "label_map.csv"))
    return recording


def _class_names(path: Path | None) -> dict[int, str]:
    """autolabel's prompts by id; 0 is unlabelled."""
    named = ((row.get("id", ""), row.get("prompt", "")) for row in (read_table(path) if path else []))
    return {int(uid): name[:256] for uid, name in named if uid.isdecimal() and len(uid) < 9 and name}


def _poses(root: Path, colors: list[Path]) -> list[np.ndarray | None]:
    found = folders.folder(root, *folders.POSE_NAMES)
    if found is not None:
        return folders.pose_folder(found, colors)
    listed = child(root, *POSE_FILES)
    if listed is None:
        sentence = f"The capture {root.name} has no poses; put one 4x4 matrix per frame into a folder called pose."
        raise UserError("no_poses", sentence)
    return list(folders.pose_list(listed, len(colors)))


def _lenses(root: Path, size: tuple[int, int] | None) -> tuple[Lens, Lens | None, list[str]]:
    """Lens of colour, lens of depth when it has one of its own, notes."""
    found = child(root, *INTRINSICS)
    if found is None:
        sentence = f"The capture {root.name} has no intrinsics.txt; write its 3x3 camera matrix into one."
        raise UserError("no_intrinsics", sentence)
    depth = child(root, "intrinsics_depth.txt")
    depth_lens = lens_from_matrix(read_matrix(depth), depth.name) if depth else None
    # autolabel's matrix belongs to the images before they were made smaller.
    raw = folders.folder(root, "raw_rgb")
    own = (folders.image_size(list_images(raw)) if raw else None) or (0, 0)
    color = lens_from_matrix(read_matrix(found), found.name, *own)
    lens, notes = color_lens(color, depth_lens, None if raw else size)
    return lens, depth_lens, notes
