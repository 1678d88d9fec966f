"""The Clickfield tab of the viewport's sidebar. Panels read cached state only and name operators by their strings."""

import textwrap

import bpy

from .. import preferences

STARTABLE = ("Stopped", "Failed")


def _wrapped(layout, context, text, icon="NONE"):
    """A text over as many rows as the sidebar's width needs."""
    room = 4 if icon == "NONE" else 7  # characters that margins and an icon take
    width = max(int(context.region.width / (8 * context.preferences.system.ui_scale)) - room, 14)
    column = layout.column(align=True)
    for index, line in enumerate(textwrap.wrap(text, width)):
        column.label(text=line, icon=icon if index == 0 else "BLANK1" if icon != "NONE" else "NONE")


class ClickfieldPanel:
    """What all panels share."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Clickfield"


class CapturePanel(ClickfieldPanel):
    """Of a scene with a capture."""

    @classmethod
    def poll(cls, context):
        """Only with a capture."""
        return bool(context.scene.clickfield.capture_id)


class CLICKFIELD_PT_capture(bpy.types.Panel, ClickfieldPanel):
    bl_idname = "CLICKFIELD_PT_capture"
    bl_label = "Capture"

    def draw(self, context):
        """Import, and the keyframes."""
        layout = self.layout
        own, window = context.scene.clickfield, context.window_manager.clickfield
        if not own.capture_id:
            column = layout.column()
            column.enabled = not window.busy
            column.operator("clickfield.import_capture", text="Import RGB-D Capture", icon="IMPORT")
            column.operator("clickfield.import_mesh", text="Import Scan Mesh", icon="MESH_DATA")
            column.operator("clickfield.import_sample", text="Open the Sample", icon="HOME")
            if context.active_object is not None and context.active_object.type == "MESH":
                column.operator("clickfield.label_mesh", icon="BRUSH_DATA")
            return
        layout.label(text=own.capture_name, icon="OUTLINER_OB_CAMERA")


class CLICKFIELD_PT_notes(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Notes"
    bl_parent_id = "CLICKFIELD_PT_capture"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        """Only when there is something to read."""
        return bool(context.window_manager.clickfield.notes)

    def draw(self, context):
        """What the person should know of the capture."""
        for line in context.window_manager.clickfield.notes.split("\n"):
            _wrapped(self.layout, context, line)


class CLICKFIELD_PT_output(bpy.types.Panel, CapturePanel):
    bl_label = "Output"
    bl_order = 8

    def draw(self, context):
        """From labels to pictures."""
        column = self.layout.column()
        column.operator("clickfield.setup_label_render", icon="RENDERLAYERS")


class CLICKFIELD_PT_backend(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Backend"
    bl_order = 9

    def draw(self, context):
        """Where the backend stands."""
        layout, window = self.layout, context.window_manager.clickfield
        layout.label(text=window.state + (f" on {window.device}" if window.device else ""))
        row = layout.row(align=True)
        if window.state in STARTABLE:
            text = "Restart" if window.state == "Failed" else "Start"
            row.operator("clickfield.start_backend", text=text, icon="PLAY")
        else:
            row.operator("clickfield.release_memory", icon="SNAP_FACE")
            row.operator("clickfield.restart_backend", text="", icon="FILE_REFRESH")
        if window.state == "Failed":
            row.operator("clickfield.show_log", icon="TEXT")
            row.operator("clickfield.test_backend", icon="CHECKMARK")
        layout.prop(preferences.get(), "release_before_render")


CLASSES = (
    CLICKFIELD_PT_capture,
    CLICKFIELD_PT_notes,
    CLICKFIELD_PT_output,
    CLICKFIELD_PT_backend,
)


def register() -> None:
    """Register the panels."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them back."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
