"""What the readers of meshes and clouds hand over, and what they share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from backend import budget
from backend.errors import UserError

MAX_FILE = 8 << 30  # bytes
MAX_VERTICES = 20_000_000  # of a mesh
MAX_FACES = 40_000_000
MAX_POINTS = 60_000_000  # of a cloud; it is thinned out before it is meshed


@dataclass
class Part:
    """One piece with its own vertices, in the file's coordinates and units."""

    positions: np.ndarray  # (V, 3) float64
    faces: np.ndarray  # (F, 3) int64; no rows in a cloud
    colors: np.ndarray | None = None  # (V, 3) uint8 sRGB
    normals: np.ndarray | None = None  # (V, 3) float64, as the file has them
    labels: np.ndarray | None = None  # (V,) int64 true label ids
    instances: np.ndarray | None = None  # (V,) int64 true instance ids
    uv: np.ndarray | None = None  # (V, 2) float64, origin at the lower left of the texture
    texture: np.ndarray | None = None  # (H, W, 3) uint8


@dataclass
class Found:
    """The content of a file."""

    format: str
    parts: list[Part]
    up: str = "+z"  # by the format's convention
    notes: list[str] = field(default_factory=list)
    classes: dict[int, str] = field(default_factory=dict)  # names of the true label ids


def damaged(path: Path, why: str, detail: str = "") -> UserError:
    """A file that is not what its format demands; ``why`` is a clause."""
    return UserError("bad_mesh", f"The file {path.name} {why}; export or copy it again.", detail)


def opened(path: Path) -> np.ndarray:
    """The bytes of a file, (size,) uint8, mapped and not loaded. Raises UserError."""
    try:
        size = os.stat(path).st_size
        if size > MAX_FILE:
            sentence = f"The file {path.name} has {size >> 30} GB; {MAX_FILE >> 30} GB is the most. Make a smaller one."
            raise UserError("mesh_too_large", sentence)
        if not size:
            raise damaged(path, "is empty")
        return np.memmap(path, np.uint8, "r")
    except OSError as error:
        sentence = f"The file {path.name} cannot be read: {error.strerror or error}."
        raise UserError("unreadable", sentence, str(path)) from error


def check_counts(path: Path, vertices: int, faces: int) -> None:
    """Raises UserError for more than can be worked on, at all or within the memory budget."""
    most = MAX_VERTICES if faces else MAX_POINTS
    if vertices > most or faces > MAX_FACES:
        what = f"{vertices:,} vertices and {faces:,} faces" if faces else f"{vertices:,} points"
        limit = f"{most:,} vertices" if faces else f"{most:,} points"
        sentence = f"The file {path.name} has {what}; {limit} is the most. Decimate it or cut it into parts."
        raise UserError("mesh_too_large", sentence)
    if faces:
        soup = vertices >= 3 * faces  # every face has its own vertices, until those in the same place are made one
        budget.current().check_vertices(faces // 2 if soup else vertices)
    else:
        budget.current().check_points(vertices)


def check_indices(path: Path, faces: np.ndarray, count: int) -> None:
    """Raises UserError when a face names a vertex that does not exist."""
    if len(faces) and (faces.min() < 0 or faces.max() >= count):
        wrong = int(faces.min()) if faces.min() < 0 else int(faces.max())
        raise damaged(path, f"has a face that names vertex {wrong}, but it has {count} vertices")


def bytes_of_colors(values: np.ndarray, said: np.dtype | None = None) -> np.ndarray:
    """Colours (V, 3) as uint8: bytes as they are, 16 bits scaled, floats of 0..1 or of 0..255.

    Args:
        said: the type that the file gives them, where it is not that of ``values``.
    """
    said = values.dtype if said is None else said
    values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=255.0, neginf=0.0)
    scale = 1.0
    if said.kind == "f" and values.max(initial=0) <= 1.0:
        scale = 255.0
    elif said.kind in "ui" and said.itemsize == 2 and values.max(initial=0) > 255:
        scale = 1 / 257
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


def fans(polygons: np.ndarray) -> np.ndarray:
    """Polygons (N, C) of vertex indices as triangles (N * (C - 2), 3) around their first corner."""
    count, corners = polygons.shape
    if corners == 3:
        return polygons
    first = np.broadcast_to(polygons[:, :1], (count, corners - 2))
    return np.stack([first, polygons[:, 1:-1], polygons[:, 2:]], axis=-1).reshape(-1, 3)
