"""The `label` command as another program calls it: files in, files out."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend import label_job
from backend.errors import UserError
from tests import rooms

ROOT = Path(__file__).resolve().parents[2]
N_FRAMES = 10


def backend(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "backend", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """One run of the command on a folder with a space and letters beyond ASCII in its name."""
    folder = tmp_path_factory.mktemp("lounge ünï")
    shots = rooms.write_transforms(folder / "capture", n_frames=N_FRAMES)
    (folder / "marks.json").write_text(json.dumps(rooms.marks_for(shots)), encoding="utf-8")
    camera, novel = shots[0].camera, rooms.poses(N_FRAMES + 3)[2]
    view = {
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx + 0.5,
        "cy": camera.cy + 0.5,
        "frames": [{"name": "novel", "transform_matrix": (novel @ rooms.OPENGL).tolist()}],
    }
    (folder / "views.json").write_text(json.dumps(view))
    done = backend(
        "label", folder / "capture", "--marks", folder / "marks.json", "--out", folder / "out",
        "--views", folder / "views.json", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, shots, novel


def read(path):
    return np.asarray(Image.open(path))


def test_label_maps_of_keyframes_agree_with_the_truth(job):
    folder, shots, _ = job
    right = []
    for shot in shots:
        labels = read(folder / "out" / "labels" / f"{shot.name}.png")
        assert labels.shape == shot.labels.shape and labels.dtype == np.uint8
        right.append((labels == shot.labels.astype(int) * 10).mean())
        confidence = read(folder / "out" / "confidence" / f"{shot.name}.png")
        assert confidence.shape == shot.labels.shape and confidence.max() > confidence.min()
    assert np.mean(right) > 0.95


def test_novel_view_shows_labels_colour_and_depth(job):
    folder, shots, novel = job
    color, depth, labels = rooms.render(shots[0].camera, novel, rooms.Room())
    seen = read(folder / "out" / "views" / "novel.depth.png") / 1000
    near = (seen > 0) & (np.abs(seen - depth) < 0.05)
    assert near.mean() > 0.8
    made = read(folder / "out" / "views" / "novel.png")
    assert (made == labels.astype(int) * 10)[near].mean() > 0.93
    error = np.abs(read(folder / "out" / "views" / "novel.color.png").astype(float) - color)
    assert np.median(error[near]) < 16


def test_mesh_is_in_the_captures_own_world_with_labels(job):
    folder, shots, _ = job
    data = (folder / "out" / "mesh.ply").read_bytes()
    header, body = data.split(b"end_header\n", 1)
    count = int(next(line for line in header.splitlines() if line.startswith(b"element vertex")).split()[-1])
    row = np.dtype([("p", "<f4", 3), ("c", "u1", 3), ("label", "<u2"), ("confidence", "<f4")])
    vertices = np.frombuffer(body[: count * row.itemsize], row)
    half = np.array(rooms.Room().half)
    outside = np.abs(vertices["p"]) - half
    assert outside.max() < 0.08 and np.abs(outside.max(axis=1)).min() < 0.02
    assert set(np.unique(vertices["label"])) <= {0} | {int(k) * 10 for shot in shots for k in np.unique(shot.labels)}
    assert 0 <= vertices["confidence"].min() <= vertices["confidence"].max() <= 1
    floor = vertices["label"] == 50
    assert np.abs(vertices["p"][floor, 2] + half[2]).mean() < 0.03


def test_report_says_what_was_done(job):
    report = json.loads((job[0] / "out" / "report.json").read_text())
    assert report["frames"] == N_FRAMES and report["frames_left_out"] == [] and report["marks_without_effect"] == []
    assert report["stage"] == "settled" and report["field_steps"] > 0
    assert {"fuse", "label", "train", "total"} <= set(report["seconds"])


def test_mark_on_a_skipped_frame_still_counts(job, tmp_path):
    folder, shots, _ = job
    marks = tmp_path / "marks.json"
    tree = [{"uid": 7, "name": "all", "parent": None, "kind": "class"}]
    marks.write_text(
        json.dumps({"tree": tree, "marks": [{"label": 7, "sign": 1, "frame": shots[1].name, "u": 9, "v": 9}]})
    )
    job = label_job.LabelJob(folder / "capture", marks, tmp_path / "out", step=2, device="cpu", seconds=0.01)
    report = label_job.run(job, lambda fraction, text: None)
    assert report["marks_without_effect"] == [] and report["frames"] == N_FRAMES // 2
    assert sorted(p.stem for p in (tmp_path / "out" / "labels").iterdir()) == [s.name for s in shots[::2]]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[1, 2", "not JSON"),
        ('{"tree": []', "not JSON"),
        ('{"marks": []}', "tree"),
        ('{"tree": [{"uid": 1, "name": "a"}], "marks": [{"label": 2, "points": [[0, 0, 0]]}]}', "Mark number 1"),
        ('{"tree": [{"uid": 1, "name": "a"}], "marks": [{"label": 1, "points": [[0, 0, NaN]]}]}', "Mark number 1"),
    ],
)
def test_bad_marks_are_one_sentence(tmp_path, text, part):
    path = tmp_path / "marks.json"
    path.write_text(text)
    with pytest.raises(UserError, match=part):
        label_job.read_document(path)


@pytest.mark.parametrize(
    "frame",
    [
        {"name": "../out", "transform_matrix": np.eye(4).tolist()},
        {"name": "a", "transform_matrix": [[1, 2], [3, 4]]},
        {"name": "a", "transform_matrix": np.eye(4).tolist(), "w": -3},
        {"name": "a"},
        "a",
    ],
)
def test_bad_views_are_one_sentence(tmp_path, frame):
    path = tmp_path / "views.json"
    path.write_text(json.dumps({"w": 8, "h": 6, "fl_x": 5.0, "frames": [frame]}))
    with pytest.raises(UserError, match="Camera number 1"):
        label_job.read_views(path)


def test_user_errors_end_the_command_with_one_sentence(tmp_path):
    (tmp_path / "marks.json").write_text('{"tree": [], "marks": []}')
    done = backend("label", tmp_path / "nowhere", "--marks", tmp_path / "marks.json", "--out", tmp_path / "out")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip().endswith(".") and len(done.stderr.strip().splitlines()) == 1
