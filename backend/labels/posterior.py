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
FEATURE_WEIGHT = 0.2  # of looking alike anywhere, and again of looking alike nearby
NEARBY = 1.0  # metres
FEATURE_WIDTH = 3.0
RIDGE = 0.02
SHARPNESS = 8.0  # of the softmax over scores relative to how much a superpoint is reached by marks at all
REACHED = 0.1  # scores shrink with the distance from marks; below this reach they are taken as they are
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
        alike = _radial(superpoints.features * np.sqrt(FEATURE_WIDTH / superpoints.features.shape[1]))
        nearby = _radial((superpoints.centers - superpoints.centers.mean(axis=0)) / (np.sqrt(2) * NEARBY))
        alike.mul_(nearby.add_(1))
        self.matrix = diffusion.add_(alike, alpha=FEATURE_WEIGHT).div_(1 + 2 * FEATURE_WEIGHT)

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


def _radial(points: np.ndarray) -> torch.Tensor:
    """exp(-squared distance) between the rows of (S, D), (S, S) float32."""
    rows = torch.from_numpy(points.astype(np.float32))
    squared = (rows**2).sum(dim=1)
    product = rows @ rows.T
    return product.mul_(2).sub_(squared[:, None]).sub_(squared[None, :]).clamp_(max=0).exp_()


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
    support = kernel.support(*_observed(evidence, positive))
    for node, children in below.items():
        conditional = _among_children(kernel, tree, evidence, children, support if node == ROOT else None)
        commit = _commitment(kernel, tree, evidence, node)
        for k, child in enumerate(children):
            mass[child] = mass[node] * commit * conditional[:, k]
        if node in column:
            probability[:, column[node]] = mass[node] * (1 - commit * conditional.sum(axis=1))
    for uid, k in column.items():
        if uid not in below:
            probability[:, k] = mass[uid]
    return Posterior(uids, probability, support)


def _observed(evidence: Evidence, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct superpoints of the chosen rows, ascending, and their noise: a stroke's parts weigh less each."""
    nodes, at = np.unique(evidence.superpoints[chosen], return_inverse=True)
    weight = np.bincount(at, weights=evidence.weights[chosen], minlength=len(nodes))
    return nodes, RIDGE / np.minimum(weight, 1.0)


def _among_children(
    kernel: GraphKernel, tree: LabelTree, evidence: Evidence, children: list[int], support: np.ndarray | None
) -> np.ndarray:
    """(S, children) conditional probabilities; rows sum to 1, or to less where all children are denied.

    ``support`` (S,) is that of all positive marks at or under the children, where it is known already.
    """
    labels, at = np.unique(evidence.labels, return_inverse=True)
    under = [[k for k, child in enumerate(children) if tree.is_under(label, child)] for label in labels.tolist()]
    column = np.array([found[0] if found else -1 for found in under])[at]
    positive = (evidence.signs > 0) & (column >= 0)
    denied = [np.flatnonzero((evidence.signs < 0) & (evidence.labels == c)) for c in children]
    alone = len(children) == 1
    if alone and not len(denied[0]):
        return np.ones((len(kernel), 1), np.float32)
    nodes, noise = _observed(evidence, positive)
    targets = np.full((len(nodes), len(children)), -0.5 if alone else -1 / len(children))
    rows = np.searchsorted(nodes, evidence.superpoints[positive])
    np.add.at(targets, (rows, column[positive]), evidence.shares[positive])
    score = kernel.regress(nodes, targets, noise)
    support = kernel.support(nodes, noise) if support is None else support
    sharpness = SHARPNESS / (np.sqrt(support) + REACHED)
    for k, rows in enumerate(denied):
        if len(rows):
            score[:, k] = _with_denials(kernel, evidence, rows, nodes, targets[:, k], noise)
    odds = np.exp(sharpness[:, None] * (score - score.max(axis=1, keepdims=True)))
    rest = np.exp(-sharpness * score.max(axis=1)) if alone else 0.0
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
