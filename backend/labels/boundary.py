"""Labels below superpoints: exact at the marks, split where marks disagree, borders moved onto edges of the scan."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ..surface.features import EdgeGraph

BAND_RINGS = 3  # vertices this many edges from a label border are decided anew
ROUNDS = 6  # of neighbour averaging inside the band
PRIOR = 0.15  # pull towards the superpoint's own answer, against 1 for a neighbour without a boundary between
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
        found = frontier = np.unique(vertices)
        for _ in range(rings):
            frontier = np.setdiff1d(self._adjacent(frontier), found, assume_unique=True)
            if not len(frontier):
                break
            found = np.union1d(found, frontier)
        return found

    def _adjacent(self, vertices: np.ndarray) -> np.ndarray:
        start, stop = self.neighbours.indptr[vertices], self.neighbours.indptr[vertices + 1]
        length = stop - start
        offsets = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        return np.unique(self.neighbours.indices[np.repeat(start, length) + offsets])

    def band(self, choice: np.ndarray) -> np.ndarray:
        """Vertices near edges between superpoints of different choice; ``choice`` is (V,)."""
        a, b = self._crossing.T
        return self.around(self._crossing[choice[a] != choice[b]].ravel(), BAND_RINGS)

    def refine(self, choice: np.ndarray, probability: np.ndarray, band: np.ndarray) -> np.ndarray:
        """Decide the band's vertices again, looking across edges only where the scan shows no boundary.

        A few rounds of a random walk that is clamped outside the band and restarted at the superpoint's answer.

        Args:
            choice: (V,) column of ``probability`` that each vertex has now.
            probability: (S, C).
            band: (B,) vertices.

        Returns:
            (B,) new columns.
        """
        used = np.unique(np.concatenate([choice[band], choice[self._adjacent(band)]]))
        column = np.full(probability.shape[1], -1)
        column[used] = np.arange(len(used))
        prior = np.ascontiguousarray(probability[:, used][self.ids[band]])
        rows = self.neighbours[band]
        place = np.full(len(choice), -1)
        place[band] = np.arange(len(band))
        inner = place[rows.indices] >= 0
        of = np.repeat(np.arange(len(band)), np.diff(rows.indptr))
        inside = sp.csr_matrix(
            (rows.data[inner], (of[inner], place[rows.indices[inner]])), shape=(len(band), len(band)), dtype=np.float32
        )
        fixed = sp.csr_matrix(
            (rows.data[~inner], (of[~inner], column[choice[rows.indices[~inner]]])), shape=(len(band), len(used))
        ).toarray()
        total = PRIOR + np.bincount(of, weights=rows.data, minlength=len(band))[:, None].astype(np.float32)
        constant = ((PRIOR * prior + fixed) / total).astype(np.float32)
        inside = sp.diags(1 / total[:, 0]) @ inside
        state = prior
        for _ in range(ROUNDS):
            state = constant + inside @ state
        return used[state.argmax(axis=1)]

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
