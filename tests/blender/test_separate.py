"""Separated things as Blender objects: place, size, colours, collections, and what a second run replaces."""

import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import facts, objects, scan, upkeep
from mathutils import Matrix, Vector

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).resolve().parents[1]))
import rooms
from separated_room import CAPTURE, TURNED, answer, build, in_scan, room

SECONDS = 120


def tree_of(collection):
    """Nested names of collections and objects."""
    return {
        "objects": sorted(item.name for item in collection.objects),
        **{child.name: tree_of(child) for child in collection.children},
    }


def world_points(item):
    return np.array([item.matrix_world @ Vector(point) for point in scan.read_positions(item.data)])


def test_collections_mirror_the_tree():
    scene = room()
    build(scene)
    root = objects.results_collection(scene, CAPTURE)
    assert root.name == "Objects Büro 1"
    assert tree_of(root) == {
        "objects": [],
        "Struktur": {"objects": [], "Boden": {"objects": ["Boden"]}},
        "Möbel: alt/neu": {"objects": [], "Chair": {"objects": ["Chair", "Chair.001"]}},
    }


def test_objects_stand_where_the_scan_has_them_and_know_what_they_are():
    scene = room()
    placement = Matrix.Translation((3, 0, 1)) @ Matrix.Rotation(0.4, 4, "Z")
    body = scan.find_scan(scene, CAPTURE)
    body.matrix_world = placement
    bpy.context.view_layer.update()
    build(scene)
    chair = bpy.data.objects["Chair.001"]
    own = chair.clickfield
    assert (own.role, own.capture_id, own.label, own.instance) == ("OBJECT", CAPTURE, 4, 2)
    on_scan = np.array([placement @ Vector(p) for p in in_scan(2)])
    np.testing.assert_allclose(world_points(chair), on_scan, atol=1e-5)
    np.testing.assert_allclose(chair.dimensions, (0.4, 0.4, 0.5), atol=1e-6)
    np.testing.assert_allclose(chair.scale, (1, 1, 1), atol=1e-6)
    assert abs(chair.rotation_euler.z - 0.4 - TURNED) < 1e-5
    to_object = Matrix([chair["scan_to_object"][row * 4 : row * 4 + 4] for row in range(4)])
    back = to_object @ placement.inverted() @ chair.matrix_world
    np.testing.assert_allclose(np.array(back), np.eye(4), atol=1e-5)


def test_meshes_carry_both_colours_and_the_label():
    scene = room()
    build(scene)
    chair = bpy.data.objects["Chair"]
    mesh = chair.data
    assert mesh.name == chair.name and not mesh.validate()
    labels, confidence = scan.read_labels(mesh)
    assert (labels == 4).all() and (confidence == 204).all()
    assert np.array_equal(scan.read_photo(mesh), np.tile(np.uint8([90, 120, 30]), (8, 1)))
    painted = np.empty(32, np.float32)
    mesh.attributes["Label Color"].data.foreach_get("color_srgb", painted)
    assert np.abs(painted.reshape(8, 4)[0, :3] - np.array([90, 120, 30]) / 255).max() > 0.1
    assert mesh.color_attributes[mesh.color_attributes.render_color_index].name == "Color"
    assert mesh.materials[0] == bpy.data.objects["Boden"].data.materials[0]


def test_picture_is_the_right_way_up():
    scene = room()
    build(scene)
    preview = bpy.data.objects["Chair"].preview
    pixels = np.empty(64 * 64 * 4, np.float32)
    preview.image_pixels_float.foreach_get(pixels)
    picture = np.rint(pixels.reshape(64, 64, 4)[::-1] * 255).astype(np.uint8)
    assert np.array_equal(picture, answer()[1]["o1.preview"])


def test_again_replaces_the_results_of_this_capture_only():
    scene = room()
    build(scene)
    mine = bpy.data.objects.new("Chair.007", bpy.data.meshes.new("mine"))
    bpy.data.objects["Chair"].users_collection[0].objects.link(mine)
    kept = bpy.data.objects["Chair.001"]
    for collection in kept.users_collection:
        collection.objects.unlink(kept)
    scene.collection.objects.link(kept)  # moved out: the person's own now
    kept.name = "My Chair"
    counts = len(bpy.data.meshes), len(bpy.data.materials), len(bpy.data.collections)
    scan_before = scan.read_positions(scan.find_scan(scene, CAPTURE).data)
    build(scene)
    names = {item.name for item in scene.objects}
    assert names == {"Scan", "Boden", "Chair", "Chair.001", "My Chair", "Chair.007"}
    # One more mesh than before, of the chair that was moved out; all share one material.
    assert (len(bpy.data.meshes), len(bpy.data.materials), len(bpy.data.collections)) == (
        counts[0] + 1,
        counts[1],
        counts[2],
    )
    assert np.array_equal(scan.read_positions(scan.find_scan(scene, CAPTURE).data), scan_before)


def test_collections_follow_a_changed_tree():
    scene = room()
    build(scene)
    chair = next(label for label in scene.clickfield.labels if label.uid == 4)
    chair.parent, chair.name = 1, "Stuhl"
    build(scene)
    assert tree_of(objects.results_collection(scene, CAPTURE)) == {
        "objects": [],
        "Struktur": {"objects": [], "Boden": {"objects": ["Boden"]}, "Stuhl": {"objects": ["Chair", "Chair.001"]}},
    }


def test_what_was_left_out_is_told():
    scene = room()
    build(scene)
    assert objects.report_lines(scene, CAPTURE) == [
        "3 objects, 2 of them closed",
        "3 crumbs left out (41 faces).",
        "A note.",
    ]


def test_separating_needs_a_capture_and_a_mark(own):
    assert not bpy.ops.clickfield.separate.poll()
    own.capture_id = CAPTURE
    assert not bpy.ops.clickfield.separate.poll()
    with pytest.raises(RuntimeError, match="Mark something first"):
        bpy.ops.clickfield.separate()


def test_a_capture_becomes_objects_through_the_real_backend(live, own, tmp_path):
    rooms.write_transforms(tmp_path / "ünï", n_frames=10)
    ops, state = bpy.ops.clickfield, bpy.context.window_manager.clickfield
    ops.import_capture(filepath=str(tmp_path / "ünï" / "transforms.json"))
    assert live.wait_until(lambda: not live.session().importing, SECONDS) and not state.problem
    ops.add_label(name="floor", thing=False)
    ops.add_label(name="box")
    ops.add_label(name="wall", thing=False)
    for wall in ((2.0, 0.0, 0.3), (-2.0, 0.0, 0.3), (0.0, 1.6, 0.3), (0.0, -1.6, 0.3), (0.0, 0.0, 1.25)):
        ops.add_mark(label=3, location=wall)
    ops.add_mark(label=1, location=(-0.4, -0.6, -1.25))
    ops.add_mark(label=2, location=(1.2, 0.6, -0.6))
    body = scan.find_scan(bpy.context.scene, own.capture_id)
    before = scan.read_positions(body.data)
    ops.separate(close=False)
    told = lambda: objects.report_lines(bpy.context.scene, own.capture_id) or state.problem  # noqa: E731
    assert live.wait_until(told, SECONDS) and not state.problem
    made = objects.separated_objects(bpy.context.scene, own.capture_id)
    assert [item.clickfield.label for item in made][:2] == [1, 2] and made[0].name == "floor"
    bpy.context.view_layer.update()
    lowest = min(world_points(item)[:, 2].min() for item in made)
    assert abs(lowest + 1.25) < 0.06
    for item in made:
        width, height = item.preview.image_size
        pixels = np.empty(int(width) * int(height) * 4, np.float32)
        item.preview.image_pixels_float.foreach_get(pixels)
        shown = pixels.reshape(-1, 4)[:, 3] > 0.5
        assert 0.02 < shown.mean() < 0.98
    assert np.array_equal(scan.read_positions(body.data), before)
    box = next(item for item in made if item.clickfield.label == 2)
    assert not box["scan_closed"] and facts.read_observed(box.data).min() == 1
    known = {upkeep.key_of(item): item.as_pointer() for item in made}
    box.name = "My box"
    assert not own.separation.close  # what is not said is as it was the last time
    ops.separate(close=True, levels=True)
    assert live.wait_until(lambda: len(box.children) == 4, SECONDS) and not state.problem
    assert live.wait_until(lambda: not live.session().waiting, SECONDS)
    again = objects.separated_objects(bpy.context.scene, own.capture_id)
    assert {upkeep.key_of(item): item.as_pointer() for item in again} == known and box.name == "My box"
    observed = facts.read_observed(box.data)
    assert box["scan_closed"] and 0.2 < box["scan_observed"] < 1 and (observed.min(), observed.max()) == (0, 1)
    ops.save_asset_library(directory=str(tmp_path / "assets"))
    assert len(list((tmp_path / "assets").glob("*.blend"))) == 1
    libraries = bpy.context.preferences.filepaths.asset_libraries
    libraries.remove(libraries[-1])
    one_thing_or_two(live, own)


def one_thing_or_two(live, own):
    """Merge, then assign, what the real backend separated; it must agree when it separates again."""
    ops = bpy.ops.clickfield

    def again(label):
        ops.separate(close=False, levels=False)
        assert live.wait_until(lambda: not live.session().waiting, SECONDS)
        assert not bpy.context.window_manager.clickfield.problem
        items = objects.separated_objects(bpy.context.scene, own.capture_id)
        return [item for item in items if item.clickfield.label == label]

    ops.add_label(name="crate")
    ops.add_mark(label=2, location=(-1.4, 0.95, -0.2))
    ops.add_mark(label=2, location=(-1.4, 0.6, -0.7))
    boxes = again(2)
    assert len(boxes) >= 2 and all(max(box.dimensions) < 2 for box in boxes)
    for item in bpy.context.view_layer.objects:
        item.select_set(item in boxes)
    bpy.context.view_layer.objects.active = boxes[0]
    assert ops.merge_instances() == {"FINISHED"}
    (whole,) = again(2)
    assert max(whole.dimensions) > 2.5 and whole.clickfield.instance == 1
    for item in bpy.context.view_layer.objects:
        item.select_set(item == whole)
    bpy.context.view_layer.objects.active = whole
    assert ops.assign_objects(label=4) == {"FINISHED"}
    (crate,) = again(4)
    assert max(crate.dimensions) > 2.5
    assert not [item for item in bpy.data.objects if item.clickfield.role == "OBJECT" and item.clickfield.label == 2]
