"""Point encodings of the field: dense feature grids at several resolutions and low-frequency position.

Axes: ``P`` points, ``F`` features, ``X, Y, Z`` grid nodes. Positions are in units of half the longest side of the
scene's box, measured from its centre, so that every coordinate lies in [-1, 1] and a metre is the same along all axes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Trilinear lookup on the CPU is parallel over the batch dimension alone; two halves keep two threads busy.
_CPU_BATCHES = 2


def frequency_encoding(position: Tensor, frequencies: int) -> Tensor:
    """Sines and cosines of position: ``sin 2^l pi y, cos 2^l pi y`` for l = 0 .. frequencies - 1.

    Equation 1 of "Baking in the Feature" (after NeRF), which takes frequencies = 2: enough to reason about where in the
    scene a point is, too few to memorise single labels.

    Args:
        position: (P, 3) in [-1, 1].

    Returns:
        (P, 6 * frequencies).
    """
    scales = math.pi * 2.0 ** torch.arange(frequencies, device=position.device, dtype=position.dtype)
    angles = (position[:, None, :] * scales[:, None]).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def interpolate(grid: Tensor, index: Tensor) -> Tensor:
    """Trilinear lookup, by the routine that is quickest on the grid's device.

    Args:
        grid: (F, Z, Y, X) values at nodes.
        index: (P, 3) node coordinates x, y, z (0 is the first node); clamped to the grid.

    Returns:
        (P, F), differentiable with respect to ``grid``.
    """
    if grid.device.type == "mps":  # 3D grid_sample is not available there in all supported versions of torch
        return interpolate_by_gather(grid, index)
    nodes = torch.tensor(grid.shape[:0:-1], device=index.device, dtype=index.dtype)
    normal = index * (2.0 / (nodes - 1)) - 1.0
    batches = _CPU_BATCHES if grid.device.type == "cpu" else 1
    points = len(index)
    padding = -points % batches
    if padding:
        normal = functional.pad(normal, (0, 0, 0, padding))
    values = functional.grid_sample(
        grid.expand(batches, *grid.shape),
        normal.view(batches, 1, 1, -1, 3),
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return values.view(batches, len(grid), -1).transpose(1, 2).reshape(-1, len(grid))[:points]


def interpolate_by_gather(grid: Tensor, index: Tensor) -> Tensor:
    """The same as ``interpolate`` with nothing but gathers and sums: the reference, and the path for MPS.

    Differentiable with respect to ``grid`` and, inside the grid, ``index``.
    """
    features, depth, height, width = grid.shape
    last = torch.tensor([width - 1, height - 1, depth - 1], device=index.device, dtype=index.dtype)
    clamped = torch.minimum(index.clamp(min=0), last)
    low = torch.minimum(clamped.detach().floor(), last - 1)
    fraction = clamped - low
    x, y, z = low.long().unbind(1)
    first = (z * height + y) * width + x
    table = grid.reshape(features, -1).t()
    total = torch.zeros(len(index), features, device=grid.device, dtype=grid.dtype)
    for corner in range(8):
        dx, dy, dz = corner & 1, corner >> 1 & 1, corner >> 2 & 1
        weight = torch.ones_like(fraction[:, 0])
        for axis, side in enumerate((dx, dy, dz)):
            weight = weight * (fraction[:, axis] if side else 1 - fraction[:, axis])
        total = total + weight[:, None] * table.index_select(0, first + (dz * height + dy) * width + dx)
    return total


def grid_nodes(extent: tuple[float, float, float], resolution: int) -> tuple[int, int, int]:
    """Nodes along x, y, z of a grid with ``resolution`` cubic cells along a longest side of 2."""
    x, y, z = (max(math.ceil(side * resolution / 2 - 1e-4), 1) + 1 for side in extent)
    return x, y, z


class DenseGrids(nn.Module):
    """Dense feature grids over the scene's box, one per resolution, looked up trilinearly and concatenated.

    Cells are cubes; a resolution is the number of cells along the longest side. Room-scale RGB-D favours dense over
    hashed grids (no collisions), and on a CPU they train two to four times faster.

    Args:
        extent: sides of the box along x, y, z in units of half the longest side (the longest is 2).
        channels: number of values per node, one entry per resolution.
        spread: values start uniform in [-spread, spread].
    """

    def __init__(
        self,
        extent: tuple[float, float, float],
        resolutions: tuple[int, ...],
        channels: tuple[int, ...],
        spread: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.extent, self.resolutions = extent, resolutions
        self.levels = nn.ParameterList()
        for resolution, count in zip(resolutions, channels, strict=True):
            x, y, z = grid_nodes(self.extent, resolution)
            start = torch.rand((count, z, y, x), generator=generator) * (2 * spread) - spread
            self.levels.append(nn.Parameter(start))

    def node_positions(self, level: int) -> Tensor:
        """(Z * Y * X, 3) positions of the nodes of a level, in the order of its grid."""
        resolution = self.resolutions[level]
        x, y, z = grid_nodes(self.extent, resolution)
        zs, ys, xs = torch.meshgrid(torch.arange(z), torch.arange(y), torch.arange(x), indexing="ij")
        nodes = torch.stack([xs, ys, zs], dim=-1).reshape(-1, 3).float()
        return nodes * (2.0 / resolution) - torch.tensor(self.extent) / 2

    def forward(self, position: Tensor) -> Tensor:
        """Positions (P, 3) in [-1, 1] to features (P, sum of channels)."""
        corner = position.new_tensor(self.extent) / 2
        levels = [
            interpolate(grid, (position + corner) * (resolution / 2))
            for grid, resolution in zip(self.levels, self.resolutions, strict=True)
        ]
        return torch.cat(levels, dim=1)
