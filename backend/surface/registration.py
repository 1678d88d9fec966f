"""Poses of frames, corrected so that all frames see one scene.

Trackers drift: by a centimetre and a third of a degree, which is one or two pixels, the best of them do. Surfaces get
blurred by that, and photos lie beside the things that they show. Every frame is therefore registered to a scan of
coarse voxels that was fused from all of them (frame to model, as KinectFusion tracks), by distance to its planes and by
difference from its colours: "Colored Point Cloud Registration Revisited" (Park, Zhou, Koltun 2017) with the vertices of
the scan as the target. Errors of the frames average out in the scan, so one round is enough.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ..captures.capture import Capture, Frame, Intrinsics
from ..captures.selection import evenly
from ..progress import Progress, part
from .features import mesh_edges
from .fusion import Reader, fuse
from .mesh import extract
from .surface import Surface

COARSER = 2.2  # voxels of the model over those that a scan of such thin depth has
MODEL_FRAMES = 64  # of the capture, spread evenly, make the model
WIDTH = 200  # pixels of depth along a row, about; coarse voxels need no more
POINTS = 2000  # of a frame
ROUNDS = 5  # Gauss-Newton steps
REACH = 4.0  # voxels from a point to the model
ROBUST = 3.0  # deviations from which on a point says nothing (Tukey)
INDEPENDENT = 0.05  # of the points: errors of neighbours go together
SHIFT, TURN = 0.5, np.radians(0.3)  # usual errors, in voxels of the model and radians: what nothing decides stays
MOST_SHIFT, MOST_TURN = 3.0, np.radians(2.0)  # larger corrections are mistakes
LEAST_SEEN = 0.5  # of a frame's points must lie on the model
LUMA = np.array([0.299, 0.587, 0.114])


def registered(
    capture: Capture,
    progress: Progress,
    device: str | torch.device = "cpu",
    model: Collection[str] | None = None,
) -> Capture:
    """A capture whose frames all see one scene.

    Args:
        capture: posed RGB-D frames.
        progress: called with 0..1 and a text at least once per frame; may raise ``Cancelled``.
        device: of the coarse fusion; registration itself works on the CPU.
        model: names of the frames that make the scan to which all are registered; None for all.

    Returns:
        The capture with corrected poses. A frame that cannot be read, shows little of the scan or would move farther
        than trackers drift keeps its pose.

    Raises:
        UserError: as `fusion.fuse`.
    """
    thin = replace(capture, frames=tuple(_thinned(frame) for frame in capture.frames))
    chosen = evenly([frame for frame in thin.frames if model is None or frame.name in model], MODEL_FRAMES)
    volume = fuse(thin, part(progress, 0.0, 0.4), device, None, chosen, COARSER)
    surface = extract(volume, part(progress, 0.4, 0.5))
    del volume
    if not len(surface.faces):
        return capture
    target = Target(surface)
    poses = {}
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        reader = Reader(thin, torch.device("cpu"), pool, workers + 2, share=0.0)
        found = reader.each(thin.frames, lambda frame: _corrected(target, reader, frame))
        for number, (frame, pose) in enumerate(found):
            progress(0.5 + 0.5 * number / len(capture.frames), f"Registering frame {number + 1}")
            if pose is not None:
                poses[frame.name] = pose
    return capture.with_poses(poses)


def _thinned(frame: Frame) -> Frame:
    """The frame with every n-th row and column of its depth."""
    lens = frame.depth_intrinsics
    n = max(1, round(lens.width / WIDTH))
    size = -(-lens.width // n), -(-lens.height // n)
    fewer = Intrinsics(*size, lens.fx / n, lens.fy / n, lens.cx / n, lens.cy / n)
    return replace(frame, depth_intrinsics=fewer, load_depth=lambda: frame.depth()[::n, ::n])


class Target:
    """A scan that frames are registered to.

    Args:
        surface: of at least one triangle; its colours change linearly along the plane of each vertex.
    """

    def __init__(self, surface: Surface):
        self.voxel = surface.voxel
        self.points = surface.vertices.astype(np.float64)
        self.normals = surface.normals.astype(np.float64)
        self.luma = surface.colors @ LUMA
        self.slope = _slopes(surface, self.points, self.normals, self.luma)
        self._tree = cKDTree(surface.vertices, balanced_tree=False)

    def nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (m,) of points (n, 3) that lie near the scan, and the vertices (m,) nearest to them."""
        found = self._tree.query(points, distance_upper_bound=REACH * self.voxel)[1]
        rows = np.flatnonzero(found < len(self.points))
        return rows, found[rows]


def _slopes(surface: Surface, points: np.ndarray, normals: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """(V, 3) change of luma per metre in each vertex's plane, by least squares over its edges."""
    count = len(points)
    edges = mesh_edges(surface.faces, count)
    start, end = np.concatenate([edges, edges[:, ::-1]]).T
    step = points[end] - points[start]
    step -= (step * normals[start]).sum(1, keepdims=True) * normals[start]
    rise = luma[end] - luma[start]
    moments = [[np.bincount(start, step[:, i] * step[:, j], count) for j in range(3)] for i in range(3)]
    moments = np.moveaxis(np.array(moments), 2, 0)
    right = np.stack([np.bincount(start, step[:, i] * rise, count) for i in range(3)], 1)
    size = np.trace(moments, axis1=1, axis2=2)[:, None, None]
    # The normal's direction gets a stiffness of its own, so that the slope has no part along it.
    moments += size * (normals[:, :, None] * normals[:, None, :] + 0.01 * np.eye(3)) + 1e-12 * np.eye(3)
    return np.linalg.solve(moments, right[..., None])[..., 0]


@dataclass(frozen=True)
class _Sample:
    """Measured points of a frame."""

    points: np.ndarray  # (n, 3) in the camera
    luma: np.ndarray  # (n,) of the photo there


def _sample(reader: Reader, frame: Frame, voxel: float) -> _Sample | None:
    """Points of a frame on a regular grid; None when it has hardly any. Raises UserError."""
    depth = reader.depth(frame).numpy()
    seen = np.count_nonzero(depth)
    if seen < 100:
        return None
    stride = max(1, int(np.sqrt(seen / POINTS)))
    rows, columns = (np.arange(stride // 2, size, stride) for size in depth.shape)
    z = depth[rows][:, columns]
    y, x = np.nonzero(z)
    z = z[y, x].astype(np.float64)
    points = frame.depth_intrinsics.unproject(np.stack([columns[x], rows[y]], 1).astype(np.float64), z)
    photo = torch.from_numpy(np.ascontiguousarray(frame.color()[..., :3])) @ LUMA
    return _Sample(points, _looked_up(photo, frame.intrinsics, points, voxel))


def _corrected(target: Target, reader: Reader, frame: Frame) -> np.ndarray | None:
    """The pose (4, 4) at which a frame fits the scan; None when it must stay where it is. Raises UserError."""
    sample = _sample(reader, frame, target.voxel)
    if sample is None:
        return None
    start = reader.capture.camera_to_scene(frame)
    pose, moved = start.copy(), np.zeros(6)
    usual = np.repeat([TURN, SHIFT * target.voxel], 3)
    for _ in range(ROUNDS):
        system = _normal_equations(target, sample, pose)
        if system is None:
            return None
        matrix, right = system
        system = torch.from_numpy(matrix + np.diag(usual**-2)), torch.from_numpy(right + moved * usual**-2)
        step = -torch.linalg.solve(*system).numpy()  # NumPy's wakes all cores for six unknowns
        pose[:3, :3] = Rotation.from_rotvec(step[:3]).as_matrix() @ pose[:3, :3]
        pose[:3, 3] += step[3:]
        turned = Rotation.from_matrix(pose[:3, :3] @ start[:3, :3].T).as_rotvec()
        moved = np.concatenate([turned, pose[:3, 3] - start[:3, 3]])
    far = np.linalg.norm(moved[3:]) > MOST_SHIFT * target.voxel or np.linalg.norm(moved[:3]) > MOST_TURN
    return None if far else pose


def _normal_equations(target: Target, sample: _Sample, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(6, 6) and (6,) of one Gauss-Newton step: a turn about the camera's centre, then a shift, in the scene.

    None when too little of the frame lies on the scan. Sums are made by einsum, whose order does not depend on how many
    threads there are.
    """
    placed = sample.points @ pose[:3, :3].T + pose[:3, 3]
    rows, vertex = target.nearest(placed)
    normals = target.normals[vertex]
    arm = placed[rows] - pose[:3, 3]
    facing = (arm * normals).sum(1) < 0
    if facing.sum() < LEAST_SEEN * len(placed):
        return None
    rows, vertex, normals, arm = rows[facing], vertex[facing], normals[facing], arm[facing]
    away = placed[rows] - target.points[vertex]
    distance = (away * normals).sum(1)
    slope = target.slope[vertex]
    expected = target.luma[vertex] + ((away - distance[:, None] * normals) * slope).sum(1)
    # Exposure is the camera's matter: the photo may be brighter or of more contrast than the scan.
    seen, expected = sample.luma[rows] - sample.luma[rows].mean(), expected - expected.mean()
    difference = expected - (seen @ expected) / max(seen @ seen, 1e-9) * seen
    matrix, right = np.zeros((6, 6)), np.zeros(6)
    near, least = np.ones(len(rows), bool), 1e-3 * target.voxel
    for residual, direction, floor in ((distance, normals, least), (difference, slope, 1.0)):
        spread = max(1.4826 * float(np.median(np.abs(residual[near]))), floor)
        inside = near & (np.abs(residual) < ROBUST * spread)
        weight = INDEPENDENT * inside * (1 - (residual / (ROBUST * spread)) ** 2) ** 2 / spread**2
        jacobian = np.concatenate([np.cross(arm, direction), direction], 1)
        matrix += np.einsum("ni,n,nj->ij", jacobian, weight, jacobian)
        right += np.einsum("ni,n,n->i", jacobian, weight, residual)
        near = inside  # what is not on the surface has no colour there either
    return matrix, right


def _looked_up(photo: torch.Tensor, camera: Intrinsics, points: np.ndarray, voxel: float) -> np.ndarray:
    """(n,) luma of a photo (H, W) at points (n, 3) of its camera, as blurred as a scan of such voxels is."""
    reduce = int(np.clip(0.5 * voxel * camera.fx / np.median(points[:, 2]), 1, min(camera.width, camera.height)))
    small = F.avg_pool2d(photo[None, None], reduce)
    uv = camera.project(points)
    grid = torch.from_numpy(2 * (uv + 0.5) / (np.array(small.shape[:1:-1]) * reduce) - 1)[None, None]
    return F.grid_sample(small, grid, padding_mode="border", align_corners=False)[0, 0, 0].numpy()
