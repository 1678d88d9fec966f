"""Select in Blender what a label has: the scan's vertices and the separated objects."""

import bmesh
import bpy
import numpy as np
from bpy.props import BoolProperty

from ..blender_addon.document import tree
from ..blender_addon.scene import objects, scan
from .tree import LabelOperator, counted


def select_vertices(body, uids, extend):
    """Select the scan's vertices that carry one of the labels, and faces and edges between them; how many."""
    mesh = body.data
    if body.mode == "EDIT":
        return _select_in_edit_mode(mesh, uids, extend)
    labels, _confidence = scan.read_labels(mesh)
    chosen = np.isin(labels, list(uids))
    count = int(chosen.sum())
    if extend:
        before = np.empty(len(chosen), dtype=bool)
        mesh.vertices.foreach_get("select", before)
        chosen |= before
    scan.select_points(mesh, chosen)
    return count


def _select_in_edit_mode(mesh, uids, extend):
    edited = bmesh.from_edit_mesh(mesh)
    layer = edited.verts.layers.int.get("label")
    count = 0
    for vertex in edited.verts:
        here = layer is not None and vertex[layer] in uids
        count += here
        vertex.select = here or (extend and vertex.select)
    edited.select_flush_mode()
    bmesh.update_edit_mesh(mesh, loop_triangles=False, destructive=False)
    return count


class CLICKFIELD_OT_select_label_surface(bpy.types.Operator, LabelOperator):
    bl_idname = "clickfield.select_label_surface"
    bl_label = "Select Surface"
    bl_description = (
        "Select what carries this label or one below it: separated objects, and the scan's vertices, "
        "which Edit Mode shows. Double-click on the label's row does the same"
    )

    extend: BoolProperty(name="Extend", description="Keep what is selected", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        """Only with a capture and a label."""
        if not context.scene.clickfield.capture_id:
            cls.poll_message_set("Import a capture first")
            return False
        return super().poll(context)

    def execute(self, context):
        """Select it."""
        scene = context.scene
        own = scene.clickfield
        label = self.label(context)
        if label is None:
            return {"CANCELLED"}
        name = label.name
        uids = {label.uid} | tree.descendants(own.labels, label.uid)
        body = scan.find_scan(scene, own.capture_id)
        count = select_vertices(body, uids, self.extend) if body is not None and len(body.data.vertices) else 0
        chosen = [one for one in objects.separated_objects(scene, own.capture_id) if one.clickfield.label in uids]
        shown = [one for one in ([body] if count else []) + chosen if one.visible_get()]
        if context.mode == "OBJECT":
            for other in [] if self.extend else list(context.selected_objects):
                other.select_set(False)
            for one in shown:
                one.select_set(True)
            if shown:
                context.view_layer.objects.active = shown[-1]
        if not count and not chosen:
            self.report({"WARNING"}, f"Nothing of the surface is {name} yet; mark it first.")
            return {"FINISHED"}
        share = f" ({count / len(body.data.vertices):.1%} of the scan)" if count else ""
        also = f" and {counted(len(chosen), 'object')}" if chosen else ""
        self.report({"INFO"}, f"{name}: selected {count:,} vertices{share}{also}.")
        return {"FINISHED"}


CLASSES = (CLICKFIELD_OT_select_label_surface,)
