"""Export Data Set through the real backend: keyframes, whole objects, and what Blender itself has rendered."""

import json
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.dev.clickfield.blender_addon.scene import cameras, data_set, passes, scan

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).resolve().parents[1]))
import rooms
from separated_room import CAPTURE, build, in_scan, room
from test_render import read_ids, read_png

SECONDS = 120
BOX = 70


def test_data_sets_of_keyframes_and_of_renders(live, own, tmp_path):
    ops, window = bpy.ops.clickfield, bpy.context.window_manager.clickfield
    shots = rooms.write_transforms(tmp_path / "room", n_frames=4)
    ops.import_capture(filepath=str(tmp_path / "room" / "transforms.json"), refine_poses=False)
    assert live.wait_until(lambda: not live.session().importing, SECONDS), window.problem
    document = rooms.marks_for(shots)
    tree = [{**node, "thing": False} for node in document["tree"] if node["uid"] < BOX]
    tree.append({"uid": BOX, "name": "Kiste", "parent": 0, "kind": "class"})
    marks = [{**mark, "label": min(mark["label"], BOX)} for mark in document["marks"]]
    (tmp_path / "marks.json").write_text(json.dumps({"tree": tree, "marks": marks}))
    ops.load_labels(filepath=str(tmp_path / "marks.json"))
    ops.number_instances()
    assert live.wait_until(lambda: not live.session().waiting, SECONDS), window.problem
    mesh = scan.find_scan(bpy.context.scene, own.capture_id).data
    labels, _ = scan.read_labels(mesh)
    numbers = passes.read_instances(mesh, labels)
    assert set(np.unique(numbers[labels == BOX])) >= {1, 2, 3} and not numbers[labels != BOX].any()

    for camera in cameras.capture_cameras(bpy.context.scene, own.capture_id):
        camera.select_set(camera.clickfield.index in (1, 3))
    ops.export_data_set(directory=str(tmp_path), name="real", formats={"coco", "pngs"}, frames="SELECTED")
    assert live.wait_until(lambda: not live.session().waiting, SECONDS)
    assert not window.problem and any("2 frames are in" in line for line in data_set.report_lines(bpy.context.scene))
    real = {}
    for index in (1, 3):
        name = shots[index].name
        real[name] = np.rint(read_png(tmp_path / "real" / "pngs" / "instances" / f"{name}.png")[..., 0] * 255).astype(
            int
        )
        assert set(np.unique(real[name])) >= {0, 1, 2}

    ops.render_labels(directory=str(tmp_path / "renders"), cameras="CAPTURE", source="SCAN")
    for name, truth in real.items():  # the scan's own instances, seen from the keyframe
        shown = read_ids(tmp_path / "renders" / "instances" / f"{name}.png")
        seen = read_ids(tmp_path / "renders" / "depth" / f"{name}.png") > 0
        assert (shown == truth)[seen].mean() > 0.9
    renders = {"frames": "RENDERS", "renders": str(tmp_path / "renders")}
    ops.export_data_set(directory=str(tmp_path), name="made", formats={"coco", "scannet", "pngs"}, **renders)
    assert live.wait_until(lambda: not live.session().waiting, SECONDS) and not window.problem
    report = json.loads((tmp_path / "made" / "report.json").read_text(encoding="utf-8"))
    assert report["frames"] == len(shots) and report["left_out"] == []
    for shot in shots:
        made, rendered = (
            read_ids(folder / "labels" / f"{shot.name}.png")
            for folder in (tmp_path / "made" / "pngs", tmp_path / "renders")
        )
        assert np.array_equal(made, rendered)
    poses = sorted((tmp_path / "made" / "scannet" / "pose").iterdir(), key=lambda path: int(path.stem))
    for path, shot in zip(poses, shots, strict=True):
        np.testing.assert_allclose(np.loadtxt(path), shot.camera_to_world, atol=1e-4)


def test_whole_things_are_sent_where_the_scan_has_them():
    scene = room()
    body = scan.find_scan(scene, CAPTURE)
    body.location = (3.0, 0.0, 1.0)
    scene.clickfield.labels[1].thing = False  # the floor
    build(scene)
    bpy.data.objects["Chair.001"].location.x += 5.0  # where somebody put it is of no interest
    params, arrays = data_set.request(scene, None, True)
    assert params["frames"] == "all" and {entry["instance"] for entry in params["known"]} == {1, 2}
    assert params["objects"] == [{"label": 4, "instance": 1}, {"label": 4, "instance": 2}]
    for index in (0, 1):
        kind, shape, data = arrays[f"o{index}.positions"]
        assert kind == "f4" and shape == data.shape
        np.testing.assert_allclose(data, in_scan(index + 1), atol=1e-5)
        kind, shape, data = arrays[f"o{index}.faces"]
        assert kind == "i4" and shape == data.shape == (10, 3) and data.max() == 7
    assert data_set.request(scene, [], False)[0]["objects"] == []


def test_what_is_missing_is_told_before_anything_is_asked(own, tmp_path):
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.clickfield.export_data_set(directory=str(tmp_path))
    own.capture_id = "room"
    own.marks.add()
    for options, said in (
        ({"directory": ""}, "Choose the folder"),
        ({"formats": set()}, "at least one format"),
        ({"frames": "SELECTED"}, "No camera of a keyframe"),
        ({"frames": "RENDERS", "renders": str(tmp_path)}, "transforms.json"),
        ({"amodal": True}, "need separated objects"),
    ):
        with pytest.raises(RuntimeError, match=said):
            bpy.ops.clickfield.export_data_set(**{"directory": str(tmp_path), **options})
