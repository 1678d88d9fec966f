"""Closing the things of a separation: a field of its own for each, from the keyframes or from the mesh alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ..captures.capture import Capture
from ..progress import Progress
from ..surface.surface import Surface
from .solid import Solid, solidify
from .solid_field import Lattice, Seen, integrate
from .solid_sketch import Sketch, Sketches

MESH_BAND = 3.0  # cells around a mesh where its distance counts
SIDEWAYS = 1.0  # cells past the rim of a mesh
NEAREST = 6  # points of the surface that a distance comes from


@dataclass(frozen=True)
class Closed:
    """A thing's solid, None where nothing could be made of it, and its sketch."""

    solid: Solid | None
    sketch: Sketch


def close_things(
    sketches: Sketches, surface: Surface, capture: Capture, margin: float, mirror: bool, progress: Progress
) -> dict[int, Closed]:
    """Close every thing of a separation, by its index there.

    Without frames the mesh stands in for the cameras: what lies just in front of it counts as seen empty.

    Raises:
        UserError: no frame can be read. Cancelled by progress.
    """
    every = list(sketches.of.values())
    if capture.frames:
        lattices, needed = [one.lattice for one in every], [one.needed for one in every]
        fields = integrate(capture, surface, lattices, needed, progress)
    else:
        fields = (
            (turn, seen_from_mesh(sketch.lattice, surface), turn / len(every)) for turn, sketch in enumerate(every)
        )
    made = {}
    for turn, seen, done in fields:
        sketch = every[turn]
        progress(done, f"Closing {sketches.name(sketch)}")
        around = sketches.neighbours(sketch)
        made[sketch.part] = Closed(solidify(sketch.lattice, seen, around, sketch.planes, margin, mirror), sketch)
    return made


def seen_from_mesh(lattice: Lattice, surface: Surface) -> Seen:
    """What a mesh says on a lattice: weighted distances to the tangent planes of its nearest vertices (as in
    ``surface.clouds``), where it is near and not beyond its rim.
    """
    low = lattice.first * lattice.voxel
    high = low + np.array(lattice.shape) * lattice.voxel
    near = np.flatnonzero(((surface.vertices >= low) & (surface.vertices <= high)).all(axis=1))
    distance = np.full(lattice.shape, MESH_BAND * lattice.voxel, np.float32)
    weight, color = np.zeros(lattice.shape, np.float32), np.zeros((*lattice.shape, 4), np.uint8)
    truncation = MESH_BAND * lattice.voxel
    if not len(near):
        return Seen(distance, weight, color, truncation)
    points, normals = surface.vertices[near].astype(np.float64), surface.normals[near].astype(np.float64)
    empty = np.ones(lattice.shape, bool)
    empty[
        tuple((np.rint(points / lattice.voxel).astype(np.int64) - lattice.first).clip(0, np.array(lattice.shape) - 1).T)
    ] = False
    reach = truncation + surface.voxel
    cells = np.argwhere(distance_transform_edt(empty) * lattice.voxel < reach)
    places = lattice.centers(cells)
    away, index = cKDTree(points).query(places, min(NEAREST, len(points)))
    away, index = away.reshape(len(places), -1), index.reshape(len(places), -1)
    share = np.exp(-((away / surface.voxel) ** 2)) + 1e-12
    share /= share.sum(axis=1, keepdims=True)
    offset = places[:, None] - points[index]
    signed = np.einsum("nk,nki,nki->n", share, offset, normals[index])
    mean, facing = np.einsum("nk,nki->ni", share, offset), np.einsum("nk,nki->ni", share, normals[index])
    facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-9)
    sideways = np.linalg.norm(mean - np.einsum("ni,ni->n", mean, facing)[:, None] * facing, axis=1)
    counts = (np.abs(signed) < truncation) & (sideways < SIDEWAYS * surface.voxel)
    at = tuple(cells[counts].T)
    distance[at], weight[at] = signed[counts], 1.0
    color[at] = np.column_stack([surface.colors[near][index[counts, 0]], np.full(counts.sum(), 255)])
    return Seen(distance, weight, color, truncation)
