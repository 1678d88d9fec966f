"""Export separated objects as files of other programs, one per object, while Blender stays usable."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..blender_addon.scene import export, objects
from .instances import chosen_objects
from .separate import may_use_objects
from .stepping import SteppedOperator


class CLICKFIELD_OT_export_assets(SteppedOperator, bpy.types.Operator):
    """Write separated objects as glTF or OBJ files, in folders like the label tree. Each stands on the origin.
    Blender stays usable meanwhile; Esc stops, and what is written stays"""

    bl_idname = "clickfield.export_assets"
    bl_label = "Export Assets"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="Folder of the files")
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    which: EnumProperty(
        name="Objects",
        items=(
            ("ALL", "All", "Every separated object of the capture"),
            ("SELECTED", "Selected", "Those that are selected, or the active one"),
        ),
    )
    format: EnumProperty(
        name="Format",
        items=(
            ("GLB", "glTF Binary (.glb)", "One file with everything in it; says which points were seen (_observed)"),
            ("GLTF", "glTF (.gltf)", "Text, numbers and pictures in files of their own"),
            ("OBJ", "Wavefront (.obj)", "For nearly every program; the picture lies beside it"),
        ),
    )
    levels: BoolProperty(name="Levels of Detail", description="_LOD0 to _LOD3 with 100, 50, 25 and 10 % of the faces")
    hulls: BoolProperty(name="Collision", description="The collision hulls, of objects that were separated with them")

    verb, failures = "Exporting", (export.ExportError,)

    @classmethod
    def poll(cls, context):
        return may_use_objects(cls, context)

    def invoke(self, context, event):
        """Choose the folder."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        """Begin; in a window another Blender writes the files."""
        if not self.directory.strip():
            self.report({"ERROR"}, "Choose the folder of the files.")
            return {"CANCELLED"}
        scene = context.scene
        mine = objects.separated_objects(scene, scene.clickfield.capture_id)
        items = chosen_objects(context) if self.which == "SELECTED" else mine
        if not items:
            self.report({"ERROR"}, "Select the separated objects to export.")
            return {"CANCELLED"}
        self._count, self._outcome = len(items), export.Outcome()
        options = export.Options(self.format, self.levels, self.hulls)
        aside = not bpy.app.background and context.window is not None
        folder = Path(bpy.path.abspath(self.directory))
        return self.begin(context, export.export(scene, items, folder, options, self._outcome, aside))

    def finish(self, context, stopped):
        """Say what was written, and what was not."""
        made = self._outcome
        if made.failed:
            self.report({"ERROR"}, f"{len(made.failed)} objects could not be written. {'; '.join(made.failed[:3])}")
        if made.without_hulls:
            names = ", ".join(made.without_hulls[:5])
            self.report({"WARNING"}, f"{len(made.without_hulls)} have no collision hulls ({names}); separate with them")
        last = " before you stopped it" if stopped else ""
        self.report({"INFO"}, f"Wrote {len(made.files)} of {self._count} objects{last}")
        return {"FINISHED"} if made.files else {"CANCELLED"}


CLASSES = (CLICKFIELD_OT_export_assets,)
