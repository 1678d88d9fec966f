"""Marks: what is stored for a click, in which coordinates, and what is refused. No backend is needed for it."""

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import scan
from mathutils import Matrix, Vector

ops = bpy.ops.clickfield


@pytest.fixture
def prepared(own):
    """A scene with a capture's id, two labels and a small scan."""
    own.capture_id = "x"
    ops.add_label(name="sofa")
    ops.add_label(name="things", kind="group")
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    made = scan.new_scan(bpy.context.scene.collection, "Scan", "x")
    grey = np.full((3, 3), 128, np.uint8)
    for _ in scan.fill(made.data, scan.topology(positions, np.array([[0, 1, 2]], np.int32), grey)):
        pass
    return own


def test_location_is_kept_in_the_captures_world(prepared):
    scene_from_world = Matrix.Translation((1, 2, 3)) @ Matrix.Rotation(0.7, 4, "X") @ Matrix.Scale(0.5, 4)
    prepared.scene_from_world = [value for row in scene_from_world for value in row]
    moved = Matrix.Translation((5, 0, 0)) @ Matrix.Rotation(1.1, 4, "Z")
    made = scan.find_scan(bpy.context.scene, "x")
    made.matrix_world = moved
    bpy.context.view_layer.update()
    location = (0.3, 0.4, 0.5)
    ops.add_mark(label=1, location=location)
    stored = prepared.marks[0].points[0].co
    assert np.allclose(moved @ scene_from_world @ Vector(stored), location, atol=1e-5)
    assert (prepared.marks[0].label, prepared.marks[0].sign, prepared.marks[0].frame) == (1, 1, "")


def test_pixel_is_kept_as_it_is(prepared):
    ops.add_mark(label=1, sign=-1, frame="000012", u=17.25, v=3.5)
    mark = prepared.marks[0]
    assert (mark.frame, mark.u, mark.v, mark.sign, len(mark.points)) == ("000012", 17.25, 3.5, -1, 0)


def test_active_label_is_the_default_and_may_be_a_group(prepared):
    ops.add_mark(location=(0, 0, 0))
    ops.choose_label(uid=1)
    ops.add_mark(location=(0, 0, 0))
    assert [mark.label for mark in prepared.marks] == [2, 1]


def test_mark_without_a_place_is_refused(prepared):
    with pytest.raises(RuntimeError, match="needs a location, or a keyframe"):
        ops.add_mark(label=1)
    with pytest.raises(RuntimeError, match="no label with the id 9"):
        ops.add_mark(label=9, location=(0, 0, 0))
    assert not len(prepared.marks)


def test_ids_are_never_used_again(prepared):
    for _ in range(3):
        ops.add_mark(label=1, location=(0, 0, 0))
    ops.remove_mark()
    ops.remove_mark(uid=1)
    ops.add_mark(label=1, location=(0, 0, 0))
    assert [mark.uid for mark in prepared.marks] == [2, 4]
    with pytest.raises(RuntimeError, match="no mark with the id 77"):
        ops.remove_mark(uid=77)


def test_marks_of_one_label_or_all_are_cleared(prepared):
    ops.add_label(name="floor")
    ops.add_mark(label=1, location=(0, 0, 0))
    ops.add_mark(label=3, location=(0, 0, 0))
    ops.clear_marks(label=1)
    assert [mark.label for mark in prepared.marks] == [3]
    ops.clear_marks()
    assert not len(prepared.marks)
    assert not ops.clear_marks.poll()


def test_no_capture_no_marks(own):
    ops.add_label(name="a")
    assert not ops.add_mark.poll()
