"""Choosing a label by name, for operators that give something to another one."""

import bpy
from bpy.props import EnumProperty, IntProperty

from .tree import find_label

_items = []  # Blender keeps no reference to the strings of a dynamic enumeration


def _every_label(_, context):
    _items[:] = [(str(one.uid), one.name, "") for one in context.scene.clickfield.labels]
    return _items


def _every_class(_, context):
    _items[:] = [(str(one.uid), one.name, "") for one in context.scene.clickfield.labels if one.kind == "class"]
    return _items


class LabelChoice:
    """What operators share that ask for a label: its uid as a property, or a search by name.

    They say ``bl_property = "choice"`` themselves: Blender looks for it in their own class alone.
    """

    label: IntProperty(name="Label", description="Uid of the label; 0 means the one that is chosen", default=0, min=0)
    choice: EnumProperty(name="Label", items=_every_label)

    def invoke(self, context, event):
        """Search by name."""
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def chosen_label(self, context) -> bpy.types.PropertyGroup | None:
        """The label; without any the person is told, and it is None."""
        uid = self.label or int(self.choice or 0)
        label = find_label(context.scene.clickfield, uid) if uid else None
        if label is None:
            self.report({"ERROR"}, f"There is no label with the id {uid} in this scene.")
        return label


class ClassChoice(LabelChoice):
    """The same where groups are not offered."""

    choice: EnumProperty(name="Label", items=_every_class)
