"""A clean labelled mesh of a stage: its true triangles that the cameras see, cut small and joined where they touch.

Nothing of the product's own fusion takes part, so the mesh is the same whatever becomes of that.
"""

from __future__ import annotations

import numpy as np

from backend.captures.capture import Intrinsics

from .render import Shot
from .shapes import cross
from .stage import Geometry

COARSE = 8  # voxels: the size of the pieces of which those that no shot comes near are dropped first
BATCH = 200_000  # triangles that are looked for at a time


def clean_mesh(
    geometry: Geometry, shots: list[Shot], poses: list[np.ndarray], camera: Intrinsics, voxel: float
) -> dict[str, np.ndarray]:
    """One mesh with about ``voxel`` metres between vertices, from what the shots see at their poses.

    Triangles are halved until no side is longer than a voxel; those that no shot sees are dropped; vertices in the
    same voxel become one at their mean (Rossignac and Borrel 1993), of the instance with the largest area there.

    Returns:
        vertices (V, 3) float32 in metres, faces (F, 3) int32, counter-clockwise seen from where they were seen,
        normals (V, 3) float32, colors (V, 3) uint8, labels (V,) uint16, instances (V,) uint16.
    """
    seen = np.unique(np.concatenate([np.unique(shot.instance) for shot in shots]))
    of = np.flatnonzero(np.isin(geometry.instance, seen))
    corners, of = _halved(geometry.mesh.points[geometry.mesh.faces[of]], of, COARSE * voxel)
    near = _near(corners.mean(1), shots, poses, camera, COARSE * voxel)
    corners, of = _halved(corners[near], of[near], voxel)
    parts = [slice(start, start + BATCH) for start in range(0, len(of), BATCH)]
    views = [_seen(corners[part], geometry.instance[of[part]], shots, poses, camera, voxel) for part in parts]
    facing, color, count = (np.concatenate(column) for column in zip(*views, strict=True))
    keep = count > 0
    corners, of, color = corners[keep], of[keep], color[keep] / count[keep, None]
    turned = facing[keep] < 0
    corners[turned] = corners[turned][:, ::-1]
    return _clustered(corners, geometry.instance[of], color, geometry, voxel)


def _halved(corners: np.ndarray, of: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (F, 3, 3) and what they are pieces of (F,), cut across their longest sides until those are short."""
    done, done_of = [], []
    corners = corners.astype(np.float32)
    while len(of):
        sides = np.linalg.norm(np.roll(corners, -1, 1) - corners, axis=2)
        small = sides.max(1) <= longest
        done.append(corners[small])
        done_of.append(of[small])
        corners, of, side = corners[~small], of[~small], sides[~small].argmax(1)
        row = np.arange(len(of))
        a, b, c = (corners[row, (side + k) % 3] for k in range(3))
        middle = 0.5 * (a + b)
        corners = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        of = np.concatenate([of, of])
    return np.concatenate(done), np.concatenate(done_of)


def _near(
    points: np.ndarray, shots: list[Shot], poses: list[np.ndarray], camera: Intrinsics, cell: float
) -> np.ndarray:
    """(P,) bool: which points (P, 3) lie in a cell, or beside one, that holds a point that a shot sees."""
    v, u = np.mgrid[: camera.height, : camera.width]
    seen = []
    for shot, pose in zip(shots, poses, strict=True):
        hit = shot.instance > 0
        local = camera.unproject(np.stack([u[hit], v[hit]], 1), shot.depth[hit])
        cells = np.floor((local @ pose[:3, :3].T + pose[:3, 3]) / cell).astype(np.int64)
        seen.append(np.unique(_packed(cells)))
    around = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    known = np.unique(np.concatenate(seen)[:, None] + (_packed(around) - _packed(np.zeros((1, 3), np.int64))))
    return np.isin(_packed(np.floor(points / cell).astype(np.int64)), known)


def _packed(cells: np.ndarray) -> np.ndarray:
    """(P,) one number per cell (P, 3) of less than a million along each axis."""
    return (cells + (1 << 19)) @ np.array([1 << 40, 1 << 20, 1])


def _seen(corners, instance, shots, poses, camera, voxel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much triangles (F, 3, 3) face the cameras that see them, the sums of their colours, and the numbers."""
    centers = corners.mean(1)
    normals = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing, color, count = np.zeros(len(centers)), np.zeros((len(centers), 3)), np.zeros(len(centers))
    for shot, pose in zip(shots, (pose.astype(np.float32) for pose in poses), strict=True):
        local = (centers - pose[:3, 3]) @ pose[:3, :3]
        ahead = np.flatnonzero(local[:, 2] > 0.1)
        u, v = np.rint(camera.project(local[ahead])).T
        inside = (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
        index, u, v = ahead[inside], u[inside].astype(int), v[inside].astype(int)
        visible = (shot.instance[v, u] == instance[index]) & (np.abs(shot.depth[v, u] - local[index, 2]) < 1.5 * voxel)
        index, u, v = index[visible], u[visible], v[visible]
        facing[index] += (normals[index] * (pose[:3, 3] - centers[index])).sum(1)
        color[index] += shot.color[v, u]
        count[index] += 1
    return facing, color, count


def _clustered(corners, instance, color, geometry: Geometry, voxel: float) -> dict[str, np.ndarray]:
    """The triangles with all corners in a voxel made one vertex."""
    points = corners.reshape(-1, 3).astype(np.float64)
    cells = np.floor(points / voxel).astype(np.int64)
    cells -= cells.min(0)
    width = cells.max(0) + 1
    _, of = np.unique((cells[:, 0] * width[1] + cells[:, 1]) * width[2] + cells[:, 2], return_inverse=True)
    number = np.bincount(of)
    vertices = np.stack([np.bincount(of, points[:, axis]) / number for axis in range(3)], 1)
    area = np.linalg.norm(cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    weight = np.repeat(area.astype(np.float64) + 1e-12, 3)
    total = np.bincount(of, weight)
    light = np.stack([np.bincount(of, weight * np.repeat(color[:, k], 3)) / total for k in range(3)], 1)
    instances = _heaviest(of, np.repeat(instance, 3), weight)
    faces = _unique(of.reshape(-1, 3))
    used, faces = np.unique(faces, return_inverse=True)
    faces, vertices = faces.reshape(-1, 3), vertices[used]
    label = np.zeros(int(geometry.instance.max()) + 1, np.int64)
    label[geometry.instance] = geometry.label
    return {
        "vertices": vertices.astype(np.float32),
        "faces": faces.astype(np.int32),
        "normals": _normals(vertices, faces),
        "colors": (np.clip(0.8 * light[used], 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8),
        "labels": label[instances[used]].astype(np.uint16),
        "instances": instances[used].astype(np.uint16),
    }


def _heaviest(of: np.ndarray, value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """For every group ``of`` (P,), the value (P,) with the largest sum of weights (P,)."""
    many = int(value.max()) + 1
    keys, inverse = np.unique(of * many + value, return_inverse=True)
    order = np.lexsort((np.bincount(inverse, weight), keys // many))
    last = np.append(np.flatnonzero(np.diff(keys[order] // many)), len(order) - 1)
    return keys[order][last] % many


def _unique(faces: np.ndarray) -> np.ndarray:
    """Faces (F, 3) with three different vertices, the first of every set of equal ones."""
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    _, first = np.unique(np.sort(faces, 1), axis=0, return_index=True)
    return faces[np.sort(first)]


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit means of the faces' normals by area."""
    scaled = cross(*(vertices[faces[:, k]] - vertices[faces[:, 0]] for k in (1, 2)))
    flat = faces.ravel()
    total = np.stack([np.bincount(flat, np.repeat(scaled[:, k], 3), len(vertices)) for k in range(3)], 1)
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)).astype(np.float32)
