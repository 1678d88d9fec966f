"""nerfstudio and instant-ngp ``transforms.json``.

Sources: nerfstudio's ``docs/quickstart/data_conventions.md`` and ``nerfstudio_dataparser.py``; instant-ngp's
``docs/nerf_dataset_tips.md`` and ``src/nerf_loader.cu``. Poses are camera-to-world with OpenGL axes, pixels are
corner-origin (the centre of the top left one is (0.5, 0.5)), the world is Z-up.
"""

from __future__ import annotations

import math
import ntpath
import posixpath
from pathlib import Path
from typing import Any

import numpy as np

from backend.captures.common import (
    BAD_LENS,
    NO_COLOR,
    NO_DEPTH,
    OPENGL_TO_OPENCV,
    OUTSIDE,
    Entry,
    Lens,
    Problem,
    Recording,
    child,
    list_folder,
    natural_key,
    number,
    read_json,
)
from backend.captures.images import BrokenImage, read_header
from backend.captures.links import stays_inside
from backend.errors import UserError

FORMAT = "nerfstudio transforms.json"
# nerfstudio's names and COLMAP's, which other exporters write, to the models of Lens.
MODELS = {
    "SIMPLE_PINHOLE": "perspective",
    "PINHOLE": "perspective",
    "SIMPLE_RADIAL": "perspective",
    "RADIAL": "perspective",
    "OPENCV": "perspective",
    "FULL_OPENCV": "rational",
    "OPENCV_FISHEYE": "fisheye",
    "SIMPLE_RADIAL_FISHEYE": "fisheye",
    "RADIAL_FISHEYE": "fisheye",
    "THIN_PRISM_FISHEYE": "fisheye",
}
COEFFICIENTS = {
    "perspective": ("k1", "k2", "p1", "p2", "k3", "k4"),
    "rational": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "fisheye": ("k1", "k2", "k3", "k4", "p1", "p2", "sx1", "sy1"),
}
PANORAMAS = ("latlong", "equirectangular", "orthographic")
MAX_FRAMES = 1_000_000


def find(folder: Path) -> Path | None:
    """The JSON file of a folder in this format: ``transforms.json``, or another one with frames and poses."""
    usual = child(folder, "transforms.json", "transforms_train.json")
    if usual is not None and usual.is_file():
        return usual
    candidates = [path for path in list_folder(folder) if path.suffix.lower() == ".json" and path.is_file()]
    return next((path for path in candidates[:20] if is_transforms(path)), None)


def is_transforms(path: Path) -> bool:
    """Whether a file is JSON that lists frames with transform matrices."""
    if path.suffix.lower() != ".json":
        return False
    try:
        data = read_json(path)
    except UserError:
        return False
    frames = data.get("frames") if isinstance(data, dict) else None
    return isinstance(frames, list) and any(isinstance(f, dict) and "transform_matrix" in f for f in frames)


def read(path: Path) -> Recording:
    """Read a transforms file.

    Raises:
        UserError: not JSON, no frames, a camera model other than perspective, no intrinsics.
    """
    data = read_json(path)
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, list) or not frames or len(frames) > MAX_FRAMES:
        raise UserError("no_frames", f"The file {path.name} has no list of frames; export the capture again.")
    model = _model(data, path.name)
    root = path.parent
    entries = [_entry(frame, data, root, index, model) for index, frame in enumerate(frames)]
    if all(entry.problem is BAD_LENS for entry in entries):
        sentence = (
            f"The file {path.name} gives no usable camera intrinsics; it needs fl_x (or camera_angle_x) as a positive "
            "number, at the top or for every frame."
        )
        raise UserError("no_intrinsics", sentence)
    entries.sort(key=lambda entry: natural_key(str(entry.color or entry.name)))
    return Recording(FORMAT, root.name, root, entries, encoding=_encoding(data, path.name), up="+z")


def _model(data: dict[str, Any], name: str) -> str:
    """The lens model of all frames. Raises UserError for pictures that no pinhole can replace."""
    model = data.get("camera_model", "OPENCV_FISHEYE" if data.get("is_fisheye") else "PINHOLE")
    flagged = next((flag for flag in PANORAMAS if data.get(flag)), None)
    if "ftheta_p0" in data:
        flagged = "ftheta"
    if flagged or not isinstance(model, str) or model.upper() not in MODELS:
        sentence = f"The camera model {flagged or model} in {name} is not supported; render the images as a pinhole's."
        raise UserError("bad_camera_model", sentence[:300])
    return MODELS[model.upper()]


def _encoding(data: dict[str, Any], name: str) -> str:
    for key in ("integer_depth_scale", "depth_unit_scale_factor"):
        if key in data:
            scale = number(data[key])
            if scale is None or scale < 0:
                raise UserError("bad_depth_encoding", f"The value of {key} in {name} is not a positive number.")
            if scale > 0:
                return f"scale:{scale!r}"
    return "mm"


def _entry(frame: Any, data: dict[str, Any], root: Path, index: int, model: str) -> Entry:
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        problem = Problem("no_images", "it names no image file", "they name no image files")
        return Entry(f"frame-{index:06d}", None, None, None, None, problem=problem)
    color, problem = inside(root, frame["file_path"])
    name = color.stem if color else f"frame-{index:06d}"
    if problem:
        return Entry(name, None, None, None, None, problem=problem)
    depth_text = frame.get("depth_file_path", frame.get("depth_path"))
    if not isinstance(depth_text, str):
        return Entry(name, color, None, None, None, problem=NO_DEPTH)
    depth, problem = inside(root, depth_text)
    lens = _lens(frame, data, color, model)
    pose = _pose(frame.get("transform_matrix"))
    return Entry(name, color, depth, pose, lens, problem=problem or (None if lens else BAD_LENS))


def inside(root: Path, text: str) -> tuple[Path | None, Problem | None]:
    """The file that a path in a capture names, or the problem when it would lead out of the capture's folder.

    Back-slashes count as separators; a path without a suffix (NeRF synthetic) finds its .png or .jpg.
    """
    plain = text.replace("\\", "/")
    if not plain.strip("/. ") or "\0" in plain or len(plain) > 4096:
        return None, NO_COLOR
    if ntpath.splitdrive(plain)[0] or posixpath.isabs(plain):
        normal = Path(posixpath.normpath(plain))
        path = normal if normal.is_relative_to(root) else None
    else:
        normal = posixpath.normpath(plain)
        path = None if normal.startswith("..") else root / normal
    if path is None:
        return None, OUTSIDE
    if not path.suffix:
        found = (path.with_name(path.name + suffix) for suffix in (".png", ".jpg", ".jpeg", ".PNG", ".JPG"))
        path = next((candidate for candidate in found if _is_file(candidate)), path)
    return (path, None) if stays_inside(path) else (None, OUTSIDE)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _pose(matrix: Any) -> np.ndarray | None:
    """(4, 4) with OpenCV axes; values that are no numbers become NaN, None when it is not a matrix."""
    rows = matrix if isinstance(matrix, list) else []
    if len(rows) not in (3, 4) or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        return None
    pose = np.eye(4)
    for i, row in enumerate(rows):
        values = [number(value) for value in row]
        pose[i] = [math.nan if value is None else value for value in values]
    return pose @ OPENGL_TO_OPENCV


def _lens(frame: dict[str, Any], data: dict[str, Any], color: Path, model: str) -> Lens | None:
    """Intrinsics of one frame, the frame's own values first; None when they are missing or make no sense."""

    def value(key: str) -> float | None:
        return number(frame[key] if key in frame else data.get(key))

    if any(key in source and number(source[key]) is None for source in (frame, data) for key in ("w", "h", "cx", "cy")):
        return None
    width, height = value("w"), value("h")
    if not width or not height:
        try:
            header = read_header(color)
        except BrokenImage:
            # Left out later with the reason that the image itself gives.
            return Lens(1.0, 1.0, 0.0, 0.0)
        width, height = float(header.width), float(header.height)
    fx = value("fl_x") or _focal(value("camera_angle_x"), value("x_fov"), width)
    fy = value("fl_y") or _focal(value("camera_angle_y"), value("y_fov"), height)
    fx, fy = fx or fy, fy or fx
    cx, cy = value("cx"), value("cy")
    if not fx or not (fx > 0 and fy > 0 and 1 <= width <= 1e6 and 1 <= height <= 1e6):
        return None
    distortion = _distortion(frame, data, model)
    if distortion is None:
        return None
    cx, cy = width / 2 if cx is None else cx, height / 2 if cy is None else cy
    return Lens(fx, fy, cx, cy, round(width), round(height), distortion, model).from_corner()


def _focal(radians: float | None, degrees: float | None, size: float) -> float | None:
    angle = radians if radians is not None else math.radians(degrees) if degrees is not None else 0.0
    return 0.5 * size / math.tan(angle / 2) if 0 < angle < math.pi else None


def _distortion(frame: dict[str, Any], data: dict[str, Any], model: str) -> tuple[float, ...] | None:
    """The coefficients of Lens; empty for a pinhole, None when a value is not a number."""
    order = ("k1", "k2", "k3", "k4", "p1", "p2")
    listed = frame.get("distortion_params", data.get("distortion_params"))
    if isinstance(listed, list):
        values = dict(zip(order, listed, strict=False))
    else:
        values = {key: frame.get(key, data.get(key, 0.0)) for key in COEFFICIENTS[model]}
    found = [number(values.get(key, 0.0)) for key in COEFFICIENTS[model]]
    if any(value is None for value in found):
        return None
    # Even without coefficients a fisheye is no pinhole.
    return tuple(found) if any(found) or model == "fisheye" else ()
