"""Separated things as Blender objects, in collections that mirror the label tree.

Each object stands on its own origin (the centre of its foot), has its real size, the photo and label colours of the
scan, and knows its capture, label and instance by ids. ``scan_to_object``, 16 numbers row-major, takes points of the
scan into the object, so that it can be put back in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from . import scan
from .collections import Folders, new_root, results_collection
from .materials import scan_material

TO_OBJECT = "scan_to_object"
REPORT = "clickfield_report"  # custom property of the top collection: what was left out, one sentence per line


def build_objects(
    scene: bpy.types.Scene, capture_id: str, things: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]
) -> Iterator[bool]:
    """Make one object per thing in place of the capture's former ones; yields between slices, True when it must wait.

    Args:
        things: dicts with ``name, label, instance, origin`` as the backend's ``separate`` describes them.
        arrays: for thing i ``o<i>.positions`` (n, 3) float32 relative to its origin, ``.faces`` (m, 3) int32,
            ``.colors`` (n, 3) uint8, ``.confidence`` (n,) uint8 and ``.preview`` (s, s, 4) uint8, top row first.
    """
    root = results_collection(scene, capture_id) or new_root(scene, capture_id)
    remove_objects(scene, capture_id)
    yield False
    body = scan.find_scan(scene, capture_id)
    placement = body.matrix_world.copy() if body else Matrix.Identity(4)
    colors = {node.uid: tuple(node.color) for node in scene.clickfield.labels}
    folders = Folders(root, scene)
    material = None
    with ThreadPoolExecutor(1) as pool:
        coming = _topology(pool, arrays, 0) if things else None
        for index, thing in enumerate(things):
            while not coming.done():
                yield True
            made = coming.result()
            coming = _topology(pool, arrays, index + 1) if index + 1 < len(things) else None
            material = material or _material(scene)
            mesh = bpy.data.meshes.new(thing["name"])
            for _ in scan.fill(mesh, made):
                yield False
            labels = np.full(len(made.positions), thing["label"], dtype=np.uint16)
            scan.paint(mesh, labels, arrays[f"o{index}.confidence"], made.colors, colors)
            scan.show_colors(mesh, scan.PHOTO)
            mesh.materials.append(material)
            item = _object(mesh, thing, capture_id, placement)
            folders.of(thing["label"]).objects.link(item)
            set_preview(item, arrays[f"o{index}.preview"])
            yield False
    folders.drop_empty()


def _topology(pool: ThreadPoolExecutor, arrays: Mapping[str, np.ndarray], index: int) -> Future:
    parts = (arrays[f"o{index}.{name}"] for name in ("positions", "faces", "colors"))
    return pool.submit(scan.topology, *parts)


def _object(mesh: bpy.types.Mesh, thing: Mapping[str, Any], capture_id: str, placement: Matrix) -> bpy.types.Object:
    item = bpy.data.objects.new(thing["name"], mesh)
    mesh.name = item.name  # some importers go by one name, some by the other
    own, origin = item.clickfield, Vector(thing["origin"])
    own.role, own.capture_id = "OBJECT", capture_id
    own.label, own.instance = thing["label"], thing["instance"]
    item.matrix_world = placement @ Matrix.Translation(origin)
    item[TO_OBJECT] = [value for row in Matrix.Translation(-origin) for value in row]
    return item


def _material(scene: bpy.types.Scene) -> bpy.types.Material:
    material = scan_material()
    material.name = f"{scene.clickfield.capture_name or 'Scan'} Objects"
    return material


def separated_objects(scene: bpy.types.Scene, capture_id: str) -> list[bpy.types.Object]:
    """The separated objects of a capture, in the order of the tree, then by instance."""
    order = {node.uid: index for index, node in enumerate(scene.clickfield.labels)}
    found = [
        item
        for item in scene.objects
        if item.type == "MESH" and item.clickfield.role == "OBJECT" and item.clickfield.capture_id == capture_id
    ]
    return sorted(found, key=lambda item: (order.get(item.clickfield.label, len(order)), item.clickfield.instance))


def keep_report(scene: bpy.types.Scene, capture_id: str, result: Mapping[str, Any]) -> None:
    """Keep what the backend said beside the objects: ``objects``, ``crumbs`` {pieces, faces} and ``notes``."""
    root = results_collection(scene, capture_id)
    lines = [f"{len(result['objects'])} objects"]
    if result["crumbs"]["pieces"]:
        lines.append(f"{result['crumbs']['pieces']} crumbs left out ({result['crumbs']['faces']} faces).")
    root[REPORT] = "\n".join([*lines, *result["notes"]])


def report_lines(scene: bpy.types.Scene, capture_id: str) -> list[str]:
    """What the last separation said, for the panel."""
    root = results_collection(scene, capture_id)
    return str(root.get(REPORT, "")).splitlines() if root else []


def remove_objects(scene: bpy.types.Scene, capture_id: str) -> None:
    """Remove a capture's separated objects with their meshes, so far as they lie in its results' collections.

    An object that somebody has moved to a collection of their own is theirs, and stays.
    """
    root = results_collection(scene, capture_id)
    if root is None:
        return
    folders = {root, *root.children_recursive}
    for item in separated_objects(scene, capture_id):
        if not set(item.users_collection) <= folders:
            continue
        mesh = item.data
        materials = [material for material in mesh.materials if material]
        bpy.data.objects.remove(item)
        if not mesh.users:
            bpy.data.meshes.remove(mesh)
        for material in materials:
            if not material.users:
                bpy.data.materials.remove(material)


def set_preview(item: bpy.types.Object, picture: np.ndarray) -> None:
    """Give an object its picture: (h, w, 4) uint8 RGBA, top row first."""
    height, width = picture.shape[:2]
    preview = item.preview_ensure()
    preview.image_size = (width, height)
    rows = np.ascontiguousarray(picture[::-1], dtype=np.float32) / 255
    preview.image_pixels_float.foreach_set(rows.ravel())


def label_path(scene: bpy.types.Scene, uid: int) -> list[str]:
    """Names from the root of the tree down to a label; empty for a label that is not there."""
    nodes = {node.uid: (node.name, node.parent) for node in scene.clickfield.labels}
    names: list[str] = []
    while uid in nodes and len(names) <= len(nodes):
        name, uid = nodes[uid]
        names.insert(0, name)
    return names
