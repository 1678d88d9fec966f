"""Closed-form label posterior over superpoints: Gaussian-process regression with a graph and a feature kernel.

The kernel is the normalised inverse of the regularised graph Laplacian (diffusion: the same thing continues until a
boundary) plus a radial basis function on descriptors (things that look alike). At every inner node of the label tree
one regression tells its children apart, so a mark conditions only the nodes above it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..surface.surface import Superpoints
from .tree import ROOT, LabelTree

LAPLACIAN_SHIFT = 3e-3
FEATURE_WEIGHT = 0.3
FEATURE_WIDTH = 1.5
RIDGE = 0.02
SHARPNESS = 8.0
NEGATIVE_TARGET = -0.5
SUPPORT_EPSILON = 1e-6


@dataclass(frozen=True)
class Evidence:
    """What marks say about superpoints, one row per (superpoint, label, sign)."""

    superpoints: np.ndarray  # (M,) int64
    labels: np.ndarray  # (M,) int64 uids
    signs: np.ndarray  # (M,) int64, 1 or -1
    weights: np.ndarray  # (M,) float64 > 0; 1 is one click
    shares: np.ndarray  # (M,) float64: part of the superpoint that the label claims; 1 unless labels compete for it


@dataclass(frozen=True)
class Posterior:
    """Probabilities over superpoints; rows of ``probability`` sum to at most 1 (the rest is unlabelled)."""

    uids: np.ndarray  # (C,) int32, ascending
    probability: np.ndarray  # (S, C) float32
    support: np.ndarray  # (S,) float32 in 0..1, how near the superpoint is to any mark, in the kernel's sense


class GraphKernel:
    """The dense (S, S) float32 kernel of a scene, unit diagonal; independent of all marks."""

    def __init__(self, superpoints: Superpoints):
        count = len(superpoints.sizes)
        diffusion = _diffusion(superpoints, count)
        features = torch.from_numpy(superpoints.features)
        squared = (features**2).sum(dim=1)
        distance = features @ features.T
        distance.mul_(-2).add_(squared[:, None]).add_(squared[None, :]).clamp_(min=0)
        distance.mul_(-FEATURE_WIDTH / features.shape[1]).exp_()
        self.matrix = diffusion.add_(distance, alpha=FEATURE_WEIGHT).div_(1 + FEATURE_WEIGHT)

    def __len__(self) -> int:
        return len(self.matrix)

    def regress(self, nodes: np.ndarray, targets: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Posterior mean at every superpoint.

        Args:
            nodes: (M,) observed superpoints, distinct.
            targets: (M, C) values there.
            noise: (M,) variances.

        Returns:
            (S, C) float32.
        """
        index = torch.from_numpy(nodes)
        columns = self.matrix[index]  # symmetric: rows are contiguous
        inner = columns[:, index].double() + torch.diag(torch.from_numpy(noise))
        weights = torch.cholesky_solve(torch.from_numpy(targets), torch.linalg.cholesky(inner))
        return (columns.T @ weights.float()).numpy()

    def support(self, nodes: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Share of the prior variance that observations at ``nodes`` explain, (S,) float32 in 0..1."""
        index = torch.from_numpy(nodes)
        columns = self.matrix[index]
        inner = columns[:, index].double() + torch.diag(torch.from_numpy(noise))
        whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(inner).float(), columns, upper=False)
        return (whitened**2).sum(dim=0).clamp_(0, 1).numpy()


def _diffusion(superpoints: Superpoints, count: int) -> torch.Tensor:
    affinity = torch.zeros(count, count)
    a, b = torch.from_numpy(superpoints.edges.astype(np.int64)).T
    affinity[a, b] = torch.from_numpy(superpoints.weights)
    affinity[b, a] = affinity[a, b]
    scale = affinity.sum(dim=1).clamp_(min=1e-12).rsqrt()
    system = affinity.mul_(scale[:, None]).mul_(scale[None, :]).neg_()
    system.diagonal().add_(1 + LAPLACIAN_SHIFT)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
    inverse = 0.5 * (inverse + inverse.T)
    norm = inverse.diagonal().clamp(min=1e-12).rsqrt()
    return inverse.mul_(norm[:, None]).mul_(norm[None, :])


def posterior(kernel: GraphKernel, tree: LabelTree, evidence: Evidence) -> Posterior:
    """Probability of every label that has positive evidence, at every superpoint.

    The probability of a node is the product along its path; the column of a group holds what stays at the group
    itself, so the probability that a superpoint lies anywhere under it is the sum over its subtree.
    """
    positive = evidence.signs > 0
    uids = np.array(tree.predictable(evidence.labels[positive].tolist()), np.int32)
    probability = np.zeros((len(kernel), len(uids)), np.float32)
    if not len(uids):
        return Posterior(uids, probability, np.zeros(len(kernel), np.float32))
    column = {int(uid): k for k, uid in enumerate(uids)}
    mass = {ROOT: np.ones(len(kernel), np.float32)}
    below = tree.reachable(uids.tolist())
    for node, children in below.items():
        conditional = _among_children(kernel, tree, evidence, node, children)
        commit = _commitment(kernel, tree, evidence, node)
        for k, child in enumerate(children):
            mass[child] = mass[node] * commit * conditional[:, k]
        if node in column:
            probability[:, column[node]] = mass[node] * (1 - commit * conditional.sum(axis=1))
    for uid, k in column.items():
        if uid not in below:
            probability[:, k] = mass[uid]
    nodes, noise = _observed(evidence, positive)
    return Posterior(uids, probability, kernel.support(nodes, noise))


def _observed(evidence: Evidence, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct superpoints of the chosen rows, ascending, and their noise: a stroke's parts weigh less each."""
    nodes, at = np.unique(evidence.superpoints[chosen], return_inverse=True)
    weight = np.bincount(at, weights=evidence.weights[chosen], minlength=len(nodes))
    return nodes, RIDGE / np.minimum(weight, 1.0)


def _among_children(
    kernel: GraphKernel, tree: LabelTree, evidence: Evidence, node: int, children: list[int]
) -> np.ndarray:
    """(S, children) conditional probabilities; rows sum to 1, or to less where all children are denied."""
    child_of = {
        label: next((c for c in children if tree.is_under(label, c)), -1) for label in set(evidence.labels.tolist())
    }
    child = np.array([child_of[label] for label in evidence.labels.tolist()])
    positive = (evidence.signs > 0) & (child >= 0)
    denied = [np.flatnonzero((evidence.signs < 0) & (evidence.labels == c)) for c in children]
    alone = len(children) == 1
    if alone and not len(denied[0]):
        return np.ones((len(kernel), 1), np.float32)
    nodes, noise = _observed(evidence, positive)
    targets = np.full((len(nodes), len(children)), -0.5 if alone else -1 / len(children))
    column = np.array([children.index(c) if c >= 0 else -1 for c in child])
    np.add.at(
        targets, (np.searchsorted(nodes, evidence.superpoints[positive]), column[positive]), evidence.shares[positive]
    )
    score = kernel.regress(nodes, targets, noise)
    for k, rows in enumerate(denied):
        if len(rows):
            score[:, k] = _with_denials(kernel, evidence, rows, nodes, targets[:, k], noise)
    odds = np.exp(SHARPNESS * (score - score.max(axis=1, keepdims=True)))
    rest = np.exp(-SHARPNESS * score.max(axis=1)) if alone else 0.0
    for k, rows in enumerate(denied):
        claimed = evidence.superpoints[positive & (column == k)]
        odds[np.setdiff1d(evidence.superpoints[rows], claimed), k] = 0
    total = odds.sum(axis=1) + rest
    return (odds / np.maximum(total, 1e-30)[:, None]).astype(np.float32)


def _with_denials(
    kernel: GraphKernel, evidence: Evidence, rows: np.ndarray, nodes: np.ndarray, target: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Score of one child from the positive rows and from its negative marks elsewhere, (S,) float32."""
    chosen = np.zeros(len(evidence.labels), bool)
    chosen[rows] = True
    denied, denied_noise = _observed(evidence, chosen)
    # A positive mark of any label in the same superpoint already says what it is.
    new = ~np.isin(denied, nodes)
    every = np.concatenate([nodes, denied[new]])
    values = np.concatenate([target, np.full(int(new.sum()), NEGATIVE_TARGET)])
    return kernel.regress(every, values[:, None], np.concatenate([noise, denied_noise[new]]))[:, 0]


def _commitment(kernel: GraphKernel, tree: LabelTree, evidence: Evidence, node: int) -> np.ndarray | float:
    """How far to go below a group: 1 without marks on the group itself, else by which marks are nearer."""
    positive = evidence.signs > 0
    direct = positive & (evidence.labels == node)
    if node == ROOT or not direct.any():
        return 1.0
    deeper = positive & np.array([label != node and tree.is_under(label, node) for label in evidence.labels.tolist()])
    near_group = kernel.support(*_observed(evidence, direct)) ** 2
    near_child = kernel.support(*_observed(evidence, deeper)) ** 2
    return (near_child / np.maximum(near_child + near_group, SUPPORT_EPSILON)).astype(np.float32)
