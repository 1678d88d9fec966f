"""Mark by mouse: a click is a mark at a place, a drag a mark along a stroke."""

import math

import bpy
from bpy.props import IntProperty

from ..blender_addon import live, strokes
from ..blender_addon.scene.strokes import MOST_POINTS, Stroke
from .mark import give_mark, may_mark
from .pointing import pointed
from .tree import find_label

MOVES = ("MOUSEMOVE", "INBETWEEN_MOUSEMOVE")
SPACING = 2.0  # voxels between the points of a stroke


class CLICKFIELD_OT_mark(bpy.types.Operator):
    bl_idname = "clickfield.mark"
    bl_label = "Mark"
    bl_description = (
        "Click to mark what is under the mouse with the active label, or drag to mark along a stroke; "
        "with Ctrl, to say that it is not of that label"
    )
    bl_options = {"UNDO"}

    sign: IntProperty(name="Sign", description="1 for this, -1 for not this", default=1, min=-1, max=1)

    @classmethod
    def poll(cls, context):
        """Only with a capture and a label."""
        return may_mark(cls, context)

    def invoke(self, context, event):
        """The button is down: follow the mouse until it is up again, and not a moment longer."""
        found = pointed(self, context, event)
        if found is None:
            return {"CANCELLED"}
        self._pointer, *self._began = found
        if self._pointer.scan is None and self._pointer.pixel(*self._began) is None:
            self.report({"ERROR"}, "The scan is hidden or was deleted; show it to mark it.")
            return {"CANCELLED"}
        self._button = event.type
        self._dragged = False
        self._stroke = None
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Draw the stroke; take it when the button is up."""
        if event.type in MOVES:
            self._follow(context, event)
            return {"RUNNING_MODAL"}
        if event.type in ("ESC", "RIGHTMOUSE", "WINDOW_DEACTIVATE"):
            self.cancel(context)
            return {"CANCELLED"}
        # Another press says that the release went to another window.
        if event.type == self._button:
            self._forget()
            return self._take(context)
        return {"RUNNING_MODAL"}

    def cancel(self, context):
        """Nothing is marked."""
        self._forget()

    def _follow(self, context, event):
        region = self._pointer.region
        place = event.mouse_x - region.x, event.mouse_y - region.y
        if not self._dragged:
            threshold = context.preferences.inputs.drag_threshold_mouse * context.preferences.system.ui_scale
            self._dragged = math.dist(place, self._began) > threshold
        if not self._dragged or self._pointer.scan is None:
            return
        if self._stroke is None:
            self._stroke = Stroke(self._cast, SPACING * live.session().canvas.voxel(self._pointer.scan))
            self._stroke.extend(*self._began)
            label = find_label(context.scene.clickfield, 0)
            strokes.begin(tuple(label.color) if label is not None else (1.0, 1.0, 1.0), self.sign)
        known = len(self._stroke.points)
        self._stroke.extend(*place)
        strokes.extend(self._pointer.world(point) for point in self._stroke.points[known:])
        if known != len(self._stroke.points):
            region.tag_redraw()

    def _cast(self, x, y):
        hit = self._pointer.hit(x, y)
        return None if hit is None else hit.point

    def _forget(self):
        strokes.end()
        self._pointer.region.tag_redraw()

    def _take(self, context):
        """One mark of what was clicked on or drawn."""
        scene = context.scene
        label = find_label(scene.clickfield, 0)
        if label is None:
            self.report({"ERROR"}, "Choose a label first.")
            return {"CANCELLED"}
        points = self._stroke.points if self._stroke is not None else []
        if len(points) > 1:
            pixel = self._pointer.pixel(*self._stroke.pixels[0])
            give_mark(scene, label, self.sign, pixel, [self._pointer.stored(point) for point in points])
            if self._stroke.full:
                self.report({"WARNING"}, f"The stroke ends after {MOST_POINTS} points; begin another one to go on.")
            return {"FINISHED"}
        pixel = self._pointer.pixel(*self._began)
        if pixel is not None:
            give_mark(scene, label, self.sign, pixel)
            return {"FINISHED"}
        hit = self._pointer.hit(*self._began)
        if hit is None:
            self.report({"WARNING"}, "There is no scan under the mouse.")
            return {"CANCELLED"}
        give_mark(scene, label, self.sign, points=[self._pointer.stored(hit.point)])
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_mark,)
