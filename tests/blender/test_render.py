"""Label renders: the id under every pixel's centre, known from the geometry alone."""

import json
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import (
    cameras,
    label_files,
    label_render,
    legend,
    objects,
    passes,
    pixels,
    scan,
    shots,
)
from mathutils import Matrix, Vector

sys.path.insert(0, str(Path(__file__).parent))
from separated_room import CAPTURE, answer, build, room

IDS = {0, 2, 40321}

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
    cameras.set_lens(made)
    made.location = (2.6, -1.9, 2.3)
    made.rotation_euler = (Vector((0.9, 0.8, 0.1)) - made.location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(made)
    scene.camera = made
    mesh = scan.find_scan(scene, CAPTURE).data
    labels, confidence = scan.read_labels(mesh)
    labels[labels == 4] = 40321
    labels[-1] = 2  # the faces around this corner of a chair straddle two labels
    instances = np.array([0] * 4 + [3] * 8 + [9] * 8, np.uint16)
    passes.write_instances(mesh, labels, instances)
    scan.paint(mesh, labels, confidence, scan.read_photo(mesh), {})
    bpy.context.view_layer.update()
    return made


def cast(camera, items):
    """Label, instance and z-depth under each pixel's centre, by brute force; and which pixels are clear of edges."""
    triangles, ids = [], []
    for item in items:
        mesh, matrix = item.data, np.array(item.matrix_world)
        points = scan.read_positions(mesh) @ matrix[:3, :3].T + matrix[:3, 3]
        labels, _ = scan.read_labels(mesh)
        own = item.clickfield
        numbers = passes.read_instances(mesh, labels) + (own.instance if own.label != 2 else 0)
        for face in scan.read_faces(mesh):
            triangles.append(points[face])
            most = np.bincount(labels[face]).argmax()
            ids.append((most, numbers[face][labels[face] == most][0]))
    matrix = np.array(camera.matrix_world @ Matrix.Diagonal((1, -1, -1, 1)))
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([(u - CX) / FX, (v - CY) / FY, np.ones_like(u, float)], -1) @ matrix[:3, :3].T
    depth, found = np.full((HEIGHT, WIDTH), np.inf), np.zeros((HEIGHT, WIDTH, 2), int)
    margin = np.full((HEIGHT, WIDTH), np.inf)
    for (a, b, c), own in zip(triangles, ids, strict=True):
        normal = np.cross(b - a, c - a)
        t = ((a - matrix[:3, 3]) @ normal) / (rays @ normal)
        hit = matrix[:3, 3] + t[..., None] * rays
        sides = [np.cross(q - p, hit - p) @ normal / (normal @ normal) for p, q in ((a, b), (b, c), (c, a))]
        inside = np.min(sides, axis=0)
        margin = np.minimum(margin, np.where(t > 0, np.abs(inside), np.inf))
        nearer = (inside >= 0) & (t > 0) & (t < depth)
        depth, found = np.where(nearer, t, depth), np.where(nearer[..., None], own, found)
    return found[..., 0], found[..., 1], np.where(np.isfinite(depth), depth, 0), margin > 0.004


def rendered(camera, tmp_path, **wishes):
    """What one camera sees, through the files of the EXR that Blender stores."""
    scene = bpy.context.scene
    wishes = label_render.Wishes(exr=True, **wishes)
    label_render.run(label_render.series(scene, CAPTURE, shots.of_cameras(scene, [camera]), wishes, tmp_path))
    return label_files.unpacked(pixels.read_exr(tmp_path / "exr" / "000007.exr"))


def read_png(path):
    """(H, W, 4) 0..1 as stored, top row first."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    values = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(values)
    values = values.reshape(image.size[1], image.size[0], 4)[::-1]
    bpy.data.images.remove(image)
    return values


def read_ids(path):
    """(H, W) ids of a 16-bit PNG."""
    return np.rint(read_png(path)[..., 0] * 65535).astype(int)


@pytest.mark.parametrize("source", ["SCAN", "OBJECTS"])
def test_every_pixel_has_the_ids_of_the_face_at_its_centre(camera, tmp_path, source):
    scene = bpy.context.scene
    if source == "OBJECTS":
        build(scene)
        scene.clickfield.labels[1].thing = False  # the floor is stuff: it has no number
        for item in passes.labelled_objects(scene, CAPTURE, "OBJECT"):
            labels, confidence = scan.read_labels(item.data)
            scan.write_labels(item.data, np.where(labels == 4, 40321, labels).astype(np.uint16), confidence)
    blur = camera.data.dof
    blur.use_dof, blur.focus_distance, blur.aperture_fstop = True, 0.5, 0.1
    items = passes.chosen_objects(scene, CAPTURE, source)
    assert {item.clickfield.role for item in items} == {source.removesuffix("S")}
    made = rendered(camera, tmp_path, source=source)
    label, instance, depth, clear = cast(camera, items)
    assert made.labels.shape == (HEIGHT, WIDTH) and made.labels.dtype == np.uint16
    assert clear.mean() > 0.85 and set(np.unique(label)) == set(np.unique(made.labels)) == IDS
    assert np.array_equal(made.labels[clear], label[clear])
    assert np.array_equal(made.instances[clear], instance[clear])
    assert set(np.unique(made.instances)) == ({0, 3, 9} if source == "SCAN" else {0, 1, 2})
    assert list(made.levels) == [1]
    above = np.select([label == 2, label == 40321], [1, 3])
    assert np.array_equal(made.levels[1][clear], above[clear])
    np.testing.assert_allclose(made.depth[clear], depth[clear], atol=2e-3)
    assert (made.labels[~clear] != label[~clear]).mean() < 0.2  # on edges the neighbour may win
    if source == "SCAN":
        assert np.abs(made.photo[clear & (label > 0)].astype(int) - [100, 150, 200]).max() <= 1
    for name, ids in (("labels", made.labels), ("instances", made.instances), ("level_1", made.levels[1])):
        assert np.array_equal(read_ids(tmp_path / name / "000007.png"), ids)
    stored = read_ids(tmp_path / "depth" / "000007.png")
    assert np.array_equal(stored, np.rint(made.depth * 1000).astype(int))


def everything(scene):
    """Names of all datablocks but Blender's own last render and font, and what a render could change."""
    names = sorted(block.name for block in bpy.data.user_map() if block.name not in ("Render Result", "Bfont Regular"))
    render = scene.render
    state = render.engine, render.resolution_x, render.filepath, scene.camera.name, scene.frame_current
    return names, state, [layer.name for layer in scene.view_layers], scene.world


def test_an_animation_is_rendered_with_its_cameras_and_the_scene_stays(camera, tmp_path):
    scene = bpy.context.scene
    camera.keyframe_insert("location", frame=1)
    camera.location.z += 0.4
    camera.keyframe_insert("location", frame=5)
    camera.clickfield.role = "NONE"  # a camera of one's own: with the scene's resolution
    camera.data.shift_x = 0.07
    scene.render.resolution_x, scene.render.resolution_y, scene.render.pixel_aspect_y = 80, 50, 1.5
    scene.frame_start, scene.frame_end, scene.frame_step = 1, 5, 4
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 2, False
    body = scan.find_scan(scene, CAPTURE)
    body.location, body.hide_render = (0.3, 0.2, 0.1), True
    bpy.context.view_layer.update()
    before = everything(scene)
    folder = tmp_path / "Bilder ü"
    options = {"cameras": "ANIMATION", "beauty": True, "exr": True, "legend": True}
    bpy.ops.clickfield.render_labels(directory=str(folder), **options)
    assert everything(scene) == before and body.hide_render
    kinds = ("depth", "images", "instances", "label_colors", "labels", "level_1")
    for kind in kinds:
        assert sorted(path.name for path in (folder / kind).iterdir()) == ["000001.png", "000005.png"]
    assert len(list((folder / "exr").iterdir())) == 4 and len(list(folder.iterdir())) == len(kinds) + 3
    names = pixels.read_exr(folder / "exr" / "000005.beauty.exr")
    assert any(name.endswith("Combined.R") for name in names) and any("CryptoObject00" in name for name in names)
    data = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    assert {"Chair", "Boden"} < set(json.loads((folder / "classes.json").read_text("utf-8"))["classes"].values())
    assert not np.array_equal(read_ids(folder / "labels" / "000001.png"), read_ids(folder / "labels" / "000005.png"))
    for entry in data["frames"]:
        labels, depth = (read_ids(folder / kind / Path(entry["file_path"]).name) for kind in ("labels", "depth"))
        assert labels.shape == (entry["h"], entry["w"]) == (50, 80)
        v, u = np.nonzero(labels == 2)  # the floor: back in the scan's own coordinates it is flat at 0
        z = depth[v, u] / 1000
        rays = np.stack(
            [(u + 0.5 - entry["cx"]) / entry["fl_x"], -(v + 0.5 - entry["cy"]) / entry["fl_y"], -np.ones_like(z)]
        )
        points = (np.array(entry["transform_matrix"])[:3] @ np.vstack([rays * z, np.ones_like(z)])).T
        assert len(points) > 300 and np.abs(points[:, 2]).max() < 3e-3
        assert points[:, :2].min() > -1e-2 and points[:, :2].max() < 2.01


def test_legend_names_the_labels_and_cameras_are_added_to_the_folder(camera, tmp_path):
    scene = bpy.context.scene
    scene.collection.objects.link(bpy.data.objects.new("Other", bpy.data.cameras.new("Other")))
    for chosen in (False, True):
        bpy.ops.clickfield.render_labels(directory=str(tmp_path / str(chosen)), legend=chosen)
        assert bpy.ops.clickfield.render_labels(directory=str(tmp_path / "both"), camera=("Other", "000007")[chosen])
    frames = json.loads((tmp_path / "both" / "transforms.json").read_text(encoding="utf-8"))["frames"]
    assert [frame["file_path"] for frame in frames] == ["images/000007.png", "images/Other.png"]
    plain, drawn = (read_png(tmp_path / str(chosen) / "label_colors" / "000007.png") for chosen in (False, True))
    changed = (np.abs(plain - drawn).max(axis=-1) > 0.5 / 255).nonzero()
    assert plain.shape == drawn.shape and changed[0].min() >= HEIGHT // 4 and changed[1].max() < WIDTH // 2 + 4
    picture = np.full((400, 600, 3), 200, np.uint8)
    legend.draw(picture, [("Möbel: alt", (1.0, 0.0, 0.0)), ("Wand", (0.0, 0.0, 1.0))])
    panel = (picture != 200).any(axis=-1)
    rows, columns = panel.nonzero()
    assert (
        rows.min() > 300
        and columns.max() < 300
        and panel[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
    )
    reds, blues = ((picture == color).all(axis=-1).nonzero() for color in ((255, 0, 0), (0, 0, 255)))
    assert len(reds[0]) == len(blues[0]) > 40 and reds[0].max() < blues[0].min()
    ink = (picture[..., 1] > 110) & panel  # letters: more of them where the name is longer
    assert ink[: reds[0].max() + 2].sum() > ink[reds[0].max() + 2 :].sum() > 20
    many = np.full((120, 160, 3), 200, np.uint8)
    legend.draw(many, [(f"label {i}", (0.0, 1.0, 0.0)) for i in range(40)])
    assert 0 < (many == (0, 255, 0)).all(axis=-1).sum() < 120 * 20


def filled():
    """What `separate` answers of the scan without its things."""
    data, arrays = answer(filled=True)
    return data["filled"], arrays


def test_setup_keeps_the_picture_and_stores_unmixed_ids(camera, tmp_path):
    scene = bpy.context.scene
    build(scene)
    names = [layer.name for layer in scene.view_layers]
    for _ in objects.build_filled(scene, CAPTURE, *filled()):
        pass
    bpy.ops.clickfield.setup_label_render(cameras="CAPTURE", source="SCAN")
    scene.view_layers["Labels"].aovs.add().name = "Mine"  # colours come first, whoever made them
    bpy.ops.clickfield.setup_label_render(cameras="CAPTURE", source="SCAN")
    assert [layer.name for layer in scene.view_layers] == [*names, "Labels"]
    layer = scene.view_layers["Labels"]
    aovs = [("Photo", "COLOR"), ("Mine", "COLOR"), ("Label", "VALUE"), ("Instance", "VALUE"), ("Level 1", "VALUE")]
    assert [(aov.name, aov.type) for aov in layer.aovs] == aovs and not scene.view_layers[names[0]].aovs
    body = scan.find_scan(scene, CAPTURE)
    outputs = [node.aov_name for node in body.data.materials[0].node_tree.nodes if node.type == "OUTPUT_AOV"]
    assert sorted([*outputs, "Mine"]) == sorted(name for name, _ in aovs)
    assert not body.hide_render and all(item.hide_render for item in passes.labelled_objects(scene, CAPTURE, "OBJECT"))
    assert objects.find_filled(scene, CAPTURE).hide_render
    assert (scene.frame_start, scene.frame_end) == (1, 1) and scene.timeline_markers[0].camera == camera
    assert (scene.render.resolution_x, scene.render.resolution_y) == (WIDTH, HEIGHT)
    drivers = {curve.data_path: curve.driver for curve in scene.animation_data.drivers}
    assert list(drivers) == ["cycles.filter_width"] and scene.cycles.filter_width == 1.5
    assert all(driver.is_valid and driver.is_simple_expression for driver in drivers.values())  # runs in any file
    scene.cycles.samples, scene.cycles.use_denoising = 2, False
    scene.render.filepath = str(tmp_path / "all.exr")
    bpy.ops.render.render(write_still=True)
    channels = pixels.read_exr(tmp_path / "all.exr")
    label, instance, _, clear = cast(camera, [body])  # through the pixels' centres, though the picture is filtered
    for name, known in (("Label", label), ("Instance", instance)):
        assert np.array_equal(channels[f"Labels.{name}.X"][clear], known[clear])
    ids = {name: set(np.unique(channels[f"Labels.{name}.X"])) for name in ("Label", "Instance", "Level 1")}
    assert ids == {"Label": IDS, "Instance": {0, 3, 9}, "Level 1": {0, 1, 3}}
    for one in (names[0], "Labels"):
        assert {f"{one}.CryptoObject00.r", f"{one}.Depth.Z"} <= set(channels)
    other = pytest.importorskip("OpenEXR").File(str(tmp_path / "all.exr"), separate_channels=True)
    for name in ("Labels.Label.X", "Labels.Instance.X", "Labels.Depth.Z"):
        assert np.array_equal(other.parts[0].channels[name].pixels, channels[name])


def test_setup_leaves_alone_what_a_person_animates_or_writes():
    scene = room()
    assert not passes.setup(scene, CAPTURE, "EEVEE")
    (driver,) = [one.driver for one in scene.animation_data.drivers if one.data_path == "render.filter_size"]
    assert driver.expression == "0 if labels_layer else 1.5"
    driver.expression = "0 if labels_layer else 2"
    assert not passes.setup(scene, CAPTURE, "EEVEE") and driver.expression.endswith(" 2")
    scene.cycles.keyframe_insert("filter_width", frame=1)
    (sentence,) = passes.setup(scene, CAPTURE, "CYCLES")
    assert sentence.startswith("Filter Width is animated")


def test_levels_and_instances_follow_the_labels(camera):
    scene = bpy.context.scene
    mesh = scan.find_scan(scene, CAPTURE).data
    passes.write_face_labels(mesh)

    def faces(name):
        values = np.empty(len(mesh.polygons), np.int32)
        mesh.attributes[name].data.foreach_get("value", values)
        return values

    assert set(faces("instance_face")) == {0, 3, 9} and set(faces("level_1_face")) == {1, 3}
    labels, confidence = scan.read_labels(mesh)
    labels[labels == 40321] = 2  # the numbers were those of another label
    scan.write_labels(mesh, labels, confidence)
    passes.write_face_labels(mesh)
    assert set(faces("instance_face")) == {0} and set(faces("level_1_face")) == {1} and set(faces("label_face")) == {2}


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
    assert len(bpy.data.scenes) == 1
    with pytest.raises(RuntimeError, match="no separated objects"):
        bpy.ops.clickfield.render_labels(directory=str(tmp_path), source="OBJECTS")
    own.capture_id = "other"
    with pytest.raises(RuntimeError, match="no keyframes"):
        bpy.ops.clickfield.setup_label_render(cameras="CAPTURE")
    with pytest.raises(RuntimeError, match="no scan"):
        bpy.ops.clickfield.setup_label_render()
