"""What is known of a separated object: measured by the backend, kept as custom properties, told in words.

Properties: ``scan_closed`` (0 or 1), ``scan_volume`` m^3 (0 when open), ``scan_observed`` share of the surface that
cameras saw, ``scan_hull_ratio`` volume over that of the convex hull, ``scan_free_violation`` share that lies in space
which cameras saw empty, ``scan_mirror_error`` metres (only when mirrored), ``scan_notes`` one sentence per line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
import numpy as np

NUMBERS = ("volume", "hull_ratio", "free_violation", "observed")
FACTS = ("scan_closed", *(f"scan_{name}" for name in NUMBERS), "scan_mirror_error", "scan_notes")
OBSERVED = "observed"  # point attribute FLOAT: 1 seen by a camera, 0 invented
HALF = 0.5  # less than this much seen counts as invented
ALL = 0.995  # from this share on the rest is not worth a word
LITRE = 1e-3


def write(item: bpy.types.Object, report: Mapping[str, Any]) -> None:
    """Keep the backend's report on an object."""
    item["scan_closed"] = int(report["closed"])
    for name in NUMBERS:
        item[f"scan_{name}"] = float(report[name])
    if report["mirror_error"] is not None:
        item["scan_mirror_error"] = float(report["mirror_error"])
    elif "scan_mirror_error" in item:
        del item["scan_mirror_error"]
    item["scan_notes"] = "\n".join(report["notes"])


def copy(source: bpy.types.ID, target: bpy.types.ID) -> None:
    """Let one thing say what another one says; the same for meshes, which keep facts for an object."""
    for name in FACTS:
        if name in source:
            target[name] = source[name]
        elif name in target:
            del target[name]


def sentences(item: bpy.types.Object) -> list[str]:
    """Size, volume, whether it is closed, how much was seen, symmetry: what a person wants to know of an object."""
    width, depth, height = item.dimensions
    lines = [f"{width:.3f} x {depth:.3f} x {height:.3f} m"]
    if "scan_closed" not in item:
        return lines
    if item["scan_closed"]:
        volume = item["scan_volume"]
        size = f"{volume / LITRE:.3g} l" if volume < 0.9995 else f"{volume:.2f} m\N{SUPERSCRIPT THREE}"
        lines.append(f"Closed, {size}")
    else:
        lines.append("Open: not a solid")
    seen = item["scan_observed"]
    lines.append(f"{seen:.0%} of the surface was seen, the rest is invented" if seen < ALL else "All of it was seen")
    if item["scan_free_violation"] > 0.005:
        lines.append(f"{item['scan_free_violation']:.1%} lies where cameras saw nothing")
    if "scan_mirror_error" in item:
        lines.append(f"Mirrored; the halves differ by {1000 * item['scan_mirror_error']:.1f} mm")
    if "scan_match_error" in item:
        lines.append(f"A linked copy, {1000 * item['scan_match_error']:.1f} mm from the best seen one")
    return lines + [line for line in str(item["scan_notes"]).splitlines() if line]


def read_observed(mesh: bpy.types.Mesh) -> np.ndarray | None:
    """(V,) float32, how much each point was seen; None when the mesh does not say."""
    found = mesh.attributes.get(OBSERVED)
    if found is None or (found.domain, found.data_type) != ("POINT", "FLOAT"):
        return None
    values = np.empty(len(mesh.vertices), dtype=np.float32)
    found.data.foreach_get("value", values)
    return values
