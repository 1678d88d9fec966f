"""Labels are a function of scene and document: whatever came before, and with or without the cache."""

import numpy as np
import pytest

from backend import protocol
from backend.captures.detect import ImportOptions
from backend.errors import Cancelled, UserError
from backend.objects.assets import Options
from backend.service import Service
from backend.store import Store
from backend.workspace import Workspace
from tests import rooms


def silent(fraction, text):
    """No progress wanted."""


def document(count, revision=1, order=1):
    """The first marks of the room's: three of them are three walls, the last ones are boxes."""
    whole = rooms.marks_for(rooms.shoot(8))
    marks = [{"id": index + 1, **mark} for index, mark in enumerate(whole["marks"])]
    return protocol.checked_document({"revision": revision, "tree": whole["tree"], "marks": marks[:count][::order]})


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    rooms.write_transforms(folder, n_frames=8)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def workspace(capture, cache):
    with Workspace("cpu", Store(cache)) as opened:
        opened.open(capture, ImportOptions(), silent, lambda capture: None)
        yield opened


@pytest.fixture(scope="module")
def settled(workspace):
    """Both stages of the labels of 3 marks, before anything else was asked."""
    first = workspace.label(document(3))
    return first, workspace.settle(silent)


def same(one, other):
    return np.array_equal(one.labels, other.labels) and np.array_equal(one.confidence, other.confidence)


def test_stages(settled):
    first, then = settled
    assert (first.stage, then.stage) == ("posterior", "settled")
    assert (first.labels == then.labels).mean() > 0.9
    assert [mark.problem for mark in then.marks] == [None] * 3
    assert set(np.unique(then.labels)) >= set(then.classes) and len(then.classes) == 3


def test_undo_and_redo_give_the_same_bits(workspace, settled):
    workspace.label(document(4, revision=2))
    more = workspace.settle(silent)
    assert not np.array_equal(more.labels, settled[1].labels)
    undone = workspace.label(document(3, revision=3))
    assert undone.revision == 3 and undone.stage == "settled" and same(undone, settled[1])
    redone = workspace.label(document(4, revision=4))
    assert same(redone, more)


def test_training_again_from_another_state_gives_the_same_bits(workspace, settled):
    workspace.label(document(4))
    workspace.settle(silent)
    workspace._settled.clear()
    again = workspace.label(document(3, order=-1))
    assert same(again, settled[0])
    assert same(workspace.settle(silent), settled[1])


def test_a_fresh_process_with_the_cache_gives_the_same_bits(capture, cache, settled):
    with Workspace("cpu", Store(cache)) as other:
        other.open(capture, ImportOptions(), silent, lambda capture: None)
        assert "fuse" not in other.seconds
        assert same(other.label(document(3)), settled[0])
        assert same(other.settle(silent), settled[1])


def test_a_fresh_process_without_cache_gives_the_same_bits(capture, settled):
    with Workspace("cpu") as other:
        other.open(capture, ImportOptions(), silent, lambda capture: None)
        assert same(other.label(document(3)), settled[0])
        assert same(other.settle(silent), settled[1])


def test_damaged_cache_is_made_again(capture, cache, settled, tmp_path):
    for path in cache.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(cache)
            copy.parent.mkdir(parents=True, exist_ok=True)
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 0xFF
            copy.write_bytes(data)
    with Workspace("cpu", Store(tmp_path)) as other:
        other.open(capture, ImportOptions(), silent, lambda capture: None)
        other.label(document(3))
        assert same(other.settle(silent), settled[1])


def test_pick_finds_the_surface_behind_a_pixel(workspace, capture):
    frame = workspace.capture.frames[0]
    depth = frame.depth()
    v, u = np.argwhere(depth > 0)[len(depth)]
    expected = frame.depth_intrinsics.unproject(np.array([u, v]), depth[v, u])
    pose = workspace.capture.camera_to_scene(frame)
    point = workspace.pick(frame.name, float(u), float(v))
    assert np.linalg.norm(point - (pose[:3, :3] @ expected + pose[:3, 3])) < 2 * workspace.surface.voxel
    with pytest.raises(UserError, match="no frame called"):
        workspace.pick("nowhere", 1.0, 1.0)


def test_separate_gives_the_boxes_as_instances(workspace):
    everything = document(99)
    boxes = [uid for uid in (node["uid"] for node in everything["tree"]) if uid >= 70]
    workspace.label(everything)
    workspace.settle(silent)
    result = workspace.separate(Options(), silent)
    largest = {made.label: made for made in reversed(result.objects)}
    assert len(boxes) == 3 and set(boxes) <= set(largest)
    for uid, box in zip(sorted(boxes), rooms.Room().boxes, strict=True):
        points = largest[uid].pose.scene(largest[uid].vertices)
        outside = np.maximum(np.maximum(box.low - points, points - box.high), 0).max(axis=1)
        assert (outside < 0.05).mean() > 0.9  # the rest is floor and wall behind the box, which few cameras saw
        assert largest[uid].pose.dimensions[2] == pytest.approx(box.high[2] - box.low[2], abs=0.05)
        assert largest[uid].report.closed
    assert all(made.preview.shape == (256, 256, 4) and made.preview[..., 3].any() for made in result.objects)


def test_cancel_while_opening(capture):
    def impatient(fraction, text):
        if fraction > 0.3:
            raise Cancelled

    with Workspace("cpu") as other, pytest.raises(Cancelled):
        other.open(capture, ImportOptions(), impatient, lambda capture: None)


def test_service_answers_nothing_before_a_capture_is_open():
    service = Service(lambda event, data, arrays: None, "cpu")
    for method in ("document", "pick", "separate", "views", "save"):
        params = {"document": {"tree": [], "marks": []}, "frame": "a", "u": 1.0, "v": 1.0}
        with pytest.raises(UserError):
            service.handle(method, params, {}, silent)
    with pytest.raises(UserError, match="does not know"):
        service.handle("dance", {}, {}, silent)
    assert service.idle() is False
