"""Extremely randomised trees (Geurts, Ernst and Wehenkel 2006), all trees of a forest grown level by level at once."""

from __future__ import annotations

import numpy as np

DEEPEST = 24


class ExtraTrees:
    """A forest for classification; the same seed and samples give the same forest.

    Args:
        features: (N, D) float training samples.
        classes: (N,) int 0..C-1.
        count: of classes C.
        trees: number of trees T.
        seed: of all draws.
    """

    def __init__(self, features: np.ndarray, classes: np.ndarray, count: int, trees: int = 100, seed: int = 0):
        self._random = np.random.default_rng(seed)
        self._features, self._classes, self.count = np.asarray(features, np.float32), classes, count
        self._tries = max(1, round(np.sqrt(features.shape[1])))
        samples = len(features)
        sample = np.tile(np.arange(samples), trees)
        node = np.repeat(np.arange(trees), samples)  # (T * N,) node that each sample of each tree is in
        self._trees, self._nodes = trees, trees
        self._feature, self._threshold, self._child = [], [], []
        self._leaf = [np.zeros((trees, count))]
        first = 0  # of the nodes of this level
        for depth in range(DEEPEST + 1):
            total = self._leaf[-1]
            np.add.at(total, (node - first, classes[sample]), 1.0)
            open_node = (total > 0).sum(axis=1) > 1
            if depth == DEEPEST or not open_node.any():
                self._close(len(total))
                break
            sample, node, first = self._grow(sample, node, first, open_node)
        self._feature, self._threshold = np.concatenate(self._feature), np.concatenate(self._threshold)
        self._child = np.concatenate(self._child)
        leaf = np.concatenate(self._leaf)
        self._leaf = leaf / np.maximum(leaf.sum(axis=1, keepdims=True), 1e-9)

    def _close(self, nodes: int) -> None:
        self._feature.append(np.zeros(nodes, np.int64))
        self._threshold.append(np.zeros(nodes, np.float32))
        self._child.append(np.full(nodes, -1, np.int64))

    def _grow(self, sample: np.ndarray, node: np.ndarray, first: int, open_node: np.ndarray) -> tuple:
        """Split the open nodes of one level; the samples, nodes and first node of the next."""
        keep = open_node[node - first]
        order = np.argsort(node[keep], kind="stable")
        sample, node = sample[keep][order], node[keep][order]
        opened = np.flatnonzero(open_node)
        at = np.searchsorted(opened, node - first)
        feature, threshold, left = self._best_splits(sample, at, len(opened))
        useful = np.isfinite(threshold)
        # A node whose samples are alike in all tried features stays a leaf.
        nodes = len(open_node)
        self._close(nodes)
        self._feature[-1][opened] = feature
        self._threshold[-1][opened] = np.where(useful, threshold, 0)
        following = first + nodes
        pair = np.cumsum(useful) - 1
        self._child[-1][opened] = np.where(useful, following + 2 * pair, -1)
        on = useful[at]
        self._leaf.append(np.zeros((2 * int(useful.sum()), self.count)))
        self._nodes = following + len(self._leaf[-1])
        return sample[on], following + 2 * pair[at[on]] + ~left[on], following

    def _best_splits(self, sample: np.ndarray, at: np.ndarray, nodes: int) -> tuple:
        """Feature, threshold (inf where there is none) per node, and which samples go left, by the best Gini gain."""
        tries, count = self._tries, self.count
        tried = self._random.integers(self._features.shape[1], size=(nodes, tries))
        value = self._features[sample[:, None], tried[at]]  # (P, tries)
        start = np.searchsorted(at, np.arange(nodes))
        low, high = np.minimum.reduceat(value, start), np.maximum.reduceat(value, start)
        cut = (low + self._random.random((nodes, tries)) * (high - low)).astype(np.float32)
        cut = np.minimum(cut, np.nextafter(high, low))  # rounding must not leave the right side empty
        left = value <= cut[at]
        slot = (at[:, None] * tries + np.arange(tries)) * count + self._classes[sample][:, None]
        both = np.bincount(slot.ravel(), minlength=nodes * tries * count).reshape(nodes, tries, count)
        on_left = np.bincount(slot[left], minlength=nodes * tries * count).reshape(nodes, tries, count)
        on_right = both - on_left
        purity = sum((side**2).sum(axis=2) / np.maximum(side.sum(axis=2), 1) for side in (on_left, on_right))
        purity = np.where(high > low, purity, -1.0)
        best = purity.argmax(axis=1)
        row = np.arange(nodes)
        threshold = np.where(purity[row, best] >= 0, cut[row, best], np.inf)
        return tried[row, best], threshold, left[np.arange(len(at)), best[at]]

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(S, C) float32 class probabilities of samples (S, D), the mean of the trees' leaves."""
        features = np.asarray(features, np.float32)
        total = np.zeros((len(features), self.count), np.float64)
        node = np.tile(np.arange(self._trees), (len(features), 1))
        row = np.arange(len(features))[:, None]
        for _ in range(DEEPEST):
            child = self._child[node]
            if (child < 0).all():
                break
            right = features[row, self._feature[node]] > self._threshold[node]
            node = np.where(child < 0, node, child + right)
        for tree in range(self._trees):
            total += self._leaf[node[:, tree]]
        return (total / self._trees).astype(np.float32)
