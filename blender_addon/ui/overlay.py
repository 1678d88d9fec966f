"""What the viewport shows of marks and labels over the scan: marks as dots (filled for "this", with a dark middle for
"not this", faint when muted), the stroke that is being drawn, the outline of the label under the pointer."""

from __future__ import annotations

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix

from .. import hovering, marked, strokes
from ..scene.scan import find_scan
from . import film

SIZE, ACTIVE, STROKE = 13.0, 19.0, 8.0  # pixels: dot of a mark, of the active one, of a point along a stroke
RIM, HOLE = 1.6, 0.45  # pixels; of the size
FAINT = 0.35  # opacity of muted marks
DARK = (0.05, 0.05, 0.05, 1.0)
NEARER = 2e-4  # of the depth range: lines on the surface are drawn before it
_handles = []
_kept: dict[str, object] = {}  # shader and batch of the dots, and what they were made of


def _dot_shader() -> gpu.types.GPUShader:
    """Round dots of any size with a light rim and, if wanted, a dark middle; Blender's own are square, of one size.

    Viewports take linear light, so that sRGB is converted at the end.
    """
    between = gpu.types.GPUStageInterfaceInfo("clickfield_dot")
    between.smooth("VEC4", "fill")
    between.smooth("VEC3", "form")
    info = gpu.types.GPUShaderCreateInfo()
    info.push_constant("MAT4", "matrix")
    info.vertex_in(0, "VEC3", "pos")
    info.vertex_in(1, "VEC4", "color")
    info.vertex_in(2, "VEC3", "shape")  # size in pixels, width of the rim, size of the middle
    info.vertex_out(between)
    info.fragment_out(0, "VEC4", "fragment")
    info.vertex_source(
        "void main() { gl_Position = matrix * vec4(pos, 1.0); gl_PointSize = shape.x; fill = color; form = shape; }"
    )
    info.fragment_source(
        """
        void main()
        {
          float from_middle = length(gl_PointCoord - vec2(0.5)) * form.x;
          float radius = form.x / 2.0;
          vec3 rgb = mix(fill.rgb, vec3(1.0), smoothstep(-0.5, 0.5, from_middle - (radius - form.y - 0.5)));
          rgb = mix(rgb, vec3(0.05), 1.0 - smoothstep(-0.5, 0.5, from_middle - form.z / 2.0));
          rgb = mix(rgb / 12.92, pow((rgb + 0.055) / 1.055, vec3(2.4)), step(0.04045, rgb));
          fragment = vec4(rgb, fill.a * (1.0 - smoothstep(-0.5, 0.5, from_middle - (radius - 0.5))));
        }
        """
    )
    return gpu.shader.create_from_info(info)


def _marks_batch(scene: bpy.types.Scene) -> gpu.types.GPUBatch | None:
    """All dots, made anew when a mark has changed."""
    dots = marked.dots(scene)
    if dots is None or not len(dots.rows):
        return None
    active, scale = scene.clickfield.active_mark, bpy.context.preferences.system.ui_scale
    if _kept.get("dots") is not dots or _kept.get("active") != (active, scale):
        positions, colors, shapes = _look_of_dots(scene.clickfield, dots, scale)
        attributes = {"pos": positions, "color": colors, "shape": shapes}
        _kept.update(dots=dots, active=(active, scale), batch=batch_for_shader(_kept["shader"], "POINTS", attributes))
    return _kept["batch"]


def _look_of_dots(
    own: bpy.types.PropertyGroup, dots: marked.Dots, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position (N, 3), colour with opacity (N, 4), and size, rim and middle (N, 3), in the order of drawing."""
    count = len(own.marks)
    labels, signs, muted = np.zeros(count, np.int32), np.zeros(count, np.int32), np.zeros(count, bool)
    for name, values in (("label", labels), ("sign", signs), ("muted", muted)):
        own.marks.foreach_get(name, values)
    by_label = {label.uid: tuple(label.color) for label in own.labels}
    rows = dots.rows
    active = rows == own.active_mark
    colors = np.ones((len(rows), 4), dtype=np.float32)
    colors[:, :3] = np.array([by_label.get(int(uid), (1.0, 1.0, 1.0)) for uid in labels], dtype=np.float32)[rows]
    colors[muted[rows], 3] = FAINT
    size = np.where(dots.first, np.where(active, ACTIVE, SIZE), np.where(active, STROKE + 2, STROKE)) * scale
    hollow = dots.first & ((signs[rows] < 0) | muted[rows])
    shapes = np.stack([size, np.full(len(rows), RIM * scale), np.where(hollow, HOLE * size, 0)], axis=1)
    order = np.argsort(2 * active + dots.first, kind="stable")
    return dots.positions[order], colors[order], shapes[order].astype(np.float32)


def _draw_marks(scene: bpy.types.Scene, matrix: Matrix) -> None:
    """Over everything, so that none is lost behind the surface. matrix: Blender's world to clip space."""
    if "shader" not in _kept:
        _kept["shader"] = _dot_shader()
    batch = _marks_batch(scene)
    if batch is None:
        return
    _kept["shader"].bind()
    _kept["shader"].uniform_float("matrix", matrix)
    gpu.state.program_point_size_set(True)
    batch.draw(_kept["shader"])
    gpu.state.program_point_size_set(False)


def _lines(positions: np.ndarray, kind: str, color: tuple[float, ...], width: float) -> None:
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    shader.bind()
    shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    shader.uniform_float("lineWidth", width * bpy.context.preferences.system.ui_scale)
    shader.uniform_float("color", color)
    batch_for_shader(shader, kind, {"pos": positions}).draw(shader)


def _draw_stroke() -> None:
    stroke = strokes.current()
    if stroke is None or not stroke.points:
        return
    color = (*stroke.color, 1.0) if stroke.sign > 0 else DARK
    points = np.array([tuple(point) for point in stroke.points], dtype=np.float32)
    if len(points) > 1:
        _lines(points, "LINE_STRIP", (1.0, 1.0, 1.0, 0.9), 7.0)
        _lines(points, "LINE_STRIP", color, 4.0)


def _draw_outline(context: bpy.types.Context) -> None:
    """Around the label under the pointer, on the surface."""
    scan = find_scan(context.scene, context.scene.clickfield.capture_id)
    if scan is None or not scan.visible_get():
        return
    segments = hovering.outline(context, scan)
    if not len(segments):
        return
    nearer = Matrix.Identity(4)
    nearer[2][3] = -NEARER
    gpu.state.depth_test_set("LESS_EQUAL")
    with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
        gpu.matrix.load_projection_matrix(nearer @ gpu.matrix.get_projection_matrix())
        gpu.matrix.multiply_matrix(scan.matrix_world)
        _lines(segments, "LINES", (1.0, 1.0, 1.0, 0.9), 1.6)
    gpu.state.depth_test_set("NONE")


def _wanted(context: bpy.types.Context) -> bool:
    return bool(context.scene.clickfield.capture_id) and context.space_data.overlay.show_overlays


def draw_on_surface() -> None:
    """What the surface may hide, in the viewport that is being drawn."""
    context = bpy.context
    if _wanted(context) and hovering.tool_is_active(context) and strokes.current() is None:
        gpu.state.blend_set("ALPHA")
        _draw_outline(context)
        gpu.state.blend_set("NONE")


def draw_over() -> None:
    """What lies over everything, also over a keyframe's picture, in the viewport that is being drawn."""
    context = bpy.context
    view = context.region_data
    if not _wanted(context) or view is None:
        return
    film.draw(context)
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("NONE")
    with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
        gpu.matrix.load_matrix(view.view_matrix)
        gpu.matrix.load_projection_matrix(view.window_matrix)
        _draw_stroke()
    _draw_marks(context.scene, view.perspective_matrix)
    gpu.state.blend_set("NONE")


def forget() -> None:
    """Let go of what was drawn last, and of what it was made from."""
    _kept.clear()
    marked.forget()
    hovering.forget()
    strokes.end()
    film.forget()


def register() -> None:
    """Draw in every 3D viewport."""
    for function, when in ((draw_on_surface, "POST_VIEW"), (draw_over, "POST_PIXEL")):
        _handles.append(bpy.types.SpaceView3D.draw_handler_add(function, (), "WINDOW", when))


def unregister() -> None:
    """Stop drawing."""
    while _handles:
        bpy.types.SpaceView3D.draw_handler_remove(_handles.pop(), "WINDOW")
    forget()
