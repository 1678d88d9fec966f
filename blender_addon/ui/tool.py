"""The Label tool in the toolbar of the 3D viewport: click to mark, Ctrl-click for the opposite."""

import bpy


class LabelTool(bpy.types.WorkSpaceTool):
    bl_space_type = "VIEW_3D"
    bl_context_mode = "OBJECT"
    bl_idname = "clickfield.label_tool"
    bl_label = "Label"
    bl_description = "Click on the scan to mark it with the active label; Ctrl-click says that it is not of that label"
    bl_icon = "ops.paint.weight_sample_group"
    bl_cursor = "CROSSHAIR"
    bl_keymap = (
        ("clickfield.add_mark", {"type": "LEFTMOUSE", "value": "PRESS"}, {"properties": [("sign", 1)]}),
        ("clickfield.add_mark", {"type": "LEFTMOUSE", "value": "PRESS", "ctrl": True}, {"properties": [("sign", -1)]}),
    )

    @staticmethod
    def draw_settings(context, layout, tool):
        """Which label a click gives."""
        own = context.scene.clickfield
        if own.active_label < len(own.labels):
            label = own.labels[own.active_label]
            swatch = layout.row()
            swatch.ui_units_x = 1
            swatch.prop(label, "color", text="")
            layout.label(text=label.name)
        else:
            layout.label(text="Add a label in the sidebar first")


def register() -> None:
    """Put the tool after the Annotate and Measure tools."""
    bpy.utils.register_tool(LabelTool, separator=True)


def unregister() -> None:
    """Take it out."""
    bpy.utils.unregister_tool(LabelTool)
