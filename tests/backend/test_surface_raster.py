"""The software z-buffer against analytic planes and a brute-force ray caster."""

import numpy as np
import pytest

from backend.captures.capture import Intrinsics
from backend.surface.raster import interpolate, nearest_vertex, rasterize

CAMERA = Intrinsics(64, 48, 60.0, 55.0, 30.7, 24.2)


def pose(rotation=None, center=(0.0, 0.0, 0.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) if rotation is None else rotation
    matrix[:3, 3] = center
    return matrix


def turned(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def rays(camera: Intrinsics) -> np.ndarray:
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return camera.unproject(np.stack([u, v], -1).astype(float), np.ones(u.shape))


def cast(vertices, faces, camera, camera_to_scene, near):
    """Nearest hit of every pixel's ray by Moller and Trumbore 1997, triangle by triangle."""
    directions = rays(camera) @ camera_to_scene[:3, :3].T
    origin = camera_to_scene[:3, 3]
    depth = np.full(directions.shape[:2], np.inf)
    face = np.full(depth.shape, -1)
    slack = np.full(depth.shape, np.inf)
    for index, (a, b, c) in enumerate(vertices[faces]):
        p = np.cross(directions, c - a)
        determinant = p @ (b - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = p @ (origin - a) / determinant
            q = np.cross(origin - a, b - a)
            v, t = directions @ q / determinant, (c - a) @ q / determinant
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= near) & (t < depth)
        depth[hit], face[hit] = t[hit], index
        slack = np.fmin(slack, np.fmin(np.abs(u), np.fmin(np.abs(v), np.abs(1 - u - v))))
    return np.where(face >= 0, depth, 0.0), face, slack


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [0.05, 0.4, 3.0])
def test_random_triangles_match_ray_casting(seed, size):
    random = np.random.default_rng(seed)
    place = pose(turned(seed), random.normal(size=3))
    centers = (random.uniform(-1, 1, (60, 1, 3)) * [1.5, 1.2, 2.0] + [0, 0, 1.5]) @ place[:3, :3].T + place[:3, 3]
    vertices = (centers + random.normal(size=(60, 3, 3)) * size).reshape(-1, 3)
    faces = np.arange(180, dtype=np.int32).reshape(-1, 3)
    result = rasterize(vertices, faces, CAMERA, place, near=0.1)
    depth, face, slack = cast(vertices, faces, CAMERA, place, 0.1)
    clear = slack > 1e-7  # pixels whose ray grazes an edge may fall on either side
    assert clear.mean() > 0.99
    assert np.array_equal(result.face[clear], face[clear])
    assert np.allclose(result.depth[clear], depth[clear], rtol=1e-5)
    assert (face >= 0).any()


def test_plane_depth_is_exact_and_has_no_cracks():
    n = 40
    grid = np.stack(np.meshgrid(np.linspace(-4, 4, n), np.linspace(-4, 4, n)), -1).reshape(-1, 2)
    vertices = np.column_stack([grid, 2.5 + 0.3 * grid[:, 0] - 0.2 * grid[:, 1]])
    index = np.arange(n * n).reshape(n, n)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([d, c, b], -1).reshape(-1, 3)])
    result = rasterize(vertices, faces, CAMERA, np.eye(4))
    x, y, _ = np.moveaxis(rays(CAMERA), -1, 0)
    assert (result.face >= 0).all()
    assert np.abs(result.depth - 2.5 / (1 - 0.3 * x + 0.2 * y)).max() < 1e-4


def test_triangle_through_the_camera_plane_is_cut_at_near():
    # The floor y = 1 (Y down), one huge triangle around and behind the camera.
    vertices = np.array([[-500.0, 1, -300], [500, 1, -300], [0, 1, 900]])
    result = rasterize(vertices, np.array([[0, 1, 2]]), CAMERA, np.eye(4), near=0.05)
    y = rays(CAMERA)[..., 1]
    below = y > 0.01
    assert (result.face[below] == 0).all()
    assert np.allclose(result.depth[below], 1 / y[below], rtol=1e-5)
    assert (result.face[y <= 0] == -1).all() and (result.depth[y <= 0] == 0).all()
    cut = rasterize(vertices, np.array([[0, 1, 2]]), CAMERA, np.eye(4), near=4.0)
    assert np.array_equal(cut.face >= 0, (y > 0) & (1 / np.where(y > 0, y, 1) >= 4.0) & (result.face >= 0))


def test_nearer_triangle_hides_the_farther_from_both_sides():
    near, far = (
        np.array([[-0.3, -0.3, 1], [0.3, -0.3, 1], [0, 0.6, 1]]),
        np.array([[-9.0, -9, 3], [9, -9, 3], [0, 18, 3]]),
    )
    for first in (near, near[::-1]):
        result = rasterize(np.concatenate([far, first]), np.arange(6).reshape(2, 3), CAMERA, np.eye(4))
        assert result.face[24, 31] == 1 and result.depth[24, 31] == pytest.approx(1.0)
        assert result.face[0, 0] == 0 and result.depth[0, 0] == pytest.approx(3.0)


def test_empty_and_behind_are_nothing():
    behind = np.array([[-1.0, -1, -1], [1, -1, -1], [0, 2, -1]])
    for vertices, faces in ((behind, np.array([[0, 1, 2]])), (np.zeros((0, 3)), np.zeros((0, 3), int))):
        result = rasterize(vertices, faces, CAMERA, np.eye(4))
        assert (result.face == -1).all() and not result.depth.any() and not result.barycentric.any()


def test_degenerate_triangles_draw_nothing():
    vertices = np.array([[0.0, 0, 2], [1, 0, 2], [2, 0, 2], [0.5, 0.5, 2]])
    result = rasterize(vertices, np.array([[0, 1, 2], [3, 3, 3]]), CAMERA, np.eye(4))
    assert (result.depth[result.face >= 0] > 0).all()
    assert np.isfinite(result.depth).all() and np.isfinite(result.barycentric).all()


def test_interpolation_is_perspective_correct():
    # On a slanted plane the interpolated vertex positions must be the points that the rays meet.
    vertices = np.array([[-9.0, -9, 1.0], [9, -9, 8.0], [0, 12, 5.0]])
    faces = np.array([[0, 1, 2]])
    place = pose(turned(7), (0.3, -0.2, 0.1))
    scene = vertices @ place[:3, :3].T + place[:3, 3]
    result = rasterize(scene, faces, CAMERA, place)
    hit = result.face >= 0
    assert hit.mean() > 0.3
    expected = (rays(CAMERA) * result.depth[..., None])[hit]
    assert np.allclose(interpolate(result, faces, vertices)[hit], expected, atol=1e-4)
    assert np.allclose(result.barycentric[hit].sum(-1), 1.0, atol=1e-6)
    assert interpolate(result, faces, vertices[:, 2]).shape == hit.shape
    assert not interpolate(result, faces, np.ones(3))[~hit].any()


def test_nearest_vertex_is_the_largest_weight():
    vertices = np.array([[-2.0, -2, 2], [2, -2, 2], [-2, 2, 2], [2, 2, 2]])
    faces = np.array([[2, 1, 0], [1, 2, 3]], np.int32)
    result = rasterize(vertices, faces, CAMERA, np.eye(4))
    nearest = nearest_vertex(result, faces)
    assert [nearest[0, 0], nearest[0, -1], nearest[-1, 0], nearest[-1, -1]] == [0, 1, 2, 3]
    far = rasterize(vertices + np.array([0, 0, 20]), faces, CAMERA, np.eye(4))
    assert (nearest_vertex(far, faces)[far.face < 0] == -1).all()
