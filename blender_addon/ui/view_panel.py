"""How the labels are seen: mode, opacity, level of the tree, one label alone;
and through which keyframe."""

import bpy

from .panels import CapturePanel


class CLICKFIELD_PT_view(bpy.types.Panel, CapturePanel):
    bl_idname = "CLICKFIELD_PT_view"
    bl_label = "View"
    bl_order = 2

    def draw(self, context):
        """Everything that changes what is seen and nothing else."""
        layout, own = self.layout, context.scene.clickfield
        column = layout.column(align=True)
        row = column.row(align=True)
        for mode in ("PHOTO", "LABELS", "MIX"):
            row.prop_enum(own, "show", mode)
        row = column.row(align=True)
        for mode in ("CONFIDENCE", "UNCERTAINTY"):
            row.prop_enum(own, "show", mode)
        if own.show == "UNCERTAINTY":
            layout.prop(own, "query_measure", text="")
        through = context.space_data.region_3d.view_perspective == "CAMERA"
        row = layout.row()
        row.active = own.show == "MIX" or (through and own.show != "PHOTO")
        row.prop(own, "mix", slider=True)
        if own.show != "PHOTO" and any(label.parent for label in own.labels):
            layout.prop(own, "tree_level", slider=True)
        row = layout.row(align=True)
        alone = next((label for label in own.labels if label.uid == own.isolated), None)
        text = "Isolate" if alone is None else f"Isolated: {alone.name}"
        row.operator("clickfield.isolate_label", text=text, icon="SOLO_ON", depress=alone is not None)
        self._draw_keyframes(context, layout)

    def _draw_keyframes(self, context, layout):
        own, camera = context.scene.clickfield, context.scene.camera
        mine = camera is not None and camera.clickfield.capture_id == own.capture_id and camera.clickfield.frame
        row = layout.row(align=True)
        row.operator("clickfield.view_frame", text="", icon="TRIA_LEFT").offset = -1
        row.operator("clickfield.view_frame", text=f"Keyframe {camera.clickfield.frame}" if mine else "Keyframe")
        row.operator("clickfield.view_frame", text="", icon="TRIA_RIGHT").offset = 1
        layout.operator("clickfield.best_view", icon="VIEW_CAMERA")


def register() -> None:
    """Register the panel."""
    bpy.utils.register_class(CLICKFIELD_PT_view)


def unregister() -> None:
    """Take it back."""
    bpy.utils.unregister_class(CLICKFIELD_PT_view)
