"""Textures for objects from the captured photos.

How to call it: decimate first (``decimate.simplified``, at most some 20,000 faces per object), then give ``dress_all``
all objects at once, since every photo is loaded and every scan view drawn only once however many objects there are;
``dressed`` is the same for a single object.

How it works, on a finer mesh whose vertices are a few texels apart:

1. Every keyframe, moved to where its photo fits the scan (``aligning``), says which vertices it sees, how well, and in
   what light (``sightings``); each vertex keeps its best.
2. One gain per keyframe and channel makes these agree (``exposure``).
3. What differs much from what the other keyframes show at a vertex is a reflection or something in the way, and counts
   little (``blending``).
4. Each texel takes its detail from the keyframes that show it best and agree, averaged by a high power of how well they
   do: noise goes down, and a photo that is much closer paints alone. Its light over a few texels comes from all the
   keyframes that saw it: two bands, as in Allene et al. 2008; the second has no seams.
5. What no keyframe saw is filled smoothly from around it on the surface and marked in the alpha channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .. import budget
from ..captures.capture import Capture, Frame
from ..progress import Progress, part
from ..surface.surface import Surface
from .aligning import aligned
from .blending import Blend, Sightings
from .sightings import (
    NEAR,
    STEEPEST,
    Hiding,
    View,
    coarser,
    light_of,
    mark_of,
    relative_sharpness,
    sampled,
    sharpness,
    view_of,
)
from .srgb import to_srgb
from .texels import FineMesh, fine_mesh, padded
from .unwrap import Unwrapped, unwrapped

SMALLEST = 256  # texels along a texture's side
USED = 0.62  # share of a texture that charts cover, for choosing its size
ROOM = 1.15  # so much too small a texture may be before the next size is taken
TEXELS = 6_000_000  # worked on at a time, with plenty of memory; more objects take another pass over the photos
SAMPLES = 400  # points per object that choose its texture's size
GRAZING = 2.0  # power of the cosine in a view's worth
HIDING_VOXELS = 2.0  # cells of the coarser scan that says what is hidden
BEYOND = 1.0  # a view with more pixels than texels is no better


@dataclass(frozen=True)
class Shape:
    """What is to be dressed: a triangle mesh in scene coordinates."""

    vertices: np.ndarray  # (n, 3) float scene metres
    faces: np.ndarray  # (m, 3) int, outward
    colors: np.ndarray  # (n, 3) uint8 sRGB, for an object that no photo shows


@dataclass(frozen=True)
class Dressed:
    """A texture, and where the corners of the faces lie in it."""

    uv: np.ndarray  # (3 m, 2) float32 per face corner, V up, 0..1
    texture: np.ndarray  # (S, S, 4) uint8 sRGB, row 0 on top; alpha 255 = seen by a camera, 0 = filled in


def dressed(
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
    capture: Capture,
    surface: Surface,
    size_limit: int,
    progress: Progress,
) -> Dressed:
    """Dress one mesh; see ``dress_all``."""
    return dress_all([Shape(vertices, faces, colors)], capture, surface, size_limit, progress)[0]


def dress_all(
    shapes: Sequence[Shape], capture: Capture, surface: Surface, size_limit: int, progress: Progress
) -> list[Dressed]:
    """Unwrap meshes and paint them from the capture's photos.

    Args:
        shapes: closed or open, each with at least one face.
        surface: the scan, which hides what is behind it.
        size_limit: texels along the longest side that a texture may have, 256 or more; a texture gets as many as the
            photos have pixels to give, as a power of two.
        progress: called with 0..1 and a text; may raise Cancelled.

    Raises:
        UserError: the package xatlas is missing, or an image cannot be read.
    """
    limit = 1 << (max(int(size_limit), SMALLEST).bit_length() - 1)
    sides = [_side(shape, capture, limit) for shape in shapes]
    made: list[Dressed] = []
    views = _Views(shapes, capture, surface)
    for batch in _batches(sides):
        slot = part(progress, len(made) / len(shapes), (len(made) + len(batch)) / len(shapes))
        made += _dress(batch, [shapes[i] for i in batch], [sides[i] for i in batch], views, slot)
    return made


def _batches(sides: Sequence[int]) -> Iterator[list[int]]:
    """Consecutive shapes whose texels fit into memory together."""
    batch: list[int] = []
    most = TEXELS * budget.current().share
    for number, side in enumerate(sides):
        if batch and sum(sides[i] ** 2 for i in batch) + side**2 > most:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _side(shape: Shape, capture: Capture, limit: int) -> int:
    """Texels along the side of a texture that holds what the photos show of a shape."""
    corners = np.asarray(shape.vertices, np.float64)[shape.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = 0.5 * np.linalg.norm(cross, axis=1)
    total = np.cumsum(area)
    chosen = np.searchsorted(total, (np.arange(SAMPLES) + 0.5) / SAMPLES * total[-1]).clip(0, len(area) - 1)
    points = corners[chosen].mean(axis=1)
    normals = cross[chosen] / np.maximum(2 * area[chosen, None], 1e-30)
    best = np.zeros(SAMPLES)
    for frame in capture.frames:
        pose = capture.camera_to_scene(frame)
        to_camera = pose[:3, 3] - points
        local = -to_camera @ pose[:3, :3]
        z = np.maximum(local[:, 2], 1e-6)
        pixel = frame.intrinsics.project(local / z[:, None])
        inside = ((pixel > 0) & (pixel < [frame.intrinsics.width, frame.intrinsics.height])).all(1)
        slant = (normals * to_camera).sum(1) / np.linalg.norm(to_camera, axis=1)
        seen = inside & (local[:, 2] > 0.05) & (slant > 0.3)
        np.maximum(best, np.where(seen, frame.intrinsics.fx / z, 0.0), out=best)
    density = np.median(best[best > 0]) if (best > 0).any() else 0.0
    wanted = density * np.sqrt(total[-1] / USED) / ROOM
    return int(min(max(1 << int(np.ceil(np.log2(max(wanted, 1.0)))), SMALLEST), limit))


class _Views:
    """The keyframes' photos, each moved to where it fits; what has been looked at is kept for the next batch."""

    def __init__(self, shapes: Sequence[Shape], capture: Capture, surface: Surface):
        self.capture, self._surface, self.voxel = capture, surface, surface.voxel
        scan = coarser(surface.vertices, surface.faces, HIDING_VOXELS * surface.voxel)
        self._hiding = Hiding(scan, tuple((shape.vertices, shape.faces) for shape in shapes), surface.voxel)
        self._known: dict[int, tuple[View, float]] = {}

    def light(self, number: int) -> np.ndarray:
        """(H, W, 3) float32 linear light of a photo. Raises UserError."""
        return light_of(self.capture.frames[number].color())

    def of(self, number: int, light: np.ndarray) -> tuple[View, float]:
        """A keyframe and the sharpness of its photo, whose light is given. Raises UserError."""
        if number not in self._known:
            view = view_of(self.capture, self.capture.frames[number], self._hiding)
            self._known[number] = aligned(view, light, self._surface), sharpness(light)
        return self._known[number]


def _dress(
    numbers: Sequence[int], shapes: Sequence[Shape], sides: Sequence[int], views: _Views, progress: Progress
) -> list[Dressed]:
    charts: list[Unwrapped] = []
    meshes: list[FineMesh] = []
    for number, (shape, side) in enumerate(zip(shapes, sides, strict=True)):
        progress(0.25 * number / len(shapes), "Unwrapping objects")
        charts.append(unwrapped(shape.vertices, shape.faces, side))
        meshes.append(fine_mesh(shape.vertices, shape.faces, charts[-1].uv, side))
    photos = _Photos(numbers, shapes, meshes, views)
    blends = photos.blends(part(progress, 0.25, 0.7))
    textures = photos.painted(blends, part(progress, 0.7, 1.0))
    return [
        Dressed(chart.uv.reshape(-1, 2).astype(np.float32), texture)
        for chart, texture in zip(charts, textures, strict=True)
    ]


class _Photos:
    """The capture's photos over the fine meshes of some objects, of these numbers among all."""

    def __init__(self, numbers: Sequence[int], shapes: Sequence[Shape], meshes: Sequence[FineMesh], views: _Views):
        self._shapes, self._meshes, self._views, self._used = shapes, meshes, views, []
        self._marks = [mark_of(number) for number in numbers]
        self._density = [_density(mesh) for mesh in meshes]
        self._boxes = [_box(mesh.vertices) for mesh in meshes]

    def blends(self, progress: Progress) -> list[Blend]:
        """Look at all photos; what each vertex is to be painted from."""
        seen = [Sightings(mesh) for mesh in self._meshes]
        frames = self._views.capture.frames
        crisp = np.full(len(frames), np.nan)
        for number, frame in enumerate(frames):
            progress(number / len(frames), "Looking through the photos")
            inside = [index for index in range(len(seen)) if self._may_show(frame, index)]
            if not inside:
                continue
            light = self._views.light(number)
            view, crisp[number] = self._views.of(number, light)
            self._used.append((number, view))
            for index in inside:
                found, worth, pixels = self._seen(view, index)
                if len(found):
                    seen[index].add(number, found, worth, sampled(light, pixels))
        progress(1.0, "Levelling the photos")
        known = np.isfinite(crisp)
        factors = np.ones(len(crisp))
        factors[known] = relative_sharpness(crisp[known])
        return Blend.of_all(seen, factors, [self._told(index) for index in range(len(self._shapes))])

    def _may_show(self, frame: Frame, index: int) -> bool:
        """Whether an object's box reaches into a frame, hidden or not."""
        pose = self._views.capture.camera_to_scene(frame)
        local = (self._boxes[index] - pose[:3, 3]) @ pose[:3, :3]
        if (local[:, 2] < NEAR).any():
            return bool((local[:, 2] > NEAR).any())
        pixels = frame.intrinsics.project(local)
        size = [frame.intrinsics.width, frame.intrinsics.height]
        return bool((pixels.max(axis=0) > 0).all() and (pixels.min(axis=0) < size).all())

    def _seen(self, view: View, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The vertices of an object that a view sees (P,), what it is worth there (P,), and their pixels (P, 2)."""
        mesh = self._meshes[index]
        towards = (view.position - mesh.vertices).astype(np.float32)
        slant = np.einsum("vi,vi->v", towards, mesh.normals)
        slant /= np.sqrt(np.einsum("vi,vi->v", towards, towards))
        facing = np.flatnonzero(slant > STEEPEST)
        points = mesh.vertices[facing]
        pixels, z = view.place(points)
        worth = view.worth(points, pixels, z, self._views.voxel, self._marks[index])
        found = np.flatnonzero(worth > 0)
        resolution = (view.camera.fx / (z[found] * self._density[index])).clip(0.0, BEYOND)
        worth = worth[found] * slant[facing[found]] ** GRAZING * resolution**2
        return facing[found], worth, pixels[found]

    def _told(self, index: int) -> np.ndarray:
        """(V, 3) linear light of an object's own colours at its fine vertices."""
        mesh, shape = self._meshes[index], self._shapes[index]
        light = light_of(shape.colors[:, None])[:, 0]
        return (light[mesh.parents] * mesh.shares[..., None]).sum(axis=1)

    def painted(self, blends: Sequence[Blend], progress: Progress) -> list[np.ndarray]:
        """The textures (S, S, 4) uint8."""
        points = [mesh.points for mesh in self._meshes]
        sums = [np.zeros((len(mesh.texel), 4), np.float32) for mesh in self._meshes]
        for step, (number, view) in enumerate(self._used):
            progress(step / len(self._used), "Painting")
            painting = [index for index, blend in enumerate(blends) if blend.paints(number)]
            if not painting:
                continue
            light = self._views.light(number)
            for k in painting:
                found, pixels, given = self._given(blends[k], k, number, view, points[k])
                color = to_srgb((sampled(light, pixels) * blends[k].gains[number].astype(np.float32)).clip(0.0, 1.0))
                sums[k][found, :3] += color * given[:, 3:] + given[:, :3]
                sums[k][found, 3] += given[:, 3]
        return [_finished(*parts) for parts in zip(self._meshes, blends, sums, strict=True)]

    def _given(
        self, blend: Blend, index: int, number: int, view: View, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The texels of an object that a photo paints (P,), their pixels (P, 2) and ``Blend.given_by`` them (P, 4).

        Args:
            points: (T, 3) scene metres of the object's texels.
        """
        mesh, given = self._meshes[index], blend.given_by(number)
        faces = np.flatnonzero((given[:, 3] > 0)[mesh.faces].any(axis=1))
        count = mesh.first[faces + 1] - mesh.first[faces]
        texels = np.repeat(mesh.first[faces] - np.cumsum(count) + count, count) + np.arange(count.sum())
        points = points[texels]
        pixels, z = view.place(points)
        used = np.flatnonzero(view.worth(points, pixels, z, self._views.voxel, self._marks[index]) > 0)
        corners = given[mesh.faces[np.repeat(faces, count)[used]]]
        return texels[used], pixels[used], np.einsum("ti,tij->tj", mesh.weights[texels[used]], corners)


def _density(mesh: FineMesh) -> float:
    """Texels per metre."""
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    return float(np.sqrt(max(len(mesh.texel), 1) / max(area, 1e-12)))


def _box(points: np.ndarray) -> np.ndarray:
    """(8, 3) corners of the box around points (P, 3)."""
    ends = np.stack([points.min(axis=0), points.max(axis=0)])
    return np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3)


def _finished(mesh: FineMesh, blend: Blend, total: np.ndarray) -> np.ndarray:
    """A texture (S, S, 4) uint8 from sums (T, 4): what nothing gave has the smooth colours of the vertices."""
    corners = mesh.faces[mesh.texel_face]
    smooth = np.einsum("ti,tij->tj", mesh.weights, blend.smooth[corners])
    sure = (total[:, 3:] * 4.0).clip(0.0, 1.0)
    color = smooth * (1 - sure) + total[:, :3] / np.maximum(total[:, 3:], 1e-6) * sure
    image = np.zeros((mesh.side**2, 4), np.float32)
    image[mesh.texel, :3] = color.clip(0.0, 1.0)
    image[mesh.texel, 3] = total[:, 3] > 0.1
    known = np.zeros(mesh.side**2, bool)
    known[mesh.texel] = True
    shape = (mesh.side, mesh.side)
    return padded((image * 255.0).round().astype(np.uint8).reshape(*shape, 4), known.reshape(shape))
