"""Scenes with known answers as the prior sees them: surface, cues of the frames, true class and object per vertex."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backend.captures.capture import Capture, Frame
from backend.captures.detect import ImportOptions, open_capture
from backend.surface.cues import Cues, gather
from backend.surface.fusion import fuse
from backend.surface.mesh import extract
from backend.surface.surface import Surface

NEAR = 0.05  # metres
SEEN_VOXELS, SEEN_SHARE = 1.5, 0.02
UNKNOWN = 0


@dataclass(frozen=True)
class Example:
    """One scene."""

    kind: str  # its generator
    seed: int
    surface: Surface
    cues: Cues
    classes: np.ndarray  # (V,) int64 true uids, 0 = unknown
    objects: np.ndarray  # (V,) int64 true instances, 0 = unknown


def example(kind: str, seed: int, folder: Path, cache: Path) -> Example:
    """The example of a generated scene's folder; made once and kept in ``cache``."""
    kept = cache / f"{kind}-{seed}.npz"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_name(f".{kept.stem}.npz")
        np.savez(fresh, **_made(folder))
        fresh.replace(kept)
    data = np.load(kept, allow_pickle=False)
    surface = Surface(*(data[name] for name in ("vertices", "faces", "normals", "colors")), float(data["voxel"]))
    cues = Cues(data["edge_cues"].astype(np.float32), data["vertex_cues"].astype(np.float32))
    return Example(kind, seed, surface, cues, data["classes"], data["objects"])


def _made(folder: Path) -> dict[str, np.ndarray]:
    capture = open_capture(folder / "capture", ImportOptions(), _silent)
    surface = extract(fuse(capture, _silent), _silent)
    cues = gather(capture, surface)
    classes = vertex_truth(capture, surface, folder / "truth")
    objects = vertex_truth(capture, surface, folder / "instances")
    return {
        "vertices": surface.vertices,
        "faces": surface.faces,
        "normals": surface.normals,
        "colors": surface.colors,
        "voxel": np.float64(surface.voxel),
        "edge_cues": cues.edges.astype(np.float16),
        "vertex_cues": cues.vertices.astype(np.float16),
        "classes": classes,
        "objects": objects,
    }


def _silent(fraction: float, text: str) -> None:
    pass


def vertex_truth(capture: Capture, surface: Surface, maps: Path) -> np.ndarray:
    """What most of the frames that see a vertex say it is, (V,) int64; of equal numbers the larger id."""
    votes = []
    for frame in capture.frames:
        path = maps / f"{frame.name}.png"
        if path.exists():
            votes.append(_votes(frame, capture.camera_to_scene(frame), surface, np.array(Image.open(path))))
    keys, times = np.unique(np.concatenate(votes), return_counts=True)
    vertices, ids = keys >> 16, keys & 0xFFFF
    order = np.lexsort((ids, times, vertices))
    truth = np.full(len(surface.vertices), UNKNOWN, np.int64)
    truth[vertices[order]] = ids[order]  # the last assignment stays
    return truth


def _votes(frame: Frame, pose: np.ndarray, surface: Surface, ids: np.ndarray) -> np.ndarray:
    points = (surface.vertices - pose[:3, 3]) @ pose[:3, :3]
    ahead = np.flatnonzero(points[:, 2] > NEAR)
    points = points[ahead]
    depth = frame.depth()
    pixel = np.rint(frame.depth_intrinsics.project(points)).astype(int)
    inside = ((pixel >= 0) & (pixel < (depth.shape[1], depth.shape[0]))).all(axis=1)
    ahead, points, pixel = ahead[inside], points[inside], pixel[inside]
    z = depth[pixel[:, 1], pixel[:, 0]]
    reach = np.maximum(SEEN_VOXELS * surface.voxel, SEEN_SHARE * points[:, 2])
    seen = (z > 0) & (np.abs(z - points[:, 2]) < reach)
    at = np.rint(frame.intrinsics.project(points[seen])).astype(int)
    at = np.clip(at, 0, (ids.shape[1] - 1, ids.shape[0] - 1))
    values = ids[at[:, 1], at[:, 0]].astype(np.int64)
    known = values > 0
    return (ahead[seen][known].astype(np.int64) << 16) | values[known]
