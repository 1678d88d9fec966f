"""Depth encodings: what they mean, and which are refused because they make no sense."""

import json

import numpy as np
import pytest

from backend.captures.common import ImportOptions
from backend.captures.depth import parse_encoding, within
from backend.captures.detect import open_capture
from backend.errors import UserError
from tests import rooms


@pytest.mark.parametrize(
    ("text", "raw", "metres"),
    [
        ("mm", 1234, 1.234),
        ("5000", 5000, 1.0),
        ("6553.5", 65535, 10.0),
        ("scale:0.0001", 12345, 1.2345),
        ("sun3d", 1500 << 3, 1.5),
        ("sun3d-0.1mm", ((9000 << 3) | (9000 >> 13)) & 0xFFFF, 0.9),
    ],
)
def test_an_encoding_turns_values_into_metres(text, raw, metres):
    encoding = parse_encoding(text)
    values = np.array([[raw, 0]], np.uint16)
    np.testing.assert_allclose(encoding.metres(values), [[metres, 0]], rtol=1e-6)


def test_values_that_mean_nothing_become_zero():
    mm = parse_encoding("mm")
    values = np.array([0, 65535, 499, 500, 8000, 8001], np.uint16)
    np.testing.assert_allclose(within(mm.metres(values, (65535,)), 0.5, 8.0), [0, 0, 0, 0.5, 8.0, 0])
    floats = np.array([np.nan, np.inf, -np.inf, -1.0, 2.0], np.float32)
    np.testing.assert_array_equal(within(parse_encoding("m").metres(floats), 0.0, 8.0), [0, 0, 0, 0, 2])


@pytest.mark.parametrize(
    "text", ["", "metres", "scale:", "scale:-1", "scale:nan", "0", "-5", "1e400", "inf", "sun", "5,0"]
)
def test_an_unknown_encoding_is_refused(text):
    with pytest.raises(UserError, match="depth encoding") as caught:
        parse_encoding(text)
    assert caught.value.code == "bad_depth_encoding"


def rotate(values):
    return ((values << 3) | (values >> 13)).astype(np.uint16)


def write_rotated(folder, per_metre):
    shots = rooms.write_plain(folder)
    for shot in shots:
        values = rooms.encode_depth(shot.depth, per_metre)
        rooms.save_image(folder / "depth" / f"{shot.name}.png", rotate(values))
    return shots


@pytest.mark.parametrize(("per_metre", "right"), [(1000, "sun3d"), (10000, "sun3d-0.1mm")])
def test_rotated_bits_are_refused_with_the_right_encoding_and_open_with_it(per_metre, right, tmp_path):
    shots = write_rotated(tmp_path, per_metre)
    with pytest.raises(UserError) as caught:
        open_capture(tmp_path)
    assert caught.value.code == "depth_encoding"
    assert f"set the depth encoding to '{right}'" in caught.value.sentence
    capture = open_capture(tmp_path, ImportOptions(depth_encoding=right))
    for frame, shot in zip(capture.frames, shots, strict=True):
        assert np.abs(frame.depth() - shot.depth).max() < 0.5 / per_metre + 1e-6


@pytest.mark.parametrize(("per_metre", "right"), [(5000, "5000"), (10000, "10000"), (4000, "4000"), (256, "256")])
def test_a_wrong_unit_is_refused_with_the_right_one(per_metre, right, tmp_path):
    shots = rooms.write_transforms(tmp_path, per_metre=per_metre)
    with pytest.raises(UserError, match="make no sense") as caught:
        open_capture(tmp_path)
    assert f"'{right}'" in caught.value.sentence
    frame = open_capture(tmp_path, ImportOptions(depth_encoding=right)).frames[0]
    assert np.abs(frame.depth() - shots[0].depth).max() < 0.5 / per_metre + 1e-6


def test_a_wrong_override_is_refused_too(tmp_path):
    rooms.write_transforms(tmp_path)
    with pytest.raises(UserError, match="'mm'"):
        open_capture(tmp_path, ImportOptions(depth_encoding="5000"))


def test_noise_is_refused(tmp_path):
    shots = rooms.write_plain(tmp_path, 4)
    rng = np.random.default_rng(0)
    for shot in shots:
        values = rng.integers(1, 65536, shot.depth.shape).astype(np.uint16)
        rooms.save_image(tmp_path / "depth" / f"{shot.name}.png", values)
    with pytest.raises(UserError, match="make no sense"):
        open_capture(tmp_path)


def test_empty_depth_is_refused(tmp_path):
    shots = rooms.write_plain(tmp_path, 4)
    for shot in shots:
        rooms.save_image(tmp_path / "depth" / f"{shot.name}.png", np.zeros_like(shot.depth, np.uint16))
    with pytest.raises(UserError, match="empty") as caught:
        open_capture(tmp_path)
    assert caught.value.code == "no_depth"


@pytest.mark.parametrize("n_frames", [2, 3, 40])
def test_few_and_many_frames_are_not_refused(n_frames, tmp_path):
    rooms.write_plain(tmp_path, n_frames)
    assert len(open_capture(tmp_path).frames) == n_frames


def test_noisy_depth_with_holes_is_not_refused(tmp_path):
    shots = rooms.write_plain(tmp_path)
    rng = np.random.default_rng(1)
    for shot in shots:
        noisy = shot.depth * (1 + 0.01 * rng.standard_normal(shot.depth.shape))
        noisy[rng.random(noisy.shape) < 0.6] = 0
        rooms.save_image(tmp_path / "depth" / f"{shot.name}.png", rooms.encode_depth(noisy, 1000))
    assert len(open_capture(tmp_path).frames) == 8


def test_views_without_overlap_are_not_refused(tmp_path):
    shots = rooms.write_plain(tmp_path, 2)
    back = shots[1].camera_to_world @ rooms.rotation((0, 1, 0), 180)
    color, depth, _ = rooms.render(rooms.CAMERA, back, rooms.Room())
    rooms.save_image(tmp_path / "rgb" / "00001.png", color)
    rooms.save_image(tmp_path / "depth" / "00001.png", rooms.encode_depth(depth, 1000))
    rooms.write_matrix(tmp_path / "pose" / "00001.txt", back)
    assert len(open_capture(tmp_path).frames) == 2


def test_wrong_poses_are_told_but_not_mistaken_for_a_wrong_unit(tmp_path):
    rooms.write_transforms(tmp_path)
    path = tmp_path / "transforms.json"
    data = json.loads(path.read_text())
    matrices = [frame["transform_matrix"] for frame in data["frames"]]
    for frame, other in zip(data["frames"], [4, 0, 6, 2, 7, 1, 5, 3], strict=True):
        frame["transform_matrix"] = matrices[other]
    path.write_text(json.dumps(data))
    capture = open_capture(tmp_path)
    assert any("poses or the depth unit may be wrong" in note for note in capture.notes)


def test_the_depth_range_cuts(tmp_path):
    shots = rooms.write_plain(tmp_path, 4)
    capture = open_capture(tmp_path, ImportOptions(depth_min=1.0, depth_max=2.0))
    depth, truth = capture.frames[0].depth(), shots[0].depth
    assert (depth[(truth < 0.999) | (truth > 2.001)] == 0).all()
    inside = (truth > 1.001) & (truth < 1.999)
    assert inside.any() and np.abs(depth - truth)[inside].max() < 6e-4


def test_7_scenes_marks_missing_depth_with_65535(tmp_path):
    shots = rooms.write_seven_scenes(tmp_path)
    for shot in shots:
        values = rooms.encode_depth(shot.depth, 1000)
        values[:10], values[10:15] = 65535, 0
        rooms.save_image(tmp_path / "seq-01" / f"{shot.name}.depth.png", values)
    depth = open_capture(tmp_path, ImportOptions(depth_max=100.0)).frames[0].depth()
    assert (depth[:15] == 0).all() and (depth[15:] > 0).all()


@pytest.mark.parametrize("reading", ["inverse", "other axes", "inverse, other axes"])
def test_poses_that_are_meant_otherwise_are_refused_with_the_right_reading(reading, tmp_path):
    shots = rooms.write_transforms(tmp_path)
    path = tmp_path / "transforms.json"
    data = json.loads(path.read_text())
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    for frame, shot in zip(data["frames"], shots, strict=True):
        meant = shot.camera_to_world @ flip if "axes" in reading else shot.camera_to_world
        said = np.linalg.inv(meant) if "inverse" in reading else meant
        frame["transform_matrix"] = (said @ flip).tolist()
    path.write_text(json.dumps(data))
    with pytest.raises(UserError) as caught:
        open_capture(tmp_path)
    assert caught.value.code == "pose_reading" and f"set the poses to '{reading}'" in caught.value.sentence
    capture = open_capture(tmp_path, ImportOptions(poses=reading, up="+z"))
    for frame, shot in zip(capture.frames, shots, strict=True):
        np.testing.assert_allclose(frame.camera_to_world, shot.camera_to_world, atol=1e-6)
