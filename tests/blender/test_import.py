"""A capture through the real backend process into the scene: import, marks, undo, crash, save and load."""

import json
import os
import shutil
import signal
import sys
import threading
import zipfile
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon import formats
from bl_ext.dev.clickfield.blender_addon.scene import cameras, scan

sys.path.append(str(Path(__file__).resolve().parents[1]))
import rooms

ops = bpy.ops.clickfield
SECONDS = 120


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A small capture on disk, in a folder whose name is not plain, and its ground truth."""
    folder = tmp_path_factory.mktemp("captures") / "ünï room"
    return folder, rooms.write_transforms(folder, n_frames=10)


@pytest.fixture
def imported(room, own, live):
    """The capture, imported."""
    folder, shots = room
    ops.import_capture(filepath=str(folder / "transforms.json"))
    waited(live, lambda: not live.session().importing)
    assert own.capture_id, bpy.context.window_manager.clickfield.problem
    return folder, shots


def waited(live, condition):
    assert live.wait_until(condition, SECONDS), bpy.context.window_manager.clickfield.problem


def the_scan():
    return scan.find_scan(bpy.context.scene, bpy.context.scene.clickfield.capture_id)


def settled(live):
    """Wait for the settled labels of the newest document; labels and confidence as they are on the mesh."""
    state = bpy.context.window_manager.clickfield
    waited(live, lambda: live.session().up_to_date and state.settled)
    return scan.read_labels(the_scan().data)


def mark_walls():
    """Two labels, marked by position: the floor and the wall at +y of the room."""
    ops.add_label(name="floor", thing=False)
    ops.add_label(name="wall", thing=False)
    ops.add_mark(label=1, location=(-0.4, -0.6, -1.25))
    ops.add_mark(label=2, location=(0.2, 1.6, -0.5))


def test_import_builds_the_scene(imported, own):
    _folder, shots = imported
    scene = bpy.context.scene
    names = {collection.name for collection in scene.collection.children_recursive}
    assert any(name.startswith("Capture ") for name in names)
    made = cameras.capture_cameras(scene, own.capture_id)
    assert len(made) == len(shots)
    mesh = the_scan().data
    assert len(mesh.vertices) > 1000 and not mesh.validate()
    low, high = scan.read_positions(mesh).min(axis=0), scan.read_positions(mesh).max(axis=0)
    assert np.all(high - low < [4.3, 3.5, 2.8]) and np.all(high - low > [2.0, 1.5, 1.0])
    assert mesh.color_attributes.active_color.name == "Color"
    assert scene.camera == made[0] and made[0].data.background_images[0].image is not None
    assert any(o.clickfield.role == "PATH" for o in scene.objects)
    state = bpy.context.window_manager.clickfield
    assert (state.busy, state.problem) == ("", "")


def test_vertices_lie_where_the_cameras_see_them(imported, own):
    """The scan and Blender's cameras agree with the pictures: floor vertices project onto floor pixels."""
    _folder, shots = imported
    positions = scan.read_positions(the_scan().data)
    camera = cameras.capture_cameras(bpy.context.scene, own.capture_id)[0]
    bpy.context.view_layer.update()
    k = camera.clickfield
    pose = np.reshape(cameras.description(camera)["camera_to_scene"], (4, 4))
    local = (positions - pose[:3, 3]) @ pose[:3, :3]
    local = local[local[:, 2] > 0.1]
    u = np.rint(k.fx * local[:, 0] / local[:, 2] + k.cx).astype(int)
    v = np.rint(k.fy * local[:, 1] / local[:, 2] + k.cy).astype(int)
    inside = (u >= 0) & (u < k.width) & (v >= 0) & (v < k.height)
    depth = shots[0].depth[v[inside], u[inside]]
    assert np.median(np.abs(depth - local[inside, 2])) < 0.03


def test_marks_spread_and_undo_is_exact(imported, live, own):
    mark_walls()
    bpy.ops.ed.undo_push(message="two marks")
    first = settled(live)
    assert set(np.unique(first[0])) >= {1, 2}
    mesh = the_scan().data
    assert mesh.color_attributes.active_color.name == "Label Color"
    positions = scan.read_positions(mesh)
    floor = np.abs(positions[:, 2] + 1.25) < 0.03
    assert (first[0][floor] == 1).mean() > 0.7
    ops.add_label(name="box")
    ops.add_mark(label=3, location=(1.2, 0.6, -0.6))
    bpy.ops.ed.undo_push(message="third mark")
    second = settled(live)
    assert 3 in second[0]
    bpy.ops.ed.undo()
    assert len(own.marks) == 2
    back = settled(live)
    assert np.array_equal(back[0], first[0]) and np.array_equal(back[1], first[1])
    bpy.ops.ed.redo()
    again = settled(live)
    assert np.array_equal(again[0], second[0]) and np.array_equal(again[1], second[1])


def test_mark_on_a_pixel(imported, live, own):
    _folder, _shots = imported
    ops.add_label(name="thing")
    camera = cameras.capture_cameras(bpy.context.scene, own.capture_id)[2].clickfield
    ops.add_mark(label=1, frame=camera.frame, u=camera.width / 2, v=camera.height / 2)
    settled(live)
    assert list(live.session().mark_points) == [1] and not live.session().mark_problems
    ops.add_mark(label=1, frame="no such frame", u=1, v=1)
    waited(live, lambda: live.session().up_to_date)
    assert list(live.session().mark_problems) == [2]


def test_recolouring_repaints_at_once(imported, live, own):
    mark_walls()
    settled(live)

    def painted():
        rgba = np.empty(len(the_scan().data.vertices) * 4, dtype=np.float32)
        the_scan().data.attributes["Label Color"].data.foreach_get("color_srgb", rgba)
        return rgba.reshape(-1, 4)[:, :3]

    labels, _ = scan.read_labels(the_scan().data)
    ops.color_label(uid=1, color=(1.0, 0.0, 0.0))
    waited(live, lambda: live.session().up_to_date)
    mean = painted()[labels == 1].mean(axis=0)
    assert mean[0] > 2 * mean[1] and mean[0] > 2 * mean[2]


def test_killed_backend_loses_nothing(imported, live, own):
    mark_walls()
    before = settled(live)
    os.kill(live.session().client.hello["pid"], signal.SIGKILL)
    waited(live, lambda: live.session().client.state.value == "Failed")
    assert "Restart" in bpy.context.window_manager.clickfield.problem
    assert len(own.marks) == 2 and np.array_equal(scan.read_labels(the_scan().data)[0], before[0])
    ops.restart_backend()
    waited(live, lambda: live.session().client.state.value in ("Ready", "Busy") and not live.session().importing)
    after = settled(live)
    assert np.array_equal(after[0], before[0]) and np.array_equal(after[1], before[1])


def test_reopened_file_goes_on(imported, live, own, tmp_path):
    mark_walls()
    before = settled(live)
    path = str(tmp_path / "scene.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    ops.stop_backend()
    waited(live, lambda: live.session().client.state.value == "Stopped")
    bpy.ops.wm.open_mainfile(filepath=path)
    live.pump()
    assert live.session().client.state.value == "Stopped"  # nothing is asked of it yet
    assert np.array_equal(scan.read_labels(the_scan().data)[0], before[0])
    polygons = len(the_scan().data.polygons)
    ops.add_label(name="more")
    ops.add_mark(location=(1.2, 0.6, -0.6))
    after = settled(live)
    assert len(the_scan().data.polygons) == polygons and 3 in after[0]
    ops.remove_label(uid=3)
    back = settled(live)
    assert np.array_equal(back[0], before[0]) and np.array_equal(back[1], before[1])


def test_moved_folder_is_asked_for_once(room, live, own, tmp_path):
    folder = tmp_path / "here"
    shutil.copytree(room[0], folder)
    ops.import_capture(filepath=str(folder))
    waited(live, lambda: not live.session().importing)
    mark_walls()
    before = settled(live)
    ops.stop_backend()
    waited(live, lambda: live.session().client.state.value == "Stopped")
    moved = folder.rename(tmp_path / "there")
    state = bpy.context.window_manager.clickfield
    ops.start_backend()
    waited(live, lambda: not live.session().importing)
    assert state.locate and state.problem
    ops.locate_capture(filepath=str(moved))
    after = settled(live)
    assert not state.problem and np.array_equal(after[0], before[0])
    picture = cameras.capture_cameras(bpy.context.scene, own.capture_id)[0].clickfield.image_path
    assert str(moved) in picture
    rooms.write_transforms(tmp_path / "other", n_frames=7)
    ops.locate_capture(filepath=str(tmp_path / "other"))
    waited(live, lambda: not live.session().importing)
    assert "another capture" in state.problem


def test_import_can_be_cancelled(room, live, own):
    ops.import_capture(filepath=str(room[0]))
    waited(live, lambda: own.capture_id != "" or not live.session().importing)
    ops.cancel()
    assert not live.session().importing and own.capture_id == ""
    assert not [o for o in bpy.context.scene.objects if o.clickfield.role != "NONE"]
    assert bpy.context.window_manager.clickfield.problem == ""
    ops.import_capture(filepath=str(room[0]))
    waited(live, lambda: not live.session().importing)
    assert own.capture_id


def test_importing_again_replaces(imported, live, own):
    folder, shots = imported
    ops.import_capture(filepath=str(folder), step=2)
    waited(live, lambda: not live.session().importing)
    assert len(cameras.capture_cameras(bpy.context.scene, own.capture_id)) == len(shots) // 2
    assert len([o for o in bpy.context.scene.objects if o.clickfield.role == "SCAN"]) == 1
    assert len([c for c in bpy.data.collections if c.name.startswith("Capture ")]) == 1


def test_failed_import_leaves_the_capture_that_is_there(imported, live, own):
    """The same folder with a depth range that leaves nothing: the person is told, and nothing is lost."""
    folder, shots = imported
    mark_walls()
    before, capture = settled(live), own.capture_id
    ops.import_capture(filepath=str(folder / "transforms.json"), depth_max=0.02)
    waited(live, lambda: not live.session().importing)
    state = bpy.context.window_manager.clickfield
    assert state.problem.endswith(".") and own.capture_id == capture
    assert len(cameras.capture_cameras(bpy.context.scene, capture)) == len(shots) and len(own.marks) == 2
    assert np.array_equal(scan.read_labels(the_scan().data)[0], before[0])
    ops.add_mark(label=1, location=(-0.3, -0.5, -1.25))
    ops.remove_mark()
    after = settled(live)
    assert np.array_equal(after[0], before[0]) and np.array_equal(after[1], before[1])


def test_import_is_one_undo_step(room, live, own):
    bpy.ops.ed.undo_push(message="empty")
    ops.import_capture(filepath=str(room[0]))
    waited(live, lambda: not live.session().importing)
    assert own.capture_id
    bpy.ops.ed.undo()
    assert own.capture_id == "" and not [o for o in bpy.context.scene.objects if o.clickfield.role != "NONE"]
    bpy.ops.ed.redo()
    assert own.capture_id and the_scan() is not None


def test_undo_while_a_capture_is_built_goes_on_building(room, live, own):
    bpy.ops.ed.undo_push(message="empty")
    bpy.ops.object.empty_add()
    bpy.ops.ed.undo_push(message="empty object")
    ops.import_capture(filepath=str(room[0]))
    waited(live, lambda: own.capture_id != "")
    bpy.ops.ed.undo()
    assert not len(bpy.context.scene.objects) or own.capture_id
    waited(live, lambda: not live.session().importing)
    assert the_scan() is not None and len(the_scan().data.vertices) > 1000
    assert len([o for o in bpy.context.scene.objects if o.clickfield.role == "SCAN"]) == 1


def test_views_undo_and_redo_keep_blender_alive(imported, live, own):
    """Pictures come and go with the view, between undo steps."""
    scene = bpy.context.scene
    made = [camera.clickfield.frame for camera in cameras.capture_cameras(scene, own.capture_id)]
    ops.add_label(name="a")
    for frame in (made[0], made[5]):
        ops.view_frame(frame=frame)
        live.pump()
        ops.add_mark(label=1, frame=frame, u=50, v=50)
        bpy.ops.ed.undo_push(message="mark")
    ops.view_frame(frame=made[8])
    live.pump()
    for step in (bpy.ops.ed.undo, bpy.ops.ed.redo, bpy.ops.ed.undo, bpy.ops.ed.redo):
        step()
        live.pump()
        camera = bpy.context.scene.camera
        assert [entry.image.name for entry in camera.data.background_images if entry.image]
    assert len(own.marks) == 2


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("transforms.json", '{"frames": []}', "nerfstudio transforms.json"),
        ("rgb.txt", "# x", "TUM RGB-D"),
        ("scan.sens", "x", "ScanNet .sens"),
        ("info.json", "{}", ""),
        ("notes.txt", "x", ""),
        ("broken.json", "{", ""),
    ],
)
def test_format_of_a_dropped_file(tmp_path, name, content, found):
    path = tmp_path / name
    path.write_text(content)
    assert formats.seen(path) == found


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ("scan/keyframes/images/1.jpg", "Polycam raw data (archive)"),
        ("room/transforms.json", "nerfstudio transforms.json (archive)"),
        ("rgbd/0.jpg", "Record3D (archive)"),
        ("holiday/1.jpg", ""),
    ],
)
def test_format_of_a_dropped_archive(tmp_path, inside, found):
    path = tmp_path / "capture.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(inside, "x")
    assert formats.seen(path) == found
    path.write_bytes(b"PK rubbish")
    assert formats.seen(path) == ""


def test_scanner_app_is_known_by_the_files_beside(tmp_path):
    (tmp_path / "info.json").write_text("{}")
    (tmp_path / "frame_00000.json").write_text("{}")
    assert formats.seen(tmp_path / "info.json") == "3D Scanner App"


def test_files_of_all_formats_can_be_dropped():
    handler = bpy.types.CLICKFIELD_FH_capture
    assert handler.bl_import_operator == "clickfield.import_capture"
    assert {".json", ".r3d", ".sens", ".txt", ".zip"} <= set(handler.bl_file_extensions.split(";"))


def test_bad_captures_are_one_sentence_and_leave_nothing(live, own, tmp_path):
    state = bpy.context.window_manager.clickfield
    with pytest.raises(RuntimeError, match="There is no file or folder at"):
        ops.import_capture(filepath=str(tmp_path / "gone"))
    empty = tmp_path / "empty"
    empty.mkdir()
    ops.import_capture(filepath=str(empty))
    waited(live, lambda: not live.session().importing)
    assert state.problem.endswith(".") and own.capture_id == "" and not len(bpy.data.objects)


def test_no_thread_is_left_after_an_import(imported, live):
    assert not [thread for thread in threading.enumerate() if thread.name == "clickfield topology"]


def test_cameras_stand_at_refined_poses(room, own, live, tmp_path):
    """A frame whose pose in the file is 2 cm off comes back, and stays when the person wants the file's poses."""
    folder = tmp_path / "off"
    shutil.copytree(room[0], folder)
    said = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    true = np.array(said["frames"][4]["transform_matrix"])[:3, 3].copy()
    for axis in range(3):
        said["frames"][4]["transform_matrix"][axis][3] += (0.012, -0.012, 0.01)[axis]
    (folder / "transforms.json").write_text(json.dumps(said), encoding="utf-8")
    apart = []
    for refine in (False, True):
        ops.import_capture(filepath=str(folder / "transforms.json"), refine_poses=refine)
        waited(live, lambda: not live.session().importing)
        world = np.linalg.inv(np.array(own.scene_from_world).reshape(4, 4))
        camera = cameras.capture_cameras(bpy.context.scene, own.capture_id)[4]
        center = np.array(cameras.description(camera)["camera_to_scene"]).reshape(4, 4)[:, 3]
        apart.append(np.linalg.norm((world @ center)[:3] - true))
        path = next(o for o in bpy.context.scene.objects if o.clickfield.role == "PATH")
        assert np.allclose(path.data.splines[0].points[4].co[:3], center[:3], atol=1e-5)
        assert own.refine_poses == refine
    assert abs(apart[0] - 0.0197) < 1e-3 and apart[1] < 0.5 * apart[0]
