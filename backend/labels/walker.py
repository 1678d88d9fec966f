"""A second learner: random walks that also step to look-alikes (Zhu, Ghahramani and Lafferty 2003, on a joint graph).

The graph of superpoints gets edges from every superpoint to those that look most like it, anywhere in the scene. The
walk's kernel then joins look-alikes through chains of look-alikes, which a radial kernel does not: a label carries
further while there are few marks.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from ..surface.surface import Superpoints
from .kernel import GraphKernel

SHIFT = 3e-3  # of the Laplacian
ALIKE = 8  # look-alikes that each superpoint may step to, if it is one of theirs
WIDTH = 3.0  # of the squared distance of mean standardised descriptors
STEPS_ALIKE = 0.5  # weight of all look-alikes together, relative to that of all neighbours
SHARE = 0.4  # of the walk in the joint kernel


class JointKernel(GraphKernel):
    """A scene's kernel joined with its walk; unit diagonal, independent of all marks."""

    def __init__(self, superpoints: Superpoints):
        super().__init__(superpoints)
        self.matrix.lerp_(_walk(superpoints), SHARE)


def _walk(superpoints: Superpoints) -> torch.Tensor:
    """The normalised inverse of the joint graph's Laplacian, (S, S) float32."""
    count = len(superpoints.sizes)
    a, b = superpoints.edges.T
    near = sp.csr_matrix((superpoints.weights.astype(np.float64), (a, b)), shape=(count, count))
    near = near + near.T
    alike = _alike(superpoints)
    alike = alike * (STEPS_ALIKE * near.sum() / max(alike.sum(), 1e-30))
    steps = (near + alike).tocsr()
    scale = sp.diags(1 / np.sqrt(np.maximum(steps.sum(axis=1).A1, 1e-30)))
    system = torch.from_numpy((sp.identity(count) * (1 + SHIFT) - scale @ steps @ scale).toarray().astype(np.float32))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
    norm = inverse.diagonal().clamp(min=1e-12).rsqrt()
    return inverse.mul_(norm[:, None]).mul_(norm[None, :])


def _alike(superpoints: Superpoints) -> sp.csr_matrix:
    """Symmetric affinities between superpoints that are among the ``ALIKE`` most like each other."""
    parts = [part / np.sqrt(part.shape[1]) for part in (superpoints.features, superpoints.embedding) if part.shape[1]]
    rows = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))
    count, each = len(rows), min(ALIKE, len(rows) - 1)
    squared = (rows**2).sum(dim=1)
    distance = (squared[:, None] + squared[None, :]).sub_(2 * rows @ rows.T)
    distance.fill_diagonal_(torch.inf)
    found, at = distance.topk(each, dim=1, largest=False)
    weight = torch.exp(-WIDTH * found.clamp(min=0)).double().numpy().ravel()
    one_way = sp.csr_matrix((weight, (np.repeat(np.arange(count), each), at.numpy().ravel())), shape=(count, count))
    return one_way.minimum(one_way.T)
