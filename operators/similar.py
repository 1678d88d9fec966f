"""Find objects of one label that are the same thing, and make them linked copies of one mesh."""

import bpy
from bpy.props import EnumProperty

from ..blender_addon import live, opening, window
from ..blender_addon.lookup import scene_by_uid
from ..blender_addon.scene import linked, objects
from .instances import ObjectsOperator, chosen_objects


class CLICKFIELD_OT_find_similar(bpy.types.Operator):
    """Find objects of one label with the same shape, and make them linked copies of one mesh at their own places.
    Their own meshes stay in the file"""

    bl_idname = "clickfield.find_similar"
    bl_label = "Find Similar"
    bl_options = {"REGISTER"}

    which: EnumProperty(
        name="Objects",
        items=(
            ("ALL", "All", "Compare all separated objects"),
            ("SELECTED", "Selected", "Compare those that are selected"),
        ),
    )
    mesh: EnumProperty(
        name="Mesh",
        items=(
            ("UNION", "All Views Together", "Made from what cameras saw of all of them, in colors of the points"),
            ("BEST", "Best Seen", "That of the one which cameras saw most of, with its texture"),
        ),
    )

    @classmethod
    def poll(cls, context):
        own = context.scene.clickfield
        if not own.capture_id or len(objects.separated_objects(context.scene, own.capture_id)) < 2:
            cls.poll_message_set("Separate at least two things first")
            return False
        return True

    def execute(self, context):
        """Ask; the answer changes the scene when it comes."""
        scene = context.scene
        scene_uid, capture_id = scene.session_uid, scene.clickfield.capture_id
        mine = objects.separated_objects(scene, capture_id)
        items = linked.comparable(chosen_objects(context) if self.which == "SELECTED" else mine)
        if not items:
            self.report({"ERROR"}, "No two of these objects have the same label; there is nothing to compare.")
            return {"CANCELLED"}
        names, union = [item.name for item in items], self.mesh == "UNION"
        linked.restore(scene, capture_id, items)  # compared by what was seen of each
        params, arrays = linked.request(items)

        def done(data, answered):
            live.session().build(_build(scene_uid, capture_id, names, data, answered, union))

        live.session().ask("similar", params, done, text="Comparing objects", arrays=arrays)
        return {"FINISHED"}


def _build(scene_uid, capture_id, names, data, arrays, union):
    """Link what matches, in slices; one undo step at the end."""
    scene = scene_by_uid(scene_uid)
    items = [scene.objects.get(name) for name in names] if scene is not None else [None]
    if None in items or scene.clickfield.capture_id != capture_id:
        window.tell("Objects were renamed or deleted while they were compared; find similar ones again.")
        return
    try:
        for waiting in linked.build(scene, capture_id, items, data, arrays, union):
            yield opening.WAIT if waiting else None
    except ReferenceError:
        window.tell("Something was deleted while objects were linked; find similar ones again.")
        return
    bpy.ops.ed.undo_push(message="Find Similar")
    window.redraw()


class CLICKFIELD_OT_restore_own_mesh(bpy.types.Operator, ObjectsOperator):
    """Give the selected linked copies back the meshes that they had before Find Similar"""

    bl_idname = "clickfield.restore_own_mesh"
    bl_label = "Restore Own Mesh"

    def execute(self, context):
        """Restore them."""
        scene = context.scene
        count = linked.restore(scene, scene.clickfield.capture_id, chosen_objects(context))
        if not count:
            self.report({"INFO"}, "None of these objects is a linked copy made by Find Similar.")
            return {"CANCELLED"}
        self.report({"INFO"}, f"{count} objects have their own meshes again")
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_find_similar, CLICKFIELD_OT_restore_own_mesh)
