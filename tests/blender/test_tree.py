"""The label tree: edits, order, undo. No capture and no backend is needed for it."""

import bpy
import pytest
from bl_ext.dev.clickfield.blender_addon.document import labels as documents

ops = bpy.ops.clickfield


def rows(own):
    return [(label.name, label.uid, label.parent) for label in own.labels]


def add(*names, **options):
    for name in names:
        ops.add_label(name=name, **options)


def test_new_labels_get_uids_distinct_colours_and_are_chosen(own):
    add("wall", "floor", "sofa")
    assert rows(own) == [("wall", 1, 0), ("floor", 2, 0), ("sofa", 3, 0)]
    assert own.active_label == 2
    colors = [tuple(label.color) for label in own.labels]
    assert len(set(colors)) == 3


def test_equal_names_are_numbered(own):
    add("chair", "chair", "  ")
    assert [label.name for label in own.labels] == ["chair", "chair 2", "Label"]


def test_children_stand_below_their_parents(own):
    add("furniture", kind="group")
    add("wall")
    add("chair", parent=1)
    add("seat", place="CHILD")
    assert rows(own) == [("furniture", 1, 0), ("chair", 3, 1), ("seat", 4, 3), ("wall", 2, 0)]
    assert own.labels[own.active_label].name == "seat"


def test_removing_keeps_children_and_drops_marks(own):
    own.capture_id = "x"
    add("furniture", "wall")
    add("chair", parent=1)
    ops.add_mark(label=1, frame="0", u=1, v=1)
    ops.add_mark(label=3, frame="0", u=2, v=1)
    ops.remove_label(uid=1)
    assert rows(own) == [("wall", 2, 0), ("chair", 3, 0)] or rows(own) == [("chair", 3, 0), ("wall", 2, 0)]
    assert [mark.label for mark in own.marks] == [3]
    add("new")
    assert own.labels[own.active_label].uid == 4


def test_moving_below_itself_is_refused(own):
    add("a")
    add("b", parent=1)
    with pytest.raises(RuntimeError, match="cannot be put below itself"):
        ops.move_label(uid=1, parent=2)
    with pytest.raises(RuntimeError, match="no label with the id 77"):
        ops.move_label(uid=1, parent=77)
    ops.move_label(uid=2, parent=0)
    assert rows(own) == [("a", 1, 0), ("b", 2, 0)]


def test_shift_moves_a_label_with_its_children(own):
    add("a", "b")
    add("b child", parent=2)
    add("c")
    ops.shift_label(uid=2, direction="UP")
    assert [label.name for label in own.labels] == ["b", "b child", "a", "c"]
    ops.shift_label(uid=4, direction="DOWN")
    assert [label.name for label in own.labels] == ["b", "b child", "a", "c"]


def test_every_edit_is_a_new_revision_and_undo_gives_the_document_back(own):
    def digest():
        return documents.digest(documents.build(bpy.context.scene.clickfield, 0))

    bpy.ops.ed.undo_push(message="start")
    add("wall", "sofa")
    before, seen = digest(), own.revision
    for edit in (
        lambda: ops.rename_label(uid=1, name="Wand"),
        lambda: ops.color_label(uid=1, color=(0.1, 0.2, 0.3)),
        lambda: ops.move_label(uid=2, parent=1),
        lambda: ops.remove_label(uid=2),
    ):
        bpy.ops.ed.undo_push(message="before")
        edit()
        bpy.ops.ed.undo_push(message="edit")
        changed = digest()
        assert own.revision > seen and changed != before
        bpy.ops.ed.undo()
        assert digest() == before
        bpy.ops.ed.redo()
        assert digest() == changed
        bpy.ops.ed.undo()


def test_editing_in_the_list_counts(own):
    add("wall")
    seen = own.revision
    own.labels[0].name = "Wand"
    own.labels[0].color = (1, 0, 0)
    own.labels[0].thing = False
    assert own.revision == seen + 3


def test_choosing_is_not_an_edit(own):
    add("a", "b")
    seen = own.revision
    ops.choose_label(uid=1)
    assert own.active_label == 0 and own.revision == seen


def test_document_file_replaces_the_tree(own, tmp_path):
    own.capture_id = "x"
    add("a", "b")
    ops.add_mark(label=1, frame="000001", u=3.25, v=4)
    ops.add_mark(label=2, location=(1, 2, 3), sign=-1)
    before = documents.build(bpy.context.scene.clickfield, 0)
    path = tmp_path / "labels.json"
    ops.save_labels(filepath=str(path))
    ops.remove_label(uid=1)
    ops.load_labels(filepath=str(path))
    after = documents.build(bpy.context.scene.clickfield, 0)
    assert after["marks"] == before["marks"]
    assert [node["name"] for node in after["tree"]] == ["a", "b"]
    ops.add_mark(label=1, frame="000001", u=0, v=0)
    assert own.marks[2].uid == 3
    path.write_text("rubbish")
    with pytest.raises(RuntimeError, match="not a label document"):
        ops.load_labels(filepath=str(path))
    assert len(own.marks) == 3


def test_tree_and_marks_survive_saving(own, tmp_path):
    own.capture_id = "x"
    own.capture_path = str(tmp_path / "gone")
    add("a", "b")
    ops.add_mark(label=2, location=(1, 2, 3))
    before = documents.digest(documents.build(bpy.context.scene.clickfield, 0))
    path = str(tmp_path / "ünï scene.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert not len(own.labels)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert documents.digest(documents.build(bpy.context.scene.clickfield, 0)) == before
