"""Label maps of captured frames: sharper than the scan, filled in holes, the same however often they are asked."""

import numpy as np
import pytest

from backend import budget
from backend.captures.capture import Intrinsics
from backend.labels import keyframes
from backend.labels.keyframes import KeyframeViews, Scan
from backend.labels.views import label_view
from backend.surface.surface import Surface
from tests.backend.surface_scenes import capture_of

CAMERA = Intrinsics(120, 90, 100.0, 100.0, 60.3, 44.2)
NEAR, FAR = 1.0, 1.6  # metres from the camera, which looks along +Z of the scene
EDGE = 0.05  # metres: x where the near board ends
POSE = np.eye(4)
BOARD, WALL = 1, 2
COLORS = {BOARD: (200, 60, 40), WALL: (60, 90, 190)}


def sheet(z, low, high, step=0.02):
    """A regular grid of triangles at a depth, x from low to high."""
    x, y = np.meshgrid(np.arange(low, high + 1e-6, step), np.arange(-0.9, 0.9, step), indexing="ij")
    points = np.stack([x, y, np.full(x.shape, z)], -1).reshape(-1, 3)
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    return points, np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])


def scan_with_a_ragged_edge(seed=0):
    """The board before a wall; the board's edge is off by up to 4 cm, as poses and voxels make it."""
    front, front_faces = sheet(NEAR, -0.9, EDGE)
    back, back_faces = sheet(FAR, -1.2, 1.2)
    wobble = np.random.default_rng(seed).normal(0, 0.02, len(front)).clip(-0.04, 0.04)
    front[:, 0] += np.where(front[:, 0] > EDGE - 0.03, wobble, 0)
    vertices = np.concatenate([front, back]).astype(np.float32)
    labels = np.repeat([BOARD, WALL], [len(front), len(back)]).astype(np.uint16)
    colors = np.array([COLORS[label] for label in labels.tolist()], np.uint8)
    normals = np.tile(np.float32([0, 0, -1]), (len(vertices), 1))
    faces = np.concatenate([front_faces, back_faces + len(front)]).astype(np.int32)
    return Surface(vertices, faces, normals, colors, 0.02), labels


def truth():
    u, _ = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    return np.where((u - CAMERA.cx) / CAMERA.fx * NEAR <= EDGE, BOARD, WALL).astype(np.uint16)


def photo(seed=1):
    noise = np.random.default_rng(seed).normal(0, 4, (CAMERA.height, CAMERA.width, 3))
    exact = np.array([(0, 0, 0), COLORS[BOARD], COLORS[WALL]], float)[truth()]
    return np.clip(exact + noise, 0, 255).astype(np.uint8)


def measured(seed=2):
    """Depth with an edge that wobbles by a pixel or two, and a shadow without depth beside it."""
    rng = np.random.default_rng(seed)
    depth = np.where(truth() == BOARD, NEAR, FAR).astype(np.float32)
    for row in range(CAMERA.height):
        depth[row] = np.roll(depth[row], rng.integers(-2, 3))
    edge = np.flatnonzero(truth()[0] == BOARD)[-1]
    depth[:, edge + 2 : edge + 5] = 0
    depth[:, :4], depth[:, -4:] = NEAR, FAR
    return depth


@pytest.fixture(scope="module")
def scene():
    return scan_with_a_ragged_edge()


def sure_of(labels):
    return np.where(labels == BOARD, 0.9, 0.6).astype(np.float32)


def test_the_edge_of_the_photo_decides(scene):
    surface, labels = scene
    plain = label_view(surface, labels, sure_of(labels), CAMERA, POSE)
    sharp = label_view(surface, labels, sure_of(labels), CAMERA, POSE, photo(), measured())
    wrong = [int((view.labels != truth()).sum()) for view in (plain, sharp)]
    assert wrong[1] < 0.3 * wrong[0], wrong
    assert wrong[1] < CAMERA.height / 2  # less than half a pixel along the edge


def test_holes_take_the_side_that_they_look_like(scene):
    surface, labels = scene
    depth = measured()
    view = label_view(surface, labels, sure_of(labels), CAMERA, POSE, photo(), depth)
    assert (view.labels == truth())[depth == 0].mean() > 0.99


def test_without_any_depth_the_scan_itself_answers(scene):
    surface, labels = scene
    view = label_view(surface, labels, sure_of(labels), CAMERA, POSE, photo())
    assert (view.labels == truth()).mean() > 0.98
    assert (view.labels > 0).all()


def test_confidence_is_that_of_the_winning_surface(scene):
    surface, labels = scene
    view = label_view(surface, labels, sure_of(labels), CAMERA, POSE, photo(), measured())
    columns = np.arange(CAMERA.width)
    assert np.allclose(view.confidence[:, columns < 40], 0.9) and np.allclose(view.confidence[:, columns > 90], 0.6)
    assert (view.confidence <= 0.9 + 1e-6).all() and (view.confidence > 0).all()


@pytest.mark.parametrize("factor", [0.5, 3])
def test_depth_of_another_resolution_is_used(scene, factor):
    surface, labels = scene
    camera = CAMERA.resized(int(CAMERA.width * factor), int(CAMERA.height * factor))
    u = np.arange(camera.width)
    row = np.where((u - camera.cx) / camera.fx * NEAR <= EDGE, NEAR, FAR)
    depth = np.tile(row, (camera.height, 1)).astype(np.float32)
    table = Scan(surface).seen(CAMERA, POSE, photo(), depth, camera)
    found, _ = table.read(labels, sure_of(labels))
    assert (found == truth()).mean() > 0.995


def test_large_photos_get_cells_of_more_pixels(scene):
    surface, labels = scene
    camera = CAMERA.resized(960, 720)
    big = np.repeat(np.repeat(photo(), 8, 0), 8, 1)
    depth = np.repeat(np.repeat(measured(), 8, 0), 8, 1)
    table = Scan(surface).seen(camera, POSE, big, depth, camera)
    assert table.step == 3
    found, _ = table.read(labels, sure_of(labels))
    assert found.shape == (720, 960) and (found == np.repeat(np.repeat(truth(), 8, 0), 8, 1)).mean() > 0.99


def test_only_labels_change_between_readings(scene):
    surface, labels = scene
    views = KeyframeViews(surface, capture_of([(CAMERA, POSE, photo(), measured())]))
    (frame,) = views._capture.frames
    table = views.table(frame)
    first = table.read(labels, sure_of(labels))
    swapped = np.where(labels == BOARD, WALL, BOARD).astype(np.uint16)
    other, _ = table.read(swapped, sure_of(labels))
    assert np.array_equal(other, np.where(first[0] == BOARD, WALL, BOARD))
    assert views.table(frame) is table
    again = table.read(labels, sure_of(labels))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])


def test_fewer_frames_are_kept_within_a_small_budget(scene, monkeypatch):
    surface, _ = scene
    capture = capture_of([(CAMERA, POSE, photo(), measured())] * 3)
    each = KeyframeViews(surface, capture).table(capture.frames[0]).nbytes
    monkeypatch.setattr(keyframes, "KEPT_BYTES", 3 * each)
    before = budget.current()
    kept = []
    try:
        for gigabytes in (2.5, 1.25):
            budget.use(budget.Budget(int(gigabytes * budget.GB)))
            views = KeyframeViews(surface, capture)
            first = [views.table(frame) for frame in capture.frames]
            kept.append(sum(views.table(frame) is table for frame, table in zip(capture.frames, first, strict=True)))
    finally:
        budget.use(before)
    assert kept[0] == 3 > kept[1]


def test_a_frame_that_sees_nothing_is_unlabelled(scene):
    surface, labels = scene
    away = np.diag([-1.0, 1.0, -1.0, 1.0])
    view = label_view(surface, labels, sure_of(labels), CAMERA, away, photo(), np.zeros((90, 120), np.float32))
    assert not view.labels.any() and not view.confidence.any()
