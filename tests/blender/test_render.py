"""Label renders: the id under every pixel's centre, known from the geometry alone."""

import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import passes, pixels, scan
from mathutils import Matrix, Vector

sys.path.insert(0, str(Path(__file__).parent))
from separated_room import CAPTURE, build, room

WIDTH, HEIGHT = 64, 48
FX, FY, CX, CY = 60.0, 66.0, 30.2, 25.7


@pytest.fixture
def camera():
    """A capture camera with its own lens, looking at the room; its last label is large."""
    scene = room()
    scene.clickfield.labels[3].uid = 40321
    data = bpy.data.cameras.new("000007")
    made = bpy.data.objects.new("000007", data)
    own = made.clickfield
    own.role, own.capture_id, own.frame, own.width, own.height = "CAMERA", CAPTURE, "000007", WIDTH, HEIGHT
    own.fx, own.fy, own.cx, own.cy = FX, FY, CX, CY
    from bl_ext.dev.clickfield.blender_addon.scene import cameras

    cameras.set_lens(made)
    made.location = (2.6, -1.9, 2.3)
    made.rotation_euler = (Vector((0.9, 0.8, 0.1)) - made.location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(made)
    scene.camera = made
    mesh = scan.find_scan(scene, CAPTURE).data
    labels, confidence = scan.read_labels(mesh)
    labels[labels == 4] = 40321
    labels[-1] = 2  # the faces around this corner of a chair straddle two labels
    scan.paint(mesh, labels, confidence, scan.read_photo(mesh), {})
    bpy.context.view_layer.update()
    return made


def cast(camera):
    """Label of the face under each pixel's centre and its z-depth, by brute force; and how near an edge it is."""
    mesh = scan.find_scan(bpy.context.scene, CAPTURE).data
    points, faces = scan.read_positions(mesh).astype(float), scan.read_faces(mesh)
    labels = np.array([np.bincount(row).argmax() for row in scan.read_labels(mesh)[0][faces]])
    matrix = np.array(camera.matrix_world @ Matrix.Diagonal((1, -1, -1, 1)))
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([(u - CX) / FX, (v - CY) / FY, np.ones_like(u, float)], -1) @ matrix[:3, :3].T
    depth, label = np.full((HEIGHT, WIDTH), np.inf), np.zeros((HEIGHT, WIDTH), int)
    margin = np.full((HEIGHT, WIDTH), np.inf)
    for face, uid in zip(faces, labels, strict=True):
        a, b, c = points[face]
        normal = np.cross(b - a, c - a)
        t = ((a - matrix[:3, 3]) @ normal) / (rays @ normal)
        hit = matrix[:3, 3] + t[..., None] * rays
        sides = [np.cross(q - p, hit - p) @ normal / (normal @ normal) for p, q in ((a, b), (b, c), (c, a))]
        inside = np.min(sides, axis=0)
        margin = np.minimum(margin, np.where(t > 0, np.abs(inside), np.inf))
        nearer = (inside >= 0) & (t > 0) & (t < depth)
        depth, label = np.where(nearer, t, depth), np.where(nearer, uid, label)
    return label, np.where(np.isfinite(depth), depth, 0), margin > 0.004


def test_every_pixel_has_the_label_of_the_face_at_its_centre(camera):
    made = passes.render_labels(bpy.context.scene, camera, CAPTURE)
    label, depth, clear = cast(camera)
    assert made.labels.shape == (HEIGHT, WIDTH) and made.labels.dtype == np.uint16
    assert clear.mean() > 0.9 and set(np.unique(label)) == {0, 2, 40321}
    assert np.array_equal(made.labels[clear], label[clear])
    np.testing.assert_allclose(made.depth[clear], depth[clear], atol=2e-3)
    assert (made.labels[~clear] != label[~clear]).mean() < 0.2  # on edges the neighbour may win
    assert set(np.unique(made.labels)) == {0, 2, 40321}  # nothing in between
    assert np.abs(made.photo[clear & (label > 0)].astype(int) - [100, 150, 200]).max() <= 1


def everything(scene):
    """Names of all datablocks but Blender's own store of the last render, and settings that a render could change."""
    names = sorted(block.name for block in bpy.data.user_map() if block.name != "Render Result")
    return names, scene.render.engine, scene.render.resolution_x, scene.render.filepath, scene.camera.name


def test_pictures_hold_exactly_what_was_rendered_and_the_scene_stays(camera, tmp_path):
    scene = bpy.context.scene
    scan.find_scan(scene, CAPTURE).hide_render = True
    before = everything(scene)
    folder = tmp_path / "Bilder ü"
    bpy.ops.clickfield.render_labels(directory=str(folder))
    assert everything(scene) == before
    assert scan.find_scan(scene, CAPTURE).hide_render
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["000007.color.png", "000007.label_colors.png", "000007.labels.png"]
    stored = bpy.data.images.load(str(folder / "000007.labels.png"))
    stored.colorspace_settings.name = "Non-Color"
    values = np.empty(WIDTH * HEIGHT * 4, np.float32)
    stored.pixels.foreach_get(values)
    ids = np.rint(values.reshape(HEIGHT, WIDTH, 4)[::-1, :, 0] * 65535).astype(int)
    assert np.array_equal(ids, passes.render_labels(scene, camera, CAPTURE).labels)


def test_setup_adds_a_layer_and_keeps_the_pictures_own(camera):
    scene = bpy.context.scene
    build(scene)
    names = [layer.name for layer in scene.view_layers]
    for _ in range(2):
        bpy.ops.clickfield.setup_label_render()
    assert [layer.name for layer in scene.view_layers] == [*names, "Labels"]
    layer = scene.view_layers["Labels"]
    assert [(aov.name, aov.type) for aov in layer.aovs] == [("Label", "VALUE"), ("Photo", "COLOR")]
    assert not scene.view_layers[names[0]].aovs
    for item in (scan.find_scan(scene, CAPTURE), bpy.data.objects["Chair"]):
        outputs = [node for node in item.data.materials[0].node_tree.nodes if node.type == "OUTPUT_AOV"]
        assert sorted(node.aov_name for node in outputs) == ["Label", "Photo"]
        assert item.data.attributes["label_face"].domain == "FACE"


def test_setup_renders_unmixed_labels_at_any_samples(camera, tmp_path):
    scene = bpy.context.scene
    bpy.ops.clickfield.setup_label_render()
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.cycles.samples = 2
    scene.cycles.use_denoising = False
    scene.render.filepath = str(tmp_path / "all.exr")
    bpy.ops.render.render(write_still=True)
    channels = pixels.read_exr(tmp_path / "all.exr")
    name = next(name for name in channels if name.startswith("Labels.Label."))
    assert set(np.unique(channels[name])) == {0, 2, 40321}
    assert any("CryptoObject00" in name for name in channels)


def test_face_labels_follow_the_majority():
    labels = np.array([5, 5, 9, 7], np.uint16)
    faces = np.array([[0, 1, 2], [2, 0, 1], [0, 2, 1], [0, 1, 1], [0, 2, 3]])
    assert passes.face_labels(labels, faces).tolist() == [5, 5, 5, 5, 5]
    assert passes.face_labels(labels, np.array([[2, 0, 1], [3, 2, 2]])).tolist() == [5, 9]


def test_exr_that_is_none_is_refused(tmp_path):
    (tmp_path / "x.exr").write_bytes(b"not an exr at all")
    with pytest.raises(ValueError, match="not a single-part"):
        pixels.read_exr(tmp_path / "x.exr")


def test_what_is_missing_is_told(camera, own, tmp_path):
    with pytest.raises(RuntimeError, match="no such camera"):
        bpy.ops.clickfield.render_labels(directory=str(tmp_path), camera="Scan")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RuntimeError, match="cannot be written"):
        bpy.ops.clickfield.render_labels(directory=str(tmp_path / "file"))
    own.capture_id = "other"
    with pytest.raises(RuntimeError, match="no scan"):
        bpy.ops.clickfield.setup_label_render()
