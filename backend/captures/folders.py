"""Layouts in which colour, depth and poses lie in folders beside each other."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from backend.captures.common import child, list_folder, list_images, numbers, read_matrix, read_text, shaped
from backend.captures.images import SUFFIXES, BrokenImage, read_header
from backend.errors import UserError

COLOR_NAMES = ("color", "colour", "rgb", "images", "image")
DEPTH_NAMES = ("depth", "depths", "depth_images")
POSE_NAMES = ("pose", "poses")
DEPTH_SUFFIXES = (*SUFFIXES, ".npy", ".exr", ".hdf5", ".h5")


def folder(root: Path, *names: str) -> Path | None:
    """The first sub-folder with one of these names that is a folder."""
    for name in names:
        found = child(root, name)
        if found is not None and found.is_dir():
            return found
    return None


def color_images(root: Path) -> list[Path]:
    """Colour images in natural order. Raises UserError when there are none."""
    found = folder(root, *COLOR_NAMES)
    images = list_images(found) if found else []
    if not images:
        raise UserError(
            "no_images", f"The capture {root.name} has no colour images in a folder called color, rgb or images."
        )
    return images


def depth_images(root: Path) -> list[Path]:
    """Depth images in natural order. Raises UserError when there are none."""
    found = folder(root, *DEPTH_NAMES)
    images = list_images(found, DEPTH_SUFFIXES) if found else []
    if not images:
        sentence = (
            f"The capture {root.name} has no depth images; Clickfield needs an RGB-D capture with a depth folder."
        )
        raise UserError("no_depth", sentence)
    return images


def numbered(found: Path | None, suffixes: tuple[str, ...] = DEPTH_SUFFIXES) -> dict[int, Path]:
    """The files of a folder that are called by a number and nothing else, by that number; empty without a folder."""
    files = list_images(found, suffixes) if found else []
    return {int(path.stem): path for path in files if path.stem.isdecimal() and len(path.stem) < 18}


def match(images: list[Path], others: list[Path], what: str) -> list[Path | None]:
    """For each image the other file that belongs to it.

    Names decide: equal stems, else equal last or first numbers in them; where names say nothing and the counts are
    equal, the order does.

    Raises:
        UserError: names say nothing and the counts differ.
    """
    best: list[Path | None] = []
    for key in (_stem, _last_number, _first_number):
        known = {key(path): path for path in reversed(others) if key(path) is not None}
        found = [known.get(key(path)) for path in images]
        # A key that sends several images to one file tells nothing.
        distinct = len({path for path in found if path is not None})
        if distinct > sum(path is not None for path in best) and distinct == sum(path is not None for path in found):
            best = found
    if sum(path is not None for path in best) * 2 >= min(len(images), len(others)):
        return best
    if len(images) != len(others):
        sentence = (
            f"There are {len(images)} colour images but {len(others)} {what}, and their names do not tell which "
            "belong together; give them the same numbers."
        )
        raise UserError("counts_differ", sentence)
    return list(others)


def truth_images(root: Path, images: list[Path], *names: str) -> list[Path | None]:
    """For each colour image its map of true ids in a sub-folder of one of these names; None where there is none."""
    found = folder(root, *names)
    files = [path for path in list_images(found) if not path.name.startswith("vis_")] if found else []
    return match(images, files, "label maps") if files else [None] * len(images)


def _stem(path: Path) -> str:
    return path.stem


def _last_number(path: Path) -> int | None:
    found = re.findall(r"\d{1,18}", path.stem)
    return int(found[-1]) if found else None


def _first_number(path: Path) -> int | None:
    found = re.findall(r"\d{1,18}", path.stem)
    return int(found[0]) if found else None


def pose_folder(found: Path, images: list[Path]) -> list[np.ndarray | None]:
    """A matrix per image from a folder of text files; NaN where a file is no pose, None where there is no file."""
    files = [path for path in list_folder(found) if path.suffix.lower() == ".txt"]
    if not files:
        raise UserError(
            "no_poses", f"The folder {found.name} has no pose files; Clickfield needs a pose for every frame."
        )
    return [None if path is None else read_pose(path) for path in match(images, files, "poses")]


def read_pose(path: Path) -> np.ndarray:
    """(4, 4) from a pose file; NaN when it does not hold 12 or 16 numbers, so that its frame is left out."""
    try:
        matrix = read_matrix(path)
    except UserError:
        return np.full((4, 4), math.nan)
    return square(matrix) if matrix.shape[1] == 4 else np.full((4, 4), math.nan)


def square(matrix: np.ndarray) -> np.ndarray:
    """A (3, 4) or (4, 4) matrix with its last row."""
    return matrix if len(matrix) == 4 else np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]])


def pose_list(path: Path, count: int) -> list[np.ndarray]:
    """Poses of one text file, a 4x4 or 3x4 matrix per line or spread over 4 lines, in the order of the images.

    Raises:
        UserError: the file holds something else, or not one pose per image.
    """
    rows = numbers(read_text(path), path.name)
    if rows and all(len(row) == 4 for row in rows) and len(rows) % 4 == 0:
        poses = [np.array(rows[i : i + 4]) for i in range(0, len(rows), 4)]
    else:
        poses = [square(shaped([row], path.name)) for row in rows if len(row) != 9]
    if len(poses) != count:
        sentence = f"The file {path.name} has {len(poses)} poses for {count} colour images; each image needs one."
        raise UserError("counts_differ", sentence)
    return poses


def image_size(images: list[Path]) -> tuple[int, int] | None:
    """Width and height of the first image that can be read."""
    for path in images[:20]:
        try:
            header = read_header(path)
        except BrokenImage:
            continue
        return header.width, header.height
    return None


def inverted(poses: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """World-to-camera matrices as camera-to-world; unusable ones stay as they are for the later check."""
    return [_inverse(pose) for pose in poses]


def _inverse(pose: np.ndarray | None) -> np.ndarray | None:
    if pose is None or not np.isfinite(pose).all() or abs(np.linalg.det(pose)) < 1e-6:
        return pose
    return np.linalg.inv(pose)
