"""What the backend must know of a scene to write a data set of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
import numpy as np

from . import cameras, objects, scan, upkeep

REPORT = "clickfield_data_set"  # custom property of a scene: what the last export said, one sentence per line


def request(
    scene: bpy.types.Scene, frames: list[bpy.types.Object] | None, amodal: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters (frames, known objects, whole objects) and arrays (dtype, shape, data) of the request `dataset`.

    Args:
        frames: cameras of keyframes; None for all.
        amodal: send the separated objects, where the scan has them; those that are no triangles are left out.
    """
    capture_id = scene.clickfield.capture_id
    params: dict[str, Any] = {"known": objects.known_objects(scene, capture_id), "min_size": smallest(scene)}
    params["frames"] = "all" if frames is None else [camera.clickfield.frame for camera in frames]
    arrays: dict[str, Any] = {}
    params["objects"] = []
    for item in objects.separated_objects(scene, capture_id) if amodal else ():
        mesh = item.data
        whole = len(mesh.polygons) and len(mesh.loops) == 3 * len(mesh.polygons)
        if not whole or upkeep.TO_OBJECT not in item or not _is_thing(scene, item.clickfield.label):
            continue
        into_scan = np.array(upkeep.matrix(list(item[upkeep.TO_OBJECT])).inverted())
        points = scan.read_positions(mesh) @ into_scan[:3, :3].T + into_scan[:3, 3]
        number = len(params["objects"])
        params["objects"].append({"label": item.clickfield.label, "instance": item.clickfield.instance})
        arrays[f"o{number}.positions"] = ("f4", points.shape, np.ascontiguousarray(points, "<f4"))
        arrays[f"o{number}.faces"] = ("i4", (len(mesh.polygons), 3), np.ascontiguousarray(scan.read_faces(mesh), "<i4"))
    return params, arrays


def smallest(scene: bpy.types.Scene) -> float:
    """Metres of the smallest object, as the person separates them."""
    return scene.clickfield.separation.min_size


def chosen_frames(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The selected cameras of keyframes."""
    return [camera for camera in cameras.capture_cameras(scene, scene.clickfield.capture_id) if camera.select_get()]


def keep_report(scene: bpy.types.Scene, folder: str, report: Mapping[str, Any]) -> None:
    """Keep what the backend said of a data set: ``frames``, ``formats`` with counts, and ``notes``."""
    counts = [
        f"{name}: {', '.join(f'{number} {what}' for what, number in found.items())}"
        for name, found in report["formats"].items()
    ]
    scene[REPORT] = "\n".join([f"{report['frames']} frames are in {folder}.", *counts, *report["notes"]])


def report_lines(scene: bpy.types.Scene) -> list[str]:
    """What the last export said, for the panel."""
    return str(scene.get(REPORT, "")).splitlines()


def _is_thing(scene: bpy.types.Scene, uid: int) -> bool:
    return any(node.uid == uid and node.thing for node in scene.clickfield.labels)
