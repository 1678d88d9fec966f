"""A .blend by somebody else: loading and looking at it opens nothing, writes nothing and keeps nobody waiting."""

import os
import threading

import bpy
import pytest
from bl_ext.dev.clickfield.backend import protocol
from bl_ext.dev.clickfield.blender_addon.bridge.states import State
from bl_ext.dev.clickfield.blender_addon.document import labels as documents
from bl_ext.dev.clickfield.blender_addon.scene import export, library

ops = bpy.ops.clickfield
SERVER = "\\\\198.51.100.7\\share\\picture.png"


def camera(picture, lens=500.0):
    """A keyframe of the scene's capture whose picture a file may place anywhere."""
    data = bpy.data.cameras.new("000000")
    made = bpy.data.objects.new("000000", data)
    own = made.clickfield
    own.role, own.capture_id, own.frame, own.image_path = "CAMERA", "feed", "000000", str(picture)
    own.width, own.height, own.fx, own.fy, own.cx, own.cy = 640, 480, lens, lens, 320, 240
    bpy.context.scene.collection.objects.link(made)
    bpy.context.scene.camera = made
    return made


def reloaded(tmp_path):
    """The scene as somebody else finds it."""
    path = str(tmp_path / "evil.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)


def looked_at(live, seconds=20):
    """Pump as the timer does; whoever waits for a pipe or a server is given up after some seconds."""
    stuck = threading.Timer(seconds, os._exit, [17])
    stuck.start()
    try:
        for _ in range(50):
            live.pump()
    finally:
        stuck.cancel()
    return bpy.context.window_manager.clickfield


@pytest.fixture
def hostile(tmp_path):
    """A scene with a capture, marks and a label, whose files are wherever a stranger wanted them."""
    own = bpy.context.scene.clickfield
    own.capture_id, own.capture_name = "feed", "../../../evil\n"
    own.capture_path = str(tmp_path / "pipe")
    label = own.labels.add()
    label.uid, label.name = 1, "../../../etc/passwd"
    mark = own.marks.add()
    mark.uid, mark.label = 1, 1
    mark.points.add().co = (0, 0, 0)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    return own


@pytest.mark.parametrize("picture", [SERVER, "pipe", "/dev/zero", "/dev/tty", "gone.png"])
def test_loading_and_looking_opens_nothing(hostile, live, tmp_path, picture):
    camera(tmp_path / picture if picture == "pipe" else picture)
    before = sorted(os.listdir(tmp_path))
    reloaded(tmp_path)
    state = looked_at(live)
    assert live.session().client.state in (State.STOPPED, State.FAILED), "nobody asked for the backend"
    assert not len(bpy.data.images)
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "evil.blend"])
    assert picture == SERVER or "is not where it was" in state.problem


@pytest.mark.parametrize("lens", [0.0, -1.0, float("nan")])
def test_a_camera_without_a_lens_is_one_sentence(hostile, live, tmp_path, lens):
    camera("gone.png", lens)
    reloaded(tmp_path)
    assert "has no lens" in looked_at(live).problem


def test_more_than_a_document_holds_is_refused_before_it_is_copied(hostile):
    label = hostile.labels[0]
    for _ in range(protocol.MAX_LABELS):
        hostile.labels.add().name = label.name
    with pytest.raises(documents.DocumentError, match=r"4,097 labels; 4,096 is the most"):
        documents.build(hostile, 1)


def test_labels_of_a_newer_clickfield_are_left_alone(hostile, tmp_path):
    hostile.schema = protocol.DOCUMENT_VERSION + 1
    reloaded(tmp_path)
    own = bpy.context.scene.clickfield
    assert own.schema == protocol.DOCUMENT_VERSION + 1, "saving does not make it an older one"
    with pytest.raises(documents.DocumentError, match="newer Clickfield"):
        documents.build(own, 1)


@pytest.mark.parametrize("gone", [("method", "muted", "local", "instance", "schema"), ("instance", "schema"), ()])
def test_files_of_every_older_layout_mean_what_they_meant(hostile, tmp_path, gone):
    """Version 1 had neither method nor muted or local marks, version 2 no instances; none noted a version."""
    wanted = documents.build(hostile, 0)
    for owner in (hostile, hostile.marks[0]):
        for name in gone:
            owner.property_unset(name) if name in owner.bl_rna.properties else None
    assert not gone or hostile.schema == 1
    reloaded(tmp_path)
    own = bpy.context.scene.clickfield
    assert own.schema == protocol.DOCUMENT_VERSION and documents.build(own, 0) == wanted


def test_names_lead_into_no_other_folder(hostile, tmp_path):
    mesh = bpy.data.objects.new("../../outside", bpy.data.meshes.new("m"))
    mesh.clickfield.label = 1
    bpy.context.scene.collection.objects.link(mesh)
    (target,) = export.targets(bpy.context.scene, [mesh], tmp_path, "GLB")
    assert target.resolve().is_relative_to(tmp_path) and ".." not in target.parts
    for name in ("../../../evil\n", "..", ".", "a/b", "a\\b", "con:", "", "\0", "x" * 999):
        stem = library.file_stem(name)
        assert stem not in ("", ".", "..") and not set(stem) & set('/\\:\n\0<>"|?*') and len(stem) <= 100
    assert library.catalogue_path(bpy.context.scene, 1) == "..-..-..-etc-passwd", "one catalogue, not four"


def test_a_document_with_numbers_that_blender_cannot_hold_changes_nothing(hostile, tmp_path):
    path = tmp_path / "labels.json"
    marks = '[{"id": 99999999999, "label": 1, "points": [[0, 0, 0]]}]'
    path.write_text('{"tree": [{"uid": 1, "name": "a"}], "marks": ' + marks + "}")
    with pytest.raises(RuntimeError, match="an id that is not"):
        ops.load_labels(filepath=str(path))
    assert [label.name for label in hostile.labels] == ["../../../etc/passwd"] and len(hostile.marks) == 1
