"""Marks to vertices: points, pixels with and without depth, and what is said when nothing is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.captures.capture import Capture, Frame, Intrinsics
from backend.errors import UserError
from backend.labels.placement import place_marks
from backend.protocol import checked_document
from tests.backend.label_scenes import boxes_on_floor, height_field

COLOR_CAMERA = Intrinsics(160, 120, 150.0, 150.0, 79.5, 59.5)
DEPTH_CAMERA = COLOR_CAMERA.resized(80, 60)
HEIGHT = 1.5


def _looking_down(x, y):
    """Camera at (x, y, HEIGHT) that looks straight down, image up along +Y."""
    matrix = np.diag([1.0, -1.0, -1.0, 1.0])
    matrix[:3, 3] = (x, y, HEIGHT)
    return matrix


def _frame(name, depth, x=1.0, y=0.9):
    def load_depth():
        if depth is None:
            raise UserError("unreadable", "The depth image cannot be read.")
        return np.full((60, 80), depth, np.float32) if np.isscalar(depth) else depth

    color = np.zeros((120, 160, 3), np.uint8)
    camera = _looking_down(x, y)
    return Frame(name, Path(name), COLOR_CAMERA, DEPTH_CAMERA, camera, lambda: color, load_depth)


def _capture(*frames, scale=1.0):
    return Capture("test", "test", Path("."), frames, np.diag([scale, scale, scale, 1.0]), fingerprint=str(id(frames)))


def _document(*marks):
    return checked_document({"tree": [{"uid": 1, "name": "floor"}], "marks": [{"label": 1, **mark} for mark in marks]})


@pytest.fixture(scope="module")
def floor():
    return height_field((2.0, 1.8), lambda x, y: np.zeros_like(x), lambda x, y: np.full((*x.shape, 3), 120.0))


def _seen(u, v, x=1.0, y=0.9):
    """Where the floor is under a pixel, by hand."""
    return np.array([x + (u - 79.5) / 150 * HEIGHT, y - (v - 59.5) / 150 * HEIGHT, 0.0])


@pytest.mark.parametrize("pixel", [(80, 60), (20, 100), (140.3, 7.8), (0, 0)])
def test_a_pixel_with_depth_lands_within_a_voxel(floor, pixel):
    document = _document({"frame": "a", "u": pixel[0], "v": pixel[1]})
    (placed,) = place_marks(document, _capture(_frame("a", HEIGHT)), floor)
    assert placed.problem is None
    assert placed.vertices.shape == (1,)
    assert np.linalg.norm(placed.points[0] - _seen(*pixel)) < floor.voxel
    np.testing.assert_array_equal(placed.points, floor.vertices[placed.vertices])
    assert (placed.id, placed.label, placed.sign) == (1, 1, 1)


def test_a_capture_in_other_units_is_placed_in_scene_metres(floor):
    frame = _frame("a", HEIGHT)
    in_millimetres = frame.camera_to_world.copy()
    in_millimetres[:3, 3] *= 1000
    capture = _capture(replace(frame, camera_to_world=in_millimetres), scale=0.001)
    (placed,) = place_marks(_document({"frame": "a", "u": 30, "v": 40}), capture, floor)
    assert np.linalg.norm(placed.points[0] - _seen(30, 40)) < floor.voxel


def test_a_hole_in_the_depth_is_filled_from_its_rim(floor):
    depth = np.full((60, 80), HEIGHT, np.float32)
    depth[30, 40] = 0
    (placed,) = place_marks(_document({"frame": "a", "u": 80.5, "v": 60.5}), _capture(_frame("a", depth)), floor)
    assert np.linalg.norm(placed.points[0] - _seen(80.5, 60.5)) < floor.voxel


@pytest.mark.parametrize("depth", [0.0, None, 0.7], ids=["no depth", "unreadable depth", "depth far from the scan"])
def test_without_usable_depth_the_ray_meets_the_scan(floor, depth):
    (placed,) = place_marks(_document({"frame": "a", "u": 110, "v": 33}), _capture(_frame("a", depth)), floor)
    assert placed.problem is None
    assert np.linalg.norm(placed.points[0] - _seen(110, 33)) < floor.voxel


def test_the_ray_stops_at_the_nearest_surface():
    boxes, _ = boxes_on_floor()
    (placed,) = place_marks(
        _document({"frame": "a", "u": 79.5, "v": 59.5}), _capture(_frame("a", 0.0, x=0.65, y=0.7)), boxes
    )
    np.testing.assert_allclose(placed.points[0], (0.65, 0.7, 0.3), atol=boxes.voxel)


def _problem(document, capture, surface):
    (placed,) = place_marks(document, capture, surface)
    assert placed.vertices.size == 0
    assert placed.points.shape == (0, 3)
    assert placed.problem.endswith(".")
    return placed.problem


def test_problems_are_said_in_a_sentence(floor):
    capture = _capture(_frame("a", 0.0), _frame("away", 0.0, x=30.0))
    assert "no frame called b" in _problem(_document({"frame": "b", "u": 1, "v": 1}), capture, floor)
    assert "no frame called a" in _problem(_document({"frame": "a", "u": 1, "v": 1}), None, floor)
    assert "outside frame a" in _problem(_document({"frame": "a", "u": 200, "v": 1}), capture, floor)
    assert "no depth" in _problem(_document({"frame": "away", "u": 10, "v": 10}), capture, floor)
    assert "no scan within 10 cm" in _problem(_document({"points": [[0.5, 0.5, 0.4]]}), capture, floor)


def test_one_bad_mark_does_not_disturb_the_others(floor):
    capture = _capture(_frame("a", HEIGHT))
    marks = [{"frame": "nowhere", "u": 1, "v": 1}, {"frame": "a", "u": 50, "v": 50}, {"points": [[1, 1, 0.01]]}]
    placed = place_marks(_document(*marks), capture, floor)
    assert [mark.problem is None for mark in placed] == [False, True, True]
    assert [mark.id for mark in placed] == [1, 2, 3]


def test_a_stroke_is_its_distinct_vertices_and_wins_over_the_pixel(floor):
    line = [[0.5 + 0.005 * k, 0.5, 0.003] for k in range(40)] + [[0.5, 0.5, 3.0]]
    mark = {"points": line, "frame": "a", "u": 5, "v": 5, "sign": -1}
    (placed,) = place_marks(_document(mark), _capture(_frame("a", HEIGHT)), floor)
    assert placed.problem is None
    assert placed.sign == -1
    assert len(placed.vertices) == len(np.unique(placed.vertices))
    assert 9 <= len(placed.vertices) <= 12  # 20 cm at one vertex per 2 cm
    assert np.abs(placed.points[:, 1] - 0.5).max() < 0.02


def test_placing_again_gives_the_same_and_a_new_surface_is_not_mistaken_for_the_old(floor):
    capture = _capture(_frame("a", HEIGHT))
    document = _document({"frame": "a", "u": 50, "v": 50})
    one, two = place_marks(document, capture, floor), place_marks(document, capture, floor)
    np.testing.assert_array_equal(one[0].vertices, two[0].vertices)
    moved = replace(floor, vertices=floor.vertices + np.float32([0, 0, 0.05]))
    (other,) = place_marks(document, capture, moved)
    assert other.points[0, 2] == pytest.approx(0.05)
