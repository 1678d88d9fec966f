"""Start, stop, restart and test the backend; cancel what it does."""

from pathlib import Path

import bpy

from ..blender_addon import live, preferences, window
from ..blender_addon.bridge.environment import Check
from ..blender_addon.bridge.states import BridgeError, State


class CLICKFIELD_OT_start_backend(bpy.types.Operator):
    bl_idname = "clickfield.start_backend"
    bl_label = "Start"
    bl_description = "Start the backend process, and open the scene's capture in it"

    @classmethod
    def poll(cls, context):
        """Only when none runs."""
        return live.session().client.state in (State.STOPPED, State.FAILED)

    def execute(self, context):
        """Start it; the panel shows how it goes."""
        try:
            live.session().start()
        except BridgeError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class CLICKFIELD_OT_stop_backend(bpy.types.Operator):
    bl_idname = "clickfield.stop_backend"
    bl_label = "Stop"
    bl_description = "End the backend process and give its memory back; nothing is lost"

    @classmethod
    def poll(cls, context):
        """Only when one runs."""
        return live.session().client.state in (State.STARTING, State.READY, State.BUSY)

    def execute(self, context):
        """Stop it."""
        live.session().stop()
        return {"FINISHED"}


class CLICKFIELD_OT_restart_backend(bpy.types.Operator):
    bl_idname = "clickfield.restart_backend"
    bl_label = "Restart"
    bl_description = "End the backend process if it runs, start it, and rebuild labels from what is in this file"

    def execute(self, context):
        """Stop it and start it when it is gone."""
        live.session().restart()
        return {"FINISHED"}


class CLICKFIELD_OT_test_backend(bpy.types.Operator):
    bl_idname = "clickfield.test_backend"
    bl_label = "Test"
    bl_description = "Check that the interpreter can run the backend, and on which devices"

    _check = None
    _timer = None

    def invoke(self, context, event):
        """Check in a thread; Blender stays usable."""
        self._check = self._begun()
        self._timer = context.window_manager.event_timer_add(0.1, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Wait for the finding."""
        if event.type == "ESC":
            self.cancel(context)
            return {"CANCELLED"}
        if event.type != "TIMER" or self._check.poll() is None:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self._tell(self._check.poll())

    def cancel(self, context):
        """Blender or the person gives up."""
        self._check.cancel()
        context.window_manager.event_timer_remove(self._timer)

    def execute(self, context):
        """For scripts: check and wait."""
        check = self._begun()
        if check.thread is not None:
            check.thread.join()
        return self._tell(check.poll())

    def _begun(self) -> Check:
        given = preferences.get().interpreter.strip()
        given = bpy.path.abspath(given) if given else preferences.found_interpreter()
        return Check(given, preferences.ROOT, remote=preferences.get().remote.strip())

    def _tell(self, finding):
        if finding.ok:
            window.clear_problem()
            self.report({"INFO"}, finding.sentence)
            return {"FINISHED"}
        self.report({"ERROR"}, finding.sentence)
        return {"CANCELLED"}


class CLICKFIELD_OT_cancel(bpy.types.Operator):
    bl_idname = "clickfield.cancel"
    bl_label = "Cancel"
    bl_description = "Give up what Clickfield is working on"

    def execute(self, context):
        """Ask the backend to stop the running request."""
        live.session().cancel()
        return {"FINISHED"}


class CLICKFIELD_OT_show_log(bpy.types.Operator):
    bl_idname = "clickfield.show_log"
    bl_label = "Show Log"
    bl_description = "Open the backend's log in a text editor of this file"

    def execute(self, context):
        """Load it as a text datablock."""
        path = Path(live.session().client.log_path or preferences.log_path())
        if not path.is_file():
            self.report({"ERROR"}, "There is no log yet; start the backend first.")
            return {"CANCELLED"}
        text = bpy.data.texts.load(str(path))
        self.report({"INFO"}, f"The log is open in the text editor as {text.name}.")
        return {"FINISHED"}


CLASSES = (
    CLICKFIELD_OT_start_backend,
    CLICKFIELD_OT_stop_backend,
    CLICKFIELD_OT_restart_backend,
    CLICKFIELD_OT_test_backend,
    CLICKFIELD_OT_cancel,
    CLICKFIELD_OT_show_log,
)
