"""Label passes: set up in the scene, or rendered to pictures."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..blender_addon import live, rendering
from ..blender_addon.scene import cameras, label_render, passes, shots

ENGINES = (
    ("CYCLES", "Cycles", "Exact ids of any size"),
    ("EEVEE", "EEVEE", "Faster with a graphics card; exact ids up to 2048"),
)
SOURCES = (
    ("AUTO", "Automatic", "The separated objects if there are any, otherwise the scan"),
    ("SCAN", "Scan", "The labelled scan"),
    ("OBJECTS", "Objects", "The separated objects"),
)
CAMERAS = (
    ("ACTIVE", "Active", "The scene's camera, at the current frame"),
    ("CAPTURE", "All Keyframes", "Every camera of the capture"),
    ("ANIMATION", "Animation", "The scene's frame range, through the active camera of each frame"),
)
SETUP_CAMERAS = (
    ("KEEP", "As They Are", "The scene's own camera and timeline"),
    ("CAPTURE", "All Keyframes", "Frame 1 is seen by the first keyframe's camera, frame 2 by the second, and so on"),
)


def _has_capture(cls, context):
    if not context.scene.clickfield.capture_id:
        cls.poll_message_set("Import a capture first")
        return False
    return True


class CLICKFIELD_OT_setup_label_render(bpy.types.Operator):
    """Let Blender's own Render and Render Animation store the picture, label, level and instance ids, depth and
    Cryptomatte as multilayer EXR. Run it again after the labels have changed"""

    bl_idname = "clickfield.setup_label_render"
    bl_label = "Set Up Label Render"
    bl_options = {"REGISTER", "UNDO"}

    engine: EnumProperty(name="Engine", items=ENGINES)
    source: EnumProperty(name="What", items=SOURCES)
    cameras: EnumProperty(name="Cameras", items=SETUP_CAMERAS)

    @classmethod
    def poll(cls, context):
        return _has_capture(cls, context)

    def execute(self, context):
        scene = context.scene
        chosen = cameras.capture_cameras(scene, scene.clickfield.capture_id) if self.cameras == "CAPTURE" else []
        if self.cameras == "CAPTURE" and not chosen:
            self.report({"ERROR"}, "This capture has no keyframes; use a camera of your own.")
            return {"CANCELLED"}
        try:
            notes = passes.setup(scene, scene.clickfield.capture_id, self.engine, self.source)
        except passes.PassError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if chosen:
            shots.bind_cameras(scene, chosen)
        for note in notes:
            self.report({"WARNING"}, note)
        self.report({"INFO"}, f"Label ids are in the view layer {passes.LAYER}; press F12, or Ctrl-F12 for all frames")
        return {"FINISHED"}


class CLICKFIELD_OT_render_labels(bpy.types.Operator):
    """Render exact label, level and instance ids, label colors, depth and pictures to PNG files.
    Every picture is a render of Blender's own: Esc stops, and what is finished stays"""

    bl_idname = "clickfield.render_labels"
    bl_label = "Render Labels"
    bl_options = {"REGISTER"}

    directory: StringProperty(
        name="Folder", subtype="DIR_PATH", description="Where the pictures go", options={"SKIP_SAVE"}
    )
    camera: StringProperty(name="Camera", description="Name of a camera object; empty for those chosen by Cameras")
    cameras: EnumProperty(name="Cameras", items=CAMERAS)
    engine: EnumProperty(name="Engine", items=ENGINES)
    source: EnumProperty(name="What", items=SOURCES)
    beauty: BoolProperty(
        name="Beauty", description="Render the scene itself too; otherwise the picture is the scan's own colors"
    )
    exr: BoolProperty(name="OpenEXR", description="Keep the multilayer EXR files, with depth and Cryptomatte")
    legend: BoolProperty(name="Legend", description="Draw the names of the labels into the picture of label colors")

    @classmethod
    def poll(cls, context):
        return _has_capture(cls, context)

    def invoke(self, context, event):
        if self.directory:
            return self.execute(context)
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
        folder = Path(bpy.path.abspath(self.directory))
        if self.beauty and not label_render.is_lit(scene):
            self.report({"WARNING"}, "The scene has no light; its pictures are rendered in even white light.")
        wishes = label_render.Wishes(self.engine, self.source, self.beauty, self.exr, self.legend)
        steps = label_render.series(scene, scene.clickfield.capture_id, chosen, wishes, folder)
        done = f"Rendered the labels of {len(chosen)} pictures to {folder}"
        if self.options.is_invoke and not bpy.app.background:
            live.session().build(rendering.as_jobs(steps, done))
            return {"FINISHED"}
        try:
            label_render.run(steps)
        except passes.PassError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, done)
        return {"FINISHED"}

    def _chosen(self, scene):
        if self.camera:
            named = scene.objects.get(self.camera)
            found = [named] if named is not None and named.type == "CAMERA" else []
        elif self.cameras == "ANIMATION":
            return shots.of_animation(scene, None)
        elif self.cameras == "CAPTURE":
            found = cameras.capture_cameras(scene, scene.clickfield.capture_id)
        else:
            found = [scene.camera] if scene.camera is not None else []
        return shots.of_cameras(scene, found)


CLASSES = (CLICKFIELD_OT_setup_label_render, CLICKFIELD_OT_render_labels)
