"""Install, repair, update and remove the backend's own Python environment; copy what a report needs."""

import textwrap
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from ..blender_addon import installing, preferences, reporting
from ..blender_addon.bridge import install_folder, install_index
from ..blender_addon.bridge.states import BridgeError

WIDTH = 480  # of the dialog
SHOWN = 6  # packages listed with their sizes; the rest is counted


class Installing:
    """What the two ways to install share."""

    kind: EnumProperty(
        name="Compute On",
        description="Which torch is installed",
        items=(
            (installing.AUTOMATIC, "Automatic", "The graphics card if it can be used, otherwise the processor"),
            ("cpu", "Processor Only", "A smaller download that uses no graphics card"),
        ),
        default=installing.AUTOMATIC,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        """Only one at a time."""
        if installing.current() is not None:
            cls.poll_message_set("The backend is being installed")
            return False
        return True

    def begin(self, source):
        """Start, or say why not."""
        try:
            installing.start(self.kind, source)
        except BridgeError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class CLICKFIELD_OT_install_backend(bpy.types.Operator, Installing):
    bl_idname = "clickfield.install_backend"
    bl_label = "Install Backend"
    bl_description = "Download the backend's packages and install them in a folder of their own; Blender is not changed"

    def invoke(self, context, event):
        """Show first what would be downloaded, how much, and where to."""
        try:
            installing.plan(self.kind)
        except BridgeError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return context.window_manager.invoke_props_dialog(self, width=WIDTH, confirm_text="Download and Install")

    def draw(self, context):
        """The plan."""
        plan = installing.plan(self.kind)
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "kind")
        column = layout.column(align=True)
        column.label(text=f"For the {plan.build.label}, {_size(plan.size())} in all:")
        biggest = sorted(plan.everything(), key=lambda wheel: wheel.size, reverse=True)
        if plan.from_index:
            _row(column, plan.from_index.replace("==", " "), f"about {_size(plan.build.about)}")
        for wheel in biggest[:SHOWN]:
            _row(column, f"{wheel.name} {wheel.version}", _size(wheel.size))
        _row(column, f"and {len(biggest) - SHOWN} more", _size(sum(wheel.size for wheel in biggest[SHOWN:])))
        column = layout.column(align=True)
        _row(column, "Still to download", _size(installing.missing(plan)))
        _row(column, "Room needed on the disk", f"about {_size(plan.room() + plan.size())}")
        column.label(text=f"Folder: {preferences.backend_folder()}", icon="FILE_FOLDER")
        _sentence(column, _origin(plan), "URL")
        reason = installing.refusal(plan)
        if reason:
            column = layout.column(align=True)
            column.alert = True
            _sentence(column, reason, "ERROR")

    def execute(self, context):
        """Start it; the preferences show how far it is."""
        return self.begin(None)


class CLICKFIELD_OT_install_from_folder(bpy.types.Operator, Installing):
    bl_idname = "clickfield.install_from_folder"
    bl_label = "Offline: Folder of Wheels..."
    bl_description = "Install the backend without network, from a folder that holds its packages as wheels"

    directory: StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN"})
    filter_glob: StringProperty(default="*.whl", options={"HIDDEN"})

    def invoke(self, context, event):
        """Choose the folder."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        """Start it; the preferences show how far it is."""
        return self.begin(Path(bpy.path.abspath(self.directory)))


class CLICKFIELD_OT_cancel_install(bpy.types.Operator):
    bl_idname = "clickfield.cancel_install"
    bl_label = "Cancel"
    bl_description = "Give up the installation; what is downloaded is kept, and Install goes on from there"

    @classmethod
    def poll(cls, context):
        """Only while one goes on."""
        return installing.current() is not None

    def execute(self, context):
        """Ask it to stop."""
        installing.current().cancel()
        return {"FINISHED"}


class CLICKFIELD_OT_remove_backend(bpy.types.Operator):
    bl_idname = "clickfield.remove_backend"
    bl_label = "Remove..."
    bl_description = "Delete the backend's own Python, its packages and what was downloaded; nothing else"

    @classmethod
    def poll(cls, context):
        """Only what Install Backend made."""
        return installing.current() is None and install_folder.owned(preferences.backend_folder())

    def invoke(self, context, event):
        """Ask first."""
        return context.window_manager.invoke_confirm(
            self,
            event,
            title="Remove Backend",
            message=f"Everything that Clickfield installed in {preferences.backend_folder()} is deleted.",
            confirm_text="Remove",
        )

    def execute(self, context):
        """End the backend and delete its folder, in the background."""
        try:
            installing.remove()
        except BridgeError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class CLICKFIELD_OT_copy_diagnostics(bpy.types.Operator):
    bl_idname = "clickfield.copy_diagnostics"
    bl_label = "Copy Diagnostics"
    bl_description = "Copy versions, device and the last lines of the logs, without names and paths of yours"

    def execute(self, context):
        """Put them on the clipboard."""
        context.window_manager.clipboard = reporting.diagnostics()
        self.report({"INFO"}, "The diagnostics are on the clipboard; paste them into your report.")
        return {"FINISHED"}


def _sentence(layout, text, icon):
    """Over as many rows as it needs."""
    for number, line in enumerate(textwrap.wrap(text, WIDTH // 7)):
        layout.label(text=line, icon="BLANK1" if number else icon)


def _row(layout, left, right):
    split = layout.split(factor=0.7)
    split.label(text=left)
    split.label(text=right)


def _size(count):
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _origin(plan):
    """Where the packages come from, and how they are checked."""
    place = install_index.without_login(preferences.package_index())
    place = place or "the package index that pip or uv use on this computer"
    text = f"The packages come from {place}, under their own licences, and are checked by the list in Clickfield."
    if plan.special():
        text += " This torch comes from there or from torch's own index, where uv chooses it"
        text += ", and is checked by what that index says." if plan.from_index else "; it is checked by the list too."
    return text


CLASSES = (
    CLICKFIELD_OT_install_backend,
    CLICKFIELD_OT_install_from_folder,
    CLICKFIELD_OT_cancel_install,
    CLICKFIELD_OT_remove_backend,
    CLICKFIELD_OT_copy_diagnostics,
)
