"""File > Import > RGB-D Capture and Clickfield Sample; finding a capture whose folder has moved."""

import os
from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ..blender_addon import formats, live, preferences, previewing, window
from ..blender_addon.opening import options_of
from ..blender_addon.properties import (
    CONFIDENCE_ITEMS,
    DEPTH_UNIT,
    KEYFRAME_ITEMS,
    POSE_ITEMS,
    REFINE_POSES,
    UP_ITEMS,
)

GLOB = ";".join(f"*{ending}" for ending in formats.ENDINGS)
SAMPLE = preferences.ROOT / "assets" / "sample"


def start_import(operator, context, path):
    """Check what can be checked at once, and let the session do the rest."""
    own = context.scene.clickfield
    if not path.exists():
        operator.report({"ERROR"}, f"There is no file or folder at {path}.")
        return {"CANCELLED"}
    if own.capture_id and len(own.marks) and Path(bpy.path.abspath(own.capture_path)) != path:
        operator.report(
            {"ERROR"}, f"This scene has marks on the capture {own.capture_name}; import another one into a new scene."
        )
        return {"CANCELLED"}
    live.session().import_capture(context.scene, str(path), options_of(operator))
    return {"FINISHED"}


class CLICKFIELD_OT_import_capture(bpy.types.Operator, ImportHelper):
    bl_idname = "clickfield.import_capture"
    bl_label = "Import RGB-D Capture"
    bl_description = "Import a posed RGB-D recording as a scan and one camera per keyframe"
    bl_options = {"REGISTER", "PRESET"}  # the import itself ends later, and is one undo step then

    filename_ext = ""
    filter_glob: StringProperty(default=GLOB, options={"HIDDEN"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    dropped: StringProperty(name="Format", options={"HIDDEN", "SKIP_SAVE"})
    step: IntProperty(name="Frame Step", default=1, min=1, max=100_000, description="Use every Nth frame")
    max_frames: IntProperty(name="Most Keyframes", default=0, min=0, description="0 means all")
    keyframes: EnumProperty(name="Keyframes", items=KEYFRAME_ITEMS, default="stride")
    depth_min: FloatProperty(name="Nearest", default=0.0, min=0.0, unit="LENGTH", description="Ignore nearer depth")
    depth_max: FloatProperty(name="Farthest", default=8.0, min=0.01, unit="LENGTH", description="Ignore farther depth")
    up: EnumProperty(name="Up", items=UP_ITEMS, default="auto", description="Which axis of the capture points up")
    depth_encoding: StringProperty(name="Depth Unit", description=DEPTH_UNIT)
    poses: EnumProperty(
        name="Poses", items=POSE_ITEMS, default="as said", description="For files that break their format's convention"
    )
    refine_poses: BoolProperty(name="Refine Poses", default=True, description=REFINE_POSES)
    confidence: EnumProperty(
        name="Confidence", items=CONFIDENCE_ITEMS, default="2", description="The least confidence that depth must have"
    )

    def invoke(self, context, event):
        """Choose a file; for one that was dropped onto the window, show what it is and the options."""
        if self.properties.is_property_set("filepath") and self.filepath:
            found = formats.seen(Path(self.filepath))
            self.dropped = f"Format: {found}" if found else formats.UNKNOWN
        return self.invoke_popup(context, confirm_text="Import")

    def execute(self, context):
        """Import the chosen file or folder."""
        self.dropped = ""  # the redo panel need not show it again
        return start_import(self, context, _chosen(self.filepath, self.directory))

    def cancel(self, context):
        """Nobody looks at the chosen file any more."""
        live.session().preview.forget()

    def draw(self, context):
        """The options beside the file list, and in the redo panel."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        if self.dropped:
            layout.label(text=self.dropped, icon="INFO" if self.dropped != formats.UNKNOWN else "QUESTION")
        column = layout.column(heading="Frames")
        column.prop(self, "keyframes", text="Choose")
        column.prop(self, "step")
        column.prop(self, "max_frames")
        column = layout.column(heading="Depth", align=True)
        column.prop(self, "depth_min")
        column.prop(self, "depth_max")
        column.prop(self, "depth_encoding")
        column.prop(self, "confidence")
        layout.prop(self, "poses")
        layout.prop(self, "refine_poses")
        layout.prop(self, "up", text="Up Axis")
        path = self._looked_at(context)
        if path is not None:
            known = live.session().preview.look(str(path), options_of(self))
            previewing.draw(layout, known, context.region.width)

    def _looked_at(self, context):
        """The file or folder that is chosen in the file browser, or was dropped; None when there is none."""
        space = context.space_data
        if space is None or space.type != "FILE_BROWSER":
            return Path(self.filepath) if self.dropped else None
        if space.params is None:
            return None
        folder = os.fsdecode(space.params.directory)
        path = _chosen(os.path.join(folder, space.params.filename), folder)
        return path if path.is_file() or formats.seems_capture(path) else None


def _chosen(filepath, directory):
    """What a file dialog has chosen: it leaves an invented file name when a folder was entered."""
    chosen = Path(filepath or directory)
    return Path(directory) if not chosen.name or (not chosen.exists() and directory) else chosen


class CLICKFIELD_OT_import_sample(bpy.types.Operator):
    bl_idname = "clickfield.import_sample"
    bl_label = "Import Clickfield Sample"
    bl_description = "Open the small furnished room that comes with Clickfield"
    bl_options = {"REGISTER"}

    def execute(self, context):
        """Import the sample with default options."""
        if not (SAMPLE / "transforms.json").is_file():
            self.report({"ERROR"}, "The sample capture is missing; install Clickfield again.")
            return {"CANCELLED"}
        return bpy.ops.clickfield.import_capture(filepath=str(SAMPLE / "transforms.json"))


class CLICKFIELD_OT_locate_capture(bpy.types.Operator, ImportHelper):
    bl_idname = "clickfield.locate_capture"
    bl_label = "Locate Capture"
    bl_description = "Say where the files of this scene's capture are now"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ""
    filter_glob: StringProperty(default=GLOB, options={"HIDDEN"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        """Only in a scene with a capture."""
        if not context.scene.clickfield.capture_id:
            cls.poll_message_set("Import a capture first")
            return False
        return True

    def execute(self, context):
        """Remember the place and open the capture from there."""
        chosen = _chosen(self.filepath, self.directory)
        if not chosen.exists():
            self.report({"ERROR"}, f"There is no file or folder at {chosen}.")
            return {"CANCELLED"}
        context.scene.clickfield.capture_path = str(chosen)
        window.clear_problem()
        live.session().cancel()
        live.session().reopen()
        return {"FINISHED"}


class CLICKFIELD_FH_capture(bpy.types.FileHandler):
    bl_idname = "CLICKFIELD_FH_capture"
    bl_label = "RGB-D Capture"
    bl_import_operator = "clickfield.import_capture"
    bl_file_extensions = ";".join(formats.ENDINGS)

    @classmethod
    def poll_drop(cls, context):
        """On a 3D viewport."""
        return context.area is not None and context.area.type == "VIEW_3D"


CLASSES = (
    CLICKFIELD_OT_import_capture,
    CLICKFIELD_OT_import_sample,
    CLICKFIELD_OT_locate_capture,
    CLICKFIELD_FH_capture,
)
