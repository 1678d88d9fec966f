"""Which blocks of a volume a depth map says something about."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..captures.capture import Intrinsics

NEAR = 0.05  # metres
FIRST_MIP, MIP_LEVELS = 2, 10  # 4 to 2048 pixels
CORNERS = (0, 7, 56, 63, 448, 455, 504, 511)  # voxels of a block


def seen_blocks(
    corners: torch.Tensor, local: torch.Tensor, limit: torch.Tensor, intrinsics: Intrinsics
) -> torch.Tensor:
    """Blocks that may hold a voxel which a frame observes: in view, and not wholly behind what it saw there.

    Args:
        corners: (B, 3) homogeneous pixels (u z, v z, z) of the blocks' first voxels.
        local: (512, 3), to add for the others.
        limit: (H, W) largest z that each pixel still says something about, 0 = none.
        intrinsics: of the limit.

    Returns:
        Rows (R,) int64, ascending. Blocks that cross the camera's plane are left out.
    """
    height, width = limit.shape
    points = corners[:, None] + local[list(CORNERS)]
    z = points[..., 2]
    nearest = z.amin(1)
    uv = points[..., :2] / z.clamp(min=NEAR)[..., None]
    low, high = uv.amin(1), uv.amax(1)
    visible = (nearest > NEAR) & (high > -0.5).all(1) & (low[:, 0] < width - 0.5) & (low[:, 1] < height - 0.5)
    rows = visible.nonzero()[:, 0]
    farthest = _largest(limit, low[rows], high[rows])
    return rows[nearest[rows] <= farthest]


def _largest(image: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Bound (P,) of the largest value of an image (H, W) in windows from pixel ``low`` to ``high`` (P, 2).

    From a pyramid of maxima: at the level whose texels are at least as wide as the window, it touches 2 x 2 texels.
    """
    height, width = image.shape
    levels, widths, starts, start = [], [], [], 0
    level_image = image[None]
    for level in range(MIP_LEVELS):
        level_image = F.max_pool2d(level_image, 1 << FIRST_MIP if level == 0 else 2, ceil_mode=True)
        levels.append(level_image.reshape(-1))
        widths.append(level_image.shape[2])
        starts.append(start)
        start += level_image.shape[1] * level_image.shape[2]
    pyramid = torch.cat(levels)
    last = torch.tensor([width - 1, height - 1], device=image.device)
    low, high = (torch.minimum(side.round().clamp(min=0).long(), last) for side in (low, high))
    span = (high - low + 1).amax(1)
    level = (torch.log2(span.float()).ceil().long() - FIRST_MIP).clamp(0, MIP_LEVELS - 1)
    widths = torch.tensor(widths, device=image.device)[level]
    starts = torch.tensor(starts, device=image.device)[level]
    shift = (level + FIRST_MIP)[:, None]
    low, high = low >> shift, high >> shift
    texels = torch.stack([starts + y * widths + x for x in (low[:, 0], high[:, 0]) for y in (low[:, 1], high[:, 1])])
    return pyramid[texels].amax(0)
