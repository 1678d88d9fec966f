"""Record3D: ``.r3d`` (a zip with ``metadata`` and ``rgbd/``) and the EXR + JPG export (``metadata.json``, ``rgb/``).

Sources: answers of the author in ``marek-simonik/record3d`` (issues 7, 33, 36, 67, 81, 83, 93, 108); nerfstudio's
``record3d_utils.py``. Poses are camera-to-world with OpenGL axes for the picture as stored, quaternions x y z w; K is
column-major and belongs to the colour picture; depth is float32 metres, LZFSE-packed in ``.r3d``; confidence is 0 to 2.
``initPose`` turns the recording's start into a world with Y up.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from backend.captures import archive, folders
from backend.captures.arrays import library
from backend.captures.common import (
    BAD_LENS,
    NO_POSE,
    OPENGL_TO_OPENCV,
    Entry,
    Lens,
    Recording,
    child,
    list_folder,
    listed_numbers,
    number,
    quaternion_matrix,
    read_json,
)
from backend.captures.scratch import CONTENTS, Scratch
from backend.errors import UserError

FORMAT = "Record3D"
MAX_SIDE = 8192
RAW_BLOCK, END_BLOCK = b"bvx-", b"bvx$"
PORTRAIT = {192 * 256: (192, 256), 640 * 480: (480, 640)}  # number of values: width and height of an upright picture


def opens(path: Path) -> bool:
    """Whether a file is an ``.r3d`` recording: an archive with ``metadata`` and ``rgbd``."""
    if not archive.is_archive(path):
        return False
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError):
        return False
    return any(name.rpartition("/")[2] == "metadata" for name in names) and any("rgbd/" in name for name in names)


def find(folder: Path) -> Path | None:
    """The folder itself when it is an unpacked recording or an EXR export."""
    if child(folder, "metadata") and folders.folder(folder, "rgbd"):
        return folder
    metadata = child(folder, "metadata.json")
    if metadata is None or not (folders.folder(folder, "rgb") or folders.folder(folder, "depth")):
        return None
    try:
        data = read_json(metadata)
    except UserError:
        return None
    return folder if isinstance(data, dict) and "poses" in data and "K" in data else None


def read(source: Path, scratch: Scratch) -> Recording:
    """Read a recording. Raises UserError when it is damaged, lacks poses, or pyliblzfse is needed and missing."""
    name = source.stem
    if source.is_file():
        source = archive.unpacked(source, scratch)
        inner = [path for path in list_folder(source) if path.name != CONTENTS]
        if child(source, "metadata") is None and len(inner) == 1:
            source = inner[0]
    metadata = child(source, "metadata", "metadata.json")
    data = read_json(metadata)
    if not isinstance(data, dict):
        raise UserError("bad_json", f"The {metadata.name} of {name} is not an object; export the recording again.")
    poses = _poses(data)
    if not poses:
        raise UserError("no_poses", f"The recording {name} has no camera poses; record it with the LiDAR sensor.")
    packed = folders.folder(source, "rgbd")
    if packed is not None:
        colors, depths, confidences = _unpacked(packed, metadata, data, scratch)
    else:
        colors = folders.numbered(folders.folder(source, "rgb"), (".jpg", ".jpeg", ".png"))
        depths = folders.numbered(folders.folder(source, "depth"), folders.DEPTH_SUFFIXES)
        confidences = folders.numbered(folders.folder(source, "confidence", "conf"), folders.DEPTH_SUFFIXES)
    entries = []
    for index, color in sorted(colors.items()):
        pose = poses[index] if index < len(poses) else None
        lens = _lens(data, index)
        problem = NO_POSE if pose is None else BAD_LENS if lens is None else None
        entries.append(
            Entry(
                f"{index:06d}",
                color,
                depths.get(index),
                pose,
                lens,
                timestamp=_time(data, index),
                problem=problem,
                confidence=confidences.get(index),
            )
        )
    return Recording(FORMAT, name, source, entries, encoding="m", up="+y", set_upright=True)


def _poses(data: dict[str, Any]) -> list[np.ndarray | None]:
    """Camera-to-world with OpenCV axes, Y up where the recording says how it started."""
    listed = data.get("poses")
    if not isinstance(listed, list):
        return []
    start = _pose(data.get("initPose"))
    start = np.eye(4) if start is None else start
    poses = [_pose(one) for one in listed]
    return [None if pose is None else start @ pose @ OPENGL_TO_OPENCV for pose in poses]


def _pose(values: Any) -> np.ndarray | None:
    """(4, 4) from qx qy qz qw px py pz."""
    found = listed_numbers(values, 7)
    rotation = None if found is None else quaternion_matrix(np.array(found[:4]))
    if rotation is None:
        return None
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, found[4:]
    return pose


def _lens(data: dict[str, Any], index: int) -> Lens | None:
    """The lens of one frame; K is that of the first."""
    own, size = data.get("perFrameIntrinsicCoeffs"), (data.get("w"), data.get("h"))
    values = own[index] if isinstance(own, list) and index < len(own) else None
    if not isinstance(values, list) or len(values) != 4:
        matrix = data.get("K")
        values = [matrix[i] for i in (0, 4, 6, 7)] if isinstance(matrix, list) and len(matrix) == 9 else [None]
    found = [number(value) for value in values]
    if None in found or min(found) <= 0:
        return None
    width, height = (int(side) if number(side) and 1 <= side <= MAX_SIDE else 0 for side in size)
    fx, fy, cx, cy = found
    return Lens(fx, fy, cx, cy, width if height else 0, height if width else 0).from_corner()


def _time(data: dict[str, Any], index: int) -> float | None:
    times = data.get("frameTimestamps")
    return number(times[index]) if isinstance(times, list) and index < len(times) else None


def _unpacked(
    folder: Path, metadata: Path, data: dict[str, Any], scratch: Scratch
) -> tuple[dict[int, Path], dict[int, Path], dict[int, Path]]:
    """Colour, depth and confidence files by frame, depth and confidence unpacked into the cache."""
    colors = folders.numbered(folder, (".jpg", ".jpeg", ".png"))
    depths, confidences = (folders.numbered(folder, (suffix,)) for suffix in (".depth", ".conf"))

    def fill(made: Path) -> None:
        for done, (index, path) in enumerate(depths.items()):
            scratch.progress(done / len(depths), "Unpacking depth")
            _write(made / f"{index:06d}.depth.npy", path, np.dtype("<f4"), data)
            if index in confidences:
                _write(made / f"{index:06d}.conf.npy", confidences[index], np.dtype("u1"), data)

    made = scratch.folder(metadata, "record3d", fill)
    found = {path.name: path for path in made.iterdir()}
    return (
        colors,
        {i: found[name] for i in depths if (name := f"{i:06d}.depth.npy") in found},
        {i: found[name] for i in confidences if (name := f"{i:06d}.conf.npy") in found},
    )


def _write(target: Path, path: Path, kind: np.dtype, data: dict[str, Any]) -> None:
    """Unpack one file; one that is damaged is left out and told as a missing image."""
    limit = MAX_SIDE * MAX_SIDE * kind.itemsize // 8
    if not path.is_file() or path.stat().st_size > limit:
        return
    raw = path.read_bytes()
    values = len(raw) // kind.itemsize
    size = _size(data, values)
    if size is None or len(raw) != size[0] * size[1] * kind.itemsize:
        raw = decompressed(raw)
        size = _size(data, len(raw) // kind.itemsize)
    if size is None or len(raw) != size[0] * size[1] * kind.itemsize:
        return
    image = np.frombuffer(raw, kind).reshape(size[1], size[0])
    np.save(target, np.nan_to_num(image, posinf=0.0, neginf=0.0) if kind.kind == "f" else image)


def decompressed(packed: bytes) -> bytes:
    """The content of an LZFSE stream; empty when it is damaged. Raises UserError when the package is missing."""
    if (
        packed[:4] == RAW_BLOCK
        and packed[-4:] == END_BLOCK
        and len(packed) - 12 == int.from_bytes(packed[4:8], "little")
    ):
        return packed[8:-4]
    lzfse = library("liblzfse", "pyliblzfse", "Record3D depth")
    try:
        return lzfse.decompress(packed)
    except (lzfse.error, ValueError, MemoryError):
        return b""


def _size(data: dict[str, Any], values: int) -> tuple[int, int] | None:
    """Width and height of a depth image of so many values."""
    width, height = data.get("dw"), data.get("dh")
    if type(width) is int and type(height) is int and width * height == values:
        return width, height
    wide = (number(data.get("w")) or 0) > (number(data.get("h")) or 0)
    if values in PORTRAIT:
        return PORTRAIT[values][::-1] if wide else PORTRAIT[values]
    width, height = data.get("w"), data.get("h")
    same = type(width) is int and type(height) is int and width * height == values
    return (width, height) if same else None
