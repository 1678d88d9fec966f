"""The top of the Clickfield tab: what the backend does, what went wrong, and how settled the labels are."""

import bpy

from .. import live, window
from ..bridge.states import State
from .panels import ClickfieldPanel, _wrapped

ICONS = {
    State.READY: "CHECKMARK",
    State.BUSY: "SORTTIME",
    State.STARTING: "SORTTIME",
    State.STOPPING: "SORTTIME",
    State.FAILED: "ERROR",
    State.STOPPED: "SNAP_FACE",
}
ENOUGH = 0.95  # settled share of the scan from which on more marks change little


def status_line(layout, context):
    """One line that always says what the backend does."""
    client = live.session().client
    _wrapped(layout, context, window.sentence(client), ICONS[client.state])


class CLICKFIELD_PT_status(bpy.types.Panel, ClickfieldPanel):
    bl_idname = "CLICKFIELD_PT_status"
    bl_label = "Status"
    bl_order = 0
    bl_options = {"HIDE_HEADER"}

    def draw(self, context):
        """From what must be answered to what is good to know."""
        layout, state = self.layout, context.window_manager.clickfield
        status_line(layout, context)
        if state.busy:
            row = layout.row(align=True)
            row.progress(factor=state.progress, text=state.busy)
            row.operator("clickfield.cancel", text="", icon="X")
        elif window.training() is not None:
            layout.progress(factor=window.training(), text="Training")
        if state.problem:
            box = layout.box()
            box.alert = True
            _wrapped(box, context, state.problem, "ERROR")
            if state.locate:
                box.operator("clickfield.locate_capture", icon="FILE_FOLDER")
        self._warning(context)
        self._settled(context)

    def _warning(self, context):
        """One mark changes more than the person may have meant."""
        warning = live.session().findings.warning
        if warning is None:
            return
        box = self.layout.box()
        _wrapped(box, context, f"{warning['sentence']} Was that meant?", "QUESTION")
        row = box.row(align=True)
        row.operator("clickfield.delete_marks", text="Undo", icon="LOOP_BACK").uid = warning["mark"]
        mute = row.operator("clickfield.mute_marks", text="Mute", icon="HIDE_ON")
        mute.uid, mute.action = warning["mark"], "MUTE"
        row.operator("clickfield.keep_mark", text="Keep", icon="CHECKMARK").uid = warning["mark"]

    def _settled(self, context):
        """How settled the labels are, so that a person knows when to stop."""
        state = context.window_manager.clickfield
        if not len(context.scene.clickfield.marks) or not len(state.shares):
            return
        sure = 1.0 - state.unsettled
        self.layout.progress(factor=sure, text=f"{sure:.0%} of the scan is settled")
        if sure >= ENOUGH:
            self.layout.label(text="More marks will change little", icon="CHECKMARK")


def register() -> None:
    """Register the panel."""
    bpy.utils.register_class(CLICKFIELD_PT_status)


def unregister() -> None:
    """Take it back."""
    bpy.utils.unregister_class(CLICKFIELD_PT_status)
