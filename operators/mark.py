"""Mark the scan: this surface is, or is not, of that label. Load and save the label document as a file."""

from pathlib import Path

import bpy
from bpy.props import FloatProperty, FloatVectorProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper
from mathutils import Matrix, Vector

from ..blender_addon.document import labels as documents
from ..blender_addon.document import recent
from ..blender_addon.pointer import Pixel
from ..blender_addon.scene.cameras import matrix_from_rows
from ..blender_addon.scene.scan import find_scan
from .tree import add, find_label, put_in_order


def world_from_blender(scene, scan):
    """Blender's world to the capture's own world, in which marks are kept, as a Matrix."""
    scene_from_world = matrix_from_rows(list(scene.clickfield.scene_from_world))
    placed = scan.matrix_world if scan is not None else Matrix.Identity(4)
    return (placed @ scene_from_world).inverted()


def give_mark(scene, label, sign, pixel=None, points=(), instance=None):
    """Add a mark to the scene's label document, and return it.

    Args:
        sign: negative for "not this". pixel: of a keyframe, or None. points: in the capture's own world.
        instance: of its label that the mark lies on; by default the one chosen for the label.
    """
    own = scene.clickfield
    mark = own.marks.add()
    mark.uid, own.next_mark = own.next_mark, own.next_mark + 1
    mark.label, mark.sign, mark.local = label.uid, -1 if sign < 0 else 1, own.only_this_piece
    if sign > 0 and label.thing:
        # Where a thing is split nothing new is taught: a click beside it must not spread.
        mark.local = mark.local or (instance is None and bool(label.split_first or label.split_second))
        mark.instance = _taken_instance(label) if instance is None else instance
    if pixel is not None:
        mark.frame, mark.u, mark.v = pixel.frame, pixel.u, pixel.v
    for point in points:
        mark.points.add().co = point
    own.active_mark = len(own.marks) - 1
    own.recent = recent.remember(own.recent, label.uid)
    own.revision += 1
    return mark


def _taken_instance(label):
    """The instance that the next mark of a label lies on: of a split that is under way, or the one chosen."""
    for name in ("split_first", "split_second"):
        number = getattr(label, name)
        if number:
            setattr(label, name, 0)
            return number
    return label.mark_instance


def may_mark(operator, context):
    """For polls: is there a capture and a label?"""
    own = context.scene.clickfield
    if not own.capture_id:
        operator.poll_message_set("Import a capture first")
    elif not len(own.labels):
        operator.poll_message_set("Add a label first")
    else:
        return True
    return False


class CLICKFIELD_OT_add_mark(bpy.types.Operator):
    bl_idname = "clickfield.add_mark"
    bl_label = "Add Mark"
    bl_description = "Say that a place on the scan, or a pixel of a keyframe, is or is not of a label"
    bl_options = {"REGISTER", "UNDO"}

    label: IntProperty(name="Label", description="Uid of the label; 0 means the active one", default=0, min=0)
    sign: IntProperty(name="Sign", description="1 for this, -1 for not this", default=1, min=-1, max=1)
    location: FloatVectorProperty(name="Location", description="A point on the scan", subtype="XYZ", unit="LENGTH")
    frame: StringProperty(name="Keyframe", description="Keyframe in which u and v are; empty when there is a location")
    u: FloatProperty(name="Column", description="Pixel column; the centre of the first one is 0")
    v: FloatProperty(name="Row", description="Pixel row; the centre of the top one is 0")

    @classmethod
    def poll(cls, context):
        """Only with a capture and a label."""
        return may_mark(cls, context)

    def execute(self, context):
        """Add the mark to the scene's label document."""
        own = context.scene.clickfield
        label = find_label(own, self.label)
        if label is None:
            self.report({"ERROR"}, f"There is no label with the id {self.label} in this scene.")
            return {"CANCELLED"}
        if self.frame:
            give_mark(context.scene, label, self.sign, pixel=Pixel(self.frame, self.u, self.v))
        elif self.properties.is_property_set("location"):
            place = world_from_blender(context.scene, find_scan(context.scene, own.capture_id))
            give_mark(context.scene, label, self.sign, points=[place @ Vector(self.location)])
        else:
            self.report({"ERROR"}, "A mark needs a location, or a keyframe with u and v.")
            return {"CANCELLED"}
        return {"FINISHED"}


class CLICKFIELD_OT_remove_mark(bpy.types.Operator):
    bl_idname = "clickfield.remove_mark"
    bl_label = "Remove Mark"
    bl_description = "Take a mark back together with everything that it taught"
    bl_options = {"REGISTER", "UNDO"}

    uid: IntProperty(name="Mark", description="Id of the mark; 0 means the last one", default=0, min=0)

    @classmethod
    def poll(cls, context):
        """Only when there are marks."""
        return len(context.scene.clickfield.marks) > 0

    def execute(self, context):
        """Remove it."""
        own = context.scene.clickfield
        rows = [i for i, mark in enumerate(own.marks) if self.uid in (0, mark.uid)]
        if not rows:
            self.report({"ERROR"}, f"There is no mark with the id {self.uid} in this scene.")
            return {"CANCELLED"}
        own.marks.remove(rows[-1])
        own.revision += 1
        return {"FINISHED"}


class CLICKFIELD_OT_clear_marks(bpy.types.Operator):
    bl_idname = "clickfield.clear_marks"
    bl_label = "Clear Marks"
    bl_description = "Remove all marks of a label, or of all labels"
    bl_options = {"REGISTER", "UNDO"}

    label: IntProperty(name="Label", description="Uid of the label; 0 means all", default=0, min=0)

    @classmethod
    def poll(cls, context):
        """Only when there are marks."""
        return len(context.scene.clickfield.marks) > 0

    def execute(self, context):
        """Remove them."""
        own = context.scene.clickfield
        for index in reversed(range(len(own.marks))):
            if self.label in (0, own.marks[index].label):
                own.marks.remove(index)
        own.revision += 1
        return {"FINISHED"}


class CLICKFIELD_OT_load_labels(bpy.types.Operator, ImportHelper):
    bl_idname = "clickfield.load_labels"
    bl_label = "Load Labels"
    bl_description = "Replace labels and marks by those of a label document"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context):
        """Replace the scene's document."""
        own = context.scene.clickfield
        try:
            document = documents.load(Path(self.filepath))
        except documents.DocumentError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        own.labels.clear()
        own.marks.clear()
        for node in document["tree"]:
            add(own, node["name"], node["parent"], node["kind"], node["color"], node["thing"], node["uid"])
        for entry in document["marks"]:
            mark = own.marks.add()
            mark.uid, mark.label, mark.sign = entry["id"], entry["label"], entry["sign"]
            mark.muted, mark.local, mark.instance = entry["muted"], entry["local"], entry["instance"]
            if entry["frame"] is not None:
                mark.frame, mark.u, mark.v = entry["frame"], entry["u"], entry["v"]
            for point in entry["points"]:
                mark.points.add().co = point
        own.method = document["method"]
        own.next_mark = max([own.next_mark, *(entry["id"] + 1 for entry in document["marks"])])
        put_in_order(own, own.labels[0].uid if len(own.labels) else 0)
        self.report({"INFO"}, f"Loaded {len(own.labels)} labels and {len(own.marks)} marks.")
        return {"FINISHED"}


class CLICKFIELD_OT_save_labels(bpy.types.Operator, ExportHelper):
    bl_idname = "clickfield.save_labels"
    bl_label = "Save Labels"
    bl_description = "Write labels and marks as a label document for other programs"

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context):
        """Write the scene's document."""
        own = context.scene.clickfield
        try:
            documents.save(documents.build(own, own.revision), Path(self.filepath))
        except documents.DocumentError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except OSError as error:
            self.report({"ERROR"}, f"The label document could not be written: {error.strerror or error}.")
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (
    CLICKFIELD_OT_add_mark,
    CLICKFIELD_OT_remove_mark,
    CLICKFIELD_OT_clear_marks,
    CLICKFIELD_OT_load_labels,
    CLICKFIELD_OT_save_labels,
)
