"""Closed-form label posterior over superpoints: Gaussian-process regression with a graph and a feature kernel.

The kernel is the normalised inverse of the regularised graph Laplacian (diffusion: the same thing continues until a
boundary) plus a radial basis function on descriptors (things that look alike). At every inner node of the label tree
one regression tells its children apart, so a mark conditions only the nodes above it. A single label has nothing to be
told apart from but the rest of the scene: its regression has a negative mean, so that it ends where its thing ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .kernel import GraphKernel
from .tree import ROOT, LabelTree

RIDGE = 0.02
SHARPNESS = 8.0  # of the softmax over scores relative to how much a superpoint is reached by marks at all
REACHED = 0.1  # scores shrink with the distance from marks; below this reach they are taken as they are
NEGATIVE_TARGET = -0.5
ELSEWHERE = -0.05  # score of a single label far from its marks: most of a scene is something else
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


def posterior(kernel: GraphKernel, tree: LabelTree, evidence: Evidence, support: np.ndarray | None = None) -> Posterior:
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
    support = kernel.support(*_observed(evidence, positive)) if support is None else support
    far = ELSEWHERE if len(uids) == 1 else 0.0
    for node, children in below.items():
        known = support if node == ROOT else None
        conditional = _among_children(kernel, tree, evidence, children, known, far if node == ROOT else 0.0)
        commit = _commitment(kernel, tree, evidence, node, children)
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
    kernel: GraphKernel,
    tree: LabelTree,
    evidence: Evidence,
    children: list[int],
    support: np.ndarray | None,
    far: float,
) -> np.ndarray:
    """(S, children) conditional probabilities; rows sum to 1, or to less where all children are denied.

    ``support`` (S,) is that of all positive marks at or under the children, where it is known already; ``far`` is the
    score that the only child has before any mark, negative when it is to end somewhere.
    """
    labels, at = np.unique(evidence.labels, return_inverse=True)
    under = [[k for k, child in enumerate(children) if tree.is_under(label, child)] for label in labels.tolist()]
    column = np.array([found[0] if found else -1 for found in under])[at]
    positive = (evidence.signs > 0) & (column >= 0)
    denied = [np.flatnonzero((evidence.signs < 0) & (evidence.labels == c)) for c in children]
    alone = len(children) == 1
    if alone and not len(denied[0]) and not far:
        return np.ones((len(kernel), 1), np.float32)
    nodes, noise = _observed(evidence, positive)
    rows = np.searchsorted(nodes, evidence.superpoints[positive])
    claims = np.zeros((len(nodes), len(children)))
    np.add.at(claims, (rows, column[positive]), evidence.shares[positive])
    targets = claims - (0.5 if alone else 1 / len(children))
    score = kernel.regress(nodes, targets - far, noise) + far
    support = kernel.support(nodes, noise) if support is None else support
    sharpness = SHARPNESS / (np.sqrt(support) + REACHED)
    for k, rows in enumerate(denied):
        if len(rows):
            score[:, k] = _with_denials(kernel, evidence, rows, nodes, targets[:, k], noise, far)
    odds = np.exp(sharpness[:, None] * (score - score.max(axis=1, keepdims=True)))
    rest = np.exp(-sharpness * score.max(axis=1)) if alone else 0.0
    for k, rows in enumerate(denied):
        claimed = evidence.superpoints[positive & (column == k)]
        odds[np.setdiff1d(evidence.superpoints[rows], claimed), k] = 0
    total = odds.sum(axis=1) + rest
    return (odds / np.maximum(total, 1e-30)[:, None]).astype(np.float32)


def _with_denials(
    kernel: GraphKernel,
    evidence: Evidence,
    rows: np.ndarray,
    nodes: np.ndarray,
    target: np.ndarray,
    noise: np.ndarray,
    far: float,
) -> np.ndarray:
    """Score of one child from the positive rows and from its negative marks elsewhere, (S,) float32."""
    chosen = np.zeros(len(evidence.labels), bool)
    chosen[rows] = True
    denied, denied_noise = _observed(evidence, chosen)
    # A positive mark of any label in the same superpoint already says what it is.
    new = ~np.isin(denied, nodes)
    every = np.concatenate([nodes, denied[new]])
    values = np.concatenate([target, np.full(int(new.sum()), NEGATIVE_TARGET)])
    return kernel.regress(every, values[:, None] - far, np.concatenate([noise, denied_noise[new]]))[:, 0] + far


def _commitment(
    kernel: GraphKernel, tree: LabelTree, evidence: Evidence, node: int, children: list[int]
) -> np.ndarray | float:
    """How far to go below a group.

    A mark on the group says "somewhere under it": it decides for the group and leaves open which child it is. So once
    marks tell two children apart, they divide all of the group. While only one child is known, it takes what its own
    marks are nearer to than the group's.
    """
    positive = evidence.signs > 0
    direct = positive & (evidence.labels == node)
    if node == ROOT or len(children) > 1 or not direct.any():
        return 1.0
    deeper = positive & np.array([label != node and tree.is_under(label, node) for label in evidence.labels.tolist()])
    near_group = kernel.support(*_observed(evidence, direct)) ** 2
    near_child = kernel.support(*_observed(evidence, deeper)) ** 2
    return (near_child / np.maximum(near_child + near_group, SUPPORT_EPSILON)).astype(np.float32)
