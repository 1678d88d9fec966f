"""Links in a capture's folder: followed inside of it, left alone and told where they lead out of it."""

import os
import shutil
import sys

import pytest

from backend.captures.common import OUTSIDE
from backend.captures.detect import open_capture
from backend.errors import UserError
from tests import rooms, writers

FORMATS = [getattr(rooms, f"write_{name}") for name in ("tum", "seven_scenes", "scannet", "redwood", "plain")]
FORMATS += [
    getattr(writers, f"write_{name}")
    for name in ("replica", "arkitscenes", "polycam", "scanner_app", "bop", "colmap", "stray", "hypersim")
]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


@pytest.fixture
def room(tmp_path):
    """A capture that has a folder beside it which it must not read."""
    rooms.write_transforms(tmp_path / "room", n_frames=4)
    shutil.copytree(tmp_path / "room", tmp_path / "private")
    return tmp_path / "room"


def link(place, target):
    """In place of what is there."""
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    place.symlink_to(target)


def test_links_that_stay_inside_are_followed(room):
    (room / "images").rename(room / "pictures")
    link(room / "images", "pictures")
    link(room / "depth" / "other.png", room / "pictures" / "..")
    os.symlink(room, room.parent / "elsewhere")  # the person may come by a link, wherever it leads
    for path in (room, room.parent / "elsewhere", room.parent / "elsewhere" / "transforms.json"):
        capture = open_capture(path)
        assert len(capture.frames) == 4 and not any("link" in note for note in capture.notes)
        assert capture.frames[0].color().shape[2] == 3


@pytest.mark.parametrize("absolute", [True, False])
def test_one_picture_that_leads_out_is_left_out_and_told(room, absolute):
    first = sorted((room / "images").iterdir())[0].name
    target = room.parent / "private" / "images" / first
    link(room / "images" / first, target if absolute else os.path.relpath(target, room / "images"))
    capture = open_capture(room)
    assert len(capture.frames) == 3 and [one.reason for one in capture.left_out] == [OUTSIDE.one]
    assert f"room has links that lead out of its folder and are not followed: {first}." in capture.notes


@pytest.mark.parametrize("name", ["images", "depth", "transforms.json"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_capture_that_lies_behind_links_is_refused(room, name, inside):
    """Also where another link of the capture leads to the one that leads out."""
    out = room.parent / "private" / name
    if inside:
        link(room / "detour", out)
        out = room / "detour"
    link(room / name, out)
    with pytest.raises(UserError) as error:
        open_capture(room)
    assert error.value.code == "links_out" and name in error.value.sentence and "itself" in error.value.sentence


def test_the_only_folder_in_a_capture_may_not_lead_out(tmp_path):
    rooms.write_transforms(tmp_path / "private", n_frames=4)
    (tmp_path / "room").mkdir()
    link(tmp_path / "room" / "scan", tmp_path / "private")
    with pytest.raises(UserError) as error:
        open_capture(tmp_path / "room")
    assert error.value.code == "links_out"


def test_a_file_that_the_person_chose_may_be_a_link(room):
    poses = room.parent / "poses.json"
    (room / "transforms.json").rename(poses)
    link(room / "transforms.json", poses)
    assert len(open_capture(room / "transforms.json").frames) == 4


@pytest.mark.parametrize("writer", FORMATS)
def test_other_formats_do_not_follow_them_either(tmp_path, writer):
    """Every file in turn is a link to an empty one elsewhere: that is told, or nothing needs the file."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"")
    writer(tmp_path / "whole", n_frames=3)
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file())
    frames = len(open_capture(tmp_path / "whole").frames)
    for number, name in enumerate(files):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(tmp_path / "whole", copy)
        link(copy / name, tmp_path / "elsewhere")
        try:
            capture = open_capture(copy)
            told = any("lead out" in note for note in capture.notes)
            assert told or len(capture.frames) == frames, name
        except UserError as error:
            assert error.code == "links_out", (name, error.sentence)
