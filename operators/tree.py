"""Edit the tree of labels: add, rename, colour, choose, expand. Undo works because the tree is in the scene."""

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatVectorProperty, IntProperty, StringProperty

from ..backend.protocol import MAX_LABELS, MAX_UID, distinct_color
from ..blender_addon.document import tree
from ..blender_addon.properties import KIND_ITEMS
from ..blender_addon.scene import collections

PLACES = (
    ("END", "Last", "After the other labels of its parent"),
    ("SIBLING", "Beside", "Right after the active label, under the same parent"),
    ("CHILD", "Below", "Below the active label"),
)


def find_label(own, uid):
    """The label of that uid; 0 means the active one; None when there is none."""
    if uid == 0:
        return own.labels[own.active_label] if own.active_label < len(own.labels) else None
    return next((label for label in own.labels if label.uid == uid), None)


def put_in_order(own, active_uid, moved=None):
    """Sort the labels depth first, choose one, count the edit and let the collections follow.

    Args:
        moved: labels that went away, each with the label that now has what was theirs, 0 for none.
    """
    rows = [label.uid for label in own.labels]
    for place, (uid, _depth) in enumerate(tree.depth_first(own.labels)):
        now = rows.index(uid)
        if now != place:
            own.labels.move(now, place)
            rows.insert(place, rows.pop(now))
    choose(own, active_uid)
    own.revision += 1
    collections.mirror(own.id_data, moved)


def choose(own, uid):
    """Make a label the active one, and let the list show it."""
    own.active_label = next((i for i, label in enumerate(own.labels) if label.uid == uid), 0)
    above = set(tree.paths(own.labels).get(uid, ())[:-1])
    for label in own.labels:
        if label.uid in above:
            label.expanded = True


def add(own, name, parent=0, kind="class", color=None, thing=True, uid=0):
    """Append a label, by default under a uid that was never used before in this scene; the caller puts it in order."""
    uid = uid or own.next_uid
    own.next_uid = max(own.next_uid, uid + 1)
    label = own.labels.add()
    label.uid, label.parent, label.kind, label.thing = uid, parent, kind, thing
    label.name = name
    label.color = color if color is not None else distinct_color(uid)
    return uid


def unique_name(own, name):
    """The name, or the first numbered form of it that no label has."""
    return tree.unique_name(name, [label.name for label in own.labels])


def refuse_more(operator, own, count, parent=0):
    """Whether ``count`` labels more under a parent are too many; the person is told then."""
    if len(own.labels) + count > MAX_LABELS or own.next_uid + count - 1 > MAX_UID:
        operator.report({"ERROR"}, f"This scene has had as many labels as there can be ({MAX_LABELS} at a time).")
    elif tree.too_deep(own.labels, 0, parent):
        operator.report({"ERROR"}, f"A label tree has at most {tree.MAX_DEPTH} levels; put the label higher up.")
    else:
        return False
    return True


def drop_marks(own, uids):
    """Remove the marks of some labels; how many they were."""
    rows = [row for row, mark in enumerate(own.marks) if mark.label in uids]
    for row in reversed(rows):
        own.marks.remove(row)
    return len(rows)


def counted(number, what):
    """``1 mark``, ``2 marks``."""
    return f"{number} {what}" + ("" if number == 1 else "s")


class LabelOperator:
    """What the operators on one label share."""

    bl_options = {"REGISTER", "UNDO"}
    uid: IntProperty(
        name="Label", description="Uid of the label; 0 means the active one", default=0, min=0, options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context):
        """Only when there is a label."""
        if not len(context.scene.clickfield.labels):
            cls.poll_message_set("Add a label first")
            return False
        return True

    def label(self, context):
        """The label that is meant, or None after a report."""
        found = find_label(context.scene.clickfield, self.uid)
        if found is None:
            self.report({"ERROR"}, f"There is no label with the id {self.uid} in this scene.")
        return found


class CLICKFIELD_OT_add_label(bpy.types.Operator):
    bl_idname = "clickfield.add_label"
    bl_label = "Add Label"
    bl_description = "Add a label"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Name", default="Label", maxlen=256, options={"SKIP_SAVE"})
    kind: EnumProperty(name="Kind", items=KIND_ITEMS, default="class", options={"SKIP_SAVE"})
    thing: BoolProperty(
        name="Thing", description="Connected pieces are separate objects", default=True, options={"SKIP_SAVE"}
    )
    parent: IntProperty(
        name="Parent", description="Uid of the parent, 0 for none", default=0, min=0, options={"SKIP_SAVE"}
    )
    place: EnumProperty(name="Place", items=PLACES, default="END", options={"SKIP_SAVE"})
    color: FloatVectorProperty(
        name="Color",
        subtype="COLOR_GAMMA",
        size=3,
        min=0.0,
        max=1.0,
        description="A distinct one if it is not given",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context, properties):
        """One text per button."""
        if properties.place == "CHILD":
            return "Add a label below the active one. Its marks stay, and say that something is somewhere below it"
        if properties.kind == "group":
            return "Add a group, which holds other labels"
        return "Add a label" + (" after the active one" if properties.place == "SIBLING" else "")

    def invoke(self, context, event):
        """Ask for the name."""
        return context.window_manager.invoke_props_dialog(self, width=260, confirm_text="Add")

    def draw(self, context):
        """The name, ready to be typed."""
        self.layout.activate_init = True
        self.layout.prop(self, "name", text="")

    def execute(self, context):
        """Add it and make it the active one."""
        own = context.scene.clickfield
        active = find_label(own, 0)
        beside = active is not None and self.place == "SIBLING"
        parent = self.parent
        if active is not None and self.place != "END":
            parent = active.parent if beside else active.uid
        if parent and find_label(own, parent) is None:
            self.report({"ERROR"}, f"There is no label with the id {parent} to put it under.")
            return {"CANCELLED"}
        if refuse_more(self, own, 1, parent):
            return {"CANCELLED"}
        name = unique_name(own, self.name.strip() or "Label")
        color = tuple(self.color) if self.properties.is_property_set("color") else None
        uid = add(own, name, parent, self.kind, color, self.thing)
        if beside:
            own.labels.move(len(own.labels) - 1, own.active_label + 1)
        put_in_order(own, uid)
        return {"FINISHED"}


class CLICKFIELD_OT_rename_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.rename_label"
    bl_label = "Rename Label"
    bl_description = "Give a label another name; Ctrl-click on its row does the same in place"

    name: StringProperty(name="Name", maxlen=256, options={"SKIP_SAVE"})

    def invoke(self, context, event):
        """Ask for the name."""
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        self.uid, self.name = label.uid, label.name
        return context.window_manager.invoke_props_dialog(self, width=260, confirm_text="Rename")

    def draw(self, context):
        """The name, ready to be typed."""
        self.layout.activate_init = True
        self.layout.prop(self, "name", text="")

    def execute(self, context):
        """Rename it."""
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        if not self.name.strip():
            self.report({"ERROR"}, "A label needs a name.")
            return {"CANCELLED"}
        label.name = self.name.strip()
        return {"FINISHED"}


class CLICKFIELD_OT_color_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.color_label"
    bl_label = "Color Label"
    bl_description = "Give a label another color"

    color: FloatVectorProperty(name="Color", subtype="COLOR_GAMMA", size=3, min=0.0, max=1.0, options={"SKIP_SAVE"})

    def invoke(self, context, event):
        """Ask for the colour."""
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        self.uid, self.color = label.uid, label.color
        return context.window_manager.invoke_props_dialog(self, width=260, confirm_text="Color")

    def draw(self, context):
        """The colour wheel."""
        self.layout.template_color_picker(self, "color", value_slider=True)
        self.layout.prop(self, "color", text="")

    def execute(self, context):
        """Colour it."""
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        label.color = self.color
        return {"FINISHED"}


class CLICKFIELD_OT_choose_label(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.choose_label"
    bl_label = "Choose Label"
    bl_description = "Make this the label that clicks give"

    missing: BoolProperty(name="Nothing Is Marked", options={"SKIP_SAVE", "HIDDEN"})

    @classmethod
    def description(cls, context, properties):
        """For the warning in the list: what is missing."""
        if properties.missing:
            return "Nothing is marked as this label yet: click here to choose it, then on the scan with the Label tool"
        return cls.bl_description

    def execute(self, context):
        """Make it active."""
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        choose(context.scene.clickfield, label.uid)
        return {"FINISHED"}


class CLICKFIELD_OT_expand_label(bpy.types.Operator):
    bl_idname = "clickfield.expand_label"
    bl_label = "Expand or Collapse Label"
    bl_description = "Show or hide what is below this label; with Shift everything below it"
    bl_options = {"INTERNAL"}  # no undo step: it is how the list looks, not what it says

    uid: IntProperty(name="Label", description="Uid of the label; 0 means all labels", min=0, options={"SKIP_SAVE"})
    expand: BoolProperty(name="Expand", default=True, options={"SKIP_SAVE"})
    deep: BoolProperty(name="With All Below", options={"SKIP_SAVE"})

    def invoke(self, context, event):
        """Shift means everything below."""
        self.deep = self.deep or event.shift
        return self.execute(context)

    def execute(self, context):
        """Show or hide it."""
        labels = context.scene.clickfield.labels
        below = tree.descendants(labels, self.uid) if self.deep or not self.uid else set()
        for label in labels:
            if label.uid == self.uid or label.uid in below:
                label.expanded = self.expand
        return {"FINISHED"}


CLASSES = (
    CLICKFIELD_OT_add_label,
    CLICKFIELD_OT_rename_label,
    CLICKFIELD_OT_color_label,
    CLICKFIELD_OT_choose_label,
    CLICKFIELD_OT_expand_label,
)
