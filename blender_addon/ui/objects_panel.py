"""Objects: separate with choices, what came of it, the active object's facts, assets and files."""

import bpy

from ..scene import facts, linked, objects, showing
from .panels import CapturePanel, ClickfieldPanel, _wrapped

NARROW = 230  # pixels of a sidebar in which three words do not fit beside each other
ROWS = ("min_size", "margin", "close", "mirror", "fill", "texture", "levels", "hulls")


def draw_options(layout, options):
    """The choices of a separation, of a scene or of an operator."""
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    for name in ROWS:
        row = column.row()
        row.active = name != "mirror" or options.close
        row.prop(options, name)
    if options.hulls != "NONE":
        column.prop(options, "naming")


def _what_comes_next(scene, capture_id):
    """What the person has begun and should go on with; empty when nothing is."""
    if any(label.split_first for label in scene.clickfield.labels):
        return "Click on the part that stays what it is (Ctrl-Z: do not split)"
    if any(label.split_second for label in scene.clickfield.labels):
        return "Click on the part that is another thing (Ctrl-Z: do not split)"
    return "Labels have changed since; separate again to see it" if objects.is_outdated(scene, capture_id) else ""


def _of_a_scan(context):
    """The active object, when it was separated from a scan."""
    item = context.active_object
    return item if item is not None and item.type == "MESH" and item.clickfield.role == "OBJECT" else None


class CLICKFIELD_PT_objects(bpy.types.Panel, CapturePanel):
    bl_idname = "CLICKFIELD_PT_objects"
    bl_label = "Objects"
    bl_order = 7

    def draw(self, context):
        """The button that makes them, and what the last time said."""
        layout, scene = self.layout, context.scene
        row = layout.row()
        row.scale_y = 1.3
        row.operator_context = "EXEC_DEFAULT"
        row.operator("clickfield.separate", icon="MOD_EXPLODE")
        capture_id = scene.clickfield.capture_id
        sentence = _what_comes_next(scene, capture_id)
        if sentence:
            _wrapped(layout, context, sentence, icon="INFO")
        for sentence in objects.report_lines(scene, capture_id):
            _wrapped(layout, context, sentence)
        if objects.separated_objects(scene, capture_id):
            self._draw_shown(layout, context, capture_id)

    def _draw_shown(self, layout, context, capture_id):
        """What is to be seen of the things that lie in the same place."""
        scene = context.scene
        narrow = context.region.width < NARROW * context.preferences.system.ui_scale
        row = layout.column(align=True) if narrow else layout.row(align=True)
        seen = showing.shown(scene, capture_id)
        kinds = [(showing.SCAN, "Scan"), (showing.OBJECTS, "Objects")]
        if objects.find_filled(scene, capture_id) is not None:
            kinds.append((showing.FILLED, "Empty Scene"))
        for what, text in kinds:
            row.operator("clickfield.show_results", text=text, depress=what in seen).what = what
        if _of_a_scan(context) is None:
            layout.label(text="Click on an object to see more of it")


class CLICKFIELD_PT_separation(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Choices"
    bl_parent_id = "CLICKFIELD_PT_objects"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """How things are cut, closed and dressed; they count the next time that objects are separated."""
        draw_options(self.layout, context.scene.clickfield.separation)


class CLICKFIELD_PT_object(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Active Object"
    bl_parent_id = "CLICKFIELD_PT_objects"

    @classmethod
    def poll(cls, context):
        """Only with a separated object."""
        return _of_a_scan(context) is not None

    def draw(self, context):
        """What is known of it, and what can be done when it is cut wrongly."""
        layout, item = self.layout, _of_a_scan(context)
        own, names = item.clickfield, {label.uid: label.name for label in context.scene.clickfield.labels}
        layout.label(text=f"{names.get(own.label, 'No label')}, instance {own.instance}", icon="OBJECT_DATA")
        for sentence in facts.sentences(item):
            _wrapped(layout, context, sentence)
        row = layout.row(align=True)
        row.operator("clickfield.select_invented", icon="RESTRICT_SELECT_OFF").action = "SELECT"
        row.operator("clickfield.select_invented", text="", icon="GROUP_VERTEX").action = "GROUP"
        if linked.OWN_MESH in item:
            layout.operator("clickfield.restore_own_mesh", icon="UNLINKED")
        column = layout.column(align=True)
        column.operator("clickfield.split_instance", icon="MOD_BOOLEAN")
        column.operator("clickfield.merge_instances", icon="AUTOMERGE_ON")
        column.operator("clickfield.assign_objects", icon="OUTLINER_OB_FONT")


class CLICKFIELD_PT_assets(bpy.types.Panel, ClickfieldPanel):
    bl_label = "Assets and Files"
    bl_parent_id = "CLICKFIELD_PT_objects"

    def draw(self, context):
        """Where objects go from here."""
        column = self.layout.column()
        pair = column.column(align=True)  # below each other: side by side a narrow sidebar cuts them off
        pair.operator("clickfield.find_similar", text="Find Similar", icon="LINKED").mesh = "UNION"
        pair.operator("clickfield.find_similar", text="Link the Best Seen", icon="BLANK1").mesh = "BEST"
        for line in linked.report_lines(context.scene, context.scene.clickfield.capture_id):
            _wrapped(column, context, line)
        column.operator("clickfield.save_asset_library", icon="ASSET_MANAGER")
        column.operator("clickfield.export_assets", icon="EXPORT")


CLASSES = (CLICKFIELD_PT_objects, CLICKFIELD_PT_separation, CLICKFIELD_PT_object, CLICKFIELD_PT_assets)


def register() -> None:
    """Register the panels."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them back."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
