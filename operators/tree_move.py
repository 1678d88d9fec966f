"""Move labels in the tree: up, down, in, out, under any other label. Marks stay with their labels."""

import bpy
from bpy.props import EnumProperty, IntProperty

from ..blender_addon.document import tree
from .tree import LabelOperator, find_label, put_in_order

DIRECTIONS = (
    ("UP", "Up", "Before the label above it, under the same parent"),
    ("DOWN", "Down", "After the label below it, under the same parent"),
    ("IN", "In", "Under the label above it"),
    ("OUT", "Out", "Beside its parent"),
)
_items = []  # Blender does not keep the texts of a dynamic enum


def label_items(own, left_out=(), top=False):
    """Enum items of all labels by uid, with the names above them, except some."""
    names = {label.uid: label.name for label in own.labels}
    _items[:] = [("0", "Top Level", "Under no label")] if top else []
    for uid, path in tree.paths(own.labels).items():
        if uid not in left_out:
            _items.append((str(uid), " / ".join(names[one] for one in path), ""))
    return _items


def reparent(operator, own, label, parent):
    """Put a label at the end of the children of another (0 for the top level); an operator's result."""
    if parent and find_label(own, parent) is None:
        operator.report({"ERROR"}, f"There is no label with the id {parent} to put it under.")
    elif parent == label.uid or parent in tree.descendants(own.labels, label.uid):
        operator.report({"ERROR"}, f"{label.name} cannot be put below itself.")
    elif tree.too_deep(own.labels, label.uid, parent):
        operator.report({"ERROR"}, f"A label tree has at most {tree.MAX_DEPTH} levels; put {label.name} higher up.")
    else:
        uid = label.uid
        row = next(i for i, other in enumerate(own.labels) if other.uid == uid)
        label.parent = parent
        own.labels.move(row, len(own.labels) - 1)
        put_in_order(own, uid)
        return {"FINISHED"}
    return {"CANCELLED"}


class CLICKFIELD_OT_move_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.move_label"
    bl_label = "Move Label"
    bl_description = "Put a label, with all below it, under another one; its marks stay with it"

    parent: IntProperty(
        name="Parent", description="Uid of the new parent, 0 for none", default=0, min=0, options={"SKIP_SAVE"}
    )

    def execute(self, context):
        """Move it to the end of its new siblings."""
        label = self.label(context)
        return {"CANCELLED"} if label is None else reparent(self, context.scene.clickfield, label, self.parent)


def _targets(self, context):
    own = context.scene.clickfield
    label = find_label(own, self.uid)
    return label_items(own, {label.uid, *tree.descendants(own.labels, label.uid)} if label else (), top=True)


class CLICKFIELD_OT_search_move_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.search_move_label"
    bl_label = "Move Label To"
    bl_description = "Search for the label under which to put the active one, with all below it"
    bl_property = "target"

    target: EnumProperty(name="Under", items=_targets, options={"SKIP_SAVE"})

    def invoke(self, context, event):
        """Type to find the label."""
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        """Move it."""
        label = self.label(context)
        return {"CANCELLED"} if label is None else reparent(self, context.scene.clickfield, label, int(self.target))


class CLICKFIELD_OT_shift_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.shift_label"
    bl_label = "Shift Label"
    bl_description = "Move a label with all below it by one step"

    direction: EnumProperty(name="Direction", items=DIRECTIONS, options={"SKIP_SAVE"})

    @classmethod
    def description(cls, context, properties):
        """One text per button."""
        text = next(item[2] for item in DIRECTIONS if item[0] == properties.direction)
        return f"Move the label, with all below it: {text[0].lower()}{text[1:]}"

    def execute(self, context):
        """Move it by one step; at the end of the way say so."""
        own = context.scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        siblings = [i for i, other in enumerate(own.labels) if other.parent == label.parent]
        place = next(k for k, row in enumerate(siblings) if own.labels[row].uid == label.uid)
        if self.direction == "OUT":
            return self._out(own, label)
        if self.direction == "IN" and place:
            return reparent(self, own, label, own.labels[siblings[place - 1]].uid)
        other = place + (1 if self.direction == "DOWN" else -1)
        if not 0 <= other < len(siblings):
            where = "last" if self.direction == "DOWN" else "first"
            self.report({"INFO"}, f"{label.name} is already the {where} one under its parent.")
            return {"CANCELLED"}
        uid = label.uid
        own.labels.move(siblings[place], siblings[other])
        put_in_order(own, uid)
        return {"FINISHED"}

    def _out(self, own, label):
        """Right after its parent."""
        parent = find_label(own, label.parent) if label.parent else None
        if parent is None:
            self.report({"INFO"}, f"{label.name} is already at the top level.")
            return {"CANCELLED"}
        uid, above, label.parent = label.uid, parent.uid, parent.parent
        rows = [other.uid for other in own.labels]
        own.labels.move(rows.index(uid), rows.index(above) + 1)
        put_in_order(own, uid)
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_move_label, CLICKFIELD_OT_search_move_label, CLICKFIELD_OT_shift_label)
