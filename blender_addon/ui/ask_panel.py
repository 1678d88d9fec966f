"""Ask Me on screen: the panel in the sidebar, and over the viewport a ring around the asked spot and a banner."""

import blf
import bpy
import gpu
from bpy_extras import view3d_utils
from gpu_extras.batch import batch_for_shader
from gpu_extras.presets import draw_circle_2d

from .. import live
from ..scene.places import in_world
from .panels import CapturePanel

RING, MARGIN, LINE, SIZE = 18.0, 14, 20, 13  # pixels at a scale of 1
_handles = []


def _labels(scene, question):
    """(number key, label, probability) of the question's choices."""
    labels = {label.uid: label for label in scene.clickfield.labels}
    return [
        (key, labels[uid], probability) for key, (uid, probability) in enumerate(question.choices, 1) if uid in labels
    ]


class CLICKFIELD_PT_ask(bpy.types.Panel, CapturePanel):
    bl_idname = "CLICKFIELD_PT_ask"
    bl_label = "Ask Me"
    bl_order = 4

    def draw(self, context):
        """The question and its answers, or how to ask."""
        layout, own, asking = self.layout, context.scene.clickfield, live.session().asking
        if not asking.active:
            layout.operator("clickfield.ask_me", icon="QUESTION")
            column = layout.column(align=True)
            column.use_property_split, column.use_property_decorate = True, False
            column.prop(own, "query_measure")
            column.prop(own, "query_top")
            return
        if asking.question is None:
            layout.label(text="Looking for the next place...", icon="SORTTIME")
        elif asking.typed is not None:
            layout.label(text=f"New label: {asking.typed}|", icon="GREASEPENCIL")
            layout.label(text="Type over the picture, then Enter")
        else:
            layout.label(text="What is in the ring?", icon="QUESTION")
            column = layout.column(align=True)
            for key, label, probability in _labels(context.scene, asking.question):
                row = column.row(align=True)
                swatch = row.row()
                swatch.ui_units_x = 0.8
                swatch.prop(label, "color", text="")
                text = f"{key}  {label.name}" + (f"  {probability:.0%}" if probability >= 0.005 else "")
                row.operator("clickfield.answer_question", text=text).label = label.uid
            row = layout.row(align=True)
            row.operator("clickfield.name_answer", text="New (N)", icon="ADD")
            row.operator("clickfield.skip_question", text="Skip (S)", icon="FORWARD")
        row = layout.row()
        row.operator("clickfield.stop_asking", text="Stop (Esc)", icon="X")
        answers = asking.answers
        row.label(text=f"{answers} answer" + ("" if answers == 1 else "s"))


def draw():
    """Over the viewport that shows the questions."""
    context, asking = bpy.context, live.session().asking
    if not asking.active or context.area.as_pointer() != asking.viewport:
        return
    scale = context.preferences.system.ui_scale
    gpu.state.blend_set("ALPHA")
    if asking.question is not None:
        place = in_world(context.scene, asking.question.point)
        if place is not None:
            spot = view3d_utils.location_3d_to_region_2d(context.region, context.region_data, place)
            if spot is not None:
                _ring(spot, scale)
    _banner(context, _lines(context.scene, asking), scale)
    gpu.state.blend_set("NONE")


def _ring(spot, scale):
    gpu.state.line_width_set(5.0 * scale)
    draw_circle_2d(spot, (0.0, 0.0, 0.0, 0.7), RING * scale, segments=48)
    gpu.state.line_width_set(2.0 * scale)
    draw_circle_2d(spot, (1.0, 0.85, 0.1, 1.0), RING * scale, segments=48)
    draw_circle_2d(spot, (1.0, 0.85, 0.1, 1.0), 1.5 * scale, segments=12)
    gpu.state.line_width_set(1.0)


def _lines(scene, asking):
    """(text, colour or None) of the banner's lines, from the top."""
    if asking.question is None:
        return [("Ask Me: looking for the next place...", None), ("Esc  stop", None)]
    if asking.typed is not None:
        return [(f"New label: {asking.typed}|", None), ("Enter  take it      Esc  back", None)]
    lines = [("What is in the ring?", None)]
    for key, label, probability in _labels(scene, asking.question):
        lines.append((f"{key}  {label.name}" + (f"  {probability:.0%}" if probability >= 0.005 else ""), label.color))
    return [*lines, ("N  new label      S  skip      Esc  stop", None)]


def _banner(context, lines, scale):
    """Text on a dark plate in the lower left corner, clear of the toolbar and of Blender's last operation."""
    font, line, margin = 0, LINE * scale, MARGIN * scale
    bottom = 3 * margin
    blf.size(font, SIZE * scale)
    tools = next((region for region in context.area.regions if region.type == "TOOLS"), None)
    left = margin + (tools.width if tools is not None and context.preferences.system.use_region_overlap else 0)
    width = max(blf.dimensions(font, text)[0] for text, _ in lines) + 3 * margin
    _plate(left, bottom, width, len(lines) * line + margin, (0.08, 0.08, 0.08, 0.85))
    for row, (text, color) in enumerate(lines):
        y = bottom + (len(lines) - row - 1) * line + 0.75 * margin
        if color is not None:
            _plate(left + 0.5 * margin, y - 2 * scale, 0.8 * margin, 0.8 * margin, (*color, 1.0))
        blf.color(font, 1.0, 1.0, 1.0, 1.0)
        blf.position(font, left + 1.8 * margin, y, 0)
        blf.draw(font, text)


def _plate(x, y, width, height, color):
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    shader.uniform_float("color", color)
    batch_for_shader(shader, "TRIS", {"pos": corners}, indices=((0, 1, 2), (0, 2, 3))).draw(shader)


def register() -> None:
    """Register the panel and draw over viewports."""
    bpy.utils.register_class(CLICKFIELD_PT_ask)
    _handles.append(bpy.types.SpaceView3D.draw_handler_add(draw, (), "WINDOW", "POST_PIXEL"))


def unregister() -> None:
    """Take both back."""
    while _handles:
        bpy.types.SpaceView3D.draw_handler_remove(_handles.pop(), "WINDOW")
    bpy.utils.unregister_class(CLICKFIELD_PT_ask)
