"""Look through a keyframe's camera; show photos or labels on the scan."""

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from ..blender_addon.scene import cameras
from ..blender_addon.scene import scan as scans


class CLICKFIELD_OT_view_frame(bpy.types.Operator):
    bl_idname = "clickfield.view_frame"
    bl_label = "View Keyframe"
    bl_description = "Look through the camera of a keyframe, with its picture as background"
    bl_options = {"REGISTER", "UNDO"}

    frame: StringProperty(name="Keyframe", description="Name of the keyframe; empty goes by steps")
    offset: IntProperty(name="Step", description="Keyframes forward from the active one", default=0)

    @classmethod
    def poll(cls, context):
        """Only with a capture."""
        if not context.scene.clickfield.capture_id:
            cls.poll_message_set("Import a capture first")
            return False
        return True

    def execute(self, context):
        """Make its camera the active one and look through it."""
        scene = context.scene
        made = cameras.capture_cameras(scene, scene.clickfield.capture_id)
        if self.frame:
            camera = next((c for c in made if c.clickfield.frame == self.frame), None)
        else:
            now = made.index(scene.camera) if scene.camera in made else 0
            camera = made[(now + self.offset) % len(made)] if made else None
        if camera is None:
            self.report({"ERROR"}, f"There is no keyframe called {self.frame} in this scene.")
            return {"CANCELLED"}
        scene.camera = camera
        problem = cameras.show_picture(scene, camera)
        if problem:
            self.report({"WARNING"}, problem)
        if context.area is not None and context.area.type == "VIEW_3D":
            context.area.spaces.active.region_3d.view_perspective = "CAMERA"
        return {"FINISHED"}


class CLICKFIELD_OT_show_colors(bpy.types.Operator):
    bl_idname = "clickfield.show_colors"
    bl_label = "Show Colors"
    bl_description = "What the scan shows"
    bl_options = {"REGISTER", "UNDO"}

    what: EnumProperty(
        items=(("LABELS", "Labels", "The colors of the labels"), ("PHOTO", "Photo", "The colors of the pictures"))
    )

    @classmethod
    def poll(cls, context):
        """Only with a scan."""
        return scans.find_scan(context.scene, context.scene.clickfield.capture_id) is not None

    def execute(self, context):
        """Choose the colour attribute."""
        scan = scans.find_scan(context.scene, context.scene.clickfield.capture_id)
        scans.show_colors(scan.data, scans.LABELS if self.what == "LABELS" else scans.PHOTO)
        scan.data.update_tag()
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_view_frame, CLICKFIELD_OT_show_colors)
