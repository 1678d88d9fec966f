"""Look through a keyframe's camera; show one label alone."""

from functools import partial

import bpy
from bpy.props import IntProperty, StringProperty

from ..blender_addon import live
from ..blender_addon.pointer import Pointer, pointer_at, pressed_at
from ..blender_addon.scene import best_view, cameras
from .tree import find_label


class ViewOperator:
    """What the operators on the view share."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """Only with a capture."""
        if not context.scene.clickfield.capture_id:
            cls.poll_message_set("Import a capture first")
            return False
        return True

    def look_through(self, context, camera):
        """Make a keyframe's camera the active one and look through it."""
        context.scene.camera = camera
        problem = cameras.show_picture(context.scene, camera)
        if problem:
            self.report({"WARNING"}, problem)
        if context.area is not None and context.area.type == "VIEW_3D":
            context.area.spaces.active.region_3d.view_perspective = "CAMERA"
        return {"FINISHED"}


class CLICKFIELD_OT_view_frame(bpy.types.Operator, ViewOperator):
    bl_idname = "clickfield.view_frame"
    bl_label = "View Keyframe"
    bl_description = "Look through the camera of a keyframe, with its picture as background"

    frame: StringProperty(name="Keyframe", description="Name of the keyframe; empty goes by steps")
    offset: IntProperty(name="Step", description="Keyframes forward from the active one", default=0)

    @classmethod
    def description(cls, context, properties):
        """One text per button."""
        if properties.offset:
            return f"Look through the {'next' if properties.offset > 0 else 'previous'} keyframe's camera"
        return cls.bl_description

    def execute(self, context):
        """Find its camera and look through it."""
        scene = context.scene
        made = cameras.capture_cameras(scene, scene.clickfield.capture_id)
        if self.frame:
            camera = next((c for c in made if c.clickfield.frame == self.frame), None)
        else:
            now = made.index(scene.camera) if scene.camera in made else 0
            camera = made[(now + self.offset) % len(made)] if made else None
        if camera is None:
            self.report({"ERROR"}, f"There is no keyframe called {self.frame} in this scene.")
            return {"CANCELLED"}
        return self.look_through(context, camera)


class CLICKFIELD_OT_best_view(bpy.types.Operator, ViewOperator):
    bl_idname = "clickfield.best_view"
    bl_label = "Best View"
    bl_description = "Look through the keyframe that sees the place under the mouse best: near, frontal, not hidden"

    def invoke(self, context, event):
        """The place under the mouse; from a button, that in the middle of the viewport."""
        found = pointer_at(context, pressed_at(event))
        from_button = context.region is not None and context.region.type != "WINDOW"
        if found is not None and not from_button:
            return self._look(context, *found)
        return self.execute(context)

    def execute(self, context):
        """The place in the middle of the viewport."""
        area = context.area
        if area is None or area.type != "VIEW_3D":
            self.report({"ERROR"}, "Point into a 3D viewport.")
            return {"CANCELLED"}
        region = next(region for region in area.regions if region.type == "WINDOW")
        pointer = Pointer(context.scene, region, area.spaces.active.region_3d)
        return self._look(context, pointer, region.width / 2, region.height / 2)

    def _look(self, context, pointer, x, y):
        scene = context.scene
        hit = pointer.hit(x, y)
        if hit is None:
            self.report({"WARNING"}, "There is no scan there; point at the scan.")
            return {"CANCELLED"}
        made = cameras.capture_cameras(scene, scene.clickfield.capture_id)
        lenses = cameras.lenses(made)
        eyes = lenses.camera_to_scene[:, :3, 3]
        for row in best_view.ranked(hit.point, hit.normal, lenses):
            if best_view.is_seen(partial(live.session().canvas.hit, pointer.scan), eyes[row], hit.point):
                return self.look_through(context, made[row])
        self.report({"WARNING"}, "No keyframe sees this place well enough.")
        return {"CANCELLED"}


class CLICKFIELD_OT_isolate_label(bpy.types.Operator, ViewOperator):
    bl_idname = "clickfield.isolate_label"
    bl_label = "Isolate"
    bl_description = "Show the active label alone, the rest of the scan dimmed; once more to show everything"

    uid: IntProperty(name="Label", description="Uid of the label; 0 means the active one", default=0, min=0)

    def execute(self, context):
        """Isolate it, or end that."""
        own = context.scene.clickfield
        label = find_label(own, self.uid)
        if own.isolated and (label is None or not self.uid or label.uid == own.isolated):
            own.isolated = 0
            return {"FINISHED"}
        if label is None:
            self.report({"ERROR"}, "Choose the label to isolate.")
            return {"CANCELLED"}
        own.isolated = label.uid
        return {"FINISHED"}


CLASSES = (
    CLICKFIELD_OT_view_frame,
    CLICKFIELD_OT_best_view,
    CLICKFIELD_OT_isolate_label,
)
