"""Which blocks of a volume a depth map says something about."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..captures.capture import Intrinsics
from .depth import MIN_SCALE
from .volume import SIDE

NEAR = 0.05  # metres
FIRST_MIP, MIP_LEVELS = 3, 9  # 8 to 2048 pixels


def classify(
    corners: torch.Tensor, local: torch.Tensor, depth: torch.Tensor, camera: Intrinsics, voxel: float, truncation: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sort blocks by what a frame says of them, from the depth range under each block's bounding sphere.

    Args:
        corners: (B, 3) homogeneous pixels of the blocks' first voxels; local: (512, 3), to add for the others.

    Returns:
        Rows to update voxel by voxel; rows wholly in seen free space; the place (B,) of each block's centre in a flat
        map with a rim of one pixel.
    """
    device = corners.device
    center = corners + local.mean(0)
    radius = 0.5 * math.sqrt(3.0) * SIDE * voxel
    z = center[:, 2]
    u, v = center[:, 0] / z.clamp(min=NEAR), center[:, 1] / z.clamp(min=NEAR)
    # A sphere off the axis projects longer than f r / z; its tangent cone is bounded by the factor below.
    widest = max(camera.cx, camera.width - camera.cx) / camera.fx, max(camera.cy, camera.height - camera.cy) / camera.fy
    reach = max(camera.fx, camera.fy) * radius * (1 + math.hypot(*widest)) / (z - radius).clamp(min=NEAR) + 1
    visible = (z - radius > NEAR) & (u + reach > 0) & (u - reach < camera.width - 1)
    visible &= (v + reach > 0) & (v - reach < camera.height - 1)
    rows = visible.nonzero()[:, 0]
    u, v, z, reach = u[rows], v[rows], z[rows], reach[rows]
    nearest, farthest = _depth_range(depth, u, v, reach)
    whole = (u - reach >= 0) & (u + reach <= camera.width - 1) & (v - reach >= 0) & (v + reach <= camera.height - 1)
    free = whole & (nearest > 0) & (z + radius < nearest - truncation / MIN_SCALE)
    hidden = (farthest <= 0) | (z - radius > farthest + truncation / MIN_SCALE)
    pixel = torch.zeros(len(corners), dtype=torch.int64, device=device)
    pixel[rows] = v.round().long().clamp(0, camera.height - 1) * camera.width + u.round().long().clamp(
        0, camera.width - 1
    )
    return rows[~free & ~hidden], rows[free], pixel


def _depth_range(
    depth: torch.Tensor, u: torch.Tensor, v: torch.Tensor, reach: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bounds of the smallest and largest depth (P,) within +-reach (P,) pixels of (u, v), 0 counting as a depth.

    From a pyramid of minima and maxima: at the level whose texels are as wide as the window, it touches 2 x 2 texels.
    """
    height, width = depth.shape
    lowest, highest = [], []
    widths, starts, start = [], [], 0
    low, high = -depth[None], depth[None]
    for level in range(MIP_LEVELS):
        kernel = 1 << FIRST_MIP if level == 0 else 2
        low, high = (F.max_pool2d(image, kernel, ceil_mode=True) for image in (low, high))
        lowest.append(low.reshape(-1))
        highest.append(high.reshape(-1))
        widths.append(low.shape[2])
        starts.append(start)
        start += low.shape[1] * low.shape[2]
    lowest, highest = torch.cat(lowest), torch.cat(highest)
    level = (torch.log2(2 * reach).ceil().long() - FIRST_MIP).clamp(0, MIP_LEVELS - 1)
    size = (1 << (level + FIRST_MIP)).float()
    widths = torch.tensor(widths, device=depth.device)[level]
    starts = torch.tensor(starts, device=depth.device)[level]
    left, right = ((side.clamp(0, width - 1) / size).long() for side in (u - reach, u + reach))
    top, bottom = ((side.clamp(0, height - 1) / size).long() for side in (v - reach, v + reach))
    texels = torch.stack([starts + y * widths + x for x in (left, right) for y in (top, bottom)])
    return -lowest[texels].amax(0), highest[texels].amax(0)
