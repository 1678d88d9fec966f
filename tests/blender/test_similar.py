"""Find Similar against the real backend: two boxes of one size and a taller one, scanned, labelled, separated."""

import bpy
import numpy as np
import rooms
from bl_ext.dev.clickfield.blender_addon.scene import facts, linked, objects
from real_room import import_room, painted, waited

ops = bpy.ops.clickfield
FLOOR, SIZE, TALL = -1.25, (0.7, 0.9, 0.65), (0.7, 0.9, 0.95)
CORNERS = ((0.95, 0.2), (-1.7, 0.35))  # of the two equal boxes
COLOR = (230, 120, 30)
PLACES = [*((x, y, SIZE, COLOR) for x, y in CORNERS), (-0.45, 0.6, TALL, (40, 170, 180))]
ROOM = rooms.Room(
    boxes=tuple(
        rooms.Box((x, y, FLOOR), (x + size[0], y + size[1], FLOOR + size[2]), color) for x, y, size, color in PLACES
    )
)
MARKS = (
    *(("Box", (x + 0.35, y + 0.4, FLOOR + size[2])) for x, y, size, _ in PLACES),
    ("Floor", (0.0, -0.3, FLOOR)),
    *(("Wall", place) for place in ((0.6, 1.6, -0.1), (2.0, 0.3, -0.1), (-2.0, 0.3, -0.1))),
)


def separate(live):
    """Mark and separate the room; the objects that stand where its boxes do."""
    labels = {}
    for name, place in MARKS:
        if name not in labels:
            ops.add_label(name=name, thing=name == "Box")
            labels[name] = bpy.context.scene.clickfield.labels[-1].uid
        ops.add_mark(label=labels[name], sign=1, location=place)
    painted(live)
    ops.separate()
    waited(live, lambda: not live.session().waiting)
    bpy.context.view_layer.update()
    scene = bpy.context.scene
    mine = objects.separated_objects(scene, scene.clickfield.capture_id)
    mine = [item for item in mine if item.clickfield.label == labels["Box"]]
    found = [min(mine, key=lambda item: float(np.median(from_box(item, place)))) for place in PLACES]
    assert len(set(found)) == len(PLACES)
    return found


def from_box(item, place):
    """Distances (n,) of an object's points to the surface of a box."""
    x, y, size, _ = place
    points = np.array([item.matrix_world @ vertex.co for vertex in item.data.vertices])
    q = np.abs(points - [x, y, FLOOR] - np.array(size) / 2) - np.array(size) / 2
    return np.abs(np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(axis=1), 0))


def test_equal_boxes_become_copies_of_one_mesh_and_the_taller_one_does_not(tmp_path, live):
    folder = tmp_path / "boxes"
    rooms.write_transforms(folder, n_frames=10, room=ROOM)
    import_room(folder, live)
    *equal, taller = boxes = separate(live)
    own = [item.data for item in boxes]
    alone = [facts.sentences(item) for item in equal]
    assert ops.find_similar(mesh="UNION") == {"FINISHED"}
    waited(live, lambda: not live.session().waiting)
    bpy.context.view_layer.update()
    told = linked.report_lines(bpy.context.scene, bpy.context.scene.clickfield.capture_id)
    print(told, [(item.name, tuple(item.dimensions), item["scan_observed"]) for item in boxes])
    assert equal[0].data == equal[1].data and equal[0].data not in own and taller.data == own[2]
    for item, place in zip(equal, PLACES[:2], strict=True):
        assert np.quantile(from_box(item, place), 0.9) < 0.03  # both stand where they stood
    errors = [item["scan_match_error"] for item in equal]
    assert min(errors) == 0 and 0 < max(errors) < 0.02
    said = [line for item in equal for line in facts.sentences(item)]
    assert f"A linked copy, {1000 * max(errors):.1f} mm from the best seen one" in said
    assert any("linked, at most" in line and all(item.name in line for item in equal) for line in told)
    # They say what is known of the mesh that they show, and get back what was known of their own.
    assert len({item["scan_observed"] for item in equal}) == len({item["scan_volume"] for item in equal}) == 1
    assert abs(equal[0]["scan_volume"] - signed_volume(equal[0].data)) < 1e-4
    for item in equal:
        item.select_set(True)
    assert ops.restore_own_mesh() == {"FINISHED"}
    bpy.context.view_layer.update()
    assert [facts.sentences(item) for item in equal] == alone


def signed_volume(mesh):
    points = np.array([vertex.co for vertex in mesh.vertices])
    a, b, c = (points[[triangle.vertices[k] for triangle in mesh.polygons]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
