"""Label a mesh that has no photos: one of the scene, or an exported scan from a file."""

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ..blender_addon import live
from ..blender_addon.properties import UP_ITEMS
from ..blender_addon.scene.solid import mesh_of_object

ENDINGS = (".ply", ".obj", ".glb", ".gltf", ".stl", ".pcd", ".e57")


def _hindered(operator, scene):
    """Say why a scene cannot take another mesh; was there a reason?"""
    own = scene.clickfield
    if own.capture_id and len(own.marks):
        operator.report({"ERROR"}, f"This scene has marks on {own.capture_name}; label the mesh in a new scene.")
        return True
    return False


class CLICKFIELD_OT_label_mesh(bpy.types.Operator):
    """Label the active mesh by clicks on its surface.
    A copy with modifiers applied, cut finer where it is coarse, takes its place; the mesh itself is hidden"""

    bl_idname = "clickfield.label_mesh"
    bl_label = "Label This Mesh"
    bl_options = {"REGISTER"}  # it ends later, and is one undo step then

    @classmethod
    def poll(cls, context):
        """Only with an active mesh that Clickfield has not made."""
        item = context.active_object
        if item is None or item.type != "MESH" or item.clickfield.role != "NONE":
            cls.poll_message_set("Make a mesh the active object first")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Leave Edit Mode first")
        else:
            return True
        return False

    def execute(self, context):
        """Take the mesh as it is drawn, and let the session do the rest."""
        if _hindered(self, context.scene):
            return {"CANCELLED"}
        mesh = mesh_of_object(context.active_object, context.evaluated_depsgraph_get())
        if not len(mesh.faces):
            self.report({"ERROR"}, f"{mesh.name} has no faces, so there is no surface to label.")
            return {"CANCELLED"}
        live.session().import_capture(context.scene, "", {}, mesh)
        return {"FINISHED"}


class CLICKFIELD_OT_import_mesh(bpy.types.Operator, ImportHelper):
    bl_idname = "clickfield.import_mesh"
    bl_label = "Import Scan Mesh"
    bl_description = "Import a scanned mesh or point cloud without photos, to label it by clicks on its surface"
    bl_options = {"REGISTER", "PRESET"}

    filename_ext = ""
    filter_glob: StringProperty(default=";".join(f"*{ending}" for ending in ENDINGS), options={"HIDDEN"})
    up: EnumProperty(name="Up", items=UP_ITEMS, default="auto", description="Which axis of the file points up")

    def execute(self, context):
        """Check what can be checked at once, and let the session do the rest."""
        path = Path(self.filepath)
        if not path.is_file():
            self.report({"ERROR"}, f"There is no file at {path}.")
            return {"CANCELLED"}
        if path.suffix.lower() not in ENDINGS:
            self.report({"ERROR"}, f"{path.name} is none of {', '.join(ENDINGS)}.")
            return {"CANCELLED"}
        if _hindered(self, context.scene):
            return {"CANCELLED"}
        live.session().import_capture(context.scene, str(path), {"up": self.up})
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_label_mesh, CLICKFIELD_OT_import_mesh)
