"""Trees of labels from presets and files, and into files. Marks of labels that stay are kept."""

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..backend.protocol import MAX_LABELS, MAX_UID
from ..blender_addon.document import labels as documents
from ..blender_addon.document import tree, tree_files
from .tree import add, counted, drop_marks, put_in_order

MODES = (
    ("APPEND", "Append", "Add the labels that the scene does not have"),
    ("REPLACE", "Replace", "Remove the labels that are not in the new tree, and their marks"),
)


def replace_tree(own, nodes):
    """Put the nodes of a document in place of the labels; how many labels and marks went away.

    Labels whose uid is in it keep their marks, and how the list shows them.
    """
    shown = {label.uid: (label.expanded, label.visible) for label in own.labels}
    gone = shown.keys() - {node["uid"] for node in nodes}
    marks = drop_marks(own, gone)
    own.labels.clear()
    for node in nodes:
        add(own, node["name"], node["parent"], node["kind"], node["color"], node["thing"], node["uid"])
        if node["uid"] in shown:
            own.labels[-1].expanded, own.labels[-1].visible = shown[node["uid"]]
    put_in_order(own, _first_class(nodes), dict.fromkeys(gone, 0))
    return len(gone), marks


def missing_nodes(own, nodes):
    """Those nodes of a document whose names the scene does not have, under new uids and below known labels."""
    known = {label.uid for label in own.labels}
    return [node for node in tree.merged_by_name(nodes, own.labels, own.next_uid) if node["uid"] not in known]


def append_tree(own, nodes):
    """Add nodes whose uids are new."""
    for node in nodes:
        add(own, node["name"], node["parent"], node["kind"], node["color"], node["thing"], node["uid"])
    if nodes:
        put_in_order(own, _first_class(nodes))


def _first_class(nodes):
    """The first label that one would mark with."""
    return next((node["uid"] for node in nodes if node["kind"] == "class"), 0)


def _would_go(own, nodes):
    """Labels and marks of the scene that replacing would remove."""
    gone = {label.uid for label in own.labels} - {node["uid"] for node in nodes}
    return len(gone), sum(mark.label in gone for mark in own.marks)


class CLICKFIELD_OT_apply_tree_preset(bpy.types.Operator):
    bl_idname = "clickfield.apply_tree_preset"
    bl_label = "Label Preset"
    bl_description = "Use a ready-made tree of labels"
    bl_options = {"REGISTER", "UNDO"}

    preset: EnumProperty(name="Preset", items=tree_files.PRESETS, options={"SKIP_SAVE"})
    mode: EnumProperty(name="Labels in the Scene", items=MODES, default="APPEND", options={"SKIP_SAVE"})

    @classmethod
    def description(cls, context, properties):
        """What is in it."""
        return next(item[2] for item in tree_files.PRESETS if item[0] == properties.preset)

    def _nodes(self, own):
        """The preset's nodes, those that the scene has by name under their uids there."""
        return tree.merged_by_name(tree_files.load_preset(self.preset), own.labels, own.next_uid)

    def invoke(self, context, event):
        """Ask what becomes of the labels that are there."""
        if not len(context.scene.clickfield.labels):
            return self.execute(context)
        if self.preset == "empty":
            self.mode = "REPLACE"
        title = next(item[1] for item in tree_files.PRESETS if item[0] == self.preset)
        return context.window_manager.invoke_props_dialog(
            self, width=340, title=f"{title} Labels", confirm_text="Apply"
        )

    def draw(self, context):
        """Append or replace, and what goes away."""
        own, layout = context.scene.clickfield, self.layout
        layout.label(text=f"The scene has {counted(len(own.labels), 'label')}:")
        layout.row().prop(self, "mode", expand=True)
        if self.mode == "APPEND":
            layout.label(text="All of them stay; those of the same name are not added again")
            return
        gone, marks = _would_go(own, self._nodes(own))
        layout.label(text=f"{counted(gone, 'label')} and {counted(marks, 'mark')} are removed")
        layout.label(text="Labels of the same name stay, with their marks")

    def execute(self, context):
        """Apply it."""
        own = context.scene.clickfield
        try:
            nodes = self._nodes(own)
        except documents.DocumentError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return _take_over(self, own, nodes if self.mode == "REPLACE" else missing_nodes(own, nodes))


def _take_over(operator, own, nodes):
    """Replace the labels or add to them, as the operator's ``mode`` says; its result."""
    replace = operator.mode == "REPLACE"
    rows = [tree.Row.of(node) for node in nodes]
    rows += [] if replace else [tree.Row(label.uid, label.parent) for label in own.labels]
    if len(rows) > MAX_LABELS or max((row.uid for row in rows), default=0) > MAX_UID:
        operator.report({"ERROR"}, f"That would be more labels than there can be ({MAX_LABELS} at a time).")
        return {"CANCELLED"}
    if any(len(path) > tree.MAX_DEPTH for path in tree.paths(rows).values()):
        operator.report({"ERROR"}, f"A label tree has at most {tree.MAX_DEPTH} levels.")
        return {"CANCELLED"}
    if replace:
        gone, marks = replace_tree(own, nodes)
        text = f"The scene has {counted(len(own.labels), 'label')} now"
        operator.report({"INFO"}, f"{text}; {counted(gone, 'label')} and {counted(marks, 'mark')} were removed.")
    else:
        append_tree(own, nodes)
        operator.report({"INFO"}, f"{counted(len(nodes), 'label')} added.")
    return {"FINISHED"}


class CLICKFIELD_OT_import_label_tree(bpy.types.Operator, ImportHelper):
    bl_idname = "clickfield.import_label_tree"
    bl_label = "Import Label Tree"
    bl_description = "Read labels without marks from a file. Labels of the same id keep their marks"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    mode: EnumProperty(name="Labels in the Scene", items=MODES, default="REPLACE")

    def execute(self, context):
        """Read the file and take its tree over."""
        own = context.scene.clickfield
        try:
            nodes = tree_files.load_tree(Path(self.filepath))
        except documents.DocumentError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return _take_over(self, own, nodes if self.mode == "REPLACE" else missing_nodes(own, nodes))


class CLICKFIELD_OT_export_label_tree(bpy.types.Operator, ExportHelper):
    bl_idname = "clickfield.export_label_tree"
    bl_label = "Export Label Tree"
    bl_description = "Write the labels without their marks to a file, for other scenes"

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    @classmethod
    def poll(cls, context):
        """Only when there are labels."""
        if not len(context.scene.clickfield.labels):
            cls.poll_message_set("Add a label first")
            return False
        return True

    def execute(self, context):
        """Write the file."""
        own = context.scene.clickfield
        try:
            tree_files.save_tree(documents.build(own, own.revision), Path(self.filepath))
        except documents.DocumentError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except OSError as error:
            self.report({"ERROR"}, f"The label tree could not be written: {error.strerror or error}.")
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_apply_tree_preset, CLICKFIELD_OT_import_label_tree, CLICKFIELD_OT_export_label_tree)
