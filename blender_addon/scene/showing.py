"""What is seen of a capture in viewports: the scan, its separated objects, or the scan without them. They lie on one
another, so all but one are hidden; renders are not touched."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from . import objects
from .collections import results_collection
from .scan import find_scan

SCAN, OBJECTS, FILLED = "SCAN", "OBJECTS", "FILLED"


def show(scene: bpy.types.Scene, capture_id: str, what: str) -> None:
    """Show one of SCAN, OBJECTS, FILLED in all view layers, as far as it is there, and hide the others."""
    for item, kind in ((find_scan(scene, capture_id), SCAN), (objects.find_filled(scene, capture_id), FILLED)):
        if item is not None:
            item.hide_viewport = what != kind
            if what == kind:
                _unhide(scene, item)
    for folder in _folders(scene, capture_id):
        folder.hide_viewport = what != OBJECTS


def shown(scene: bpy.types.Scene, capture_id: str) -> set[str]:
    """Which of SCAN, OBJECTS, FILLED are shown."""
    found = set()
    for item, kind in ((find_scan(scene, capture_id), SCAN), (objects.find_filled(scene, capture_id), FILLED)):
        if item is not None and not item.hide_viewport:
            found.add(kind)
    if any(not folder.hide_viewport for folder in _folders(scene, capture_id)):
        found.add(OBJECTS)
    return found


def _unhide(scene: bpy.types.Scene, item: bpy.types.Object) -> None:
    for layer in scene.view_layers:
        if item.name in layer.objects:
            item.hide_set(False, view_layer=layer)


def _folders(scene: bpy.types.Scene, capture_id: str) -> Iterator[bpy.types.LayerCollection]:
    """The collections of labels in the results, in each view layer; also those that other things hide."""
    root = results_collection(scene, capture_id)
    waiting = [layer.layer_collection for layer in scene.view_layers] if root is not None else []
    while waiting:
        one = waiting.pop()
        if one.collection == root:
            yield from one.children
        else:
            waiting += one.children
