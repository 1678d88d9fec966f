"""What is known of an object before its own field is made: where it is, what it rests on, who is around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree

from ..captures.capture import Capture
from ..surface.surface import Surface
from ..surface.volume import SIDE
from .separation import SeparationResult
from .solid import THINNEST, Neighbours, hull_planes
from .solid_field import MARGIN, Lattice, lattice_around, pixel_spacing
from .support import Plane, bounding_planes, main_support, scene_planes, shadowed

SKIRT = 1.2  # voxels over a support within which level surface with an object's label is the support's
LEVEL = 0.6  # cosine to the support's normal; scans are rounded where things meet
STEEP = 0.5  # cosine of 60 degrees: surely not the support itself
NEAR = 1.5  # voxels from an object's surface to what goes on above the support
MOST_PARTS = 10  # of a triangle's side when it is sampled
MESH_SHARE = 0.7  # of a bare mesh's edges: its lattices are no finer
MIRROR_ROOM = 0.3  # of an object's sides, where its mirror image may lie


@dataclass(frozen=True)
class Sketch:
    """One object to be closed."""

    part: int  # index of the object in its separation
    planes: tuple[Plane, ...]  # that bound it
    held: np.ndarray  # (k, 3) corners of the hull of what was seen and of its shadow on the support
    lattice: Lattice
    needed: np.ndarray  # (bx, by, bz) bool blocks of the lattice
    notes: tuple[str, ...] = ()  # what the person should know, in sentences


class Sketches:
    """Sketches of the things of a separation.

    Args:
        progress: called with 0..1 and a text; may raise Cancelled.
    """

    def __init__(
        self,
        result: SeparationResult,
        surface: Surface,
        capture: Capture,
        mirror: bool,
        progress: Callable[[float, str], None],
    ):
        self._result, self._surface = result, surface
        self._low = result.cut.points[result.cut.faces].min(axis=1)
        self._high = result.cut.points[result.cut.faces].max(axis=1)
        self.of: dict[int, Sketch] = {}
        is_thing = np.array([made.thing for made in result.objects] + [False])  # the last for what is no object's
        self.scene = scene_planes(surface, ~is_thing[np.maximum(result.of_vertex, -1)])
        things = [index for index, made in enumerate(result.objects) if made.thing]
        for turn, index in enumerate(things):
            progress(turn / len(things), f"Finding what {result.objects[index].name} stands on")
            self.of[index] = self._sketch(index, capture, mirror)

    def _sketch(self, index: int, capture: Capture, mirror: bool) -> Sketch:
        surface, made = self._surface, self._result.objects[index]
        points = (made.vertices + made.origin).astype(np.float64)
        rests = bounding_planes(surface, self._result.of_vertex, index, self.scene)
        spacing = MESH_SHARE * surface.voxel
        if capture.frames:
            spacing = pixel_spacing(capture, capture.frames, 0.5 * (points.min(axis=0) + points.max(axis=0)))
        lattice = lattice_around(points.min(axis=0), points.max(axis=0), surface, spacing)
        planes = [_behind_flat(plane, points, lattice.voxel) for plane in rests]
        held = _corners(shadowed(points, main_support(planes)))
        low, high = held.min(axis=0), held.max(axis=0)
        if mirror:  # the other side may reach farther than what was seen
            room = np.array([1, 1, 0]) * MIRROR_ROOM * (high - low)
            low, high = low - room, high + room
        lattice = lattice_around(low, high, surface, spacing)
        needed = np.ones(tuple(n // SIDE for n in lattice.shape), bool) if mirror else _needed(lattice, held)
        sunk = max((old.offset - new.offset for old, new in zip(rests, planes, strict=True)), default=0.0)
        notes = (f"It is too flat for its lattice; its back was set {1000 * sunk:.0f} mm into its support.",)
        return Sketch(index, tuple(planes), held, lattice, needed, notes if sunk > 0 else ())

    def name(self, sketch: Sketch) -> str:
        """What the object is called."""
        return self._result.objects[sketch.part].name

    def neighbours(self, sketch: Sketch) -> Neighbours:
        """Whose the surface is around an object, with the skirt at its foot given to who has it."""
        lattice, part = sketch.lattice, sketch.part
        low = lattice.first * lattice.voxel
        points, normals, owner = self._samples(low, low + np.array(lattice.shape) * lattice.voxel, lattice.voxel)
        mine, on_support = owner == part, np.zeros(len(points), bool)
        reach = cKDTree(points[mine]) if mine.any() else None
        for plane in sketch.planes:
            height, level = plane.height(points), normals @ plane.normal > LEVEL
            slab = SKIRT * self._surface.voxel
            skirt = mine & level & (height < slab)
            if skirt.sum() < 0.5 * mine.sum():  # else it is a flat thing
                mine &= ~skirt
            steep = normals @ plane.normal < STEEP
            beside = ~mine & steep & (height > 0.3 * slab) & (owner == plane.supporter)
            if reach is not None and beside.any():
                away = reach.query(points[beside], distance_upper_bound=NEAR * self._surface.voxel)[0]
                mine[np.flatnonzero(beside)[np.isfinite(away)]] = True
            on_support |= ~mine & (np.abs(height) < slab)
        carried = [
            (owner == other.part, plane)
            for other in self.of.values()
            for plane in other.planes
            if plane.supporter == part
        ]
        return Neighbours(points, mine, on_support, [(samples, plane) for samples, plane in carried if samples.any()])

    def _samples(self, low: np.ndarray, high: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points (n, 3), normals (n, 3) and owners (n,) of the surface in a box, about ``spacing`` metres apart."""
        cut = self._result.cut
        near = np.flatnonzero(((self._low <= high) & (self._high >= low)).all(axis=1))
        a, b, c = cut.points[cut.faces[near]].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        n = int(np.clip(np.ceil(1.2 * self._surface.voxel / spacing), 1, MOST_PARTS))
        i, j = (axis.ravel() for axis in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
        i, j = i[i + j < n], j[i + j < n]
        weights = np.stack([(i + 1 / 3) / n, (j + 1 / 3) / n], axis=1)
        weights = np.column_stack([weights, 1 - weights.sum(axis=1)])
        points = np.einsum("wk,kfi->fwi", weights, np.stack([a, b, c])).reshape(-1, 3)
        owner = np.repeat(self._result.of_face[near], len(weights))
        other = np.flatnonzero(
            (self._result.of_vertex < 0)
            & ((self._surface.vertices >= low) & (self._surface.vertices <= high)).all(axis=1)
        )
        return (
            np.concatenate([points, self._surface.vertices[other]]).astype(np.float32),
            np.concatenate([np.repeat(normal, len(weights), axis=0), self._surface.normals[other]]).astype(np.float32),
            np.concatenate([owner, np.full(len(other), -1)]),
        )


def _behind_flat(plane: Plane, points: np.ndarray, cell: float) -> Plane:
    """The plane itself; for a flat thing on it, moved back so far that the thing is as thick as things must be."""
    lacking = THINNEST * cell - float(np.median(plane.height(points)))
    return replace(plane, offset=plane.offset - lacking) if lacking > 0 else plane


def _corners(points: np.ndarray) -> np.ndarray:
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # flat
        return points


def _needed(lattice: Lattice, held: np.ndarray) -> np.ndarray:
    """Blocks (bx, by, bz) bool of a lattice that come near the hull of points (k, 3)."""
    hull = hull_planes(held)
    count = tuple(n // SIDE for n in lattice.shape)
    middles = lattice.centers(np.argwhere(np.ones(count, bool)) * SIDE + 0.5 * (SIDE - 1))
    reach = lattice.voxel * (0.5 * SIDE * 3**0.5 + MARGIN)
    return ((middles @ hull[:, :3].T + hull[:, 3]).max(axis=1) < reach).reshape(count)
