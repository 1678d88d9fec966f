"""A mesh that was in the scene all along, and one from a file: labelled, asked about, separated, saved and reloaded."""

import bmesh
import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import objects, scan, solid
from mathutils import Matrix, Vector

ops = bpy.ops.clickfield
SECONDS = 180
PLACED = Matrix.Translation((3, -1, 0.5)) @ Matrix.Rotation(0.5, 4, "Z")


def waited(live, condition):
    assert live.wait_until(condition, SECONDS), bpy.context.window_manager.clickfield.problem


def monkey_on_a_table():
    """One object of two pieces: a brown monkey over a grey table."""
    mesh = bpy.data.meshes.new("Things")
    made = bmesh.new()
    bmesh.ops.create_monkey(made, matrix=Matrix.Translation((0, 0, 1.5)) @ Matrix.Scale(0.6, 4))
    count = len(made.faces)
    bmesh.ops.create_cube(made, matrix=Matrix.Translation((0, 0, 0.4)) @ Matrix.Diagonal((3, 2, 0.2, 1)))
    made.faces.ensure_lookup_table()
    for face in made.faces[count:]:
        face.material_index = 1
    made.to_mesh(mesh)
    made.free()
    for name, color in (("Brown", (0.3, 0.1, 0.02, 1)), ("Grey", (0.5, 0.5, 0.5, 1))):
        material = bpy.data.materials.new(name)
        material.use_nodes = True
        material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color
        mesh.materials.append(material)
    item = bpy.data.objects.new("Things", mesh)
    item.matrix_world = PLACED
    bpy.context.scene.collection.objects.link(item)
    bpy.context.view_layer.objects.active = item
    bpy.context.view_layer.update()
    return item


def the_scan():
    return scan.find_scan(bpy.context.scene, bpy.context.scene.clickfield.capture_id)


def labelled(live, own):
    """Label the monkey and the table by one mark each; the scan's labels and its positions."""
    ops.label_mesh()
    waited(live, lambda: not live.session().importing)
    assert own.capture_id, bpy.context.window_manager.clickfield.problem
    ops.add_label(name="Monkey")
    ops.add_label(name="Table")
    ops.add_mark(label=1, location=PLACED @ Vector((0, -0.05, 2.05)))
    ops.add_mark(label=2, location=PLACED @ Vector((1.2, 0.8, 0.5)))
    waited(live, lambda: live.session().up_to_date)
    return scan.read_labels(the_scan().data)[0], scan.read_positions(the_scan().data)


def assert_good(labels, positions):
    monkey = positions[:, 2] > 1.1  # lifted by 0.5
    assert (labels[monkey] == 1).mean() > 0.97 and (labels[~monkey] == 2).mean() > 0.97


def test_a_mesh_of_the_scene_is_labelled_separated_and_reopened(live, own, tmp_path):
    item = monkey_on_a_table()
    labels, positions = labelled(live, own)
    assert own.capture_path == "" and own.capture_format == "Blender mesh"
    assert item.hide_viewport and not the_scan().data.validate()
    world = np.array([PLACED @ Vector(corner) for corner in item.bound_box])
    assert np.allclose(positions.min(0), world.min(0), atol=0.2) and len(positions) > 20_000
    assert_good(labels, positions)
    photo = scan.read_photo(the_scan().data)
    assert (photo[positions[:, 2] > 1.1, 0] > photo[positions[:, 2] > 1.1, 2]).all()  # brown, as its material

    ops.separate()
    waited(live, lambda: not live.session().waiting and objects.separated_objects(bpy.context.scene, own.capture_id))
    made = objects.separated_objects(bpy.context.scene, own.capture_id)
    assert {one.name for one in made} == {"Monkey", "Table"}

    capture_id = own.capture_id
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    live.session().stop()
    waited(live, lambda: live.session().client.state.value == "Stopped")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert own.capture_id == capture_id and len(own.marks) == 2
    assert np.array_equal(scan.read_labels(the_scan().data)[0], labels)
    ops.add_mark(label=1, location=PLACED @ Vector((0, 0.3, 1.6)))
    waited(live, lambda: live.session().up_to_date and not live.session().importing)
    assert own.capture_id == capture_id and bpy.context.window_manager.clickfield.problem == ""
    assert np.array_equal(scan.read_positions(the_scan().data), positions)
    ops.remove_mark()
    waited(live, lambda: live.session().up_to_date)
    assert np.array_equal(scan.read_labels(the_scan().data)[0], labels)


def test_ask_me_answers_with_a_point(live, own):
    monkey_on_a_table()
    labelled(live, own)
    ops.ask_me()
    waited(live, lambda: live.session().asking.question is not None)
    assert live.session().asking.question.frame == ""
    point = live.session().asking.question.point
    ops.answer_question(label=2)
    answer = bpy.context.scene.clickfield.marks[-1]
    assert answer.frame == "" and np.allclose(answer.points[0].co, point, atol=1e-5)
    live.session().asking.stop()


def test_undo_of_the_labelling_brings_the_mesh_back(live, own):
    item = monkey_on_a_table()
    bpy.ops.ed.undo_push(message="Made")
    name = item.name
    ops.label_mesh()
    waited(live, lambda: not live.session().importing)
    assert own.capture_id
    bpy.ops.ed.undo()
    assert own.capture_id == "" and not bpy.data.objects[name].hide_viewport
    bpy.ops.ed.redo()
    assert own.capture_id and the_scan() is not None and bpy.data.objects[name].hide_viewport


def test_a_file_is_imported(live, own, tmp_path):
    mesh = solid.mesh_of_object(monkey_on_a_table(), bpy.context.evaluated_depsgraph_get())
    rows = [f"v {x} {y} {z}" for x, y, z in mesh.positions] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces]
    (tmp_path / "things.obj").write_text("\n".join(rows) + "\n")
    ops.import_mesh(filepath=str(tmp_path / "things.obj"))
    waited(live, lambda: not live.session().importing)
    assert own.capture_format == "OBJ" and own.capture_path.endswith("things.obj")
    positions = scan.read_positions(the_scan().data)
    assert np.allclose(positions.min(0), mesh.positions.min(0), atol=1e-4)


def test_what_is_huge_keeps_its_size(live, own):
    item = monkey_on_a_table()
    item.matrix_world = Matrix.Scale(1000, 4)
    bpy.context.view_layer.update()
    ops.label_mesh()
    waited(live, lambda: not live.session().importing)
    body = the_scan()
    bpy.context.view_layer.update()
    assert np.allclose(body.scale, 1000, rtol=1e-4)
    assert np.allclose(body.dimensions, item.dimensions, rtol=1e-3)
    ops.add_label(name="Table")
    ops.add_mark(label=1, location=(1200, 800, 500))
    waited(live, lambda: live.session().up_to_date)
    assert not live.session().mark_problems and (scan.read_labels(body.data)[0] == 1).any()


def test_colours_of_an_image_and_a_mirrored_object(own):
    mesh = bpy.data.meshes.new("Square")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [], [(0, 1, 2, 3)])
    mesh.uv_layers.new().uv.foreach_set("vector", [0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.9])
    image = bpy.data.images.new("T", 2, 1)
    image.pixels.foreach_set(np.float32([1, 0, 0, 1, 0, 0, 1, 1]))
    material = bpy.data.materials.new("M")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    base = material.node_tree.nodes["Principled BSDF"].inputs["Base Color"]
    material.node_tree.links.new(node.outputs["Color"], base)
    mesh.materials.append(material)
    item = bpy.data.objects.new("Square", mesh)
    bpy.context.scene.collection.objects.link(item)
    item.scale = (-1, 1, 1)
    bpy.context.view_layer.update()
    made = solid.mesh_of_object(item, bpy.context.evaluated_depsgraph_get())
    assert made.colors.tolist() == [[255, 0, 0], [0, 0, 255], [0, 0, 255], [255, 0, 0]]
    a, b, c = (made.positions[made.faces[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all() and made.positions[:, 0].min() == -1


def test_what_cannot_be_labelled_says_so(own):
    with pytest.raises(RuntimeError, match="poll"):
        ops.label_mesh()
    mesh = bpy.data.meshes.new("Lines")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0)], [(0, 1)], [])
    item = bpy.data.objects.new("Lines", mesh)
    bpy.context.scene.collection.objects.link(item)
    bpy.context.view_layer.objects.active = item
    with pytest.raises(RuntimeError, match="no faces"):
        ops.label_mesh()
    with pytest.raises(RuntimeError, match="There is no file"):
        ops.import_mesh(filepath="/nowhere/scan.ply")
