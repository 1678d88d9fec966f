"""Labels below superpoints: exact at the marks, split where marks disagree, borders moved onto edges of the scan."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ..surface.features import EdgeGraph

BAND_RINGS = 1  # vertices this many edges from a label border are decided anew
ROUNDS = 2  # in which the band is decided
PRIOR = 1.0  # pull towards the superpoint's own answer; a neighbour without a boundary between counts 1
SETTLED = 0.8  # probability from which a superpoint's side of a border is not asked again
MARK_RINGS = 3  # around a mark whose label the superpoint does not have
MARK_LAB = 8.0
SPLIT_VOXELS = 4.0  # distances at which a vertex belongs to another mark: space, colour
SPLIT_LAB = 12.0


class Borders:
    """The mesh's neighbourhoods, prepared once for a surface."""

    def __init__(self, graph: EdgeGraph, ids: np.ndarray):
        count = len(ids)
        a, b = graph.edges.T
        similarity = np.exp(-(graph.strength**2)) + 1e-3
        self.neighbours = sp.csr_matrix(
            (np.tile(similarity, 2), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(count, count)
        )
        self.lab = graph.lab
        self.ids = ids
        self._crossing = graph.edges[ids[a] != ids[b]]

    def around(self, vertices: np.ndarray, rings: int) -> np.ndarray:
        """The vertices at most ``rings`` edges away, themselves included, ascending."""
        found = np.zeros(len(self.ids), bool)
        found[vertices] = True
        frontier = np.flatnonzero(found)
        for _ in range(rings):
            reached = self._adjacent(frontier)
            frontier = np.unique(reached[~found[reached]])
            found[frontier] = True
        return np.flatnonzero(found)

    def _adjacent(self, vertices: np.ndarray) -> np.ndarray:
        """Neighbours of the vertices, with repetitions."""
        start, stop = self.neighbours.indptr[vertices], self.neighbours.indptr[vertices + 1]
        length = stop - start
        offsets = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        return self.neighbours.indices[np.repeat(start, length) + offsets]

    def band(self, choice: np.ndarray, settled: np.ndarray) -> np.ndarray:
        """Vertices near edges between superpoints of different choice of which one is not settled.

        Args:
            choice: (V,) column that each vertex has.
            settled: (S,) bool.
        """
        a, b = self._crossing.T
        open_border = (choice[a] != choice[b]) & ~(settled[self.ids[a]] & settled[self.ids[b]])
        return self.around(self._crossing[open_border].ravel(), BAND_RINGS)

    def refine(self, choice: np.ndarray, probability: np.ndarray, band: np.ndarray) -> np.ndarray:
        """Decide the band's vertices again, looking across edges only where the scan shows no boundary.

        Iterated conditional modes (Besag 1986): in each round a vertex takes the label of the neighbour that is most
        like it when that label has more support around it, with a pull towards its superpoint's own answer.

        Args:
            choice: (V,) column of ``probability`` that each vertex has now.
            probability: (S, C), C at most 65,536.
            band: (B,) vertices, each with at least one neighbour.

        Returns:
            (B,) new columns.
        """
        rows = self.neighbours[band]
        weight, start = rows.data, rows.indptr[:-1]
        of = np.repeat(np.arange(len(band)), np.diff(rows.indptr))
        rank = (weight.astype(np.float64) * (1 << 30)).astype(np.int64) << 16
        superpoint = self.ids[band]
        choice = choice.copy()
        for _ in range(ROUNDS):
            own, around = choice[band], choice[rows.indices]
            differs = around != own[of]
            best = np.maximum.reduceat(np.where(differs, rank | around, -1), start)
            other = np.where(best >= 0, best & 0xFFFF, own)
            for_own = np.bincount(of, weights=weight * ~differs, minlength=len(band))
            for_other = np.bincount(of, weights=weight * (around == other[of]), minlength=len(band))
            for_own += PRIOR * probability[superpoint, own]
            for_other += PRIOR * probability[superpoint, other]
            choice[band] = np.where(for_other > for_own, other, own)
        return choice[band]

    def patch(self, vertex: int) -> np.ndarray:
        """The vertices around a mark that look like it and hang together with it."""
        near = self.around(np.array([vertex]), MARK_RINGS)
        near = near[(np.linalg.norm(self.lab[near] - self.lab[vertex], axis=1) < MARK_LAB)]
        local = self.neighbours[near][:, near]
        joined = np.zeros(len(near), bool)
        joined[np.searchsorted(near, vertex)] = True
        for _ in range(MARK_RINGS):
            joined |= (local @ joined.astype(np.float32)) > np.exp(-1.0)
        return near[joined]


def nearest_site(
    vertices: np.ndarray, sites: np.ndarray, points: np.ndarray, lab: np.ndarray, normals: np.ndarray, voxel: float
) -> np.ndarray:
    """Which of the sites (vertex indices) is nearest in place, colour and direction: (n,) position in ``sites``.

    Of equally near sites the later wins.
    """

    def look(which: np.ndarray) -> np.ndarray:
        return np.concatenate([points[which] / (SPLIT_VOXELS * voxel), lab[which] / SPLIT_LAB, normals[which]], axis=1)

    difference = look(vertices)[:, None, :] - look(sites)[None, ::-1, :]
    return len(sites) - 1 - (difference**2).sum(axis=2).argmin(axis=1)
