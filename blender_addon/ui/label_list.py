"""The label tree in the sidebar: a flat list of rows, indented, that opens and closes like the Outliner.

Blender draws only the rows in view, and asks once a redraw which rows there are; what it takes to answer is kept until
the labels, the marks or the shares of the surface change.
"""

from types import SimpleNamespace

import bpy
import numpy as np
from bpy.app.handlers import persistent

from .. import properties
from ..document import tree, tree_files
from ..lookup import current_scene, edit_state
from ..window import redraw_sidebars
from .panels import CapturePanel

NOTHING = tree.Fact(0, False, 0, 0.0, True)
NO_ROW = (0, -1)  # session uid of a scene, and a row
MENU_LENGTH = 40  # labels that a menu can show; more are searched
_known = SimpleNamespace(key=None, rows=[], names={}, facts={}, shared=False)
_known.__dict__.update(asked=None, searching=False, listed=[], eyes=None, shown={})  # answers about them
_click = SimpleNamespace(row=NO_ROW)
_open_rows: dict[int, dict[int, bool]] = {}


def list_facts(scene):
    """`tree.Fact` of every label by uid, counted once for each state of labels, marks and shares."""
    own = scene.clickfield
    shares = {share.name: share.value for share in bpy.context.window_manager.clickfield.shares}
    key = (*edit_state(scene), len(own.labels), len(own.marks), shares)
    if _known.key != key:
        _known.key = key
        _known.rows = [tree.Row(label.uid, label.parent) for label in own.labels]
        _known.names = {label.uid: label.name.casefold() for label in own.labels}
        marks = [(mark.label, mark.sign, mark.muted) for mark in own.marks]
        _known.shared, _known.asked, _known.eyes = bool(shares), None, None
        _known.facts = tree.facts(_known.rows, marks, {int(uid): value for uid, value in shares.items()})
    return _known.facts


def _without(labels, field):
    """Uids of the labels whose switch of that name is off."""
    on = np.empty(len(labels), dtype=bool)
    labels.foreach_get(field, on)
    return {_known.rows[row].uid for row in np.flatnonzero(~on)}


def rows_shown(scene, *searched):
    """Which labels the list shows, in their order, when these texts are searched for."""
    list_facts(scene)
    closed = _without(scene.clickfield.labels, "expanded")
    wanted = [text.casefold() for text in searched if text]
    if _known.asked != (closed, wanted):
        found = (uid for uid, name in _known.names.items() if all(text in name for text in wanted))
        _known.asked, _known.searching = (closed, wanted), bool(wanted)
        _known.listed = tree.listed(_known.rows, closed, set(found) if wanted else None)
    return _known.listed


def _look_at_eyes(scene):
    """Bring up to date which names are dim: those that the viewport does not show."""
    own = scene.clickfield
    eyes = (own.isolated, _without(own.labels, "visible"))
    if _known.eyes != eyes:
        _known.eyes = eyes
        _known.shown = tree.shown_as(_known.rows, 0, own.isolated, _known.facts.keys() - eyes[1])


class CLICKFIELD_UL_labels(bpy.types.UIList):
    """The label tree."""

    bl_idname = "CLICKFIELD_UL_labels"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        """Triangle, colour, name, warning, number of marks, part of the surface, eye."""
        uid = item.uid
        fact = _known.facts.get(uid, NOTHING)
        row = layout.row(align=True)
        if fact.depth:
            row.separator(factor=1.6 * fact.depth)
        if fact.parent:
            icon = "DOWNARROW_HLT" if item.expanded or _known.searching else "RIGHTARROW"
            toggle = row.operator("clickfield.expand_label", text="", icon=icon, emboss=False)
            toggle.uid, toggle.expand = uid, not item.expanded
        else:
            row.label(text="", icon="BLANK1")
        swatch = row.row()
        swatch.ui_units_x = 0.8
        swatch.prop(item, "color", text="")
        named = row.row()
        named.active = bool(_known.shown.get(uid, True))
        if _click.row == (data.id_data.session_uid, index):
            named.label(text=item.name)
        else:
            named.prop(item, "name", text="", emboss=False)
        if fact.marks or fact.taught:
            self._number(row, str(fact.marks or ""), 1.0)
        if not fact.taught:
            hint = row.operator("clickfield.choose_label", text="", icon="ERROR", emboss=False)
            hint.uid, hint.missing = uid, True
        if _known.shared:
            self._number(row, "" if not fact.share else "<1%" if fact.share < 0.005 else f"{fact.share:.0%}", 1.8)
        row.prop(item, "visible", text="", icon="HIDE_OFF" if item.visible else "HIDE_ON", emboss=False)

    def _number(self, row, text, width):
        column = row.row()
        column.alignment, column.ui_units_x = "RIGHT", width
        column.label(text=text)

    def draw_filter(self, context, layout):
        """What Ctrl-F over the list opens."""
        layout.prop(self, "filter_name", text="", icon="VIEWZOOM")

    def filter_items(self, context, data, property):
        """Rows that no closed label hides, or those that are searched for with what is above them."""
        scene = data.id_data
        shown = rows_shown(scene, self.filter_name, context.window_manager.clickfield.label_filter)
        _look_at_eyes(scene)
        if all(shown):
            return [], []
        return [self.bitflag_filter_item if one else 0 for one in shown], []


# In a list Blender takes Ctrl-click and double-click for renaming, where a row has a text field. Here a double-click
# selects the surface (its key is in `label_keys`): until it could have come, the row that was clicked has none.


def _clicked(scene, row):
    _click.row = (scene.session_uid, row)
    if bpy.app.timers.is_registered(_unclick):
        bpy.app.timers.unregister(_unclick)
    wait = bpy.context.preferences.inputs.mouse_double_click_time / 1000 + 0.05
    bpy.app.timers.register(_unclick, first_interval=wait)


def _unclick():
    _click.row = NO_ROW
    redraw_sidebars()


class CLICKFIELD_MT_tree_presets(bpy.types.Menu):
    bl_idname = "CLICKFIELD_MT_tree_presets"
    bl_label = "Label Presets"
    bl_description = "Ready-made trees of labels"

    def draw(self, context):
        """Every preset."""
        for name, title, _text in tree_files.PRESETS:
            self.layout.operator("clickfield.apply_tree_preset", text=title).preset = name
        self.layout.separator()
        self.layout.operator("clickfield.import_label_tree", icon="IMPORT")
        self.layout.operator("clickfield.export_label_tree", icon="EXPORT")


class CLICKFIELD_MT_labels(bpy.types.Menu):
    bl_idname = "CLICKFIELD_MT_labels"
    bl_label = "Labels"
    bl_description = "Everything that can be done with labels"

    def draw(self, context):
        """What is needed less often."""
        layout = self.layout
        own = context.scene.clickfield
        layout.operator("clickfield.add_label", text="Add Label Below", icon="OUTLINER").place = "CHILD"
        group = layout.operator("clickfield.add_label", text="Add Group", icon="GROUP")
        group.kind, group.name, group.thing = "group", "Group", False
        layout.operator("clickfield.duplicate_label", icon="DUPLICATE")
        layout.separator()
        layout.operator("clickfield.rename_label", text="Rename")
        layout.operator("clickfield.color_label", text="Color")
        layout.operator("clickfield.split_label", text="Split")
        layout.operator("clickfield.merge_labels", text="Merge")
        layout.menu("CLICKFIELD_MT_move_label")
        layout.separator()
        layout.operator("clickfield.select_label_surface", icon="RESTRICT_SELECT_OFF")
        layout.operator("clickfield.isolate_label", text="Show All Labels" if own.isolated else "Isolate")
        for text, expand in (("Expand All", True), ("Collapse All", False)):
            layout.operator("clickfield.expand_label", text=text).expand = expand
        layout.separator()
        layout.menu("CLICKFIELD_MT_tree_presets", icon="PRESET")
        layout.operator("clickfield.load_labels", text="Load Labels and Marks", icon="IMPORT")
        layout.operator("clickfield.save_labels", text="Save Labels and Marks", icon="EXPORT")
        layout.separator()
        if own.active_label < len(own.labels):
            label = own.labels[own.active_label]
            layout.operator("clickfield.clear_marks", text=f"Clear Marks of {label.name}").label = label.uid
        layout.operator("clickfield.clear_marks", text="Clear All Marks").label = 0


class CLICKFIELD_MT_move_label(bpy.types.Menu):
    bl_idname = "CLICKFIELD_MT_move_label"
    bl_label = "Move To"
    bl_description = "Put the label, with all below it, under another one"

    def draw(self, context):
        """One step, a search, and the labels under which the active one may be put."""
        layout, own = self.layout, context.scene.clickfield
        for direction, icon in (("UP", "TRIA_UP"), ("DOWN", "TRIA_DOWN"), ("IN", "TRIA_RIGHT"), ("OUT", "TRIA_LEFT")):
            layout.operator("clickfield.shift_label", text=direction.title(), icon=icon).direction = direction
        layout.separator()
        layout.operator("clickfield.search_move_label", text="Search", icon="VIEWZOOM")
        if own.active_label >= len(own.labels):
            return
        layout.separator()
        active = own.labels[own.active_label].uid
        layout.operator("clickfield.move_label", text="Top Level").parent = 0
        below = tree.descendants(own.labels, active) | {active}
        facts = list_facts(context.scene)
        targets = [label for label in own.labels if label.uid not in below]
        if len(targets) > MENU_LENGTH:
            targets = [label for label in targets if label.kind == "group" or facts[label.uid].parent][:MENU_LENGTH]
        for label in targets:
            text = "    " * facts[label.uid].depth + label.name
            layout.operator("clickfield.move_label", text=text).parent = label.uid


class CLICKFIELD_PT_labels(bpy.types.Panel, CapturePanel):
    bl_idname = "CLICKFIELD_PT_labels"
    bl_label = "Labels"
    bl_order = 1

    def draw(self, context):
        """The tree with its buttons and a search, and the chosen label."""
        layout, own = self.layout, context.scene.clickfield
        column = layout.column()
        self._buttons(column.row(align=True))
        column.prop(context.window_manager.clickfield, "label_filter", text="", icon="VIEWZOOM", placeholder="Search")
        rows = {"item_dyntip_propname": "tip", "rows": 10}
        column.template_list("CLICKFIELD_UL_labels", "", own, "labels", own, "label_row", **rows)
        if not len(own.labels):
            column = layout.column(align=True)
            column.label(text="Start with ready-made labels:")
            for name, title, _text in tree_files.PRESETS[:-1]:
                column.operator("clickfield.apply_tree_preset", text=title).preset = name
            return
        if own.active_label < len(own.labels):
            label = own.labels[own.active_label]
            row = layout.row()
            row.prop(label, "kind", text="")
            row.prop(label, "thing")

    def _buttons(self, row):
        """In a row above the list, because names need its whole width."""
        row.operator("clickfield.add_label", text="", icon="ADD").place = "SIBLING"
        row.operator("clickfield.add_label", text="", icon="OUTLINER").place = "CHILD"
        row.operator("clickfield.remove_label", text="", icon="REMOVE")
        row.separator()
        for direction, icon in (("UP", "TRIA_UP"), ("DOWN", "TRIA_DOWN"), ("OUT", "TRIA_LEFT"), ("IN", "TRIA_RIGHT")):
            row.operator("clickfield.shift_label", text="", icon=icon).direction = direction
        row.separator()
        row.menu("CLICKFIELD_MT_tree_presets", text="", icon="PRESET")
        row.menu("CLICKFIELD_MT_labels", text="", icon="DOWNARROW_HLT")


def _draw_context_menu(self, context):
    """A right-click on a row."""
    found = getattr(context, "ui_list", None)
    if found is not None and found.bl_idname == "CLICKFIELD_UL_labels":
        self.layout.menu_contents("CLICKFIELD_MT_labels")
        self.layout.separator()


# How the list looks is not part of what undo takes back.


@persistent
def _keep_open_rows(*arguments):
    _open_rows.clear()
    scene = current_scene()
    _open_rows[scene.session_uid] = {label.uid: label.expanded for label in scene.clickfield.labels}


@persistent
def _restore_open_rows(*arguments):
    _forget()
    scene = current_scene()
    kept = _open_rows.pop(scene.session_uid, {})
    for label in scene.clickfield.labels:
        if label.expanded != kept.get(label.uid, label.expanded):
            label.expanded = kept[label.uid]


@persistent
def _forget(*arguments):
    """The scene is in another state, whose revision may be one that was seen already."""
    _known.key = None


HANDLERS = (
    ("undo_pre", _keep_open_rows),
    ("redo_pre", _keep_open_rows),
    ("undo_post", _restore_open_rows),
    ("redo_post", _restore_open_rows),
    ("load_post", _forget),
)
CLASSES = (
    CLICKFIELD_UL_labels,
    CLICKFIELD_MT_tree_presets,
    CLICKFIELD_MT_labels,
    CLICKFIELD_MT_move_label,
    CLICKFIELD_PT_labels,
)


def register() -> None:
    """Register list, menus and panel, and listen to clicks and undo."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.UI_MT_list_item_context_menu.prepend(_draw_context_menu)
    properties.row_chosen.append(_clicked)
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Take them back."""
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    properties.row_chosen.remove(_clicked)
    bpy.types.UI_MT_list_item_context_menu.remove(_draw_context_menu)
    if bpy.app.timers.is_registered(_unclick):
        bpy.app.timers.unregister(_unclick)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
