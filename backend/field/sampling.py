"""Training points along measured rays.

With depth there is no need to march along rays: a few points per pixel (on the surface, in the truncation band, in the
free space before it) teach the field as iSDF, PIN-SLAM and Co-SLAM do, at a tenth of the queries of volume rendering.
The pixels are drawn once into a replay pool, so that no image stays in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ..captures.capture import Capture, Frame
from ..errors import UserError
from ..progress import Progress, part
from ..surface.surface import Surface

_NEAR = 2  # points in the truncation band per pixel
_NEAR_SPREAD = 0.6  # their standard deviation along the ray in truncations
_SAMPLE_CHUNK = 1 << 16


class FusedVolume(Protocol):
    """What the field needs of the fused volume."""

    voxel: float
    truncation: float

    @property
    def device(self) -> torch.device:
        """Where ``sample`` wants its points."""
        ...

    def sample(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Scene points (P, 3) to truncated signed distance in metres (P,) and observation weight (P,), 0: unseen."""
        ...


@dataclass(frozen=True)
class RayPool:
    """N measured pixels, as tensors on one device."""

    surface: Tensor  # (N, 3) float32 scene metres: the measured point
    origin: Tensor  # (K, 3) float32 camera centres
    frame: Tensor  # (N,) int32 row of ``origin``
    color: Tensor  # (N, 3) uint8 sRGB
    valid: Tensor  # (N,) bool: the fused volume agrees that there is a surface, so that its colour counts
    offset: Tensor  # (N, 1 + _NEAR) float32 metres along the unit ray; column 0 is zero
    target: Tensor  # (N, 1 + _NEAR) float32 signed distance in metres at those points
    gap: Tensor  # (N,) float32 metres from a point in free space on the ray to the measured point
    least: Tensor  # (N,) float32 metres: the signed distance there is at least this
    features: Tensor | None = None  # (N, D) image features of the pixels

    def to(self, device: torch.device | str) -> RayPool:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return RayPool(**{name: None if value is None else value.to(device) for name, value in values.items()})


@dataclass(frozen=True)
class Batch:
    """Points of one geometry step: n on the surface, then the others."""

    points: Tensor  # (n + band, 3): the surface points first
    target: Tensor  # (n + band,) signed distance in metres
    free: Tensor  # (f, 3) points in free space
    free_least: Tensor  # (f,) metres: at least this far from a surface
    free_most: Tensor  # (f,) metres: at most this far from one
    color: Tensor  # (n, 3) float32 0..1
    valid: Tensor  # (n,) float32 0 or 1: whether colour counts
    features: Tensor | None  # (n, D)


class PointSampler:
    """Draws batches from a replay pool; the same seed gives the same batches. Raises UserError for an empty pool."""

    def __init__(self, pool: RayPool, seed: int = 0):
        if not len(pool.surface):
            raise UserError("no_depth", "No pixel of the capture has a usable depth; check the depth range.")
        self.pool = pool
        self.generator = torch.Generator().manual_seed(seed)

    def to(self, device: torch.device | str) -> PointSampler:
        """Move the pool; the generator stays on the CPU so that devices draw alike."""
        self.pool = self.pool.to(device)
        return self

    def draw(self, pixels: int) -> Batch:
        """A batch of ``pixels`` pixels: each gives a surface point, points in the band and one in free space."""
        pool, device = self.pool, self.pool.surface.device
        index = torch.randint(len(pool.surface), (pixels,), generator=self.generator).to(device)
        surface = pool.surface[index]
        ray = surface - pool.origin[pool.frame[index].long()]
        ray = ray / torch.linalg.vector_norm(ray, dim=1, keepdim=True)
        points = surface[:, None] + pool.offset[index][..., None] * ray[:, None]
        gap = pool.gap[index]
        return Batch(
            points=points.transpose(0, 1).reshape(-1, 3),
            target=pool.target[index].t().reshape(-1),
            free=surface - gap[:, None] * ray,
            free_least=pool.least[index],
            free_most=gap,
            color=pool.color[index].float() / 255,
            valid=pool.valid[index].float(),
            features=None if pool.features is None else pool.features[index].float(),
        )


def build_pool(
    capture: Capture,
    volume: FusedVolume,
    progress: Progress,
    seed: int = 0,
    pixels: int = 400_000,
) -> RayPool:
    """Draw the replay pool from all frames of a capture.

    Signed distances are those of the fused volume where it was observed, which averages the noise of single frames,
    else the offset along the ray. Raises UserError when an image cannot be read or no depth is usable.
    """
    generator = np.random.default_rng(seed)
    share = -(-pixels // max(len(capture.frames), 1))
    surfaces, colors, origins, rows = [], [], [], []
    for row, frame in enumerate(capture.frames):
        progress(0.8 * row / len(capture.frames), f"Sampling frame {row + 1} of {len(capture.frames)}")
        pose = capture.camera_to_scene(frame)
        points, rgb = _frame_pixels(frame, share, generator)
        surfaces.append(points @ pose[:3, :3].T + pose[:3, 3])
        colors.append(rgb)
        origins.append(pose[:3, 3])
        rows.append(np.full(len(points), row, dtype=np.int32))
    if not sum(len(points) for points in surfaces):
        raise UserError("no_depth", "No pixel of the capture has a usable depth; check the depth range.")
    return pool_from_points(
        torch.from_numpy(np.concatenate(surfaces)).float(),
        torch.from_numpy(np.concatenate(colors)),
        torch.from_numpy(np.stack(origins)).float(),
        torch.from_numpy(np.concatenate(rows)),
        volume,
        part(progress, 0.8, 1.0),
        seed,
    )


def _frame_pixels(frame: Frame, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Up to ``count`` measured pixels of a frame: camera points (n, 3) float64 and their colours (n, 3) uint8."""
    depth, color = frame.depth(), frame.color()
    rows, columns = np.nonzero(depth > 0)
    if len(rows) > count:
        chosen = generator.choice(len(rows), count, replace=False)
        rows, columns = rows[chosen], columns[chosen]
    uv = np.stack([columns, rows], axis=1).astype(np.float64)
    points = frame.depth_intrinsics.unproject(uv, depth[rows, columns].astype(np.float64))
    seen = np.rint(frame.intrinsics.project(points)).astype(np.int64)
    height, width = color.shape[:2]
    inside = (seen >= 0).all(axis=1) & (seen[:, 0] < width) & (seen[:, 1] < height)
    seen = seen[inside]
    return points[inside], color[seen[:, 1], seen[:, 0], :3]


def pool_from_points(
    surface: Tensor,
    color: Tensor,
    origin: Tensor,
    frame: Tensor,
    volume: FusedVolume,
    progress: Progress,
    seed: int = 0,
) -> RayPool:
    """The pool of measured points: draws their points in the band and asks the volume for distances there.

    Args:
        surface: (N, 3) float32 scene metres. color: (N, 3) uint8. origin: (K, 3). frame: (N,) rows of ``origin``.
    """
    generator = torch.Generator().manual_seed(seed)
    count, truncation = len(surface), volume.truncation
    band = torch.randn((count, _NEAR), generator=generator) * (_NEAR_SPREAD * truncation)
    offset = torch.cat([torch.zeros(count, 1), band.clamp(-0.95 * truncation, 0.95 * truncation)], dim=1)
    ray = surface - origin[frame.long()]
    length = torch.linalg.vector_norm(ray, dim=1)
    ray = ray / length[:, None].clamp(min=1e-6)
    # Quadratic: as many points in the last quarter of the way to the surface as in the rest of it.
    share = torch.rand(count, generator=generator) ** 2
    gap = torch.minimum(truncation + share * (length - truncation).clamp(min=0), length)
    asked = torch.cat([offset, -gap[:, None]], dim=1)
    sdf, known = _sample_along(volume, surface, ray, asked, progress)
    target = torch.where(known[:, :-1], sdf[:, :-1], -offset)
    # Rays that graze a surface run through its band: there the volume knows better than "one truncation away".
    least = torch.where(known[:, -1], sdf[:, -1].clamp(max=truncation), gap.clamp(max=truncation))
    agrees = target[:, 0].abs() < 0.5 * truncation
    return RayPool(surface, origin, frame, color, agrees, offset, target, gap, torch.minimum(least, gap))


def _sample_along(
    volume: FusedVolume, surface: Tensor, ray: Tensor, offset: Tensor, progress: Progress
) -> tuple[Tensor, Tensor]:
    """The volume's distances (N, S) and whether they were observed (N, S), at offsets (N, S) along unit rays."""
    sdf, known = torch.empty_like(offset), torch.empty(offset.shape, dtype=torch.bool)
    for start in range(0, len(surface), _SAMPLE_CHUNK):
        progress(start / len(surface), "Reading distances from the fused volume")
        rows = slice(start, start + _SAMPLE_CHUNK)
        points = surface[rows, None] + offset[rows, :, None] * ray[rows, None]
        answers = volume.sample(points.reshape(-1, 3).to(volume.device))
        values, weight = (answer.cpu().view(-1, offset.shape[1]) for answer in answers)
        sdf[rows], known[rows] = values, (weight > 0) & torch.isfinite(values)
    return sdf, known


def scene_box(surface: Surface, margin: float) -> Tensor:
    """(2, 3) float32: the surface's bounding box, larger by ``margin`` metres on each side. Raises UserError."""
    if not len(surface.vertices):
        raise UserError("empty_surface", "The scan is empty, so there is nothing to learn from.")
    low, high = surface.vertices.min(axis=0) - margin, surface.vertices.max(axis=0) + margin
    return torch.from_numpy(np.stack([low, high])).float()


def start_distances(points: Tensor, surface: Surface, volume: FusedVolume, reach: float) -> Tensor:
    """Signed distances (P,) in metres to begin with: from the fused volume near the surface, else to its vertices.

    Args:
        points: (P, 3) scene metres.
        reach: metres; distances are cut there.
    """
    step = -(-len(surface.vertices) // 200_000)
    vertices, normals = surface.vertices[::step], surface.normals[::step]
    nodes = points.numpy()
    distance, nearest = cKDTree(vertices).query(nodes, distance_upper_bound=reach)
    found = np.isfinite(distance)
    nearest = np.where(found, nearest, 0)
    height = np.einsum("pk,pk->p", nodes - vertices[nearest], normals[nearest])
    # Beside the rim of an open surface the tangent plane goes on but the surface does not: that is free space.
    aside = distance > 1.5 * np.abs(height) + 2 * surface.voxel * np.sqrt(step)
    signed = np.where(found, np.where(aside, distance, height), reach).clip(-reach, reach)
    sdf, weight = (values.cpu().numpy() for values in volume.sample(points.to(volume.device)))
    observed = (weight > 0) & (np.abs(sdf) < 0.9 * volume.truncation)
    return torch.from_numpy(np.where(observed, sdf, signed)).float()
