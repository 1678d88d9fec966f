"""Hypersim: ``_detail/cam_00/*.hdf5`` and ``images/scene_cam_00_*`` of one scene.

Source: README of ``apple/ml-hypersim``. Poses are camera-to-world with OpenGL axes, positions in asset units (metres by
``_detail/metadata_scene.csv``), the world is Z-up. ``depth_meters`` is the distance to the camera's centre. The view is
60 degrees wide with square pixels; scenes with a tilt-shift lens break that and are told by cross-view consistency.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from backend.captures import arrays, folders
from backend.captures.arrays import NotAnArray
from backend.captures.common import (
    OPENGL_TO_OPENCV,
    Entry,
    Lens,
    Recording,
    child,
    list_folder,
    number_in,
    read_table,
)
from backend.captures.images import BROKEN
from backend.captures.links import check_inside
from backend.errors import UserError

FORMAT = "Hypersim"
FRAME = re.compile(r"frame\.(\d{4,9})\.(\w+)\.(hdf5|jpe?g|png)", re.IGNORECASE)
HALF_VIEW = math.radians(30)


def find(folder: Path) -> Path | None:
    """The folder itself when it has ``_detail`` with cameras beside ``images``."""
    detail = folders.folder(folder, "_detail")
    cameras = [path for path in list_folder(detail) if path.name.startswith("cam_")] if detail else []
    return folder if cameras and folders.folder(folder, "images") else None


def read(root: Path) -> Recording:
    """Read all cameras of a scene. Raises UserError when pictures, depth or camera files are missing or damaged."""
    detail, images = folders.folder(root, "_detail"), folders.folder(root, "images")
    scale = _metres_per_unit(detail)
    entries: list[Entry] = []
    for camera in (path for path in list_folder(detail) if path.name.startswith("cam_") and path.is_dir()):
        entries += _camera(camera, images, scale)
    if not entries:
        sentence = f"The capture {root.name} has no final_preview pictures beside its geometry; download those too."
        raise UserError("no_images", sentence)
    return Recording(FORMAT, root.name, root, entries, encoding="m", up="+z", ray_distance=True)


def _camera(folder: Path, images: Path, scale: float) -> list[Entry]:
    positions, rotations, numbers = (
        _values(folder / f"camera_keyframe_{name}.hdf5", shape)
        for name, shape in (("positions", (-1, 3)), ("orientations", (-1, 3, 3)), ("frame_indices", (-1,)))
    )
    if not len(positions) == len(rotations) == len(numbers):
        raise UserError("counts_differ", f"The camera files in {folder.name} differ in their number of frames.")
    colors = _files(images, f"scene_{folder.name}_final_preview", "tonemap") or _files(
        images, f"scene_{folder.name}_final_preview", "color"
    )
    geometry = f"scene_{folder.name}_geometry_hdf5"
    depths, labels, instances = (_files(images, geometry, n) for n in ("depth_meters", "semantic", "semantic_instance"))
    entries = []
    for position, rotation, value in zip(positions, rotations, numbers, strict=True):
        index = int(value) if np.isfinite(value) else -1
        if index not in colors:
            continue
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, position * scale
        entries.append(
            Entry(
                f"{folder.name}_{index:04d}",
                colors[index],
                depths.get(index),
                pose @ OPENGL_TO_OPENCV,
                _LENS,
                labels=labels.get(index),
                instances=instances.get(index),
            )
        )
    return entries


_LENS = Lens(512 / math.tan(HALF_VIEW), 512 / math.tan(HALF_VIEW), 511.5, 383.5, 1024, 768)


def _files(images: Path, name: str, kind: str) -> dict[int, Path]:
    found = folders.folder(images, name)
    matches = ((FRAME.fullmatch(path.name), path) for path in (list_folder(found) if found else []))
    return {int(match[1]): path for match, path in matches if match and match[2].lower() == kind}


def _values(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    check_inside(path)
    try:
        return arrays.load(path).astype(np.float64).reshape(shape)
    except (NotAnArray, *BROKEN) as error:
        sentence = f"The file {path.name} is missing or damaged; download it again."
        raise UserError("bad_camera", sentence, repr(error)) from error


def _metres_per_unit(detail: Path) -> float:
    path = child(detail, "metadata_scene.csv")
    for row in read_table(path) if path else []:
        if row.get("parameter_name", "").strip() == "meters_per_asset_unit":
            value = number_in(row.get("parameter_value", ""))
            if value is not None and value > 0:
                return value
    sentence = "The scene has no meters_per_asset_unit in _detail/metadata_scene.csv; download that file too."
    raise UserError("no_scale", sentence)
