"""Depth in files that are no pictures: ``.npy``, COLMAP's ``.bin``, OpenEXR, HDF5; opened with limits.

Every loader checks the size that the file claims against the bytes that it has before it allocates anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from backend.errors import UserError

EXR_CHANNELS = ("R", "Y", "Z", "V")  # Record3D writes R
MOST_PACKED = 1200  # times that deflate can make something smaller
HDF5_NAMES = ("dataset", "depth")
COLMAP_HEADER = re.compile(rb"(\d{1,6})&(\d{1,6})&(\d{1,3})&")


class NotAnArray(ValueError):
    """A file that claims to be of such a format and is not; the text is a clause."""


def shape_of(path: Path) -> tuple[tuple[int, ...], str]:
    """Shape and name of the dtype, without loading the values. Raises NotAnArray, OSError, UserError."""
    return SHAPES[path.suffix.lower()](path)


def load(path: Path) -> np.ndarray:
    """The values, (height, width) or with more axes. Raises NotAnArray, OSError, UserError."""
    return LOADERS[path.suffix.lower()](path)


def library(module: str, package: str, kind: str) -> ModuleType:
    """An optional library. Raises UserError with a sentence that names the package."""
    try:
        return import_module(module)
    except ImportError as error:
        sentence = f"Reading {kind} needs the Python package {package}; install it into the backend's environment."
        raise UserError("missing_package", sentence, repr(error)) from error


def _npy_shape(path: Path) -> tuple[tuple[int, ...], str]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array.shape, array.dtype.name


def _npy(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def _colmap_shape(path: Path) -> tuple[tuple[int, ...], str]:
    with open(path, "rb") as stream:
        found = COLMAP_HEADER.match(stream.read(64))
    if not found:
        raise NotAnArray("is not a depth map of COLMAP")
    width, height, channels = map(int, found.groups())
    if channels != 1 or path.stat().st_size != found.end() + 4 * width * height:
        raise NotAnArray("is cut off")
    return (height, width), "float32"


def _colmap(path: Path) -> np.ndarray:
    shape, _ = _colmap_shape(path)
    data = path.read_bytes()
    return np.frombuffer(data, "<f4", offset=len(data) - 4 * shape[0] * shape[1]).reshape(shape)


def _exr_shape(path: Path) -> tuple[tuple[int, ...], str]:
    with library("OpenEXR", "OpenEXR", "OpenEXR depth").File(str(path), header_only=True) as file:
        low, high = file.header()["dataWindow"]
    return (int(high[1] - low[1] + 1), int(high[0] - low[0] + 1)), "float32"


def _exr(path: Path) -> np.ndarray:
    with library("OpenEXR", "OpenEXR", "OpenEXR depth").File(str(path), separate_channels=True) as file:
        channels = file.channels()
        name = next((name for name in EXR_CHANNELS if name in channels), next(iter(channels), None))
        if name is None:
            raise NotAnArray("has no channel")
        return np.array(channels[name].pixels, np.float32)


def _hdf5_shape(path: Path) -> tuple[tuple[int, ...], str]:
    with library("h5py", "h5py", "HDF5 files").File(path, "r") as file:
        dataset = _dataset(file, path)
        return tuple(dataset.shape), dataset.dtype.name


def _hdf5(path: Path) -> np.ndarray:
    with library("h5py", "h5py", "HDF5 files").File(path, "r") as file:
        return np.array(_dataset(file, path))


def _dataset(file, path: Path) -> object:
    name = next((name for name in HDF5_NAMES if name in file), None)
    # A link could lead to another file.
    if name is None or not isinstance(file.get(name, getlink=True), library("h5py", "h5py", "HDF5 files").HardLink):
        raise NotAnArray("has no dataset called dataset or depth")
    dataset = file[name]
    if not hasattr(dataset, "shape") or dataset.dtype.kind not in "uif" or dataset.external:
        raise NotAnArray("has no plain numbers")
    if dataset.size * dataset.dtype.itemsize > MOST_PACKED * path.stat().st_size:
        raise NotAnArray("claims to hold more than its bytes can")
    return dataset


SHAPES: dict[str, Callable[[Path], tuple[tuple[int, ...], str]]] = {
    ".npy": _npy_shape,
    ".bin": _colmap_shape,
    ".exr": _exr_shape,
    ".hdf5": _hdf5_shape,
    ".h5": _hdf5_shape,
}
LOADERS: dict[str, Callable[[Path], np.ndarray]] = {
    ".npy": _npy,
    ".bin": _colmap,
    ".exr": _exr,
    ".hdf5": _hdf5,
    ".h5": _hdf5,
}
