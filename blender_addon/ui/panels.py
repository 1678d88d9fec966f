"""The Clickfield tab of the viewport's sidebar. Panels read cached state only and name operators by their strings."""

import textwrap
from collections import Counter

import bpy

from .. import live
from ..document import tree
from ..lookup import edit_state
from ..scene.scan import LABELS, PHOTO, find_scan

STARTABLE = ("Stopped", "Failed")


def _wrapped(layout, context, text, icon="NONE"):
    """A text over as many rows as the sidebar's width needs."""
    width = max(int(context.region.width / (8 * context.preferences.system.ui_scale)) - 4, 16)
    column = layout.column(align=True)
    for index, line in enumerate(textwrap.wrap(text, width)):
        column.label(text=line, icon=icon if index == 0 else "BLANK1" if icon != "NONE" else "NONE")


class ClickfieldPanel:
    """What all panels share."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Clickfield"


class CLICKFIELD_PT_capture(bpy.types.Panel, ClickfieldPanel):
    bl_idname = "CLICKFIELD_PT_capture"
    bl_label = "Capture"

    def draw(self, context):
        """Import, progress, what went wrong, and the keyframes."""
        layout = self.layout
        own, window = context.scene.clickfield, context.window_manager.clickfield
        if window.busy:
            row = layout.row(align=True)
            row.progress(factor=window.progress, text=window.busy)
            row.operator("clickfield.cancel", text="", icon="X")
        if window.problem:
            box = layout.box()
            box.alert = True
            _wrapped(box, context, window.problem, "ERROR")
            if window.locate:
                box.operator("clickfield.locate_capture", icon="FILE_FOLDER")
        if not own.capture_id:
            column = layout.column()
            column.enabled = not window.busy
            column.operator("clickfield.import_capture", text="Import RGB-D Capture", icon="IMPORT")
            column.operator("clickfield.import_sample", text="Open the Sample", icon="HOME")
            return
        layout.label(text=own.capture_name, icon="OUTLINER_OB_CAMERA")
        row = layout.row(align=True)
        row.operator("clickfield.view_frame", text="", icon="TRIA_LEFT").offset = -1
        camera = context.scene.camera
        mine = camera is not None and camera.clickfield.capture_id == own.capture_id and camera.clickfield.frame
        row.operator("clickfield.view_frame", text=f"Keyframe {camera.clickfield.frame}" if mine else "Keyframe")
        row.operator("clickfield.view_frame", text="", icon="TRIA_RIGHT").offset = 1
        row = layout.row(align=True)
        scan = find_scan(context.scene, own.capture_id)
        colors = scan.data.color_attributes.active_color if scan is not None else None
        for text, what, name in (("Labels", "LABELS", LABELS), ("Photo", "PHOTO", PHOTO)):
            shown = colors is not None and colors.name == name
            row.operator("clickfield.show_colors", text=text, depress=shown).what = what


class CLICKFIELD_PT_notes(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Notes"
    bl_parent_id = "CLICKFIELD_PT_capture"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        """Only when there is something to read."""
        return bool(context.window_manager.clickfield.notes)

    def draw(self, context):
        """What the person should know of the capture."""
        for line in context.window_manager.clickfield.notes.split("\n"):
            _wrapped(self.layout, context, line)


_known = {}


def _facts(scene):
    """Depth and number of marks of every label by uid, counted once for each state of the document."""
    own = scene.clickfield
    key = (*edit_state(scene), len(own.labels), len(own.marks))
    if _known.get("key") != key:
        _known["key"] = key
        _known["facts"] = dict(tree.depth_first(own.labels)), Counter(mark.label for mark in own.marks)
    return _known["facts"]


class CLICKFIELD_UL_labels(bpy.types.UIList):
    """The label tree as a flat list, children indented."""

    bl_idname = "CLICKFIELD_UL_labels"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        """Colour, name, part of the surface, number of marks."""
        depth, marks = _facts(context.scene)
        shares = context.window_manager.clickfield.shares
        row = layout.row(align=True)
        for _ in range(depth.get(item.uid, 0)):
            row.label(text="", icon="BLANK1")
        swatch = row.row()
        swatch.ui_units_x = 0.9
        swatch.prop(item, "color", text="")
        row.prop(item, "name", text="", emboss=False, icon="GROUP" if item.kind == "group" else "NONE")
        share = shares.get(str(item.uid))
        counted = marks.get(item.uid, 0)
        text = (f"{share.value:.0%}" if share else "") + (f"  ({counted})" if counted else "")
        if text:
            numbers = row.row()
            numbers.alignment = "RIGHT"
            numbers.ui_units_x = 3.2
            numbers.label(text=text)

    def filter_items(self, context, data, property):
        """Search by name; the order is the tree's."""
        labels = getattr(data, property)
        if not self.filter_name:
            return [], []
        return bpy.types.UI_UL_list.filter_items_by_name(self.filter_name, self.bitflag_filter_item, labels), []


class CLICKFIELD_MT_labels(bpy.types.Menu):
    bl_idname = "CLICKFIELD_MT_labels"
    bl_label = "Labels"

    def draw(self, context):
        """What is needed less often."""
        layout = self.layout
        layout.operator("clickfield.add_label", text="Add Child", icon="ADD").as_child = True
        move = layout.operator("clickfield.add_label", text="Add Group", icon="GROUP")
        move.kind, move.name, move.thing = "group", "Group", False
        layout.menu("CLICKFIELD_MT_move_label")
        layout.separator()
        layout.operator("clickfield.load_labels", icon="IMPORT")
        layout.operator("clickfield.save_labels", icon="EXPORT")
        layout.separator()
        layout.operator("clickfield.clear_marks", text="Clear All Marks")


class CLICKFIELD_MT_move_label(bpy.types.Menu):
    bl_idname = "CLICKFIELD_MT_move_label"
    bl_label = "Move Under"

    def draw(self, context):
        """Every label under which the active one may be put."""
        own = context.scene.clickfield
        if own.active_label >= len(own.labels):
            return
        active = own.labels[own.active_label].uid
        below = tree.descendants(own.labels, active) | {active}
        self.layout.operator("clickfield.move_label", text="Top Level").parent = 0
        for label in own.labels:
            if label.uid not in below:
                self.layout.operator("clickfield.move_label", text=label.name).parent = label.uid


class CLICKFIELD_PT_labels(bpy.types.Panel, ClickfieldPanel):
    bl_idname = "CLICKFIELD_PT_labels"
    bl_label = "Labels"

    @classmethod
    def poll(cls, context):
        """Only with a capture."""
        return bool(context.scene.clickfield.capture_id)

    def draw(self, context):
        """The tree, its buttons, and the marks."""
        layout, own = self.layout, context.scene.clickfield
        row = layout.row()
        row.template_list("CLICKFIELD_UL_labels", "", own, "labels", own, "active_label", rows=8)
        side = row.column(align=True)
        side.operator("clickfield.add_label", text="", icon="ADD")
        side.operator("clickfield.remove_label", text="", icon="REMOVE")
        side.menu("CLICKFIELD_MT_labels", text="", icon="DOWNARROW_HLT")
        side.separator()
        side.operator("clickfield.shift_label", text="", icon="TRIA_UP").direction = "UP"
        side.operator("clickfield.shift_label", text="", icon="TRIA_DOWN").direction = "DOWN"
        if own.active_label < len(own.labels):
            row = layout.row()
            row.prop(own.labels[own.active_label], "kind", text="")
            row.prop(own.labels[own.active_label], "thing")
        row = layout.row(align=True)
        row.label(text=f"{len(own.marks)} mark" + ("" if len(own.marks) == 1 else "s"))
        row.operator("clickfield.remove_mark", text="Remove Last")
        window = context.window_manager.clickfield
        if len(own.marks) and window.state in ("Ready", "Busy") and len(window.shares):
            state = "Settled" if window.settled else "Getting better"
            layout.label(text=f"{state}; {window.unsettled:.0%} of the scan is uncertain", icon="INFO")

        for uid, problem in list(live.session().mark_problems.items())[:3]:
            _wrapped(layout, context, f"Mark {uid}: {problem}", "ERROR")


class CLICKFIELD_PT_output(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Output"

    @classmethod
    def poll(cls, context):
        """Only with a capture."""
        return bool(context.scene.clickfield.capture_id)

    def draw(self, context):
        """From labels to assets and pictures."""
        column = self.layout.column()
        column.operator("clickfield.separate", icon="MOD_EXPLODE")
        column.operator("clickfield.save_asset_library", icon="ASSET_MANAGER")
        column.operator("clickfield.setup_label_render", icon="RENDERLAYERS")


class CLICKFIELD_PT_backend(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Backend"

    def draw(self, context):
        """Where the backend stands."""
        layout, window = self.layout, context.window_manager.clickfield
        text = window.state + (f" on {window.device}" if window.device else "")
        icon = {"Ready": "CHECKMARK", "Busy": "SORTTIME", "Failed": "ERROR"}.get(window.state, "NONE")
        layout.label(text=text, icon=icon)
        if window.status:
            layout.label(text=window.status)
        row = layout.row(align=True)
        if window.state in STARTABLE:
            text = "Restart" if window.state == "Failed" else "Start"
            row.operator("clickfield.start_backend", text=text, icon="PLAY")
        else:
            row.operator("clickfield.stop_backend", icon="SNAP_FACE")
            row.operator("clickfield.restart_backend", icon="FILE_REFRESH")
        if window.state == "Failed":
            row.operator("clickfield.show_log", icon="TEXT")
            row.operator("clickfield.test_backend", icon="CHECKMARK")


CLASSES = (
    CLICKFIELD_PT_capture,
    CLICKFIELD_PT_notes,
    CLICKFIELD_UL_labels,
    CLICKFIELD_MT_labels,
    CLICKFIELD_MT_move_label,
    CLICKFIELD_PT_labels,
    CLICKFIELD_PT_output,
    CLICKFIELD_PT_backend,
)


def register() -> None:
    """Register panels, list and menus."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them back."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
