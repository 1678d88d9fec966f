"""What the readers share: the options of an import, what a reader hands over, and careful reading of text files."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from backend.captures.images import SUFFIXES
from backend.captures.links import check_inside, stays_inside
from backend.errors import UserError

MAX_TEXT = 64 << 20  # bytes
MAX_VALUES = 4_000_000  # in a file of text: an empty list takes two letters there and sixty bytes in memory
OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
# Other ways in which the numbers of a pose may be meant than camera-to-world with the format's axes.
READINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inverse": np.linalg.inv,
    "other axes": lambda pose: pose @ OPENGL_TO_OPENCV,
    "inverse, other axes": lambda pose: np.linalg.inv(pose) @ OPENGL_TO_OPENCV,
}
POSES = ("as said", *READINGS)
UPS = ("auto", "+x", "-x", "+y", "-y", "+z", "-z")


@dataclass(frozen=True)
class ImportOptions:
    """What the person chose for an import."""

    step: int = 1  # every n-th usable frame
    max_frames: int = 0  # at most so many, evenly chosen; 0 = all
    keyframes: str = "stride"  # or "motion": evenly along the path that the camera travelled
    depth_min: float = 0.0  # metres; nearer is invalid
    depth_max: float = 8.0  # metres; beyond is invalid
    up: str = "auto"  # which axis of the capture's world points up
    depth_encoding: str | None = None  # overrides the format's own, see depth.parse_encoding
    poses: str = "as said"  # or one of READINGS, for files that break their format's convention
    refine_poses: bool = True  # register the frames to each other; False keeps the capture's own poses
    confidence: int = 2  # depth below this confidence is invalid: 0 low, 1 medium, 2 high; where a capture has one

    def checked(self) -> ImportOptions:
        """These options. Raises UserError for values that make no sense."""
        whole = type(self.step) is int and type(self.max_frames) is int
        if not whole or self.step < 1 or self.max_frames < 0 or self.max_frames == 1:
            raise UserError("bad_option", "The frame step must be 1 or more, the most frames 0 (all) or 2 or more.")
        if self.keyframes not in ("stride", "motion"):
            raise UserError("bad_option", "Keyframes are chosen by 'stride' or by 'motion'.")
        nearest, farthest = number(self.depth_min), number(self.depth_max)
        if nearest is None or farthest is None or not 0 <= nearest < farthest:
            raise UserError("bad_option", "The depth range must start at 0 m or more and end beyond its start.")
        if self.up not in UPS:
            raise UserError("bad_option", f"The up axis must be one of {', '.join(UPS)}.")
        if self.poses not in POSES:
            raise UserError("bad_option", f"The poses must be one of {', '.join(POSES)}.")
        if type(self.refine_poses) is not bool:
            raise UserError("bad_option", "Whether poses are refined must be true or false.")
        if type(self.confidence) is not int or not 0 <= self.confidence <= 2:
            raise UserError("bad_option", "The least confidence of depth must be 0 (low), 1 (medium) or 2 (high).")
        if not isinstance(self.depth_encoding, str | None):
            raise UserError("bad_option", "The depth encoding must be a text such as 'mm' or '5000'.")
        return self


@dataclass(frozen=True)
class Lens:
    """Intrinsics as a file gives them: centre-origin pixels of an image of ``width`` x ``height``."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int = 0  # 0: the size of the image file
    height: int = 0
    # Empty without distortion. By model: "perspective" k1 k2 p1 p2 k3 k4 (radial 1 + k1 r^2 + k2 r^4 + k3 r^6 + ...),
    # "rational" OpenCV's k1 k2 p1 p2 k3 k4 k5 k6, "fisheye" k1 k2 k3 k4 p1 p2 sx1 sy1 (equidistant, thin prism),
    # "fov" omega. The formulas are in lens.py.
    distortion: tuple[float, ...] = ()
    model: str = "perspective"

    def from_corner(self) -> Lens:
        """This lens, where its principal point was counted from the corner of the top left pixel, not its centre."""
        return replace(self, cx=self.cx - 0.5, cy=self.cy - 0.5)


@dataclass(frozen=True)
class Problem:
    """Why frames cannot be used: for one frame, and for many ("12 frames were left out: <many>")."""

    code: str
    one: str
    many: str


NO_POSE = Problem("no_poses", "it has no pose", "they have no pose")
LOST_POSE = Problem("no_poses", "its pose is not finite (tracking was lost)", "their poses are not finite")
BAD_POSE = Problem("no_poses", "its pose is not a rigid motion", "their poses are not rigid motions")
NO_COLOR = Problem("no_images", "its colour image is missing", "their colour images are missing")
NO_DEPTH = Problem("no_depth", "its depth image is missing", "their depth images are missing")
NO_IMAGES = Problem("no_images", "its colour and depth images are missing", "their images are missing")
OUTSIDE = Problem("no_images", "its path leads out of the capture's folder", "their paths lead out of the folder")
BAD_LENS = Problem("no_intrinsics", "its camera intrinsics are not usable", "their camera intrinsics are not usable")


@dataclass(frozen=True)
class Entry:
    """One frame as a reader found it, not checked yet."""

    name: str
    color: Path | None
    depth: Path | None
    pose: np.ndarray | None  # camera (OpenCV axes) to the capture's world
    lens: Lens | None
    depth_lens: Lens | None = None  # None: registered to colour, the same field of view
    timestamp: float | None = None
    problem: Problem | None = None
    confidence: Path | None = None  # image of the depth image's size: 0, 1, 2 or 0, 127, 255
    color_from_depth: np.ndarray | None = None  # (4, 4) between two cameras; None: they share centre and axes
    labels: Path | None = None  # true label ids at the colour image's pixels
    instances: Path | None = None  # true instance ids, likewise


@dataclass
class Recording:
    """What a reader hands over; ``assemble`` makes a Capture of it."""

    format: str
    name: str
    root: Path
    entries: list[Entry]
    encoding: str = "mm"
    up: str | None = None  # signed axis by the format's convention; None: not aligned to gravity
    invalid: tuple[int, ...] = ()  # raw depth values that mean "none", besides 0
    distorted_depth: bool = True  # whether depth shares the colour lens's distortion
    poses_may_be_inverse: bool = False  # the layout exists with world-to-camera matrices too
    kinect_baseline: bool = False  # colour comes from a second camera beside the depth camera (7-Scenes)
    ray_distance: bool = False  # depth is the distance to the camera's centre instead of to its plane
    set_upright: bool = False  # pictures lie as the sensor does, so those of a phone held upright are turned
    classes: dict[int, str] = field(default_factory=dict)  # names of the label ids in the entries' label images
    notes: list[str] = field(default_factory=list)


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key by which img2 comes before img10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d{1,18})", text) if part]


def list_folder(folder: Path) -> list[Path]:
    """The entries of a folder in natural order, hidden ones and links out of the capture left out. Raises UserError."""
    try:
        names = [name for name in os.listdir(folder) if not name.startswith((".", "__MACOSX"))]
    except OSError as error:
        sentence = f"The folder {folder.name} cannot be read: {error.strerror or error}."
        raise UserError("unreadable", sentence, str(folder)) from error
    return [path for name in sorted(names, key=natural_key) if stays_inside(path := folder / name)]


def list_images(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The image files of a folder in natural order."""
    return [path for path in list_folder(folder) if path.suffix.lower() in suffixes]


def child(folder: Path, *names: str) -> Path | None:
    """The first entry of the folder that has one of these names, whatever the case; None without one."""
    try:
        found = {name.lower(): name for name in os.listdir(folder)}
    except OSError:
        return None
    for name in names:
        if name.lower() in found and stays_inside(folder / found[name.lower()]):
            return folder / found[name.lower()]
    return None


def read_text(path: Path) -> str:
    """A text file in UTF-8 (other bytes are replaced). Raises UserError when it is unreadable or over 64 MB."""
    check_inside(path)
    try:
        status = os.stat(path)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise UserError("unreadable", f"The file {path.name} is no plain file; copy the capture again.", str(path))
        if size > MAX_TEXT:
            sentence = f"The file {path.name} has {size >> 20} MB; {MAX_TEXT >> 20} MB is the most for a text file."
            raise UserError("too_large", sentence, str(path))
        with open(path, "rb") as file:
            return file.read(size).decode("utf-8-sig", errors="replace")
    except OSError as error:
        sentence = f"The file {path.name} cannot be read: {error.strerror or error}."
        raise UserError("unreadable", sentence, str(path)) from error


def read_json(path: Path) -> Any:
    """A JSON file; NaN and Infinity become floats that later checks refuse. Raises UserError."""
    text = read_text(path)
    _check_count(text, ",[{", path.name)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        sentence = f"The file {path.name} is not valid JSON; export the capture again."
        raise UserError("bad_json", sentence, f"{path}: {error}") from error


def read_table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a table by its header's names (lower case); what a short row lacks is missing. Raises UserError."""
    text = read_text(path)
    _check_count(text, f"\n\r{delimiter}", path.name)
    try:
        table = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
        header = [name.strip().lower() for name in next(table, [])]
        return [dict(zip(header, words, strict=False)) for words in table]
    except csv.Error as error:
        sentence = f"The file {path.name} is no table of values separated by commas or tabs; copy it again."
        raise UserError("bad_table", sentence, repr(error)) from error


def _check_count(text: str, marks: str, name: str) -> None:
    """Refuse a text that would become far more memory than it has letters. Raises UserError."""
    if sum(text.count(mark) for mark in marks) > MAX_VALUES:
        sentence = f"The file {name} holds more than {MAX_VALUES:,} values, which no capture has; export it again."
        raise UserError("too_large", sentence)


def number(value: Any) -> float | None:
    """A finite number as float; None for everything else (text, booleans, NaN, numbers beyond float)."""
    if type(value) not in (int, float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def listed_numbers(values: Any, count: int) -> list[float] | None:
    """A list of exactly so many finite numbers as floats; None for everything else."""
    if not isinstance(values, list) or len(values) != count:
        return None
    found = [number(value) for value in values]
    return None if None in found else found


def number_in(word: str) -> float | None:
    """The finite number that a word is; None when it is none."""
    try:
        return number(float(word))
    except ValueError:
        return None


def numbers(text: str, where: str) -> list[list[float]]:
    """Rows of numbers, separated by spaces, tabs, commas or semicolons; ``#`` starts a comment.

    Raises:
        UserError: a word is not a number; ``where`` names the file.
    """
    _check_count(text, " \t,;\n\r", where)
    rows = []
    # Old Windows runtimes print infinities as -1.#INF; they mean lost tracking as -inf does.
    for count, line in enumerate(re.sub(r"-?\d*\.#\w+", "nan", text).splitlines(), start=1):
        row = []
        for word in filter(None, re.split(r"[\s,;]+", line.split("#", 1)[0].strip("[](){} \t\r"))):
            try:
                row.append(float(word))
            except ValueError as error:
                sentence = f"The file {where} has '{word[:40]}' in line {count}, where numbers are expected."
                raise UserError("bad_numbers", sentence, str(error)) from error
        if row:
            rows.append(row)
    return rows


def read_matrix(path: Path) -> np.ndarray:
    """A 3x3, 3x4 or 4x4 matrix, float64, written as rows or as one row.

    Raises:
        UserError: the file is unreadable or has another number of values.
    """
    return shaped(numbers(read_text(path), path.name), path.name)


def shaped(rows: list[list[float]], where: str) -> np.ndarray:
    """Rows of numbers as a 3x3, 3x4 or 4x4 matrix. Raises UserError."""
    values = [value for row in rows for value in row]
    shape = {9: (3, 3), 12: (3, 4), 16: (4, 4)}.get(len(values))
    if shape is None:
        sentence = f"The file {where} has {len(values)} numbers; a 3x3 or 4x4 matrix is expected."
        raise UserError("bad_matrix", sentence)
    return np.array(values, dtype=np.float64).reshape(shape)


def lens_from_matrix(matrix: np.ndarray, where: str, width: int = 0, height: int = 0) -> Lens:
    """Intrinsics from a camera matrix, 3x3 or larger. Raises UserError when it is none."""
    fx, fy, cx, cy = (float(matrix[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if not all(map(math.isfinite, (fx, fy, cx, cy))) or fx <= 0 or fy <= 0:
        sentence = f"The file {where} is not a camera matrix: focal lengths must be positive numbers."
        raise UserError("bad_intrinsics", sentence)
    return Lens(fx, fy, cx, cy, width, height)


def checked_pose(matrix: Any) -> tuple[np.ndarray | None, Problem | None]:
    """A camera-to-world matrix made exactly rigid, or the reason why it is none.

    Args:
        matrix: (4, 4) or (3, 4) numbers, or None.

    Returns:
        (4, 4) float64 and None, or None and the problem. A drift of the rotation up to a few per cent (rounded
        text) is repaired by the nearest rotation (SVD).
    """
    if matrix is None:
        return None, NO_POSE
    pose = np.eye(4)
    pose[: len(matrix)] = matrix
    if not np.isfinite(pose).all():
        return None, LOST_POSE
    rotation, last = pose[:3, :3], pose[3]
    if np.abs(pose).max() > 1e8 or np.abs(last - [0, 0, 0, 1]).max() > 1e-3:
        return None, BAD_POSE
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > 0.05 or np.linalg.det(rotation) < 0:
        return None, BAD_POSE
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-9:
        u, _, vt = np.linalg.svd(rotation)
        pose[:3, :3] = u @ vt
    pose[3] = [0, 0, 0, 1]
    return pose, None


def quaternion_matrix(xyzw: np.ndarray) -> np.ndarray | None:
    """(3, 3) rotation of a quaternion in x y z w order; None when it is zero or not finite."""
    length = float(np.linalg.norm(xyzw))
    if not math.isfinite(length) or length < 1e-6:
        return None
    x, y, z, w = xyzw / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
