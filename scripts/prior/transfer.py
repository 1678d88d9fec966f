"""How well a prior does on scenes: its networks by themselves, and clicks to labels with and without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.labels.kernel import GraphKernel
from backend.surface.features import components
from backend.surface.prior import Prior
from backend.surface.superpoints import segment
from backend.surface.surface import Superpoints

from .examples import Example
from .networks import auc, average_precision
from .pairs import Views, edge_rows, pair_rows

BUDGETS = (20, 50, 120)
RIDGE = 0.02
AMONG = 3  # of the largest mistakes, a click goes into any


@dataclass(frozen=True)
class Detection:
    """How well boundaries are found on one scene: average precision, and area under the ROC curve of the edges."""

    base: float  # share of the edges that are boundaries
    by_hand: float  # average precision of the hand-made strength
    edges: float
    edges_auc: float
    bare: float  # without the frames
    pairs_by_edges: float  # average precision over superpoint pairs of the mean logit along the border
    pairs: float


def detection(views: Views, prior: Prior) -> Detection:
    """Judge the networks on a scene that they were not trained on."""
    rows, bare = edge_rows(views.scene, views.seen), edge_rows(views.scene, views.bare)
    pairs = pair_rows(views.scene, views.seen, prior.edges)
    logits = prior.edges(rows.features)
    return Detection(
        float(rows.target.mean()),
        average_precision(rows.features[:, 0], rows.target),
        average_precision(logits, rows.target),
        auc(logits, rows.target),
        average_precision(prior.edges(bare.features), bare.target),
        average_precision(pairs.features[:, 5], pairs.target),
        average_precision(prior.pairs(pairs.features), pairs.target),
    )


def curve(scene: Example, prior: Prior | None, seeds: Sequence[int]) -> np.ndarray:
    """mIoU in percent over the scan's vertices at one click per class and at each of ``BUDGETS``, (seeds, 4).

    The regression alone decides, each superpoint as a whole, so that priors are compared and nothing else.
    """
    superpoints = segment(scene.surface, scene.cues, prior=lambda: prior)
    kernel = GraphKernel(superpoints, prior=lambda: prior)
    return np.array([Clicks(scene.classes, superpoints, kernel, seed).played() for seed in seeds])


class Clicks:
    """A simulated user on superpoints: one click per class, then always into one of the largest mistakes."""

    def __init__(self, classes: np.ndarray, superpoints: Superpoints, kernel: GraphKernel, seed: int):
        uids, column = np.unique(classes, return_inverse=True)
        counts = np.zeros((len(superpoints.sizes), len(uids)))
        np.add.at(counts, (superpoints.ids, column), 1)
        self._counts = counts[:, uids > 0]  # vertices of each class in each superpoint
        self._edges, self._kernel = superpoints.edges, kernel
        self._random = np.random.default_rng(seed)
        self._said: list[tuple[int, int]] = []

    def played(self) -> list[float]:
        """mIoU at one click per class and at each budget."""
        for label in range(self._counts.shape[1]):
            self._click(np.where(self._counts.argmax(axis=1) == label, self._counts[:, label], 0), label)
        found, right = [], self._right()
        found.append(self._miou(right))
        # With more classes than a budget has clicks, that budget is what one click per class gives.
        found += [found[0] for budget in BUDGETS if len(self._said) >= budget]
        while len(found) < 1 + len(BUDGETS):
            left = np.where(right, 0, self._counts)
            if not left.any():
                return found + [100.0] * (1 + len(BUDGETS) - len(found))
            self._click(left.max(axis=1), left.argmax(axis=1))
            right = self._right()
            if len(self._said) in BUDGETS:
                found.append(self._miou(right))
        return found

    def _click(self, mass: np.ndarray, label: np.ndarray | int) -> None:
        """Into the heaviest superpoint of one of the heaviest connected blobs of one label."""
        label = np.broadcast_to(label, len(mass))
        a, b = self._edges.T
        joined = self._edges[(mass[a] > 0) & (mass[b] > 0) & (label[a] == label[b])]
        blob = components(joined, len(mass))
        heavy = np.argsort(-np.bincount(blob, weights=mass), kind="stable")
        heavy = heavy[: min(AMONG if self._said[self._counts.shape[1] - 1 :] else 1, len(np.unique(blob[mass > 0])))]
        chosen = heavy[self._random.integers(len(heavy))] if len(heavy) else 0
        node = int(np.where(blob == chosen, mass, -1).argmax())
        self._said.append((node, int(label[node])))

    def _right(self) -> np.ndarray:
        """Which class of each superpoint is labelled as it is, (S, C); a superpoint with marks of several is split."""
        said = sorted(set(self._said))
        nodes, row = np.unique([node for node, _ in said], return_inverse=True)
        column = np.array([label for _, label in said])
        classes = self._counts.shape[1]
        targets = np.zeros((len(nodes), classes))
        targets[row, column] = 1
        targets = targets / targets.sum(axis=1, keepdims=True) - 1 / classes
        answer = self._kernel.regress(nodes, targets, np.full(len(nodes), RIDGE)).argmax(axis=1)
        answer[nodes[row]] = column
        right = np.arange(classes) == answer[:, None]
        right[nodes[row], column] = True
        self._answer = answer
        return right

    def _miou(self, right: np.ndarray) -> float:
        hits = np.where(right, self._counts, 0).sum(axis=0)
        wrong = np.where(right, 0, self._counts).sum(axis=1)
        taken = np.bincount(self._answer, weights=wrong, minlength=len(hits))
        return float(100 * (hits / (self._counts.sum(axis=0) + taken)).mean())
