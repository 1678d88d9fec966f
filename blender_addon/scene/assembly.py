"""A whole capture in the scene: its collections, cameras, path and scan, found again by the capture's id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from . import cameras, scan

OWNER = "clickfield_capture"  # custom property of the collections that belong to a capture


def assemble(scene: bpy.types.Scene, capture: dict[str, Any], path: str, options: dict[str, Any]) -> Iterator[None]:
    """Build everything that is known before the surface is fused; yields after each camera.

    Args:
        capture: the backend's ``capture`` event: ``id, name, format, path, frames, notes, scene_from_world``.
        path, options: where it is and how it was opened, to open it again.
    """
    own, capture_id = scene.clickfield, capture["id"]
    remove_capture(scene, own.capture_id)
    remove_capture(scene, capture_id)
    own.capture_id, own.capture_name, own.capture_format = capture_id, capture["name"], capture["format"]
    own.scene_from_world = capture["scene_from_world"]
    own.capture_path = path
    for name, value in options.items():
        text = name in ("depth_encoding", "confidence")  # the scene's own are texts
        setattr(own, name, "" if value is None else str(value) if text else value)
    top = _collection(f"Capture {capture['name']}", capture_id, scene.collection)
    body = scan.new_scan(top, f"Scan {capture['name']}", capture_id)
    body.scale = (1 / capture.get("scale", 1.0),) * 3  # what is huge or tiny is worked on at another size
    if not capture["frames"]:
        return
    keyframes = _collection("Keyframes", capture_id, top)
    cameras.build_path(keyframes, capture["frames"], capture_id, body)
    yield
    yield from cameras.build_cameras(keyframes, capture["frames"], capture_id, body)
    made = cameras.capture_cameras(scene, capture_id)
    if made:
        scene.camera = made[0]
        cameras.set_resolution(scene, made[0])


def _collection(name: str, capture_id: str, parent: bpy.types.Collection) -> bpy.types.Collection:
    collection = bpy.data.collections.new(name)
    collection[OWNER] = capture_id
    parent.children.link(collection)
    return collection


def remove_capture(scene: bpy.types.Scene, capture_id: str) -> None:
    """Take a capture's scan, cameras, path and collections out of the file; separated objects stay."""
    if not capture_id:
        return
    for item in list(scene.objects):
        if item.clickfield.capture_id == capture_id and item.clickfield.role in ("SCAN", "CAMERA", "PATH"):
            _remove_object(item)
    while (empty := _empty_collection(scene, capture_id)) is not None:
        bpy.data.collections.remove(empty)


def _empty_collection(scene: bpy.types.Scene, capture_id: str) -> bpy.types.Collection | None:
    owned = (c for c in scene.collection.children_recursive if c.get(OWNER) == capture_id)
    return next((c for c in owned if not c.all_objects), None)


def _remove_object(item: bpy.types.Object) -> None:
    data, materials = item.data, []
    if item.type == "CAMERA":
        cameras.drop_picture(item)
    elif item.type == "MESH":
        materials = [material for material in data.materials if material]
    kind = {"CAMERA": bpy.data.cameras, "MESH": bpy.data.meshes, "CURVE": bpy.data.curves}[item.type]
    bpy.data.objects.remove(item)
    if not data.users:
        kind.remove(data)
    for material in materials:
        if not material.users:
            bpy.data.materials.remove(material)


def update_pictures(scene: bpy.types.Scene, capture: dict[str, Any]) -> None:
    """Tell the cameras where their pictures are now; the capture's folder may have moved."""
    pictures = {frame["name"]: frame["image"] for frame in capture["frames"]}
    for camera in cameras.capture_cameras(scene, capture["id"]):
        picture = pictures.get(camera.clickfield.frame, camera.clickfield.image_path)
        if picture != camera.clickfield.image_path:
            camera.clickfield.image_path = picture
            cameras.drop_picture(camera)


def frame_in_viewports(scene: bpy.types.Scene, item: bpy.types.Object) -> None:
    """Make an object the active one and fit every 3D viewport to it."""
    layer = scene.view_layers[0]
    layer.update()  # what was removed a moment ago is still listed, as None
    for other in layer.objects:
        other.select_set(other == item)
    layer.objects.active = item
    for window in bpy.context.window_manager.windows:
        if window.scene != scene:
            continue
        for area in window.screen.areas:
            region = next((r for r in area.regions if r.type == "WINDOW"), None)
            if area.type == "VIEW_3D" and region is not None:
                with bpy.context.temp_override(window=window, area=area, region=region):
                    bpy.ops.view3d.view_selected()
    item.select_set(False)  # its outline would hide the edges that are clicked on
