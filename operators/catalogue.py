"""Save separated objects as an asset library."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty

from ..blender_addon.scene import library, shelf
from .separate import may_use_objects
from .stepping import SteppedOperator


class CLICKFIELD_OT_save_asset_library(SteppedOperator, bpy.types.Operator):
    """Write the separated objects to a .blend of assets with catalogues like the label tree, and list the folder
    among the asset libraries. Saved again it is updated, and what you changed on its assets stays.
    The objects in this scene stay as they are. Blender stays usable meanwhile; Esc stops"""

    bl_idname = "clickfield.save_asset_library"
    bl_label = "Save Asset Library"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="Folder of the asset library")
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    author: StringProperty(name="Author", description="Stored with every asset that has none of its own")
    licence: StringProperty(name="License", description="Stored with every asset that has none, for example CC0")
    copyright: StringProperty(name="Copyright", description="Stored with every asset that has none of its own")
    about: StringProperty(
        name="Description", description="Stored with every asset; empty: what it is, its size, and the scan"
    )

    verb, failures = "Saving", (shelf.LibraryError,)

    @classmethod
    def poll(cls, context):
        return may_use_objects(cls, context)

    def invoke(self, context, event):
        if not self.directory:
            self.directory = _last_library(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        if not self.directory.strip():
            self.report({"ERROR"}, "Choose the folder of the asset library.")
            return {"CANCELLED"}
        directory = Path(bpy.path.abspath(self.directory))
        said = (text.strip() for text in (self.author, self.licence, self.about, self.copyright))
        scene, self._saved = context.scene, library.Saved()
        credits = library.Credits(*said)
        aside = not bpy.app.background and context.window is not None
        steps = library.saving(scene, scene.clickfield.capture_id, directory, credits, self._saved, aside)
        return self.begin(context, steps)

    def finish(self, context, stopped):
        """Say what was saved, and list the folder among the asset libraries."""
        saved = self._saved
        if not saved.names:
            self.report({"INFO"}, "The asset library was left as it is")
            return {"CANCELLED"}
        added = library.register_library(context.preferences, saved.target.parent)
        if saved.plain:
            self.report({"WARNING"}, f"{len(saved.plain)} assets have no picture: {', '.join(saved.plain[:5])}")
        if saved.gone:
            self.report({"WARNING"}, f"{len(saved.gone)} assets are not there any more: {', '.join(saved.gone[:5])}")
        where = ", a new asset library" if added else ""
        self.report({"INFO"}, f"Saved {len(saved.names)} assets to {saved.target}{where}")
        return {"FINISHED"}


def _last_library(context):
    """The folder that the file browser starts in: the last asset library, if there is one."""
    known = context.preferences.filepaths.asset_libraries
    return known[-1].path if len(known) else ""


CLASSES = (CLICKFIELD_OT_save_asset_library,)
