"""One mesh of what cameras saw of several copies of a thing.

Each member, moved into common axes, is a signed distance field that counts by how much of the surface nearby was seen
(Curless and Levoy 1996 weigh scans so), so that every spot comes from the members that were seen there, and what no
camera saw of any of them from the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from ..surface.mesh import drop_small, vertex_normals
from .decimate import simplified
from .graphs import vertex_graph
from .similar import Candidate, moved, spread
from .srgb import to_linear, to_srgb

CELLS = 80  # along the longest side
FINEST = 0.5  # voxels of the scan: no cells smaller than that
SAMPLES_PER_CELL = 1.5  # points along a cell's side on the surface
UNSEEN = 0.004  # what unseen surface counts against seen; the first's counts ten times as much
COARSE = 4  # cells
REACH = 4.0  # cells around the surfaces in which the field is asked
SMALLEST = 0.02  # of the faces; smaller pieces are dropped
SHARPEN = 3.0  # power of how much was seen
SOFTENINGS = 8  # rounds over neighbours in which one member's colours give way to another's
FEWEST, LARGEST_GAIN = 30, np.log(2.0)  # points that a levelling of colours needs, and the most that it does


def fused(members: Sequence[Candidate], moves: Sequence[np.ndarray], voxel: float) -> Candidate:
    """The union in the axes of the first member.

    Args:
        moves: (4, 4) from each member's own axes to the first's; the identity for the first.
        voxel: metres of the scan.

    Returns:
        As closed as the members are; label and matrix of the first.
    """
    clouds = [_Cloud(made, move) for made, move in zip(members, moves, strict=True)]
    low = np.min([cloud.low for cloud in clouds], axis=0)
    high = np.max([cloud.high for cloud in clouds], axis=0)
    cell = max(float((high - low).max()) / CELLS, FINEST * voxel)
    shape = -(-(np.ceil((high - low) / cell).astype(int) + 7) // COARSE) * COARSE
    start = low - 3 * cell
    for cloud in clouds:
        cloud.sample(cell)
    # Far from all surfaces only the sign matters: every so many cells are asked first.
    rough = _mixed(
        clouds, _grid(shape // COARSE, COARSE * cell, start + 0.5 * (COARSE - 1) * cell), cell, REACH + COARSE
    )
    field = rough.reshape(shape // COARSE)
    for axis in range(3):
        field = np.repeat(field, COARSE, axis=axis)
    near = np.flatnonzero(np.abs(field).ravel() < (REACH + COARSE) * cell * 0.999)
    field = field.ravel()
    field[near] = _mixed(clouds, _grid(shape, cell, start)[near], cell, REACH)
    field = gaussian_filter(field.reshape(shape), 0.6)
    field = np.pad(field[1:-1, 1:-1, 1:-1], 1, constant_values=float(cell))
    field[np.abs(field) < 1e-6 * cell] = 1e-6 * cell
    points, faces, _, _ = marching_cubes(field, 0.0)
    points, faces, _ = drop_small(points, faces, int(SMALLEST * len(faces)))
    points = points * cell + start
    colors, seen = _looks(clouds, points, faces)
    target = max(len(made.faces) for made in members)
    points, faces, values = simplified(points, faces, np.column_stack([colors, seen]), target)
    return Candidate(
        points,
        faces,
        np.rint(values[:, 3] * 255).clip(0, 255).astype(np.uint8),
        np.rint(values[:, :3]).clip(0, 255).astype(np.uint8),
        members[0].label,
        members[0].matrix,
    )


def _grid(shape: np.ndarray, cell: float, start: np.ndarray) -> np.ndarray:
    """(cells, 3) places of a grid's cells."""
    return np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1).reshape(-1, 3) * cell + start


def _mixed(clouds: Sequence[_Cloud], places: np.ndarray, cell: float, reach: float) -> np.ndarray:
    """Distance (P,) at places (P, 3), at most ``reach`` cells: of the members by what was seen of them nearby."""
    total, weight = np.zeros(len(places)), np.zeros(len(places))
    for number, cloud in enumerate(clouds):
        distance, seen = cloud.field(places)
        share = seen**SHARPEN + UNSEEN * (10 if number == 0 else 1)
        share *= np.exp(-0.5 * (distance / (REACH * cell)) ** 2) + 1e-3  # the nearer surface knows better
        total += share * distance.clip(-reach * cell, reach * cell)
        weight += share
    return total / weight


class _Cloud:
    """A member in the common axes, as points with normals that say how far away its surface is."""

    def __init__(self, made: Candidate, move: np.ndarray):
        self.vertices = moved(move, np.asarray(made.vertices, np.float64))
        self.low, self.high = self.vertices.min(axis=0), self.vertices.max(axis=0)
        self._faces, self.colors = made.faces, made.colors.astype(np.float64)
        self.observed = made.observed / 255.0
        self.tree = cKDTree(self.vertices)

    def sample(self, cell: float) -> None:
        """Spread points more densely than cells of that size."""
        corners = self.vertices[self._faces]
        area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        count = int(np.clip(area.sum() * (SAMPLES_PER_CELL / cell) ** 2, 1000, 200_000))
        self._points, normals = spread(corners, area, count)
        nearest = self.tree.query(self._points)[1]
        # Leaning towards those of the vertices, so that beyond an edge outside is outside (Baerentzen and Aanaes 2005).
        self._normals = normals + vertex_normals(self.vertices, self._faces)[nearest]
        self._normals /= np.maximum(np.linalg.norm(self._normals, axis=1, keepdims=True), 1e-9)
        self._seen = self.observed[nearest]
        self._samples = cKDTree(self._points)

    def field(self, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (G,), negative inside, and how much was seen of the nearest surface (G,)."""
        distance, at = self._samples.query(grid)
        offset = grid - self._points[at]
        along = (offset * self._normals[at]).sum(axis=1)
        # Right at the surface the plane is finer than the distance to a point of it.
        return np.where(distance < 0.5 * np.abs(along) + 1e-12, along, np.sign(along) * distance), self._seen[at]


def _looks(clouds: Sequence[_Cloud], points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (n, 3) and by how much each point was seen (n,).

    The first member's colours where it was seen. The others, in whose places other light falls, are levelled to it by
    a gain per channel, and take over gradually where it was not, so that members do not alternate from point to point.
    """
    found = [cloud.tree.query(points) for cloud in clouds]
    nearest = np.min([distance for distance, _ in found], axis=0)
    seen = np.stack(
        [
            cloud.observed[at] * np.exp(-(((distance - nearest) / (0.02 + nearest)) ** 2))
            for cloud, (distance, at) in zip(clouds, found, strict=True)
        ]
    )
    light = [to_linear(cloud.colors[at] / 255.0) for cloud, (_, at) in zip(clouds, found, strict=True)]
    near = vertex_graph(faces, len(points)) + sparse.identity(len(points), dtype=np.float32, format="csr")
    near = sparse.diags(1.0 / np.asarray(near.sum(axis=1)).ravel()) @ near
    total, weight, left = np.zeros((len(points), 3)), np.zeros(len(points)), np.ones(len(points))
    for number, own in enumerate(light):
        share = seen[number]
        for _ in range(SOFTENINGS):
            share = near @ share
        share = (left * share**2).clip(0.0, 1.0) + UNSEEN / (1 + number)
        total += share[:, None] * own * _gain(own, light[0], np.minimum(seen[number], seen[0]))
        weight += share
        left *= (1 - seen[number]).clip(0.05, 1.0)
    return 255 * to_srgb((total / weight[:, None]).clip(0.0, 1.0)), seen.max(axis=0).clip(0.0, 1.0)


def _gain(light: np.ndarray, wanted: np.ndarray, both: np.ndarray) -> np.ndarray:
    """(3,) factor of linear light (n, 3) that makes it agree with another where both were seen; 1 if nowhere."""
    good = (both > 0.5) & (light.min(axis=1) > 0.002) & (wanted.min(axis=1) > 0.002)
    if good.sum() < FEWEST:
        return np.ones(3)
    return np.exp(np.median(np.log(wanted[good]) - np.log(light[good]), axis=0).clip(-LARGEST_GAIN, LARGEST_GAIN))
