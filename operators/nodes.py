"""Geometry Nodes on labelled meshes."""

import bpy
from bpy.props import EnumProperty

from ..blender_addon.scene import nodes
from ..blender_addon.scene.scan import find_scan

KINDS = (
    (
        "Scatter on Label",
        "Scatter on Label",
        "Strew an object over the surface of the active label",
        "STICKY_UVS_LOC",
        0,
    ),
    ("Hide Label", "Hide Label", "Take the active label's surface away, or everything else", "HIDE_ON", 1),
    ("Color by Label", "Color by Label", "Mix the colors of the labels into the photos', in renders too", "COLOR", 2),
    ("Explode by Tree", "Explode by Tree", "Move groups, labels and numbered things apart", "MOD_EXPLODE", 3),
)


class CLICKFIELD_OT_add_label_nodes(bpy.types.Operator):
    """Add Geometry Nodes that work on labels, as a modifier of the active labelled mesh or else of the scan.
    Hide Label and Color by Label are added to all labelled meshes that are selected"""

    bl_idname = "clickfield.add_label_nodes"
    bl_label = "Add Label Nodes"
    bl_options = {"REGISTER", "UNDO"}

    kind: EnumProperty(name="Nodes", items=KINDS)

    @classmethod
    def poll(cls, context):
        if _target(context) is None:
            cls.poll_message_set("Select a labelled mesh, or import a capture first")
            return False
        return True

    def execute(self, context):
        own, item = context.scene.clickfield, _target(context)
        if self.kind == "Explode by Tree" and item.clickfield.role == "OBJECT":
            self.report({"ERROR"}, "Explode by Tree moves things of one mesh apart; make the scan the active object.")
            return {"CANCELLED"}
        active = own.labels[own.active_label].uid if own.active_label < len(own.labels) else 0
        inputs = {"Label": active, "Attribute": nodes.where(context.scene, active)}
        if self.kind == "Scatter on Label":
            others = [one for one in context.selected_objects if one != item and one.type == "MESH"]
            inputs |= {"Object": others[0]} if others else {}
        if self.kind == "Color by Label":
            inputs = {}
        items = {item}
        if self.kind in ("Hide Label", "Color by Label"):
            items |= {one for one in context.selected_objects if _is_labelled(one)}
        try:
            modifier = [nodes.add(one, self.kind, inputs) for one in items][-1]
        except nodes.NodesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if self.kind == "Scatter on Label" and "Object" not in inputs:
            self.report({"INFO"}, f"Choose the object to strew in the modifier {modifier.name} of {item.name}")
        return {"FINISHED"}


def _target(context):
    """The active mesh if it is labelled, else the scan."""
    item = context.active_object
    if item is not None and _is_labelled(item):
        return item
    return find_scan(context.scene, context.scene.clickfield.capture_id)


def _is_labelled(item):
    return item.type == "MESH" and "label" in item.data.attributes


CLASSES = (CLICKFIELD_OT_add_label_nodes,)
