"""Geometry Nodes that work on the label attributes: loaded from ``assets/nodes.blend``, added as modifiers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy

from ..document import tree
from . import passes

FILE = Path(__file__).resolve().parents[2] / "assets" / "nodes.blend"
MADE = "clickfield_nodes"  # custom property of a loaded group: its name in the file
GROUPS = ("Scatter on Label", "Hide Label", "Color by Label", "Explode by Tree")


class NodesError(Exception):
    """One sentence that says why there are no nodes."""


def load(name: str) -> bpy.types.NodeTree:
    """A node group of the file; that of this .blend if it has been loaded before. Raises NodesError."""
    for group in bpy.data.node_groups:
        if group.get(MADE) == name and group.library is None:
            return group
    try:
        with bpy.data.libraries.load(str(FILE), link=False) as (stored, wanted):
            wanted.node_groups = [one for one in stored.node_groups if one == name]
    except OSError as error:
        raise NodesError(f"The node groups in {FILE.name} cannot be read; install the extension again.") from error
    if not wanted.node_groups:
        raise NodesError(f"There are no nodes called {name} in {FILE.name}; install the extension again.")
    group = wanted.node_groups[0]
    group[MADE], group.use_fake_user = name, False
    return group


def add(item: bpy.types.Object, name: str, inputs: Mapping[str, Any]) -> bpy.types.Modifier:
    """Add a node group to a mesh object as a modifier; ``inputs`` by the names of the group's sockets.

    Raises NodesError.
    """
    group = load(name)
    passes.write_face_labels(item.data)
    modifier = item.modifiers.new(name, "NODES")
    modifier.node_group = group
    set_inputs(modifier, inputs)
    return modifier


def set_inputs(modifier: bpy.types.Modifier, inputs: Mapping[str, Any]) -> None:
    """Set inputs of a modifier by the names of its group's sockets; names that it does not have are left out."""
    for socket in modifier.node_group.interface.items_tree:
        if getattr(socket, "in_out", "") != "INPUT" or socket.name not in inputs:
            continue
        if hasattr(modifier, "properties"):  # from 5.2
            getattr(modifier.properties.inputs, socket.identifier).value = inputs[socket.name]
        else:
            modifier[socket.identifier] = inputs[socket.name]
    modifier.id_data.update_tag()


def where(scene: bpy.types.Scene, uid: int) -> str:
    """The face attribute in which a label is found: a label with others below it stands on its level of the tree."""
    nodes = scene.clickfield.labels
    level = len(tree.paths(nodes).get(uid, ()))
    if any(node.parent == uid for node in nodes) and level in passes.levels(scene):
        return passes.face_level(level)
    return passes.FACE_LABEL
