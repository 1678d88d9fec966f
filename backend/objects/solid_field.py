"""A lattice of its own for every object, and what the keyframes' depth says on it.

The scan is as fine as a whole room allows; an object gets a finer truncated signed distance field in its own box, from
the same depth images by the same fusion. All objects are fused in one pass over the frames.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from ..captures.capture import Capture, Frame
from ..captures.selection import evenly
from ..progress import Progress, part
from ..surface.fusion import Fusion, Reader
from ..surface.surface import Surface
from ..surface.volume import CELLS, SIDE

CELLS_ALONG = 160  # of an object's longest side
FINEST = 0.002  # metres
STEP = 2**0.5  # between the sizes that lattices may have: objects of one size are fused together
MOST_CELLS = 3_000_000  # of one object
MOST_BLOCKS = 24_000  # fused at a time: 300 MB
MOST_FRAMES = 200  # more are thinned out evenly
BAND = 1.5  # voxels of the scan: truncation, half of the scan's, so that thin things keep both their sides
MARGIN = 3  # cells around the object
FUSING = 0.6  # of the time; the rest is the closing


@dataclass(frozen=True)
class Lattice:
    """Cell (i, j, k) of a grid is the sample at scene point ``voxel * (first + (i, j, k))``."""

    voxel: float  # metres
    first: np.ndarray  # (3,) int64, multiples of SIDE
    shape: tuple[int, int, int]  # multiples of SIDE

    def centers(self, cells: np.ndarray) -> np.ndarray:
        """Scene points (n, 3) float64 of cells (n, 3)."""
        return (cells + self.first) * self.voxel

    def axes(self) -> list[np.ndarray]:
        """Scene coordinates of the cells along X, Y and Z."""
        return [(first + np.arange(n)) * self.voxel for first, n in zip(self.first, self.shape, strict=True)]

    def height(self, normal: np.ndarray, offset: float) -> np.ndarray:
        """normal . p - offset at every cell, float32."""
        x, y, z = (axis * n for axis, n in zip(self.axes(), normal, strict=True))
        return (x[:, None, None] + y[:, None] + (z - offset)).astype(np.float32)


@dataclass(frozen=True)
class Seen:
    """What cameras say on a lattice."""

    distance: np.ndarray  # (X, Y, Z) float32 metres within the truncation, positive in free space
    weight: np.ndarray  # (X, Y, Z) float32, 0 = never observed
    color: np.ndarray  # (X, Y, Z, 4) uint8, sRGB and 255 where the colour was seen
    truncation: float  # metres


def lattice_around(low: np.ndarray, high: np.ndarray, surface: Surface, spacing: float) -> Lattice:
    """A lattice for a box in scene metres.

    Args:
        spacing: metres between neighbouring pixels of the depth images at the object: finer would show noise.
    """
    side = high - low
    wanted = min(max(float(side.max()) / CELLS_ALONG, FINEST, spacing), surface.voxel)
    level = int(np.floor(np.log(surface.voxel / wanted) / np.log(STEP) + 1e-9))
    while True:
        voxel = surface.voxel / STEP**level
        first = (np.floor(low / voxel - MARGIN) // SIDE * SIDE).astype(np.int64)
        last = np.ceil(high / voxel + MARGIN).astype(np.int64)
        shape = tuple(int(n) for n in (-(-(last + 1 - first) // SIDE) * SIDE))
        if np.prod(shape) <= MOST_CELLS or level <= -8:
            return Lattice(voxel, first, shape)
        level -= 1


def pixel_spacing(capture: Capture, frames: Sequence[Frame], center: np.ndarray) -> float:
    """Metres between pixels of the nearer depth images at a scene point; 0 if none looks there."""
    found = []
    for frame in frames:
        camera = frame.depth_intrinsics
        pose = capture.camera_to_scene(frame)
        local = (center - pose[:3, 3]) @ pose[:3, :3]
        if local[2] > 0.1:
            u, v = camera.project(local)
            if 0 <= u < camera.width and 0 <= v < camera.height:
                found.append(local[2] / camera.fx)
    return float(np.percentile(found, 25)) if found else 0.0


def integrate(
    capture: Capture,
    surface: Surface,
    lattices: Sequence[Lattice],
    needed: Sequence[np.ndarray],
    progress: Progress,
) -> Iterator[tuple[int, Seen, float]]:
    """Fuse the capture's depth and colour on all lattices, as many at a time as fit into memory.

    Args:
        needed: for each lattice (bx, by, bz) bool, which of its blocks matter; the others stay unobserved.
        progress: called with the share of the lattices that are done, each batch in its turn.

    Yields:
        Number of a lattice, in their order, what is seen on it, and the share of the lattices done with it.

    Raises:
        UserError from the reader, Cancelled.
    """
    frames = evenly(capture.frames, MOST_FRAMES)
    batches, count = [[]], 0
    for index, wanted in enumerate(needed):
        if count + wanted.sum() > MOST_BLOCKS and batches[-1]:
            batches.append([])
            count = 0
        batches[-1].append(index)
        count += int(wanted.sum())
    truncation = BAND * surface.voxel
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        reader = Reader(capture, torch.device("cpu"), pool, workers + 2)
        for batch in batches:
            mine = {index: (lattices[index], needed[index]) for index in batch}
            slot = part(progress, batch[0] / len(lattices), (batch[0] + FUSING * len(batch)) / len(lattices))
            made = _fused(reader, frames, mine, truncation, surface.voxel, slot)
            for turn, index in enumerate(batch):
                share = FUSING + (1 - FUSING) * turn / len(batch)
                yield index, made.pop(index), (batch[0] + share * len(batch)) / len(lattices)


def _fused(
    reader: Reader,
    frames: Sequence[Frame],
    wanted: dict[int, tuple[Lattice, np.ndarray]],
    truncation: float,
    scan_voxel: float,
    progress: Progress,
) -> dict[int, Seen]:
    blocks = {index: np.argwhere(needed) + lattice.first // SIDE for index, (lattice, needed) in wanted.items()}
    fusions: dict[float, tuple[Fusion, np.ndarray]] = {}
    for voxel in sorted({lattice.voxel for lattice, _ in wanted.values()}):
        of_size = [blocks[index] for index, (lattice, _) in wanted.items() if lattice.voxel == voxel]
        keys, first = np.unique(_keys(np.concatenate(of_size)), return_index=True)
        union = np.concatenate(of_size)[first].astype(np.int32)
        fusions[voxel] = Fusion(torch.from_numpy(union), voxel, truncation), keys
    for number, (_, view) in enumerate(
        reader.each(frames, lambda frame: reader.view(frame, 0.5 * scan_voxel, truncation))
    ):
        progress(number / len(frames), f"Looking closer: frame {number + 1} of {len(frames)}")
        if view is not None:
            for fusion, _ in fusions.values():
                fusion.add(view)
    made = {}
    for index, (lattice, needed) in wanted.items():
        fusion, keys = fusions[lattice.voxel]
        rows = torch.from_numpy(np.searchsorted(keys, _keys(blocks[index])))
        made[index] = _dense(fusion, rows, needed, truncation)
    return made


def _keys(blocks: np.ndarray) -> np.ndarray:
    shifted = blocks.astype(np.int64) + (1 << 20)
    return shifted[:, 0] << 42 | shifted[:, 1] << 21 | shifted[:, 2]


def _dense(fusion: Fusion, rows: torch.Tensor, needed: np.ndarray, truncation: float) -> Seen:
    weight = fusion.weight[rows]
    mean = torch.where(weight > 0, fusion.distance[rows] / weight.clamp(min=1e-12), 1.0)
    total = fusion.color.view(-1, CELLS, 4)[rows]
    seen = total[..., 3:] > 0
    color = (total[..., :3] / total[..., 3:].clamp(min=1e-12)).round().clamp(0, 255)
    color = torch.cat([torch.where(seen, color, 0.0), seen * 255.0], -1).byte()

    def laid_out(values: torch.Tensor, empty: float) -> np.ndarray:
        tail = values.shape[2:]
        whole = np.full((*needed.shape, CELLS, *tail), empty, values.numpy().dtype)
        whole[needed] = values.numpy()
        whole = whole.reshape(*needed.shape, SIDE, SIDE, SIDE, *tail)
        order = (0, 3, 1, 4, 2, 5, *range(6, whole.ndim))
        return np.ascontiguousarray(whole.transpose(order)).reshape(*(n * SIDE for n in needed.shape), *tail)

    return Seen(laid_out(mean * truncation, truncation), laid_out(weight, 0.0), laid_out(color, 0), truncation)
