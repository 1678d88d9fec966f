"""The depth sensor and the ground truth: rays through pixel centres onto the very meshes that are rendered."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from scipy import ndimage

from .cameras import CENTER, FOCAL, HEIGHT, WIDTH

STEP = 0.0008  # depth quantum at 1 m in metres; it grows with the square of the distance
FAR = 6.5  # metres; the sensor sees nothing beyond


class Scanner:
    """All meshes of the scene in one search tree."""

    def __init__(self) -> None:
        vertices, faces, uids = [], [], []
        for thing in bpy.context.scene.objects:
            if thing.type != "MESH":
                continue
            offset, uid = len(vertices), thing["uid"]
            vertices.extend(thing.matrix_world @ v.co for v in thing.data.vertices)
            faces.extend([offset + i for i in p.vertices] for p in thing.data.polygons)
            uids.extend([uid] * len(thing.data.polygons))
        self._tree = BVHTree.FromPolygons(vertices, faces)
        self._uids = np.array([*uids, 0], np.uint8)

    def scan(self, camera_to_world: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a perfect sensor sees from a pose (4, 4), OpenGL axes.

        Returns:
            z-depth (H, W) float64 in metres, 0 where there is nothing; uid (H, W) uint8; cosine between the surface
            normal and the ray (H, W).
        """
        rotation, eye = camera_to_world[:3, :3], Vector(camera_to_world[:3, 3])
        u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
        rays = np.stack([(u - CENTER[0]) / FOCAL, -(v - CENTER[1]) / FOCAL, -np.ones_like(u)], axis=-1)
        length = np.linalg.norm(rays, axis=-1)
        directions = ((rays / length[..., None]) @ rotation.T).reshape(-1, 3)
        distance, index = np.zeros(len(directions)), np.full(len(directions), -1)
        cosine = np.ones(len(directions))
        for i, direction in enumerate(directions.tolist()):
            place, normal, face, far = self._tree.ray_cast(eye, Vector(direction))
            if place is not None:
                distance[i], index[i], cosine[i] = far, face, abs(normal.dot(Vector(direction)))
        uid = self._uids[index].reshape(HEIGHT, WIDTH)
        depth = distance.reshape(HEIGHT, WIDTH) / length
        return np.where(uid > 0, depth, 0.0), uid, cosine.reshape(HEIGHT, WIDTH)


def measured(depth: np.ndarray, cosine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The depth image of a structured-light sensor, (H, W) uint16 in millimetres, 0 = none.

    Disparity is quantised, so the step grows with z squared; noise is a third of a step, so that the steps average
    out over frames, and correlated between neighbours; pixels are lost beside jumps in depth (most in the shadow
    behind, few on the near side), on surfaces seen at a grazing angle, and far away.
    """
    seen = (depth > 0.2) & (depth < FAR)
    disparity = 1.0 / (np.where(seen, depth, 1.0) * STEP)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, depth.shape), 1.1) * 1.3
    z = 1.0 / (np.round(disparity + noise) * STEP)
    filled = np.where(depth > 0, depth, 100.0)
    jump = 0.05 * filled + 0.02
    patchy = ndimage.gaussian_filter(rng.normal(0, 1, depth.shape), 1.2) * 3.0
    behind = (filled - ndimage.minimum_filter(filled, 3) > jump) & (patchy > -1.0)
    before = (ndimage.maximum_filter(filled, 3) - filled > jump) & (patchy > 1.4)
    lost = behind | before | (cosine < 0.10) | ((cosine < 0.22) & (patchy > 0.8))
    return np.where(seen & ~lost, np.round(z * 1000), 0).astype(np.uint16)


def write_png(path: Path, image: np.ndarray) -> None:
    """A grey PNG of 8 or 16 bits with the row filter (none, left, up or average) that makes the smallest file."""
    height, width = image.shape
    depth = image.dtype.itemsize
    rows = np.frombuffer(image.astype(f">u{depth}").tobytes(), np.uint8).reshape(height, width * depth)
    left, up = np.zeros_like(rows), np.zeros_like(rows)
    left[:, depth:], up[1:] = rows[:, :-depth], rows[:-1]
    average = ((left.astype(int) + up) // 2).astype(np.uint8)
    candidates = []
    for kind, data in ((0, rows), (1, rows - left), (2, rows - up), (3, rows - average)):
        lines = np.concatenate([np.full((height, 1), kind, np.uint8), data], axis=1).tobytes()
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED):
            pack = zlib.compressobj(9, zlib.DEFLATED, 15, 9, strategy)
            candidates.append(pack.compress(lines) + pack.flush())
    body = min(candidates, key=len)
    header = struct.pack(">IIBBBBB", width, height, 8 * depth, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    blob = b"".join(
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data)) for tag, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + blob)
