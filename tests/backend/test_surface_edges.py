"""Depth edges in the scan: a board before a wall, with flying pixels between, keeps its edge and grows no skirt."""

import numpy as np
import pytest

from backend.captures.capture import Intrinsics
from backend.surface import mesh
from backend.surface.fusion import fuse
from backend.surface.mesh import extract
from tests.backend.surface_scenes import capture_of

CAMERA = Intrinsics(120, 90, 110.0, 110.0, 59.6, 44.3)
BOARD, WALL, EDGE = 1.0, 1.7, 0.05  # metres: depths, and x where the board ends
VOXEL = 0.02


def silent(fraction, text):
    """No progress wanted."""


def seen_from(x, y, rng):
    """Colour, depth with 3 mm of noise, and a ragged column of flying pixels along the edge."""
    u, _ = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    on_board = x + (u - CAMERA.cx) / CAMERA.fx * BOARD <= EDGE
    depth = np.where(on_board, BOARD, WALL) + rng.normal(0, 0.003, on_board.shape)
    flying = on_board & ~np.roll(on_board, -1, axis=1)
    flying[:, -1] = False
    depth = np.where(flying & (rng.random(depth.shape) < 0.5), rng.uniform(BOARD, WALL, depth.shape), depth)
    color = np.where(on_board[..., None], [200, 60, 40], [60, 90, 190]).astype(np.uint8)
    pose = np.eye(4)
    pose[:2, 3] = x, y
    return CAMERA, pose, color, depth.astype(np.float32)


@pytest.fixture(scope="module")
def volume():
    rng = np.random.default_rng(4)
    views = [seen_from(x, y, rng) for x in (-0.25, -0.1, 0.05, 0.2) for y in (-0.1, 0.1)]
    return fuse(capture_of(views), silent, voxel=VOXEL)


def between(surface):
    z = surface.vertices[:, 2]
    return int(((z > BOARD + 2.5 * VOXEL) & (z < WALL - 2.5 * VOXEL)).sum())


def test_nothing_hangs_between_the_board_and_the_wall(volume, monkeypatch):
    kept = between(extract(volume, silent))
    monkeypatch.setattr(mesh, "TORN", 99.0)
    skirt = between(extract(volume, silent))
    assert skirt > 50 and kept < 0.15 * skirt, (kept, skirt)


def test_the_edge_and_both_sheets_stay(volume):
    points = extract(volume, silent).vertices
    middle = np.abs(points[:, 1]) < 0.25
    board = points[middle & (np.abs(points[:, 2] - BOARD) < 0.01)]
    wall = points[middle & (np.abs(points[:, 2] - WALL) < 0.02)]
    rows = np.round(board[:, 1] / VOXEL).astype(int)
    ends = np.array([board[rows == row, 0].max() for row in np.unique(rows)])
    assert np.abs(np.median(ends) - EDGE) < 1.5 * VOXEL and ends.min() > EDGE - 3 * VOXEL
    cells = {tuple(cell) for cell in np.floor(wall[:, :2] / (2 * VOXEL)).astype(int).tolist()}
    width = np.arange(np.ceil((EDGE + 0.2) / (2 * VOXEL)), np.floor(0.8 / (2 * VOXEL)))
    expected = [(int(a), int(b)) for a in width for b in np.arange(-5, 5)]
    assert np.mean([cell in cells for cell in expected]) > 0.98
