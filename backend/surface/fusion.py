"""TSDF fusion of a capture into a sparse volume.

Curless and Levoy 1996 on the sparse blocks of Niessner et al. 2013, vectorised per frame: blocks that a frame's
truncation band touches are allocated first; then every allocated block in a frame's view that is not wholly hidden is
updated, which also carves the free space in front of the surface.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

from .. import budget
from ..captures.capture import Capture, Frame, Intrinsics, LeftOut
from ..captures.selection import evenly
from ..errors import UserError
from ..progress import Progress
from .culling import seen_blocks
from .depth import clean, confidence
from .volume import CELLS, SIDE, Volume

TRUNCATION = 3.0  # voxels
COLOR_BAND = 0.4  # truncations: the corners of the cells that the surface crosses
MOST_VERTICES = 380_000  # as estimated; measured meshes come out 1.3 to 1.6 times as large
FINE_VERTICES = 240_000  # more are made only where voxels would be larger than usual otherwise
FINEST, COARSEST = 0.004, 0.025  # metres, before the limit on vertices
USUAL = 0.0125  # voxel over median depth: 2.5 cm for a room seen from 2 m
SHARP, PIXELS = 0.006, 1.9  # the least that noise allows, and pixels of depth along a voxel
MAX_BLOCKS = 70_000  # 0.9 GB while fusing; fewer on a small budget, as of vertices and cleaned depth
MAX_BLOCKS_GIVEN = 200_000  # when the person chose the voxel
SURVEYED = 48  # frames that decide the voxel
DEPTH_CACHE = 256 << 20  # bytes of cleaned depth kept between the two passes
MAX_HALF = 60_000.0


@dataclass(frozen=True)
class View:
    """A frame on the device, ready to be fused."""

    intrinsics: Intrinsics  # of the depth
    color_intrinsics: Intrinsics  # of the reduced colour
    camera_to_scene: np.ndarray
    limit: torch.Tensor  # (H, W) largest z inside the truncation band, 0 = none
    depth_scale: torch.Tensor  # ((H + 2) * (W + 2),) depth times scale
    scale: torch.Tensor  # the same: truncations of distance per metre of z
    weight: torch.Tensor  # the same
    color: torch.Tensor  # (h * w, 4) float32, sRGB 0..255 and 1


@dataclass
class Reader:
    """Loads frames on worker threads; keeps the cleaned depth of as many as fit; notes what cannot be read."""

    capture: Capture
    device: torch.device
    pool: ThreadPoolExecutor
    ahead: int  # frames read in advance
    share: float = 1.0  # of the memory that plenty is
    kept: dict[str, torch.Tensor] = field(default_factory=dict)
    kept_bytes: int = 0
    left_out: dict[str, LeftOut] = field(default_factory=dict)

    def depth(self, frame: Frame) -> torch.Tensor:
        """(H, W) cleaned z-depth on the device. Raises UserError."""
        depth = self.kept.get(frame.name)
        if depth is None:
            raw = np.ascontiguousarray(frame.depth(), dtype=np.float32)
            depth = clean(torch.from_numpy(raw).to(self.device), frame.depth_intrinsics)
            if self.kept_bytes + depth.nbytes <= DEPTH_CACHE * self.share:
                self.kept[frame.name] = depth
                self.kept_bytes += depth.nbytes
        return depth

    def view(self, frame: Frame, voxel: float, truncation: float) -> View:
        """The frame with its maps, for volumes of about such voxels (metres). Raises UserError."""
        depth, intrinsics = self.depth(frame), frame.depth_intrinsics
        median = float(depth[depth > 0].median()) if bool((depth > 0).any()) else 1.0
        step = round(min(max(0.5 * voxel * intrinsics.fx / median, 1), 8))
        weight, scale = confidence(depth, intrinsics, step)
        image = torch.from_numpy(np.ascontiguousarray(frame.color()[..., :3])).to(self.device)
        camera = frame.intrinsics
        # Box-filtered to about half a voxel, so that one bilinear look does not alias.
        reduce = int(min(max(0.5 * voxel * camera.fx / median, 1), camera.width, camera.height))
        image = F.avg_pool2d(image.permute(2, 0, 1)[None].float(), reduce)[0]
        color_intrinsics = Intrinsics(
            image.shape[2],
            image.shape[1],
            camera.fx / reduce,
            camera.fy / reduce,
            (camera.cx + 0.5) / reduce - 0.5,
            (camera.cy + 0.5) / reduce - 0.5,
        )
        scale = scale / truncation
        limit = (depth + 1.0 / scale.clamp(min=1e-9)) * (depth > 0)
        maps = [F.pad(values, (1, 1, 1, 1)).reshape(-1) for values in (depth * scale, scale, weight)]
        pose = self.capture.camera_to_scene(frame)
        image = F.pad(image, (0, 0, 0, 0, 0, 1), value=1.0).permute(1, 2, 0).reshape(-1, 4)
        return View(intrinsics, color_intrinsics, pose, limit, *maps, image)

    def each(self, frames: Sequence[Frame], load: Callable) -> Iterator[tuple[Frame, object]]:
        """Yield (frame, load(frame)) in order, reading ahead; a frame that cannot be read yields None."""
        waiting = [self.pool.submit(load, frame) for frame in frames[: self.ahead]]
        try:
            for number, frame in enumerate(frames):
                future = waiting.pop(0)
                try:
                    loaded = future.result()
                except UserError as error:
                    self.left_out.setdefault(frame.name, LeftOut(frame.name, f"it cannot be read: {error.sentence}"))
                    loaded = None
                if number + self.ahead < len(frames):
                    waiting.append(self.pool.submit(load, frames[number + self.ahead]))
                yield frame, loaded
        finally:
            for future in waiting:
                future.cancel()


def fuse(
    capture: Capture,
    progress: Progress,
    device: str | torch.device = "cpu",
    voxel: float | None = None,
    frames: Sequence[Frame] | None = None,
    coarser: float = 1.0,
) -> Volume:
    """Fuse a capture's depth and colour into a truncated signed distance volume.

    Args:
        capture: posed RGB-D frames.
        progress: called with 0..1 and a text at least once per frame; may raise ``Cancelled``.
        device: torch device of the work and of the result.
        voxel: metres; None chooses from the distance of the surfaces and their extent.
        frames: those to use, all of the capture's when None.
        coarser: factor of the voxel that is chosen.

    Returns:
        The volume; ``left_out`` names the frames that could not be read.

    Raises:
        UserError: ``no_depth`` when no frame has usable depth, ``scene_too_large`` when the volume would not fit
            into memory, or the reader's own error when no frame at all can be read.
    """
    device = torch.device(device)
    frames = list(capture.frames if frames is None else frames)
    workers = min(4, os.cpu_count() or 1)
    ahead, share = _ahead(frames, workers + 2), budget.current().share_on(device)
    with ThreadPoolExecutor(max_workers=min(workers, ahead)) as pool:
        reader = Reader(capture, device, pool, ahead, share)
        if voxel is None:
            wanted, voxel = (coarser * chosen for chosen in _choose_voxel(reader, frames, progress))
            blocks = _allocate(reader, frames, progress, voxel)
            while len(blocks) > MAX_BLOCKS * share:
                wanted = voxel * 1.25 if len(blocks) > MAX_BLOCKS else wanted
                voxel *= 1.25
                blocks = _allocate(reader, frames, progress, voxel)
            if coarser == 1.0:
                budget.coarser(wanted, voxel)
        else:
            blocks = _allocate(reader, frames, progress, voxel)
        truncation = TRUNCATION * voxel
        fusion = Fusion(blocks, voxel, truncation)
        for number, (_, view) in enumerate(reader.each(frames, lambda frame: reader.view(frame, voxel, truncation))):
            progress(0.2 + 0.75 * number / len(frames), f"Fusing frame {number + 1} of {len(frames)}")
            if view is not None:
                fusion.add(view)
    progress(0.95, "Finishing the volume")
    return fusion.volume(tuple(reader.left_out.values()))


def _ahead(frames: Sequence[Frame], most: int) -> int:
    """Frames read in advance. Raises UserError when one alone is too large for the budget."""
    photos = max((frame.intrinsics.width * frame.intrinsics.height for frame in frames), default=0)
    depths = max((frame.depth_intrinsics.width * frame.depth_intrinsics.height for frame in frames), default=0)
    return budget.current().ahead(photos, depths, most)


def _survey_points(depth: torch.Tensor, camera: Intrinsics, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rays with unit z (P, 3) and depths (P,) of every stride-th pixel that has depth."""
    rows = torch.arange(stride // 2, depth.shape[0], stride, device=depth.device)
    columns = torch.arange(stride // 2, depth.shape[1], stride, device=depth.device)
    z = depth[rows][:, columns]
    y, x = torch.meshgrid((rows - camera.cy) / camera.fy, (columns - camera.cx) / camera.fx, indexing="ij")
    seen = z > 0
    return torch.stack([x[seen], y[seen], torch.ones_like(x[seen])], 1).float(), z[seen]


def _rigid(pose: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    pose = torch.from_numpy(np.asarray(pose, dtype=np.float32)).to(device)
    return pose[:3, :3], pose[:3, 3]


def _pack(cells: torch.Tensor) -> torch.Tensor:
    """Integer coordinates (P, 3) within +-2^20 as sortable int64 keys."""
    cells = cells.long() + (1 << 20)
    return (cells[:, 0] << 42) | (cells[:, 1] << 21) | cells[:, 2]


def _unpack(keys: torch.Tensor) -> torch.Tensor:
    mask = (1 << 21) - 1
    return torch.stack([keys >> 42, (keys >> 21) & mask, keys & mask], 1).int() - (1 << 20)


def _choose_voxel(reader: Reader, frames: Sequence[Frame], progress: Progress) -> tuple[float, float]:
    """Voxel in metres: as fine as distance and resolution of the depth allow, coarser when vertices become too many.

    Returns:
        What it is with plenty of memory, and what it is with the reader's share of that.
    """
    chosen = evenly(frames, SURVEYED)
    medians, points, pixels = [], [], []
    for number, (frame, depth) in enumerate(reader.each(chosen, reader.depth)):
        progress(0.1 * number / len(chosen), "Measuring the scene")
        if depth is None:
            continue
        rays, z = _survey_points(depth, frame.depth_intrinsics, 4)
        if len(z):
            rotation, center = _rigid(reader.capture.camera_to_scene(frame), reader.device)
            points.append((rays * z[:, None]) @ rotation.T + center)
            medians.append(float(z.median()))
            pixels.append(PIXELS / frame.depth_intrinsics.fx)
    if not points:
        return COARSEST, COARSEST
    distance, sharp = float(np.median(medians)), min(max(float(np.median(pixels)), SHARP), USUAL)
    voxel, usual = (min(max(one * distance, FINEST), COARSEST) for one in (sharp, USUAL))
    # A surface crosses about as many cells as marching cubes puts vertices on; cells of two voxels, a quarter of them.
    cells = torch.unique(torch.cat([torch.unique(_pack(torch.floor(p / (2 * voxel)))) for p in points]))
    expected = 4.0 * len(cells)

    def within(most: float) -> float:
        return voxel * max(1.0, math.sqrt(expected / most))

    shares = 1.0, reader.share
    return tuple(max(min(within(FINE_VERTICES * s), usual), within(MOST_VERTICES * s)) for s in shares)


def _allocate(reader: Reader, frames: Sequence[Frame], progress: Progress, voxel: float) -> torch.Tensor:
    """Blocks (B, 3) int32, sorted, that any frame's truncation band touches. Raises UserError."""

    def touched(frame: Frame) -> torch.Tensor:
        pose = reader.capture.camera_to_scene(frame)
        return _touched(reader.depth(frame), frame.depth_intrinsics, pose, voxel)

    found = torch.zeros(0, dtype=torch.int64, device=reader.device)
    for number, (_, keys) in enumerate(reader.each(frames, touched)):
        progress(0.1 + 0.1 * number / len(frames), "Finding the surfaces")
        if keys is not None:
            found = torch.unique(torch.cat([found, keys]))
        if len(found) > MAX_BLOCKS_GIVEN:
            sentence = f"Voxels of {voxel * 1000:.1f} mm need too much memory for this capture; use larger voxels."
            raise UserError("scene_too_large", sentence, f"{len(found)} blocks")
    if not len(found):
        for item in reader.left_out.values():
            raise UserError("no_frames", f"No frame of the capture can be fused; of {item.name}, {item.reason}.")
        raise UserError("no_depth", "No frame of the capture has usable depth; check its depth images and depth range.")
    return _unpack(found)


def _touched(depth: torch.Tensor, camera: Intrinsics, pose: np.ndarray, voxel: float) -> torch.Tensor:
    """Sorted keys of the blocks within the truncation band of one depth map, and of all corners of its cells."""
    mean = float(depth.sum() / (depth > 0).sum().clamp(min=1))
    if mean <= 0:
        return torch.zeros(0, dtype=torch.int64, device=depth.device)
    band = TRUNCATION * voxel
    # Points about a voxel apart, and all corners of their cells: no block that the surface cuts is missed.
    rays, z = _survey_points(depth, camera, int(min(max(voxel * camera.fx / (1.5 * mean), 1), 8)))
    rotation, center = _rigid(pose, depth.device)
    length = rays.norm(dim=1)
    # Neighbouring pixels mostly share a cell or a block: dropping runs is far cheaper than sorting them.
    cells = _pack(torch.floor((rays * z[:, None]) @ rotation.T / voxel + center / voxel))
    cells = _unpack(torch.unique_consecutive(cells))
    keys = []
    for corner in range(8):
        offset = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1], device=cells.device).int()
        keys.append(_pack((cells + offset) >> 3))
    block = SIDE * voxel
    for shift in (-band, band):
        points = (rays * (z + shift / length).clamp(min=0)[:, None]) @ rotation.T
        keys.append(_pack(torch.floor(points / block + center / block)))
    return torch.unique(torch.cat([torch.unique_consecutive(run) for run in keys]))


class Fusion:
    """The sums behind a volume of some blocks (B, 3) while frames are added; views must have its truncation."""

    def __init__(self, blocks: torch.Tensor, voxel: float, truncation: float):
        device = blocks.device
        self.blocks, self.voxel, self.truncation = blocks, voxel, truncation
        self.corners = blocks.cpu().numpy().astype(np.float64) * (SIDE * voxel)
        local = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), -1).reshape(CELLS, 3)
        self.local = local * voxel
        self.distance = torch.zeros(len(blocks), CELLS, device=device)
        self.weight = torch.zeros(len(blocks), CELLS, device=device)
        self.color = torch.zeros(len(blocks) * CELLS, 4, device=device)
        # On a CPU a chunk's temporaries must stay in the cache; a GPU wants few, large launches.
        self.chunk = 256 if device.type == "cpu" else 16_384

    def add(self, view: View) -> None:
        """Fuse one frame."""
        scene_to_camera = np.linalg.inv(view.camera_to_scene)
        project = view.intrinsics.matrix @ scene_to_camera[:3]
        device = self.weight.device
        corners = torch.from_numpy((self.corners @ project[:, :3].T + project[:, 3]).astype(np.float32)).to(device)
        local = torch.from_numpy((self.local @ project[:, :3].T).astype(np.float32)).to(device)
        for rows in seen_blocks(corners, local, view.limit, view.intrinsics).split(self.chunk):
            self._add_rows(rows, corners[rows], local, view)

    def _add_rows(self, rows: torch.Tensor, corners: torch.Tensor, local: torch.Tensor, view: View) -> None:
        width, height = view.intrinsics.width, view.intrinsics.height
        z = corners[:, 2:] + local[:, 2]
        inverse = 1.0 / z
        u = (corners[:, :1] + local[:, 0]) * inverse
        v = (corners[:, 1:2] + local[:, 1]) * inverse
        # The maps have a rim of zeros, so what projects outside gets no weight.
        row, column = v.round().clamp(-1, height) + 1, u.round().clamp(-1, width) + 1
        pixel = (row.int() * (width + 2) + column.int()).view(-1)
        scale = view.scale.index_select(0, pixel).view_as(z)
        distance = (view.depth_scale.index_select(0, pixel).view_as(z) - z * scale).clamp(min=-1.0, max=1.0)
        # Full weight down to a third of the band behind the surface, then fading: thin things keep both sides.
        weight = view.weight.index_select(0, pixel).view_as(z) * (1.5 * distance + 1.5).clamp(max=1.0)
        self.weight.index_add_(0, rows, weight)
        self.distance.index_add_(0, rows, weight * distance)
        near = (weight.view(-1) * (COLOR_BAND - distance.view(-1).abs()) > 0).nonzero()[:, 0]
        slots = (rows * CELLS).index_select(0, near >> 9) + (near & (CELLS - 1))
        color = _bilinear(view, u.view(-1).index_select(0, near), v.view(-1).index_select(0, near))
        self.color.index_add_(0, slots, color * weight.view(-1).index_select(0, near)[:, None])

    def volume(self, left_out: tuple[LeftOut, ...]) -> Volume:
        """The averages so far."""
        tsdf = torch.ones(len(self.blocks), CELLS, dtype=torch.float16, device=self.weight.device)
        weights = torch.zeros_like(tsdf)
        color = torch.zeros(len(self.blocks), CELLS, 4, dtype=torch.uint8, device=self.weight.device)
        for start in range(0, len(self.blocks), 4096):
            part = slice(start, start + 4096)
            weight = self.weight[part]
            mean = self.distance[part] / weight.clamp(min=1e-12)
            tsdf[part] = torch.where(weight > 0, mean, 1.0).half()
            weights[part] = torch.where(weight > 0, weight.clamp(1e-6, MAX_HALF), 0.0).half()
            total = self.color[start * CELLS : (start + 4096) * CELLS]
            seen = total[:, 3:] > 0
            mean = (total[:, :3] / total[:, 3:].clamp(min=1e-12)).round().clamp(0, 255)
            color[part] = torch.cat([torch.where(seen, mean, 0.0), seen * 255.0], 1).byte().view(-1, CELLS, 4)
        return Volume(self.voxel, self.truncation, self.blocks, tsdf, weights, color, left_out=left_out)


def _bilinear(view: View, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Colour and 1 (P, 4) at depth pixels (P,) from the reduced colour image, clamped to its border."""
    depth, camera = view.intrinsics, view.color_intrinsics
    x = (u - depth.cx) * (camera.fx / depth.fx) + camera.cx
    y = (v - depth.cy) * (camera.fy / depth.fy) + camera.cy
    x, y = x.clamp(0, camera.width - 1), y.clamp(0, camera.height - 1)
    left, top = x.int().clamp(max=max(camera.width - 2, 0)), y.int().clamp(max=max(camera.height - 2, 0))
    x, y = (x - left)[:, None], (y - top)[:, None]
    at = top * camera.width + left
    right = 1 if camera.width > 1 else 0
    down = camera.width if camera.height > 1 else 0
    near, far = (view.color.index_select(0, at + step) for step in (0, right))
    upper = torch.lerp(near, far, x)
    near, far = (view.color.index_select(0, at + step) for step in (down, down + right))
    return torch.lerp(upper, torch.lerp(near, far, x), y)
