"""What the keys of the label tree do. Each acts on the chosen label, while the pointer is over Clickfield's panels."""

import bpy
from bpy.props import EnumProperty

from ..blender_addon.ui.label_keys import TREE_KEYMAP
from .tree import choose, find_label

__all__ = ["CLASSES", "TREE_KEYMAP"]

ACTIONS = (  # identifier, name, description, operator or "", its properties
    ("RENAME", "Rename", "Give the label another name", "rename_label", {}),
    ("ADD_SIBLING", "Add Label", "Add a label after the chosen one", "add_label", {"place": "SIBLING"}),
    ("ADD_CHILD", "Add Label Below", "Add a label below the chosen one", "add_label", {"place": "CHILD"}),
    ("DUPLICATE", "Duplicate", "Copy the label and all below it", "duplicate_label", {}),
    ("SPLIT", "Split", "Make labels below the chosen one", "split_label", {}),
    ("MERGE", "Merge", "Make one label of two", "merge_labels", {}),
    ("MOVE_TO", "Move To", "Search for the label to put it under", "search_move_label", {}),
    ("MOVE_UP", "Move Up", "Before the label above it", "shift_label", {"direction": "UP"}),
    ("MOVE_DOWN", "Move Down", "After the label below it", "shift_label", {"direction": "DOWN"}),
    ("MOVE_IN", "Move In", "Under the label above it", "shift_label", {"direction": "IN"}),
    ("MOVE_OUT", "Move Out", "Beside its parent", "shift_label", {"direction": "OUT"}),
    ("EXPAND", "Expand", "Show what is below the label", "", {}),
    ("COLLAPSE", "Collapse", "Hide what is below the label, or go to its parent", "", {}),
    ("RECOLOR", "Color", "Give the label another color", "color_label", {}),
    ("ISOLATE", "Isolate", "Show the label alone, or everything again", "isolate_label", {}),
    ("HIDE", "Hide or Show", "Close or open the label's eye", "", {}),
    ("SELECT", "Select Surface", "Select what carries the label", "select_label_surface", {}),
    ("REMOVE", "Remove", "Remove the label", "remove_label", {}),
)
CALLS = {item[0]: item[3:] for item in ACTIONS if item[3]}


def collapse(own, label):
    """Close the label, or choose its parent when there is nothing to close."""
    if label.expanded and any(other.parent == label.uid for other in own.labels):
        label.expanded = False
    elif label.parent:
        choose(own, label.parent)


def _list_under_mouse(context):
    found = getattr(context, "ui_list", None)
    return found.bl_idname if found is not None else ""


def _over_row(context):
    """Blender tells of which property the button under the mouse is: (datablock, path, index)."""
    found = getattr(context, "property", None)
    return found is not None and found[1] == "clickfield.label_row"


class CLICKFIELD_OT_label_key(bpy.types.Operator):
    bl_idname = "clickfield.label_key"
    bl_label = "Label Tree"
    bl_description = "Change the chosen label; the pointer is over Clickfield's panels"
    bl_options = {"INTERNAL"}  # the operators that it calls make the undo steps

    action: EnumProperty(name="Action", items=[item[:3] for item in ACTIONS])

    @classmethod
    def poll(cls, context):
        """Over Clickfield's panels only, and not over another list, so that keys keep their meaning elsewhere."""
        region = context.region
        if region is None or region.type != "UI" or context.area.type != "VIEW_3D":
            return False
        if region.active_panel_category != "Clickfield" or not context.scene.clickfield.capture_id:
            return False
        return _list_under_mouse(context) in ("", "CLICKFIELD_UL_labels")

    def invoke(self, context, event):
        """What cannot be taken for granted needs the pointer over the list, a double-click over a row of it."""
        over_list = _list_under_mouse(context) == "CLICKFIELD_UL_labels"
        if self.action in ("REMOVE", "SELECT") and not over_list:
            return {"PASS_THROUGH"}
        if event.type == "LEFTMOUSE" and not _over_row(context):
            return {"PASS_THROUGH"}
        return self.execute(context)

    def execute(self, context):
        """Do it, with an undo step of its own."""
        own = context.scene.clickfield
        if self.action in CALLS:
            name, properties = CALLS[self.action]
            called = getattr(bpy.ops.clickfield, name)
            if not called.poll():
                return {"PASS_THROUGH"}
            called("INVOKE_DEFAULT", True, **properties)
            return {"FINISHED"}
        label = find_label(own, 0)
        if label is None:
            return {"PASS_THROUGH"}
        if self.action == "EXPAND":
            label.expanded = True
        elif self.action == "COLLAPSE":
            collapse(own, label)
        elif self.action == "HIDE":
            label.visible = not label.visible
            bpy.ops.ed.undo_push(message="Hide or Show Label")
        context.area.tag_redraw()
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_label_key,)
