"""Captures that are damaged, hostile or incomplete: one sentence each, and what is left can be used."""

import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from backend.captures.common import ImportOptions
from backend.captures.detect import detect, open_capture
from backend.errors import Cancelled, UserError
from tests import rooms


def refused(path, code, *words, options=None):
    """Opening raises one sentence with this code that contains these words."""
    with pytest.raises(UserError) as caught:
        open_capture(path, options or ImportOptions())
    sentence = caught.value.sentence
    assert caught.value.code == code, sentence
    assert sentence[0].isupper() and sentence.endswith(".") and "\n" not in sentence and len(sentence) < 400
    for word in words:
        assert word in sentence
    return sentence


def edit(folder, change):
    """Apply ``change`` to the data of a transforms.json."""
    path = folder / "transforms.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_empty_folder(tmp_path):
    refused(tmp_path, "empty_folder", "empty")


def test_missing_path_and_impossible_path(tmp_path):
    refused(tmp_path / "nowhere", "not_found", "nowhere")
    refused(tmp_path / ("x" * 5000), "unreadable")
    refused(tmp_path / "a\0b", "unreadable")


def test_a_file_where_a_folder_is_expected(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "unknown_format", "notes.txt", "folder")
    refused(tmp_path / "notes.txt" / "deeper", "not_found")
    rooms.write_plain(tmp_path / "capture", 3)
    for path in (tmp_path / "capture" / "depth").iterdir():
        path.unlink()
    (tmp_path / "capture" / "depth").rmdir()
    (tmp_path / "capture" / "depth").write_text("not a folder")
    refused(tmp_path / "capture", "no_depth")


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    refused(tmp_path, "unknown_format", "not an RGB-D capture")
    Image.new("RGB", (8, 8)).save(tmp_path / "holiday.jpg")
    refused(tmp_path, "unknown_format", "images but no depth")


def test_no_depth(tmp_path):
    rooms.write_transforms(tmp_path / "t", 3)
    edit(tmp_path / "t", lambda data: [frame.pop("depth_file_path") for frame in data["frames"]])
    refused(tmp_path / "t", "no_depth", "RGB-D")
    rooms.write_plain(tmp_path / "p", 3)
    (tmp_path / "p" / "depth").rename(tmp_path / "p" / "other")
    refused(tmp_path / "p", "no_depth")


def test_no_poses(tmp_path):
    rooms.write_plain(tmp_path / "p", 3)
    (tmp_path / "p" / "pose").rename(tmp_path / "p" / "other")
    refused(tmp_path / "p", "no_poses", "pose")
    rooms.write_seven_scenes(tmp_path / "s", 3)
    for path in (tmp_path / "s" / "seq-01").glob("*.pose.txt"):
        path.unlink()
    refused(tmp_path / "s", "no_poses")
    rooms.write_tum(tmp_path / "u", 3)
    (tmp_path / "u" / "groundtruth.txt").unlink()
    refused(tmp_path / "u", "no_poses", "groundtruth.txt")
    rooms.write_transforms(tmp_path / "t", 3)
    edit(tmp_path / "t", lambda data: [frame.pop("transform_matrix") for frame in data["frames"][1:]])
    refused(tmp_path / "t", "one_frame", "Only 1 of 3")


def test_no_intrinsics(tmp_path):
    rooms.write_plain(tmp_path / "p", 3)
    (tmp_path / "p" / "intrinsics.txt").unlink()
    refused(tmp_path / "p", "no_intrinsics", "intrinsics.txt")
    rooms.write_transforms(tmp_path / "t", 3)
    edit(tmp_path / "t", lambda data: [data.pop(key) for key in ("fl_x", "fl_y")])
    refused(tmp_path / "t", "no_intrinsics", "fl_x")


def test_one_frame(tmp_path):
    rooms.write_plain(tmp_path, 1)
    refused(tmp_path, "one_frame", "at least two frames")


def test_poses_that_are_not_finite_or_not_rigid_are_left_out(tmp_path):
    rooms.write_scannet(tmp_path, 10)
    pose = rooms.poses(10)[0]
    bad = {
        1: np.full((4, 4), -np.inf),
        2: pose * np.nan,
        3: pose @ np.diag([2.0, 2, 2, 1]),
        4: pose @ np.diag([-1.0, 1, 1, 1]),
        5: np.zeros((4, 4)),
    }
    for index, matrix in bad.items():
        rooms.write_matrix(tmp_path / "pose" / f"{index}.txt", matrix)
    (tmp_path / "pose" / "6.txt").write_text("-1.#INF " * 16)
    (tmp_path / "pose" / "7.txt").write_text("lost")
    capture = open_capture(tmp_path)
    assert [frame.name for frame in capture.frames] == ["0", "8", "9"]
    assert {left.name: left.reason for left in capture.left_out}["4"] == "its pose is not a rigid motion"
    assert any("4 of 10 frames were left out" in note for note in capture.notes)
    assert any("3 of 10 frames were left out" in note for note in capture.notes)


def test_all_poses_bad(tmp_path):
    rooms.write_scannet(tmp_path, 4)
    for index in range(4):
        rooms.write_matrix(tmp_path / "pose" / f"{index}.txt", np.full((4, 4), -np.inf))
    refused(tmp_path, "no_poses", "not finite")


def test_a_rotation_rounded_in_text_is_repaired(tmp_path):
    shots = rooms.write_plain(tmp_path, 3)
    for shot in shots:
        rooms.write_matrix(tmp_path / "pose" / f"{shot.name}.txt", np.round(shot.camera_to_world, 3))
    for frame in open_capture(tmp_path).frames:
        rotation = frame.camera_to_world[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_a_truncated_image_is_left_out_and_a_damaged_one_named_when_loaded(tmp_path):
    rooms.write_plain(tmp_path, 6)
    cut, torn = tmp_path / "depth" / "00001.png", tmp_path / "rgb" / "00002.png"
    cut.write_bytes(cut.read_bytes()[:200])
    torn.write_bytes(torn.read_bytes()[:20])
    damaged = tmp_path / "depth" / "00003.png"
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    damaged.write_bytes(data)
    capture = open_capture(tmp_path)
    assert {left.name for left in capture.left_out} == {"00001", "00002"}
    with pytest.raises(UserError) as caught:
        capture.frame("00003").depth()
    assert "00003.png" in caught.value.sentence and caught.value.code == "image_broken"


def test_counts_that_differ(tmp_path):
    rooms.write_plain(tmp_path / "p", 6)
    (tmp_path / "p" / "depth" / "00005.png").unlink()
    (tmp_path / "p" / "rgb" / "00000.png").unlink()
    capture = open_capture(tmp_path / "p")
    assert [frame.name for frame in capture.frames] == ["00001", "00002", "00003", "00004"]
    rooms.write_listed(tmp_path / "l", 5)
    (tmp_path / "l" / "images" / "00004.png").unlink()
    refused(tmp_path / "l", "counts_differ", "5 poses", "4 colour images")
    rooms.write_plain(tmp_path / "n", 4)
    for index, path in enumerate(sorted((tmp_path / "n" / "depth").iterdir())[1:]):
        path.rename(path.with_name("abc"[index] + ".png"))
    (tmp_path / "n" / "depth" / "00000.png").unlink()
    refused(tmp_path / "n", "counts_differ", "4 colour images", "3 depth images")


def test_mixed_sizes(tmp_path):
    shots = rooms.write_plain(tmp_path, 6)
    small = rooms.CAMERA.resized(48, 36)
    color = rooms.render(small, shots[2].camera_to_world, rooms.Room())[0]
    rooms.save_image(tmp_path / "rgb" / "00002.png", color)
    rooms.save_image(tmp_path / "rgb" / "00004.png", np.zeros((90, 40, 3), np.uint8))
    rooms.write_transforms(tmp_path / "t", 4)
    rooms.save_image(tmp_path / "t" / "images" / "000002.png", color)
    capture = open_capture(tmp_path / "t")
    frame = capture.frame("000002")
    assert (frame.intrinsics.width, frame.depth_intrinsics.width) == (48, 96)
    assert frame.intrinsics.fx == pytest.approx(small.fx) and frame.intrinsics.cx == pytest.approx(small.cx)
    left = {left.name: left.reason for left in open_capture(tmp_path).left_out}
    assert "40 x 90" in left["00004"]


def test_unreadable_files(tmp_path):
    rooms.write_plain(tmp_path, 4)
    path = tmp_path / "depth" / "00001.png"
    path.unlink()
    path.symlink_to(path)  # a link to itself cannot be opened by anyone
    assert [left.name for left in open_capture(tmp_path).left_out] == ["00001"]
    intrinsics = tmp_path / "intrinsics.txt"
    intrinsics.unlink()
    intrinsics.mkdir()
    refused(tmp_path, "unreadable", "intrinsics.txt")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_files_without_permission(tmp_path):
    rooms.write_plain(tmp_path, 4)
    (tmp_path / "rgb" / "00001.png").chmod(0)
    left = open_capture(tmp_path).left_out
    assert left[0].name == "00001" and "denies access" in left[0].reason


def test_huge_files_are_refused_by_their_size(tmp_path):
    rooms.write_transforms(tmp_path, 4)
    os.truncate(tmp_path / "images" / "000001.png", 10 << 30)
    left = {left.name: left.reason for left in open_capture(tmp_path).left_out}
    assert "10240 MB" in left["000001"]
    os.truncate(tmp_path / "transforms.json", 10 << 30)
    refused(tmp_path, "too_large", "transforms.json", "64 MB")
    (tmp_path / "transforms.json").unlink()
    rooms.write_plain(tmp_path / "p", 3)
    os.truncate(tmp_path / "p" / "intrinsics.txt", 10 << 30)
    refused(tmp_path / "p", "too_large", "64 MB")


def test_absurd_image_headers_are_refused(tmp_path):
    rooms.write_plain(tmp_path, 5)

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    for name, size in (("00001", (100_000, 100_000)), ("00002", (16_000, 16_000)), ("00003", (0, 10))):
        head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        (tmp_path / "rgb" / f"{name}.png").write_bytes(data)
    assert [left.name for left in open_capture(tmp_path).left_out] == ["00001", "00002", "00003"]


def test_depth_of_eight_bits_is_no_depth(tmp_path):
    shots = rooms.write_plain(tmp_path, 3)
    for shot in shots:
        rooms.save_image(tmp_path / "depth" / f"{shot.name}.png", shot.color)
    refused(tmp_path, "no_depth", "16-bit")


def test_pickled_arrays_are_not_loaded(tmp_path):
    shots = rooms.write_plain(tmp_path, 3)
    for shot in shots:
        (tmp_path / "depth" / f"{shot.name}.png").unlink()
        np.save(tmp_path / "depth" / f"{shot.name}.npy", np.array([[{}]], object), allow_pickle=True)
    refused(tmp_path, "image_broken")


def test_paths_that_lead_out_are_refused_one_by_one(tmp_path):
    folder, secret = tmp_path / "capture", tmp_path / "secret.png"
    rooms.write_transforms(folder, 7)
    Image.new("RGB", (96, 72)).save(secret)
    outside = ["../secret.png", "images/../../secret.png", str(secret), "..\\secret.png", "C:\\secret.png"]

    def change(data):
        for frame, path in zip(data["frames"], outside, strict=False):
            frame["file_path"] = path
        data["frames"][5]["depth_file_path"] = "../secret.png"
        data["frames"].append(dict(data["frames"][6], file_path=str(folder / "images" / "000000.png")))

    edit(folder, change)
    capture = open_capture(folder)
    assert sorted(frame.name for frame in capture.frames) == ["000000", "000006"]
    assert {left.reason for left in capture.left_out} == {"its path leads out of the capture's folder"}


@pytest.mark.parametrize("value", ["480", None, float("nan"), float("inf"), -480, 0, True, [], {}, 10**400])
@pytest.mark.parametrize("key", ["fl_x", "w", "cx", "k1"])
def test_numbers_that_are_none_in_transforms(key, value, tmp_path):
    rooms.write_transforms(tmp_path, 3)
    edit(tmp_path, lambda data: data.update({key: value}))
    try:
        capture = open_capture(tmp_path)
    except UserError as error:
        assert error.code == "no_intrinsics"
    else:
        # Values that have a fallback (image size, the other focal length) or are allowed as they stand.
        assert all(np.isfinite(frame.intrinsics.matrix).all() for frame in capture.frames)
        assert key in ("w", "fl_x") or value in (0, -480)


def test_nan_and_text_in_a_pose_and_broken_json(tmp_path):
    rooms.write_transforms(tmp_path, 5)

    def change(data):
        data["frames"][1]["transform_matrix"][0][0] = float("nan")
        data["frames"][2]["transform_matrix"][0][0] = "1.0"
        data["frames"][3]["transform_matrix"] = [[1, 2], [3]]

    edit(tmp_path, change)
    capture = open_capture(tmp_path)
    assert [left.name for left in capture.left_out] == ["000001", "000002", "000003"]
    path = tmp_path / "transforms.json"
    path.write_text(path.read_text()[:-40])
    refused(tmp_path, "bad_json", "transforms.json")
    path.write_text("[" * 200_000)
    refused(tmp_path, "bad_json")
    path.write_text('{"frames": []}')
    refused(tmp_path, "no_frames")


@pytest.mark.parametrize("model", ["VR180_L", "EQUIRECTANGULAR"])
def test_other_camera_models_are_refused(model, tmp_path):
    rooms.write_transforms(tmp_path, 3)
    edit(tmp_path, lambda data: data.update(camera_model=model))
    refused(tmp_path, "bad_camera_model", model, "pinhole")


def test_bad_text_files_name_themselves(tmp_path):
    rooms.write_plain(tmp_path / "p", 3)
    (tmp_path / "p" / "intrinsics.txt").write_text("fx = five hundred")
    refused(tmp_path / "p", "bad_numbers", "intrinsics.txt")
    (tmp_path / "p" / "intrinsics.txt").write_text("1 2 3")
    refused(tmp_path / "p", "bad_matrix", "intrinsics.txt")
    rooms.write_matrix(tmp_path / "p" / "intrinsics.txt", np.diag([-500.0, 500, 1]))
    refused(tmp_path / "p", "bad_intrinsics")
    rooms.write_redwood(tmp_path / "r", 3)
    (tmp_path / "r" / "trajectory.log").write_text("0 0 1\n1 0 0 0\n")
    refused(tmp_path / "r", "no_poses", "trajectory.log")
    rooms.write_tum(tmp_path / "t", 3)
    (tmp_path / "t" / "rgb.txt").write_text("yesterday rgb/1.png\n")
    refused(tmp_path / "t", "bad_index", "rgb.txt")
    (tmp_path / "t" / "rgb.txt").write_text("# nothing\n")
    refused(tmp_path / "t", "no_images", "rgb.txt")


def test_missing_images_are_counted(tmp_path):
    rooms.write_tum(tmp_path, 9)
    for folder in ("rgb", "depth"):
        for path in sorted((tmp_path / folder).iterdir())[:6]:
            path.unlink()
    capture = open_capture(tmp_path)
    assert len(capture.frames) == 3 and len(capture.left_out) == 6
    assert "6 of 9 frames were left out: their images are missing." in capture.notes


def test_equal_names_in_different_folders(tmp_path):
    rooms.write_transforms(tmp_path, 4)
    (tmp_path / "images" / "left").mkdir()
    (tmp_path / "images" / "left" / "000001.png").write_bytes((tmp_path / "images" / "000001.png").read_bytes())
    edit(tmp_path, lambda data: data["frames"].append(dict(data["frames"][1], file_path="images/left/000001.png")))
    edit(tmp_path, lambda data: data["frames"].append(dict(data["frames"][2])))
    names = [frame.name for frame in open_capture(tmp_path).frames]
    assert len(set(names)) == 6 and "left_000001" in names


@pytest.mark.parametrize(
    "options",
    [
        {"step": 0},
        {"step": 10},
        {"step": 1.5},
        {"max_frames": -1},
        {"max_frames": 1},
        {"keyframes": "all"},
        {"depth_min": 3.0, "depth_max": 2.0},
        {"depth_max": float("nan")},
        {"depth_max": "far"},
        {"up": "z"},
        {"depth_encoding": 5000},
    ],
)
def test_options_that_make_no_sense(options, tmp_path):
    rooms.write_plain(tmp_path, 3)
    refused(tmp_path, "bad_option", options=ImportOptions(**options))


def test_cancel_reaches_the_caller(tmp_path):
    rooms.write_plain(tmp_path, 3)

    def progress(fraction, text):
        assert 0 <= fraction <= 1 and text
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        open_capture(tmp_path, progress=progress)


def test_detect_refuses_what_open_refuses(tmp_path):
    with pytest.raises(UserError):
        detect(tmp_path)
