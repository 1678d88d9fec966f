"""One object or several: say by hand which parts of a label are one thing. Separate again to see it."""

import bpy
import numpy as np

from ..backend.protocol import MAX_UID
from ..blender_addon import hovering, live
from ..blender_addon.scene import claims, collections, objects, scan, showing
from ..blender_addon.scene.cameras import matrix_from_rows
from .label_choice import ClassChoice
from .mark import give_mark
from .tree import choose, find_label


def chosen_objects(context):
    """The selected separated objects of the scene's capture, else the active one."""
    mine = objects.separated_objects(context.scene, context.scene.clickfield.capture_id)
    selected = [item for item in mine if item.select_get()]
    return selected or [item for item in mine if item == context.active_object]


def free_number(scene, uid):
    """An instance number that no object and no mark of a label has."""
    label = find_label(scene.clickfield, uid)
    promised = label.mark_instance, label.split_first, label.split_second
    return min(max(*promised, claims.highest_instance(scene, uid)) + 1, MAX_UID)


def mark_object(scene, item, label, instance):
    """A mark of a label at a place on an object that cameras saw, which teaches that piece alone."""
    scene_from_world = matrix_from_rows(list(scene.clickfield.scene_from_world))
    place = scene_from_world.inverted() @ claims.seen_place(item)
    give_mark(scene, label, 1, points=[place], instance=instance).local = True


def in_object_mode(operator, context):
    """For polls: is nothing edited, sculpted or painted?"""
    if context.mode != "OBJECT":
        operator.poll_message_set("Go back to Object Mode first")
    return context.mode == "OBJECT"


def label_of_things(context, items):
    """The label that some objects share, if its pieces are separate things; otherwise None."""
    uids = {item.clickfield.label for item in items}
    return next((one for one in context.scene.clickfield.labels if {one.uid} == uids and one.thing), None)


class ObjectsOperator:
    """What the operators on separated objects share."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """Only with a separated object."""
        if not in_object_mode(cls, context):
            return False
        if not (context.scene.clickfield.capture_id and chosen_objects(context)):
            cls.poll_message_set("Select separated objects first")
            return False
        return True

    def rows_on(self, context, items):
        """Rows of the marks on each of some objects, by the object's name."""
        scene = context.scene
        labels = {item.clickfield.label for item in items}
        others = objects.separated_objects(scene, scene.clickfield.capture_id)
        places = claims.places_of_marks(scene, live.session().mark_points)
        marks = scene.clickfield.marks
        places = {row: at for row, at in places.items() if marks[row].label in labels and marks[row].sign > 0}
        rows = {item.name: [] for item in items}
        for row, item in claims.marks_on([one for one in others if one.clickfield.label in labels], places).items():
            rows.setdefault(item.name, []).append(row)
        return rows


class CLICKFIELD_OT_new_instance(bpy.types.Operator):
    """Let the next marks of the active label lie on another object than all marks before: click on the thing that
    is to be separate"""

    bl_idname = "clickfield.new_instance"
    bl_label = "New Instance"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """Only with a label whose pieces are separate objects."""
        label = find_label(context.scene.clickfield, 0)
        if label is None or not label.thing:
            cls.poll_message_set("Choose a label whose pieces are separate things")
            return False
        return True

    def execute(self, context):
        """Choose the number."""
        label = find_label(context.scene.clickfield, 0)
        label.mark_instance = free_number(context.scene, label.uid)
        self.report({"INFO"}, f"The next marks of {label.name} lie on instance {label.mark_instance}")
        return {"FINISHED"}


class CLICKFIELD_OT_merge_instances(bpy.types.Operator, ObjectsOperator):
    """Make one object of the selected ones, which have one label, when you separate again.
    Each gets a mark with the same instance number"""

    bl_idname = "clickfield.merge_instances"
    bl_label = "Merge Instances"

    @classmethod
    def poll(cls, context):
        """Only with several objects of one label."""
        if not super().poll(context):
            return False
        items = chosen_objects(context)
        if len(items) < 2 or label_of_things(context, items) is None:
            cls.poll_message_set("Select two or more objects of one label (Shift-click) that are parts of one thing")
            return False
        return True

    def execute(self, context):
        """Give them marks of one number."""
        scene, items = context.scene, chosen_objects(context)
        label = label_of_things(context, items)
        number = min(item.clickfield.instance for item in items)
        rows = self.rows_on(context, items)
        for item in items:
            numbered = [row for row in rows[item.name] if scene.clickfield.marks[row].instance]
            for row in numbered:
                scene.clickfield.marks[row].instance = number
            if not numbered:
                mark_object(scene, item, label, number)
        self.report({"INFO"}, f"{len(items)} objects are {label.name} {number} now; separate again to see it")
        return {"FINISHED"}


class CLICKFIELD_OT_split_instance(bpy.types.Operator):
    """Split the active object in two when you separate again: click on the part that stays what it is, then on the
    part that is another thing. The scan is shown to click on"""

    bl_idname = "clickfield.split_instance"
    bl_label = "Split Instance Here"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """Only with a separated object that is a thing."""
        item = context.active_object
        if not in_object_mode(cls, context):
            return False
        if item is None or item.type != "MESH" or item.clickfield.role != "OBJECT":
            cls.poll_message_set("Make a separated object the active one first")
            return False
        if label_of_things(context, [item]) is None:
            cls.poll_message_set("The label of this object is one thing as a whole; switch on Thing in the label list")
            return False
        return True

    def execute(self, context):
        """The next two marks get two numbers; one is enough when the object has a numbered mark."""
        scene, own = context.scene, context.active_object.clickfield
        label = label_of_things(context, [context.active_object])
        said = any(
            mark.label == label.uid and mark.sign > 0 and not mark.muted and mark.instance == own.instance
            for mark in scene.clickfield.marks
        )
        label.split_second = free_number(scene, label.uid)
        label.split_first = 0 if said else own.instance
        choose(scene.clickfield, label.uid)
        showing.show(scene, scene.clickfield.capture_id, showing.SCAN)
        if context.area is not None and context.area.type == "VIEW_3D":
            bpy.ops.wm.tool_set_by_id(name=hovering.TOOL)
        where = "on the part that is another one" if said else "on the part that stays, then on the other one"
        self.report({"INFO"}, f"Click {where}, and separate again")
        return {"FINISHED"}


class CLICKFIELD_OT_assign_objects(ClassChoice, ObjectsOperator, bpy.types.Operator):
    """Give the selected objects to another label. Marks on them follow; an object without any gets one.
    Separate again to see what that teaches"""

    bl_idname = "clickfield.assign_objects"
    bl_label = "Assign to Label"
    bl_property = "choice"

    def execute(self, context):
        """Give them to the label."""
        scene, own = context.scene, context.scene.clickfield
        label = self.chosen_label(context)
        if label is None:
            return {"CANCELLED"}
        uid = label.uid
        items = [item for item in chosen_objects(context) if item.clickfield.label != uid]
        rows = self.rows_on(context, items)
        root = collections.results_collection(scene, own.capture_id)
        folders = collections.Folders(root, scene) if root is not None else None
        for item in items:
            number = free_number(scene, uid)
            for row in rows[item.name]:  # those that say which pieces are one thing go on saying it
                mark = own.marks[row]
                mark.label, mark.instance = uid, number if mark.instance else 0
            if not rows[item.name]:
                mark_object(scene, item, label, 0)
            self._move(scene, folders, item, uid, number)
        if folders is not None:
            folders.drop_empty()
        own.revision += 1
        told = "1 object is" if len(items) == 1 else f"{len(items)} objects are"
        self.report({"INFO"}, f"{told} {label.name} now; separate again to cut anew")
        return {"FINISHED"}

    def _move(self, scene, folders, item, uid, number):
        """Let an object have a label: its number, its points, its collection."""
        its = item.clickfield
        former, its.label, its.instance = its.label, uid, number
        labels, confidence = scan.read_labels(item.data)
        scan.write_labels(item.data, np.where(labels == former, uid, labels).astype(np.uint16), confidence)
        holders = [one for one in item.users_collection if one.get(collections.LABEL) == former]
        if folders is not None and holders:
            for holder in holders:
                holder.objects.unlink(item)
            folders.of(uid).objects.link(item)


CLASSES = (
    CLICKFIELD_OT_new_instance,
    CLICKFIELD_OT_merge_instances,
    CLICKFIELD_OT_split_instance,
    CLICKFIELD_OT_assign_objects,
)
