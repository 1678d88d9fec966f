"""What belongs to a separated object: levels of detail, and hulls for collision. Both are its children, hidden.

Levels of detail share the object's mesh under a Decimate modifier: they follow whatever is done to the mesh, cost
nothing until they are shown or exported, and keep UV map and attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import bpy
import numpy as np
from mathutils import Matrix

LEVELS = (1.0, 0.5, 0.25, 0.1)  # parts of the faces of _LOD0 to _LOD3
HULL_NAMES = {"UNREAL": "UCX_{name}_{number:02}", "GODOT": "{name}_{number:02}-colonly"}
HULL_NAMES["GODOT_CONVEX"] = "{name}_{number:02}-convcolonly"
FOLDERS = {"LOD": "Levels of Detail", "HULL": "Collision"}
PART = "clickfield_part"  # custom property of the two collections: role of what is in them
Hull = tuple[np.ndarray, np.ndarray]  # positions (q, 3), faces (r, 3)


def build_levels(root: bpy.types.Collection, item: bpy.types.Object) -> None:
    """Give an object its levels of detail."""
    for number, ratio in enumerate(LEVELS):
        part = _part(root, item, f"{item.name}_LOD{number}", item.data, "LOD")
        if ratio < 1:
            decimate = part.modifiers.new("Decimate", "DECIMATE")
            decimate.ratio = ratio


def build_hulls(root: bpy.types.Collection, item: bpy.types.Object, hulls: Sequence[Hull], naming: str) -> None:
    """Give an object its collision hulls, named for a game engine by a key of HULL_NAMES."""
    for number, (positions, faces) in enumerate(hulls):
        name = HULL_NAMES[naming].format(name=item.name, number=number)
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(positions.tolist(), [], faces.tolist())
        part = _part(root, item, name, mesh, "HULL")
        part.display_type = "WIRE"


def _part(
    root: bpy.types.Collection, item: bpy.types.Object, name: str, mesh: bpy.types.Mesh, role: str
) -> bpy.types.Object:
    part = bpy.data.objects.new(name, mesh)
    part.clickfield.role, part.clickfield.capture_id = role, item.clickfield.capture_id
    part.parent, part.matrix_parent_inverse = item, Matrix.Identity(4)
    part.hide_viewport = part.hide_render = True
    _folder(root, role).objects.link(part)
    return part


def _folder(root: bpy.types.Collection, role: str) -> bpy.types.Collection:
    for child in root.children_recursive:
        if child.get(PART) == role:
            return child
    made = bpy.data.collections.new(FOLDERS[role])
    made[PART] = role
    root.children.link(made)
    return made


def parts_of(item: bpy.types.Object, role: str) -> list[bpy.types.Object]:
    """Levels of detail or hulls of an object, in their order."""
    found = [child for child in item.children if child.clickfield.role == role and child.type == "MESH"]
    return sorted(found, key=lambda child: child.name)


def in_object(part: bpy.types.Object) -> Matrix:
    """Takes points of a part into its object. What is hidden has no up-to-date ``matrix_world``, nor a local one."""
    return part.matrix_parent_inverse @ part.matrix_basis


def drop_parts(items: Iterable[bpy.types.Object]) -> None:
    """Remove levels of detail and hulls of objects, and their collections when nothing is left in them."""
    parts = [part for item in items for role in FOLDERS for part in parts_of(item, role)]
    meshes = {part.data for part in parts}
    bpy.data.batch_remove(parts)
    bpy.data.batch_remove([mesh for mesh in meshes if not mesh.users])


def drop_empty(root: bpy.types.Collection) -> None:
    """Remove collections of parts that hold nothing any more."""
    for child in list(root.children_recursive):
        if PART in child and not child.objects and not child.children:
            bpy.data.collections.remove(child)
