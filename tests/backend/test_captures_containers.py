"""Captures in one file, and what formats say beyond cameras, colour and depth."""

import io
import os
import stat
import zipfile

import numpy as np
import pytest

from backend.captures import archive
from backend.captures.common import ImportOptions
from backend.captures.detect import open_capture
from backend.captures.scratch import CONTENTS, Scratch
from backend.errors import Cancelled, UserError
from tests import rooms, writers
from tests.backend.test_captures_formats import assert_same_views


def zipped(folder, target, inside=""):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, inside + path.relative_to(folder).as_posix())
    return target


def refused(path, code, cache):
    with pytest.raises(UserError) as caught:
        open_capture(path, unpacked=cache)
    assert caught.value.code == code, caught.value.sentence
    return caught.value.sentence


@pytest.mark.parametrize("inside", ["", "capture/"])
def test_a_zip_opens_as_its_folder_does(inside, tmp_path):
    shots = writers.write_polycam(tmp_path / "raw")
    path = zipped(tmp_path / "raw", tmp_path / "room.zip", inside)
    before = sorted(os.listdir(tmp_path))
    capture = open_capture(path, unpacked=tmp_path / "cache")
    assert_same_views(capture, shots, 1000)
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "cache"])


def test_an_archive_is_unpacked_once_and_again_when_its_files_are_gone(tmp_path):
    rooms.write_plain(tmp_path / "raw", 3)
    path = zipped(tmp_path / "raw", tmp_path / "room.zip")
    told = []
    scratch = Scratch(tmp_path / "cache", lambda fraction, text: told.append(text))
    first = archive.unpacked(path, scratch)
    assert told
    told.clear()
    assert archive.unpacked(path, scratch) == first and not told
    (first / "rgb" / "00001.png").unlink()
    archive.unpacked(path, scratch)
    assert told and (first / "rgb" / "00001.png").exists()


def test_cancelling_leaves_nothing_behind(tmp_path):
    rooms.write_plain(tmp_path / "raw", 3)
    path = zipped(tmp_path / "raw", tmp_path / "room.zip")

    def cancel(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        archive.unpacked(path, Scratch(tmp_path / "cache", cancel))
    assert os.listdir(tmp_path / "cache") == []


def test_old_captures_make_room_for_new_ones(tmp_path):
    scratch = Scratch(tmp_path / "cache", limit=2500)
    made = []
    for index in range(4):
        source = tmp_path / f"{index}.bin"
        source.write_bytes(bytes([index]))
        made.append(scratch.folder(source, "test", lambda folder: (folder / "data").write_bytes(b"x" * 1000)))
        os.utime(made[-1], (index, index))
    assert [path.exists() for path in made] == [False, False, True, True]


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "C:\\out.txt", "..\\out.txt"])
def test_paths_that_lead_out_are_refused(name, tmp_path):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(name, "x")
    assert "leads out" in refused(path, "bad_archive", tmp_path / "cache")
    assert not list(tmp_path.rglob("out.txt"))


def test_links_are_refused(tmp_path):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as packed:
        link = zipfile.ZipInfo("transforms.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
    assert "leads out" in refused(path, "bad_archive", tmp_path / "cache")


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("depth/0.png", b"\0" * (archive.SMALL + 1))
    assert "absurd" in refused(path, "bad_archive", tmp_path / "cache")


def test_an_index_that_lies_about_sizes_is_noticed(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("transforms.json", b"\0" * 100_000)
    data = bytearray(stream.getvalue())
    for start in (data.find(b"PK\1\2") + 24, data.find(b"PK\3\4") + 22):
        data[start : start + 4] = (10).to_bytes(4, "little")
    path = tmp_path / "liar.zip"
    path.write_bytes(data)
    refused(path, "bad_archive", tmp_path / "cache")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_archive_is_refused_and_leaves_nothing(share, tmp_path):
    writers.write_polycam(tmp_path / "raw", 3)
    data = zipped(tmp_path / "raw", tmp_path / "whole.zip").read_bytes()
    path = tmp_path / "cut.zip"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError):
        open_capture(path, unpacked=tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or os.listdir(tmp_path / "cache") == []


def test_r3d_recordings_open(tmp_path):
    shots = writers.write_record3d(tmp_path)
    assert_same_views(open_capture(tmp_path / "walk.r3d", unpacked=tmp_path / "cache"), shots, 1e6)


def test_lzfse_packed_depth(tmp_path):
    lzfse = pytest.importorskip("liblzfse")
    from backend.captures.record3d import decompressed

    raw = np.linspace(0.5, 3, 192 * 256).astype("<f4").tobytes()
    packed = lzfse.compress(raw)
    assert packed[:4] != b"bvx-"
    assert decompressed(packed) == raw
    assert decompressed(packed[: len(packed) // 2]) != raw
    assert decompressed(b"nothing of the kind") == b""


@pytest.mark.parametrize(("version", "codec"), [(4, 0), (4, 1), (3, 2)])
def test_sens_versions_and_codecs(version, codec, tmp_path):
    shots = writers.write_sens(tmp_path, version=version, codec=codec, lost=3)
    capture = open_capture(tmp_path / "scene.sens", unpacked=tmp_path / "cache")
    assert [one.name for one in capture.left_out] == ["000003"]
    assert_same_views(capture, shots[:3] + shots[4:], 1000)


@pytest.mark.parametrize("where", [3, 11, 15, 90, 290, 310, 345, 400, 1000])
def test_a_cut_sens_file_is_one_sentence(where, tmp_path):
    writers.write_sens(tmp_path, 3)
    data = (tmp_path / "scene.sens").read_bytes()
    (tmp_path / "scene.sens").write_bytes(data[:where])
    with pytest.raises(UserError):
        open_capture(tmp_path / "scene.sens", unpacked=tmp_path / "cache")
    assert [name for name in os.listdir(tmp_path) if name != "cache"] == ["scene.sens"]


@pytest.mark.parametrize("field", [4, 280, 288, 300, 304, 392])
def test_sens_numbers_beyond_reason_are_refused(field, tmp_path):
    writers.write_sens(tmp_path, 3)
    data = bytearray((tmp_path / "scene.sens").read_bytes())
    data[field : field + 4] = b"\xff\xff\xff\x7f"
    (tmp_path / "scene.sens").write_bytes(data)
    with pytest.raises(UserError):
        open_capture(tmp_path / "scene.sens", unpacked=tmp_path / "cache")


def test_scenenet(tmp_path):
    shots = writers.write_scenenet(tmp_path)
    capture = open_capture(tmp_path / "0" / "12")
    for frame, shot in zip(capture.frames, shots, strict=True):
        np.testing.assert_allclose(capture.camera_to_scene(frame), shot.camera_to_world, atol=1e-5)
        # Half a millimetre of ray is less of z.
        assert np.abs(frame.depth() - shot.depth).max() < 0.5e-3 + 1e-5
        np.testing.assert_array_equal(frame.instances(), shot.labels)


def test_bop_without_camera_poses_is_joined_around_an_object(tmp_path):
    shots = writers.write_bop(tmp_path, cameras=False)
    capture = open_capture(tmp_path)
    assert any("object 5" in note for note in capture.notes)
    assert_same_views(capture, shots, 10_000)


def test_polycam_without_corrected_images_uses_the_raw_ones(tmp_path):
    shots = writers.write_polycam(tmp_path, corrected=False)
    capture = open_capture(tmp_path)
    assert any("raw ones" in note for note in capture.notes)
    assert_same_views(capture, shots, 1000)


def test_colmap_distortion_is_removed(tmp_path):
    camera = rooms.Camera(160, 120, 131.0, 133.0, 82.0, 57.0, (-0.12, 0.03, 0.001, -0.002, 0.0))
    writers.write_colmap(tmp_path, camera=camera)
    capture = open_capture(tmp_path)
    pinhole = rooms.Camera(160, 120, 131.0, 133.0, 82.0, 57.0)
    frame = capture.frames[0]
    truth, depth, _ = rooms.render(pinhole, capture.camera_to_scene(frame), rooms.Room())
    assert frame.undistorted
    assert np.median(np.abs(frame.color()[10:-10, 10:-10].astype(int) - truth[10:-10, 10:-10])) <= 3
    inner = frame.depth()[10:-10, 10:-10]
    assert np.median(np.abs(inner - depth[10:-10, 10:-10])) < 5e-3


@pytest.mark.parametrize(
    ("least", "kept"), [(0, (True, True, True)), (1, (False, True, True)), (2, (False, False, True))]
)
def test_confidence_decides_which_depth_counts(least, kept, tmp_path):
    writers.write_polycam(tmp_path)
    for path in (tmp_path / "keyframes" / "confidence").iterdir():
        levels = np.full((96, 72), 255, np.uint8)  # pictures of a phone lie on their side
        levels[:30], levels[30:60] = 0, 127
        rooms.save_image(path, levels)
    frame = open_capture(tmp_path, ImportOptions(confidence=least)).frames[0]
    # Lying pictures are turned clockwise: their rows from top to bottom are columns from right to left.
    depth = np.rot90(frame.depth())
    assert tuple((part > 0).all() for part in (depth[:30], depth[30:60], depth[60:])) == kept


def test_true_labels_come_along(tmp_path):
    shots = writers.write_semantic_nerf(tmp_path)
    capture = open_capture(tmp_path)
    assert capture.classes[5] == "floor"
    for frame, shot in zip(capture.frames, shots, strict=True):
        np.testing.assert_array_equal(frame.labels(), shot.labels)
        np.testing.assert_array_equal(frame.instances(), shot.labels.astype(int) * 100)


def test_a_video_without_its_first_frame_is_matched_from_the_second_row(tmp_path):
    shots = writers.write_stray(tmp_path, 6)
    rows = (tmp_path / "odometry.csv").read_text().splitlines()
    first = rows[1].replace(", 000000,", ", 999999,")
    (tmp_path / "odometry.csv").write_text("\n".join([rows[0], first, *rows[1:]]) + "\n")
    capture = open_capture(tmp_path, unpacked=tmp_path / "cache")
    assert any("second row" in note for note in capture.notes)
    assert_same_views(capture, shots, 1000)


def test_the_list_of_contents_is_no_part_of_a_capture(tmp_path):
    rooms.write_transforms(tmp_path / "raw")
    path = zipped(tmp_path / "raw", tmp_path / "room.zip", "inner/deeper/")
    capture = open_capture(path, unpacked=tmp_path / "cache")
    assert capture.name == "deeper" and CONTENTS not in [frame.name for frame in capture.frames]


def test_a_fisheye_becomes_a_pinhole(tmp_path):
    shots = writers.write_fisheye(tmp_path)
    capture = open_capture(tmp_path)
    for frame, shot in zip(capture.frames, shots, strict=True):
        depth, color = frame.depth(), frame.color()
        inner = depth[15:-15, 15:-15] > 0
        assert inner.mean() > 0.98
        wrong = np.abs(depth - shot.depth)[15:-15, 15:-15][inner]
        # The nearest pixel is half a pixel off, which is a centimetre on a slanted floor.
        assert np.median(wrong) < 1e-2
        assert np.median(np.abs(color.astype(int) - shot.color)[15:-15, 15:-15]) <= 3


def test_an_index_of_pairs(tmp_path):
    shots = writers.write_pairs(tmp_path)
    assert_same_views(open_capture(tmp_path), shots, 5000)


def test_autolabel_and_scannet_bring_their_labels(tmp_path):
    shots = rooms.write_plain(tmp_path / "auto", inverse=True)
    (tmp_path / "auto" / "label_map.csv").write_text("id,prompt\n0,nothing\n5,floor\n")
    named = rooms.write_scannet(tmp_path / "scannet", depth_size=None)
    for folder, shot in [*(("auto/semantic", shot) for shot in shots), *(("scannet/label-filt", s) for s in named)]:
        rooms.save_image(tmp_path / folder / f"{shot.name}.png", shot.labels)
    table = "id\traw_category\tnyu40id\n5\tcarpet\t20\n"
    (tmp_path / "scannet" / "scannetv2-labels.combined.tsv").write_text(table)
    for name, truth, classes in (("auto", shots, {0: "nothing", 5: "floor"}), ("scannet", named, {5: "carpet"})):
        capture = open_capture(tmp_path / name)
        assert capture.classes == classes
        for frame, shot in zip(capture.frames, truth, strict=True):
            np.testing.assert_array_equal(frame.labels(), shot.labels)


def test_depth_of_a_camera_beside_the_colour_camera_is_registered(tmp_path):
    """A box in front of a wall, from two cameras 5 cm apart: what the colour camera cannot see is not carried over."""
    from backend.captures.capture import Intrinsics
    from backend.captures.registration import depth_at_color_camera

    camera = Intrinsics(80, 60, 70.0, 70.0, 39.5, 29.5)
    beside = np.eye(4)
    beside[0, 3] = 0.05
    depth = np.full((60, 80), 2.0, np.float32)
    depth[20:40, 30:50] = 1.0
    moved = depth_at_color_camera(lambda: depth, camera, beside, camera)
    assert set(np.unique(moved)) <= {0.0, 1.0, 2.0}
    # The box moves by 70 * 0.05 / 1 = 3.5 pixels, the wall by 1.75.
    assert (moved[22:38, 35:52] == 1.0).all()
    assert (moved[:15, 4:] == 2.0).all() and (moved[20:40, 60:78] == 2.0).all()
    assert (moved == 0).mean() < 0.06
