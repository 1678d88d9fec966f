"""Entries in Blender's own menus."""

import bpy


def draw_import(self, context):
    """File > Import."""
    self.layout.operator("clickfield.import_capture", text="RGB-D Capture")
    self.layout.operator("clickfield.import_mesh", text="Scan Mesh (.ply .obj .glb .stl .pcd .e57)")
    self.layout.operator("clickfield.import_sample", text="Clickfield Sample")


def draw_object(self, context):
    """The Object menu."""
    self.layout.separator()
    self.layout.operator("clickfield.label_mesh")


def register() -> None:
    """Add the entries."""
    bpy.types.TOPBAR_MT_file_import.append(draw_import)
    bpy.types.VIEW3D_MT_object.append(draw_object)


def unregister() -> None:
    """Take them out."""
    bpy.types.VIEW3D_MT_object.remove(draw_object)
    bpy.types.TOPBAR_MT_file_import.remove(draw_import)
