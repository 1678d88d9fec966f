"""Cleaning of depth maps, and the weights that they get."""

import numpy as np
import pytest
import torch

from backend.captures.capture import Intrinsics
from backend.surface.depth import MIN_SCALE, clean, confidence

CAMERA = Intrinsics(80, 60, 75.0, 70.0, 38.2, 30.7)


def plane(normal, offset) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) float64 of the plane normal . x = offset, and the rays (H, W, 3) with unit z."""
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    rays = CAMERA.unproject(np.stack([u, v], -1).astype(float), np.ones(u.shape))
    return offset / (rays @ normal), rays


def cleaned(depth: np.ndarray) -> np.ndarray:
    return clean(torch.from_numpy(np.asarray(depth, np.float32)), CAMERA).numpy()


def test_smooth_surfaces_stay_as_they_are():
    normal = np.array([0.5, -0.3, 0.8])
    depth, _ = plane(normal / np.linalg.norm(normal), 1.6)
    inner = (slice(1, -1), slice(1, -1))
    assert np.array_equal(cleaned(depth)[inner], depth.astype(np.float32)[inner])


def test_flying_pixels_go_and_both_sides_of_the_edge_stay():
    depth = np.full((60, 80), 3.0)
    depth[:, :40] = 1.0
    depth[:, 40] = np.linspace(1.4, 2.6, 60)  # mixed
    depth[20, 60] = 1.9  # a speck
    result = cleaned(depth)
    assert not result[:, 40].any() and result[20, 60] == 0
    assert (result[1:-1, 1:40] == 1.0).all()
    assert (result[1:-1, 41:59] == 3.0).all()


def test_pinholes_are_filled_on_the_surface_and_wide_gaps_are_not():
    truth, _ = plane(np.array([0.2, 0.1, 1.0]), 2.0)
    depth = truth.copy()
    depth[::4] = 0
    depth[:, ::5] = 0
    depth[30:36, 40:46] = 0
    result = cleaned(depth)
    inner = np.zeros(depth.shape, bool)
    inner[2:-2, 2:-2] = True
    inner[29:37, 39:47] = False
    filled = result[inner]
    assert (filled > 0).mean() > 0.99
    assert np.abs(filled - truth[inner])[filled > 0].max() < 1e-2
    assert not result[32:34, 42:44].any()


def test_holes_at_an_edge_are_not_bridged():
    depth = np.full((60, 80), 3.0)
    depth[:, :40] = 1.0
    depth[:, 40] = 0
    assert not cleaned(depth)[:, 40].any()


def test_values_that_are_no_depth_become_none():
    depth = np.full((60, 80), 2.0)
    depth[10:13, 10:20], depth[20:23, 10:20], depth[30:33, 10:20] = np.nan, np.inf, -1.0
    result = cleaned(depth)
    assert np.isfinite(result).all() and (result >= 0).all()
    assert not result[[11, 21, 31], 12:18].any()


@pytest.mark.parametrize("step", [1, 4])
def test_weight_and_scale_of_a_tilted_plane(step):
    normal = np.array([0.6, 0.35, 0.75])
    normal /= np.linalg.norm(normal)
    depth, rays = plane(normal, 1.7)
    weight, scale = (m.numpy() for m in confidence(torch.from_numpy(depth.astype(np.float32)), CAMERA, step))
    cosine = rays @ normal / np.linalg.norm(rays, axis=-1)
    assert np.allclose(weight, cosine * np.minimum(1 / depth**2, 4.0), rtol=2e-3)
    assert np.allclose(scale, np.maximum(rays @ normal, MIN_SCALE), rtol=2e-3)


def test_edges_do_not_tilt_the_surfaces_beside_them():
    depth = np.full((60, 80), 3.0, np.float32)
    depth[:, :40] = 1.0
    depth[:, 60:] = 0
    weight, scale = confidence(torch.from_numpy(depth), CAMERA, 4)
    assert torch.allclose(scale[:, :60], torch.ones(60, 60), atol=1e-4)
    assert not weight[:, 60:].any() and not scale[:, 60:].any()
