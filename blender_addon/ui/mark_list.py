"""The list of marks: what was said where, what it does, and what is wrong with it.

Ten thousand rows draw as fast as ten: what all rows need is gathered once a drawing, as arrays.
"""

import bpy
import numpy as np
from bpy.props import BoolProperty

from .. import live
from .panels import CapturePanel, ClickfieldPanel, _wrapped

FILTERED = ("only_active", "only_problems")
WIDE = 340  # width of the sidebar, in pixels at a scale of 1, from which on keyframes are named in the list
SHOWN_PAIRS = 3  # contradictions that the panel tells at once


def _label_rows(own):
    """Row of every label by uid."""
    uids = np.empty(len(own.labels), np.int32)
    own.labels.foreach_get("uid", uids)
    return {uid: row for row, uid in enumerate(uids.tolist())}


_rows_of_labels = {}  # of the drawing at hand: filled when Blender asks which rows to show, read by each row


def _kind(mark):
    """Icon of a mark: not this, a stroke, a click in a picture, a click on the surface."""
    if mark.sign < 0:
        return "REMOVE"
    if len(mark.points) > 1:
        return "GREASEPENCIL"
    return "OUTLINER_OB_CAMERA" if mark.frame else "LAYER_ACTIVE"


def _percent(share):
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"


class CLICKFIELD_UL_marks(bpy.types.UIList):
    """Marks in the order in which they were made."""

    bl_idname = "CLICKFIELD_UL_marks"

    only_active: BoolProperty(name="Active Label", description="Show the marks of the active label")
    only_problems: BoolProperty(name="Problems", description="Show marks without effect and those that were overruled")

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        """Selected, colour, label, where it was made, effect, what is wrong, mute."""
        found = live.session().findings
        row = layout.row(align=True)
        row.prop(item, "selected", text="", emboss=False, icon="CHECKBOX_HLT" if item.selected else "CHECKBOX_DEHLT")
        said = row.row(align=True)
        said.active = not item.muted
        place = _rows_of_labels.get(item.label)
        if place is None:
            said.label(text="No label", icon="ERROR")
        else:
            label = data.labels[place]
            swatch = said.row()
            swatch.ui_units_x = 0.7
            swatch.prop(label, "color", text="")
            said.label(text=label.name, icon=_kind(item))
        if context.region.width > WIDE * context.preferences.system.ui_scale:
            row.label(text=item.frame or "surface")
        effect = found.effects.get(item.uid)
        if effect is not None and not item.muted:
            numbers = row.row(align=True)
            numbers.alignment, numbers.ui_units_x = "RIGHT", 1.8
            numbers.label(text=_percent(effect))
        if found.troubled(item.uid):
            row.label(text="", icon="ERROR")
        row.prop(item, "muted", text="", emboss=False, icon="HIDE_ON" if item.muted else "HIDE_OFF")

    def draw_filter(self, context, layout):
        """Name of a label or number of a mark, and two choices."""
        row = layout.row(align=True)
        row.prop(self, "filter_name", text="", icon="VIEWZOOM")
        row.prop(self, "use_filter_invert", text="", icon="ARROW_LEFTRIGHT")
        for name in FILTERED:
            row.prop(self, name, toggle=True)

    def filter_items(self, context, data, property):
        """Which rows are shown; without a filter Blender is spared the answer."""
        _rows_of_labels.clear()
        _rows_of_labels.update(_label_rows(data))
        if not (self.filter_name or self.only_active or self.only_problems):
            return [], []
        marks = getattr(data, property)
        labels, uids = np.empty(len(marks), np.int32), np.empty(len(marks), np.int32)
        marks.foreach_get("label", labels)
        marks.foreach_get("uid", uids)
        shown = np.ones(len(marks), bool)
        if self.filter_name:
            wanted = self.filter_name.casefold()
            named = [label.uid for label in data.labels if wanted in label.name.casefold()]
            shown &= np.isin(labels, named) | (uids.astype(str) == wanted)
        if self.only_active and data.active_label < len(data.labels):
            shown &= labels == data.labels[data.active_label].uid
        if self.only_problems:
            shown &= np.isin(uids, live.session().findings.all_troubled())
        # Blender inverts the flags itself where the person wants it.
        return np.where(shown, self.bitflag_filter_item, 0).tolist(), []


class CLICKFIELD_MT_select_marks(bpy.types.Menu):
    bl_idname = "CLICKFIELD_MT_select_marks"
    bl_label = "Select"

    def draw(self, context):
        """Which marks the buttons mean."""
        self.layout.operator_enum("clickfield.select_marks", "action")


class CLICKFIELD_PT_marks(bpy.types.Panel, CapturePanel):
    bl_idname = "CLICKFIELD_PT_marks"
    bl_label = "Marks"
    bl_order = 3

    def draw_header_preset(self, context):
        """How many there are."""
        self.layout.label(text=str(len(context.scene.clickfield.marks)))

    def draw(self, context):
        """The list, its buttons, and what is to be told about the marks."""
        layout, own, found = self.layout, context.scene.clickfield, live.session().findings
        if not len(own.marks):
            layout.label(text="Take the Label tool and click on things")
            return
        found.watch()
        row = layout.row()
        row.template_list("CLICKFIELD_UL_marks", "", own, "marks", own, "active_mark", rows=6)
        side = row.column(align=True)
        side.operator("clickfield.go_to_mark", text="", icon="VIEWZOOM")
        side.operator("clickfield.mute_marks", text="", icon="HIDE_ON")
        side.operator("clickfield.flip_marks", text="", icon="ARROW_LEFTRIGHT")
        side.operator("clickfield.retype_marks", text="", icon="OUTLINER_OB_FONT")
        side.operator("clickfield.delete_marks", text="", icon="TRASH")
        side.separator()
        side.menu("CLICKFIELD_MT_select_marks", text="", icon="DOWNARROW_HLT")
        chosen = np.empty(len(own.marks), bool)
        own.marks.foreach_get("selected", chosen)
        if chosen.any():
            layout.label(text=f"{int(chosen.sum())} of {len(own.marks)} selected")
        if own.active_mark < len(own.marks):
            self._active(context, own.marks[own.active_mark], found)
        self._contradictions(context, found)

    def _active(self, context, mark, found):
        """What is known of the active mark."""
        kind = "stroke" if len(mark.points) > 1 else "click"
        place = f"keyframe {mark.frame}" if mark.frame else "the surface"
        effect = found.effects.get(mark.uid)
        changes = f", changes {effect:.1%} of the scan" if effect is not None and not mark.muted else ""
        _wrapped(self.layout, context, f"Mark {mark.uid}: {kind} on {place}{changes}")
        self.layout.prop(mark, "local")
        if mark.sign > 0:
            self.layout.prop(mark, "instance")
        problem = found.mark_problems.get(mark.uid)
        if problem:
            _wrapped(self.layout, context, f"Mark {mark.uid}: {problem}", "ERROR")

    def _contradictions(self, context, found):
        for winner, loser in found.contradictions[:SHOWN_PAIRS]:
            _wrapped(self.layout, context, f"Mark {winner} overrules mark {loser} where they meet.", "INFO")
        more = len(found.contradictions) - SHOWN_PAIRS
        if more > 0:
            self.layout.label(text=f"and {more} more")


class CLICKFIELD_PT_teaching(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Teaching"
    bl_parent_id = "CLICKFIELD_PT_marks"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """How marks become labels."""
        own, column = context.scene.clickfield, self.layout.column()
        column.use_property_split, column.use_property_decorate = True, False
        column.prop(own, "method")
        column.prop(own, "only_this_piece")


CLASSES = (
    CLICKFIELD_UL_marks,
    CLICKFIELD_MT_select_marks,
    CLICKFIELD_PT_marks,
    CLICKFIELD_PT_teaching,
)


def register() -> None:
    """Register list, menu and panels."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them back."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
