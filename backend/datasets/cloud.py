"""The labelled scan as a PLY file, in scene coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .labelled import Cloud


def write_cloud(path: Path, cloud: Cloud) -> None:
    """Write a binary PLY: colour, ``label`` and ``instance`` (ushort), ``confidence`` (float), and the triangles.

    Raises OSError.
    """
    surface = cloud.surface
    fields = [("p", "<f4", 3), ("n", "<f4", 3), ("c", "u1", 3), ("l", "<u2"), ("i", "<u2"), ("s", "<f4")]
    vertex = np.empty(len(surface.vertices), fields)
    vertex["p"], vertex["n"], vertex["c"] = surface.vertices, surface.normals, surface.colors
    vertex["l"], vertex["i"], vertex["s"] = cloud.labels, cloud.instances, cloud.confidence
    face = np.empty(len(surface.faces), [("n", "u1"), ("v", "<i4", 3)])
    face["n"], face["v"] = 3, surface.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertex)}",
        *(f"property float {axis}" for axis in ("x", "y", "z", "nx", "ny", "nz")),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        "property ushort label",
        "property ushort instance",
        "property float confidence",
        f"element face {len(face)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(header) + "\n").encode() + vertex.tobytes() + face.tobytes())
