"""The scan mesh: exact surface, attributes that show it, and rays that meet it."""

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import picking, scan, shades

GREY = 128


def sphere(rings=20, segments=30):
    """Positions (V, 3) float32, faces (F, 3) int32 and colours (V, 3) uint8 of an open band of a unit sphere."""
    theta, phi = np.meshgrid(np.linspace(0.3, 2.8, rings), np.linspace(0, 2 * np.pi, segments, False), indexing="ij")
    positions = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    index = np.arange(rings * segments).reshape(rings, segments)
    a, b = index[:-1], np.roll(index, -1, 1)[:-1]
    c, d = np.roll(index, -1, 1)[1:], index[1:]
    faces = np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])
    colors = np.random.default_rng(0).integers(0, 256, (len(positions), 3), dtype=np.uint8)
    return positions.astype(np.float32), faces.astype(np.int32), colors


def built():
    positions, faces, colors = sphere()
    made = scan.new_scan(bpy.context.scene.collection, "Scan", "id")
    for _ in scan.fill(made.data, scan.topology(positions, faces, colors)):
        pass
    return made, positions, faces, colors


def test_mesh_is_exact_and_valid():
    made, positions, faces, colors = built()
    assert not made.data.validate(verbose=True)
    assert np.array_equal(scan.read_positions(made.data), positions)
    assert np.array_equal(scan.read_faces(made.data), faces)
    assert np.array_equal(scan.read_photo(made.data), colors)
    v, e, f = len(positions), len(made.data.edges), len(faces)
    assert v - e + f == 0  # Euler characteristic of a band
    assert scan.find_scan(bpy.context.scene, "id") == made
    assert scan.find_scan(bpy.context.scene, "other") is None


def test_filling_again_replaces_the_surface():
    made, positions, faces, _ = built()
    smaller = scan.topology(positions, faces[:10], np.full((len(positions), 3), GREY, np.uint8))
    for _ in scan.fill(made.data, smaller):
        pass
    assert len(made.data.polygons) == 10 and not made.data.validate()


def test_labels_are_painted_and_read_back_bit_for_bit():
    made, positions, _, colors = built()
    random = np.random.default_rng(1)
    labels = random.choice(np.array([0, 3, 65535], dtype=np.uint16), len(positions))
    confidence = random.integers(0, 256, len(positions), dtype=np.uint8)
    scan.paint(made.data, labels, confidence, colors, {3: (1.0, 0.0, 0.0), 65535: (0.0, 0.0, 1.0)})
    back = scan.read_labels(made.data)
    assert np.array_equal(back[0], labels) and np.array_equal(back[1], confidence)
    kinds = {a.name: (a.data_type, a.domain) for a in made.data.attributes}
    assert kinds["label"] == ("INT", "POINT") and kinds["confidence"] == ("FLOAT", "POINT")
    assert kinds["Color"] == ("BYTE_COLOR", "POINT") and kinds["Label Color"] == ("FLOAT_COLOR", "POINT")


def test_paint_refuses_another_number_of_vertices():
    made, _positions, _, colors = built()
    with pytest.raises(ValueError, match="5 labels for"):
        scan.paint(made.data, np.zeros(5, np.uint16), np.zeros(5, np.uint8), colors, {})


def test_label_colours_are_told_apart_and_the_rest_is_grey():
    photo = np.full((3, 3), 200, np.uint8)
    rgb = shades.label_colors(
        np.array([0, 2, 9], np.uint16), np.array([255, 255, 255], np.uint8), photo, {2: (1.0, 0.0, 0.0)}
    )
    assert np.ptp(rgb[0]) == 0 and np.array_equal(rgb[0], rgb[2])  # 9 is not in the tree any more
    assert rgb[1, 0] > 3 * rgb[1, 1]
    pale = shades.label_colors(np.array([2], np.uint16), np.array([0], np.uint8), photo[:1], {2: (1.0, 0.0, 0.0)})
    assert np.ptp(pale[0]) < np.ptp(rgb[1])


def test_attribute_of_a_wrong_type_is_replaced():
    made, positions, _, colors = built()
    made.data.attributes.remove(made.data.attributes["label"])
    made.data.attributes.new("label", "FLOAT", "FACE")
    scan.paint(made.data, np.full(len(positions), 4, np.uint16), np.zeros(len(positions), np.uint8), colors, {})
    assert made.data.attributes["label"].data_type == "INT"


def test_rays_meet_the_surface_where_blender_says():
    made, positions, faces, _ = built()
    picker = picking.Picker(positions, faces)
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(60):
        start = random.normal(size=3) * 3
        direction = random.normal(size=3) * 0.5 - start
        found, expected, *_ = made.ray_cast(start, direction)
        mine = picker.cast(start, direction)
        assert (mine is not None) == found
        if found:
            hits += 1
            assert np.allclose(mine, expected, atol=1e-4)
    assert hits > 20


def test_ray_finds_nothing_behind_and_nothing_in_an_empty_mesh():
    positions, faces, _ = sphere()
    picker = picking.Picker(positions, faces)
    assert picker.cast(np.array([3.0, 0, 0]), np.array([1.0, 0, 0])) is None
    assert picking.Picker(positions, faces[:0]).cast(np.zeros(3), np.array([1.0, 0, 0])) is None


def test_material_shows_the_active_colours():
    made, *_ = built()
    scan.show_colors(made.data, scan.LABELS)
    assert made.data.color_attributes.active_color.name == "Label Color"
    assert made.data.color_attributes[made.data.color_attributes.render_color_index].name == "Label Color"
    nodes = made.data.materials[0].node_tree.nodes
    assert any(node.type == "VERTEX_COLOR" and node.layer_name == "" for node in nodes)
