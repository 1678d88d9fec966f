"""Below the Output panel: label pictures, nodes that work on labels, and data sets."""

import bpy

from ..scene import data_set
from .panels import ClickfieldPanel, _wrapped


class CLICKFIELD_PT_pictures(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Label Pictures"
    bl_parent_id = "CLICKFIELD_PT_output"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Number the things, then render from one camera, from all, or an animation."""
        column = self.layout.column()
        column.operator("clickfield.number_instances", icon="LINENUMBERS_ON")
        for which, text, icon in (
            ("ACTIVE", "Render from the Camera", "RENDER_STILL"),
            ("CAPTURE", "Render All Keyframes", "CAMERA_DATA"),
            ("ANIMATION", "Render the Animation", "RENDER_ANIMATION"),
        ):
            column.operator("clickfield.render_labels", text=text, icon=icon).cameras = which
        column.operator_menu_enum("clickfield.add_label_nodes", "kind", icon="GEOMETRY_NODES")


class CLICKFIELD_PT_data_set(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Data Set"
    bl_parent_id = "CLICKFIELD_PT_output"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Write one, and what came of the last one."""
        self.layout.operator("clickfield.export_data_set", icon="EXPORT")
        for line in data_set.report_lines(context.scene):
            _wrapped(self.layout, context, line)


CLASSES = (CLICKFIELD_PT_pictures, CLICKFIELD_PT_data_set)


def register() -> None:
    """Register the sub-panels; the Output panel is there already."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them back."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
