"""Files for other programs: written in folders like the tree, read again, compared with what was in the scene."""

import json
import struct
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import export, objects

sys.path.append(str(Path(__file__).parent))
from separated_room import CAPTURE, build, picture_of, room

FILES = {  # points, size, red of the texture
    "Struktur/Boden/Boden": (4, (2.0, 2.0, 0.0), 0),
    "Möbel_ alt_neu/Chair/Chair": (8, (0.4, 0.4, 0.5), 40),
    "Möbel_ alt_neu/Chair/Chair_001": (8, (0.4, 0.4, 0.5), 80),
}


@pytest.fixture
def scene():
    """A scene with textured objects that have hulls."""
    made = room()
    build(made, texture=32, hulls=1)
    bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
    return made


def state():
    """Names of all that is in the file, and where objects are."""
    names = {(block.bl_rna.name, block.name) for block in bpy.data.user_map()}
    return names, {item.name: [list(row) for row in item.matrix_world] for item in bpy.data.objects}


def read_back(path):
    """The objects of an exported file, in a file of their own."""
    bpy.ops.wm.read_homefile(use_empty=True)
    if path.suffix == ".obj":
        bpy.ops.wm.obj_import(filepath=str(path))
    else:
        bpy.ops.import_scene.gltf(filepath=str(path))
    bpy.context.view_layer.update()
    return [item for item in bpy.data.objects if item.type == "MESH"]


def shown_picture(item):
    """The picture in an object's material, (h, w, 4) uint8, top row first."""
    (node,) = (node for node in item.data.materials[0].node_tree.nodes if node.type == "TEX_IMAGE")
    width, height = node.image.size
    pixels = np.empty(width * height * 4, np.float32)
    node.image.pixels.foreach_get(pixels)
    return np.rint(pixels.reshape(height, width, 4)[::-1] * 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["GLB", "GLTF", "OBJ"])
def test_files_read_again_are_what_was_in_the_scene(scene, tmp_path, kind):
    folder, ending = tmp_path / "Dateien ü", export.FORMATS[kind]
    before = state()
    for _ in range(2):  # the second time in place of the first
        assert bpy.ops.clickfield.export_assets(directory=str(folder), format=kind) == {"FINISHED"}
    assert state() == before
    found = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob(f"*{ending}")}
    assert found == set(FILES) and not [path for path in folder.rglob(".*")]
    for name, (count, size, red) in FILES.items():
        (item,) = read_back(folder / f"{name}{ending}")
        assert item.name == Path(name).name.replace("_", ".")
        points = np.unique([item.matrix_world @ vertex.co for vertex in item.data.vertices], axis=0).round(5)
        np.testing.assert_allclose(np.ptp(points, axis=0), size, atol=1e-5)
        assert len(np.unique(points, axis=0)) == count and abs(points[:, 2].min()) < 1e-5
        assert item.data.uv_layers
        assert np.array_equal(shown_picture(item)[..., :3], picture_of(32, red)[..., :3])


def test_gltf_says_what_was_seen_and_what_it_is(scene, tmp_path):
    bpy.ops.clickfield.export_assets(directory=str(tmp_path), format="GLB")
    data = (tmp_path / "Möbel_ alt_neu" / "Chair" / "Chair.glb").read_bytes()
    written = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    (node,), (mesh,) = written["nodes"], written["meshes"]
    assert (node["name"], mesh["name"]) == ("Chair", "Chair") and "clickfield" not in node["extras"]
    assert node["extras"]["scan_closed"] == 1 and len(node["extras"]["scan_to_object"]) == 16
    assert {"_OBSERVED", "TEXCOORD_0"} <= set(mesh["primitives"][0]["attributes"])
    assert "COLOR_0" not in mesh["primitives"][0]["attributes"]  # it would darken the texture
    (item,) = read_back(tmp_path / "Möbel_ alt_neu" / "Chair" / "Chair.glb")
    seen = np.empty(len(item.data.vertices), np.float32)
    item.data.attributes["_OBSERVED"].data.foreach_get("value", seen)
    points = np.array([vertex.co for vertex in item.data.vertices])
    invented = (points[:, 0] < 0) & (points[:, 1] < 0)  # the first two of the box's corners
    assert np.array_equal(seen == 0, invented)


def test_colours_of_points_are_written_where_there_is_no_texture(scene, tmp_path):
    build(scene)
    bpy.ops.clickfield.export_assets(directory=str(tmp_path))
    (item,) = read_back(tmp_path / "Möbel_ alt_neu" / "Chair" / "Chair.glb")
    rgba = np.empty(4 * len(item.data.color_attributes[0].data), np.float32)
    item.data.color_attributes[0].data.foreach_get("color_srgb", rgba)
    np.testing.assert_allclose(255 * rgba.reshape(-1, 4)[0, :3], (90, 120, 30), atol=1)


def test_levels_and_hulls_on_request(scene, tmp_path):
    chair = bpy.data.objects["Chair.001"]
    for item in bpy.context.view_layer.objects:
        item.select_set(item == chair)
    bpy.ops.clickfield.export_assets(directory=str(tmp_path), which="SELECTED", levels=True, hulls=True)
    (path,) = tmp_path.rglob("*.glb")
    names = {item.name for item in read_back(path)}
    assert names == {*(f"Chair.001_LOD{number}" for number in range(4)), "UCX_Chair.001_00"}


def test_what_cannot_be_written_is_counted_and_the_rest_goes_on(scene, tmp_path):
    (tmp_path / "Struktur").write_text("in the way")
    with pytest.raises(RuntimeError, match="1 objects could not be written"):
        bpy.ops.clickfield.export_assets(directory=str(tmp_path))
    assert len(list(tmp_path.rglob("*.glb"))) == 2
    with pytest.raises(RuntimeError, match="Choose the folder"):
        bpy.ops.clickfield.export_assets(directory=" ")


def test_stopping_leaves_whole_files_and_the_scene_as_it_was(scene, tmp_path):
    before, outcome = state(), export.Outcome()
    items = objects.separated_objects(scene, CAPTURE)
    steps = export.export(scene, items, tmp_path, export.Options(), outcome)
    next(steps)
    next(steps)
    steps.close()
    assert outcome.files == [tmp_path / "Struktur" / "Boden" / "Boden.glb"] and state() == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == outcome.files


def test_another_blender_writes_the_same_files_and_can_be_stopped(scene, tmp_path):
    before, items = state(), objects.separated_objects(scene, CAPTURE)
    (tmp_path / "aside" / "Struktur").parent.mkdir()
    (tmp_path / "aside" / "Struktur").write_text("in the way")
    written = {}
    for folder, aside in (("here", False), ("aside", True)):
        outcome = export.Outcome()
        told = [*export.export(scene, items, tmp_path / folder, export.Options("OBJ", True, True), outcome, aside)]
        assert {text for _, text in told} >= {item.name for item in items[1:]}
        assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
        written[folder] = {path.name: path.read_bytes() for path in sorted(tmp_path.joinpath(folder).rglob("Ch*.obj"))}
        assert len(outcome.files) == 3 - aside and len(outcome.failed) == aside
    assert written["aside"] == written["here"] and len(written["here"]) == 2
    outcome = export.Outcome()
    steps = export.export(scene, items, tmp_path / "stopped", export.Options(), outcome, aside=True)
    next(steps)
    next(steps)
    steps.close()  # kills it
    assert {path for path in (tmp_path / "stopped").rglob("*") if path.is_file()} == set(outcome.files)
    assert not [*(tmp_path / "stopped").rglob(".clickfield*")]
    assert state() == before


def test_two_names_that_some_systems_hold_for_one_get_two_files(scene, tmp_path):
    bpy.data.objects["Chair.001"].name = "CHAIR"
    items = objects.separated_objects(scene, CAPTURE)
    paths = export.targets(scene, items, tmp_path, "OBJ")
    assert [path.name for path in paths] == ["Boden.obj", "Chair.obj", "CHAIR 2.obj"]
