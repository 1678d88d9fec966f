"""Edit the tree of labels: add, rename, colour, choose, move, remove. Undo works because the tree is in the scene."""

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatVectorProperty, IntProperty, StringProperty

from ..backend.protocol import MAX_LABELS, MAX_UID, distinct_color
from ..blender_addon.document import tree
from ..blender_addon.properties import KIND_ITEMS


def find_label(own, uid):
    """The label of that uid; 0 means the active one; None when there is none."""
    if uid == 0:
        return own.labels[own.active_label] if own.active_label < len(own.labels) else None
    return next((label for label in own.labels if label.uid == uid), None)


def put_in_order(own, active_uid):
    """Sort the labels depth first, choose one, and count the edit."""
    rows = [label.uid for label in own.labels]
    for place, (uid, _depth) in enumerate(tree.depth_first(own.labels)):
        now = rows.index(uid)
        if now != place:
            own.labels.move(now, place)
            rows.insert(place, rows.pop(now))
    choose(own, active_uid)
    own.revision += 1


def choose(own, uid):
    """Make a label the active one."""
    own.active_label = next((i for i, label in enumerate(own.labels) if label.uid == uid), 0)


def add(own, name, parent=0, kind="class", color=None, thing=True, uid=0):
    """Append a label, by default under a uid that was never used before in this scene; the caller puts it in order."""
    uid = uid or own.next_uid
    own.next_uid = max(own.next_uid, uid + 1)
    label = own.labels.add()
    label.uid, label.parent, label.kind, label.thing = uid, parent, kind, thing
    label.name = name
    label.color = color if color is not None else distinct_color(uid)
    return uid


class LabelOperator:
    """What the operators on one label share."""

    bl_options = {"REGISTER", "UNDO"}
    uid: IntProperty(name="Label", description="Uid of the label; 0 means the active one", default=0, min=0)

    @classmethod
    def poll(cls, context):
        """Only when there is a label."""
        if not len(context.scene.clickfield.labels):
            cls.poll_message_set("Add a label first")
            return False
        return True

    def label(self, context):
        """The label that is meant, or None after a report."""
        found = find_label(context.scene.clickfield, self.uid)
        if found is None:
            self.report({"ERROR"}, f"There is no label with the id {self.uid} in this scene.")
        return found


class CLICKFIELD_OT_add_label(bpy.types.Operator):
    bl_idname = "clickfield.add_label"
    bl_label = "Add Label"
    bl_description = "Add a label"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Name", default="Label", maxlen=256)
    kind: EnumProperty(name="Kind", items=KIND_ITEMS, default="class")
    thing: BoolProperty(name="Thing", description="Connected pieces are separate objects", default=True)
    parent: IntProperty(name="Parent", description="Uid of the parent, 0 for none", default=0, min=0)
    as_child: BoolProperty(name="Below the Active Label", default=False)
    color: FloatVectorProperty(
        name="Color", subtype="COLOR_GAMMA", size=3, min=0.0, max=1.0, description="A distinct one if it is not given"
    )

    @classmethod
    def description(cls, context, properties):
        """One text per button."""
        if properties.as_child:
            return "Add a label below the active one"
        return "Add a group, which holds other labels" if properties.kind == "group" else "Add a label"

    def execute(self, context):
        """Add it and make it the active one."""
        own = context.scene.clickfield
        active = find_label(own, 0)
        parent = active.uid if self.as_child and active is not None else self.parent
        if parent and find_label(own, parent) is None:
            self.report({"ERROR"}, f"There is no label with the id {parent} to put it under.")
            return {"CANCELLED"}
        if len(own.labels) >= MAX_LABELS or own.next_uid > MAX_UID:
            self.report({"ERROR"}, f"This scene has had as many labels as there can be ({MAX_LABELS} at a time).")
            return {"CANCELLED"}
        name = tree.unique_name(self.name.strip() or "Label", [label.name for label in own.labels])
        color = tuple(self.color) if self.properties.is_property_set("color") else None
        put_in_order(own, add(own, name, parent, self.kind, color, self.thing))
        return {"FINISHED"}


class CLICKFIELD_OT_rename_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.rename_label"
    bl_label = "Rename Label"
    bl_description = "Give a label another name"

    name: StringProperty(name="Name", maxlen=256)

    def execute(self, context):
        """Rename it."""
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        if not self.name.strip():
            self.report({"ERROR"}, "A label needs a name.")
            return {"CANCELLED"}
        label.name = self.name.strip()
        return {"FINISHED"}


class CLICKFIELD_OT_color_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.color_label"
    bl_label = "Color Label"
    bl_description = "Give a label another color"

    color: FloatVectorProperty(name="Color", subtype="COLOR_GAMMA", size=3, min=0.0, max=1.0)

    def execute(self, context):
        """Colour it."""
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        label.color = self.color
        return {"FINISHED"}


class CLICKFIELD_OT_choose_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.choose_label"
    bl_label = "Choose Label"
    bl_description = "Make this the label that clicks give"

    def execute(self, context):
        """Make it active."""
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        choose(context.scene.clickfield, label.uid)
        return {"FINISHED"}


class CLICKFIELD_OT_remove_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.remove_label"
    bl_label = "Remove Label"
    bl_description = "Remove a label and its marks; what is below it moves up"

    def execute(self, context):
        """Remove it."""
        own = context.scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        uid, parent = label.uid, label.parent
        row = next(i for i, other in enumerate(own.labels) if other.uid == uid)
        for other in own.labels:
            if other.parent == uid:
                other.parent = parent
        for index in reversed(range(len(own.marks))):
            if own.marks[index].label == uid:
                own.marks.remove(index)
        own.labels.remove(row)
        neighbour = own.labels[min(row, len(own.labels) - 1)].uid if len(own.labels) else 0
        put_in_order(own, neighbour)
        return {"FINISHED"}


class CLICKFIELD_OT_move_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.move_label"
    bl_label = "Move Label"
    bl_description = "Put a label, with all below it, under another one"

    parent: IntProperty(name="Parent", description="Uid of the new parent, 0 for none", default=0, min=0)

    def execute(self, context):
        """Move it to the end of its new siblings."""
        own = context.scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        if self.parent and find_label(own, self.parent) is None:
            self.report({"ERROR"}, f"There is no label with the id {self.parent} to put it under.")
            return {"CANCELLED"}
        if self.parent == label.uid or self.parent in tree.descendants(own.labels, label.uid):
            self.report({"ERROR"}, f"{label.name} cannot be put below itself.")
            return {"CANCELLED"}
        label.parent = self.parent
        put_in_order(own, label.uid)
        return {"FINISHED"}


class CLICKFIELD_OT_shift_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.shift_label"
    bl_label = "Shift Label"
    bl_description = "Move a label up or down among its siblings"

    direction: EnumProperty(items=(("UP", "Up", "Towards the first"), ("DOWN", "Down", "Towards the last")))

    def execute(self, context):
        """Swap it with the next sibling in that direction."""
        own = context.scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        uid = label.uid
        rows = [i for i, other in enumerate(own.labels) if other.parent == label.parent]
        place = next(k for k, row in enumerate(rows) if own.labels[row].uid == uid)
        other = place + (1 if self.direction == "DOWN" else -1)
        if not 0 <= other < len(rows):
            return {"CANCELLED"}
        own.labels.move(rows[place], rows[other])
        put_in_order(own, uid)
        return {"FINISHED"}


CLASSES = (
    CLICKFIELD_OT_add_label,
    CLICKFIELD_OT_rename_label,
    CLICKFIELD_OT_color_label,
    CLICKFIELD_OT_choose_label,
    CLICKFIELD_OT_remove_label,
    CLICKFIELD_OT_move_label,
    CLICKFIELD_OT_shift_label,
)
