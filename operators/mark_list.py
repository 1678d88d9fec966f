"""Work on marks in their list: choose, find, mute, retype, flip, delete; one of them or all that are selected."""

import bpy
from bpy.props import EnumProperty, IntProperty

from ..blender_addon import live
from ..blender_addon.scene import cameras
from ..blender_addon.scene.places import look_at, place_of
from .label_choice import LabelChoice


def chosen_rows(own, uid):
    """Rows of the mark of that uid; for 0 of all selected marks, or of the active one when none is selected."""
    if uid:
        return [row for row, mark in enumerate(own.marks) if mark.uid == uid]
    rows = [row for row, mark in enumerate(own.marks) if mark.selected]
    return rows or ([own.active_mark] if own.active_mark < len(own.marks) else [])


def viewport_of(context):
    """The region data of the 3D viewport that a button belongs to; None elsewhere."""
    area = context.area
    return area.spaces.active.region_3d if area is not None and area.type == "VIEW_3D" else None


class MarksOperator:
    """What the operators on marks share."""

    bl_options = {"REGISTER", "UNDO"}
    uid: IntProperty(name="Mark", description="Id of the mark; 0 means the selected ones", default=0, min=0)

    @classmethod
    def poll(cls, context):
        """Only when there are marks."""
        if not len(context.scene.clickfield.marks):
            cls.poll_message_set("There are no marks yet")
            return False
        return True

    def rows(self, context):
        """The rows that are meant, after a report when there are none."""
        found = chosen_rows(context.scene.clickfield, self.uid)
        if not found:
            self.report({"ERROR"}, "That mark is not in this scene; select one in the list.")
        return found


class CLICKFIELD_OT_select_marks(bpy.types.Operator, MarksOperator):
    bl_idname = "clickfield.select_marks"
    bl_label = "Select Marks"
    bl_description = "Choose marks in the list"

    action: EnumProperty(
        items=(
            ("ALL", "All", "Select every mark"),
            ("NONE", "None", "Select no mark"),
            ("INVERT", "Invert", "Select those that are not"),
            ("LABEL", "By Label", "Select the marks of the active mark's label"),
            ("PROBLEMS", "With Problems", "Select marks that teach nothing or are overruled by another one"),
        )
    )
    label: IntProperty(name="Label", description="Uid of the label; 0 means that of the active mark", default=0, min=0)

    def execute(self, context):
        """Select them."""
        own = context.scene.clickfield
        active = own.marks[min(own.active_mark, len(own.marks) - 1)]
        label = self.label or active.label
        found = live.session().findings
        for mark in own.marks:
            if self.action == "LABEL":
                mark.selected = mark.label == label
            elif self.action == "PROBLEMS":
                mark.selected = found.troubled(mark.uid)
            else:
                mark.selected = self.action == "ALL" or (self.action == "INVERT" and not mark.selected)
        return {"FINISHED"}


class CLICKFIELD_OT_go_to_mark(bpy.types.Operator, MarksOperator):
    bl_idname = "clickfield.go_to_mark"
    bl_label = "Go to Mark"
    bl_description = "Look at a mark: through the keyframe that it was made in, or from where the view is"
    bl_options = {"REGISTER"}

    def execute(self, context):
        """Turn the viewport."""
        own = context.scene.clickfield
        rows = [own.active_mark] if not self.uid and own.active_mark < len(own.marks) else self.rows(context)
        if not rows:
            return {"CANCELLED"}
        own.active_mark = rows[0]
        mark = own.marks[rows[0]]
        made = {camera.clickfield.frame for camera in cameras.capture_cameras(context.scene, own.capture_id)}
        if mark.frame and mark.frame in made:
            return bpy.ops.clickfield.view_frame(frame=mark.frame)
        place = place_of(context.scene, mark, live.session().findings.mark_points)
        if place is None:
            self.report({"WARNING"}, f"Nobody knows where mark {mark.uid} is: it is not on the scan.")
            return {"CANCELLED"}
        if viewport_of(context) is not None:
            look_at(viewport_of(context), place)
        return {"FINISHED"}


class CLICKFIELD_OT_mute_marks(bpy.types.Operator, MarksOperator):
    bl_idname = "clickfield.mute_marks"
    bl_label = "Mute Marks"
    bl_description = "See the labels without these marks, or with them again; the marks stay"

    action: EnumProperty(
        items=(
            ("TOGGLE", "Toggle", "Mute them, or unmute them when all are muted"),
            ("MUTE", "Mute", "They teach nothing"),
            ("UNMUTE", "Unmute", "They teach again"),
        )
    )

    def execute(self, context):
        """Mute or unmute them."""
        own, rows = context.scene.clickfield, self.rows(context)
        muted = self.action == "MUTE" or (self.action == "TOGGLE" and not all(own.marks[row].muted for row in rows))
        for row in rows:
            own.marks[row].muted = muted
        return {"FINISHED"} if rows else {"CANCELLED"}


class CLICKFIELD_OT_flip_marks(bpy.types.Operator, MarksOperator):
    bl_idname = "clickfield.flip_marks"
    bl_label = "Flip Marks"
    bl_description = "Turn 'this' into 'not this' and back"

    def execute(self, context):
        """Flip their signs."""
        own, rows = context.scene.clickfield, self.rows(context)
        for row in rows:
            own.marks[row].sign = -own.marks[row].sign
        own.revision += bool(rows)
        return {"FINISHED"} if rows else {"CANCELLED"}


class CLICKFIELD_OT_retype_marks(LabelChoice, MarksOperator, bpy.types.Operator):
    bl_idname = "clickfield.retype_marks"
    bl_label = "Give Another Label"
    bl_description = "Give the marks to another label"
    bl_property = "choice"

    def execute(self, context):
        """Give them to the label."""
        own, rows = context.scene.clickfield, self.rows(context)
        label = self.chosen_label(context)
        if label is None:
            return {"CANCELLED"}
        for row in rows:
            own.marks[row].label, own.marks[row].instance = label.uid, 0  # numbers count within a label
        own.revision += bool(rows)
        return {"FINISHED"} if rows else {"CANCELLED"}


class CLICKFIELD_OT_delete_marks(bpy.types.Operator, MarksOperator):
    bl_idname = "clickfield.delete_marks"
    bl_label = "Delete Marks"
    bl_description = "Take marks back together with everything that they taught"

    def execute(self, context):
        """Remove them."""
        own, rows = context.scene.clickfield, self.rows(context)
        for row in reversed(rows):
            own.marks.remove(row)
        own.active_mark = max(min(own.active_mark, len(own.marks) - 1), 0)
        own.revision += bool(rows)
        return {"FINISHED"} if rows else {"CANCELLED"}


class CLICKFIELD_OT_keep_mark(bpy.types.Operator):
    bl_idname = "clickfield.keep_mark"
    bl_label = "Keep"
    bl_description = "The mark was meant: do not warn about it again"

    uid: IntProperty(name="Mark", description="Id of the mark", min=1)

    def execute(self, context):
        """Forget the warning."""
        live.session().findings.keep(self.uid)
        return {"FINISHED"}


CLASSES = (
    CLICKFIELD_OT_select_marks,
    CLICKFIELD_OT_go_to_mark,
    CLICKFIELD_OT_mute_marks,
    CLICKFIELD_OT_flip_marks,
    CLICKFIELD_OT_retype_marks,
    CLICKFIELD_OT_delete_marks,
    CLICKFIELD_OT_keep_mark,
)
