"""Collections that mirror the label tree, so that the Outliner shows the same hierarchy once objects exist.

They are found by the ids on them, never by name. What the person puts among them (collections, objects) is theirs: it
is never removed, and goes along when a collection of ours goes away.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable, Mapping

import bpy
import numpy as np

from . import scan

RESULTS_OF = "clickfield_objects"  # custom property of the top collection: id of the capture
LABEL = "clickfield_label"  # custom property of the collections below: uid of the label
# Blender's eight collection colours by hue; brown, the eighth, is a dark orange.
TAG_HUES = ((0.0, 1), (0.085, 2), (0.15, 3), (0.33, 4), (0.56, 5), (0.73, 6), (0.86, 7), (1.0, 1))
GREY, BROWN_HUES, DARK = 0.15, (0.03, 0.12), 0.6  # saturation under which no colour fits; hue and value of brown
FLAGS = ("exclude", "hide_viewport", "holdout", "indirect_only")


def results_collection(scene: bpy.types.Scene, capture_id: str) -> bpy.types.Collection | None:
    """The top collection of a capture's separated objects."""
    for collection in scene.collection.children_recursive:
        if collection.get(RESULTS_OF) == capture_id:
            return collection
    return None


def new_root(scene: bpy.types.Scene, capture_id: str) -> bpy.types.Collection:
    """A top collection for the separated objects of a capture."""
    root = bpy.data.collections.new(f"Objects {scene.clickfield.capture_name}".strip())
    root[RESULTS_OF] = capture_id
    scene.collection.children.link(root)
    return root


def mirror(scene: bpy.types.Scene, moved: Mapping[int, int] | None = None) -> None:
    """Bring collections and separated objects up to date with the label tree; nothing is done before there are any.

    Args:
        moved: labels that went away, each with the label that now has what was theirs, 0 for none.
    """
    own = scene.clickfield
    if moved:
        _relabel_objects(scene, moved)
    root = results_collection(scene, own.capture_id) if own.capture_id else None
    if root is None:
        return
    flags = _layer_flags(scene)
    folders = Folders(root, scene)
    folders.hand_over(moved or {})
    for uid in folders.uids():
        folders.of(uid)
    folders.drop_empty()
    folders.sort()
    _restore_flags(scene, flags)


def relabel(scene: bpy.types.Scene, uid: int) -> None:
    """A label has another name or colour: give both to its collection, if it has one."""
    own = scene.clickfield
    root = results_collection(scene, own.capture_id) if own.capture_id else None
    folder = next((one for one in root.children_recursive if one.get(LABEL) == uid), None) if root else None
    label = next((one for one in own.labels if one.uid == uid), None)
    if folder is not None and label is not None:
        _name(folder, label.name)
        folder.color_tag = color_tag(label.color)


def color_tag(color: Iterable[float]) -> str:
    """The collection colour of Blender nearest to an sRGB colour 0..1; ``NONE`` for greys."""
    hue, saturation, value = colorsys.rgb_to_hsv(*color)
    if saturation < GREY or value < GREY:
        return "NONE"
    if BROWN_HUES[0] < hue < BROWN_HUES[1] and value < DARK:
        return "COLOR_08"
    return f"COLOR_0{min(TAG_HUES, key=lambda tag: abs(tag[0] - hue))[1]}"


class Folders:
    """Collections below the top one, one per label that has objects or children with objects."""

    def __init__(self, root: bpy.types.Collection, scene: bpy.types.Scene):
        self._root = root
        self._nodes = {node.uid: (node.name, node.parent, tuple(node.color)) for node in scene.clickfield.labels}
        self._known = {child[LABEL]: child for child in root.children_recursive if LABEL in child}
        self._placed: set[int] = set()

    def uids(self) -> list[int]:
        """Labels that have a collection, in the order of the tree."""
        return [uid for uid in self._nodes if uid in self._known]

    def of(self, uid: int) -> bpy.types.Collection:
        """The label's collection, made or moved to where the tree has it now; the top one for a label that is gone."""
        if uid not in self._nodes:
            return self._root
        if uid not in self._placed:
            self._placed.add(uid)
            name, parent, color = self._nodes[uid]
            self._place(uid, name, self.of(parent), color)
        return self._known[uid]

    def _place(self, uid: int, name: str, parent: bpy.types.Collection, color: tuple[float, ...]) -> None:
        folder = self._known.get(uid)
        if folder is None:
            folder = self._known[uid] = bpy.data.collections.new(name)
            folder[LABEL], folder.color_tag = uid, color_tag(color)
        _name(folder, name)
        if parent.children.get(folder.name) == folder:
            return
        for holder in (self._root, *self._known.values()):
            if holder.children.get(folder.name) == folder:
                holder.children.unlink(folder)
        parent.children.link(folder)

    def hand_over(self, moved: Mapping[int, int]) -> None:
        """Empty the collections of labels that are gone into those that now have what was theirs."""
        for uid in [uid for uid in self._known if uid not in self._nodes]:
            folder = self._known.pop(uid)
            target = self.of(moved.get(uid, 0))
            for item in list(folder.objects):
                if target.objects.get(item.name) != item:
                    target.objects.link(item)
            for child in list(folder.children):
                if LABEL not in child and target.children.get(child.name) != child:
                    target.children.link(child)
                elif child.get(LABEL) in self._nodes:
                    self.of(child[LABEL])
            bpy.data.collections.remove(folder)

    def drop_empty(self) -> None:
        """Remove collections of labels that have no objects any more."""
        below = {folder.session_uid: folder for folder in self._root.children_recursive}
        for folder in reversed(below.values()):
            if LABEL in folder and not folder.objects and not folder.children:
                self._known.pop(folder[LABEL], None)
                bpy.data.collections.remove(folder)

    def sort(self) -> None:
        """Siblings in the order of the tree; the person's own collections come before them where that changes."""
        order = {uid: place for place, uid in enumerate(self._nodes)}
        for holder in (self._root, *self._known.values()):
            ours = [child for child in holder.children if child.get(LABEL) in order]
            wanted = sorted(ours, key=lambda child: order[child[LABEL]])
            if ours != wanted:
                for child in wanted:
                    holder.children.unlink(child)
                for child in wanted:
                    holder.children.link(child)


def _name(folder: bpy.types.Collection, name: str) -> None:
    """Rename unless the collection has the name already, with the number that Blender may have put behind it."""
    if name and folder.name != name and re.sub(r"\.\d{3,}$", "", folder.name) != name:
        folder.name = name


def _relabel_objects(scene: bpy.types.Scene, moved: Mapping[int, int]) -> None:
    """Give separated objects of labels that are gone to the labels that follow them, with numbers that are free."""
    capture_id = scene.clickfield.capture_id
    items = [
        item
        for item in scene.objects
        if item.clickfield.role == "OBJECT" and item.clickfield.capture_id == capture_id and item.type == "MESH"
    ]
    taken = {(item.clickfield.label, item.clickfield.instance) for item in items}
    for item in items:
        own = item.clickfield
        if own.label not in moved:
            continue
        former, own.label = own.label, moved[own.label]
        if (own.label, own.instance) in taken:
            own.instance = 1 + max(instance for label, instance in taken if label == own.label)
        taken.add((own.label, own.instance))
        labels, confidence = scan.read_labels(item.data)
        scan.write_labels(item.data, np.where(labels == former, own.label, labels).astype(np.uint16), confidence)


def _layer_collections(layer: bpy.types.ViewLayer) -> Iterable[bpy.types.LayerCollection]:
    """Every collection of a view layer, parents before their children."""
    waiting = [layer.layer_collection]
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(one.children)


def _layer_flags(scene: bpy.types.Scene) -> dict[tuple[str, int], tuple[bool, ...]]:
    return {
        (layer.name, one.collection.session_uid): tuple(getattr(one, flag) for flag in FLAGS)
        for layer in scene.view_layers
        for one in _layer_collections(layer)
    }


def _restore_flags(scene: bpy.types.Scene, flags: Mapping[tuple[str, int], tuple[bool, ...]]) -> None:
    """Moving a collection in the tree makes Blender forget how view layers show it."""
    for layer in scene.view_layers:
        for one in _layer_collections(layer):
            kept = flags.get((layer.name, one.collection.session_uid), ())
            for flag, value in zip(FLAGS, kept, strict=False):
                if getattr(one, flag) != value:
                    setattr(one, flag, value)
