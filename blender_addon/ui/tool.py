"""The Label tool in the toolbar of the 3D viewport: its keys, its header, its hints in the status bar."""

from __future__ import annotations

import bpy

from .. import hovering
from ..document import recent

NUMBERS = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
SHOWN = 6  # recent labels with their numbers in the header; the others have their keys all the same
KEYMAP = "3D View Tool: Object, Label"  # as Blender names it after the label of the tool
PRESS = {"type": "LEFTMOUSE", "value": "PRESS"}
HINTS = (
    ("MOUSE_LMB", "Mark"),
    ("MOUSE_LMB_DRAG", "Stroke"),
    ("EVENT_CTRL", "Not This"),
    ("EVENT_SHIFT", "Pick"),
    ("EVENT_ALT", "Remove"),
    ("EVENT_V", "Best View"),
)


class LabelTool(bpy.types.WorkSpaceTool):
    bl_space_type = "VIEW_3D"
    bl_context_mode = "OBJECT"
    bl_idname = hovering.TOOL
    bl_label = "Label"
    bl_description = (
        "Mark things on the scan or on a keyframe's picture with the active label.\n"
        "\N{BULLET} Click to mark, drag to mark along a stroke.\n"
        "\N{BULLET} Ctrl: it is not of this label.\n"
        "\N{BULLET} Shift-click: take the label under the mouse.\n"
        "\N{BULLET} Alt-click on a mark: take it back.\n"
        "\N{BULLET} 1 to 9: one of the labels used last.\n"
        "\N{BULLET} V: best view of the place; Page Up and Down: other keyframes"
    )
    bl_icon = "ops.paint.weight_sample_group"
    bl_cursor = "CROSSHAIR"
    bl_keymap = (
        ("clickfield.mark", PRESS, {"properties": [("sign", 1)]}),
        ("clickfield.mark", {**PRESS, "ctrl": True}, {"properties": [("sign", -1)]}),
        ("clickfield.pick_label", {**PRESS, "shift": True}, None),
        ("clickfield.remove_mark_here", {**PRESS, "alt": True}, None),
        *(
            ("clickfield.choose_recent", {"type": key, "value": "PRESS"}, {"properties": [("number", place)]})
            for place, key in enumerate(NUMBERS, 1)
        ),
        ("clickfield.best_view", {"type": "V", "value": "PRESS"}, None),
        ("clickfield.view_frame", {"type": "PAGE_DOWN", "value": "PRESS"}, {"properties": [("offset", 1)]}),
        ("clickfield.view_frame", {"type": "PAGE_UP", "value": "PRESS"}, {"properties": [("offset", -1)]}),
        ("clickfield.hover", {"type": "MOUSEMOVE", "value": "ANY", "any": True}, None),
    )

    @staticmethod
    def draw_settings(context, layout, tool):
        """The label that a click gives, those on the number keys, and the one under the pointer."""
        own = context.scene.clickfield
        if own.active_label >= len(own.labels):
            layout.label(text="Import a capture first" if not own.capture_id else "Add a label in the sidebar first")
            return
        label = own.labels[own.active_label]
        row = layout.row(align=True)
        swatch = row.row()
        swatch.ui_units_x = 1
        swatch.prop(label, "color", text="")
        row.label(text=label.name)
        layout.prop(own, "only_this_piece")
        if label.thing:
            _draw_instance(layout, label)
        by_uid = {label.uid: label.name for label in own.labels}
        row = layout.row(align=True)
        for number, uid in enumerate(recent.choices(own.recent, list(by_uid))[:SHOWN], 1):
            text = f"{number} {by_uid[uid]}"
            row.operator("clickfield.choose_recent", text=text, depress=uid == label.uid).number = number
        if hovering.text(context.scene):
            layout.label(text=hovering.text(context.scene), icon="EYEDROPPER")


def _draw_instance(layout, label):
    """The number of the object that the next mark lies on."""
    numbers = [number for number in (label.split_first, label.split_second) if number]
    if numbers:
        layout.label(text=f"Next mark: instance {numbers[0]}", icon="MOD_BOOLEAN")
        return
    row = layout.row(align=True)
    row.prop(label, "mark_instance")
    row.operator("clickfield.new_instance", text="", icon="ADD")


def draw_hints(self, context):
    """In the status bar, while the tool is in hand."""
    if not hovering.tool_is_active(context):
        return
    row = self.layout.row(align=True)
    for icon, text in HINTS:
        row.label(text=text, icon=icon)
        row.separator(factor=0.6)
    row.label(text="1\N{EN DASH}9 Labels")


def keymap_items() -> list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]]:
    """``(keymap, item)`` of every key of the tool in the person's own configuration, but for the mouse's movement."""
    keymaps = bpy.context.window_manager.keyconfigs.user.keymaps
    found = next((keymap for keymap in keymaps if keymap.name == KEYMAP), None)
    if found is None:
        return []
    return [(found, item) for item in reversed(found.keymap_items) if item.type != "MOUSEMOVE"]


def register() -> None:
    """Put the tool after the Annotate and Measure tools."""
    bpy.utils.register_tool(LabelTool, separator=True)
    bpy.types.STATUSBAR_HT_header.prepend(draw_hints)


def unregister() -> None:
    """Take it out."""
    bpy.types.STATUSBAR_HT_header.remove(draw_hints)
    bpy.utils.unregister_tool(LabelTool)
