"""Labels below superpoints: borders moved onto edges of the scan, superpoints divided where marks do not fit them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ..surface.features import EdgeGraph, components
from ..surface.surface import Surface

BAND_RINGS = 1  # vertices this many edges from a label border are decided anew
ROUNDS = 2  # in which the band is decided
PRIOR = 1.0  # pull towards the superpoint's own answer; a neighbour without a boundary between counts 1
# A vertex of a divided superpoint goes to what is nearest in look (in these units) and, for marks, in place.
LOOK_LAB = 12.0
LOOK_NORMAL = 0.5
LOOK_VOXELS = 2.0  # from the superpoint's mean plane
PLACE_VOXELS = 4.0  # reach of a mark whose look does not set it apart
OWN_HANDICAP = 1.0  # of the superpoint's own answer


class Borders:
    """The mesh's neighbourhoods and looks, prepared once for a surface."""

    def __init__(self, surface: Surface, graph: EdgeGraph, ids: np.ndarray):
        count = len(ids)
        a, b = graph.edges.T
        similarity = np.exp(-(graph.strength**2)) + 1e-3
        self.neighbours = sp.csr_matrix(
            (np.tile(similarity, 2), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(count, count)
        )
        self.ids = ids
        self._points, self._voxel = surface.vertices, surface.voxel
        self._order = np.argsort(ids, kind="stable")
        self._start = np.searchsorted(ids[self._order], np.arange(int(ids.max(initial=-1)) + 2))
        self._look = self._looks(surface, graph.lab)
        self._off = ((self._look - self._middle(self._look)[ids]) ** 2).sum(axis=1)
        self._sort_crossing(graph.edges[ids[a] != ids[b]])

    def _sort_crossing(self, edges: np.ndarray) -> None:
        """Mesh edges between superpoints, those of one pair of superpoints together."""
        ends = np.sort(self.ids[edges], axis=1).astype(np.int64)
        keys = ends[:, 0] * (len(self._start) - 1) + ends[:, 1]
        order = np.argsort(keys, kind="stable")
        self._crossing = edges[order]
        _, first, self._edges_of_pair = np.unique(keys[order], return_index=True, return_counts=True)
        self._pairs = ends[order[first]]

    def _looks(self, surface: Surface, lab: np.ndarray) -> np.ndarray:
        """Colour, normal and distance from the superpoint's plane, in units that count alike, (V, 7) float32."""
        points, normals = surface.vertices.astype(np.float32), surface.normals.astype(np.float32)
        facing = self._middle(normals)
        facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-6)
        off_plane = ((points - self._middle(points)[self.ids]) * facing[self.ids]).sum(axis=1)
        parts = (lab / LOOK_LAB, normals / LOOK_NORMAL, off_plane[:, None] / (LOOK_VOXELS * surface.voxel))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _middle(self, values: np.ndarray) -> np.ndarray:
        """Median of each column over every superpoint, (S, D); of an even number the higher middle one."""
        at = (self._start[:-1] + self._start[1:]) // 2
        return np.stack([column[np.lexsort((column, self.ids))[at]] for column in values.T], axis=1)

    def members(self, superpoint: int) -> np.ndarray:
        """Vertices of a superpoint, ascending."""
        return self._order[self._start[superpoint] : self._start[superpoint + 1]]

    def around(self, vertices: np.ndarray, rings: int) -> np.ndarray:
        """The vertices at most ``rings`` edges away, themselves included, ascending."""
        found = np.zeros(len(self.ids), bool)
        found[vertices] = True
        frontier = np.flatnonzero(found)
        for _ in range(rings):
            found[self._adjacent(frontier)] = True
        return np.flatnonzero(found)

    def _adjacent(self, vertices: np.ndarray) -> np.ndarray:
        """Neighbours of the vertices, with repetitions."""
        start, stop = self.neighbours.indptr[vertices], self.neighbours.indptr[vertices + 1]
        length = stop - start
        offsets = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        return self.neighbours.indices[np.repeat(start, length) + offsets]

    def band(self, best: np.ndarray, settled: np.ndarray) -> np.ndarray:
        """Vertices near edges between superpoints of different answers of which one is not settled, ascending.

        Args:
            best: (S,) column that each superpoint has.
            settled: (S,) bool.
        """
        i, j = self._pairs.T
        open_border = (best[i] != best[j]) & ~(settled[i] & settled[j])
        return self.around(self._crossing[np.repeat(open_border, self._edges_of_pair)].ravel(), BAND_RINGS)

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
            own, around = choice[band], choice[rows.indices].astype(np.int64)
            differs = around != own[of]
            best = np.maximum.reduceat(np.where(differs, rank | around, -1), start)
            other = np.where(best >= 0, best & 0xFFFF, own)
            for_own = np.bincount(of, weights=weight * ~differs, minlength=len(band))
            for_other = np.bincount(of, weights=weight * (around == other[of]), minlength=len(band))
            for_own += PRIOR * probability[superpoint, own]
            for_other += PRIOR * probability[superpoint, other]
            choice[band] = np.where(for_other > for_own, other, own)
        return choice[band]

    def divide(self, superpoint: int, sites: np.ndarray, own: bool) -> tuple[np.ndarray, np.ndarray]:
        """Divide a superpoint among marked vertices, by look and place, and what it is without them, by look alone.

        A mark's part hangs together with the mark.

        Args:
            sites: (n,) vertices of the superpoint, distinct; of equally near ones the later has it.
            own: whether the superpoint's own answer takes part.

        Returns:
            The superpoint's vertices (m,) and the position in ``sites`` that each goes to, -1 for its own answer.
        """
        vertices = self.members(superpoint)
        points, look = self._points[vertices], self._look[vertices]
        at = np.searchsorted(vertices, sites)
        far = ((points[:, None] - points[at]) ** 2).sum(axis=2) / (PLACE_VOXELS * self._voxel) ** 2
        cost = (far + ((look[:, None] - look[at]) ** 2).sum(axis=2))[:, ::-1]
        owner = len(sites) - 1 - cost.argmin(axis=1)
        if own:
            owner[self._off[vertices] + OWN_HANDICAP < cost.min(axis=1)] = -1
        owner[at] = np.arange(len(sites))
        if own:
            owner[~self._hanging_together(vertices, at, owner)] = -1
        return vertices, owner

    def alike(self, superpoint: int, sites: np.ndarray) -> np.ndarray:
        """Part of a superpoint that looks like some of its vertices rather than like its own middle, (n,) in 0..1.

        It is 1 for a vertex that looks like the superpoint, and small for one on a thing that was cut together with
        something larger.
        """
        vertices = self.members(superpoint)
        to_site = ((self._look[vertices][:, None] - self._look[sites]) ** 2).sum(axis=2)
        return (to_site <= self._off[vertices][:, None] + OWN_HANDICAP).mean(axis=0)

    def _hanging_together(self, vertices: np.ndarray, at: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """Which of a superpoint's vertices are joined to their owner's place by others of the same owner, (m,) bool."""
        start, stop = self.neighbours.indptr[vertices], self.neighbours.indptr[vertices + 1]
        row = np.repeat(np.arange(len(vertices)), stop - start)
        other = self._adjacent(vertices)
        column = np.minimum(np.searchsorted(vertices, other), len(vertices) - 1)
        joined = (vertices[column] == other) & (owner[row] == owner[column])
        piece = components(np.stack([row[joined], column[joined]], axis=1), len(vertices))
        return np.isin(piece, piece[at])
