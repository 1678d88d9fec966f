"""The list of labels: what its rows say, which rows are shown, how quickly; selecting a label's surface."""

import sys
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import objects, scan
from bl_ext.dev.clickfield.blender_addon.ui import label_keys, label_list

sys.path.append(str(Path(__file__).parent))
from separated_room import CAPTURE, build, room

ops = bpy.ops.clickfield


@pytest.fixture
def tree(own):
    """furniture (chair (seat), sofa), wall."""
    own.capture_id = "x"
    for name, parent in (("furniture", 0), ("chair", 1), ("seat", 2), ("sofa", 1), ("wall", 0)):
        ops.add_label(name=name, parent=parent)
    return own


def facts():
    return label_list.list_facts(bpy.context.scene)


def shown(own, *searched):
    rows = label_list.rows_shown(bpy.context.scene, *searched)
    return [label.name for label, row in zip(own.labels, rows, strict=True) if row]


def set_share(uid, value):
    shares = bpy.context.window_manager.clickfield.shares
    share = shares.get(str(uid)) or shares.add()
    share.name, share.value = str(uid), value


def test_facts_count_marks_and_add_up_shares(tree):
    shares = bpy.context.window_manager.clickfield.shares
    shares.clear()
    for uid, sign in ((3, 1), (2, -1), (5, -1)):
        ops.add_mark(label=uid, sign=sign, location=(0, 0, 0))
    set_share(2, 0.25)
    set_share(3, 0.5)
    found = facts()
    assert {uid: fact.depth for uid, fact in found.items()} == {1: 0, 2: 1, 3: 2, 4: 1, 5: 0}
    assert [uid for uid, fact in found.items() if fact.parent] == [1, 2]
    assert {uid: fact.marks for uid, fact in found.items()} == {1: 0, 2: 1, 3: 1, 4: 0, 5: 1}
    assert {uid: fact.share for uid, fact in found.items()} == {1: 0.75, 2: 0.75, 3: 0.5, 4: 0.0, 5: 0.0}
    assert [uid for uid, fact in found.items() if fact.taught] == [1, 2, 3]
    tree.marks[0].muted = True
    assert not any(fact.taught for fact in facts().values())
    set_share(3, 0.1)
    assert facts()[1].share == pytest.approx(0.35)
    shares.clear()
    assert facts()[1].share == 0.0


def test_facts_follow_undo_to_another_state_of_the_same_revision(tree):
    bpy.ops.ed.undo_push(message="start")
    ops.rename_label(uid=5, name="floor")
    bpy.ops.ed.undo_push(message="one")
    assert shown(tree, "floor") == ["floor"]
    bpy.ops.ed.undo()
    ops.rename_label(uid=5, name="ceiling")
    assert shown(tree, "ceiling") == ["ceiling"] and shown(tree, "floor") == []


def test_closed_rows_hide_what_is_below_them(tree):
    assert shown(tree) == ["furniture", "chair", "seat", "sofa", "wall"]
    ops.expand_label(uid=2, expand=False)
    assert shown(tree) == ["furniture", "chair", "sofa", "wall"]
    ops.expand_label(uid=1, expand=False)
    assert shown(tree) == ["furniture", "wall"]
    ops.expand_label(uid=1, expand=True)
    assert shown(tree) == ["furniture", "chair", "sofa", "wall"]
    ops.expand_label(uid=0, expand=False)
    assert shown(tree) == ["furniture", "wall"]
    ops.expand_label(uid=1, expand=True, deep=True)
    assert len(shown(tree)) == 5


def test_search_keeps_what_is_above_and_looks_into_closed_rows(tree):
    ops.expand_label(uid=0, expand=False)
    assert shown(tree, "SEA") == ["furniture", "chair", "seat"]
    assert shown(tree, "a") == ["furniture", "chair", "seat", "sofa", "wall"]
    assert shown(tree, "a", "so") == ["furniture", "sofa"]
    assert shown(tree, "nothing of it") == []


def test_the_lists_own_filter_gives_flags(tree):
    """The function that Blender calls, on the registered class."""

    class Probe:
        filter_name, bitflag_filter_item = "sofa", 1 << 30

    asked = label_list.CLICKFIELD_UL_labels.filter_items
    flags, order = asked(Probe(), bpy.context, bpy.context.scene.clickfield, "labels")
    assert flags == [1 << 30, 0, 0, 1 << 30, 0] and order == []
    Probe.filter_name = ""
    assert asked(Probe(), bpy.context, bpy.context.scene.clickfield, "labels") == ([], [])


def test_undo_leaves_open_what_is_open(tree):
    bpy.ops.ed.undo_push(message="start")
    ops.rename_label(uid=5, name="floor")
    bpy.ops.ed.undo_push(message="rename")
    ops.expand_label(uid=2, expand=False)
    bpy.ops.ed.undo()
    assert tree.labels[4].name == "wall" and "seat" not in shown(tree)


def test_choosing_a_row_chooses_the_label(tree):
    tree.label_row = 3
    assert tree.active_label == 3 and tree.label_row == 3
    ops.add_mark(location=(0, 0, 0))
    assert tree.marks[0].label == tree.labels[3].uid


def test_three_hundred_labels_are_listed_quickly(own):
    own.capture_id = "x"
    for number in range(1, 301):
        label = own.labels.add()
        label.uid, label.parent = number, (0, number - 1, number - 1)[(number - 1) % 3]  # three levels
        label.name = f"label {number}"
        set_share(number, 1 / 300)
    for number in range(500):
        mark = own.marks.add()
        mark.uid, mark.label, mark.sign = number + 1, number % 300 + 1, 1
    best = 1.0
    for turn in range(5):
        own.labels[300 - 3 * turn - 3].expanded = False
        began = time.perf_counter()
        assert len(label_list.rows_shown(bpy.context.scene, "label")) == 300
        label_list.rows_shown(bpy.context.scene)
        best = min(best, time.perf_counter() - began)
    assert best < 0.01
    bpy.context.window_manager.clickfield.shares.clear()


def selected(body):
    chosen = np.empty(len(body.data.vertices), bool)
    body.data.vertices.foreach_get("select", chosen)
    return chosen


def test_surface_of_a_label_is_selected_with_all_below(own):
    scene = room()
    body = scan.find_scan(scene, CAPTURE)
    labels, _ = scan.read_labels(body.data)
    ops.select_label_surface(uid=3)
    assert np.array_equal(selected(body), labels == 4) and body.select_get()
    chosen = np.empty(len(body.data.polygons), bool)
    body.data.polygons.foreach_get("select", chosen)
    assert np.array_equal(chosen, (labels[scan.read_faces(body.data)] == 4).all(axis=1))
    ops.select_label_surface(uid=2)
    assert np.array_equal(selected(body), labels == 2)
    ops.select_label_surface(uid=4, extend=True)
    assert selected(body).all()


def test_objects_of_a_label_are_selected_too(own):
    scene = room()
    build(scene)
    scan.find_scan(scene, CAPTURE).hide_viewport = True
    bpy.context.view_layer.update()
    ops.select_label_surface(uid=3)
    assert {one.name for one in bpy.context.selected_objects} == {"Chair", "Chair.001"}
    ops.select_label_surface(uid=2)
    assert [one.name for one in bpy.context.selected_objects] == ["Boden"]
    assert len(objects.separated_objects(scene, CAPTURE)) == 3


def test_surface_is_selected_in_edit_mode(own):
    scene = room()
    body = scan.find_scan(scene, CAPTURE)
    bpy.context.view_layer.objects.active = body
    bpy.ops.object.mode_set(mode="EDIT")
    ops.select_label_surface(uid=2)
    bpy.ops.object.mode_set(mode="OBJECT")
    labels, _ = scan.read_labels(body.data)
    assert np.array_equal(selected(body), labels == 2)


def test_a_label_without_a_surface_is_told(tree, capfd):
    assert ops.select_label_surface(uid=1) == {"FINISHED"}
    assert "Nothing of the surface is furniture yet" in capfd.readouterr().out


def test_every_key_names_an_action_that_is_there():
    actions = {item.identifier for item in ops.label_key.get_rna_type().properties["action"].enum_items}
    assert {entry[0] for entry in label_keys.TREE_KEYMAP} == actions
    keys = [entry[1:] for entry in label_keys.TREE_KEYMAP]
    assert len(set(keys)) == len(keys)
    assert not ops.label_key.poll()
