"""Label passes of the scan: set up in the scene, or rendered to pictures."""

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from ..blender_addon import canvas
from ..blender_addon.scene import cameras, library, passes


def _has_capture(cls, context):
    if not context.scene.clickfield.capture_id:
        cls.poll_message_set("Import a capture first")
        return False
    return True


class CLICKFIELD_OT_setup_label_render(bpy.types.Operator):
    """Add a view layer with label ids, photo colors, depth and Cryptomatte, and store renders as multilayer EXR.
    Run it again after the labels have changed"""

    bl_idname = "clickfield.setup_label_render"
    bl_label = "Set Up Label Passes"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return _has_capture(cls, context)

    def execute(self, context):
        try:
            layer = passes.setup(context.scene, context.scene.clickfield.capture_id)
        except passes.PassError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Label passes are in the view layer {layer.name}")
        return {"FINISHED"}


class CLICKFIELD_OT_render_labels(bpy.types.Operator):
    """Render exact label ids, label colors and photo colors of the scan to PNG files"""

    bl_idname = "clickfield.render_labels"
    bl_label = "Render Labels"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="Where the pictures go")
    camera: StringProperty(name="Camera", description="Name of a camera object; empty for those chosen by Cameras")
    cameras: EnumProperty(
        name="Cameras",
        items=(
            ("ACTIVE", "Active", "The scene's camera"),
            ("CAPTURE", "All Keyframes", "Every camera of the capture"),
        ),
    )

    @classmethod
    def poll(cls, context):
        return _has_capture(cls, context)

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        scene = context.scene
        if not self.directory.strip():
            self.report({"ERROR"}, "Choose the folder of the pictures.")
            return {"CANCELLED"}
        chosen = self._chosen(scene)
        if not chosen:
            self.report({"ERROR"}, "There is no such camera; choose a camera of this scene.")
            return {"CANCELLED"}
        folder, manager = Path(bpy.path.abspath(self.directory)), context.window_manager
        manager.progress_begin(0, len(chosen))
        try:
            for index, camera in enumerate(chosen):
                manager.progress_update(index)
                made = passes.render_labels(scene, camera, scene.clickfield.capture_id)
                name = library.file_stem(camera.clickfield.frame or camera.name)
                passes.write_render(made, folder, name, canvas.label_colors(scene))
        except passes.PassError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            manager.progress_end()
        self.report({"INFO"}, f"Rendered the labels of {len(chosen)} cameras to {folder}")
        return {"FINISHED"}

    def _chosen(self, scene):
        if self.camera:
            named = scene.objects.get(self.camera)
            return [named] if named is not None and named.type == "CAMERA" else []
        if self.cameras == "CAPTURE":
            return cameras.capture_cameras(scene, scene.clickfield.capture_id)
        return [scene.camera] if scene.camera is not None else []


CLASSES = (CLICKFIELD_OT_setup_label_render, CLICKFIELD_OT_render_labels)
