"""Collections follow the label tree after objects exist: names, colours, places, merging, removing; never by name."""

import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import collections, objects, scan

sys.path.append(str(Path(__file__).parent))
from separated_room import CAPTURE, build, room

ops = bpy.ops.clickfield


@pytest.fixture
def built(own):
    """Struktur (Boden), Möbel (Chair twice) as collections with objects; a user's collection among them."""
    scene = room()
    scene.clickfield.next_uid = 5
    build(scene)
    mine = bpy.data.collections.new("mine")
    folder("Chair").children.link(mine)
    mine.objects.link(bpy.data.objects.new("my light", None))
    return own


def root():
    return objects.results_collection(bpy.context.scene, CAPTURE)


def folder(name):
    return next(one for one in root().children_recursive if one.name == name)


def tree_of(collection):
    return {
        **{item.name: item.clickfield.label for item in collection.objects},
        **{child.name: tree_of(child) for child in collection.children},
    }


CHAIRS = {"Chair": 4, "Chair.001": 4, "mine": {"my light": 0}}
WHOLE = {"Struktur": {"Boden": {"Boden": 2}}, "Möbel: alt/neu": {"Chair": CHAIRS}}


def test_renaming_and_recolouring_change_the_collection(built):
    assert tree_of(root()) == WHOLE
    ops.rename_label(uid=4, name="Stuhl")
    assert tree_of(root())["Möbel: alt/neu"] == {"Stuhl": CHAIRS}
    built.labels[3].name = "Sessel"  # in place, in the list
    ops.color_label(uid=4, color=(0.9, 0.1, 0.1))
    assert folder("Sessel").color_tag == "COLOR_01"
    ops.color_label(uid=4, color=(0.5, 0.5, 0.5))
    assert folder("Sessel").color_tag == "NONE"


COLORS = ((0.9, 0.2, 0.2), (0.95, 0.6, 0.2), (0.9, 0.85, 0.2), (0.2, 0.8, 0.3), (0.2, 0.6, 0.9), (0.5, 0.3, 0.9))
COLORS += ((0.85, 0.3, 0.75), (0.5, 0.32, 0.2))


@pytest.mark.parametrize(("tag", "color"), list(enumerate(COLORS, 1)))
def test_the_nearest_of_blenders_collection_colours_is_taken(tag, color):
    assert collections.color_tag(color) == f"COLOR_0{tag}"


def test_a_moved_label_takes_its_collection_along(built):
    ops.move_label(uid=4, parent=2)
    assert tree_of(root()) == {"Struktur": {"Boden": {"Boden": 2, "Chair": CHAIRS}}}
    ops.shift_label(uid=4, direction="OUT")
    assert tree_of(root()) == {"Struktur": {"Boden": {"Boden": 2}, "Chair": CHAIRS}}
    ops.move_label(uid=4, parent=3)
    assert tree_of(root()) == WHOLE


def test_collections_stand_in_the_order_of_the_tree(built):
    ops.shift_label(uid=3, direction="UP")
    assert [one.name for one in root().children] == ["Möbel: alt/neu", "Struktur"]


def test_merging_labels_merges_their_collections_and_objects(built):
    ops.merge_labels(uid=2, into=4)
    assert tree_of(root()) == {
        "Möbel: alt/neu": {"Chair": {"Chair": 4, "Chair.001": 4, "Boden": 4, "mine": {"my light": 0}}}
    }
    items = objects.separated_objects(bpy.context.scene, CAPTURE)
    assert sorted(item.clickfield.instance for item in items) == [1, 2, 3]
    labels, confidence = scan.read_labels(bpy.data.objects["Boden"].data)
    assert (labels == 4).all() and (confidence == 204).all()


def test_removing_a_label_hands_its_things_to_the_parent(built):
    ops.remove_label(uid=4)
    assert tree_of(root())["Möbel: alt/neu"] == {"Chair": 3, "Chair.001": 3, "mine": {"my light": 0}}
    ops.remove_label(uid=3)
    assert tree_of(root()) == {
        "Struktur": {"Boden": {"Boden": 2}},
        "Chair": 0,
        "Chair.001": 0,
        "mine": {"my light": 0},
    }


def test_removing_a_branch_leaves_its_objects_above(built):
    ops.remove_label(uid=3, children="ALONG")
    assert tree_of(root())["Chair"] == 0 and tree_of(root())["mine"] == {"my light": 0}


def test_an_object_that_was_moved_away_changes_its_label_but_not_its_place(built):
    chair = bpy.data.objects["Chair"]
    folder("Chair").objects.unlink(chair)
    bpy.context.scene.collection.objects.link(chair)
    ops.merge_labels(uid=4, into=2)
    assert chair.users_collection == (bpy.context.scene.collection,) and chair.clickfield.label == 2


def test_collections_of_that_name_that_are_not_ours_stay(built):
    other = bpy.data.collections.new("Stuhl")
    bpy.context.scene.collection.children.link(other)
    ops.rename_label(uid=4, name="Stuhl")
    assert folder("Stuhl.001")["clickfield_label"] == 4 and "clickfield_label" not in other
    seen = folder("Stuhl.001").session_uid
    ops.move_label(uid=4, parent=1)
    assert folder("Stuhl.001").session_uid == seen and other.name == "Stuhl"


def layer_of(name):
    waiting = [bpy.context.view_layer.layer_collection]
    for one in waiting:
        if one.name == name:
            return one
        waiting.extend(one.children)
    raise KeyError(name)


def test_what_is_hidden_in_the_outliner_stays_hidden(built):
    layer_of("Chair").hide_viewport = True
    layer_of("Boden").exclude = True
    ops.move_label(uid=4, parent=1)
    ops.shift_label(uid=3, direction="UP")
    ops.shift_label(uid=2, direction="DOWN")
    assert layer_of("Chair").hide_viewport and layer_of("Boden").exclude and not layer_of("Struktur").exclude


def test_undo_takes_the_collections_back_too(built):
    bpy.ops.ed.undo_push(message="start")
    ops.merge_labels(uid=2, into=4)
    bpy.ops.ed.undo_push(message="merge")
    assert tree_of(root()) != WHOLE
    bpy.ops.ed.undo()
    assert tree_of(root()) == WHOLE
    bpy.ops.ed.redo()
    assert "Struktur" not in tree_of(root())


def test_replacing_the_tree_keeps_every_object(built):
    ops.apply_tree_preset(preset="nyu-13", mode="REPLACE")
    found = tree_of(root())
    assert found["Furnishing"]["Chair"] == CHAIRS and found["Boden"] == 0
    assert len(objects.separated_objects(bpy.context.scene, CAPTURE)) == 3
    build_again = np.unique([one.clickfield.label for one in bpy.context.scene.objects if one.type == "MESH"])
    assert set(build_again) == {0, 4}


def test_without_objects_no_collections_are_made(own):
    own.capture_id = CAPTURE
    before = len(bpy.data.collections)
    ops.apply_tree_preset(preset="nyu-13")
    assert len(bpy.data.collections) == before
