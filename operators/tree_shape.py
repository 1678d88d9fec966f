"""Change which labels there are: duplicate, merge, split, remove. Marks stay with what their labels become."""

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from ..blender_addon.document import tree
from ..blender_addon.scene import claims
from .tree import LabelOperator, add, counted, drop_marks, find_label, put_in_order, refuse_more, unique_name
from .tree_move import label_items

MAX_PARTS = 32
KEEP = (
    ("OTHER", "The Other One", "The other label stays and gets the marks of this one"),
    ("THIS", "This One", "This label stays and gets the marks of the other one"),
)
CHILDREN = (
    ("UP", "Move Up", "What is below the label moves up to its parent"),
    ("ALONG", "Remove Too", "What is below the label is removed with it, and so are all marks there"),
)


class CLICKFIELD_OT_duplicate_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.duplicate_label"
    bl_label = "Duplicate Label"
    bl_description = "Add a copy of a label and of all below it, without their marks"

    def execute(self, context):
        """Copy it to right after itself."""
        own = context.scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        first = label.uid
        below = tree.descendants(own.labels, first)
        if refuse_more(self, own, 1 + len(below), label.parent):
            return {"CANCELLED"}
        originals = [
            (other.uid, other.name, other.parent, other.kind, other.thing)
            for other in own.labels
            if other.uid == first or other.uid in below
        ]
        copies = {}
        for uid, name, parent, kind, thing in originals:
            copies[uid] = add(own, unique_name(own, name), copies.get(parent, parent), kind, thing=thing)
        rows = [other.uid for other in own.labels]
        own.labels.move(rows.index(copies[first]), rows.index(first) + 1)
        put_in_order(own, copies[first])
        return {"FINISHED"}


def merge(own, gone, kept):
    """Give marks and children of one label to another, and remove it.

    When the one that stays lies below the other, it takes its place in the tree.
    """
    path = tree.paths(own.labels)[kept]
    above = find_label(own, gone).parent
    for label in own.labels:
        if label.uid == kept and gone in path:
            label.parent = above
        elif label.parent == gone:
            label.parent = kept
    claims.make_room(own.id_data, gone, kept)
    for mark in own.marks:
        if mark.label == gone:
            mark.label = kept
    if own.isolated == gone:
        own.isolated = kept
    own.labels.remove(next(row for row, label in enumerate(own.labels) if label.uid == gone))
    put_in_order(own, kept, {gone: kept})


def _others(self, context):
    own = context.scene.clickfield
    label = find_label(own, self.uid)
    return label_items(own, (label.uid,) if label else ())


class CLICKFIELD_OT_merge_labels(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.merge_labels"
    bl_label = "Merge Labels"
    bl_description = "Make one label of two: marks, objects and what is below go to the one that stays"

    into: IntProperty(
        name="Into", description="Uid of the label that stays; 0 asks", default=0, min=0, options={"SKIP_SAVE"}
    )
    other: EnumProperty(name="With", items=_others, options={"SKIP_SAVE"})
    keep: EnumProperty(name="Keep", items=KEEP, default="OTHER", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        """It takes two."""
        if len(context.scene.clickfield.labels) < 2:
            cls.poll_message_set("Add a second label first")
            return False
        return True

    def invoke(self, context, event):
        """Ask with which, and which stays."""
        own = context.scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        self.uid = label.uid
        rows = [other.uid for other in own.labels]
        near = rows.index(label.uid) - 1 if rows.index(label.uid) else 1
        self.other = str(self.into or rows[near])
        self.into = 0
        return context.window_manager.invoke_props_dialog(self, width=340, confirm_text="Merge")

    def _pair(self, own):
        """The label that goes away and the one that stays, either None when it is not there."""
        gone = find_label(own, self.uid)
        kept = find_label(own, self.into or int(self.other or 0))
        return (kept, gone) if self.keep == "THIS" and not self.into else (gone, kept)

    def draw(self, context):
        """With which, which stays, and what that means."""
        own = context.scene.clickfield
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(self, "other")
        gone, kept = self._pair(own)
        layout.row().prop(self, "keep", expand=True)
        marks = sum(mark.label == gone.uid for mark in own.marks)
        layout.label(text=f"{kept.name} stays and gets {counted(marks, 'mark')} of {gone.name}")

    def execute(self, context):
        """Merge them."""
        own = context.scene.clickfield
        gone, kept = self._pair(own)
        if gone is None or kept is None:
            missing = self.uid if gone is None else self.into
            self.report({"ERROR"}, f"There is no label with the id {missing} in this scene.")
            return {"CANCELLED"}
        if gone.uid == kept.uid:
            self.report({"ERROR"}, f"{gone.name} cannot be merged with itself.")
            return {"CANCELLED"}
        marks = sum(mark.label == gone.uid for mark in own.marks)
        text = f"{gone.name} went into {kept.name} with {counted(marks, 'mark')}."
        merge(own, gone.uid, kept.uid)
        self.report({"INFO"}, text)
        return {"FINISHED"}


class CLICKFIELD_OT_split_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.split_label"
    bl_label = "Split Label"
    bl_description = (
        "Make two or more labels below this one. Its marks stay: they say that something is somewhere below it"
    )

    count: IntProperty(
        name="Parts", description="How many labels to make", default=2, min=2, max=MAX_PARTS, options={"SKIP_SAVE"}
    )
    names: StringProperty(
        name="Names", description="Separated by commas; parts without a name are numbered", options={"SKIP_SAVE"}
    )

    def invoke(self, context, event):
        """Ask how many, and their names."""
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        self.uid = label.uid
        return context.window_manager.invoke_props_dialog(
            self, width=320, title=f"Split {label.name}", confirm_text="Split"
        )

    def draw(self, context):
        """How many, and their names."""
        layout = self.layout
        layout.activate_init = True
        layout.prop(self, "names", text="", placeholder="Names: seat, back, legs")
        layout.activate_init = False
        layout.prop(self, "count")

    def execute(self, context):
        """Make the children; the first one becomes active."""
        own = context.scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        parent, base, thing = label.uid, label.name, label.thing
        names = [name.strip() for name in self.names.split(",") if name.strip()]
        if len(names) > MAX_PARTS:
            self.report({"ERROR"}, f"A label can be split into at most {MAX_PARTS} parts at a time.")
            return {"CANCELLED"}
        count = max(self.count, len(names))
        if refuse_more(self, own, count, parent):
            return {"CANCELLED"}
        names += [f"{base} {number}" for number in range(len(names) + 1, count + 1)]
        made = [add(own, unique_name(own, name), parent, thing=thing) for name in names]
        put_in_order(own, made[0])
        return {"FINISHED"}


class CLICKFIELD_OT_remove_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.remove_label"
    bl_label = "Remove Label"
    bl_description = "Remove a label and its marks; what is below it moves up or goes with it"

    children: EnumProperty(name="Labels Below", items=CHILDREN, default="UP", options={"SKIP_SAVE"})

    def invoke(self, context, event):
        """Ask, if something would be lost or has to be decided."""
        own = context.scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        self.uid = label.uid
        below = tree.descendants(own.labels, label.uid)
        if not below and not any(mark.label == label.uid for mark in own.marks):
            return self.execute(context)
        return context.window_manager.invoke_props_dialog(
            self, width=320, title=f"Remove {label.name}?", confirm_text="Remove"
        )

    def draw(self, context):
        """What goes away."""
        own, layout = context.scene.clickfield, self.layout
        below = tree.descendants(own.labels, self.uid)
        if below:
            layout.label(text=f"{counted(len(below), 'label')} below it:")
            layout.row().prop(self, "children", expand=True)
        gone = {self.uid} | (below if self.children == "ALONG" else set())
        marks = sum(mark.label in gone for mark in own.marks)
        layout.label(text=f"{counted(marks, 'mark')} removed too" if marks else "No marks are removed")

    def execute(self, context):
        """Remove it."""
        own = context.scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        uid, parent, name = label.uid, label.parent, label.name
        gone = {uid} | (tree.descendants(own.labels, uid) if self.children == "ALONG" else set())
        row = next(i for i, other in enumerate(own.labels) if other.uid == uid)
        for other in own.labels:
            if other.parent == uid:
                other.parent = parent
        marks = drop_marks(own, gone)
        for index in reversed(range(len(own.labels))):
            if own.labels[index].uid in gone:
                own.labels.remove(index)
        neighbour = own.labels[min(row, len(own.labels) - 1)].uid if len(own.labels) else 0
        put_in_order(own, neighbour, dict.fromkeys(gone, parent))
        if len(gone) > 1 or marks:
            self.report({"INFO"}, f"Removed {name}: {counted(len(gone), 'label')} and {counted(marks, 'mark')}.")
        return {"FINISHED"}


CLASSES = (
    CLICKFIELD_OT_duplicate_label,
    CLICKFIELD_OT_merge_labels,
    CLICKFIELD_OT_split_label,
    CLICKFIELD_OT_remove_label,
)
