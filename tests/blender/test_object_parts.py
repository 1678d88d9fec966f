"""What comes with a separated object: texture, seen and invented points, levels of detail, hulls, the filled scene;
and what a second separation keeps of a person's changes."""

import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon import separation
from bl_ext.dev.clickfield.blender_addon.scene import facts, objects, parts, scan, textures, upkeep
from mathutils import Matrix, Vector

sys.path.append(str(Path(__file__).parent))
from separated_room import CAPTURE, PLACES, answer, build, in_scan, picture_of, room


def world_points(item):
    bpy.context.view_layer.update()
    return np.array([item.matrix_world @ Vector(point) for point in scan.read_positions(item.data)])


def test_a_texture_is_a_packed_picture_on_the_uv_map():
    scene = room()
    build(scene, texture=64)
    chair = bpy.data.objects["Chair"]
    (material,) = chair.data.materials
    (node,) = (node for node in material.node_tree.nodes if node.type == "TEX_IMAGE")
    image, shader = node.image, node.outputs["Color"].links[0].to_node
    assert shader.type == "BSDF_PRINCIPLED" and node.outputs["Color"].links[0].to_socket.name == "Base Color"
    assert image.packed_file is not None and tuple(image.size) == (64, 64)
    assert (image.colorspace_settings.name, image.alpha_mode) == ("sRGB", "CHANNEL_PACKED")
    pixels = np.empty(64 * 64 * 4, np.float32)
    image.pixels.foreach_get(pixels)
    back = np.rint(pixels.reshape(64, 64, 4)[::-1] * 255).astype(np.uint8)
    assert np.array_equal(back, picture_of(64, 40))  # also under alpha 0: it is a mark, no transparency
    uv = np.empty(2 * len(chair.data.loops), np.float32)
    chair.data.uv_layers.active.data.foreach_get("uv", uv)
    assert np.array_equal(uv.reshape(-1, 2), answer(texture=64)[1]["o1.uv"])
    assert len({item.data.materials[0].name for item in objects.separated_objects(scene, CAPTURE)}) == 3
    build(scene)  # vertex colours again: textures that nobody shows are gone
    assert not bpy.data.images and chair.data.materials[0].get(textures.MADE) == textures.COLORS
    assert len([one for one in bpy.data.materials if one.get(textures.MADE)]) == 1


def test_what_a_person_changed_stays():
    scene = room()
    build(scene, texture=64)
    chair, other = bpy.data.objects["Chair"], bpy.data.objects["Chair.001"]
    shelf = bpy.data.collections.new("Mine")
    scene.collection.children.link(shelf)
    shelf.objects.link(chair)
    chair.name, chair["price"], chair.data["note"] = "Grandmother's", 12, "oak"
    chair.modifiers.new("Bevel", "BEVEL")
    shader = next(node for node in chair.data.materials[0].node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = 0.25
    own = bpy.data.materials.new("Paint")
    other.data.materials[0] = own
    moved = Matrix.Translation((2, 0, 0)) @ Matrix.Rotation(1.0, 4, "Z")
    chair.matrix_world = moved @ chair.matrix_world
    expected = np.array([moved @ Vector(point) for point in in_scan(1)])
    material, pointer = chair.data.materials[0], chair.as_pointer()
    copy = other.copy()  # a copy of the person's own, with the mesh of now
    other.users_collection[0].objects.link(copy)
    kept = copy.data
    body = scan.find_scan(scene, CAPTURE)
    body.matrix_world = Matrix.Translation((0, 0, 5))  # what was not moved by hand follows the scan
    data, arrays = answer(texture=32)
    # The same chair is found with another foot and other axes of its own.
    turned = Matrix.Rotation(-0.3, 3, "Z")
    data["objects"][1] |= {"yaw": 0.3, "origin": [0.5, 0.4, 0.1]}
    arrays["o1.positions"] = np.array([turned @ (Vector(p) - Vector((0.5, 0.4, 0.1))) for p in in_scan(1)], np.float32)
    for _ in objects.build_objects(scene, CAPTURE, data["objects"], arrays, objects.Wanted()):
        pass
    assert chair.as_pointer() == pointer and chair.name == "Grandmother's" and shelf in chair.users_collection
    assert (chair["price"], chair.data["note"], chair.modifiers[0].type) == (12, "oak", "BEVEL")
    np.testing.assert_allclose(world_points(chair), expected, atol=2e-5)
    np.testing.assert_allclose(world_points(other), in_scan(2) + np.array([0, 0, 5]), atol=2e-5)
    assert chair.data.materials[0] == material and shader.inputs["Roughness"].default_value == 0.25
    image = next(node.image for node in material.node_tree.nodes if node.type == "TEX_IMAGE")
    assert tuple(image.size) == (32, 32) and image.name == "Grandmother's"
    assert other.data.materials[0] == own and copy.data == kept and other.data != kept
    assert len(bpy.data.images) == 3  # one is of the material that Paint has replaced: Blender's to purge


def test_hidden_and_edited_things_are_updated_where_they_are(tmp_path):
    scene = room()
    scan.find_scan(scene, CAPTURE).matrix_world = Matrix.Translation((0, 0, 5))
    build(scene)
    holder = bpy.data.objects.new("Holder", None)
    scene.collection.objects.link(holder)
    holder.location = (7, 0, 0)
    bpy.context.view_layer.update()
    chair, other = bpy.data.objects["Chair"], bpy.data.objects["Chair.001"]
    other.parent = holder  # and by that moved
    for item in (chair, other, scan.find_scan(scene, CAPTURE)):
        item.hide_viewport = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "room.blend"))
    floor = bpy.data.objects["Boden"]
    bpy.context.view_layer.objects.active = floor
    bpy.ops.object.mode_set(mode="EDIT")
    build(bpy.context.scene, texture=16)
    assert floor.mode == "OBJECT" and all(item.data.uv_layers for item in (floor, bpy.data.objects["Chair"]))
    for index, name, offset in ((0, "Boden", (0, 0, 5)), (1, "Chair", (0, 0, 5)), (2, "Chair.001", (7, 0, 5))):
        bpy.data.objects[name].hide_viewport = False
        np.testing.assert_allclose(world_points(bpy.data.objects[name]), in_scan(index) + np.array(offset), atol=2e-5)


def test_objects_that_are_no_more_go_with_their_parts():
    scene = room()
    build(scene, objects.Wanted(levels=True), hulls=2)
    root = objects.results_collection(scene, CAPTURE)
    assert len(bpy.data.objects) == 1 + 3 * (1 + 4 + 2)
    build(scene, objects.Wanted(), chairs=1)
    assert {item.name for item in bpy.data.objects} == {"Scan", "Boden", "Chair"}
    assert not [one for one in root.children_recursive if parts.PART in one]
    assert len(bpy.data.meshes) == 3
    _, arrays = answer(chairs=0)
    for _ in objects.build_objects(scene, CAPTURE, [], arrays, objects.Wanted()):
        pass
    assert [item.name for item in bpy.data.objects] == ["Scan"] and not root.children


@pytest.mark.parametrize(
    ("naming", "name"),
    [("UNREAL", "UCX_Chair_01"), ("GODOT", "Chair_01-colonly"), ("GODOT_CONVEX", "Chair_01-convcolonly")],
)
def test_levels_and_hulls_belong_to_their_object(naming, name):
    scene = room()
    data, arrays = answer(texture=16, hulls=2)
    side = np.linspace(-0.2, 0.2, 21, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side, [0.0]), axis=-1).reshape(-1, 3).astype(np.float32)
    quads = np.arange(441).reshape(21, 21)
    a, b, c, d = quads[:-1, :-1], quads[:-1, 1:], quads[1:, 1:], quads[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3).astype(np.int32)
    arrays |= {"o1.positions": grid, "o1.faces": faces, "o1.uv": (grid[faces.ravel()][:, :2] + 0.2) / 0.4}
    arrays |= {f"o1.{key}": np.full(441, 255, np.uint8) for key in ("confidence", "observed")}
    arrays["o1.colors"] = np.full((441, 3), 128, np.uint8)
    for _ in objects.build_objects(scene, CAPTURE, data["objects"], arrays, objects.Wanted(True, naming)):
        pass
    chair = bpy.data.objects["Chair"]
    hull = bpy.data.objects[name]
    assert hull.parent == chair and hull.hide_viewport and hull.hide_render and len(hull.data.vertices) == 8
    assert [part.name for part in parts.parts_of(chair, "LOD")] == [f"Chair_LOD{n}" for n in range(4)]
    folder = next(one for one in bpy.data.collections if one.get(parts.PART) == "LOD")
    assert folder.name == "Levels of Detail" and len(folder.objects) == 12
    for part, share in zip(parts.parts_of(chair, "LOD"), (1, 0.5, 0.25, 0.1), strict=True):
        part.hide_viewport = False
        shown = part.evaluated_get(bpy.context.evaluated_depsgraph_get())
        assert len(shown.data.polygons) == pytest.approx(share * 800, abs=2)
        assert {"UVMap", "observed", "label", "Color"} <= {one.name for one in shown.data.attributes}
        uv = np.empty(2 * len(shown.data.loops), np.float32)
        shown.data.uv_layers[0].data.foreach_get("uv", uv)
        corners = np.empty(len(shown.data.loops), np.int32)
        shown.data.loops.foreach_get("vertex_index", corners)
        places = np.array([vertex.co for vertex in shown.data.vertices])[corners]
        assert np.abs(uv.reshape(-1, 2) * 0.4 - 0.2 - places[:, :2]).max() < 0.02
    assert np.allclose(parts.parts_of(chair, "LOD")[2].matrix_world, chair.matrix_world)


def test_the_scene_without_the_things():
    scene = room()
    build(scene, filled=True)
    filled = objects.find_filled(scene, CAPTURE)
    assert filled.name == "Scene without 2 things"
    assert facts.read_observed(filled.data).tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(world_points(filled)[0], (0, 0, 0), atol=1e-6)
    filled.name = "Empty room"
    count = len(bpy.data.meshes), len(bpy.data.objects)
    build(scene, filled=True)
    assert objects.find_filled(scene, CAPTURE).name == "Empty room"
    assert (len(bpy.data.meshes), len(bpy.data.objects)) == count


def test_what_is_known_of_an_object_is_told():
    scene = room()
    build(scene)
    chair, floor = bpy.data.objects["Chair"], bpy.data.objects["Boden"]
    assert facts.sentences(chair) == [
        "0.400 x 0.400 x 0.500 m",
        "Closed, 80 l",
        "75% of the surface was seen, the rest is invented",
        "The back was never seen.",
    ]
    assert facts.sentences(floor)[1] == "Open: not a solid"
    assert (chair["scan_closed"], chair["scan_volume"], chair["scan_observed"]) == (1, 0.08, 0.75)


def test_invented_points_can_be_selected():
    scene = room()
    build(scene)
    chair = bpy.data.objects["Chair"]
    bpy.context.view_layer.objects.active = chair
    assert facts.read_observed(chair.data).tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    bpy.ops.clickfield.select_invented()
    assert chair.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")
    assert [vertex.select for vertex in chair.data.vertices] == [True] * 2 + [False] * 6
    assert sum(edge.select for edge in chair.data.edges) == 1 and not any(f.select for f in chair.data.polygons)
    bpy.ops.clickfield.select_invented(action="GROUP", limit=1.0)
    group = chair.vertex_groups["Invented"]
    assert [bool(len(vertex.groups)) for vertex in chair.data.vertices] == [True] * 2 + [False] * 6
    assert group.weight(1) == 1.0 and chair.mode == "OBJECT"
    bpy.context.view_layer.objects.active = scan.find_scan(scene, CAPTURE)
    assert not bpy.ops.clickfield.select_invented.poll()


def test_the_request_names_what_is_there():
    scene = room()
    build(scene)
    bpy.data.objects["Chair.001"].location.x += 3  # where it was scanned does not change by that
    known = {(one["label"], one["instance"]): one["centre"] for one in objects.known_objects(scene, CAPTURE)}
    assert set(known) == {(2, 1), (4, 1), (4, 2)}
    for index, (_, label, instance, _) in enumerate(PLACES):
        points = in_scan(index)
        if label == 4:
            np.testing.assert_allclose(known[label, instance], (points.min(0) + points.max(0)) / 2, atol=1e-5)
    own = scene.clickfield.separation
    assert separation.params(own) == {
        "min_size": pytest.approx(0.04),
        "margin": 0.0,
        "close": True,
        "mirror": False,
        "fill": False,
        "texture": 0,
        "hulls": "none",
    }
    own.texture, own.hulls = "2048", "DECOMPOSED"
    assert (separation.params(own)["texture"], separation.params(own)["hulls"]) == (2048, "decomposed")


def test_main_thread_is_never_held_long():
    """A large thing with a large texture, slice by slice."""
    import time

    scene = room()
    data, arrays = answer(texture=2048, chairs=1)
    side = 200
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), [0]), axis=-1).reshape(-1, 3).astype(np.float32)
    quads = np.arange(side * side).reshape(side, side)
    a, b, c, d = quads[:-1, :-1], quads[:-1, 1:], quads[1:, 1:], quads[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3).astype(np.int32)
    arrays |= {"o1.positions": grid / side, "o1.faces": faces, "o1.uv": np.zeros((3 * len(faces), 2), np.float32)}
    arrays |= {f"o1.{key}": np.full(side * side, 255, np.uint8) for key in ("confidence", "observed")}
    arrays["o1.colors"] = np.full((side * side, 3), 128, np.uint8)
    worst, before = 0.0, time.thread_time()
    for waiting in objects.build_objects(scene, CAPTURE, data["objects"], arrays, objects.Wanted(levels=True)):
        worst = max(worst, time.thread_time() - before) if not waiting else worst
        before = time.thread_time()
    assert worst < 0.1
    assert upkeep.moved_by_hand(bpy.data.objects["Chair"]) is False
