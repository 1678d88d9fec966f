"""What marks say about instances: which of them lie on which object, numbers that are taken, places for marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from ...backend.protocol import MAX_UID
from . import facts, objects, scan
from .cameras import matrix_from_rows
from .upkeep import TO_OBJECT, matrix

NEAR = 0.03  # metres between a mark and the surface of the object that it lies on, at most


def highest_instance(scene: bpy.types.Scene, uid: int) -> int:
    """The highest number that an object or a mark of a label has; 0 when there is none."""
    own = scene.clickfield
    numbers = [item.clickfield.instance for item in _objects_of(scene, uid)]
    return max([0, *numbers, *(mark.instance for mark in own.marks if mark.label == uid)])


def make_room(scene: bpy.types.Scene, gone: int, kept: int) -> None:
    """One label is about to be merged into another: its numbers move past those that the other has."""
    offset = highest_instance(scene, kept)
    for item in _objects_of(scene, gone):
        item.clickfield.instance += offset
    for mark in scene.clickfield.marks:
        if mark.label == gone and mark.instance:
            mark.instance = min(mark.instance + offset, MAX_UID)


def _objects_of(scene: bpy.types.Scene, uid: int) -> list[bpy.types.Object]:
    found = objects.separated_objects(scene, scene.clickfield.capture_id)
    return [item for item in found if item.clickfield.label == uid]


def places_of_marks(
    scene: bpy.types.Scene, placed: Mapping[int, tuple[float, float, float]]
) -> dict[int, tuple[float, float, float]]:
    """Scene coordinates of each mark's first point, by row, as far as they are known.

    Args:
        placed: scene coordinates of marks by id, as the backend has placed them.
    """
    own = scene.clickfield
    scene_from_world = matrix_from_rows(list(own.scene_from_world))
    places = {}
    for row, mark in enumerate(own.marks):
        if len(mark.points):
            places[row] = tuple(scene_from_world @ Vector(mark.points[0].co))
        elif mark.uid in placed:
            places[row] = tuple(placed[mark.uid])
    return places


def marks_on(
    items: Sequence[bpy.types.Object], places: Mapping[int, tuple[float, float, float]]
) -> dict[int, bpy.types.Object]:
    """The object that each mark lies on: the nearest of them, when it is near enough. Marks elsewhere are left out."""
    nearest: dict[int, tuple[float, bpy.types.Object]] = {}
    for item in items:
        if TO_OBJECT not in item or not len(item.data.polygons):
            continue
        points = scan.read_positions(item.data)
        low, high = points.min(axis=0) - NEAR, points.max(axis=0) + NEAR
        into, tree = matrix(list(item[TO_OBJECT])), None
        for row, place in places.items():
            point = into @ Vector(place)
            if not (low <= np.array(point)).all() or not (np.array(point) <= high).all():
                continue
            tree = tree or BVHTree.FromPolygons(points.tolist(), scan.read_faces(item.data).tolist())
            distance = tree.find_nearest(point, NEAR)[3]
            if distance is not None and distance < nearest.get(row, (NEAR,))[0]:
                nearest[row] = distance, item
    return {row: item for row, (_, item) in nearest.items()}


def seen_place(item: bpy.types.Object) -> Vector:
    """A point on an object that cameras saw, near the middle of what they saw of it, in scene metres."""
    points, observed = scan.read_positions(item.data), facts.read_observed(item.data)
    if observed is not None and (observed >= facts.HALF).any():
        points = points[observed >= facts.HALF]
    middle = points.mean(axis=0)
    chosen = points[np.linalg.norm(points - middle, axis=1).argmin()]
    return matrix(list(item[TO_OBJECT])).inverted() @ Vector(chosen)
