"""The label document: built from plain data, canonical, and refused with a sentence when it is broken."""

import json
from types import SimpleNamespace as Group

import pytest
from clickfield.blender_addon.document import labels, tree


def scene(**changes):
    wall = Group(uid=1, name="wall", parent=0, kind="class", thing=False, color=(1.0, 0.5, 0.25))
    sofa = Group(uid=7, name="sofa", parent=1, kind="class", thing=True, color=(0.0, 0.0, 1.0))
    place = Group(co=(1.0, 2.0, 3.0))
    in_frame = Group(
        uid=1, label=1, sign=1, frame="000003", u=12.5, v=7.0, points=[], muted=False, local=False, instance=0
    )
    on_surface = Group(
        uid=2, label=7, sign=-1, frame="", u=0.0, v=0.0, points=[place], muted=False, local=False, instance=0
    )
    return Group(
        **({"labels": [wall, sofa], "marks": [in_frame, on_surface], "method": "combined", "schema": 1} | changes)
    )


def test_document_says_what_the_groups_say():
    made = labels.build(scene(), 5)
    assert made["revision"] == 5
    assert made["tree"][1] == {
        "uid": 7,
        "name": "sofa",
        "parent": 1,
        "kind": "class",
        "thing": True,
        "color": [0.0, 0.0, 1.0],
    }
    first, second = made["marks"]
    assert (first["frame"], first["u"], first["v"], first["points"]) == ("000003", 12.5, 7.0, [])
    assert (second["frame"], second["sign"], second["points"]) == (None, -1, [[1.0, 2.0, 3.0]])


def test_digest_depends_on_content_alone():
    first = labels.digest(labels.build(scene(), 1))
    assert first == labels.digest(labels.build(scene(), 99))
    changed = scene()
    changed.marks[0].u = 12.75
    assert first != labels.digest(labels.build(changed, 1))


@pytest.mark.parametrize(("field", "value"), [("muted", True), ("local", True), ("instance", 3)])
def test_digest_depends_on_what_a_mark_says_beside_its_label(field, value):
    changed = scene()
    setattr(changed.marks[1], field, value)
    assert labels.build(changed, 1)["marks"][1][field] == value
    assert labels.digest(labels.build(changed, 1)) != labels.digest(labels.build(scene(), 1))


def test_digest_depends_on_the_method():
    changed = scene(method="marks-only")
    assert labels.build(changed, 1)["method"] == "marks-only"
    assert labels.digest(labels.build(changed, 1)) != labels.digest(labels.build(scene(), 1))


def test_points_go_to_the_scene_and_pixels_stay():
    turned = [0, -2, 0, 10, 2, 0, 0, 20, 0, 0, 2, 30, 0, 0, 0, 1]
    made = labels.build(scene(), 3)
    moved = labels.in_scene(made, turned)
    assert moved["marks"][1]["points"] == [[6.0, 22.0, 36.0]]
    assert moved["marks"][0] == made["marks"][0] and moved["revision"] == 3
    assert made["marks"][1]["points"] == [[1.0, 2.0, 3.0]]


def test_unnamed_label_gets_a_name():
    nameless = scene()
    nameless.labels[0].name = ""
    assert labels.build(nameless, 0)["tree"][0]["name"] == "Label 1"


def test_mark_on_a_missing_label_is_named():
    orphan = scene()
    orphan.marks[1].label = 3
    with pytest.raises(labels.DocumentError, match="Mark number 2 names a label that is not in the tree"):
        labels.build(orphan, 0)


def test_file_round_trip_is_exact(tmp_path):
    path = tmp_path / "ünï labels.json"
    whole = scene(method="marks-only-tree")
    whole.marks[0].u = 0.0
    whole.marks[0].muted = whole.marks[1].local = True
    whole.marks[0].instance = 3
    made = labels.build(whole, 0)
    labels.save(made, path)
    back = labels.load(path)
    assert back["marks"] == made["marks"] and back["method"] == "marks-only-tree"
    assert [(n["uid"], n["name"], n["parent"], n["kind"], n["thing"]) for n in back["tree"]] == [
        (n["uid"], n["name"], n["parent"], n["kind"], n["thing"]) for n in made["tree"]
    ]
    for one, other in zip(back["tree"], made["tree"], strict=True):
        assert one["color"] == pytest.approx(other["color"], abs=0.5 / 255)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_document_without_version_is_the_documented_form(tmp_path):
    path = tmp_path / "marks.json"
    path.write_text(
        json.dumps({"tree": [{"uid": 3, "name": "a"}], "marks": [{"label": 3, "frame": "f", "u": 1, "v": 2}]})
    )
    back = labels.load(path)
    (mark,) = back["marks"]
    assert (mark["id"], mark["muted"], mark["local"], back["method"]) == (1, False, False, "combined")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"version": 4, "tree": []}', "of version 4, newer than this Clickfield"),
        ('{"version": true, "tree": []}', "not a whole number"),
        ('{"version": 0, "tree": []}', "not a whole number"),
        ('{"marks": []}', "no list called 'tree'"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_broken_files_are_refused_in_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "marks.json"
    path.write_text(text)
    with pytest.raises(labels.DocumentError, match=sentence):
        labels.load(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(labels.DocumentError, match=r"gone\.json cannot be read"):
        labels.load(tmp_path / "gone.json")


def nodes(*pairs):
    return [Group(uid=uid, parent=parent) for uid, parent in pairs]


def test_depth_first_puts_children_after_their_parents():
    assert tree.depth_first(nodes((4, 2), (1, 0), (2, 0), (3, 1), (5, 4))) == [(1, 0), (3, 1), (2, 0), (4, 1), (5, 2)]


def test_depth_first_loses_no_label_of_a_broken_tree():
    order = tree.depth_first(nodes((1, 0), (2, 9), (3, 4), (4, 3)))
    assert sorted(uid for uid, _ in order) == [1, 2, 3, 4]


def test_descendants_ends_on_circles():
    assert tree.descendants(nodes((1, 2), (2, 1), (3, 2), (4, 0)), 1) == {1, 2, 3}


def test_unique_name_counts_up():
    assert tree.unique_name("chair", ["sofa"]) == "chair"
    assert tree.unique_name("chair", ["chair", "chair 2"]) == "chair 3"
