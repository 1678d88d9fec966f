"""Every format, written from its description by ``tests.rooms``, comes back as it was."""

import json

import numpy as np
import pytest
from PIL import Image

from backend.captures.common import ImportOptions
from backend.captures.describe import describe
from backend.captures.detect import detect, open_capture
from backend.errors import UserError
from tests import rooms, writers

TURNED = rooms.rotation((1, 0.2, -0.3), 62.0)
TURNED[:3, 3] = [0.4, -1.1, 2.0]
WRITERS = {
    "transforms": (rooms.write_transforms, 1000, "nerfstudio transforms.json"),
    "seven_scenes": (rooms.write_seven_scenes, 1000, "7-Scenes folder"),
    "tum": (rooms.write_tum, 5000, "TUM RGB-D"),
    "scannet": (rooms.write_scannet, 1000, "ScanNet folder"),
    "plain": (rooms.write_plain, 1000, "folders with poses and intrinsics"),
    "listed": (rooms.write_listed, 1000, "folders with poses and intrinsics"),
    "redwood log": (rooms.write_redwood, 1000, "Redwood / Open3D"),
    "sens": (writers.write_sens, 1000, "ScanNet .sens"),
    "replica": (writers.write_replica, 6553.5, "Replica (iMAP / NICE-SLAM)"),
    "semantic-nerf": (writers.write_semantic_nerf, 1000, "Replica (Semantic-NeRF)"),
    "arkitscenes": (writers.write_arkitscenes, 1000, "ARKitScenes"),
    "polycam": (writers.write_polycam, 1000, "Polycam raw data"),
    "3d scanner app": (writers.write_scanner_app, 1000, "3D Scanner App"),
    "bop": (writers.write_bop, 10_000, "BOP scene"),
    "colmap": (writers.write_colmap, 1e6, "COLMAP model with depth maps"),
    "colmap text": (lambda folder: writers.write_colmap(folder, text=True), 1e6, "COLMAP model with depth maps"),
    "stray": (writers.write_stray, 1000, "Stray Scanner"),
    "stray new": (lambda folder: writers.write_stray(folder, per_frame=True, hidden=True), 1000, "Stray Scanner"),
    "record3d exr": (lambda folder: writers.write_record3d(folder, packed=False), 1e6, "Record3D"),
    "hypersim": (writers.write_hypersim, 1e6, "Hypersim"),
    "redwood json": (lambda folder: rooms.write_redwood(folder, trajectory="json"), 1000, "Redwood / Open3D"),
}


def assert_same_views(capture, shots, per_metre):
    """Poses, depth, projection and colours of a capture against the truth, in the scene's coordinates."""
    assert len(capture.frames) == len(shots)
    for frame, shot in zip(capture.frames, shots, strict=True):
        np.testing.assert_allclose(capture.camera_to_scene(frame), shot.camera_to_world, rtol=1e-5, atol=1e-5)
        depth = frame.depth()
        assert depth.dtype == np.float32 and depth.shape == shot.depth.shape
        assert np.abs(depth - shot.depth).max() < 0.5 / per_metre + 1e-5
        points = np.array([[0.3, -0.2, 1.1], [-0.6, 0.5, 2.3], [0.1, 0.4, 0.7]])
        for mine, truth in ((frame.intrinsics, shot.camera), (frame.depth_intrinsics, shot.depth_camera)):
            expected = points @ truth.matrix().T
            assert np.abs(mine.project(points) - expected[:, :2] / expected[:, 2:]).max() < 0.1
        color = frame.color()
        assert color.dtype == np.uint8 and color.shape == shot.color.shape
        assert np.median(np.abs(color.astype(int) - shot.color)) <= 3


@pytest.mark.parametrize("kind", WRITERS)
def test_a_format_comes_back_as_it_was_written(kind, tmp_path):
    write, per_metre, name = WRITERS[kind]
    shots = write(tmp_path)
    assert detect(tmp_path) == name
    capture = open_capture(tmp_path, unpacked=tmp_path / "cache")
    assert capture.format == name and not capture.left_out
    assert_same_views(capture, shots, per_metre)


@pytest.mark.parametrize("kind", WRITERS)
def test_all_depth_lands_on_the_room(kind, tmp_path):
    write, _, _ = WRITERS[kind]
    write(tmp_path)
    capture = open_capture(tmp_path, unpacked=tmp_path / "cache")
    half = np.array(rooms.Room().half)
    for frame in capture.frames:
        depth = frame.depth()
        rows, columns = np.nonzero(depth)
        points = frame.depth_intrinsics.unproject(np.stack([columns, rows], -1).astype(float), depth[rows, columns])
        to_scene = capture.camera_to_scene(frame)
        scene = points @ to_scene[:3, :3].T + to_scene[:3, 3]
        on_wall = np.abs(np.abs(scene) - half).min(-1) < 2e-3
        on_box = np.zeros(len(scene), bool)
        for box in rooms.Room().boxes:
            inside = ((scene > np.array(box.low) - 2e-3) & (scene < np.array(box.high) + 2e-3)).all(-1)
            near = np.minimum(np.abs(scene - box.low), np.abs(scene - box.high)).min(-1) < 2e-3
            on_box |= inside & near
        assert (on_wall | on_box).all()


def test_a_world_without_gravity_is_levelled(tmp_path):
    shots = rooms.write_seven_scenes(tmp_path, world=TURNED)
    capture = open_capture(tmp_path)
    for frame, shot in zip(capture.frames, shots, strict=True):
        np.testing.assert_allclose(frame.camera_to_world, TURNED @ shot.camera_to_world, atol=1e-6)
    up = capture.scene_from_world[:3, :3] @ TURNED[:3, :3] @ [0, 0, 1]
    assert np.degrees(np.arccos(up[2])) < 0.5
    assert np.linalg.det(capture.scene_from_world[:3, :3]) == pytest.approx(1)
    assert any("levelled" in note for note in capture.notes)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_levelling_withstands_noise(noise, tmp_path):
    shots = rooms.write_seven_scenes(tmp_path, world=TURNED)
    rng = np.random.default_rng(0)
    for shot in shots:
        noisy = shot.depth * (1 + noise * rng.standard_normal(shot.depth.shape))
        rooms.save_image(tmp_path / "seq-01" / f"{shot.name}.depth.png", rooms.encode_depth(noisy, 1000))
    up = open_capture(tmp_path).scene_from_world[:3, :3] @ TURNED[:3, :3] @ [0, 0, 1]
    assert np.degrees(np.arccos(up[2])) < 0.5


def test_resized_scannet_colour_takes_the_depth_intrinsics(tmp_path):
    shots = rooms.write_scannet(tmp_path, depth_size=(48, 36))
    for shot in shots:
        small = rooms.render(shot.depth_camera, shot.camera_to_world, rooms.Room())[0]
        Image.fromarray(small).save(tmp_path / "color" / f"{shot.name}.jpg", quality=95)
    capture = open_capture(tmp_path)
    assert capture.frames[0].intrinsics == capture.frames[0].depth_intrinsics
    assert capture.frames[0].intrinsics.fx == pytest.approx(shots[0].depth_camera.fx)
    (tmp_path / "intrinsic" / "intrinsic_depth.txt").unlink()
    with pytest.raises(UserError, match="intrinsics do not belong") as caught:
        open_capture(tmp_path)
    assert caught.value.code == "no_intrinsics"


@pytest.mark.parametrize("up", ["+x", "-x", "+y", "-y", "+z", "-z"])
def test_the_chosen_axis_becomes_up(up, tmp_path):
    rooms.write_transforms(tmp_path, n_frames=3)
    capture = open_capture(tmp_path, ImportOptions(up=up))
    axis = np.zeros(3)
    axis["xyz".index(up[1])] = 1 if up[0] == "+" else -1
    np.testing.assert_allclose(capture.scene_from_world[:3, :3] @ axis, [0, 0, 1], atol=1e-12)
    assert np.linalg.det(capture.scene_from_world) == pytest.approx(1)


def test_a_file_that_breaks_its_formats_up_axis_is_turned_upright(tmp_path):
    rooms.write_transforms(tmp_path)
    data = json.loads((tmp_path / "transforms.json").read_text())
    y_up = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])  # room's z becomes y
    for frame in data["frames"]:
        frame["transform_matrix"] = (y_up @ frame["transform_matrix"]).tolist()
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    capture = open_capture(tmp_path)
    np.testing.assert_allclose(capture.scene_from_world[:3, :3] @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    assert any("+Y" in note for note in capture.notes)


def test_depth_may_be_smaller_than_colour(tmp_path):
    shots = rooms.write_transforms(tmp_path, depth_size=(64, 48))
    assert_same_views(open_capture(tmp_path), shots, 1000)


def test_transforms_with_lens_distortion_are_undistorted(tmp_path):
    camera = rooms.Camera(192, 144, 142.0, 136.0, 101.0, 66.0, (-0.18, 0.04, 0.003, -0.002, 0.0))
    rooms.write_transforms(tmp_path, n_frames=3, camera=camera)
    capture = open_capture(tmp_path)
    pinhole = rooms.Camera(192, 144, 142.0, 136.0, 101.0, 66.0)
    for frame, pose in zip(capture.frames, rooms.poses(3), strict=True):
        assert frame.undistorted
        color, depth, labels = rooms.render(pinhole, pose, rooms.Room())
        inner = (slice(20, -20), slice(20, -20))
        # Away from edges between surfaces every pixel is as the pinhole sees it.
        flat = np.ones(labels.shape, bool)
        for axis in (0, 1):
            for shift in (-2, -1, 1, 2):
                flat &= np.roll(labels, shift, axis) == labels
        flat = flat[inner]
        assert np.abs(frame.color()[inner][flat].astype(int) - color[inner][flat]).max() <= 2
        relative = np.abs(frame.depth()[inner] / depth[inner] - 1)[flat]
        assert np.quantile(relative, 0.99) < 0.02  # the nearest pixel's depth, half a pixel off at most


def test_freiburg1_is_undistorted_by_the_camera_that_the_index_names(tmp_path):
    camera = rooms.FREIBURG1.resized(480, 360)
    shots = rooms.write_tum(tmp_path, 2, camera, "freiburg1")
    capture = open_capture(tmp_path)
    pinhole = rooms.Camera(480, 360, camera.fx, camera.fy, camera.cx, camera.cy)
    for frame, shot in zip(capture.frames, shots, strict=True):
        assert frame.undistorted
        color, depth, _ = rooms.render(pinhole, shot.camera_to_world, rooms.Room())
        different = (np.abs(frame.color().astype(int) - color) > 40).any(-1)[20:-20, 20:-20]
        distorted = (np.abs(shot.color.astype(int) - color) > 60).any(-1)[20:-20, 20:-20]
        assert different.mean() < 0.4 * distorted.mean()
        assert np.abs(frame.depth() - depth).max() < 2e-4


def test_per_frame_intrinsics_fov_and_names_without_suffix(tmp_path):
    shots = rooms.write_transforms(tmp_path)
    data = json.loads((tmp_path / "transforms.json").read_text())
    for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
        del data[key]
    camera = shots[0].camera
    for index, frame in enumerate(data["frames"]):
        frame["file_path"] = frame["file_path"].removesuffix(".png").replace("/", "\\")
        frame["depth_path"] = frame.pop("depth_file_path")
        frame["camera_angle_x"] = 2 * np.arctan(0.5 * camera.width / camera.fx)
        frame["camera_angle_y"] = 2 * np.arctan(0.5 * camera.height / camera.fy)
        frame["cx"], frame["cy"] = camera.cx + 0.5 + index, camera.cy + 0.5
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    capture = open_capture(tmp_path)
    for index, frame in enumerate(capture.frames):
        assert (frame.intrinsics.fx, frame.intrinsics.fy) == pytest.approx((camera.fx, camera.fy))
        assert (frame.intrinsics.cx, frame.intrinsics.cy) == pytest.approx((camera.cx + index, camera.cy))


def test_instant_ngp_depth_scale_and_float_depth(tmp_path):
    shots = rooms.write_transforms(tmp_path, per_metre=8000)
    path = tmp_path / "transforms.json"
    data = json.loads(path.read_text())
    data["integer_depth_scale"] = 1 / 8000
    path.write_text(json.dumps(data))
    assert_same_views(open_capture(tmp_path), shots, 8000)
    for shot, frame in zip(shots, data["frames"], strict=True):
        np.save(tmp_path / "depth" / f"{shot.name}.npy", shot.depth.astype(np.float32))
        frame["depth_file_path"] = f"depth/{shot.name}.npy"
    del data["integer_depth_scale"]
    data["depth_unit_scale_factor"] = 1.0
    path.write_text(json.dumps(data))
    assert_same_views(open_capture(tmp_path), shots, 1e6)


def test_kinect_without_calibration_keeps_depth_and_moves_colour(tmp_path):
    color = rooms.Camera(640, 480, 525, 525, 320, 240)
    depth = rooms.Camera(640, 480, 585, 585, 320, 240)
    to_color = np.eye(4)
    to_color[:3] = [
        [0.99996518, 0.00267651, -0.00790410, -0.02555894],
        [-0.00274093, 0.99996303, -0.00815045, 0.00010110],
        [0.00788199, 0.00817183, 0.99993555, 0.00203183],
    ]
    folder = tmp_path / "chess" / "seq-01"
    poses = rooms.poses(2)
    for index, pose in enumerate(poses):
        start = folder / f"frame-{index:06d}"
        rooms.save_image(
            f_name(start, "color.png"), rooms.render(color, pose @ np.linalg.inv(to_color), rooms.Room())[0]
        )
        rooms.save_image(
            f_name(start, "depth.png"), rooms.encode_depth(rooms.render(depth, pose, rooms.Room())[1], 1000)
        )
        rooms.write_matrix(f_name(start, "pose.txt"), pose)
    capture = open_capture(tmp_path / "chess")
    for frame, pose in zip(capture.frames, poses, strict=True):
        truth, z, _ = rooms.render(depth, pose, rooms.Room())
        assert frame.intrinsics == frame.depth_intrinsics and frame.intrinsics.fx == 585
        assert np.abs(frame.depth() - z).max() < 6e-4
        wrong = (np.abs(frame.color().astype(int) - truth) > 30).any(-1)
        assert wrong.mean() < 0.03  # only beside edges, where one camera sees past the other
    assert any("Kinect" in note for note in capture.notes)


def f_name(start, suffix):
    return start.with_name(f"{start.name}.{suffix}")


def test_true_labels_beside_frames_of_7_scenes(tmp_path):
    shots = rooms.write_seven_scenes(tmp_path, 3)
    for shot in shots:
        rooms.save_image(tmp_path / "seq-01" / f"{shot.name}.segm.png", shot.labels)
    capture = open_capture(tmp_path)
    for frame, shot in zip(capture.frames, shots, strict=True):
        np.testing.assert_array_equal(frame.labels(), shot.labels)


def test_bundlefusion_info_and_pgm(tmp_path):
    shots = rooms.shoot(4, depth_size=(64, 48), name="frame-{:06d}".format)
    info = [f"m_depthShift = {2000}"]
    for kind, camera in (("Color", shots[0].camera), ("Depth", shots[0].depth_camera)):
        matrix = np.eye(4)
        matrix[:3, :3] = camera.matrix()
        info.append(f"m_calibration{kind}Intrinsic = " + " ".join(f"{v:.9g}" for v in matrix.ravel()))
        info.append(f"m_{kind.lower()}Width = {camera.width}\nm_{kind.lower()}Height = {camera.height}")
    for shot in shots:
        Image.fromarray(shot.color).save(tmp_path / f"{shot.name}.color.png")
        values = rooms.encode_depth(shot.depth, 2000).astype(">u2")
        header = f"P5\n# dump\n{values.shape[1]} {values.shape[0]}\n65535\n".encode()
        (tmp_path / f"{shot.name}.depth.pgm").write_bytes(header + values.tobytes())
        rooms.write_matrix(tmp_path / f"{shot.name}.pose.txt", shot.camera_to_world)
    (tmp_path / "info.txt").write_text("\n".join(info))
    capture = open_capture(tmp_path)
    assert_same_views(capture, shots, 2000)


def test_several_sequences_get_distinct_names(tmp_path):
    rooms.write_seven_scenes(tmp_path, 3)
    (tmp_path / "seq-02").mkdir()
    for path in (tmp_path / "seq-01").iterdir():
        (tmp_path / "seq-02" / path.name).write_bytes(path.read_bytes())
    names = [frame.name for frame in open_capture(tmp_path).frames]
    assert names[0] == "seq-01_frame-000000" and len(set(names)) == 6
    assert len(open_capture(tmp_path / "seq-02").frames) == 3  # the intrinsics are one level up


def test_autolabel_marks_and_plain_inverse_poses_are_recognised(tmp_path):
    for kind, marks in (("plain", ()), ("autolabel", ("bbox.txt",))):
        folder = tmp_path / kind
        folder.mkdir()
        shots = rooms.write_plain(folder, inverse=True)
        for mark in marks:
            (folder / mark).write_text("0 0 0 1 1 1\n")
        capture = open_capture(folder)
        for frame, shot in zip(capture.frames, shots, strict=True):
            np.testing.assert_allclose(frame.camera_to_world, shot.camera_to_world, atol=1e-6)


def test_any_file_of_a_capture_and_a_single_nested_folder_open_it(tmp_path):
    folder = tmp_path / "out er ünï" / "inner"
    folder.mkdir(parents=True)
    rooms.write_transforms(folder, 3)
    whole = open_capture(folder)
    for path in (tmp_path, folder / "transforms.json", folder / "images" / "000001.png"):
        again = open_capture(path)
        assert again.fingerprint == whole.fingerprint and again.root == folder


def test_the_fingerprint_follows_the_content_not_the_place(tmp_path):
    first, second = tmp_path / "a" / "room", tmp_path / "b" / "room"
    for folder in (first, second):
        folder.mkdir(parents=True)
        rooms.write_plain(folder, 4)
    fingerprint = open_capture(first).fingerprint
    assert open_capture(second).fingerprint == fingerprint and len(fingerprint) == 64
    assert open_capture(first, ImportOptions(step=2)).fingerprint != fingerprint
    pose = rooms.poses(4)[1]
    pose[0, 3] += 1e-4
    rooms.write_matrix(second / "pose" / "00001.txt", pose)
    assert open_capture(second).fingerprint != fingerprint


def test_describe_tells_what_there_is(tmp_path):
    shots = rooms.write_scannet(tmp_path)
    (tmp_path / "depth" / "3.png").unlink()
    told = describe(open_capture(tmp_path))
    assert json.loads(json.dumps(told)) == told
    assert told["frames"] == len(shots) - 1 and told["format"] == "ScanNet folder"
    assert told["resolutions"] == {"color": {"96 x 72": 11}, "depth": {"64 x 48": 11}}
    assert told["left_out"] == [{"name": "3", "reason": "its depth image is missing"}]
    positions = np.array([shot.camera_to_world[:3, 3] for shot in shots if shot.name != "3"])
    assert told["path_metres"] == pytest.approx(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum(), abs=2e-3)
    depths = np.concatenate([shot.depth.ravel() for shot in shots])
    assert told["depth_metres"][1] == pytest.approx(np.median(depths), rel=0.05)
