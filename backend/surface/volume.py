"""A truncated signed distance volume on sparse blocks of 8 x 8 x 8 voxels."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..captures.capture import LeftOut
from ..errors import UserError

SIDE = 8  # voxels along a block
CELLS = SIDE**3
MAX_INDEX = 1 << 28  # entries of the flat block index, 1 GB


@dataclass(frozen=True)
class Volume:
    """Signed distance, weight and colour on a lattice: voxel (i, j, k) is the sample at scene point voxel * (i, j, k).

    Block b holds the voxels 8 * blocks[b] + (0..7, 0..7, 0..7), the last index fastest. All tensors are on one device.
    """

    voxel: float  # metres
    truncation: float  # metres
    blocks: torch.Tensor  # (B, 3) int32, sorted
    tsdf: torch.Tensor  # (B, 512) float16, signed distance / truncation in -1..1, positive in free space
    weight: torch.Tensor  # (B, 512) float16, 0 = never observed
    color: torch.Tensor  # (B, 512, 4) uint8, sRGB and 255 where the colour was seen
    left_out: tuple[LeftOut, ...] = ()  # frames that could not be read
    index: torch.Tensor = field(init=False, repr=False, compare=False)  # flat box of blocks, int32, -1 = none
    first: torch.Tensor = field(init=False, repr=False, compare=False)  # (3,) int64, the block at index[0, 0, 0]

    def __post_init__(self) -> None:
        index, first = block_index(self.blocks)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "first", first)

    @property
    def device(self) -> torch.device:
        return self.tsdf.device

    def to(self, device: str | torch.device) -> Volume:
        """The same volume on another device."""
        tensors = [t.to(device) for t in (self.blocks, self.tsdf, self.weight, self.color)]
        return Volume(self.voxel, self.truncation, *tensors, left_out=self.left_out)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest scene point (3,) float64 of the allocated blocks, in metres."""
        blocks = self.blocks.cpu().numpy().astype(np.float64)
        return blocks.min(0) * SIDE * self.voxel, (blocks.max(0) * SIDE + SIDE - 1) * self.voxel

    def sample(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Trilinear signed distance and weight.

        Args:
            points: (P, 3) float tensor, scene metres, on the volume's device.

        Returns:
            Distance (P,) float32 in metres within +-truncation (+truncation where nothing was observed; averaged
            over the observed corners elsewhere), and weight (P,) float32, 0 where nothing was observed.
        """
        distance = torch.zeros(len(points), device=points.device)
        weight, total = torch.zeros_like(distance), torch.zeros_like(distance)
        tsdf, weights = self.tsdf.view(-1), self.weight.view(-1)
        for slot, exists, share in self._corners(points):
            at = weights.index_select(0, slot).float() * exists
            seen = share * (at > 0)
            distance += seen * tsdf.index_select(0, slot).float()
            weight += share * at
            total += seen
        seen = total > 1e-6
        distance = torch.where(seen, distance / total.clamp(min=1e-6), 1.0) * self.truncation
        return distance, torch.where(seen, weight, 0.0)

    def sample_color(self, points: torch.Tensor) -> torch.Tensor:
        """(P, 3) float32 sRGB 0..255 at scene points (P, 3): trilinear over coloured voxels, grey 128 without any."""
        color, total = torch.zeros(len(points), 3, device=points.device), torch.zeros(len(points), device=points.device)
        colors = self.color.view(-1, 4)
        for slot, exists, share in self._corners(points):
            at = colors.index_select(0, slot).float()
            share = share.clamp(min=1e-4) * exists * (at[:, 3] > 0)
            color += share[:, None] * at[:, :3]
            total += share
        return torch.where((total > 0)[:, None], color / total.clamp(min=1e-6)[:, None], 128.0)

    def observed_free(self, points: torch.Tensor) -> torch.Tensor:
        """(P,) bool: a camera looked through this scene point (P, 3) and the surface is nearly a truncation away.

        False in space without blocks, whether seen or not.
        """
        distance, weight = self.sample(points)
        return (weight > 0) & (distance >= 0.9 * self.truncation)

    def _corners(self, points: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield (slot in the flat voxels (P,) int64, whether it exists (P,), trilinear share (P,)) of the 8 corners."""
        lattice = points.float() / self.voxel
        lowest = torch.floor(lattice)
        fraction = lattice - lowest
        shares = torch.stack([1.0 - fraction, fraction])  # (2, P, 3)
        lowest = lowest.long()
        for x, y, z in itertools.product((0, 1), repeat=3):
            row, local = self.locate(lowest + torch.tensor([x, y, z], device=points.device))
            share = shares[x, :, 0] * shares[y, :, 1] * shares[z, :, 2]
            yield row.clamp(min=0) * CELLS + local, row >= 0, share

    def locate(self, voxels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Block row (P,) int64, -1 where there is no block, and place in the block (P,) of voxel indices (P, 3)."""
        block, local = voxels >> 3, voxels & (SIDE - 1)
        return find_blocks(self.index, self.first, block), (local[:, 0] * SIDE + local[:, 1]) * SIDE + local[:, 2]

    def save(self, path: Path) -> None:
        """Write the volume as safetensors; the file appears whole or not at all."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        metadata = {
            "voxel": repr(float(self.voxel)),
            "truncation": repr(float(self.truncation)),
            "left_out": json.dumps([[item.name, item.reason] for item in self.left_out]),
        }
        names = ("blocks", "tsdf", "weight", "color")
        try:
            save_file({name: getattr(self, name).cpu().contiguous() for name in names}, temporary, metadata)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @staticmethod
    def load(path: Path, device: str | torch.device = "cpu") -> Volume:
        """Read what ``save`` wrote. Raises UserError ``bad_volume`` when the file is not a whole volume."""
        try:
            with safe_open(str(path), framework="pt", device="cpu") as file:
                meta = file.metadata() or {}
                tensors = [file.get_tensor(name) for name in ("blocks", "tsdf", "weight", "color")]
            left_out = tuple(LeftOut(*item) for item in json.loads(meta["left_out"]))
            voxel, truncation = float(meta["voxel"]), float(meta["truncation"])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            sentence = f"The cached volume {Path(path).name} cannot be read; delete it and open the capture again."
            raise UserError("bad_volume", sentence, repr(error)) from error
        return Volume(voxel, truncation, *(tensor.to(device) for tensor in tensors), left_out=left_out)


def block_index(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A flat box that maps block coordinates to rows.

    Args:
        blocks: (B, 3) int32.

    Returns:
        index (X, Y, Z) int32, -1 = no block, with an empty layer all round; first (3,) int64, the block at its origin.

    Raises:
        UserError: ``scene_too_large`` when the box would not fit into memory.
    """
    blocks = blocks.long()
    first = blocks.amin(0) - 1
    size = [int(n) for n in (blocks.amax(0) + 2 - first).tolist()]
    if size[0] * size[1] * size[2] > MAX_INDEX:
        sentence = "The capture spans too large a volume for this voxel size; use larger voxels or fewer frames."
        raise UserError("scene_too_large", sentence, f"{size} blocks")
    index = torch.full(size, -1, dtype=torch.int32, device=blocks.device)
    at = blocks - first
    index[at[:, 0], at[:, 1], at[:, 2]] = torch.arange(len(blocks), dtype=torch.int32, device=blocks.device)
    return index, first


def find_blocks(index: torch.Tensor, first: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
    """Rows (P,) int64 of block coordinates (P, 3), -1 where there is none; the box's empty rim absorbs the outside."""
    at = blocks - first
    flat = at[:, 0].clamp(0, index.shape[0] - 1)
    flat = flat * index.shape[1] + at[:, 1].clamp(0, index.shape[1] - 1)
    flat = flat * index.shape[2] + at[:, 2].clamp(0, index.shape[2] - 1)
    return index.view(-1).index_select(0, flat).long()
