"""What a person wants to know of a capture or a mesh before importing it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from backend.captures.capture import Capture
from backend.captures.common import ImportOptions
from backend.captures.detect import is_bare, open_capture
from backend.captures.meshes import ScannedMesh, find_mesh, open_mesh
from backend.errors import UserError
from backend.progress import Progress

SAMPLES = 16  # depth images that are opened for the depth range
MOST_LISTED = 8  # frames that were left out are named one by one up to so many; the notes count them in any case


def inspect(path: Path, options: ImportOptions, progress: Progress, unpacked: Path | None = None) -> dict[str, Any]:
    """What ``describe`` or ``describe_mesh`` say of whatever lies at a path; arguments as of ``open_capture``.

    Raises UserError for what cannot be imported, Cancelled.
    """
    if is_bare(path):
        return describe_mesh(open_mesh(find_mesh(path) or path, options, progress, finer=False))
    return describe(open_capture(path, options, progress, unpacked))


def describe(capture: Capture) -> dict[str, Any]:
    """A capture in plain values that JSON can hold.

    Returns:
        ``name, format, frames`` (count), ``first, last`` (frame names), ``resolutions`` ({"color", "depth"}: text like
        "640 x 480" -> count), ``depth_metres`` ([2 %, median, 98 %] over up to 16 frames, None without any),
        ``depth_missing`` (share of pixels without depth), ``path_metres`` (length of the camera's path), ``left_out``
        ([{"name", "reason"}]), ``notes``, ``scene_from_world`` (16 numbers), ``fingerprint``, ``unreadable`` (names of
        sampled frames whose depth image is damaged).
    """
    frames = capture.frames
    positions = np.stack([frame.camera_to_world[:3, 3] for frame in frames])
    values, missing, unreadable = [], [], []
    for index in np.unique(np.linspace(0, len(frames) - 1, SAMPLES).astype(int)):
        try:
            depth = frames[index].depth()
        except UserError:
            unreadable.append(frames[index].name)
            continue
        missing.append(float((depth == 0).mean()))
        values.append(depth[depth > 0][::7])
    found = np.concatenate([*values, np.zeros(0, np.float32)])
    return {
        "name": capture.name,
        "format": capture.format,
        "frames": len(frames),
        "first": frames[0].name,
        "last": frames[-1].name,
        "resolutions": {
            "color": dict(Counter(f"{f.intrinsics.width} x {f.intrinsics.height}" for f in frames)),
            "depth": dict(Counter(f"{f.depth_intrinsics.width} x {f.depth_intrinsics.height}" for f in frames)),
        },
        "depth_metres": [round(float(v), 4) for v in np.percentile(found, [2, 50, 98])] if len(found) else None,
        "depth_missing": round(float(np.mean(missing)), 4) if missing else None,
        "path_metres": round(float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum()), 3),
        "left_out": [{"name": left.name, "reason": left.reason} for left in capture.left_out],
        "notes": list(capture.notes),
        "scene_from_world": [float(v) for v in capture.scene_from_world.ravel()],
        "fingerprint": capture.fingerprint,
        "unreadable": unreadable,
    }


def describe_mesh(mesh: ScannedMesh) -> dict[str, Any]:
    """A mesh or a cloud in plain values that JSON can hold.

    Returns:
        ``name, format, path, vertices, faces`` (counts), ``size`` (metres along the scene's axes), ``true_labels,
        true_instances`` (how many there are), ``notes, fingerprint``.
    """
    across = mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)
    return {
        "name": mesh.name,
        "format": mesh.format,
        "path": str(mesh.root),
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "size": [round(float(side) / mesh.scale, 4) for side in across],
        "true_labels": _kinds(mesh.labels),
        "true_instances": _kinds(mesh.instances),
        "notes": list(mesh.notes),
        "fingerprint": mesh.fingerprint,
    }


def _kinds(ids: np.ndarray | None) -> int:
    return 0 if ids is None else int((np.unique(ids) != 0).sum())


def in_words(facts: dict[str, Any]) -> list[str]:
    """What ``inspect`` found, as lines for a person: what it is first, what is odd last."""
    if "frames" not in facts:
        kind = f"{facts['faces']:,} triangles" if facts["faces"] else "a cloud"
        sides = " x ".join(f"{side:.4g}" for side in facts["size"])
        head = f"{facts['name']}: {facts['format']} without photos, {facts['vertices']:,} vertices, {kind}"
        truth = [("classes", facts["true_labels"]), ("instances", facts["true_instances"])]
        known = [f"true labels of {count} {what}" for what, count in truth if count]
        return [head, f"{sides} m", *known, *facts["notes"]]
    lines = [f"{facts['name']}: {facts['format']}, {facts['frames']} frames"]
    for title, sizes in (("colour", facts["resolutions"]["color"]), ("depth", facts["resolutions"]["depth"])):
        one = len(sizes) == 1
        lines.append(f"{title}: " + ", ".join(size if one else f"{size} ({count})" for size, count in sizes.items()))
    if facts["depth_metres"]:
        near, middle, far = facts["depth_metres"]
        lines.append(f"depth from {near:.2f} to {far:.2f} m, half of it within {middle:.2f} m")
        lines.append(f"{facts['depth_missing']:.0%} of the depth pixels are holes")
    lines.append(f"the camera's path is {facts['path_metres']:.1f} m long")
    lines += facts["notes"]
    if len(facts["left_out"]) <= MOST_LISTED:
        lines += [f"left out {one['name']}: {one['reason']}" for one in facts["left_out"]]
    return lines + [f"the depth image of {name} is damaged" for name in facts["unreadable"]]
