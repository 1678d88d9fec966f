"""Depth maps before fusion: pinholes filled, flying pixels removed, and how much each pixel is to be trusted."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..captures.capture import Intrinsics

STEEPEST = math.tan(math.radians(80.0))  # depth change per metre sideways above which two pixels are not one surface
NOISE = 0.003  # metres; steps below this are quantisation, not edges
MIN_AGREEING = 4  # of 8 neighbours: a straight silhouette keeps 5, the corner of a box 3 to 4, a mixed pixel 2
MAX_WEIGHT = 4.0  # that of half a metre: below, sensors do not get better, and rigs show in the picture
MIN_SCALE = 0.3  # metres of distance per metre of z: bounds what noisy normals can do
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def clean(depth: torch.Tensor, intrinsics: Intrinsics) -> torch.Tensor:
    """Fill pinholes and remove flying pixels: mixed foreground and background at silhouettes, and lone specks.

    Depth that was reprojected into another camera has a moire of holes one pixel wide: a pixel without depth gets the
    mean of its opposite neighbours that lie on one surface. A pixel then stays when at least ``MIN_AGREEING`` of its 8
    neighbours could lie on one surface with it. Two pixels can when the depth step between them is below that of a
    plane seen at 80 degrees.

    Args:
        depth: (H, W) float32 z-depth in metres, 0 = none.
        intrinsics: of the depth map.

    Returns:
        A copy of (H, W); removed pixels, and values that are not finite or negative, are 0.
    """
    depth = torch.nan_to_num(depth, 0.0, 0.0, 0.0).clamp(min=0.0)
    slope = STEEPEST / min(intrinsics.fx, intrinsics.fy)
    depth = _without_pinholes(depth, slope)
    agreeing = torch.zeros(depth.shape, dtype=torch.int8, device=depth.device)
    height, width = depth.shape
    for down, right in _DIRECTIONS:
        here = (slice(0, height - down), slice(max(-right, 0), width - max(right, 0)))
        there = (slice(down, height), slice(max(right, 0), width + min(right, 0)))
        near = _one_surface(depth[here], depth[there], slope * math.hypot(down, right))
        agreeing[here] += near
        agreeing[there] += near
    return depth * (agreeing >= MIN_AGREEING)


def _one_surface(first: torch.Tensor, second: torch.Tensor, slope: float) -> torch.Tensor:
    """int8 mask: both have depth, and the step between them is below ``slope`` metres per metre of depth."""
    nearest = torch.minimum(first, second)
    return (((first - second).abs() <= nearest * slope + NOISE) & (nearest > 0)).to(torch.int8)


def _without_pinholes(depth: torch.Tensor, slope: float) -> torch.Tensor:
    height, width = depth.shape
    padded = F.pad(depth, (1, 1, 1, 1))
    total, count = torch.zeros_like(depth), torch.zeros_like(depth)
    for down, right in _DIRECTIONS:
        first = padded[1 - down : 1 - down + height, 1 - right : 1 - right + width]
        second = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        pair = _one_surface(first, second, 2 * slope * math.hypot(down, right))
        total += (first + second) * pair
        count += 2 * pair
    return depth + total / count.clamp(min=1.0) * (depth == 0)


def confidence(depth: torch.Tensor, intrinsics: Intrinsics, step: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight of each pixel in the average, and the factor from depth difference to distance from the surface.

    Inverse depth is affine in the pixel on a plane, so its gradient gives the normal: with g the normal scaled such
    that g . ray = 1/z for the ray with unit z, the cosine of incidence is (1/z) / (|g| |ray|), and a point with
    z-depth difference dz along the ray has distance dz (1/z) / |g| from the tangent plane.

    Args:
        depth: (H, W) float32 z-depth in metres, 0 = none.
        intrinsics: of the depth map.
        step: half width of the difference stencil in pixels; about half a voxel, so that noise averages out.

    Returns:
        weight (H, W): cos min(1 / z^2, 4), 0 where there is no depth; scale (H, W): metres of distance per metre of z.
    """
    seen = (depth > 0).to(depth.dtype)  # masks multiply: torch.where is many times slower on a CPU
    inverse = seen / depth.clamp(min=1e-3)
    du = _slope(inverse, step, 1, intrinsics.fx)
    dv = _slope(inverse, step, 0, intrinsics.fy)
    rows = torch.arange(depth.shape[0], dtype=torch.float32, device=depth.device)[:, None]
    columns = torch.arange(depth.shape[1], dtype=torch.float32, device=depth.device)[None, :]
    x, y = (columns - intrinsics.cx) / intrinsics.fx, (rows - intrinsics.cy) / intrinsics.fy
    normal = torch.sqrt(du * du + dv * dv + (inverse - x * du - y * dv) ** 2)
    ray = torch.sqrt(x * x + y * y + 1.0)
    scale = inverse / normal.clamp(min=1e-9)
    weight = scale / ray * (inverse * inverse).clamp(max=MAX_WEIGHT) * seen
    return weight, scale.clamp(min=MIN_SCALE) * seen


def _slope(inverse: torch.Tensor, step: int, axis: int, focal: float) -> torch.Tensor:
    """Derivative of inverse depth by x / z along an axis: the mean of the one-sided differences on this surface."""
    length = inverse.shape[axis]
    if length <= step:
        return torch.zeros_like(inverse)
    first, second = inverse.narrow(axis, 0, length - step), inverse.narrow(axis, step, length - step)
    difference = (second - first) * (focal / step)
    farther = torch.minimum(first, second)
    same = (difference.abs() <= farther * (STEEPEST + NOISE * focal / step * farther)).to(inverse.dtype)
    same *= farther > 0
    difference *= same
    after = (0, step) if axis == 1 else (0, 0, 0, step)
    before = (step, 0) if axis == 1 else (0, 0, step, 0)
    total = F.pad(difference, after) + F.pad(difference, before)
    count = F.pad(same, after) + F.pad(same, before)
    return total / count.clamp(min=1.0)
