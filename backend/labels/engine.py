"""The label engine: marks on the scan to labels on the whole scan, a pure function of scene and document.

Everything that does not depend on marks is prepared once. A prediction then solves the posterior on superpoints,
splits superpoints whose marks disagree, moves label borders onto the scan's edges and puts the marks themselves on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..surface.features import components, edge_graph
from ..surface.surface import Superpoints, Surface
from .boundary import SETTLED, Borders, nearest_site
from .kernel import GraphKernel
from .placement import PlacedMark
from .posterior import Evidence, Posterior, posterior
from .tree import LabelTree

HALF_REACH = 0.05  # correlation with the marks at which confidence falls to half
UNSETTLED = 0.5  # confidence below which a vertex counts as undecided


@dataclass(frozen=True)
class Prediction:
    """Labels of V vertices and S superpoints for C uids (those with marks, ascending)."""

    uids: np.ndarray  # (C,) int32
    probability: np.ndarray  # (S, C) float32; rows sum to at most 1, the rest is unlabelled
    labels: np.ndarray  # (V,) uint16 uid, 0 = unlabelled
    confidence: np.ndarray  # (V,) float32 0..1

    def share(self) -> dict[int, float]:
        """Part of the vertices that each label has, by uid; unlabelled vertices count in the whole."""
        counts = np.bincount(self.labels, minlength=1)
        return {int(uid): float(counts[uid] / max(len(self.labels), 1)) for uid in np.flatnonzero(counts) if uid}

    @property
    def unsettled(self) -> float:
        """Part of the vertices with low confidence."""
        return float((self.confidence < UNSETTLED).mean()) if len(self.confidence) else 0.0


@dataclass(frozen=True)
class _Sites:
    """Marked vertices in the order of mark ids; a later mark replaces what contradicts it at the same vertex."""

    vertices: np.ndarray  # (N,) int64
    labels: np.ndarray  # (N,) int64
    signs: np.ndarray  # (N,) int64
    weights: np.ndarray  # (N,) float64, the parts of one mark sum to 1
    superpoints: np.ndarray  # (N,) int64

    def __len__(self) -> int:
        return len(self.vertices)


class LabelEngine:
    """Predicts labels on one surface."""

    def __init__(self, surface: Surface, superpoints: Superpoints):
        self.surface = surface
        self.superpoints = superpoints
        self._kernel = GraphKernel(superpoints)
        self._borders = Borders(edge_graph(surface), superpoints.ids)
        self._order = np.argsort(superpoints.ids, kind="stable")
        self._start = np.concatenate([[0], np.cumsum(superpoints.sizes)])
        self._piece = components(superpoints.edges, len(superpoints.sizes))

    def predict(self, tree: LabelTree, placed: Sequence[PlacedMark]) -> Prediction:
        """Labels for a set of marks; independent of their order in the list and of earlier predictions.

        Args:
            tree: the label tree; marks name its uids.
            placed: marks on this surface; those with a problem are ignored.
        """
        sites = self._sites(tree, placed)
        count = len(self.superpoints.ids)
        if not (sites.signs > 0).any():
            nothing = np.zeros((len(self.superpoints.sizes), 0), np.float32)
            return Prediction(np.zeros(0, np.int32), nothing, np.zeros(count, np.uint16), np.zeros(count, np.float32))
        split = self._split(tree, sites)
        found = posterior(self._kernel, tree, self._evidence(sites, split))
        choice, sure = self._decide(found, sites)
        for vertices, owner in split.values():
            self._settle(tree, found, sites, choice, sure, vertices, owner)
        self._put_marks(tree, found, sites, choice, sure)
        reached = choice >= 0
        labels = np.where(reached, found.uids[choice], 0).astype(np.uint16)
        return Prediction(found.uids, found.probability, labels, np.where(reached, sure, 0).astype(np.float32))

    def _sites(self, tree: LabelTree, placed: Sequence[PlacedMark]) -> _Sites:
        """Every marked vertex once per statement, later marks over earlier ones that they contradict."""
        kept: dict[int, list[tuple[int, int, float]]] = {}
        for mark in sorted(placed, key=lambda mark: mark.id):
            for vertex in mark.vertices.tolist():
                said = [old for old in kept.get(vertex, []) if _agree(tree, old[:2], (mark.label, mark.sign))]
                kept[vertex] = [*said, (mark.label, mark.sign, 1.0 / len(mark.vertices))]
        flat = [(vertex, *entry) for vertex, entries in sorted(kept.items()) for entry in entries]
        vertices, labels, signs, weights = zip(*flat, strict=True) if flat else ((), (), (), ())
        vertices = np.array(vertices, np.int64)
        return _Sites(
            vertices,
            np.array(labels, np.int64),
            np.array(signs, np.int64),
            np.array(weights, np.float64),
            self.superpoints.ids[vertices].astype(np.int64),
        )

    def _members(self, superpoint: int) -> np.ndarray:
        return self._order[self._start[superpoint] : self._start[superpoint + 1]]

    def _split(self, tree: LabelTree, sites: _Sites) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Superpoints whose marks disagree: {superpoint: (its vertices, the site that each belongs to)}."""
        split = {}
        for superpoint in np.unique(sites.superpoints).tolist():
            here = np.flatnonzero(sites.superpoints == superpoint)
            statements = {(int(sites.labels[k]), int(sites.signs[k])) for k in here}
            if all(_agree(tree, one, other) for one in statements for other in statements):
                continue
            vertices = self._members(superpoint)
            owner = nearest_site(
                vertices,
                sites.vertices[here],
                self.surface.vertices,
                self._borders.lab,
                self.surface.normals,
                self.surface.voxel,
            )
            split[superpoint] = (vertices, here[owner])
        return split

    def _evidence(self, sites: _Sites, split: dict[int, tuple[np.ndarray, np.ndarray]]) -> Evidence:
        rows: dict[tuple[int, int, int], list[float]] = {}
        for k in range(len(sites)):
            key = (int(sites.superpoints[k]), int(sites.labels[k]), int(sites.signs[k]))
            rows.setdefault(key, [0.0, 0.0])[0] += float(sites.weights[k])
        for (superpoint, label, sign), row in rows.items():
            if superpoint not in split:
                row[1] = 1.0
                continue
            owner = split[superpoint][1]
            row[1] = float(((sites.labels[owner] == label) & (sites.signs[owner] == sign)).mean())
        keys = sorted(rows)
        columns = np.array(keys, np.int64).reshape(-1, 3).T
        values = np.array([rows[key] for key in keys]).reshape(-1, 2).T
        return Evidence(columns[0], columns[1], columns[2], values[0], values[1])

    def _decide(self, found: Posterior, sites: _Sites) -> tuple[np.ndarray, np.ndarray]:
        """Column of ``found.uids`` (V,) int64, -1 for none, and confidence (V,), with borders refined."""
        ids = self.superpoints.ids
        best = found.probability.argmax(axis=1)
        largest = found.probability.max(axis=1)
        # A single label claims only what hangs together with it; nor is anything claimed that is likelier unlabelled.
        known = largest > 1 - found.probability.sum(axis=1)
        if len(found.uids) == 1:
            known &= np.isin(self._piece, self._piece[sites.superpoints[sites.signs > 0]])
        reach = np.sqrt(found.support)
        sure = largest * reach / (reach + HALF_REACH)
        choice = best[ids]
        band = self._borders.band(choice, largest > SETTLED)
        if len(band):
            choice[band] = self._borders.refine(choice, found.probability, band)
        choice[~known[ids]] = -1
        return choice, sure[ids]

    def _settle(
        self,
        tree: LabelTree,
        found: Posterior,
        sites: _Sites,
        choice: np.ndarray,
        sure: np.ndarray,
        vertices: np.ndarray,
        owner: np.ndarray,
    ) -> None:
        """Give every vertex of a split superpoint what the mark nearest to it says."""
        for k in np.unique(owner).tolist():
            part = vertices[owner == k]
            choice[part] = self._as_marked(tree, found, sites, k)
            sure[part] = np.maximum(sure[part], 0.8)

    def _as_marked(self, tree: LabelTree, found: Posterior, sites: _Sites, k: int) -> int:
        """The most likely column that a site's statements allow, -1 for none."""
        row = found.probability[sites.superpoints[k]].copy()
        same = np.flatnonzero(sites.vertices == sites.vertices[k])
        allowed = np.ones(len(row), bool)
        for site in same.tolist():
            under = np.array([tree.is_under(int(uid), int(sites.labels[site])) for uid in found.uids])
            allowed &= under if sites.signs[site] > 0 else ~under
        if not allowed.any():
            return -1
        own = np.flatnonzero(allowed & (found.uids == sites.labels[k]))
        # A positive mark on a leaf allows one column; under a group the likeliest descendant is taken.
        row[~allowed] = -1
        row[own] += 1e-9
        return int(row.argmax())

    def _put_marks(
        self, tree: LabelTree, found: Posterior, sites: _Sites, choice: np.ndarray, sure: np.ndarray
    ) -> None:
        needs = [k for k in range(len(sites)) if self._contradicted(tree, found, sites, k, choice)]
        exact = [self._as_marked(tree, found, sites, k) for k in needs]
        for k, column in zip(needs, exact, strict=True):
            choice[self._borders.patch(int(sites.vertices[k]))] = column
        for k in range(len(sites)):
            if self._contradicted(tree, found, sites, k, choice):
                choice[sites.vertices[k]] = self._as_marked(tree, found, sites, k)
        sure[sites.vertices] = 1.0

    def _contradicted(self, tree: LabelTree, found: Posterior, sites: _Sites, k: int, choice: np.ndarray) -> bool:
        at = choice[sites.vertices[k]]
        under = at >= 0 and tree.is_under(int(found.uids[at]), int(sites.labels[k]))
        return bool(under) != (sites.signs[k] > 0)


def _agree(tree: LabelTree, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two statements (label, sign) can hold at one place."""
    (a, sign_a), (b, sign_b) = one, other
    if sign_a > 0 and sign_b > 0:
        return tree.is_under(a, b) or tree.is_under(b, a)
    if sign_a < 0 and sign_b < 0:
        return True
    positive, negative = (a, b) if sign_a > 0 else (b, a)
    return not tree.is_under(positive, negative)
