"""What a user could have instead: simple engines that see the same scan, superpoints and marks.

All of them learn from positive marks alone. None knows the learned affinity or any other part of the label engine but
the partition into superpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from ..labels.placement import PlacedMark
from ..surface.features import NORMAL_SCALE, describe, lab_from_srgb
from ..surface.surface import Superpoints, Surface
from .engines import Answer, Engine, from_probability, taught
from .trees import ExtraTrees

POSITION_SCALE, LAB_SCALE = 0.5, 15.0  # metres and Lab units that count as much as a normal turned by 60 degrees
CONTRAST_LAB = 10.0
LEAK = 1e-6  # keeps the walker's system regular where a component has no mark
PRIOR_WEIGHT = 0.05  # of the forest in the walker, relative to an edge without contrast
CHUNK = 1 << 16


def nothing(count: int) -> Answer:
    """No label anywhere."""
    return Answer(np.zeros(count, np.uint16), np.zeros(count, np.float32), lambda measure: np.ones(count, np.float32))


class Nearest(Engine):
    """The label of the nearest click in position, colour and direction."""

    name = "nearest"

    def __init__(self, surface: Surface):
        lab = lab_from_srgb(surface.colors)
        self._look = np.concatenate(
            [surface.vertices / POSITION_SCALE, lab / LAB_SCALE, surface.normals], axis=1, dtype=np.float32
        )

    def update(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """See ``Engine``; probabilities fall with the distance to the nearest click of each label."""
        vertices, labels = taught(marks)
        if not len(vertices):
            return nothing(len(self._look))
        order = np.argsort(labels, kind="stable")
        uids, start = np.unique(labels[order], return_index=True)
        sites = self._look[vertices[order]]
        # Squared distances less the square of the vertex itself, which all labels share.
        squared = np.empty((len(self._look), len(uids)), np.float32)
        for begin in range(0, len(self._look), CHUNK):
            part = self._look[begin : begin + CHUNK]
            squared[begin : begin + CHUNK] = np.minimum.reduceat((sites**2).sum(axis=1) - 2 * part @ sites.T, start, 1)
        odds = np.exp(squared.min(axis=1, keepdims=True) - squared)
        return from_probability(uids, odds / odds.sum(axis=1, keepdims=True))


class SuperpointGraph:
    """Superpoints with mean colour and direction, and edges that weigh by contrast (Grady 2006, Equation 1)."""

    def __init__(self, surface: Surface, superpoints: Superpoints):
        self.ids, self.count = superpoints.ids, len(superpoints.sizes)
        look = np.concatenate([lab_from_srgb(surface.colors), surface.normals], axis=1)
        self.lab, self.normals = np.split(self.mean(look), [3], axis=1)
        self.normals /= np.maximum(np.linalg.norm(self.normals, axis=1, keepdims=True), 1e-9)
        a, b = superpoints.edges.astype(np.int64).T
        color = ((self.lab[a] - self.lab[b]) ** 2).sum(axis=1) / CONTRAST_LAB**2
        turn = 1 - (self.normals[a] * self.normals[b]).sum(axis=1)
        weight = np.exp(-color - turn / NORMAL_SCALE) + 1e-4
        affinity = sp.coo_matrix((weight, (a, b)), shape=(self.count, self.count))
        affinity = (affinity + affinity.T).tocsr()
        self.laplacian = (sp.diags(np.asarray(affinity.sum(axis=1)).ravel()) - affinity).tocsc()

    def mean(self, per_vertex: np.ndarray) -> np.ndarray:
        """(S, D) mean over the vertices of each superpoint."""
        sizes = np.maximum(np.bincount(self.ids, minlength=self.count), 1)
        columns = [np.bincount(self.ids, weights=column, minlength=self.count) for column in per_vertex.T]
        return np.stack(columns, axis=1) / sizes[:, None]

    def seeds(self, marks: Sequence[PlacedMark]) -> tuple[np.ndarray, np.ndarray]:
        """Marked superpoints (M,) ascending and their labels (M,); of several labels in one the latest stands."""
        vertices, labels = taught(marks)
        latest = dict(zip(self.ids[vertices].tolist(), labels.tolist(), strict=True))
        nodes = np.array(sorted(latest), np.int64)
        return nodes, np.array([latest[node] for node in nodes.tolist()], np.int64)

    def walk(self, nodes: np.ndarray, columns: np.ndarray, count: int, prior: np.ndarray | None = None) -> np.ndarray:
        """(S, count) probability that a random walker from each superpoint first meets a seed of each column.

        Args:
            nodes: (M,) seeds, distinct; columns: (M,) of them.
            prior: (S, count) probabilities that pull with PRIOR_WEIGHT (Grady 2005, with prior models).
        """
        known = np.zeros((len(nodes), count))
        known[np.arange(len(nodes)), columns] = 1
        free = np.setdiff1d(np.arange(self.count), nodes)
        pull = LEAK if prior is None else PRIOR_WEIGHT
        system = self.laplacian[free][:, free] + pull * sp.identity(len(free), format="csc")
        right = -(self.laplacian[free][:, nodes] @ known)
        if prior is not None:
            right = right + pull * prior[free]
        found = np.empty((self.count, count))
        found[nodes] = known
        found[free] = splu(system.tocsc()).solve(right) if len(free) else 0
        return found


class RandomWalker(Engine):
    """A random walker on superpoints whose edges weigh by contrast of colour and direction."""

    name = "random-walker"

    def __init__(self, surface: Surface, superpoints: Superpoints):
        self._graph = SuperpointGraph(surface, superpoints)

    def update(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """See ``Engine``."""
        nodes, labels = self._graph.seeds(marks)
        if not len(nodes):
            return nothing(len(self._graph.ids))
        uids, columns = np.unique(labels, return_inverse=True)
        return from_probability(uids, self._graph.walk(nodes, columns, len(uids)), self._graph.ids)


class RandomForest(Engine):
    """Randomised trees on hand-made appearance and shape, place included (as SemanticPaint, Valentin et al. 2015).

    Args:
        smooth: pairwise smoothing of the forest's answer, which SemanticPaint does with a CRF: here the forest is the
            prior of a random walker from the marks. The strongest engine of which no part is ours.
    """

    def __init__(self, surface: Surface, superpoints: Superpoints, smooth: bool):
        self.name = "forest-walker" if smooth else "random-forest"
        self._smooth, self._graph = smooth, SuperpointGraph(surface, superpoints)
        features = np.concatenate([self._graph.mean(describe(surface)), self._graph.mean(surface.vertices)], axis=1)
        self._features = features.astype(np.float32)

    def update(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """See ``Engine``; the forest is always grown from the same seed."""
        nodes, labels = self._graph.seeds(marks)
        if not len(nodes):
            return nothing(len(self._graph.ids))
        uids, columns = np.unique(labels, return_inverse=True)
        found = ExtraTrees(self._features[nodes], columns, len(uids)).predict(self._features)
        if self._smooth:
            found = self._graph.walk(nodes, columns, len(uids), found)
        return from_probability(uids, found, self._graph.ids)
