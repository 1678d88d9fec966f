"""What marks state about vertices: who says what where, which statements contradict each other and which one wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .placement import PlacedMark
from .tree import LabelTree

MEETING = 0.9  # voxels: marks that are nearer than this are on the same spot


@dataclass(frozen=True)
class Statements:
    """N statements "this vertex is, or is not, of that label", ordered by vertex, then by mark.

    Where marks on the same spot disagree the one with the highest id stands and the others are left out there.
    """

    vertices: np.ndarray  # (N,) int64
    marks: np.ndarray  # (N,) int64 mark ids
    labels: np.ndarray  # (N,) int64 uids
    signs: np.ndarray  # (N,) int64, 1 or -1
    weights: np.ndarray  # (N,) float64, the parts of one mark sum to at most 1
    local: np.ndarray  # (N,) bool, kept to the connected piece
    superpoints: np.ndarray  # (N,) int64
    contradictions: tuple[tuple[int, int], ...]  # (id of the mark that won, id of the mark that lost), ascending

    def __len__(self) -> int:
        return len(self.vertices)

    @property
    def positive(self) -> np.ndarray:
        """(N,) bool."""
        return self.signs > 0


def statements(
    tree: LabelTree, placed: Sequence[PlacedMark], points: np.ndarray, voxel: float, superpoints: np.ndarray
) -> Statements:
    """Every marked vertex once per statement.

    Args:
        placed: marks in any order; those without vertices say nothing.
        points: (V, 3) vertices of the surface; ``voxel``: its resolution.
        superpoints: (V,) superpoint of each vertex.
    """
    marks = sorted((mark for mark in placed if len(mark.vertices)), key=lambda mark: mark.id)
    if not marks:
        nothing = np.zeros(0, np.int64)
        return Statements(nothing, nothing, nothing, nothing, np.zeros(0), np.zeros(0, bool), nothing, ())
    size = np.array([len(mark.vertices) for mark in marks])
    of = np.repeat(np.arange(len(marks)), size)
    vertices = np.concatenate([mark.vertices for mark in marks]).astype(np.int64)
    kinds = sorted({(mark.label, mark.sign) for mark in marks})
    place = {pair: k for k, pair in enumerate(kinds)}
    kind = np.array([place[mark.label, mark.sign] for mark in marks])[of]
    near = cKDTree(points[vertices]).query_pairs(MEETING * voxel, output_type="ndarray")
    early, late = near.min(axis=1), near.max(axis=1)  # marks are in the order of their ids
    pairs = zip(kind[early].tolist(), kind[late].tolist(), strict=True)
    clash = np.array([one != other and not _agree(tree, kinds[one], kinds[other]) for one, other in pairs], bool)
    early, late = early[clash], late[clash]
    stands = np.ones(len(vertices), bool)
    stands[early] = False
    ids = np.array([mark.id for mark in marks], np.int64)
    pairs = np.unique(np.stack([ids[of[late]], ids[of[early]]], axis=1), axis=0)
    kept = np.flatnonzero(stands)
    kept = kept[np.lexsort((of[kept], vertices[kept]))]
    labels, signs = np.array(kinds, np.int64)[kind[kept]].T
    return Statements(
        vertices=vertices[kept],
        marks=ids[of[kept]],
        labels=labels,
        signs=signs,
        weights=(1.0 / size)[of[kept]],
        local=np.array([mark.local for mark in marks])[of[kept]],
        superpoints=superpoints[vertices[kept]].astype(np.int64),
        contradictions=tuple((int(winner), int(loser)) for winner, loser in pairs),
    )


def agreement(tree: LabelTree, kinds: Sequence[tuple[int, int]]) -> np.ndarray:
    """(K, K) bool: whether two statements (label, sign) can both hold at one place."""
    return np.array([[_agree(tree, one, other) for other in kinds] for one in kinds], bool)


def _agree(tree: LabelTree, one: tuple[int, int], other: tuple[int, int]) -> bool:
    (a, sign_a), (b, sign_b) = one, other
    if sign_a > 0 and sign_b > 0:
        return tree.is_under(a, b) or tree.is_under(b, a)
    if sign_a < 0 and sign_b < 0:
        return True
    positive, negative = (a, b) if sign_a > 0 else (b, a)
    return not tree.is_under(positive, negative)
