"""Separate the labelled things of the scan into objects; select what no camera saw of them."""

import bpy
from bpy.props import EnumProperty, FloatProperty

from ..blender_addon import live, opening, separation, window
from ..blender_addon.lookup import scene_by_uid
from ..blender_addon.scene import facts, objects, showing
from ..blender_addon.scene.scan import select_points
from ..blender_addon.ui.objects_panel import draw_options


def is_labelled(operator, context):
    """For polls: is there a capture, and a mark on it?"""
    own = context.scene.clickfield
    if not own.capture_id:
        operator.poll_message_set("Import a capture first")
    elif not own.marks:
        operator.poll_message_set("Mark something first")
    return bool(own.capture_id and own.marks)


def may_use_objects(operator, context):
    """For polls: was the scan separated?"""
    own = context.scene.clickfield
    found = bool(own.capture_id and objects.separated_objects(context.scene, own.capture_id))
    if not found:
        operator.poll_message_set("Separate the scan first")
    return found


class CLICKFIELD_OT_separate(bpy.types.Operator, separation.SeparationOptions):
    """Make an object of every labelled thing, in collections like the label tree.
    Objects that are there are updated in place and keep what you changed on them; the scan stays"""

    bl_idname = "clickfield.separate"
    bl_label = "Separate Objects"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return is_labelled(cls, context)

    def invoke(self, context, event):
        """Ask, beginning with the choices of the last time."""
        remembered = context.scene.clickfield.separation
        for name in separation.NAMES:
            if not self.properties.is_property_set(name):
                setattr(self, name, getattr(remembered, name))
        return context.window_manager.invoke_props_dialog(self, width=320, confirm_text="Separate")

    def draw(self, context):
        """The same rows as in the sidebar."""
        draw_options(self.layout, self)

    def execute(self, context):
        """Send the request; what is not given is as the scene remembers it."""
        scene = context.scene
        remembered = scene.clickfield.separation
        for name in separation.NAMES:
            if self.properties.is_property_set(name):
                setattr(remembered, name, getattr(self, name))
        scene_uid, capture_id = scene.session_uid, scene.clickfield.capture_id
        wanted, revision = objects.Wanted(remembered.levels, remembered.naming), scene.clickfield.revision
        window.clear_problem()

        def done(data, arrays):
            live.session().build(_build(scene_uid, capture_id, data, arrays, wanted, revision))

        params = separation.params(remembered) | {"known": objects.known_objects(scene, capture_id)}
        live.session().ask("separate", params, done, text="Separating objects")
        return {"FINISHED"}


def _build(scene_uid, capture_id, data, arrays, wanted, revision):
    """Put the answer into the scene, in slices; one undo step at the end."""
    scene = scene_by_uid(scene_uid)
    if scene is None or scene.clickfield.capture_id != capture_id:
        window.tell("The scene was changed while its objects were separated; separate them again.")
        return
    try:
        for waiting in objects.build_objects(scene, capture_id, data["objects"], arrays, wanted):
            yield opening.WAIT if waiting else None
        if data["filled"] is not None:
            for waiting in objects.build_filled(scene, capture_id, data["filled"], arrays):
                yield opening.WAIT if waiting else None
    except ReferenceError:
        window.tell("Something was deleted while the objects were made; separate them again.")
        return
    objects.keep_report(scene, capture_id, data)
    objects.keep_revision(scene, capture_id, revision)
    showing.show(scene, capture_id, showing.OBJECTS)
    bpy.ops.ed.undo_push(message="Separate Objects")
    window.redraw()


class CLICKFIELD_OT_show_results(bpy.types.Operator):
    """Show this in the viewport and hide what lies in the same place"""

    bl_idname = "clickfield.show_results"
    bl_label = "Show"
    bl_options = {"REGISTER", "UNDO"}

    what: EnumProperty(
        name="What",
        items=(
            (showing.SCAN, "Scan", "The labelled scan: what marks are made on"),
            (showing.OBJECTS, "Objects", "The separated objects"),
            (showing.FILLED, "Empty Scene", "The scan without its things, made with Fill the Hole"),
        ),
    )

    @classmethod
    def poll(cls, context):
        return may_use_objects(cls, context)

    def execute(self, context):
        showing.show(context.scene, context.scene.clickfield.capture_id, self.what)
        return {"FINISHED"}


class CLICKFIELD_OT_select_invented(bpy.types.Operator):
    """Select the part of the active object that no camera saw: it was closed by continuing what was seen.
    Replace it, smooth it, or leave it"""

    bl_idname = "clickfield.select_invented"
    bl_label = "Select Invented"
    bl_options = {"REGISTER", "UNDO"}

    action: EnumProperty(
        name="As",
        items=(
            ("SELECT", "Selection", "Select the points in Edit Mode"),
            ("GROUP", "Vertex Group", "Put the points into the vertex group Invented, for modifiers and painting"),
        ),
    )
    limit: FloatProperty(
        name="Seen Less Than",
        description="Points that cameras saw less than this are invented",
        default=facts.HALF,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )

    @classmethod
    def poll(cls, context):
        item = context.active_object
        if item is None or item.type != "MESH" or item.data.attributes.get(facts.OBSERVED) is None:
            cls.poll_message_set("Make a separated object the active one first")
            return False
        return True

    def execute(self, context):
        item = context.active_object
        edited = item.mode != "OBJECT"
        if edited:
            bpy.ops.object.mode_set(mode="OBJECT")
        observed = facts.read_observed(item.data)
        if observed is None:
            self.report({"ERROR"}, 'The attribute "observed" of this object was changed; separate it again.')
            return {"CANCELLED"}
        invented = observed < self.limit
        if self.action == "GROUP":
            group = item.vertex_groups.get("Invented") or item.vertex_groups.new(name="Invented")
            group.remove(range(len(observed)))
            group.add(invented.nonzero()[0].tolist(), 1.0, "REPLACE")
        else:
            select_points(item.data, invented)
        if edited or self.action == "SELECT":
            bpy.ops.object.mode_set(mode="EDIT")
        if self.action == "SELECT":
            context.tool_settings.mesh_select_mode = (True, False, False)
        self.report({"INFO"}, f"{int(invented.sum())} of {len(invented)} points are invented")
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_separate, CLICKFIELD_OT_show_results, CLICKFIELD_OT_select_invented)
