"""Fewer triangles, and collision hulls."""

import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from backend.errors import Cancelled
from backend.objects import decimate
from backend.objects.decimate import resampled, simplified
from backend.objects.graphs import is_closed
from backend.objects.hulls import hulls


def level(field):
    vertices, faces, _, _ = marching_cubes(np.where(np.abs(field) < 1e-6, 1e-6, field), 0.0)
    points, number = np.unique(vertices, axis=0, return_inverse=True)
    faces = number.ravel()[faces]
    return points, faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]


@pytest.fixture(scope="module")
def rough_ring():
    """A closed ring with a rough surface: vertices, faces."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 56)] * 3, indexing="ij"), -1)
    ring = np.hypot(np.hypot(grid[..., 0], grid[..., 1]) - 0.6, grid[..., 2]) - 0.25
    noise = gaussian_filter(np.random.default_rng(1).normal(0, 0.12, ring.shape), 0.7)
    return level(ring + noise)


def volume(vertices, faces):
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def test_decimation_keeps_a_closed_mesh_closed_and_near(rough_ring):
    vertices, faces = rough_ring
    assert is_closed(faces, len(vertices))
    assert decimate._quickly(vertices, faces, 3000) is None  # the quick way tears this one
    points, fewer, values = simplified(vertices, faces, vertices, 6000)
    assert len(fewer) <= 6000 and is_closed(fewer, len(points)) and fewer.dtype == np.int32
    euler = [len(p) - 1.5 * len(f) + len(f) for p, f in ((vertices, faces), (points, fewer))]
    assert euler[0] == euler[1]
    assert abs(volume(points, fewer) / volume(vertices, faces) - 1) < 0.01
    assert cKDTree(vertices).query(points)[0].mean() < 0.6  # cells
    assert np.linalg.norm(values - points, axis=1).mean() < 0.25  # sampled right beside the new vertices
    again = simplified(vertices, faces, vertices, 6000)
    assert all(np.array_equal(one, other) for one, other in zip((points, fewer, values), again, strict=True))


def test_decimation_of_an_open_sheet_keeps_its_outline():
    u, v = np.meshgrid(np.arange(40.0), np.arange(30.0), indexing="ij")
    vertices = np.stack([u, v, 0.3 * np.sin(u / 6)], -1).reshape(-1, 3)
    index = np.arange(1200).reshape(40, 30)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    points, fewer = decimate._carefully(vertices, faces, 400)
    used = points[np.unique(fewer)]
    assert len(fewer) <= 400
    assert np.allclose(np.ptp(used, axis=0)[:2], [39, 29], atol=0.05)
    a, b, c = points[fewer].transpose(1, 0, 2)
    flat = np.cross(b - a, c - a)[:, 2] / 2
    assert flat.min() > 0 and abs(flat.sum() - 39 * 29) < 2  # nothing turned over, no hole


def test_values_come_from_the_nearest_point_of_the_surface():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    faces = np.array([[0, 1, 2], [1, 3, 2]])
    points = np.array([[0.25, 0.25, 0.4], [0.9, 0.8, -1.0], [2.0, 0.5, 0.0], [-1.0, -1.0, 0.0]])
    found = resampled(vertices, faces, vertices[:, :2], points)
    assert np.allclose(found, [[0.25, 0.25], [0.9, 0.8], [1.0, 0.5], [0.0, 0.0]])


def test_hull_of_a_box_is_the_box_and_of_a_ball_small():
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij"), -1)
    box = np.array([[x, y, z] for x in (0, 1.0) for y in (0, 0.5) for z in (0, 0.25)])
    ((points, faces),), _ = hulls(box, np.arange(6).reshape(2, 3) + 1, "convex")
    assert len(points) == 6
    every = np.array([[i, (i + 1) % 8, (i + 2) % 8] for i in range(8)])
    ((points, faces),), _ = hulls(box, every, "convex")
    assert len(points) == 8 and is_closed(faces, 8) and np.isclose(volume(points.astype(float), faces), 0.125)
    ball, triangles = level(np.linalg.norm(grid, axis=-1) - 0.8)
    ((points, faces),), _ = hulls(ball, triangles, "convex")
    assert len(points) <= 64 and is_closed(faces, len(points))
    assert 0.85 < volume(points.astype(float), faces) / volume(ball, triangles) < 1.0
    ((points, faces),), _ = hulls(box[:4] * [0, 1, 1], np.array([[0, 1, 2], [1, 3, 2]]), "convex")  # flat
    assert is_closed(faces, len(points)) and 0 < volume(points.astype(float), faces) < 1e-3


def test_decomposition_leaves_the_space_under_a_table_free():
    pytest.importorskip("coacd")
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing="ij")
    top = np.maximum(np.maximum(np.abs(x) - 0.8, np.abs(y) - 0.3), np.abs(z - 0.6) - 0.12)
    foot = np.maximum(np.maximum(np.abs(np.abs(x) - 0.6) - 0.15, np.abs(y) - 0.3), np.abs(z + 0.1) - 0.7)
    vertices, faces = level(np.minimum(top, foot))
    parts, note = hulls(vertices, faces, "decomposed")
    assert 2 <= len(parts) <= 12 and not note
    whole, convex = (
        sum(volume(points.astype(float), triangles) for points, triangles in made)
        for made in (parts, hulls(vertices, faces, "convex")[0])
    )
    assert abs(whole / volume(vertices, faces) - 1) < 0.2
    assert whole < 0.8 * convex


def test_a_decomposition_can_be_cancelled_and_ends_in_time(monkeypatch):
    pytest.importorskip("coacd")
    vertices, faces = level(np.linalg.norm(np.stack(np.meshgrid(*[np.linspace(-1, 1, 20)] * 3)), axis=0) - 0.8)
    asked = []

    def check():
        asked.append(time.monotonic())
        if len(asked) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        hulls(vertices, faces, "decomposed", check)
    assert time.monotonic() - asked[1] < 1  # the program is killed, not waited for
    monkeypatch.setattr("backend.objects.hulls.TRIES", ((0.1, 0.0),))
    parts, note = hulls(vertices, faces, "decomposed")
    assert len(parts) == 1 and note.startswith("Its collision shape is one convex hull")
