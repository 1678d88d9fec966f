"""Separate the labelled things of the scan into objects."""

import bpy
from bpy.props import FloatProperty

from ..blender_addon import live, opening, window
from ..blender_addon.lookup import scene_by_uid
from ..blender_addon.scene import objects
from ..blender_addon.scene.scan import find_scan


class CLICKFIELD_OT_separate(bpy.types.Operator):
    """Make an object of every labelled thing, in collections like the label tree.
    Replaces the objects that were separated before, except those moved to other collections; the scan stays"""

    bl_idname = "clickfield.separate"
    bl_label = "Separate Objects"
    bl_options = {"REGISTER"}

    min_size: FloatProperty(
        name="Smallest Size",
        description="Pieces whose longest side is shorter are left out, unless a label has nothing larger",
        default=0.04,
        min=0.0,
        soft_max=1.0,
        unit="LENGTH",
    )

    @classmethod
    def poll(cls, context):
        own = context.scene.clickfield
        if not own.capture_id:
            cls.poll_message_set("Import a capture first")
        elif not own.marks:
            cls.poll_message_set("Mark something first")
        return bool(own.capture_id and own.marks)

    def execute(self, context):
        scene_uid, capture_id = context.scene.session_uid, context.scene.clickfield.capture_id
        window.clear_problem()

        def done(data, arrays):
            live.session().build(_build(scene_uid, capture_id, data, arrays))

        live.session().ask("separate", {"min_size": self.min_size}, done, text="Separating objects")
        return {"FINISHED"}


def _build(scene_uid, capture_id, data, arrays):
    """Put the answer into the scene, in slices; one undo step at the end."""
    scene = scene_by_uid(scene_uid)
    if scene is None or scene.clickfield.capture_id != capture_id:
        window.tell("The scene was changed while its objects were separated; separate them again.")
        return
    try:
        for waiting in objects.build_objects(scene, capture_id, data["objects"], arrays):
            yield opening.WAIT if waiting else None
    except ReferenceError:
        window.tell("Something was deleted while the objects were made; separate them again.")
        return
    objects.keep_report(scene, capture_id, data)
    scan = find_scan(scene, capture_id)
    if scan is not None:
        scan.hide_viewport = True  # the objects lie on it; both at once would flicker
    bpy.ops.ed.undo_push(message="Separate Objects")
    window.redraw()


CLASSES = (CLICKFIELD_OT_separate,)
