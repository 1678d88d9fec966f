"""Instances by hand, and things that are the same: what becomes of marks, numbers and meshes."""

import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.backend import protocol
from bl_ext.dev.clickfield.blender_addon.document import labels as documents
from bl_ext.dev.clickfield.blender_addon.scene import claims, linked, objects, parts, scan, showing, upkeep
from mathutils import Matrix, Vector

sys.path.append(str(Path(__file__).parent))
from separated_room import BOX, BOX_FACES, CAPTURE, REPORT, build, in_scan, room

ops = bpy.ops.clickfield
WORLD = Matrix.Translation((0, 0, 7)) @ Matrix.Rotation(0.5, 4, "X")  # of the capture, into the scene


@pytest.fixture
def scene():
    """Separated objects, a capture whose own world is turned, one mark on the first chair and one on the floor."""
    made = room()
    build(made, hulls=1)
    made.clickfield.scene_from_world = [value for row in WORLD for value in row]
    ops.add_mark(label=4, location=(0.45, 0.4, 0.5))
    ops.add_mark(label=2, location=(1.9, 1.9, 0.0))
    return made


def marks(scene):
    """(label, instance, local, place in the scene) of every mark, as the backend is told."""
    document = documents.in_scene(documents.build(scene.clickfield, 0), scene.clickfield.scene_from_world)
    return [(m["label"], m["instance"], m["local"], np.array(m["points"][0])) for m in document["marks"]]


def select(*names):
    for item in bpy.context.view_layer.objects:
        item.select_set(item.name in names)
    bpy.context.view_layer.objects.active = bpy.data.objects[names[0]]


def test_marks_are_found_on_the_object_that_they_lie_on(scene):
    places = claims.places_of_marks(scene, {})
    np.testing.assert_allclose(places[0], (0.45, 0.4, 0.5), atol=1e-5)
    items = objects.separated_objects(scene, CAPTURE)
    bpy.data.objects["Chair"].location.z += 4  # where it was scanned counts
    assert {row: item.name for row, item in claims.marks_on(items, places).items()} == {0: "Chair", 1: "Boden"}
    assert claims.marks_on(items, {5: (0.4, 0.4, 0.9)}) == {}


def test_merged_objects_get_marks_of_one_number(scene):
    select("Chair", "Chair.001")
    assert ops.merge_instances() == {"FINISHED"}
    _, _, *new = marks(scene)
    assert [(label, instance, local) for label, instance, local, _ in new] == [(4, 1, True), (4, 1, True)]
    for index, (_, _, _, place) in zip((1, 2), new, strict=True):
        assert np.linalg.norm(in_scan(index) - place, axis=1).min() < 1e-4
    ops.merge_instances()
    assert len(marks(scene)) == 4  # what is said already is not said again
    select("Chair", "Boden")
    with pytest.raises(RuntimeError, match="two or more objects of one label"):
        ops.merge_instances()


def test_a_split_numbers_the_next_two_marks_and_no_more(scene):
    select("Chair.001")
    scan.find_scan(scene, CAPTURE).hide_viewport = True
    assert ops.split_instance() == {"FINISHED"}
    assert not scan.find_scan(scene, CAPTURE).hide_viewport
    assert scene.clickfield.labels[scene.clickfield.active_label].uid == 4
    for place in ((1.4, 1.2, 0.5), (1.6, 1.2, 0.5), (0.4, 0.4, 0.5)):
        ops.add_mark(location=place)
    assert [mark.instance for mark in scene.clickfield.marks] == [0, 0, 2, 3, 0]
    assert [mark.local for mark in scene.clickfield.marks][2:] == [True, True, False]  # it says nothing about others
    ops.split_instance()  # the part that stays has its number by now
    ops.add_mark(label=4, sign=-1, location=(1.4, 1.2, 0.5))
    ops.add_mark(location=(1.5, 1.2, 0.5))
    assert [mark.instance for mark in scene.clickfield.marks][5:] == [0, 4]


def test_a_new_instance_is_one_that_nothing_has(scene):
    scene.clickfield.active_label = 3
    ops.new_instance()
    ops.add_mark(location=(0.4, 0.4, 0.5))
    ops.add_mark(location=(0.45, 0.4, 0.5))
    assert [mark.instance for mark in scene.clickfield.marks] == [0, 0, 3, 3]
    ops.new_instance()
    assert scene.clickfield.labels[3].mark_instance == 4
    scene.clickfield.labels[3].thing = False
    assert not ops.new_instance.poll()
    ops.add_mark(location=(0.45, 0.4, 0.5))
    assert scene.clickfield.marks[-1].instance == 0


def test_assigned_objects_take_their_marks_along(scene):
    revision = scene.clickfield.revision
    select("Chair", "Chair.001")
    ops.assign_objects(label=2)
    assert scene.clickfield.revision > revision
    (moved, _, _, _), (floor, _, _, _), (new, _, local, place) = marks(scene)
    assert (moved, floor, new, local) == (2, 2, 2, True)
    assert np.linalg.norm(in_scan(2) - place, axis=1).min() < 1e-4
    for name, number in (("Chair", 2), ("Chair.001", 3)):
        item = bpy.data.objects[name]
        assert upkeep.key_of(item) == (2, number) and item.users_collection[0].name == "Boden"
        assert (scan.read_labels(item.data)[0] == 2).all()
    assert {one.name for one in objects.results_collection(scene, CAPTURE).children} == {"Struktur", "Collision"}
    with pytest.raises(RuntimeError, match="no label with the id 99"):
        ops.assign_objects(label=99)


def test_what_is_offered_to_choose_from(scene):
    """As Blender's search asks for it: with the properties of an operator alone, by a name in its own class."""
    for name, first in (("assign_objects", "2"), ("retype_marks", "1")):  # a group is nothing that an object can be
        offered = bpy.context.window_manager.operator_properties_last(f"clickfield.{name}")
        kind = getattr(bpy.types, f"CLICKFIELD_OT_{name}")
        assert getattr(offered, vars(kind)["bl_property"]) == first


def test_buttons_work_only_where_they_can(scene):
    select("Chair")
    assert ops.assign_objects.poll() and ops.split_instance.poll() and not ops.merge_instances.poll()
    select("Chair", "Chair.001")
    assert ops.merge_instances.poll()
    bpy.ops.object.mode_set(mode="EDIT")
    assert not (ops.assign_objects.poll() or ops.split_instance.poll() or ops.merge_instances.poll())
    bpy.ops.object.mode_set(mode="OBJECT")
    assert not objects.is_outdated(scene, CAPTURE)
    objects.keep_revision(scene, CAPTURE, scene.clickfield.revision)
    assert not objects.is_outdated(scene, CAPTURE)
    ops.merge_instances()
    assert objects.is_outdated(scene, CAPTURE)
    scene.clickfield.labels[3].thing = False
    assert not ops.merge_instances.poll() and not ops.split_instance.poll()


def test_one_of_what_lies_in_the_same_place_is_shown(scene):
    build(scene, filled=True)
    filled, chair = objects.find_filled(scene, CAPTURE), bpy.data.objects["Chair"]
    body = scan.find_scan(scene, CAPTURE)
    for what, seen in (("SCAN", body), ("OBJECTS", chair), ("FILLED", filled), ("SCAN", body)):
        assert ops.show_results(what=what) == {"FINISHED"}
        bpy.context.view_layer.update()
        assert [item for item in (body, chair, filled) if item.visible_get()] == [seen]
        assert showing.shown(scene, CAPTURE) == {what}
    ops.show_results(what="OBJECTS")
    bpy.context.view_layer.objects.active = chair
    assert ops.split_instance() == {"FINISHED"} and showing.shown(scene, CAPTURE) == {"SCAN"}


def test_undo_takes_numbers_back(scene):
    select("Chair", "Chair.001")
    bpy.ops.ed.undo_push(message="before")
    ops.merge_instances()
    bpy.ops.ed.undo_push(message="Merge")
    bpy.ops.ed.undo()
    assert [mark.instance for mark in bpy.context.scene.clickfield.marks] == [0, 0]


def similar(items):
    """An answer that holds both chairs for one, turned by a right angle against its own axes."""
    params, arrays = linked.request(items)
    turn = Matrix.Rotation(np.pi / 2, 4, "Z")
    places = [Matrix([entry["matrix"][row * 4 : row * 4 + 4] for row in range(4)]) for entry in params["objects"]]
    group = {"members": [1, 0]}
    group["transforms"] = [upkeep.numbers_of(places[1]), upkeep.numbers_of(places[0] @ turn)]
    group |= {"rmse": [0.0, 0.0042], "inliers": [1, 0.9], "violation": [0, 0.01]}
    group["report"] = REPORT | {"volume": 0.09, "observed": 1.0, "notes": []}
    made = {"g0.positions": BOX, "g0.faces": BOX_FACES, "g0.observed": np.full(8, 255, np.uint8)}
    made["g0.colors"] = np.tile(np.uint8([10, 200, 30]), (8, 1))
    return {"groups": [group], "unsure": [], "notes": []}, made, arrays


@pytest.mark.parametrize("union", [True, False])
def test_similar_objects_become_linked_copies_and_their_own_again(scene, union):
    bpy.context.view_layer.update()
    items = linked.comparable(objects.separated_objects(scene, CAPTURE))
    first, second = items
    assert [item.name for item in items] == ["Chair", "Chair.001"]
    second.location.x += 1  # moved by hand: stays so
    answer, made, sent = similar(items)
    kind, shape, data = sent["o1.positions"]
    assert (kind, shape) == ("f4", (8, 3)) and np.array_equal(data, BOX)
    assert sum(len(memoryview(part)) for part in protocol.encode_message({"type": "request"}, sent)) > 400
    own = [item.data.name for item in items]
    for _ in linked.build(scene, CAPTURE, items, answer, made, union):
        pass
    bpy.context.view_layer.update()
    assert first.data == second.data and (first.data.name == own[1]) != union
    assert all(bpy.data.meshes[name].use_fake_user for name in own)
    points = np.array([second.matrix_world @ Vector(point) for point in BOX])
    np.testing.assert_allclose(points, in_scan(2) + np.array([1, 0, 0]), atol=1e-4)
    turned = np.array([first.matrix_world @ Vector(point) for point in BOX])
    np.testing.assert_allclose(turned, in_scan(1)[[4, 5, 0, 1, 6, 7, 2, 3]], atol=1e-4)
    hull = parts.parts_of(first, "HULL")[0]
    stands = first.matrix_world @ parts.in_object(hull)
    places = np.array([stands @ vertex.co for vertex in hull.data.vertices])
    np.testing.assert_allclose(places, in_scan(1), atol=1e-4)
    assert first["scan_match_error"] == pytest.approx(0.0042)
    assert [item["scan_volume"] for item in items] == [0.09 if union else 0.08] * 2
    assert linked.report_lines(scene, CAPTURE) == ["Chair.001, Chair: linked, at most 4.2 mm apart"]
    select("Chair", "Chair.001")
    assert ops.restore_own_mesh() == {"FINISHED"}
    bpy.context.view_layer.update()
    assert [item.data.name for item in items] == own and linked.OWN_MESH not in first
    assert [item["scan_volume"] for item in items] == [0.08, 0.08]
    points = np.array([first.matrix_world @ Vector(point) for point in BOX])
    np.testing.assert_allclose(points, in_scan(1), atol=1e-4)
    assert len(bpy.data.meshes) == 1 + 3 + 3


def test_separating_again_ends_the_link(scene):
    items = linked.comparable(objects.separated_objects(scene, CAPTURE))
    answer, made, _ = similar(items)
    for _ in linked.build(scene, CAPTURE, items, answer, made, True):
        pass
    build(scene)
    assert items[0].data != items[1].data and linked.OWN_MESH not in items[0]
    assert len(bpy.data.meshes) == 1 + 3 and not any(mesh.use_fake_user for mesh in bpy.data.meshes)


def test_numbers_of_merged_labels_stay_apart(scene):
    for label, place in ((4, (0.4, 0.4, 0.5)), (2, (1.8, 1.8, 0.0))):
        ops.add_mark(label=label, location=place)
        scene.clickfield.marks[-1].instance = 1
    ops.merge_labels(uid=2, into=4)
    assert {(mark.label, mark.instance) for mark in scene.clickfield.marks} == {(4, 0), (4, 1), (4, 3)}
    items = objects.separated_objects(scene, CAPTURE)
    assert {item.name: upkeep.key_of(item) for item in items} == {"Chair": (4, 1), "Chair.001": (4, 2), "Boden": (4, 3)}
