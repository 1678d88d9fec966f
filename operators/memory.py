"""Give memory and disk back: end the backend, clear its cache."""

import bpy

from ..blender_addon import caching, live
from ..blender_addon.bridge.states import State


class CLICKFIELD_OT_release_memory(bpy.types.Operator):
    bl_idname = "clickfield.release_memory"
    bl_label = "Release Memory"
    bl_description = (
        "End the backend and give its memory back, and that of the GPU. Labels and everything else stay; it comes back "
        "with the next edit of the labels"
    )

    @classmethod
    def poll(cls, context):
        """Only when one runs, and not in the middle of an import, which would be undone by it."""
        if live.session().client.state not in (State.STARTING, State.READY, State.BUSY):
            cls.poll_message_set("The backend is not running")
            return False
        if live.session().importing:
            cls.poll_message_set("A capture is being opened; wait, or cancel that first")
            return False
        return True

    def execute(self, context):
        """End it."""
        live.releases().release()
        return {"FINISHED"}


class CLICKFIELD_OT_clear_cache(bpy.types.Operator):
    bl_idname = "clickfield.clear_cache"
    bl_label = "Clear Cache"
    bl_description = (
        "Remove fused surfaces, trained fields and unpacked captures from the cache folder. All of it can be made "
        "again, which takes time when a capture is opened next. Pictures of open scenes and your own files stay"
    )

    def invoke(self, context, event):
        """Ask first."""
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context):
        """Clear it in a thread; the preferences say what came of it."""
        if not caching.clear():
            self.report({"ERROR"}, "The cache is being cleared already.")
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_release_memory, CLICKFIELD_OT_clear_cache)
