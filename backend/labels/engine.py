"""The label engine: marks on the scan to labels on the whole scan, a pure function of scene and document.

Everything that does not depend on marks is prepared once. A prediction then solves the posterior on superpoints, moves
label borders onto the scan's edges, divides superpoints that their marks do not fit, and puts the marks on top.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..surface.features import components, edge_graph
from ..surface.surface import Superpoints, Surface
from .boundary import Borders
from .calibration import calibrated, reached
from .placement import PlacedMark
from .posterior import Evidence, Posterior, posterior
from .prediction import Prediction
from .statements import Statements, agreement, statements
from .tree import LabelTree
from .walker import JointKernel

SETTLED = 0.8  # probability from which a superpoint's side of a border is not asked again
NONE = -1  # column of vertices without label


@dataclass(frozen=True)
class _Case:
    """One prediction on its way: what was said, and what superpoints answer to it."""

    said: Statements
    divided: dict[int, tuple[np.ndarray, np.ndarray]]  # superpoint: its vertices, the statement each belongs to
    found: Posterior
    best: np.ndarray  # (S,) column of the likeliest label, NONE where none is likelier than unlabelled
    fits: np.ndarray  # (N, C) bool: whether a label of that column agrees with a statement


class LabelEngine:
    """Predicts labels on one surface."""

    def __init__(self, surface: Surface, superpoints: Superpoints):
        self.surface = surface
        self.superpoints = superpoints
        self._kernel = JointKernel(superpoints)
        self._borders = Borders(surface, edge_graph(surface), superpoints.ids)

    def predict(self, tree: LabelTree, placed: Sequence[PlacedMark]) -> Prediction:
        """Labels for a set of marks; independent of their order in the list and of earlier predictions.

        Args:
            tree: the label tree; marks name its uids.
            placed: marks on this surface; those with a problem are ignored.
        """
        case = self._case(tree, placed)
        ids = self.superpoints.ids
        uids, probability = case.found.uids, case.found.probability
        if not len(uids):
            nothing = np.zeros(len(probability), np.float32)
            labels, confidence = np.zeros(len(ids), np.uint16), np.zeros(len(ids), np.float32)
            return Prediction(uids, probability, labels, confidence, ids, case.said.contradictions, nothing)
        choice = self._refined(case)
        self._divide(case, choice)
        self._put_marks(case, choice)
        reach = reached(case.found.support)
        known = reach * calibrated(probability.max(axis=1))
        known[case.best == NONE] = 0
        confidence = known[ids]
        confidence[choice == NONE] = 0
        confidence[case.said.vertices] = 1
        labels = np.append(uids, 0).astype(np.uint16)[choice]
        return Prediction(uids, probability, labels, confidence, ids, case.said.contradictions, reach)

    def effects(
        self, tree: LabelTree, placed: Sequence[PlacedMark], progress: Callable[[float], None] = lambda fraction: None
    ) -> dict[int, float]:
        """Share of the surface that changes when a mark is muted, by mark id.

        Counted in whole superpoints, and with the reach of all marks: what is left apart by one mark is small.

        Args:
            progress: called before each mark with the part that is done; may raise Cancelled.
        """
        every = [mark for mark in placed if len(mark.vertices)]
        case = self._case(tree, every)
        whole, support = _labels(case), case.found.support
        share = self.superpoints.sizes / max(len(self.superpoints.ids), 1)
        found = {}
        for index, mark in enumerate(every):
            progress(index / len(every))
            without = _labels(self._case(tree, [other for other in every if other is not mark], support))
            found[mark.id] = float(share[without != whole].sum())
        return found

    # --- superpoints ---

    def _case(self, tree: LabelTree, placed: Sequence[PlacedMark], support: np.ndarray | None = None) -> _Case:
        surface, superpoints = self.surface, self.superpoints
        said = statements(tree, placed, surface.vertices, surface.voxel, superpoints.ids)
        divided = self._shared_superpoints(tree, said)
        found = self._posterior(tree, said, divided, support)
        largest = found.probability.max(axis=1, initial=0)
        best = found.probability.argmax(axis=1) if len(found.uids) else np.zeros(len(largest), np.int64)
        best[largest <= 1 - found.probability.sum(axis=1)] = NONE  # likelier unlabelled
        labels, row = np.unique(said.labels, return_inverse=True)
        under = [[tree.is_under(uid, label) for uid in found.uids.tolist()] for label in labels.tolist()]
        fits = np.array(under, bool).reshape(len(labels), len(found.uids))[row] == said.positive[:, None]
        return _Case(said, divided, found, best, fits)

    def _shared_superpoints(self, tree: LabelTree, said: Statements) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Superpoints whose marks disagree, divided among them."""
        shared = {}
        order = np.argsort(said.superpoints, kind="stable")
        for here in np.split(order, np.flatnonzero(np.diff(said.superpoints[order])) + 1):
            kinds = sorted(set(zip(said.labels[here].tolist(), said.signs[here].tolist(), strict=True)))
            if len(kinds) < 2 or agreement(tree, kinds).all():
                continue
            superpoint = int(said.superpoints[here[0]])
            sites, last = np.unique(said.vertices[here][::-1], return_index=True)
            vertices, owner = self._borders.divide(superpoint, sites, own=False)
            shared[superpoint] = vertices, here[::-1][last][owner]
        return shared

    def _posterior(self, tree: LabelTree, said: Statements, divided: dict, support: np.ndarray | None) -> Posterior:
        """The posterior; marks that are kept to their piece speak there alone.

        While there is a single label it is one thing that is asked for, and nothing yet that its look-alikes are told
        apart from: likeness says nothing.
        """
        if len(np.unique(said.labels[said.positive])) == 1:
            return posterior(self._kernel.local, tree, self._evidence(said, divided), support)
        if not said.local.any():
            return posterior(self._kernel, tree, self._evidence(said, divided), support)
        near = posterior(self._kernel.local, tree, self._evidence(said, divided))
        far = posterior(self._kernel, tree, self._evidence(said, divided, ~said.local))
        columns = np.searchsorted(near.uids, far.uids)
        probability = np.zeros_like(near.probability)
        probability[:, columns] = far.probability
        pieces = self._local_pieces(tree, said, near)
        probability[pieces] = near.probability[pieces]
        return Posterior(near.uids, probability, np.where(pieces, near.support, far.support))

    def _evidence(
        self, said: Statements, divided: dict[int, tuple[np.ndarray, np.ndarray]], chosen: np.ndarray | None = None
    ) -> Evidence:
        """What (some of) the statements say about whole superpoints."""
        chosen = np.ones(len(said), bool) if chosen is None else chosen
        keys = np.stack([said.superpoints, said.labels, said.signs], axis=1)[chosen]
        keys, row = np.unique(keys, axis=0, return_inverse=True)
        row = row.ravel()
        by_row = said.vertices[chosen][np.argsort(row, kind="stable")]
        sites = np.split(by_row, np.cumsum(np.bincount(row, minlength=len(keys)))[:-1])
        shares, alike = np.ones(len(keys)), np.ones(len(keys))
        for k, (superpoint, label, sign) in enumerate(keys.tolist()):
            if superpoint in divided:
                owner = divided[superpoint][1]
                shares[k] = ((said.labels[owner] == label) & (said.signs[owner] == sign)).mean()
            else:
                alike[k] = self._borders.alike(superpoint, sites[k]).mean()
        weights = np.bincount(row, weights=said.weights[chosen], minlength=len(keys))
        return Evidence(keys[:, 0], keys[:, 1], keys[:, 2], weights * alike**2, shares)

    def _local_pieces(self, tree: LabelTree, said: Statements, near: Posterior) -> np.ndarray:
        """(S,) bool: superpoints joined to one with a local mark by superpoints of the answer that the mark gave."""
        if not len(near.uids):
            return np.zeros(len(self.superpoints.sizes), bool)
        best = near.probability.argmax(axis=1)
        ends = self.superpoints.edges
        piece = components(ends[best[ends[:, 0]] == best[ends[:, 1]]], len(best))
        at = said.superpoints[said.local]
        labels = said.labels[said.local].tolist()
        taught = [tree.is_under(int(uid), label) for uid, label in zip(near.uids[best[at]], labels, strict=True)]
        found = np.isin(piece, piece[at[np.array(taught, bool) & (said.signs[said.local] > 0)]])
        found[at] = True
        return found

    # --- vertices ---

    def _refined(self, case: _Case) -> np.ndarray:
        """(V,) int32 column of each vertex, borders between superpoints refined."""
        ids, probability = self.superpoints.ids, case.found.probability
        choice = probability.argmax(axis=1).astype(np.int32)[ids]
        band = self._borders.band(case.best, probability.max(axis=1) > SETTLED)
        if len(band):
            choice[band] = self._borders.refine(choice, probability, band)
        if (case.best == NONE).any():
            choice[(case.best == NONE)[ids]] = NONE
        return choice

    def _divide(self, case: _Case, choice: np.ndarray) -> None:
        """Give marks their part of superpoints that answer otherwise, or that several marks share."""
        said = case.said
        for vertices, owner in case.divided.values():
            for k in np.unique(owner).tolist():
                choice[vertices[owner == k]] = _as_marked(case, k)
        against = np.flatnonzero(~_fitting(case, case.best[said.superpoints]))
        against = against[~np.isin(said.superpoints[against], list(case.divided))]
        for superpoint in np.unique(said.superpoints[against]).tolist():
            here = against[said.superpoints[against] == superpoint]
            sites, first = np.unique(said.vertices[here], return_index=True)
            vertices, owner = self._borders.divide(superpoint, sites, own=True)
            for n, k in enumerate(here[first].tolist()):
                choice[vertices[owner == n]] = _as_marked(case, k)

    def _put_marks(self, case: _Case, choice: np.ndarray) -> None:
        """The raw mark always wins where it lands."""
        said = case.said
        for k in np.flatnonzero(~_fitting(case, choice[said.vertices])).tolist():
            choice[said.vertices[k]] = _as_marked(case, k)


def _labels(case: _Case) -> np.ndarray:
    """(S,) uid of each superpoint, 0 for none."""
    return np.append(case.found.uids, 0)[case.best]


def _fitting(case: _Case, columns: np.ndarray) -> np.ndarray:
    """(N,) bool: whether a column (N,) at the place of each statement agrees with it."""
    fits = case.fits[np.arange(len(columns)), columns]
    return np.where(columns == NONE, ~case.said.positive, fits)


def _as_marked(case: _Case, k: int) -> int:
    """The likeliest column that all statements at the vertex of statement k allow, NONE if there is none."""
    allowed = case.fits[case.said.vertices == case.said.vertices[k]].all(axis=0)
    if not allowed.any():
        return NONE
    row = np.where(allowed, case.found.probability[case.said.superpoints[k]], -1)
    # A positive mark on a leaf allows one column; under a group the likeliest descendant is taken.
    row[allowed & (case.found.uids == case.said.labels[k])] += 1e-9
    return int(row.argmax())
