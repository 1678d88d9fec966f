"""By mouse and keys with the Label tool: which label is under the pointer, take it, take a mark away, recent labels."""

import bpy
from bpy.props import IntProperty

from ..blender_addon import hovering, marked
from ..blender_addon.document import recent
from ..blender_addon.pointer import pointer_at, pressed_at
from .tree import choose, find_label


def pointed(operator, context, event):
    """What points where a button or key went down, and where in its region; None after a report."""
    found = pointer_at(context, pressed_at(event))
    if found is None:
        operator.report({"ERROR"}, "Point into a 3D viewport.")
    return found


class CLICKFIELD_OT_pick_label(bpy.types.Operator):
    bl_idname = "clickfield.pick_label"
    bl_label = "Pick Label"
    bl_description = "Choose the label that is under the mouse"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        """Only with labels."""
        return len(context.scene.clickfield.labels) > 0

    def invoke(self, context, event):
        """Make it the active label."""
        found = pointed(self, context, event)
        if found is None:
            return {"CANCELLED"}
        pointer, x, y = found
        label = pointer.label(x, y)
        if label is None:
            self.report({"WARNING"}, "There is no scan under the mouse.")
            return {"CANCELLED"}
        if not label[0]:
            self.report({"INFO"}, "There is no label here yet.")
            return {"CANCELLED"}
        own = context.scene.clickfield
        choose(own, label[0])
        self.report({"INFO"}, find_label(own, label[0]).name)
        return {"FINISHED"}


class CLICKFIELD_OT_choose_recent(bpy.types.Operator):
    bl_idname = "clickfield.choose_recent"
    bl_label = "Choose Recent Label"
    bl_description = "Choose one of the labels that were used last"
    bl_options = {"UNDO"}

    number: IntProperty(name="Number", description="1 for the label that was used last", default=1, min=1, max=9)

    @classmethod
    def description(cls, context, properties):
        """The key along with the name."""
        label = cls._label(context, properties.number)
        return f"Mark with {label.name} (key {properties.number})" if label is not None else cls.bl_description

    @staticmethod
    def _label(context, number):
        own = context.scene.clickfield
        uids = recent.choices(own.recent, [label.uid for label in own.labels])
        return find_label(own, uids[number - 1]) if number <= len(uids) else None

    @classmethod
    def poll(cls, context):
        """Only with labels."""
        return len(context.scene.clickfield.labels) > 0

    def execute(self, context):
        """Make it the active label."""
        label = self._label(context, self.number)
        if label is None:
            self.report({"INFO"}, f"There is no label number {self.number}.")
            return {"CANCELLED"}
        choose(context.scene.clickfield, label.uid)
        return {"FINISHED"}


class CLICKFIELD_OT_remove_mark_here(bpy.types.Operator):
    bl_idname = "clickfield.remove_mark_here"
    bl_label = "Remove Mark Under Mouse"
    bl_description = "Take the mark whose dot is under the mouse back, with everything that it taught"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        """Only when there are marks."""
        return len(context.scene.clickfield.marks) > 0

    def invoke(self, context, event):
        """Remove it."""
        found = pointed(self, context, event)
        if found is None:
            return {"CANCELLED"}
        pointer, x, y = found
        dots = marked.dots(context.scene)
        row = pointer.nearest(dots.positions, x, y) if dots is not None else None
        if row is None:
            self.report({"WARNING"}, "There is no mark under the mouse; point at the middle of its dot.")
            return {"CANCELLED"}
        own = context.scene.clickfield
        own.marks.remove(int(dots.rows[row]))
        own.active_mark = max(min(own.active_mark, len(own.marks) - 1), 0)
        own.revision += 1
        return {"FINISHED"}


class CLICKFIELD_OT_hover(bpy.types.Operator):
    bl_idname = "clickfield.hover"
    bl_label = "Tell the Label Under the Mouse"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        """Only with labels."""
        return len(context.scene.clickfield.labels) > 0

    def invoke(self, context, event):
        """Look once and let the movement go on to whatever else it is for."""
        found = pointer_at(context, (event.mouse_x, event.mouse_y))
        if found is not None:
            hovering.look(context, *found)
        return {"PASS_THROUGH"}


CLASSES = (
    CLICKFIELD_OT_pick_label,
    CLICKFIELD_OT_choose_recent,
    CLICKFIELD_OT_remove_mark_here,
    CLICKFIELD_OT_hover,
)
