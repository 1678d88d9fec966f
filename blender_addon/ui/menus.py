"""Entries in Blender's own menus."""

import bpy


def draw_import(self, context):
    """File > Import."""
    self.layout.operator("clickfield.import_capture", text="RGB-D Capture")
    self.layout.operator("clickfield.import_sample", text="Clickfield Sample")


def register() -> None:
    """Add the entries."""
    bpy.types.TOPBAR_MT_file_import.append(draw_import)


def unregister() -> None:
    """Take them out."""
    bpy.types.TOPBAR_MT_file_import.remove(draw_import)
