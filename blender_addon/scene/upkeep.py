"""What a person changed on separated objects stays when they are made again.

An object is the same one when it has the same label and instance number; it is then updated in place: another mesh,
the same object. Its name stays when it was renamed; collections, parents, modifiers, constraints, custom properties
of object and mesh, and materials of the person's own stay; when it was moved, turned or scaled by hand, every point
of the scan stays where that put it. What belongs to single vertices (groups, shape keys, edits of the mesh) goes with
the old mesh. An object that was moved out of our collections is the person's own: it is left as it is, and another one
is made in its old place. A copy that the person made is left as it is too.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from . import scan
from .collections import results_collection

TO_OBJECT = "scan_to_object"  # 16 numbers, row-major: takes points of the scan into the object
STILL = 1e-4  # metres, and parts of 1 in directions: nearer to where it was put counts as not moved
Key = tuple[int, int]  # label, instance


def in_world(item: bpy.types.Object | None) -> Matrix:
    """Takes an object's points into the world, from its own transform and its parents'; the identity for None.

    ``matrix_world`` is of the last evaluation, in which hidden objects have no part: in a file that was just opened
    it says nothing about them. Constraints are left aside.
    """
    if item is None:
        return Matrix.Identity(4)
    if item.parent is not None and item.parent_type != "OBJECT":
        return item.matrix_world.copy()
    return _base(item) @ item.matrix_basis


def _base(item: bpy.types.Object) -> Matrix:
    """What an object's own transform is relative to."""
    return in_world(item.parent) @ item.matrix_parent_inverse if item.parent is not None else Matrix.Identity(4)


def put(item: bpy.types.Object, world: Matrix) -> None:
    """Give an object a place in the world."""
    if item.parent is not None and item.parent_type != "OBJECT":
        item.matrix_world = world
    else:
        item.matrix_basis = _base(item).inverted_safe() @ world


def size(item: bpy.types.Object) -> Vector:
    """Lengths of an object along its own axes in metres, as it is scaled, whether it is shown or not."""
    points = scan.read_positions(item.data)
    lengths = np.ptp(points, axis=0) if len(points) else np.zeros(3)
    return Vector(lengths) * in_world(item).to_scale()


def key_of(item: bpy.types.Object) -> Key:
    """What tells a separated object from the others of its capture."""
    return item.clickfield.label, item.clickfield.instance


def ours(scene: bpy.types.Scene, capture_id: str, items: list[bpy.types.Object]) -> list[bpy.types.Object]:
    """Those objects that lie in the collections of a capture's results; the others are the person's own."""
    root = results_collection(scene, capture_id)
    folders = {root, *root.children_recursive} if root is not None else set()
    return [item for item in items if folders.intersection(item.users_collection)]


def originals(items: list[bpy.types.Object]) -> dict[Key, bpy.types.Object]:
    """One object for each label and instance: a person's copy has those of its original, but another name."""
    found: dict[Key, bpy.types.Object] = {}
    for item in items:
        if key_of(item) not in found or item.name == item.clickfield.given_name:
            found[key_of(item)] = item
    return found


def matrix(numbers: Any) -> Matrix:
    """A matrix from 16 numbers, row-major."""
    return Matrix([numbers[row * 4 : row * 4 + 4] for row in range(4)])


def numbers_of(transform: Matrix) -> list[float]:
    """16 numbers of a matrix, row-major."""
    return [value for row in transform for value in row]


def from_object(thing: dict[str, Any]) -> Matrix:
    """Takes points of an object into the scan: from its own axes and its foot, as the backend describes them."""
    return Matrix.Translation(Vector(thing["origin"])) @ Matrix.Rotation(thing["yaw"], 4, "Z")


def place(item: bpy.types.Object, into_scan: Matrix, placement: Matrix) -> None:
    """Put an object where the scan has it, or where the person has put that place of the scan.

    Args:
        into_scan: takes the object's points into the scan. placement: takes the scan's points into the world.
    """
    own, target = item.clickfield, placement @ into_scan
    if TO_OBJECT in item and moved_by_hand(item):
        put(item, in_world(item) @ matrix(list(item[TO_OBJECT])) @ into_scan)
    else:
        put(item, target)
    own.placed = numbers_of(target)
    item[TO_OBJECT] = numbers_of(into_scan.inverted())


def moved_by_hand(item: bpy.types.Object) -> bool:
    """Whether an object is elsewhere than where it was put."""
    there, here = matrix(list(item.clickfield.placed)), in_world(item)
    return bool(np.abs(np.array(there) - np.array(here)).max() > STILL)


def name(item: bpy.types.Object, wanted: str) -> None:
    """Name an object as the backend does, unless the person has named it."""
    own = item.clickfield
    if own.given_name in ("", item.name) and _stem(own.given_name) != wanted:
        item.name = wanted
        own.given_name = item.name


def _stem(given: str) -> str:
    """A name without the number that Blender has put behind it."""
    head, _, number = given.rpartition(".")
    return head if head and number.isdigit() and len(number) >= 3 else given


def exchange_mesh(item: bpy.types.Object, mesh: bpy.types.Mesh) -> None:
    """Give an object another mesh, in Object Mode; the old one goes when nobody else uses it."""
    if item.mode != "OBJECT":
        with bpy.context.temp_override(object=item, active_object=item):
            bpy.ops.object.mode_set(mode="OBJECT")  # no mesh can be exchanged while it is edited
    former = item.data
    for key, value in former.items():
        mesh[key] = value
    item.data = mesh
    if not former.users:
        bpy.data.meshes.remove(former)
    mesh.name = item.name  # some importers go by one name, some by the other


def known(items: list[bpy.types.Object]) -> list[dict[str, Any]]:
    """What the backend must know so that numbers stay: label, instance and centre (scene metres) of each object."""
    found: dict[Key, dict[str, Any]] = {}
    for item in items:
        if TO_OBJECT not in item or key_of(item) in found or min(key_of(item)) < 1:
            continue
        points = scan.read_positions(item.data)
        middle = Vector((points.min(axis=0) + points.max(axis=0)) / 2) if len(points) else Vector()
        label, instance = key_of(item)
        centre = matrix(list(item[TO_OBJECT])).inverted() @ middle
        found[label, instance] = {"label": label, "instance": instance, "centre": list(centre)}
    return list(found.values())
