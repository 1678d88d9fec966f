"""Presets of label trees, and trees in files: what is taken over, what happens to marks, what is refused."""

import json

import bpy
import pytest
from bl_ext.dev.clickfield.blender_addon.document import tree, tree_files

ops = bpy.ops.clickfield
NYU_13 = ["Bed", "Books", "Ceiling", "Chair", "Floor", "Furniture", "Objects", "Picture", "Sofa"]
NYU_13 += ["Table", "TV", "Wall", "Window"]


def names(own):
    return [label.name for label in own.labels]


def marked(own, *labels):
    """Add labels, and a mark for each."""
    own.capture_id = "x"
    for name in labels:
        ops.add_label(name=name)
        ops.add_mark(location=(0, 0, 0))


@pytest.mark.parametrize(("preset", "classes"), [("nyu-13", 13), ("nyu-40", 40), ("scannet-20", 20), ("empty", 0)])
def test_presets_are_valid_and_have_their_classes(own, preset, classes):
    nodes = tree_files.load_preset(preset)
    found = [node for node in nodes if node["kind"] == "class"]
    assert len(found) == classes and len({node["name"] for node in nodes}) == len(nodes)
    assert len({tuple(node["color"]) for node in found}) == len(found)
    parents = {node["parent"] for node in nodes}
    assert all((node["uid"] in parents) == (node["kind"] == "group") for node in nodes)
    assert ops.apply_tree_preset(preset=preset) == {"FINISHED"}
    assert names(own) == [node["name"] for node in nodes]
    if classes:
        assert own.labels[own.active_label].kind == "class"


def test_the_thirteen_classes_are_those_of_the_data_set():
    assert sorted(n["name"] for n in tree_files.load_preset("nyu-13") if n["kind"] == "class") == sorted(NYU_13)


def test_appending_adds_what_is_missing(own):
    marked(own, "chair", "robot")
    ops.apply_tree_preset(preset="nyu-13")
    assert names(own)[:2] == ["chair", "robot"] and len(own.labels) == 2 + 15
    assert [mark.label for mark in own.marks] == [1, 2]
    ops.apply_tree_preset(preset="nyu-13")
    assert len(own.labels) == 17


def test_appending_puts_labels_below_a_group_that_is_there(own):
    ops.add_label(name="Structure", kind="group")
    ops.apply_tree_preset(preset="nyu-13")
    assert next(label.parent for label in own.labels if label.name == "Ceiling") == 1


def test_replacing_keeps_labels_of_the_same_name_with_their_marks(own):
    marked(own, "chair", "robot")
    own.labels[0].expanded = False
    ops.apply_tree_preset(preset="nyu-13", mode="REPLACE")
    assert len(own.labels) == 16 and "robot" not in names(own)
    assert [mark.label for mark in own.marks] == [1]
    chair = next(label for label in own.labels if label.uid == 1)
    assert chair.name == "Chair" and chair.parent and not chair.expanded


def test_the_empty_preset_removes_all(own):
    marked(own, "a", "b")
    ops.apply_tree_preset(preset="empty", mode="REPLACE")
    assert not len(own.labels) and not len(own.marks)
    ops.add_label(name="c")
    assert own.labels[0].uid == 3


def test_a_tree_file_brings_the_tree_back_and_leaves_marks_alone(own, tmp_path):
    marked(own, "a", "b")
    ops.move_label(uid=2, parent=1)
    path = tmp_path / "ünï tree.json"
    ops.export_label_tree(filepath=str(path))
    assert json.loads(path.read_text(encoding="utf-8"))["marks"] == []
    ops.add_label(name="c")
    ops.add_mark(location=(0, 0, 0))
    ops.rename_label(uid=2, name="other")
    ops.move_label(uid=2, parent=3)
    ops.import_label_tree(filepath=str(path), mode="REPLACE")
    assert [(label.uid, label.name, label.parent) for label in own.labels] == [(1, "a", 0), (2, "b", 1)]
    assert [mark.label for mark in own.marks] == [1, 2]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_tree_file_can_be_appended(own, tmp_path):
    path = tmp_path / "tree.json"
    path.write_text(json.dumps({"tree": [{"uid": 1, "name": "A"}, {"uid": 7, "name": "new", "parent": 1}]}))
    ops.add_label(name="x")
    ops.add_label(name="a")
    ops.import_label_tree(filepath=str(path), mode="APPEND")
    assert [(label.uid, label.name, label.parent) for label in own.labels] == [(1, "x", 0), (2, "a", 0), (3, "new", 2)]


def chain(length):
    return {"tree": [{"uid": uid, "name": str(uid), "parent": uid - 1} for uid in range(1, length + 1)]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("rubbish", "is not a label document, because it is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ({"tree": 3}, "no list called 'tree'"),
        ({"tree": [{"uid": 1, "name": "a", "parent": 1}]}, "its own ancestor"),
        ({"tree": [{"uid": 1, "name": "a"}, {"uid": 1, "name": "b"}]}, "same uid"),
        ({"tree": [{"uid": 1, "name": "a", "parent": 9}]}, "not in the tree"),
        ({"tree": [{"uid": 10**9, "name": "a"}]}, "no uid between"),
        ({"tree": [{"uid": 1, "name": "a\nb"}]}, "no name of 1 to 256 letters on one line"),
        ({"tree": [{"uid": 1, "name": "\ud800"}]}, "no name of 1 to 256 letters on one line"),
        ({"tree": [{"uid": 1, "name": "  "}]}, "a name that cannot be shown"),
        ({"tree": [{"uid": 1, "name": "a", "color": [0, "x", 0]}]}, "a colour"),
        ({"tree": [{"uid": 1, "name": "a"}], "marks": [{"label": 5}]}, "a label that is not in the tree"),
        (chain(tree.MAX_DEPTH + 1), "more than 32 levels"),
        (chain(5000), "4096 is the most"),
    ],
)
def test_hostile_files_are_refused_in_one_sentence(own, tmp_path, content, sentence):
    marked(own, "mine")
    path = tmp_path / "tree.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(RuntimeError, match=sentence):
        ops.import_label_tree(filepath=str(path), mode="REPLACE")
    assert names(own) == ["mine"] and len(own.marks) == 1


def test_appending_below_the_deepest_level_is_refused(own, tmp_path):
    ops.add_label(name="1")
    for uid in range(2, tree.MAX_DEPTH + 1):
        ops.add_label(name=str(uid), place="CHILD")
    path = tmp_path / "tree.json"
    path.write_text(json.dumps({"tree": [{"uid": 1, "name": "32"}, {"uid": 2, "name": "b", "parent": 1}]}))
    with pytest.raises(RuntimeError, match="at most 32 levels"):
        ops.import_label_tree(filepath=str(path), mode="APPEND")


def test_a_file_that_cannot_be_written_is_told(own, tmp_path):
    ops.add_label(name="a")
    with pytest.raises(RuntimeError, match="could not be written"):
        ops.export_label_tree(filepath=str(tmp_path / "gone" / "tree.json"))
