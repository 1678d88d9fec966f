"""Cutting the scan along its label boundaries.

A triangle whose corners carry two or three labels is split where the boundary crosses its edges. The crossing points
stay on those edges, so the pieces tile the scan exactly: nothing is lost, doubled or moved, and both sides of a seam
have the same points. Sliding them along their edges towards their neighbours takes out the zigzag of the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

SLIDE_STEPS = 10
SLIDE_MARGIN = 0.15  # of an edge; nearer to a corner a crossing would leave slivers


@dataclass(frozen=True)
class Cut:
    """The labelled part of the scan, cut so that every face has one label.

    The N points are the scan's V vertices followed by the seam points, one copy per label that meets there; so every
    point belongs to the faces of one label only. Points of unlabelled surface are present but unused.
    """

    points: np.ndarray  # (N, 3) float64 scene metres
    faces: np.ndarray  # (M, 3) int64 into points, wound as on the scan
    face_labels: np.ndarray  # (M,) uint16, never 0
    corners: np.ndarray  # (N, 3) int64 scan vertices that a point lies between
    weights: np.ndarray  # (N, 3) float64 its barycentric weights on them, each row adding up to 1

    def interpolate(self, values: np.ndarray) -> np.ndarray:
        """Scan vertex values (V,) or (V, C) at the points: (N,) or (N, C) float64."""
        weights = self.weights if values.ndim == 1 else self.weights[..., None]
        return (values[self.corners] * weights).sum(axis=1)


def cut_by_labels(vertices: np.ndarray, faces: np.ndarray, labels: np.ndarray) -> Cut:
    """Cut a labelled mesh along its label boundaries.

    Args:
        vertices: (V, 3) scene metres.
        faces: (F, 3) int into vertices.
        labels: (V,) uint16, 0 for unlabelled.
    """
    corner_labels = labels[faces]
    a, b, c = corner_labels.T
    whole = (a == b) & (b == c)
    keep = whole & (a > 0)
    mixed, mixed_labels = faces[~whole].astype(np.int64), corner_labels[~whole]
    seams = _Seams(vertices, mixed, mixed_labels)
    pieces, piece_labels = seams.faces()
    all_faces = np.concatenate([faces[keep].astype(np.int64), pieces])
    all_labels = np.concatenate([corner_labels[keep, 0], piece_labels])

    # One copy of a seam point per label, so that the two sides come apart.
    count = len(vertices)
    on_seam = all_faces >= count
    owner = np.broadcast_to(all_labels[:, None], all_faces.shape)[on_seam].astype(np.int64)
    keys, copies = np.unique((all_faces[on_seam] - count) << 16 | owner, return_inverse=True)
    all_faces[on_seam] = count + copies.ravel()
    origin = keys >> 16

    own = np.repeat(np.arange(count, dtype=np.int64)[:, None], 3, axis=1)
    own_weights = np.zeros((count, 3))
    own_weights[:, 0] = 1.0
    return Cut(
        points=np.concatenate([vertices.astype(np.float64), seams.points[origin]]),
        faces=all_faces,
        face_labels=all_labels,
        corners=np.concatenate([own, seams.corners[origin]]),
        weights=np.concatenate([own_weights, seams.weights[origin]]),
    )


class _Seams:
    """Seam points of the faces that carry more than one label, and the pieces that these faces fall into."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, labels: np.ndarray):
        self._count = len(vertices)
        three = (labels[:, 0] != labels[:, 1]) & (labels[:, 1] != labels[:, 2]) & (labels[:, 2] != labels[:, 0])
        # Two labels: turn the corner that stands alone to the front.
        odd = np.where(labels[:, 1] == labels[:, 2], 0, np.where(labels[:, 2] == labels[:, 0], 1, 2))
        turn = (odd[:, None] + np.arange(3)) % 3
        self._two = np.take_along_axis(faces, turn, axis=1)[~three]
        self._two_labels = np.take_along_axis(labels, turn, axis=1)[~three]
        self._three, self._three_labels = faces[three], labels[three]

        p, q, r = self._three.T
        crossed = [self._two[:, [0, 1]], self._two[:, [0, 2]], *(np.stack(e, 1) for e in ((p, q), (q, r), (r, p)))]
        edges = np.sort(np.concatenate(crossed), axis=1)
        keys, index = np.unique(edges[:, 0] * self._count + edges[:, 1], return_inverse=True)
        ends = np.stack([keys // self._count, keys % self._count], axis=1)
        n2, n3 = len(self._two), len(self._three)
        self._of_two = index.ravel()[: 2 * n2].reshape(2, n2)  # rows: crossing of edge 0-1, of edge 0-2
        self._of_three = index.ravel()[2 * n2 :].reshape(3, n3)
        self._centres = len(ends) + np.arange(n3)

        t = self._slide(vertices[ends].astype(np.float64), vertices[self._three].astype(np.float64).mean(axis=1))
        zeros = np.zeros_like(t)
        self.corners = np.concatenate([np.stack([ends[:, 0], ends[:, 1], ends[:, 1]], 1), self._three])
        self.weights = np.concatenate([np.stack([1 - t, t, zeros], 1), np.full((n3, 3), 1 / 3)])
        self.points = (vertices[self.corners].astype(np.float64) * self.weights[..., None]).sum(axis=1)

    def _slide(self, ends: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Positions (E,) of the crossings on their edges, 0..1, after smoothing the seams."""
        count = len(ends)
        links = np.concatenate([self._of_two.T, *(np.stack([row, self._centres], 1) for row in self._of_three)])
        size = count + len(centres)
        ones = np.ones(len(links))
        graph = sparse.coo_matrix((ones, (links[:, 0], links[:, 1])), shape=(size, size)).tocsr()
        graph = graph + graph.T
        degree = np.asarray(graph.sum(axis=1)).ravel()[:count]
        free = degree >= 2  # the ends of a seam stay where they are
        start, along = ends[:, 0], ends[:, 1] - ends[:, 0]
        squared = np.maximum((along**2).sum(axis=1), 1e-18)
        t = np.full(count, 0.5)
        for _ in range(SLIDE_STEPS):
            points = np.concatenate([start + t[:, None] * along, centres])
            mean = (graph @ points)[:count] / np.maximum(degree, 1)[:, None]
            wanted = np.clip(((mean - start) * along).sum(axis=1) / squared, SLIDE_MARGIN, 1 - SLIDE_MARGIN)
            t = np.where(free, 0.5 * (t + wanted), t)
        return t

    def faces(self) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of the mixed faces: (P, 3) indices (seam points follow the vertices), (P,) labels; labelled only."""
        m1, m2 = self._of_two + self._count
        odd, a1, a2 = self._two.T
        single, pair = self._two_labels[:, 0], self._two_labels[:, 1]
        parts = [((odd, m1, m2), single), ((m1, a1, a2), pair), ((m1, a2, m2), pair)]
        centre = self._centres + self._count
        mids = self._of_three + self._count
        for k in range(3):
            corner, after, before = self._three[:, k], mids[k], mids[k - 1]
            label = self._three_labels[:, k]
            parts += [((corner, after, centre), label), ((corner, centre, before), label)]
        faces = np.concatenate([np.stack(corners, axis=1) for corners, _ in parts])
        labels = np.concatenate([label for _, label in parts])
        return faces[labels > 0], labels[labels > 0]
