"""Stray Scanner: ``rgb.mp4``, ``odometry.csv``, ``camera_matrix.csv``, ``depth/``, ``confidence/``.

Sources: ``docs/format.md`` and ``StrayScanner/Helpers/*.swift`` of ``strayrobots/scanner``. Poses are camera-to-world
with OpenCV axes, the world is Y-up; depth is in millimetres and registered; confidence is 0 to 2. The n-th video frame
belongs to row n of the odometry; depth carries that row's number in its name and is missing where ARKit gave none.
Newer recordings give intrinsics per row. Pictures lie as the sensor does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.captures import folders, video
from backend.captures.common import (
    BAD_LENS,
    NO_COLOR,
    Entry,
    Lens,
    Recording,
    child,
    lens_from_matrix,
    number_in,
    quaternion_matrix,
    read_matrix,
    read_table,
)
from backend.captures.scratch import Scratch
from backend.errors import UserError

FORMAT = "Stray Scanner"
POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
LENS = ("fx", "fy", "cx", "cy")


def find(folder: Path) -> Path | None:
    """The folder itself when it has the odometry beside the video or the depth of a recording."""
    own = child(folder, "odometry.csv") and (child(folder, "rgb.mp4") or child(folder, "camera_matrix.csv"))
    return folder if own else None


def read(root: Path, scratch: Scratch) -> Recording:
    """Read a recording. Raises UserError when a part is missing or the video cannot be decoded."""
    recorded = child(root, "rgb.mp4")
    if recorded is None:
        raise UserError("no_images", f"The capture {root.name} has no rgb.mp4; copy the whole folder of the recording.")
    rows = _odometry(child(root, "odometry.csv"))
    depths = folders.numbered(folders.folder(root, "depth"))
    if not depths:
        raise UserError("no_depth", f"The capture {root.name} has no depth images; copy the whole recording folder.")
    matrix = child(root, "camera_matrix.csv")
    common = lens_from_matrix(read_matrix(matrix), matrix.name).from_corner() if matrix else None
    pictures = video.frames(recorded, scratch)
    shift, notes = _shift(len(pictures), len(rows))
    confidences = folders.numbered(folders.folder(root, "confidence"))
    entries = []
    for index, row in enumerate(rows):
        at = index - shift
        color = pictures[at] if 0 <= at < len(pictures) else None
        lens = _lens(row) or common
        name = int(row.get("frame", index))
        problem = NO_COLOR if color is None else None if lens else BAD_LENS
        entries.append(
            Entry(
                f"{name:06d}",
                color,
                depths.get(name),
                _pose(row),
                lens,
                timestamp=row.get("timestamp"),
                problem=problem,
                confidence=confidences.get(name),
            )
        )
    return Recording(FORMAT, root.name, root, entries, up="+y", set_upright=True, notes=notes)


def _shift(pictures: int, rows: int) -> tuple[int, list[str]]:
    """By how many rows the video is late, and sentences about it."""
    if pictures == rows:
        return 0, []
    if pictures == rows - 1:
        return 1, ["The video lacks its first frame, so it was matched to the odometry from the second row on."]
    return 0, [f"The video has {pictures} frames and the odometry {rows} rows; the rest was left out."]


def _odometry(path: Path) -> list[dict[str, float]]:
    """Rows by column name; a value that is no number is left out of its row."""
    table = read_table(path)
    if not table:
        raise UserError("no_poses", f"The file {path.name} has no rows; record the capture again.")
    missing = [name for name in POSE if all(name not in row for row in table)]
    if missing:
        raise UserError("no_poses", f"The file {path.name} lacks the columns {', '.join(missing)}; record again.")
    rows = []
    for words in table:
        found = {name: number_in(word) for name, word in words.items()}
        row = {name: value for name, value in found.items() if value is not None}
        if row and row.get("frame", 0.0) == int(row.get("frame", 0.0)):
            rows.append(row)
    return rows


def _pose(row: dict[str, float]) -> np.ndarray | None:
    if any(name not in row for name in POSE):
        return None
    rotation = quaternion_matrix(np.array([row[name] for name in POSE[3:]]))
    if rotation is None:
        return None
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, [row[name] for name in POSE[:3]]
    return pose


def _lens(row: dict[str, float]) -> Lens | None:
    if any(row.get(name, 0.0) <= 0 for name in LENS):
        return None
    return Lens(*(row[name] for name in LENS)).from_corner()
