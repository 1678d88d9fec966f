"""Where a mark lies in Blender's world."""

from __future__ import annotations

import bpy
from mathutils import Vector

from .cameras import matrix_from_rows
from .scan import find_scan


def place_of(
    scene: bpy.types.Scene, mark: bpy.types.PropertyGroup, found: dict[int, tuple[float, float, float]]
) -> Vector | None:
    """The mark's first point in Blender's world; None when nobody knows where it is.

    Args:
        found: scene coordinates of marks by id, as the backend has placed them; one on a keyframe's pixel has no
            other place.
    """
    scan = find_scan(scene, scene.clickfield.capture_id)
    if scan is None:
        return None
    if len(mark.points):
        scene_from_world = matrix_from_rows(list(scene.clickfield.scene_from_world))
        return scan.matrix_world @ (scene_from_world @ Vector(mark.points[0].co))
    return scan.matrix_world @ Vector(found[mark.uid]) if mark.uid in found else None


def in_world(scene: bpy.types.Scene, point: tuple[float, float, float]) -> Vector | None:
    """A point in the capture's scene coordinates, in Blender's world; None without a scan."""
    scan = find_scan(scene, scene.clickfield.capture_id)
    return scan.matrix_world @ Vector(point) if scan is not None else None


def look_at(region_3d: bpy.types.RegionView3D, point: Vector, distance: float = 1.5) -> None:
    """Turn a viewport to a point without turning its direction, not farther off than a distance in metres."""
    if region_3d.view_perspective == "CAMERA":
        region_3d.view_perspective = "PERSP"
    region_3d.view_location = point
    region_3d.view_distance = min(region_3d.view_distance, distance)
