"""The sample capture that ships with the extension: its files fit each other."""

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import io

from backend import protocol
from backend.captures.detect import open_capture

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample"
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL to OpenCV camera axes


@pytest.fixture(scope="module")
def transforms():
    return json.loads((SAMPLE / "transforms.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def frames(transforms):
    """By frame name: depth in metres, uids, camera-to-world with OpenCV axes."""
    found = {}
    for frame in transforms["frames"]:
        name = Path(frame["file_path"]).stem
        depth = io.imread(SAMPLE / frame["depth_file_path"])
        assert depth.dtype == np.uint16
        found[name] = (
            depth / 1000.0,
            io.imread(SAMPLE / "labels" / f"{name}.png"),
            np.array(frame["transform_matrix"]) @ FLIP,
        )
    return found


@pytest.fixture(scope="module")
def document():
    return protocol.checked_document(json.loads((SAMPLE / "marks.json").read_text(encoding="utf-8")))


def test_is_a_capture_that_the_backend_opens_whole(frames):
    capture = open_capture(SAMPLE)
    assert [frame.name for frame in capture.frames] == sorted(frames)
    assert capture.left_out == ()
    np.testing.assert_allclose(capture.scene_from_world, np.eye(4), atol=1e-9)
    for frame in (capture.frames[0], capture.frames[-1]):
        assert frame.color().shape == (240, 320, 3)
        np.testing.assert_allclose(frame.depth(), frames[frame.name][0], atol=1e-6)
        np.testing.assert_allclose(frame.camera_to_world, frames[frame.name][2], atol=1e-6)


def test_shows_ten_things_of_eight_classes_in_a_tree_of_two_levels(frames, document):
    uids = set(np.unique(np.stack([labels for _, labels, _ in frames.values()]))) - {0}
    names = json.loads((SAMPLE / "classes.json").read_text(encoding="utf-8"))
    assert uids == {int(uid) for uid in names} and len(uids) >= 10
    classes = {node["uid"]: node for node in document["tree"] if node["kind"] == "class"}
    groups = {node["uid"] for node in document["tree"] if node["kind"] == "group"}
    assert {uid: node["name"] for uid, node in classes.items()} == {int(k): v for k, v in names.items()}
    assert {node["parent"] for node in classes.values()} == groups


def test_label_tree_is_the_tree_of_the_marks(document):
    tree = json.loads((SAMPLE / "label_tree.json").read_text(encoding="utf-8"))
    assert protocol.checked_document(tree)["tree"] == document["tree"]


def test_every_class_has_a_mark_on_it_where_depth_was_measured(frames, document):
    for mark in document["marks"]:
        depth, labels, _ = frames[mark["frame"]]
        u, v = int(mark["u"]), int(mark["v"])
        assert (labels[v - 1 : v + 2, u - 1 : u + 2] == mark["label"]).all(), mark
        assert depth[v, u] > 0, mark
    assert {mark["label"] for mark in document["marks"]} == {
        node["uid"] for node in document["tree"] if node["kind"] == "class"
    }


def test_the_same_point_in_two_frames_has_one_place_and_one_label(transforms, frames):
    focal, cx, cy = transforms["fl_x"], transforms["cx"] - 0.5, transforms["cy"] - 0.5
    v, u = np.mgrid[: transforms["h"], : transforms["w"]]
    apart, same = [], []
    ordered = [frames[name] for name in sorted(frames)]
    for (depth, labels, pose), (other_depth, other_labels, other_pose) in zip(ordered, ordered[2:], strict=False):
        seen = depth > 0
        z = depth[seen]
        local = np.stack([(u[seen] - cx) / focal * z, (v[seen] - cy) / focal * z, z], axis=-1)
        world = local @ pose[:3, :3].T + pose[:3, 3]
        there = (world - other_pose[:3, 3]) @ other_pose[:3, :3]
        front = there[:, 2] > 0.2
        there, label = there[front], labels[seen][front]
        column = np.round(there[:, 0] / there[:, 2] * focal + cx).astype(int)
        row = np.round(there[:, 1] / there[:, 2] * focal + cy).astype(int)
        inside = (column >= 0) & (column < transforms["w"]) & (row >= 0) & (row < transforms["h"])
        column, row = column[inside], row[inside]
        difference = np.abs(other_depth[row, column] - there[inside, 2])
        visible = (other_depth[row, column] > 0) & (difference < 0.1)
        apart.append(difference[visible])
        same.append(other_labels[row, column][visible] == label[inside][visible])
    assert sum(map(len, apart)) > 500_000
    assert np.median(np.concatenate(apart)) < 0.01
    assert np.concatenate(same).mean() > 0.98


def test_the_sensor_is_not_perfect(frames):
    """Holes on 2 to 10 % of the surface, and depth in steps that grow with distance."""
    missing = [np.mean(depth[labels > 0] == 0) for depth, labels, _ in frames.values()]
    assert 0.02 < np.mean(missing) < 0.10
    depth = np.concatenate([d[d > 0] for d, _, _ in frames.values()])
    for low, high, most in ((1.0, 1.1, 0.002), (3.0, 3.3, 0.016)):
        levels = np.unique(depth[(depth > low) & (depth < high)])
        assert most / 4 < np.median(np.diff(levels)) < most
