"""COLMAP models with depth maps: ``cameras`` and ``images`` (``.bin`` or ``.txt``), ``stereo/depth_maps``.

Sources: ``doc/format.rst``, ``scripts/python/read_write_model.py`` and ``read_write_dense.py`` of ``colmap/colmap``.
Poses are world-to-camera with OpenCV axes and quaternions w x y z, pixels are corner-origin; scale and up are those of
the model, which is not metric by itself. Depth maps are z-depth in the model's unit, 0 or less where there is none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from backend.captures import folders
from backend.captures.binary import CutOff, exactly
from backend.captures.common import (
    BAD_LENS,
    NO_DEPTH,
    Entry,
    Lens,
    Recording,
    child,
    list_images,
    quaternion_matrix,
    read_text,
)
from backend.captures.folders import DEPTH_SUFFIXES
from backend.captures.transforms import inside
from backend.errors import UserError

FORMAT = "COLMAP model with depth maps"
PLACES = ("", "sparse", "sparse/0", "colmap/sparse/0", "dense/sparse", "dense/0/sparse")
MAX_CAMERAS = 1_000_000
MAX_NAME = 4096
# Name and number of parameters by id; later models have layouts that are not verified here.
MODELS = (
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
)
SINGLE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")


@dataclass(frozen=True)
class _Image:
    name: str
    camera: int
    pose: np.ndarray | None  # camera-to-world


def find(folder: Path) -> Path | None:
    """The folder itself when a model lies in it or where COLMAP puts it."""
    return folder if _model(folder) else None


def _model(folder: Path) -> tuple[Path, Path] | None:
    """The files of cameras and images; binary ones are preferred, as COLMAP does."""
    for place in PLACES:
        root = folder
        for part in filter(None, place.split("/")):
            root = folders.folder(root, part) if root else None
        if root is None:
            continue
        for suffix in ("bin", "txt"):
            pair = child(root, f"cameras.{suffix}"), child(root, f"images.{suffix}")
            if all(found is not None and found.is_file() for found in pair):
                return pair
    return None


def read(root: Path) -> Recording:
    """Read a model. Raises UserError when it is damaged, or has no pictures or no depth maps beside it."""
    cameras_file, images_file = _model(root)
    binary = cameras_file.suffix.lower() == ".bin"
    try:
        cameras = _binary_cameras(cameras_file) if binary else _text_cameras(cameras_file)
        images = _binary_images(images_file) if binary else _text_images(images_file)
    except (CutOff, struct.error, OSError, ValueError, IndexError) as error:
        sentence = f"The COLMAP model of {root.name} is damaged or cut off; export it again, as text if it is new."
        raise UserError("bad_model", sentence, repr(error)) from error
    if not images:
        raise UserError("no_frames", f"The COLMAP model of {root.name} has no registered images.")
    pictures = folders.folder(root, "images", "rgb", "color") or root
    maps = _depth_maps(root, images)
    if not maps:
        sentence = f"The COLMAP model of {root.name} has no depth maps; run its dense stereo, or add a depth folder."
        raise UserError("no_depth", sentence)
    entries = []
    for image in sorted(images, key=lambda image: image.name):
        color, problem = inside(pictures, image.name)
        lens = cameras.get(image.camera)
        depth = maps.get(image.name)
        problem = problem or (None if lens else BAD_LENS) or (None if depth else NO_DEPTH)
        name = Path(image.name.replace("\\", "/")).with_suffix("").as_posix().replace("/", "_")
        entries.append(Entry(name, color, depth, image.pose, lens, problem=problem))
    own = any(depth.suffix == ".bin" for depth in maps.values())
    note = "COLMAP has no unit of length: sizes are in the model's own unit, not in metres, unless it was scaled."
    return Recording(FORMAT, root.name, root, entries, encoding="m" if own else "mm", notes=[note])


def _depth_maps(root: Path, images: list[_Image]) -> dict[str, Path]:
    """The depth map of each image: COLMAP's geometric one, else its photometric one, else a file of the same stem."""
    found: dict[str, Path] = {}
    for place in (root, folders.folder(root, "dense")):
        stereo = folders.folder(place, "stereo") if place else None
        maps = folders.folder(stereo, "depth_maps") if stereo else None
        for image in images if maps else []:
            for kind in ("geometric", "photometric"):
                path, problem = inside(maps, f"{image.name}.{kind}.bin")
                if problem is None and path.is_file():
                    found.setdefault(image.name, path)
    if found:
        return found
    given = folders.folder(root, *folders.DEPTH_NAMES)
    stems = {path.stem: path for path in (list_images(given, DEPTH_SUFFIXES) if given else [])}
    matches = {image.name: stems.get(Path(image.name.replace("\\", "/")).stem) for image in images}
    return {name: path for name, path in matches.items() if path}


def lens_of(model: str, width: int, height: int, params: list[float]) -> Lens | None:
    """The lens of a COLMAP camera, None for values that make no sense.

    Args:
        model: a name of MODELS.
        params: in COLMAP's order.
    """
    if not np.isfinite(params).all() or not (1 <= width <= 1e6 and 1 <= height <= 1e6):
        return None
    if model in SINGLE_FOCAL:
        focal, cx, cy, *more = params
        fx = fy = focal
    else:
        fx, fy, cx, cy, *more = params
    if min(fx, fy) <= 0:
        return None
    lens = Lens(fx, fy, cx, cy, width, height).from_corner()
    if model in ("SIMPLE_RADIAL", "RADIAL"):
        return replace(lens, distortion=_unless_zero((*more, *[0.0] * 5)[:6]))
    if model == "OPENCV":
        return replace(lens, distortion=_unless_zero((*more, 0.0, 0.0)))
    if model == "FULL_OPENCV":
        return replace(lens, distortion=_unless_zero(tuple(more)), model="rational")
    if model == "FOV":
        return replace(lens, distortion=(more[0],) if abs(more[0]) > 1e-9 else (), model="fov")
    if model == "THIN_PRISM_FISHEYE":
        k1, k2, p1, p2, k3, k4, sx1, sy1 = more
        return replace(lens, distortion=(k1, k2, k3, k4, p1, p2, sx1, sy1), model="fisheye")
    if model.endswith("FISHEYE"):
        # Even without coefficients a fisheye is no pinhole.
        return replace(lens, distortion=(*more, *[0.0] * 8)[:8], model="fisheye")
    return lens


def _unless_zero(values: tuple[float, ...]) -> tuple[float, ...]:
    return values if any(values) else ()


def _binary_cameras(path: Path) -> dict[int, Lens | None]:
    cameras = {}
    with open(path, "rb") as stream:
        for _ in range(_count(stream)):
            uid, model, width, height = struct.unpack("<iiQQ", exactly(stream, 24))
            if not 0 <= model < len(MODELS):
                raise CutOff(f"camera model {model}")
            name, count = MODELS[model]
            params = list(struct.unpack(f"<{count}d", exactly(stream, 8 * count)))
            cameras[uid] = lens_of(name, width, height, params)
    return cameras


def _binary_images(path: Path) -> list[_Image]:
    size = path.stat().st_size
    images = []
    with open(path, "rb") as stream:
        for _ in range(_count(stream)):
            _, *values, camera = struct.unpack("<i7di", exactly(stream, 64))
            name = b"".join(_until_zero(stream)).decode("utf-8", errors="replace")
            (points,) = struct.unpack("<Q", exactly(stream, 8))
            if points * 24 > size:
                raise CutOff(f"{points} points")
            stream.seek(points * 24, 1)
            images.append(_Image(name, camera, _pose(values[:4], values[4:])))
    return images


def _until_zero(stream: BinaryIO) -> Iterator[bytes]:
    for _ in range(MAX_NAME):
        byte = exactly(stream, 1)
        if byte == b"\0":
            return
        yield byte
    raise CutOff("a name without end")


def _count(stream: BinaryIO) -> int:
    (count,) = struct.unpack("<Q", exactly(stream, 8))
    if count > MAX_CAMERAS:
        raise CutOff(f"{count} entries")
    return count


def _text_cameras(path: Path) -> dict[int, Lens | None]:
    cameras = {}
    for line in read_text(path).splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        counts = dict(MODELS)
        if words[1] not in counts:
            sentence = f"The camera model {words[1][:40]} of the COLMAP model is not known; undistort its images first."
            raise UserError("bad_camera_model", sentence)
        if len(words) != 4 + counts[words[1]]:
            raise ValueError(line[:80])
        cameras[int(words[0])] = lens_of(words[1], int(words[2]), int(words[3]), [float(word) for word in words[4:]])
    return cameras


def _text_images(path: Path) -> list[_Image]:
    # Two lines per image; the second may be empty, so blank lines count.
    lines = [line for line in read_text(path).splitlines() if not line.lstrip().startswith("#")]
    images = []
    for line in lines[::2]:
        if not line.strip():
            break
        words = line.split(maxsplit=9)
        values = [float(word) for word in words[1:8]]
        images.append(_Image(words[9].strip(), int(words[8]), _pose(values[:4], values[4:])))
    return images


def _pose(wxyz: list[float], translation: list[float]) -> np.ndarray | None:
    rotation = quaternion_matrix(np.array([*wxyz[1:], wxyz[0]]))
    if rotation is None or not np.isfinite(translation).all():
        return None
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.T, -rotation.T @ translation
    return pose
