"""What a capture holds, told while the file dialog is open; and the options of an import that scenes keep."""

import sys
from pathlib import Path

import bpy
import pytest
from bl_ext.dev.clickfield.blender_addon import formats, previewing
from bl_ext.dev.clickfield.blender_addon.opening import options_of

sys.path.append(str(Path(__file__).resolve().parents[1]))
import rooms
import writers

SECONDS = 120


def answered(live, path, **changes):
    """The preview's lines for a path, once the backend has told them, and whether they are a problem."""
    options = options_of(bpy.context.scene.clickfield) | changes
    first = live.session().preview.look(str(path), options)
    assert first.lines == (previewing.LOOKING,) and live.session().preview.waiting
    assert live.wait_until(lambda: live.session().preview.look(str(path), options).answered, SECONDS)
    choice = live.session().preview.look(str(path), options)
    return choice.lines, choice.problem


def test_a_capture_is_described_before_it_is_imported(live, tmp_path, own):
    shots = writers.write_polycam(tmp_path / "raw", 5)
    lines, problem = answered(live, tmp_path / "raw")  # starts the backend, which nobody has done yet
    assert not problem and lines[0] == f"raw: Polycam raw data, {len(shots)} frames"
    assert "colour: 96 x 72" in lines and any(line.startswith("depth from") for line in lines)
    assert any("path is" in line for line in lines) and any("Up is" in line for line in lines)
    for path in (tmp_path / "raw" / "keyframes" / "confidence").iterdir():
        rooms.save_image(path, rooms.np.zeros((96, 72), rooms.np.uint8))
    lines, problem = answered(live, tmp_path / "raw", depth_max=7.0)
    assert problem or not any(line.startswith("depth from") for line in lines)  # all of it is unsure
    lines, problem = answered(live, tmp_path / "raw", confidence=0)
    assert not problem and any(line.startswith("depth from") for line in lines)
    lines, problem = answered(live, tmp_path / "raw" / "nowhere.json")
    assert problem and "nowhere.json" in lines[0]
    live.session().preview.look(str(tmp_path), {})
    live.session().preview.forget()
    assert not live.session().preview.waiting and own.capture_id == ""


def test_another_choice_takes_the_place_of_the_last_and_the_open_scene_stays(live, tmp_path, own):
    rooms.write_transforms(tmp_path / "one", 4)
    rooms.write_transforms(tmp_path / "two", 5)
    bpy.ops.clickfield.import_capture(
        filepath=str(tmp_path / "one" / "transforms.json"), confidence="0", poses="as said", depth_encoding="mm"
    )
    assert live.wait_until(lambda: not live.session().importing, SECONDS) and own.capture_id
    assert (own.confidence, own.poses, own.depth_encoding) == ("0", "as said", "mm")
    assert options_of(bpy.context.scene.clickfield)["confidence"] == 0
    held = live.session().opened
    live.session().preview.look(str(tmp_path / "one"), {})
    lines, problem = answered(live, tmp_path / "two" / "transforms.json")
    assert not problem and lines[0].endswith("5 frames")
    assert live.session().opened == held
    bpy.ops.clickfield.add_label(name="floor")
    bpy.ops.clickfield.add_mark(label=1, location=(-0.4, -0.6, -1.25))
    assert live.wait_until(lambda: live.session().up_to_date, SECONDS)


def test_poses_that_break_the_format_can_be_read_as_what_they_are(live, tmp_path, own):
    rooms.write_seven_scenes(tmp_path, 6)
    for path in (tmp_path / "seq-01").glob("*.pose.txt"):
        matrix = rooms.np.loadtxt(path)
        rooms.write_matrix(path, rooms.np.linalg.inv(matrix))
    bpy.ops.clickfield.import_capture(filepath=str(tmp_path), poses="inverse")
    assert live.wait_until(lambda: not live.session().importing, SECONDS)
    assert own.capture_id and own.poses == "inverse", bpy.context.window_manager.clickfield.problem


@pytest.mark.parametrize("name", ["rgb", "keyframes"])
def test_only_folders_that_look_like_captures_are_asked_about(name, tmp_path):
    assert not formats.seems_capture(tmp_path) and not formats.seems_capture(tmp_path / "nowhere")
    (tmp_path / name).mkdir()
    assert formats.seems_capture(tmp_path)
