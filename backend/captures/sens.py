"""ScanNet's ``.sens`` container, version 3 and 4 (BundleFusion records the same).

Source: ScanNet's ``SensReader/c++/src/sensorData.h``. Little-endian; poses are camera-to-world with OpenCV axes, -inf
where tracking was lost; depth is zlib-packed uint16 with its own intrinsics; the world is Z-up in ScanNet. The frames
are unpacked into the cache once, as files that everything else can read.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from backend.captures.binary import CutOff, exactly
from backend.captures.common import Entry, Recording, lens_from_matrix, list_folder
from backend.captures.scratch import Scratch
from backend.errors import UserError
from backend.images import write_image

FORMAT = "ScanNet .sens"
MAX_FRAMES = 1_000_000
MAX_NAME = 4096
MAX_SIDE = 16_384
MAX_IMAGE = 64 << 20  # bytes of one packed image
RAW, PNG, JPEG = 0, 1, 2
RAW_DEPTH, ZLIB_DEPTH = 0, 1
SUFFIX = {PNG: ".png", JPEG: ".jpg", RAW: ".png"}


@dataclass(frozen=True)
class _Header:
    color_matrix: np.ndarray  # (4, 4), as the other three
    depth_matrix: np.ndarray
    color_extrinsic: np.ndarray
    depth_extrinsic: np.ndarray
    color_codec: int
    depth_codec: int
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    per_metre: float
    frames: int


def opens(path: Path) -> bool:
    """Whether a file starts as a ``.sens`` container does."""
    try:
        with open(path, "rb") as stream:
            version, length = struct.unpack("<IQ", stream.read(12))
    except (OSError, struct.error):
        return False
    return path.suffix.lower() == ".sens" and version in (3, 4) and length <= MAX_NAME


def find(folder: Path) -> Path | None:
    """The only ``.sens`` file of a folder."""
    found = [path for path in list_folder(folder) if path.suffix.lower() == ".sens" and path.is_file()]
    return found[0] if len(found) == 1 else None


def read(path: Path, scratch: Scratch) -> Recording:
    """Read a container. Raises UserError when it is damaged or packed in a way that only its maker can read."""
    try:
        with open(path, "rb") as stream:
            header = _header(stream)
            poses = [pose for pose, _, _, _ in _frames(stream, header, os.fstat(stream.fileno()).st_size)]
    except (CutOff, struct.error, OSError) as error:
        raise _damaged(path, error) from error
    folder = scratch.folder(path, "sens", lambda made: _unpack(path, header, made, scratch))
    lens, depth_lens = (
        lens_from_matrix(matrix, path.name, *size)
        for matrix, size in ((header.color_matrix, header.color_size), (header.depth_matrix, header.depth_size))
    )
    suffix = SUFFIX[header.color_codec]
    entries = [
        Entry(
            f"{index:06d}",
            folder / f"{index:06d}.color{suffix}",
            folder / f"{index:06d}.depth.png",
            pose,
            lens,
            depth_lens,
            color_from_depth=_between(header),
        )
        for index, pose in enumerate(poses)
    ]
    encoding = "mm" if header.per_metre == 1000 else repr(header.per_metre)
    return Recording(FORMAT, path.stem, folder, entries, encoding, up="+z")


def _header(stream: BinaryIO) -> _Header:
    version, length = struct.unpack("<IQ", exactly(stream, 12))
    if version not in (3, 4) or length > MAX_NAME:
        raise CutOff(f"version {version}, a name of {length} bytes")
    exactly(stream, length)
    matrices = [np.frombuffer(exactly(stream, 64), "<f4").reshape(4, 4).astype(np.float64) for _ in range(4)]
    color, depth, *sizes, shift = struct.unpack("<iiIIIIf", exactly(stream, 28))
    (frames,) = struct.unpack("<Q", exactly(stream, 8))
    if not all(1 <= size <= MAX_SIDE for size in sizes) or frames > MAX_FRAMES:
        raise CutOff(f"images of {sizes} pixels, {frames} frames")
    if not (math.isfinite(shift) and shift > 0):
        raise CutOff(f"a depth shift of {shift}")
    if color not in SUFFIX or depth not in (RAW_DEPTH, ZLIB_DEPTH):
        sentence = "The images in this .sens file are packed in a way that only its own software reads; export them."
        raise UserError("bad_container", sentence, f"colour {color}, depth {depth}")
    color_matrix, color_extrinsic, depth_matrix, depth_extrinsic = matrices
    return _Header(
        color_matrix,
        depth_matrix,
        color_extrinsic,
        depth_extrinsic,
        color,
        depth,
        (sizes[0], sizes[1]),
        (sizes[2], sizes[3]),
        float(shift),
        frames,
    )


def _between(header: _Header) -> np.ndarray | None:
    """Depth camera to colour camera, None where the file says that they are one."""
    pair = header.color_extrinsic, header.depth_extrinsic
    rigid = all(np.isfinite(m).all() and abs(np.linalg.det(m[:3, :3]) - 1) < 1e-3 for m in pair)
    if not rigid or np.allclose(pair[0], pair[1], atol=1e-6):
        return None
    return np.linalg.inv(pair[0]) @ pair[1]


def _frames(stream: BinaryIO, header: _Header, size: int) -> Iterator[tuple[np.ndarray, int, int, int]]:
    """Pose (4, 4), where the colour bytes start, and the bytes of colour and of depth, for every frame."""
    for _ in range(header.frames):
        pose = np.frombuffer(exactly(stream, 64), "<f4").reshape(4, 4).astype(np.float64)
        _, _, color, depth = struct.unpack("<QQQQ", exactly(stream, 32))
        start = stream.tell()
        if max(color, depth) > MAX_IMAGE or start + color + depth > size:
            raise CutOff(f"an image of {max(color, depth)} bytes")
        yield pose, start, color, depth
        stream.seek(start + color + depth)


def _unpack(path: Path, header: _Header, folder: Path, scratch: Scratch) -> None:
    width, height = header.depth_size
    try:
        with open(path, "rb") as stream:
            _header(stream)
            size = os.fstat(stream.fileno()).st_size
            for index, (_, start, color, depth) in enumerate(_frames(stream, header, size)):
                scratch.progress(index / header.frames, f"Unpacking {path.name}")
                stream.seek(start)
                _write_color(folder / f"{index:06d}.color{SUFFIX[header.color_codec]}", stream.read(color), header)
                packed, wanted = stream.read(depth), 2 * width * height
                if header.depth_codec == ZLIB_DEPTH:
                    packed = zlib.decompressobj().decompress(packed, wanted)
                if len(packed) == wanted:  # a shorter one is left out as a missing image
                    write_image(folder / f"{index:06d}.depth.png", np.frombuffer(packed, "<u2").reshape(height, width))
    except (CutOff, struct.error, zlib.error) as error:
        raise _damaged(path, error) from error


def _write_color(path: Path, data: bytes, header: _Header) -> None:
    width, height = header.color_size
    if header.color_codec != RAW:
        path.write_bytes(data)
    elif len(data) == 3 * width * height:
        write_image(path, np.frombuffer(data, np.uint8).reshape(height, width, 3))


def _damaged(path: Path, error: Exception) -> UserError:
    sentence = f"The file {path.name} is damaged or cut off; copy or export it again."
    return UserError("bad_container", sentence, repr(error))
