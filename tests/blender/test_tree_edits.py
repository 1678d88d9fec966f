"""Reshaping the label tree: in, out, duplicate, merge, split, remove; what becomes of marks; undo of all of it."""

import bpy
import pytest
from bl_ext.dev.clickfield.blender_addon.document import labels as documents
from bl_ext.dev.clickfield.blender_addon.document import tree

ops = bpy.ops.clickfield


def shape(own):
    """``name``, indented by two spaces a level."""
    depth = dict(tree.depth_first(own.labels))
    return ["  " * depth[label.uid] + label.name for label in own.labels]


def uid(own, name):
    return next(label.uid for label in own.labels if label.name == name)


def active(own):
    return own.labels[own.active_label].name


def digest():
    return documents.digest(documents.build(bpy.context.scene.clickfield, 0))


@pytest.fixture
def room(own):
    """Structure (wall), furniture (chair, table (leg)), with marks on furniture, chair (both signs), leg."""
    own.capture_id = "x"
    ops.add_label(name="structure", kind="group")
    ops.add_label(name="furniture", kind="group")
    for name, parent in (("wall", "structure"), ("chair", "furniture"), ("table", "furniture"), ("leg", "table")):
        ops.add_label(name=name, parent=uid(own, parent))
    for name, sign in (("furniture", 1), ("chair", 1), ("chair", -1), ("leg", 1)):
        ops.add_mark(label=uid(own, name), sign=sign, location=(sign, 0, 0))
    return own


WHOLE = ["structure", "  wall", "furniture", "  chair", "  table", "    leg"]


def marks(own):
    names = {label.uid: label.name for label in own.labels}
    return [(names[mark.label], mark.sign) for mark in own.marks]


def test_new_labels_stand_beside_or_below_the_active_one(room):
    assert shape(room) == WHOLE
    ops.choose_label(uid=uid(room, "chair"))
    ops.add_label(name="stool", place="SIBLING")
    ops.add_label(name="seat", place="CHILD")
    assert shape(room) == [*WHOLE[:4], "  stool", "    seat", *WHOLE[4:]]
    assert active(room) == "seat"


def test_in_and_out(room):
    table = uid(room, "table")
    ops.shift_label(uid=table, direction="IN")
    assert shape(room) == ["structure", "  wall", "furniture", "  chair", "    table", "      leg"]
    ops.shift_label(uid=table, direction="OUT")
    assert shape(room) == WHOLE and active(room) == "table"
    ops.shift_label(uid=uid(room, "chair"), direction="OUT")
    assert shape(room) == ["structure", "  wall", "furniture", "  table", "    leg", "chair"]
    for name, direction in (("structure", "OUT"), ("structure", "IN"), ("structure", "UP"), ("chair", "DOWN")):
        assert ops.shift_label(uid=uid(room, name), direction=direction) == {"CANCELLED"}


def test_marks_stay_with_labels_that_move(room):
    before = marks(room)
    ops.move_label(uid=uid(room, "table"), parent=uid(room, "structure"))
    assert shape(room) == ["structure", "  wall", "  table", "    leg", "furniture", "  chair"]
    ops.search_move_label(uid=uid(room, "leg"), target="0")
    assert shape(room)[-1] == "leg" and marks(room) == before


def test_search_offers_no_place_below_itself(room):
    with pytest.raises(TypeError, match="enum"):
        ops.search_move_label(uid=uid(room, "furniture"), target=str(uid(room, "leg")))


def test_duplicate_copies_what_is_below_without_marks(room):
    ops.duplicate_label(uid=uid(room, "table"))
    assert shape(room) == [*WHOLE, "  table 2", "    leg 2"]
    assert active(room) == "table 2" and len(room.marks) == 4
    copy, original = room.labels[-2], room.labels[-4]
    assert (copy.kind, copy.thing) == (original.kind, original.thing)
    assert tuple(copy.color) != tuple(original.color)


def test_merging_gives_marks_and_children_to_the_one_that_stays(room):
    gone, kept = uid(room, "table"), uid(room, "chair")
    room.isolated = gone
    ops.merge_labels(uid=gone, into=kept)
    assert shape(room) == ["structure", "  wall", "furniture", "  chair", "    leg"]
    assert marks(room) == [("furniture", 1), ("chair", 1), ("chair", -1), ("leg", 1)] and room.isolated == kept
    ops.merge_labels(uid=uid(room, "leg"), into=kept)
    assert marks(room) == [("furniture", 1), ("chair", 1), ("chair", -1), ("chair", 1)]
    assert active(room) == "chair"


def test_either_of_the_two_can_stay(room):
    chair, table = uid(room, "chair"), uid(room, "table")
    ops.merge_labels(uid=chair, other=str(table), keep="THIS")
    assert "  chair" in shape(room) and "  table" not in shape(room)
    with pytest.raises(RuntimeError, match="cannot be merged with itself"):
        ops.merge_labels(uid=chair, into=chair)
    with pytest.raises(RuntimeError, match="no label with the id 99"):
        ops.merge_labels(uid=chair, into=99)


def test_merging_into_what_is_below_makes_no_circle(room):
    ops.merge_labels(uid=uid(room, "furniture"), into=uid(room, "leg"))
    assert shape(room) == ["structure", "  wall", "leg", "  chair", "  table"]
    assert marks(room)[0] == ("leg", 1)


def test_split_keeps_the_marks_where_they_are(room):
    chair = uid(room, "chair")
    before = marks(room)
    ops.split_label(uid=chair, names="seat, back ,, legs")
    assert shape(room) == [*WHOLE[:4], "    seat", "    back", "    legs", *WHOLE[4:]]
    assert marks(room) == before and active(room) == "seat"
    ops.split_label(uid=uid(room, "back"), count=3, names="slats")
    assert shape(room)[6:9] == ["      slats", "      back 2", "      back 3"]
    document = documents.build(bpy.context.scene.clickfield, 0)
    assert [mark["label"] for mark in document["marks"]].count(chair) == 2
    assert len({tuple(node["color"]) for node in document["tree"]}) == len(document["tree"])


def test_removing_can_take_all_below_along(room):
    ops.remove_label(uid=uid(room, "furniture"), children="ALONG")
    assert shape(room) == ["structure", "  wall"] and not len(room.marks)


def test_removing_can_move_up_what_is_below(room):
    ops.remove_label(uid=uid(room, "furniture"))
    assert shape(room) == ["structure", "  wall", "chair", "table", "  leg"]
    assert marks(room) == [("chair", 1), ("chair", -1), ("leg", 1)]


def test_a_tree_has_a_deepest_level(own):
    ops.add_label(name="0")
    for number in range(1, tree.MAX_DEPTH):
        ops.add_label(name=str(number), place="CHILD")
    with pytest.raises(RuntimeError, match="at most 32 levels"):
        ops.add_label(name="more", place="CHILD")
    ops.add_label(name="other")
    with pytest.raises(RuntimeError, match="at most 32 levels"):
        ops.move_label(uid=1, parent=uid(own, "other"))


def test_uids_come_to_an_end_with_a_sentence(own):
    ops.add_label(name="a")
    own.next_uid = 65_535
    ops.split_label.poll()
    with pytest.raises(RuntimeError, match="as many labels as there can be"):
        ops.split_label(uid=1)
    assert len(own.labels) == 1


EDITS = {
    "add beside": lambda own: ops.add_label(name="new", place="SIBLING"),
    "add below": lambda own: ops.add_label(name="new", place="CHILD"),
    "rename": lambda own: ops.rename_label(uid=uid(own, "chair"), name="Stuhl"),
    "color": lambda own: ops.color_label(uid=uid(own, "chair"), color=(0.1, 0.2, 0.3)),
    "duplicate": lambda own: ops.duplicate_label(uid=uid(own, "furniture")),
    "up": lambda own: ops.shift_label(uid=uid(own, "table"), direction="UP"),
    "in": lambda own: ops.shift_label(uid=uid(own, "table"), direction="IN"),
    "out": lambda own: ops.shift_label(uid=uid(own, "leg"), direction="OUT"),
    "move": lambda own: ops.move_label(uid=uid(own, "chair"), parent=uid(own, "wall")),
    "merge": lambda own: ops.merge_labels(uid=uid(own, "chair"), into=uid(own, "wall")),
    "split": lambda own: ops.split_label(uid=uid(own, "chair")),
    "remove": lambda own: ops.remove_label(uid=uid(own, "furniture"), children="ALONG"),
    "append preset": lambda own: ops.apply_tree_preset(preset="nyu-13"),
    "replace by preset": lambda own: ops.apply_tree_preset(preset="scannet-20", mode="REPLACE"),
}


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_can_be_undone_and_done_again(room, name):
    bpy.ops.ed.undo_push(message="start")
    before, revision = digest(), room.revision
    assert EDITS[name](room) == {"FINISHED"}
    bpy.ops.ed.undo_push(message=name)
    after = digest()
    assert after != before and room.revision > revision
    bpy.ops.ed.undo()
    assert digest() == before
    bpy.ops.ed.redo()
    assert digest() == after


def test_choosing_opens_what_hides_the_label(room):
    ops.expand_label(uid=uid(room, "furniture"), expand=False)
    ops.expand_label(uid=uid(room, "table"), expand=False)
    ops.choose_label(uid=uid(room, "leg"))
    assert all(label.expanded for label in room.labels)


def test_without_labels_there_is_nothing_to_edit(own):
    for name in ("rename", "color", "duplicate", "split", "remove", "shift", "move", "choose", "search_move"):
        assert not getattr(ops, f"{name}_label").poll()
    assert not ops.merge_labels.poll() and not ops.export_label_tree.poll() and not ops.select_label_surface.poll()
    ops.add_label(name="only")
    assert not ops.merge_labels.poll() and ops.remove_label.poll()
