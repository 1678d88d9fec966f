"""A capture written in another layout is the same capture."""

import json
from pathlib import Path

import numpy as np
import pytest

from backend.__main__ import main
from backend.captures.convert import LAYOUTS, convert
from backend.captures.detect import open_capture
from backend.errors import Cancelled, UserError
from tests import rooms, writers
from tests.backend import test_meshes as meshes


def silent(fraction, text):
    pass


@pytest.mark.parametrize("layout", LAYOUTS)
def test_poses_and_depth_come_back(layout, tmp_path):
    rooms.write_plain(tmp_path / "in", 6, depth_size=(48, 36))
    first = open_capture(tmp_path / "in")
    assert convert(first, layout, tmp_path / "out", silent) == []
    again = open_capture(tmp_path / "out")
    for before, after in zip(first.frames, again.frames, strict=True):
        np.testing.assert_allclose(again.camera_to_scene(after), first.camera_to_scene(before), rtol=0, atol=1e-9)
        np.testing.assert_allclose(after.depth(), before.depth(), rtol=0, atol=1e-6)
        np.testing.assert_array_equal(after.color(), before.color())
        assert np.allclose(after.intrinsics.matrix, before.intrinsics.matrix, atol=1e-9)


@pytest.mark.parametrize("layout", ["transforms", "replica"])
def test_an_unusual_unit_of_depth_is_kept(layout, tmp_path):
    rooms.write_tum(tmp_path / "in", 4)
    first = open_capture(tmp_path / "in")
    assert convert(first, layout, tmp_path / "out", silent) == []
    again = open_capture(tmp_path / "out")
    for before, after in zip(first.frames, again.frames, strict=True):
        np.testing.assert_allclose(after.depth(), before.depth(), rtol=0, atol=1e-6)


def test_a_layout_that_rounds_says_so(tmp_path):
    rooms.write_tum(tmp_path / "in", 4)
    (said,) = convert(open_capture(tmp_path / "in"), "scannet", tmp_path / "out", silent)
    assert "rounded" in said and "mm" in said


def test_turned_pictures_are_written_upright(tmp_path):
    shots = writers.write_polycam(tmp_path / "in", 3)
    convert(open_capture(tmp_path / "in"), "transforms", tmp_path / "out", silent)
    frame = open_capture(tmp_path / "out").frames[0]
    assert not frame.undistorted
    assert np.median(np.abs(frame.color().astype(int) - shots[0].color)) <= 3


def test_nothing_is_overwritten_and_cancelling_leaves_nothing(tmp_path):
    rooms.write_plain(tmp_path / "in", 3)
    capture = open_capture(tmp_path / "in")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="not an empty folder"):
        convert(capture, "tum", tmp_path / "full", silent)

    def cancel(fraction, text):
        if fraction > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        convert(capture, "tum", tmp_path / "out", cancel)
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["full", "in"]


def test_frames_with_cameras_of_their_own_need_transforms(tmp_path):
    writers.write_stray(tmp_path / "in", 4, per_frame=True)
    rows = (tmp_path / "in" / "odometry.csv").read_text().splitlines()
    words = rows[2].split(", ")
    words[9] = str(float(words[9]) + 1)
    (tmp_path / "in" / "odometry.csv").write_text("\n".join([*rows[:2], ", ".join(words), *rows[3:]]) + "\n")
    capture = open_capture(tmp_path / "in", unpacked=tmp_path / "cache")
    with pytest.raises(UserError, match="transforms"):
        convert(capture, "replica", tmp_path / "out", silent)
    convert(capture, "transforms", tmp_path / "out", silent)
    assert open_capture(tmp_path / "out").frames[1].intrinsics.fx == capture.frames[1].intrinsics.fx


def test_a_folder_with_nothing_but_a_mesh_is_inspected_as_that(tmp_path, capsys):
    meshes.little(tmp_path)
    assert main(["inspect", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["box: PLY without photos, 8 vertices, 12 triangles", "2 x 1 x 0.5 m"]
    assert main(["inspect", str(tmp_path / "box.ply"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == [2.0, 1.0, 0.5]


def test_the_commands_inspect_and_convert(tmp_path, capsys):
    rooms.write_plain(tmp_path / "in", 4)
    assert main(["inspect", str(tmp_path / "in"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["frames"] == 4 and told["path_metres"] > 0.5 and len(told["depth_metres"]) == 3
    assert main(["inspect", str(tmp_path / "in")]) == 0
    assert "4 frames" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "in"), "--to", "tum", str(tmp_path / "out")]) == 0
    assert "4 frames were written" in capsys.readouterr().out
    assert len(open_capture(tmp_path / "out").frames) == 4
    assert main(["convert", str(tmp_path / "in"), "--to", "tum", str(tmp_path / "out")]) == 2
    assert "not an empty folder" in capsys.readouterr().err
