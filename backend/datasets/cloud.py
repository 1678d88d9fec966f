"""The labelled scan as a PLY file, in scene coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .labelled import Cloud

PLY_TYPES = {"<f4": "float", "|u1": "uchar", "<u2": "ushort"}


def write_cloud(path: Path, cloud: Cloud) -> None:
    """Write a binary PLY: colour, ``label`` and ``instance`` (ushort), ``confidence`` (float), and the triangles.

    Raises OSError.
    """
    surface = cloud.surface
    columns = vertex_columns(surface.vertices, surface.colors)
    columns |= dict(zip(("nx", "ny", "nz"), surface.normals.T.astype("<f4"), strict=True))
    columns |= {"label": cloud.labels.astype("<u2"), "instance": cloud.instances.astype("<u2")}
    columns["confidence"] = cloud.confidence.astype("<f4")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ply(columns, surface.faces))


def vertex_columns(points: np.ndarray, colors: np.ndarray) -> dict[str, np.ndarray]:
    """Points (V, 3) and colours (V, 3) uint8 as the columns that PLY readers know."""
    columns = dict(zip(("x", "y", "z"), points.T.astype("<f4"), strict=True))
    return columns | dict(zip(("red", "green", "blue"), colors.T.astype("|u1"), strict=True))


def ply(columns: dict[str, np.ndarray], faces: np.ndarray) -> bytes:
    """A binary PLY of named vertex columns (V,), float32, uint8 or uint16, and triangles (F, 3)."""
    vertex = np.empty(len(columns["x"]), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        vertex[name] = column
    face = np.empty(len(faces), [("n", "u1"), ("v", "<i4", 3)])
    face["n"], face["v"] = 3, faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertex)}",
        *(f"property {PLY_TYPES[column.dtype.str]} {name}" for name, column in columns.items()),
        f"element face {len(face)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return ("\n".join(header) + "\n").encode() + vertex.tobytes() + face.tobytes()
