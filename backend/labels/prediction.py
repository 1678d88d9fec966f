"""What the engine answers: a label and a confidence for every vertex, probabilities for every superpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .queries import MEASURES
from .tree import LabelTree

UNSETTLED = 0.5  # confidence below which a vertex counts as undecided


@dataclass(frozen=True)
class Prediction:
    """Labels of V vertices and S superpoints for C uids (those with marks, ascending)."""

    uids: np.ndarray  # (C,) int32
    probability: np.ndarray  # (S, C) float32; rows sum to at most 1, the rest is unlabelled
    labels: np.ndarray  # (V,) uint16 uid, 0 = unlabelled
    confidence: np.ndarray  # (V,) float32 0..1, calibrated: how likely the label is right
    superpoints: np.ndarray  # (V,) int32, row of ``probability`` of each vertex
    contradictions: tuple[tuple[int, int], ...] = ()  # (id of the mark that won, id of the one that lost), ascending
    reach: np.ndarray | None = None  # (S,) float32 0..1, small where no mark reaches; None: 1 everywhere

    def share(self) -> dict[int, float]:
        """Part of the vertices that each label has, by uid; unlabelled vertices count in the whole."""
        counts = np.bincount(self.labels, minlength=1)
        return {int(uid): float(counts[uid] / max(len(self.labels), 1)) for uid in np.flatnonzero(counts) if uid}

    @property
    def unsettled(self) -> float:
        """Part of the vertices with low confidence."""
        return float((self.confidence < UNSETTLED).mean()) if len(self.confidence) else 0.0

    def at_level(self, tree: LabelTree, level: int) -> np.ndarray:
        """(V,) uint16 labels as seen from a level of the tree: 0 the labels themselves, 1 the topmost, and so on.

        A label above that level stays what it is.
        """
        if level == 0:
            return self.labels
        table = np.zeros(max([0, *tree.labels]) + 1, np.uint16)
        for uid in tree.labels:
            table[uid] = tree.ancestor(uid, level)
        return table[self.labels]

    def probability_at(self, tree: LabelTree, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Uids (K,) ascending that the labels have on a level (as in `at_level`), and their probability (S, K)."""
        if level == 0:
            return self.uids, self.probability
        above = np.array([tree.ancestor(int(uid), level) for uid in self.uids], np.int32)
        uids, column = np.unique(above, return_inverse=True)
        grouped = np.zeros((len(self.probability), len(uids)), np.float32)
        for k, at in enumerate(column.tolist()):
            grouped[:, at] += self.probability[:, k]
        return uids, grouped

    def uncertainty(self, measure: str, tree: LabelTree, level: int = 0) -> np.ndarray:
        """(V,) float32 0..1, how unsure the labels are on a level of the tree; 1 everywhere without any marks.

        Args:
            measure: one of ``queries.MEASURES``.

        Raises:
            KeyError: there is no such measure.
        """
        of = MEASURES[measure]
        if not len(self.uids):
            return np.ones(len(self.labels), np.float32)
        probability = self.probability_at(tree, level)[1]
        if self.reach is not None:
            probability = probability * self.reach[:, None]
        return np.clip(of(probability), 0, 1)[self.superpoints]
