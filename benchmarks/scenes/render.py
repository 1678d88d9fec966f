"""Pictures of a stage: exact depth, classes and instances, and colour with soft shadows and ambient occlusion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from backend.captures.capture import Intrinsics
from backend.surface.raster import RasterResult, rasterize

from .shapes import unit
from .stage import Geometry, Stage, Sun

SHADOW_SIZE = 768
SOFT = 3.0  # pixels of the shadow map
PENUMBRA = np.array([(0, 0), (1, 0.3), (-0.3, 1), (-1, -0.3), (0.3, -1)])
CELLS = 2_500_000  # of space, at most about
SAMPLES = 600_000  # points that decide which cells of space are occupied


@dataclass(frozen=True)
class Shot:
    """One view with its truth; pixels (H, W)."""

    color: np.ndarray  # (H, W, 3) float32 linear light
    depth: np.ndarray  # (H, W) float32 z-depth in metres, 0 = nothing
    label: np.ndarray  # (H, W) int32 class uid, 0 = nothing
    instance: np.ndarray  # (H, W) int32
    cosine: np.ndarray  # (H, W) float32, between the surface's normal and the ray
    gloss: np.ndarray  # (H, W) float32


def looking(eye, target, roll: float = 0.0) -> np.ndarray:
    """(4, 4) camera to scene, OpenCV axes, turned about its axis by ``roll`` degrees."""
    forward = unit(np.asarray(target, float) - eye)
    right = unit(np.cross(forward, [0.0, 0.0, 1.0] if abs(forward[2]) < 0.999 else [0.0, 1.0, 0.0]))
    down = np.cross(forward, right)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = c * right + s * down, c * down - s * right, forward, eye
    return pose


class Space:
    """Which cells of space a stage occupies."""

    def __init__(self, geometry: Geometry, cell: float, rng: np.random.Generator):
        mesh = geometry.mesh
        corners = mesh.points[mesh.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(cross, axis=1)
        pick = np.searchsorted(np.cumsum(area), np.sort(rng.uniform(0, area.sum(), SAMPLES)), side="right")
        pick = pick.clip(0, len(area) - 1)
        a, b = np.sort(rng.uniform(0, 1, (2, SAMPLES)), axis=0)
        weights = np.stack([a, b - a, 1 - b], 1)
        points = np.einsum("pi,pij->pj", weights, corners[pick])
        extent = np.ptp(points, axis=0)
        self.cell = cell = max(cell, float(np.cbrt(np.prod(extent) / CELLS)))
        self.low = points.min(0) - 6 * cell
        shape = np.ceil((points.max(0) + 6 * cell - self.low) / cell).astype(int)
        self.filled = np.zeros(shape, bool)
        self.filled[tuple(((points - self.low) / cell).astype(int).T)] = True
        density = self.filled.astype(np.float32)
        near, wide = (ndimage.gaussian_filter(density, sigma, truncate=2.5) for sigma in (1.5, 5.0))
        self._shade = 0.9 * near + 1.6 * wide
        self._distance = None

    def openness(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(P,) about 0.2..1: how open space is in front of points (P, 3)."""
        q = (points - self.low.astype(np.float32)) * np.float32(1 / self.cell) + (2.5 * normals - 0.5).astype(
            np.float32
        )
        dense = ndimage.map_coordinates(self._shade, q.T, np.float32, order=1, mode="nearest", prefilter=False)
        return np.exp(-1.7 * np.maximum(dense - 0.28, 0.0)).astype(np.float32)

    def clearance(self, points: np.ndarray) -> np.ndarray:
        """(P,) metres from points (P, 3) to the nearest surface, about; large outside the scene."""
        if self._distance is None:
            self._distance = ndimage.distance_transform_edt(~self.filled) * self.cell
        q = ((points - self.low) / self.cell).astype(int)
        inside = ((q >= 0) & (q < self.filled.shape)).all(-1)
        result = np.full(len(points), 9.0)
        result[inside] = self._distance[tuple(q[inside].T)]
        return result


class Shadows:
    """A shadow map of the stage's sun."""

    def __init__(self, geometry: Geometry, sun: Sun):
        focal = 0.5 * SHADOW_SIZE / np.tan(np.radians(sun.angle) / 2)
        middle = 0.5 * (SHADOW_SIZE - 1)
        self.camera = Intrinsics(SHADOW_SIZE, SHADOW_SIZE, focal, focal, middle, middle)
        pose = looking(sun.at, sun.towards)
        self._to_sun = np.linalg.inv(pose).astype(np.float32)
        solid = geometry.mesh.faces
        depth = rasterize(geometry.mesh.points, solid, self.camera, pose).depth
        self._depth = np.where(depth > 0, depth, 1e6)

    def light(self, points: np.ndarray) -> np.ndarray:
        """(P,) share of the sun that reaches points (P, 3)."""
        local = points @ self._to_sun[:3, :3].T + self._to_sun[:3, 3]
        z = np.maximum(local[:, 2], 1e-3)
        uv = local[:, :2] * (np.float32(self.camera.fx) / z)[:, None] + np.float32(self.camera.cx)
        limit = SHADOW_SIZE - 1
        total = np.zeros(len(points), np.float32)
        for offset in (PENUMBRA * SOFT).astype(np.float32):
            place = np.rint(uv + offset)
            place = np.where(np.isfinite(place), place, -1).clip(-1, SHADOW_SIZE).astype(np.int32)
            outside = ((place < 0) | (place > limit)).any(1)
            place = place.clip(0, limit)
            lit = z * (1 - 0.012) - 0.012 < self._depth[place[:, 1], place[:, 0]]
            total += np.where(outside, 0.6, lit)
        return total / len(PENUMBRA)


class Renderer:
    """Everything about a stage that its pictures share."""

    def __init__(self, stage: Stage):
        self.geometry = stage.geometry()
        self.looks = stage.palette.ready()
        self.space = Space(self.geometry, 2.0 * stage.voxel, np.random.default_rng(stage.rng.integers(1 << 30)))
        self.shadows = Shadows(self.geometry, stage.sun)
        self.sun = stage.sun
        self._key = geometry_keys(self.geometry)
        self._values = np.concatenate([self.geometry.mesh.normals, self.geometry.mesh.texture], 1).astype(np.float32)

    def shoot(self, camera: Intrinsics, pose: np.ndarray) -> Shot:
        """The view of a camera at a pose (4, 4).

        Colour is sampled at the centres and, where there are edges, at the corners of the pixels (a quincunx); the
        truth is that of the centres.
        """
        mesh = self.geometry.mesh
        result = rasterize(mesh.points, mesh.faces, camera, pose)
        face = result.face
        hit = face >= 0
        color, cosine = self._colors(result, camera, pose, np.ones_like(hit))
        color = self._smoothed(color, face, camera, pose)
        label = np.where(hit, self.geometry.label[face], 0)
        instance = np.where(hit, self.geometry.instance[face], 0)
        gloss = np.where(hit, self.looks.gloss[self.geometry.paint[face]], 0)
        return Shot(color, result.depth, label, instance, cosine, gloss)

    def _smoothed(self, color: np.ndarray, face: np.ndarray, camera: Intrinsics, pose: np.ndarray) -> np.ndarray:
        """Half the colour of each pixel's centre (H, W, 3), half that of its four corners."""
        w, h = camera.width + 1, camera.height + 1
        corners = Intrinsics(w, h, camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5)
        mesh = self.geometry.mesh
        # What a corner sees is next to always seen by some centre too: that leaves a tenth of the faces to draw.
        seen = np.unique(face[face >= 0]) if (face >= 0).any() else np.zeros(1, np.int64)
        result = rasterize(mesh.points, mesh.faces[seen], corners, pose)
        result = replace(result, face=np.where(result.face >= 0, seen[result.face], -1))
        key, own = (np.where(image >= 0, self._key[image], -1) for image in (face, result.face))
        key = np.pad(key, 1, mode="edge")
        around = [key[y : y + h, x : x + w] for y in (0, 1) for x in (0, 1)]
        wanted = np.any([own != other for other in around], 0)
        sharp, _ = self._colors(result, corners, pose, wanted)
        padded = np.pad(color, ((1, 1), (1, 1), (0, 0)), mode="edge")
        mean = 0.25 * sum(padded[y : y + h, x : x + w] for y in (0, 1) for x in (0, 1))
        at_corners = np.where(wanted[..., None], sharp, mean)
        return 0.5 * color + 0.125 * sum(at_corners[y : y + h - 1, x : x + w - 1] for y in (0, 1) for x in (0, 1))

    def _colors(
        self, result: RasterResult, camera: Intrinsics, pose: np.ndarray, wanted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colour (H, W, 3) and cosine (H, W) at the wanted samples (H, W)."""
        v, u = np.nonzero(wanted & (result.face >= 0))
        face = result.face[v, u]
        weights, corners = result.barycentric[v, u], self.geometry.mesh.faces[face]
        values = sum(weights[:, i, None] * self._values[corners[:, i]] for i in range(3))
        normals, texture = unit(values[:, :3]), values[:, 3:]
        turn, eye = pose[:3, :3].astype(np.float32), pose[:3, 3].astype(np.float32)
        uv = np.stack([u, v], 1).astype(np.float32)
        points = camera.unproject(uv, result.depth[v, u]).astype(np.float32) @ turn.T + eye
        towards = unit(eye - points)
        facing = (normals * towards).sum(1)
        normals = normals * np.where(facing < 0, np.float32(-1), np.float32(1))[:, None]
        color = np.empty((*result.face.shape, 3), np.float32)
        color[:] = np.array(self.sun.sky, np.float32) * 1.1
        cosine = np.zeros(result.face.shape, np.float32)
        color[v, u] = self._lit(self.geometry.paint[face], texture, points, normals, towards)
        cosine[v, u] = np.abs(facing)
        return color, cosine

    def _lit(self, rows, texture, points, normals, towards) -> np.ndarray:
        """(P, 3) linear light that leaves points towards the eye."""
        albedo = self.looks.albedo(rows, texture)
        open_ = self.space.openness(points, normals)
        sun = np.asarray(self.sun.at, np.float32) - points
        sun = unit(sun)
        facing = np.maximum((normals * sun).sum(1), 0.0)
        share = self.shadows.light(points + np.float32(0.8 * self.space.cell) * normals)
        sky = np.asarray(self.sun.sky, np.float32) * (open_ * (0.72 + 0.28 * normals[:, 2]))[:, None]
        bounce = 0.10 * open_[:, None] * (0.5 - 0.5 * normals[:, 2:])
        direct = np.asarray(self.sun.color, np.float32) * (facing * share)[:, None]
        gloss, glow = self.looks.gloss[rows][:, None], self.looks.glow[rows][:, None]
        shine = np.maximum((normals * unit(sun + towards)).sum(1, keepdims=True), 0.0) ** 40
        grazing = (1 - np.abs((normals * towards).sum(1, keepdims=True))) ** 4
        specular = gloss * (0.8 * shine * share[:, None] + 0.35 * grazing * open_[:, None])
        return (albedo * (sky + bounce + direct + glow) + specular).astype(np.float32)


def geometry_keys(geometry: Geometry) -> np.ndarray:
    """(F,) int32: equal for faces of one paint and about one direction."""
    corners = geometry.mesh.points[geometry.mesh.faces]
    normal = unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    normal *= np.sign(normal @ [0.9, 0.31, 0.17])[:, None]
    coarse = np.rint(normal * 1.5).astype(np.int32) + 2
    return (geometry.instance * 512 + geometry.paint) * 125 + coarse @ np.array([25, 5, 1], np.int32)
