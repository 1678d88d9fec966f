"""Pictures of objects for the Asset Browser, drawn without a GPU."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..captures.capture import Intrinsics
from ..surface.raster import RasterResult, interpolate, rasterize
from .srgb import to_linear, to_srgb

SUPERSAMPLING = 2
VIEW_ANGLE = np.radians(30.0)
TURN, RAISE = np.radians(35.0), np.radians(22.0)  # three-quarter view: to the side of the front, and from above
MARGIN = 0.05  # of the picture
# Colours of a scan have the room's light in them already, so most of the light comes from all around.
KEY, FILL, AMBIENT = 0.55, 0.15, 0.52
CREASE_REACH = 0.02  # of the object's size: how far around a point its surroundings take light from it
CREASE_DEPTH = 0.35  # at most this share of the light from around is lost in a crease


def picture(
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
    size: int,
    uv: np.ndarray | None = None,
    texture: np.ndarray | None = None,
    observed: np.ndarray | None = None,
) -> np.ndarray:
    """A picture of an asset: three-quarter view that fills the frame, neutral light, transparent background.

    It is taken from the side that cameras saw (where what they saw faces, adding up), from -Y when that is no side.
    Both sides of the faces are lit; hollows are a little darker (depth against its surroundings, Luft et al. 2006).

    Args:
        vertices: (n, 3) metres, Z up; faces: (m, 3) int, at least one; colors: (n, 3) uint8 sRGB.
        size: pixels along each side.
        uv: (3 m, 2) per face corner, V up, and texture: (S, S, 4) uint8, whose alpha says what cameras saw; the
            texture then takes the place of the colours.
        observed: (n,) uint8 0..255, how much of a vertex was seen; all of it when nothing is said.

    Returns:
        (size, size, 4) uint8 RGBA, sRGB, straight alpha.
    """
    vertices = np.asarray(vertices, np.float64)
    corners = vertices[faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    seen = np.ones(len(faces)) if observed is None else observed[faces].mean(1) / 255.0
    if texture is not None:
        middle = uv.reshape(-1, 3, 2).mean(1)
        seen = _texels(texture[..., 3:].astype(np.float32) / 255.0, middle)[:, 0]
    axes = _three_quarter(facing * seen[:, None])
    fine = size * SUPERSAMPLING
    camera, pose = _framing(corners.reshape(-1, 3), axes, fine)
    result = rasterize(vertices, faces, camera, pose, near=1e-9)
    normals = _smooth_normals(facing, faces, len(vertices))
    flat = facing / np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-30)
    extent = float(np.linalg.norm(np.ptp(corners.reshape(-1, 3), axis=0)))
    light = _light(interpolate(result, faces, normals), flat[result.face], axes, _openness(result, camera, extent))
    if texture is None:
        linear = interpolate(result, faces, to_linear(colors.astype(np.float32) / 255.0))
    else:
        linear = _painted(result, np.asarray(uv, np.float32).reshape(-1, 3, 2), texture)
    covered = (result.face >= 0).astype(np.float32)[..., None]
    alpha = _coarser(covered)
    linear = _coarser(linear * light[..., None].astype(np.float32) * covered) / np.maximum(alpha, 1e-6)
    rgba = np.concatenate([to_srgb(linear.clip(0.0, 1.0)), alpha], -1)
    return (rgba * 255.0).round().astype(np.uint8)


def _painted(result: RasterResult, uv: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """(H, W, 3) linear colours of the texture at the pixels, from the level whose texels are as large as they are."""
    hit = result.face >= 0
    drawn = result.face[hit]
    u, v = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    texels = 0.5 * np.abs(u[0] * v[1] - u[1] * v[0]) * texture.shape[0] * texture.shape[1]
    per_face = np.bincount(drawn, minlength=len(uv))
    shown = per_face > 0
    ratio = texels[shown].sum() / max(per_face[shown].sum(), 1)
    image = to_linear(texture[..., :3].astype(np.float32) / 255.0)
    for _ in range(min(int(0.5 * np.log2(max(ratio, 1.0))), 3)):
        image = 0.25 * (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2])
    linear = np.zeros((*result.face.shape, 3), np.float32)
    linear[hit] = _texels(image, np.einsum("pi,pij->pj", result.barycentric[hit], uv[drawn]))
    return linear


def _texels(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(P, C) bilinear values of an image (S, S, C), row 0 on top, at uv (P, 2), V up."""
    height, width = image.shape[:2]
    at = np.stack([(1 - uv[:, 1]) * height - 0.5, uv[:, 0] * width - 0.5])
    return np.stack(
        [ndimage.map_coordinates(channel, at, order=1, mode="nearest") for channel in image.T.swapaxes(1, 2)], 1
    )


def _coarser(image: np.ndarray) -> np.ndarray:
    """Mean over squares of SUPERSAMPLING pixels."""
    step = SUPERSAMPLING
    return sum(image[y::step, x::step] for y in range(step) for x in range(step)) / step**2


def _three_quarter(facing: np.ndarray) -> np.ndarray:
    """Camera axes (3, 3): rows right, down, forward, for triangles whose scaled normals are ``facing`` (F, 3)."""
    total, area = facing.sum(0), np.linalg.norm(facing, axis=1).sum()
    front = total[:2] if np.hypot(*total[:2]) > 0.1 * area else np.array([0.0, -1.0])
    azimuth = np.arctan2(front[1], front[0]) + TURN
    elevation = -RAISE if total[2] < -0.7 * area else RAISE  # a ceiling is seen from below
    away = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    right = np.cross(-away, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(-away, right), -away])


def _framing(points: np.ndarray, axes: np.ndarray, size: int) -> tuple[Intrinsics, np.ndarray]:
    """Camera whose square picture of ``size`` pixels the points (P, 3) fill up to the margin, and its pose."""
    seen = points @ axes.T
    center = 0.5 * (seen.min(0) + seen.max(0))
    seen -= center
    tangent = np.tan(VIEW_ANGLE / 2)
    radius = max(float(np.linalg.norm(seen, axis=1).max()), 1e-6)
    distance = max(float((np.abs(seen[:, :2]) / tangent - seen[:, 2:]).max()), 1.2 * radius)
    pose = np.eye(4)
    pose[:3, :3] = axes.T
    pose[:3, 3] = axes.T @ (center - [0.0, 0.0, distance])
    rays = seen[:, :2] / (seen[:, 2:] + distance)
    low, high = rays.min(0), rays.max(0)
    focal = size * (1 - 2 * MARGIN) / max(float((high - low).max()), 1e-9)
    cx, cy = 0.5 * (size - 1) - 0.5 * focal * (low + high)
    return Intrinsics(size, size, focal, focal, cx, cy), pose


def _smooth_normals(facing: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    """(V, 3) float32 sums of the faces' scaled normals at each vertex, unit length."""
    flat = np.asarray(faces).reshape(-1)
    total = np.stack([np.bincount(flat, np.repeat(facing[:, axis], 3), count) for axis in range(3)], 1)
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)).astype(np.float32)


def _openness(result: RasterResult, camera: Intrinsics, extent: float) -> np.ndarray:
    """(H, W) share of the light from around that reaches each pixel: less where its surroundings are nearer."""
    drawn = (result.face >= 0).astype(np.float32)
    z = result.depth
    reach = CREASE_REACH * extent
    sigma = reach * camera.fx / max(float(z[drawn > 0].mean()) if drawn.any() else 1.0, 1e-9)
    around = ndimage.gaussian_filter(z, sigma) / np.maximum(ndimage.gaussian_filter(drawn, sigma), 1e-6)
    return 1 - CREASE_DEPTH * ((z - around) / reach).clip(0.0, 1.0)


def _light(smooth: np.ndarray, flat: np.ndarray, axes: np.ndarray, openness: np.ndarray) -> np.ndarray:
    """(H, W) light on a surface of smooth and face normals (H, W, 3): a key light from the upper left, a fill."""
    smooth = smooth / np.maximum(np.linalg.norm(smooth, axis=-1, keepdims=True), 1e-9)
    agreement = (smooth * flat).sum(-1, keepdims=True)
    local = flat + (smooth - flat) * ((agreement - 0.5) / 0.3).clip(0.0, 1.0)  # creases stay sharp
    local = local @ axes.T
    local *= -np.sign((flat @ axes.T)[..., 2:] + 1e-12)  # towards the camera
    key, fill = np.array([-0.5, -0.7, -0.6]), np.array([0.7, -0.1, -0.7])
    key, fill = key / np.linalg.norm(key), fill / np.linalg.norm(fill)
    return AMBIENT * openness + KEY * (local @ key).clip(0.0) + FILL * (local @ fill).clip(0.0)
