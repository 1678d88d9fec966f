"""The list of marks: choosing, muting, retyping, flipping, deleting, and what the labels become, exactly, against the
real backend."""

import time

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import cameras
from bl_ext.dev.clickfield.blender_addon.ui import mark_list
from real_room import import_room, painted, settled, waited

ops = bpy.ops.clickfield


@pytest.fixture
def marked(small_room, own, live):
    """The room with three labels and four marks, labelled."""
    import_room(small_room, live)
    for name in ("floor", "wall", "box"):
        ops.add_label(name=name)
    ops.add_mark(label=1, location=(-0.4, -0.6, -1.25))
    ops.add_mark(label=2, location=(0.2, 1.6, -0.5))
    ops.add_mark(label=3, location=(1.2, 0.6, -0.6))
    ops.add_mark(label=2, sign=-1, location=(1.2, 0.5, -0.6))
    bpy.ops.ed.undo_push(message="four marks")
    return own


def test_mute_is_as_if_the_mark_were_not_there(marked, live):
    whole = settled(live)
    ops.delete_marks(uid=3)
    without = settled(live)
    assert without != whole
    bpy.ops.ed.undo_push(message="deleted")
    bpy.ops.ed.undo()
    assert [mark.uid for mark in marked.marks] == [1, 2, 3, 4]
    assert settled(live) == whole
    ops.mute_marks(uid=3)
    assert settled(live) == without
    ops.mute_marks(uid=3)
    assert settled(live) == whole


def test_undo_and_redo_of_a_mute_are_exact(marked, live):
    whole = settled(live)
    ops.mute_marks(uid=1)
    bpy.ops.ed.undo_push(message="mute")
    muted = settled(live)
    bpy.ops.ed.undo()
    assert not marked.marks[0].muted and settled(live) == whole
    bpy.ops.ed.redo()
    assert marked.marks[0].muted and settled(live) == muted


def test_retyping_is_as_if_the_other_label_had_been_marked(marked, live):
    ops.retype_marks(uid=2, label=3)
    retyped = settled(live)
    ops.delete_marks(uid=2)
    ops.add_mark(label=3, location=(0.2, 1.6, -0.5))
    marked.marks[-1].uid = 2
    marked.revision += 1
    assert settled(live) == retyped
    with pytest.raises(RuntimeError, match="no label with the id 99"):
        ops.retype_marks(uid=1, label=99)


def test_flipping_twice_changes_nothing(marked, live):
    whole = settled(live)
    ops.flip_marks(uid=2)
    assert marked.marks[1].sign == -1
    assert settled(live) != whole
    ops.flip_marks(uid=2)
    assert settled(live) == whole


def test_many_at_once(marked, live):
    ops.select_marks(action="ALL")
    assert all(mark.selected for mark in marked.marks)
    ops.select_marks(action="LABEL", label=2)
    assert [mark.uid for mark in marked.marks if mark.selected] == [2, 4]
    ops.mute_marks(action="MUTE")
    assert [mark.muted for mark in marked.marks] == [False, True, False, True]
    ops.select_marks(action="INVERT")
    ops.retype_marks(label=1)
    assert [mark.label for mark in marked.marks] == [1, 2, 1, 2]
    ops.delete_marks()
    assert [mark.uid for mark in marked.marks] == [2, 4]
    ops.select_marks(action="NONE")
    marked.active_mark = 1
    ops.delete_marks()
    assert [mark.uid for mark in marked.marks] == [2] and marked.active_mark == 0
    ops.delete_marks()
    assert not len(marked.marks) and not ops.delete_marks.poll()


def test_unknown_mark_is_refused(marked):
    for work in (ops.mute_marks, ops.flip_marks, ops.delete_marks):
        with pytest.raises(RuntimeError, match="not in this scene"):
            work(uid=99)
    assert len(marked.marks) == 4


def test_going_to_a_mark_made_in_a_picture_looks_through_its_camera(marked, live):
    scene = bpy.context.scene
    camera = cameras.capture_cameras(scene, marked.capture_id)[3]
    ops.add_mark(label=1, frame=camera.clickfield.frame, u=10, v=20)
    ops.go_to_mark(uid=5)
    assert scene.camera == camera and marked.active_mark == 4
    ops.go_to_mark(uid=1)
    assert marked.active_mark == 0


def test_effects_come_for_who_looks_at_them(marked, live):
    painted(live)
    findings = live.session().findings
    assert findings.effects == {}
    findings.watch()
    waited(live, lambda: findings.effects)
    assert set(findings.effects) == {1, 2, 3, 4} and max(findings.effects.values()) > 0.02
    ops.delete_marks(uid=4)
    painted(live)
    findings.watch()
    waited(live, lambda: set(findings.effects) == {1, 2, 3})


def test_contradictions_and_startling_marks_are_told(marked, live):
    painted(live)
    findings = live.session().findings
    assert findings.contradictions == [] and findings.warning is None
    ops.add_mark(label=3, location=(-0.4, -0.6, -1.25))
    painted(live)
    assert findings.contradictions == [(5, 1)]
    assert findings.troubled(1) and not findings.troubled(5)
    assert findings.warning["mark"] == 5 and "Mark 5 (box) changes" in findings.warning["sentence"]
    ops.keep_mark(uid=5)
    assert findings.warning is None
    ops.mute_marks(uid=5)
    painted(live)
    ops.mute_marks(uid=5)
    painted(live)
    assert findings.warning is None  # it was meant
    ops.select_marks(action="PROBLEMS")
    assert [mark.uid for mark in marked.marks if mark.selected] == [1]


def test_ten_thousand_marks_are_filtered_at_once(own):
    for name in ("floor", "wall"):
        ops.add_label(name=name)
    for number in range(10_000):
        mark = own.marks.add()
        mark.uid, mark.label, mark.frame = number + 1, 1 + number % 2, f"{number % 50:06d}"
    listed = mark_list.CLICKFIELD_UL_marks
    chooser = type("Chooser", (), {"filter_name": "", "only_active": False, "only_problems": False})()
    chooser.bitflag_filter_item = 1
    group = bpy.context.scene.clickfield
    times = []
    for _ in range(5):
        started = time.perf_counter()
        flags, order = listed.filter_items(chooser, bpy.context, group, "marks")
        times.append(time.perf_counter() - started)
    assert (flags, order) == ([], []) and min(times) < 0.002
    chooser.filter_name = "WALL"
    started = time.perf_counter()
    flags, _ = listed.filter_items(chooser, bpy.context, group, "marks")
    assert time.perf_counter() - started < 0.05
    assert np.array_equal(np.flatnonzero(flags), np.arange(1, 10_000, 2))
    chooser.filter_name = "77"
    assert np.flatnonzero(listed.filter_items(chooser, bpy.context, group, "marks")[0]).tolist() == [76]
    chooser.filter_name, chooser.only_active = "", True
    own.active_label = 0
    assert np.array_equal(
        np.flatnonzero(listed.filter_items(chooser, bpy.context, group, "marks")[0]), np.arange(0, 10_000, 2)
    )
