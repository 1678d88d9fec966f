"""The Label tool without a mouse: strokes, recent labels, marks under the pointer."""

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon import marked, pointer
from bl_ext.dev.clickfield.blender_addon.document import recent
from bl_ext.dev.clickfield.blender_addon.scene import picking, scan, strokes
from mathutils import Matrix

ops = bpy.ops.clickfield
SPACING = 0.02


def bumpy(n=120):
    """A wavy square metre in the plane z = 0: positions (V, 3) and faces (F, 3)."""
    x, y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    positions = np.stack([x, y, 0.03 * np.sin(9 * x) * np.cos(7 * y)], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(n * n).reshape(n, n)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)]).astype(np.int32)
    return positions, faces


def from_above(picker, pixels=500.0):
    """A view straight down on the square, so many pixels to the metre."""
    return lambda x, y: picker.cast(np.array([x / pixels, y / pixels, 2.0]), np.array([0.0, 0.0, -1.0]))


def on_surface(points, picker):
    """How far points are from the surface under them."""
    hits = [picker.cast(np.array([p[0], p[1], 2.0]), np.array([0.0, 0.0, -1.0])) for p in points]
    return np.abs(np.array(hits)[:, 2] - np.array(points)[:, 2]).max()


@pytest.mark.parametrize("pixels", [2000.0, 500.0, 60.0])
def test_strokes_are_resampled_evenly_on_the_surface_at_any_zoom(pixels):
    picker = picking.Picker(*bumpy())
    stroke = strokes.Stroke(from_above(picker, pixels), SPACING)
    angles = np.linspace(0, 1.5 * np.pi, 9)
    for x, y in zip(0.5 + 0.35 * np.cos(angles), 0.5 + 0.35 * np.sin(angles), strict=True):
        stroke.extend(x * pixels, y * pixels)
    points = np.array(stroke.points)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert len(points) > 60
    assert np.abs(steps - SPACING).max() < 0.06 * SPACING
    assert on_surface(points, picker) < 1e-6
    assert len(stroke.pixels) == len(points)


def test_slow_movements_give_the_same_stroke_as_fast_ones():
    picker = picking.Picker(*bumpy())
    fast, slow = (strokes.Stroke(from_above(picker), SPACING) for _ in range(2))
    for x in (50, 450):
        fast.extend(x, 200)
    for x in np.linspace(50, 450, 300):
        slow.extend(x, 200)
    assert abs(len(fast.points) - len(slow.points)) <= 1
    apart = np.linalg.norm(np.array(fast.points)[:, None] - np.array(slow.points), axis=-1)
    assert apart.min(axis=1)[:-1].max() < 0.6 * SPACING


def test_a_stroke_goes_on_behind_a_gap_and_across_a_step():
    positions, faces = bumpy()
    centers = positions[faces].mean(axis=1)
    gap = (centers[:, 0] > 0.3) & (centers[:, 0] < 0.45)
    raised = positions.copy()
    raised[positions[:, 0] > 0.7, 2] += 0.5
    steep = np.ptp(raised[faces][:, :, 2], axis=1) > 0.3
    picker = picking.Picker(raised, faces[~gap & ~steep])
    stroke = strokes.Stroke(from_above(picker), SPACING)
    stroke.extend(50, 250)
    stroke.extend(450, 250)
    points = np.array(stroke.points)
    assert not ((points[:, 0] > 0.31) & (points[:, 0] < 0.44)).any()
    assert (points[:, 0] < 0.3).sum() > 5 and (points[:, 2] > 0.4).sum() > 5
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert (np.abs(steps - SPACING) > 0.06 * SPACING).sum() == 2  # the gap and the step


def test_a_stroke_beside_the_surface_is_empty():
    stroke = strokes.Stroke(lambda x, y: None, SPACING)
    stroke.extend(0, 0)
    stroke.extend(300, 300)
    assert not stroke.points


def test_a_stroke_without_end_is_cut_off():
    stroke = strokes.Stroke(lambda x, y: np.array([x, y, 0.0]), 0.5)
    for turn in range(12):
        stroke.extend(500.0 * (turn % 2), float(turn))
    assert stroke.full and len(stroke.points) == strokes.MOST_POINTS


def test_recent_labels_come_first_then_the_rest_of_the_tree():
    said = ""
    for uid in (3, 5, 3, 8):
        said = recent.remember(said, uid)
    assert said == "8,3,5"
    assert recent.choices(said, [1, 2, 3, 4, 5]) == [3, 5, 1, 2, 4]  # 8 is gone
    assert recent.choices("", list(range(1, 20))) == list(range(1, 10))
    many = ""
    for uid in range(1, 100):
        many = recent.remember(many, uid)
    assert len(many.split(",")) == recent.KEPT and recent.choices(many, range(100))[0] == 99


@pytest.fixture
def prepared(own):
    """A scene with a capture's id, three labels and the wavy square as its scan, moved about."""
    own.capture_id = "x"
    for name in ("sofa", "rug", "wall"):
        ops.add_label(name=name)
    positions, faces = bumpy(30)
    made = scan.new_scan(bpy.context.scene.collection, "Scan", "x")
    for _ in scan.fill(made.data, scan.topology(positions, faces, np.full((len(positions), 3), 128, np.uint8))):
        pass
    made.matrix_world = Matrix.Translation((2, 0, 0)) @ Matrix.Rotation(0.5, 4, "Z")
    bpy.context.view_layer.update()
    return own


def test_marking_makes_a_label_recent_and_number_keys_choose_it(prepared):
    for uid in (2, 1):
        ops.add_mark(label=uid, location=(2, 0, 0))
    assert prepared.recent == "1,2"
    ops.choose_recent(number=2)
    assert prepared.labels[prepared.active_label].name == "rug"
    ops.choose_recent(number=3)
    assert prepared.labels[prepared.active_label].name == "wall"
    assert prepared.recent == "1,2"  # choosing alone moves no key
    assert ops.choose_recent(number=4) == {"CANCELLED"}


def test_only_this_piece_goes_into_new_marks(prepared):
    ops.add_mark(label=1, location=(2, 0, 0))
    prepared.only_this_piece = True
    ops.add_mark(label=1, location=(2, 0, 0))
    assert [mark.local for mark in prepared.marks] == [False, True]


def test_dots_are_where_the_marks_were_made(prepared):
    places = [(2.1, 0.2, 0.0), (2.2, 0.5, 0.01)]
    for place in places:
        ops.add_mark(label=1, location=place)
    dots = marked.dots(bpy.context.scene)
    assert np.allclose(dots.positions, places, atol=1e-5) and dots.rows.tolist() == [0, 1] and dots.first.all()
    scan.find_scan(bpy.context.scene, "x").matrix_world = Matrix.Identity(4)
    bpy.context.view_layer.update()
    assert not np.allclose(marked.dots(bpy.context.scene).positions, places, atol=1e-2)
    ops.remove_mark(uid=1)
    assert marked.dots(bpy.context.scene).rows.tolist() == [0]


def test_dots_of_a_stroke_are_one_mark(prepared):
    mark = prepared.marks.add()
    mark.uid, mark.label = 1, 1
    for x in range(4):
        mark.points.add().co = (0.1 * x, 0.5, 0.0)
    dots = marked.dots(bpy.context.scene)
    assert dots.rows.tolist() == [0] * 4 and dots.first.tolist() == [True, False, False, False]


def test_the_mark_under_the_pointer_is_the_nearest_one():
    perspective = np.array(Matrix.OrthoProjection("XY", 4)) * [[0.01], [0.01], [1], [1]]
    perspective[3] = [0, 0, 0, 1]
    positions = np.array([[0.0, 0, 0], [3, 0, 0], [40, 0, 0]])  # 0.01 of half the width of 1,000 pixels: 5 pixels
    size, middle = (1000, 1000), 500
    assert pointer.nearest_dot(positions, perspective, size, (middle + 2, middle)) == 0
    assert pointer.nearest_dot(positions, perspective, size, (middle + 12, middle)) == 1
    assert pointer.nearest_dot(positions, perspective, size, (middle + 205, middle)) == 2
    assert pointer.nearest_dot(positions, perspective, size, (middle + 100, middle)) is None
    assert pointer.nearest_dot(np.zeros((0, 3)), perspective, size, (middle, middle)) is None
    behind = perspective.copy()
    behind[3] = [0, 0, 0, -1]
    assert pointer.nearest_dot(positions, behind, size, (middle, middle)) is None


def test_negative_and_pixel_marks_share_one_way(prepared):
    ops.add_mark(label=2, sign=-1, frame="7", u=1.5, v=2.5)
    mark = prepared.marks[0]
    assert (mark.sign, mark.frame, mark.u, mark.v, len(mark.points)) == (-1, "7", 1.5, 2.5, 0)
    assert prepared.active_mark == 0 and prepared.recent == "2"
