"""Marks as dots in the viewport: filled for "this", with a dark middle for "not this"."""

import bpy
import gpu
from gpu_extras.batch import batch_for_shader
from mathutils import Vector

from .. import live
from ..scene.cameras import matrix_from_rows
from ..scene.scan import find_scan

RIM, SIZE, HOLE = 12.0, 9.0, 4.0  # pixels
_handles = []


def _marks(scene):
    """Position in Blender's world, colour and sign of every mark whose place is known.

    The backend finds the place of a mark on a keyframe's pixel; one on the surface carries its own.
    """
    scan = find_scan(scene, scene.clickfield.capture_id)
    if scan is None or not scan.visible_get():
        return []
    places = live.session().mark_points
    colors = {label.uid: tuple(label.color) for label in scene.clickfield.labels}
    scene_from_world = matrix_from_rows(list(scene.clickfield.scene_from_world))
    found = []
    for mark in scene.clickfield.marks:
        color = colors.get(mark.label, (1.0, 1.0, 1.0))
        for point in mark.points:
            found.append((scan.matrix_world @ (scene_from_world @ Vector(point.co)), color, mark.sign))
        if not len(mark.points) and mark.uid in places:
            found.append((scan.matrix_world @ Vector(places[mark.uid]), color, mark.sign))
    return found


def _dots(shader, points, colors, size):
    gpu.state.point_size_set(size)
    batch_for_shader(shader, "POINTS", {"pos": points, "color": colors}).draw(shader)


def draw():
    """Draw the marks over everything, so that none is lost behind the surface."""
    context = bpy.context
    if not context.scene.clickfield.capture_id or not context.space_data.overlay.show_overlays:
        return
    marks = _marks(context.scene)
    if not marks:
        return
    shader = gpu.shader.from_builtin("POINT_FLAT_COLOR")
    points = [tuple(point) for point, _color, _sign in marks]
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("ALPHA")
    _dots(shader, points, [(1.0, 1.0, 1.0, 1.0)] * len(points), RIM)
    _dots(shader, points, [(*color, 1.0) for _point, color, _sign in marks], SIZE)
    negative = [tuple(point) for point, _color, sign in marks if sign < 0]
    if negative:
        _dots(shader, negative, [(0.05, 0.05, 0.05, 1.0)] * len(negative), HOLE)
    gpu.state.point_size_set(1.0)
    gpu.state.blend_set("NONE")


def register() -> None:
    """Draw after the viewport's own contents."""
    _handles.append(bpy.types.SpaceView3D.draw_handler_add(draw, (), "WINDOW", "POST_VIEW"))


def unregister() -> None:
    """Stop drawing."""
    while _handles:
        bpy.types.SpaceView3D.draw_handler_remove(_handles.pop(), "WINDOW")
