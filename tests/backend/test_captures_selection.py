"""Choosing keyframes, and fuzzing of everything that parses text."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.captures.capture import Capture
from backend.captures.common import Entry, ImportOptions, natural_key, quaternion_matrix
from backend.captures.detect import open_capture
from backend.captures.selection import choose
from backend.captures.transforms import inside
from backend.captures.tum import associate, pose_at
from backend.errors import UserError
from tests import rooms


def entries(positions):
    poses = [np.eye(4) for _ in positions]
    for pose, x in zip(poses, positions, strict=True):
        pose[0, 3] = x
    return [Entry(str(i), None, None, pose, None) for i, pose in enumerate(poses)]


def names(chosen):
    return [int(entry.name) for entry in chosen]


def test_every_nth_frame_and_at_most_so_many():
    every = entries(np.zeros(20))
    assert names(choose(every, ImportOptions())) == list(range(20))
    assert names(choose(every, ImportOptions(step=6))) == [0, 6, 12, 18]
    assert names(choose(every, ImportOptions(max_frames=3))) == [0, 10, 19]
    assert names(choose(every, ImportOptions(step=2, max_frames=4))) == [0, 6, 12, 18]


def test_by_motion_standing_still_gives_few_frames():
    # Twelve frames on one spot, then 1.2 m in steps of 4 cm.
    positions = np.concatenate([np.zeros(12), np.arange(1, 31) * 0.04])
    chosen = choose(entries(positions), ImportOptions(keyframes="motion"))
    travelled = [positions[i] for i in names(chosen)]
    assert names(chosen)[0] == 0 and not set(names(chosen)) & set(range(1, 12))
    assert max(np.diff(travelled)) <= 0.14 + 1e-9 and len(chosen) == 13
    few = choose(entries(positions), ImportOptions(keyframes="motion", max_frames=4))
    np.testing.assert_allclose([positions[i] for i in names(few)], [0, 0.4, 0.8, 1.2], atol=0.041)


def test_by_motion_counts_rotation():
    turning = entries(np.zeros(37))
    turning = [
        Entry(entry.name, None, None, rooms.rotation((0, 0, 1), 5.0 * i), None) for i, entry in enumerate(turning)
    ]
    assert names(choose(turning, ImportOptions(keyframes="motion"))) == list(range(0, 37, 2))


def test_options_reach_the_capture(tmp_path):
    rooms.write_scannet(tmp_path, 12)
    assert [f.name for f in open_capture(tmp_path, ImportOptions(step=5)).frames] == ["0", "5", "10"]
    assert len(open_capture(tmp_path, ImportOptions(max_frames=5)).frames) == 5
    assert 2 <= len(open_capture(tmp_path, ImportOptions(keyframes="motion", max_frames=6)).frames) <= 6


def test_natural_order():
    assert sorted(["10", "9", "img2", "img10", "1"], key=natural_key) == ["1", "9", "10", "img2", "img10"]


def test_association_is_one_to_one_and_takes_the_closest():
    first, second = np.array([0.0, 0.03, 0.06, 0.5]), np.array([0.014, 0.032, 0.047, 0.9])
    assert associate(first, second) == {0: 0, 1: 1, 2: 2}


def test_poses_between_samples_of_a_fast_stream_are_interpolated():
    times = np.array([0.0, 0.01, 0.02])
    rows = np.zeros((3, 7))
    rows[:, 0] = [0.0, 1.0, 2.0]
    for i, degrees in enumerate((0.0, 2.0, 4.0)):
        # The sign of a quaternion means nothing.
        rows[i, 3:] = rooms.quaternion(rooms.rotation((0, 0, 1), degrees)[:3, :3]) * (-1) ** i
    pose = pose_at(0.0125, times, rows)
    np.testing.assert_allclose(pose[:3, 3], [1.25, 0, 0])
    np.testing.assert_allclose(pose[:3, :3], rooms.rotation((0, 0, 1), 2.5)[:3, :3], atol=1e-6)
    assert pose_at(0.03, times, rows) is not None and pose_at(0.05, times, rows) is None


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4))
def test_quaternions_give_rotations(values):
    matrix = quaternion_matrix(np.array(values))
    if matrix is not None:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(matrix) == pytest.approx(1)


@given(st.text(alphabet="./\\abC:\0 ~ü", max_size=30))
def test_no_path_leads_out_of_the_capture(tmp_path_factory, text):
    root = tmp_path_factory.getbasetemp()
    path, problem = inside(root, text)
    assert (path is None) == (problem is not None)
    if path is not None:
        assert path.is_relative_to(root) and ".." not in path.parts


FUZZED = {
    rooms.write_transforms: ["transforms.json"],
    rooms.write_seven_scenes: ["camera-intrinsics.txt", "seq-01/frame-000001.pose.txt"],
    rooms.write_tum: ["rgb.txt", "depth.txt", "groundtruth.txt"],
    rooms.write_scannet: ["intrinsic/intrinsic_color.txt", "intrinsic/intrinsic_depth.txt", "pose/1.txt"],
    rooms.write_listed: ["poses.txt", "K.txt"],
    rooms.write_redwood: ["trajectory.log", "camera_intrinsic.json"],
}


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    """One small capture of each format, with the bytes of the files to be fuzzed."""
    made = {}
    for write, files in FUZZED.items():
        folder = tmp_path_factory.mktemp(write.__name__)
        write(folder, 3)
        made[write] = (folder, {name: (folder / name).read_bytes() for name in files})
    return made


def mutated(draw, original):
    """Arbitrary bytes, or the original with a piece replaced."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    start = draw(st.integers(0, len(original)))
    end = draw(st.integers(start, min(len(original), start + 40)))
    words = st.sampled_from([b"nan", b"-inf", b"1e999", b"-1", b"0", b"x", b"\n", b" ", b'"', b"[]", b"{", b"\xff\x00"])
    return original[:start] + draw(st.one_of(st.binary(max_size=20), words)) + original[end:]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_give_a_sentence_or_a_capture(captures, data):
    write = data.draw(st.sampled_from(list(FUZZED)))
    folder, originals = captures[write]
    name = data.draw(st.sampled_from(list(originals)))
    (folder / name).write_bytes(mutated(data.draw, originals[name]))
    try:
        capture = open_capture(folder)
        assert isinstance(capture, Capture) and len(capture.frames) >= 2
        assert all(np.isfinite(capture.camera_to_scene(frame)).all() for frame in capture.frames)
    except UserError as error:
        assert error.sentence.endswith(".")
    finally:
        (folder / name).write_bytes(originals[name])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_json_values_give_a_sentence_or_a_capture(captures, data):
    folder, originals = captures[rooms.write_transforms]
    content = json.loads(originals["transforms.json"])
    extra = ["depth_unit_scale_factor", "integer_depth_scale", "distortion_params", "camera_angle_x", "x_fov"]
    for _ in range(data.draw(st.integers(1, 3))):
        target = data.draw(st.sampled_from([content, *content["frames"]]))
        if isinstance(target, dict):
            target[data.draw(st.sampled_from([*content, *originals_keys(content), *extra]))] = data.draw(JSON)
        if not isinstance(content["frames"], list) or not content["frames"]:
            break
    (folder / "transforms.json").write_text(json.dumps(content))
    try:
        assert len(open_capture(folder).frames) >= 2
    except UserError as error:
        assert error.sentence.endswith(".")
    finally:
        (folder / "transforms.json").write_bytes(originals["transforms.json"])


def originals_keys(content):
    """Keys that frames of a transforms.json have."""
    return ["file_path", "depth_file_path", "depth_path", "transform_matrix", *content]
