"""What came of the output: the last separation in words, and label pictures."""

import textwrap

import bpy

from ..scene import objects
from ..scene.scan import find_scan
from .panels import ClickfieldPanel

COLUMNS = 40


class CLICKFIELD_PT_results(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Results"
    bl_parent_id = "CLICKFIELD_PT_output"

    @classmethod
    def poll(cls, context):
        """Only after a separation."""
        return bool(objects.report_lines(context.scene, context.scene.clickfield.capture_id))

    def draw(self, context):
        """How many objects, and what was left out; the scan, hidden behind them, can be shown again."""
        scan = find_scan(context.scene, context.scene.clickfield.capture_id)
        if scan is not None:
            self.layout.prop(scan, "hide_viewport", text="Show Scan", invert_checkbox=True)
        column = self.layout.column(align=True)
        for sentence in objects.report_lines(context.scene, context.scene.clickfield.capture_id):
            for line in textwrap.wrap(sentence, COLUMNS):
                column.label(text=line)


class CLICKFIELD_PT_pictures(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Label Pictures"
    bl_parent_id = "CLICKFIELD_PT_output"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Render from one camera or from all."""
        column = self.layout.column()
        for which, text, icon in (
            ("ACTIVE", "Render from the Camera", "RENDER_STILL"),
            ("CAPTURE", "Render All Keyframes", "CAMERA_DATA"),
        ):
            column.operator("clickfield.render_labels", text=text, icon=icon).cameras = which


CLASSES = (CLICKFIELD_PT_results, CLICKFIELD_PT_pictures)


def register() -> None:
    """Register the sub-panels; the Output panel is there already."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them back."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
