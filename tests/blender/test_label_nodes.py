"""Node groups on the labels: evaluated on a room whose surfaces are known."""

import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import nodes, passes, scan

sys.path.insert(0, str(Path(__file__).parent))
from separated_room import CAPTURE, build, in_scan, room

FLOOR, CHAIR, FURNITURE = 2, 4, 3


@pytest.fixture
def body():
    """The scan with its two chairs numbered 1 and 2."""
    scene = room()
    found = scan.find_scan(scene, CAPTURE)
    labels, _ = scan.read_labels(found.data)
    passes.write_instances(found.data, labels, np.array([0] * 4 + [1] * 8 + [2] * 8, np.uint16))
    bpy.context.view_layer.objects.active = found
    return found


def add(kind, uid, **inputs):
    own = bpy.context.scene.clickfield
    own.active_label = next(row for row, label in enumerate(own.labels) if label.uid == uid)
    assert bpy.ops.clickfield.add_label_nodes(kind=kind) == {"FINISHED"}
    item = scan.find_scan(bpy.context.scene, CAPTURE)
    modifier = item.modifiers[-1]
    nodes.set_inputs(modifier, inputs)
    return modifier


def evaluated(item):
    """Positions (V, 3), labels of the faces (F,) and the evaluated mesh."""
    mesh = item.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    points, labels = np.empty(len(mesh.vertices) * 3, np.float32), np.empty(len(mesh.polygons), np.int32)
    mesh.vertices.foreach_get("co", points)
    if len(labels):
        mesh.attributes["label_face"].data.foreach_get("value", labels)
    return points.reshape(-1, 3), labels, mesh


def test_hide_label_takes_away_a_label_a_group_or_the_rest(body):
    modifier = add("Hide Label", CHAIR)
    points, labels, _ = evaluated(body)
    assert len(points) == 4 and labels.tolist() == [FLOOR] * 2
    body.modifiers.remove(modifier)
    modifier = add("Hide Label", FURNITURE)  # a group: found on its level of the tree
    assert evaluated(body)[1].tolist() == [FLOOR] * 2
    body.modifiers.remove(modifier)
    add("Hide Label", CHAIR, Only=True)
    points, labels, _ = evaluated(body)
    assert len(points) == 16 and labels.tolist() == [CHAIR] * 20
    assert len([group for group in bpy.data.node_groups if group.get("clickfield_nodes") == "Hide Label"]) == 1


def test_scatter_puts_objects_on_the_label_only(body):
    mesh = bpy.data.meshes.new("Pebble")
    mesh.from_pydata([(-0.01, 0, 0), (0.01, 0, 0), (0, 0, 0.02)], [], [(0, 1, 2)])
    pebble = bpy.data.objects.new("Pebble", mesh)
    bpy.context.scene.collection.objects.link(pebble)
    pebble.select_set(True)
    add("Scatter on Label", FLOOR, Density=200.0, Seed=4, Smallest=1.0, Largest=1.0)
    graph = bpy.context.evaluated_depsgraph_get()
    places = np.array([tuple(one.matrix_world.translation) for one in graph.object_instances if one.is_instance])
    assert 600 < len(places) < 1000  # 4 square metres
    assert np.abs(places[:, 2]).max() < 1e-5 and places[:, :2].min() > 0 and places[:, :2].max() < 2
    assert len(evaluated(body)[0]) == 20  # the surface stays


def test_color_by_label_reaches_what_is_rendered(body):
    add("Color by Label", CHAIR)
    _, labels, mesh = evaluated(body)
    color = mesh.color_attributes[mesh.color_attributes.render_color_index]
    assert (color.name, color.domain) == ("Color", "CORNER")
    shown = np.empty(len(mesh.loops) * 4, np.float32)
    color.data.foreach_get("color", shown)
    wanted = np.empty(len(body.data.vertices) * 4, np.float32)
    body.data.attributes["Label Color"].data.foreach_get("color", wanted)
    corners = np.array([loop.vertex_index for loop in mesh.loops])
    np.testing.assert_allclose(shown.reshape(-1, 4), wanted.reshape(-1, 4)[corners], atol=1e-5)
    body.modifiers.clear()
    add("Color by Label", CHAIR, **{"From Ids": True, "Opacity": 0.5})
    mesh = evaluated(body)[2]
    mesh.color_attributes["Color"].data.foreach_get("color", shown)
    made = shown.reshape(-1, 3, 4)[:, 0]
    assert len(np.unique(made[labels == FLOOR].round(4), axis=0)) == 1
    assert not np.allclose(made[labels == FLOOR][0], made[labels == CHAIR][0], atol=0.05)


def test_explode_moves_things_from_their_label_and_labels_from_the_middle(body):
    add("Explode by Tree", CHAIR, Groups=2.0, Labels=0.0, Things=0.5)
    points, labels, mesh = evaluated(body)
    assert len(points) == 20 and len(labels) == 22 and "explode" not in mesh.attributes
    faces = scan.read_faces(body.data)
    before = scan.read_positions(body.data)[faces].mean(axis=1)
    corners = np.array([loop.vertex_index for loop in mesh.loops]).reshape(-1, 3)
    number = np.empty(len(labels), np.int32)
    mesh.attributes["instance_face"].data.foreach_get("value", number)
    of_label = np.array([FLOOR] * 2 + [CHAIR] * 20)
    whole, middle = before.mean(axis=0), before[of_label == CHAIR].mean(axis=0)
    for instance, rows in ((1, slice(2, 12)), (2, slice(12, 22))):
        own = before[rows].mean(axis=0)
        shift = 2.0 * (middle - whole) + 0.5 * (own - middle)
        mine = points[np.unique(corners[number == instance])]
        wanted = in_scan(instance) + shift
        apart = np.linalg.norm(mine[:, None] - wanted[None], axis=-1)
        assert len(mine) == 8 and apart.min(axis=0).max() < 1e-4 and apart.min(axis=1).max() < 1e-4


def test_nodes_that_are_not_there_are_told(body, monkeypatch, tmp_path):
    monkeypatch.setattr(nodes, "FILE", tmp_path / "nodes.blend")
    with pytest.raises(RuntimeError, match="install the extension again"):
        bpy.ops.clickfield.add_label_nodes(kind="Hide Label")
    assert not body.modifiers


def test_on_separated_objects(body):
    """Colours go on all that are selected; what is one thing has nothing to be moved apart."""
    build(bpy.context.scene)
    chosen = [bpy.data.objects[name] for name in ("Chair", "Chair.001")]
    for item in bpy.context.view_layer.objects:
        item.select_set(item in chosen)
    bpy.context.view_layer.objects.active = chosen[0]
    assert bpy.ops.clickfield.add_label_nodes(kind="Color by Label") == {"FINISHED"}
    assert [len(item.modifiers) for item in (*chosen, bpy.data.objects["Boden"], body)] == [1, 1, 0, 0]
    with pytest.raises(RuntimeError, match="make the scan the active object"):
        bpy.ops.clickfield.add_label_nodes(kind="Explode by Tree")
