"""Image files of a capture, opened with limits: sizes from headers, colours and raw depth values on demand."""

from __future__ import annotations

import os
import stat
import struct
import tokenize
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backend.captures import arrays
from backend.errors import UserError

MAX_FILE = 256 << 20  # bytes
MAX_SIDE = 16_384  # pixels
MAX_PIXELS = 100_000_000
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm")
DEPTH_MODES = ("I;16", "I;16L", "I;16B", "I", "F")
# What Pillow and numpy raise on damaged files; each of them means "this file is broken", none a mistake of ours.
BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    RuntimeError,  # what OpenEXR raises
    tokenize.TokenError,
    Image.DecompressionBombError,
)


class BrokenImage(Exception):
    """An image that cannot be used; the text is a clause such as "is not an image"."""


@dataclass(frozen=True)
class Header:
    """What an image file says about itself."""

    width: int
    height: int
    mode: str  # Pillow's mode; for .npy the name of the dtype
    bytes: int  # size of the file


def read_header(path: Path) -> Header:
    """Size and mode of an image or .npy file without decoding it. Raises BrokenImage."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise BrokenImage(f"cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise BrokenImage("is no plain file")
    size = status.st_size
    if size > MAX_FILE:
        raise BrokenImage(f"is a file of {size / 2**20:.0f} MB; {MAX_FILE >> 20} MB is the most")
    try:
        if path.suffix.lower() in arrays.SHAPES:
            shape, mode = arrays.shape_of(path)
            plain = shape[:2] if len(shape) == 3 and shape[-1] == 1 else shape
            if len(plain) != 2 or np.dtype(mode).kind not in "uif":
                raise BrokenImage(f"is an array of shape {shape} and type {mode}, not a picture")
            height, width = plain
        else:
            with Image.open(path, formats=FORMATS) as image:
                (width, height), mode, kind = image.size, image.mode, image.format
            if kind == "PNG" and not _complete_png(path, size):
                raise BrokenImage("is cut off")
    except PermissionError as error:
        raise BrokenImage("cannot be read: the system denies access") from error
    except arrays.NotAnArray as error:
        raise BrokenImage(str(error)) from error
    except BROKEN as error:
        raise BrokenImage("is broken or not an image") from error
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise BrokenImage(f"claims to have {width} x {height} pixels, which is beyond the limit")
    return Header(int(width), int(height), mode, size)


def _complete_png(path: Path, size: int) -> bool:
    """Whether the chunks of a PNG reach its end; one that is longer than the file would be read into as much memory."""
    at = 8
    with open(path, "rb") as file:
        while at + 12 <= size:
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            at += 12 + length
            if kind == b"IEND":
                return at <= size
    return False


def depth_problem(header: Header) -> str | None:
    """A clause when an image of this kind cannot hold depth, for example because it has 8 bits; else None."""
    if header.mode in DEPTH_MODES or header.mode in ("uint16", "uint32", "int16", "int32", "float16", "float32"):
        return None
    if header.mode in ("float64", "int64", "uint64"):
        return None
    return f"is of type {header.mode}; depth needs one channel of 16-bit or float values"


def read_color(path: Path) -> np.ndarray:
    """(height, width, 3) uint8 sRGB. Raises UserError that names the file."""
    _check(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.mode.startswith("I;16") or image.mode == "I":
                grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.array(image.convert("RGB"))
    except BROKEN as error:
        raise _unreadable(path, error) from error


def read_raw_depth(path: Path) -> np.ndarray:
    """(height, width) values as stored: uint16, another integer type or float32. Raises UserError."""
    header = _check(path)
    problem = depth_problem(header)
    if problem:
        raise UserError("image_broken", f"The depth image {path.name} {problem}.", str(path))
    try:
        if path.suffix.lower() in arrays.LOADERS:
            array = arrays.load(path).reshape(header.height, header.width)
            return array.astype(np.float32) if array.dtype.kind == "f" else array
        with Image.open(path, formats=FORMATS) as image:
            array = np.asarray(image)
    except BROKEN as error:
        raise _unreadable(path, error) from error
    return array.astype(array.dtype.newbyteorder("="))


def read_ids(path: Path) -> np.ndarray:
    """(height, width) int32 of an image whose values are ids or levels, not colours. Raises UserError."""
    header = _check(path)
    try:
        if path.suffix.lower() in arrays.LOADERS:
            ids = arrays.load(path).reshape(header.height, header.width)
        else:
            with Image.open(path, formats=FORMATS) as image:
                ids = np.asarray(image)
    except BROKEN as error:
        raise _unreadable(path, error) from error
    if ids.ndim != 2 or ids.dtype.kind not in "uib":
        raise UserError("image_broken", f"The image {path.name} has colours where one channel of ids is expected.")
    return ids.astype(np.int32)


def _check(path: Path) -> Header:
    try:
        return read_header(path)
    except BrokenImage as problem:
        raise UserError("image_broken", f"The image {path.name} {problem}.", str(path)) from problem


def _unreadable(path: Path, error: BaseException) -> UserError:
    sentence = f"The image {path.name} is damaged and cannot be decoded; replace it or remove it from the capture."
    return UserError("image_broken", sentence, f"{path}: {error!r}")
