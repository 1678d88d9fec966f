"""TUM RGB-D: ``rgb.txt``, ``depth.txt``, ``groundtruth.txt``; or an index of pairs as slambook and ICL-NUIM have it.

Sources: TUM's pages on file formats and intrinsic calibration, its ``associate.py``; intrinsics per camera as in
nice-slam's configurations. Depth is 1/5000 m and registered to colour by the driver, which knows no distortion, so
only colour is undistorted (as nice-slam does). Poses are camera-to-world with OpenCV axes, the world is Z-up.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from backend.captures.common import (
    Entry,
    Lens,
    Problem,
    Recording,
    child,
    lens_from_matrix,
    list_folder,
    numbers,
    quaternion_matrix,
    read_text,
    shaped,
)
from backend.captures.transforms import inside
from backend.errors import UserError

FORMAT = "TUM RGB-D"
PAIRED = ("associations.txt", "associated.txt", "association.txt")
TOLERANCE = 0.02  # seconds between images, and between an image and a pose
FAST = 0.02  # seconds between poses below which they are interpolated
NO_PARTNER = Problem("no_depth", "no depth image was taken within 0.02 s", "no depth image was taken within 0.02 s")
NO_TIMELY_POSE = Problem("no_poses", "no pose was recorded within 0.02 s", "no pose was recorded within 0.02 s")
LENSES = {
    "1": Lens(517.3, 516.5, 318.6, 255.3, 640, 480, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633, 0.0)),
    "2": Lens(520.9, 521.0, 325.1, 249.7, 640, 480, (0.2312, -0.7849, -0.0033, -0.0001, 0.9172, 0.0)),
    "3": Lens(535.4, 539.2, 320.1, 247.6, 640, 480),
}
DEFAULT = Lens(525.0, 525.0, 319.5, 239.5, 640, 480)


def find(folder: Path) -> Path | None:
    """The folder itself when it has an index of colour images beside one of depth images or poses, or of pairs."""
    listed = child(folder, "rgb.txt") and child(folder, "depth.txt", "groundtruth.txt")
    paired = child(folder, *PAIRED) and _trajectory_file(folder)
    return folder if listed or paired else None


def read(root: Path) -> Recording:
    """Read a TUM folder. Raises UserError when an index or the trajectory is missing or malformed."""
    if child(root, "rgb.txt"):
        colors, comment = _index(root, "rgb.txt", "no_images")
        depths, _ = _index(root, "depth.txt", "no_depth")
        partner = associate(np.array([time for time, _ in colors]), np.array([time for time, _ in depths]))
    else:
        colors, depths, comment = _pairs(child(root, *PAIRED))
        partner = {index: index for index in range(len(colors))}
    times, poses = _trajectory(root)
    lens = _lens(root, comment)
    entries = []
    for i, (time, text) in enumerate(colors):
        color, problem = inside(root, text)
        name = color.stem if color else f"frame-{i:06d}"
        depth = None
        if problem is None and i in partner:
            depth, problem = inside(root, depths[partner[i]][1])
        pose = pose_at(time, times, poses)
        problem = problem or (None if i in partner else NO_PARTNER) or (None if pose is not None else NO_TIMELY_POSE)
        entries.append(Entry(name, color, depth, pose, lens, timestamp=time, problem=problem))
    return Recording(FORMAT, root.name, root, entries, encoding="5000", up="+z", distorted_depth=False)


def _index(root: Path, name: str, code: str) -> tuple[list[tuple[float, str]], str]:
    """(time, path) of each line in order of time, and the file's comments."""
    path = child(root, name)
    if path is None:
        raise UserError(code, f"The capture {root.name} has no {name}; it lists the images of a TUM recording.")
    rows, comments = [], []
    for line in read_text(path).splitlines():
        line = line.strip()
        if line.startswith("#"):
            comments.append(line)
            continue
        words = line.split(maxsplit=1)
        if not words:
            continue
        time = _time(words[0])
        if time is None or len(words) < 2:
            raise UserError("bad_index", f"The file {name} has '{line[:40]}' where a time and a path are expected.")
        rows.append((time, words[1]))
    if not rows:
        raise UserError(code, f"The file {name} lists no images.")
    return sorted(rows), " ".join(comments)


def _pairs(path: Path) -> tuple[list[tuple[float, str]], list[tuple[float, str]], str]:
    """Colour and depth of every line "time path time path" (slambook, ICL-NUIM), and the file's comments.

    Which of the two is depth is told by its path.
    """
    colors, depths, comments = [], [], []
    for line in read_text(path).splitlines():
        if line.lstrip().startswith("#"):
            comments.append(line)
            continue
        words = line.split()
        if not words:
            continue
        times = [_time(word) for word in words[0::2]]
        if len(words) != 4 or None in times or ("depth" in words[1].lower()) == ("depth" in words[3].lower()):
            sentence = (
                f"The file {path.name} has '{line[:40]}' where time and path of colour and of depth are expected."
            )
            raise UserError("bad_index", sentence)
        first, second = (times[0], words[1]), (times[1], words[3])
        color, depth = (second, first) if "depth" in words[1].lower() else (first, second)
        colors.append(color)
        depths.append(depth)
    if not colors:
        raise UserError("no_images", f"The file {path.name} lists no images.")
    return colors, depths, " ".join(comments)


def _time(word: str) -> float | None:
    try:
        time = float(word)
    except ValueError:
        return None
    return time if math.isfinite(time) else None


def _trajectory_file(root: Path) -> Path | None:
    named = child(root, "groundtruth.txt", "pose.txt", "poses.txt", "trajectory.txt")
    return named or next((path for path in list_folder(root) if path.suffix.lower() == ".freiburg"), None)


def _trajectory(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) in order and rows tx ty tz qx qy qz qw (N, 7)."""
    path = _trajectory_file(root)
    if path is None:
        raise UserError("no_poses", f"The capture {root.name} has no groundtruth.txt; Clickfield needs camera poses.")
    rows = [row for row in numbers(read_text(path), path.name)]
    if not rows or any(len(row) != 8 for row in rows):
        raise UserError("no_poses", f"The file {path.name} must have lines of 8 numbers: time, position, quaternion.")
    table = np.array(rows)
    table = table[np.isfinite(table[:, 0])]
    table = table[np.argsort(table[:, 0], kind="stable")]
    return table[:, 0], table[:, 1:]


def _lens(root: Path, comment: str) -> Lens:
    own = child(root, "calibration.txt", "intrinsics.txt", "camera-intrinsics.txt", "k.txt")
    if own is not None:
        rows = numbers(read_text(own), own.name)
        if len(rows) == 1 and len(rows[0]) == 4:
            fx, fy, cx, cy = rows[0]
            return lens_from_matrix(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), own.name)
        return lens_from_matrix(shaped(rows, own.name), own.name)
    found = re.search(r"(?:freiburg|\bfr)([123])", f"{root.name} {comment} {root.parent.name}", re.IGNORECASE)
    return LENSES[found[1]] if found else DEFAULT


def associate(first: np.ndarray, second: np.ndarray) -> dict[int, int]:
    """One-to-one pairs of times at most 0.02 s apart, the closest first (TUM's ``associate.py``).

    Args:
        first, second: (N,) and (M,) seconds, sorted.

    Returns:
        index in ``first`` -> index in ``second``.
    """
    candidates = []
    for i, time in enumerate(first):
        middle = int(np.searchsorted(second, time))
        for j in range(max(0, middle - 4), min(len(second), middle + 4)):
            if abs(second[j] - time) < TOLERANCE:
                candidates.append((abs(second[j] - time), i, j))
    pairs: dict[int, int] = {}
    taken = set()
    for _, i, j in sorted(candidates):
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs


def pose_at(time: float, times: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
    """(4, 4) pose at a time: interpolated inside a fast stream of poses, else the nearest within 0.02 s."""
    after = int(np.searchsorted(times, time))
    if 0 < after < len(times) and times[after] - times[after - 1] <= FAST and times[after] > times[after - 1]:
        share = (time - times[after - 1]) / (times[after] - times[after - 1])
        a, b = rows[after - 1], rows[after]
        # Poses 20 ms apart differ by so little that a normalised blend of quaternions is a slerp.
        turned = b[3:] if a[3:] @ b[3:] >= 0 else -b[3:]
        return _matrix(a[:3] + share * (b[:3] - a[:3]), (1 - share) * a[3:] + share * turned)
    near = [j for j in (after - 1, after) if 0 <= j < len(times) and abs(times[j] - time) < TOLERANCE]
    if not near:
        return None
    best = min(near, key=lambda j: abs(times[j] - time))
    return _matrix(rows[best, :3], rows[best, 3:])


def _matrix(position: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    rotation = quaternion_matrix(quaternion)
    pose[:3, :3] = np.nan if rotation is None else rotation
    pose[:3, 3] = position
    return pose
