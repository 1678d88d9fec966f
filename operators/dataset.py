"""Write data sets, and number the things on the scan."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..blender_addon import live, window
from ..blender_addon.lookup import scene_by_uid
from ..blender_addon.scene import data_set, library, objects, passes
from ..blender_addon.scene.scan import find_scan
from .separate import is_labelled

FORMATS = (
    ("coco", "COCO", "Panoptic pictures, instances as run lengths and as polygons", 1),
    ("scannet", "ScanNet", "One scene in ScanNet's folders", 2),
    ("pngs", "PNG Maps", "Label and instance maps with classes.json", 4),
    ("ply", "PLY", "The labelled scan", 8),
)
FRAMES = (
    ("ALL", "All Keyframes", "Every keyframe of the capture"),
    ("SELECTED", "Selected Cameras", "Keyframes whose cameras are selected"),
    ("RENDERS", "Renders", "A folder that Render Labels has made"),
)


class CLICKFIELD_OT_export_data_set(bpy.types.Operator):
    """Write photos, label and instance maps as a data set for training, into a new folder"""

    bl_idname = "clickfield.export_data_set"
    bl_label = "Export Data Set"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="The data set becomes a folder in it")
    name: StringProperty(name="Name", description="Of the new folder; empty for that of the capture")
    formats: EnumProperty(name="Formats", items=FORMATS, options={"ENUM_FLAG"}, default={"coco", "pngs"})
    frames: EnumProperty(name="Pictures", items=FRAMES)
    renders: StringProperty(name="Renders", subtype="DIR_PATH", description="The folder of Render Labels")
    amodal: BoolProperty(
        name="Amodal Masks", description="COCO masks of whole separated objects, with what is hidden behind others"
    )

    @classmethod
    def poll(cls, context):
        return is_labelled(cls, context)

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context):
        """The folder of renders only where it counts."""
        layout = self.layout
        layout.prop(self, "name")
        layout.column().prop(self, "formats")
        layout.prop(self, "frames")
        if self.frames == "RENDERS":
            layout.prop(self, "renders")
        else:
            layout.prop(self, "amodal")

    def execute(self, context):
        scene = context.scene
        params, arrays, problem = self._request(scene)
        if problem:
            self.report({"ERROR"}, problem)
            return {"CANCELLED"}
        name = library.file_stem(self.name or f"{scene.clickfield.capture_name} data set")
        folder = Path(bpy.path.abspath(self.directory)) / name
        params["formats"] = sorted(self.formats)
        window.clear_problem()
        scene_uid = scene.session_uid

        def done(data):
            asked = scene_by_uid(scene_uid)
            if asked is not None:
                data_set.keep_report(asked, str(folder), data)
            window.redraw()

        live.session().elsewhere.data_set(params, arrays, folder, done)
        return {"FINISHED"}

    def _request(self, scene):
        """Parameters and arrays, and one sentence when something is missing."""
        if not self.directory.strip():
            return {}, {}, "Choose the folder of the data set."
        if not self.formats:
            return {}, {}, "Choose at least one format."
        if self.frames == "RENDERS":
            folder = Path(bpy.path.abspath(self.renders)) if self.renders.strip() else None
            if folder is None or not (folder / "transforms.json").is_file():
                return {}, {}, "Choose a folder that Render Labels has made; it has a file transforms.json."
            return {"rendered": str(folder)}, {}, ""
        chosen = data_set.chosen_frames(scene) if self.frames == "SELECTED" else None
        if chosen == []:
            return {}, {}, "No camera of a keyframe is selected; select some, or choose All Keyframes."
        params, arrays = data_set.request(scene, chosen, self.amodal)
        if self.amodal and not params["objects"]:
            return {}, {}, "Amodal masks need separated objects; press Separate Objects first."
        return params, arrays, ""


class CLICKFIELD_OT_number_instances(bpy.types.Operator):
    """Number the things on the scan as if they were separated, for instance ids in renders of the scan.
    The numbers are those of the separated objects"""

    bl_idname = "clickfield.number_instances"
    bl_label = "Number Instances"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return is_labelled(cls, context)

    def execute(self, context):
        scene = context.scene
        scene_uid, capture_id = scene.session_uid, scene.clickfield.capture_id
        window.clear_problem()

        def done(data, arrays):
            _number(scene_by_uid(scene_uid), capture_id, arrays)

        known = objects.known_objects(scene, capture_id)
        params = {"known": known, "min_size": data_set.smallest(scene)}
        live.session().ask("instances", params, done, text="Numbering instances")
        return {"FINISHED"}


def _number(scene, capture_id, arrays):
    body = find_scan(scene, capture_id) if scene is not None else None
    if body is None or len(body.data.vertices) != len(arrays["labels"]):
        window.tell("The scan was changed while its things were numbered; number them again.")
        return
    over = passes.write_instances(body.data, arrays["labels"], arrays["instances"])
    passes.write_face_labels(body.data)
    if over:
        window.tell("Some things have numbers above 255 and are not told apart.")
    bpy.ops.ed.undo_push(message="Number Instances")
    window.redraw()


CLASSES = (CLICKFIELD_OT_export_data_set, CLICKFIELD_OT_number_instances)
