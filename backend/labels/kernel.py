"""The prior covariance of a scene's superpoints: graph kernels joined with kernels on what they look like.

Unit diagonal, so that the entry between two superpoints is the correlation of their labels before any mark. Parts:
diffusion on the graph of superpoints (Smola and Kondor 2003: the regularised Laplacian's inverse) at a far and at a
near reach, likeness of the superpoints, of the objects that enclose them, and being in the same object hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch

from ..surface.prior import Mixture, Prior, shipped
from ..surface.surface import Superpoints

SHIFTS = (3e-3, 3e-2)  # of the Laplacian: far and near reach
PARTS = (0.5, 0.25, 0.08, 0.08, 0.1, 0.05, 0.05)  # by hand, in the order of ``Mixture.parts``
WIDTH = 3.0  # by hand: of the squared mean difference of standardised descriptors
NEARBY = 1.0  # metres
LEAF = 256  # superpoints below which a part of the system is inverted as it is


class _Dense:
    """Regression with a dense (S, S) float32 kernel of unit diagonal."""

    matrix: torch.Tensor

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


class LocalKernel(_Dense):
    """The diffusion alone: what a mark teaches that is to stay on its piece."""

    def __init__(self, matrix: torch.Tensor):
        self.matrix = matrix


class GraphKernel(_Dense):
    """The kernel of a scene; independent of all marks.

    Attributes:
        local: the diffusion part alone, with the same methods.
    """

    def __init__(self, superpoints: Superpoints, prior: Callable[[], Prior | None] = shipped):
        learned = prior()
        mixture = learned.mixture if learned is not None and learned.mixture is not None else by_hand(superpoints)
        parts = mixture.parts.tolist()
        far, near = (diffusion(superpoints, shift) for shift in SHIFTS)
        self.matrix = _radial(superpoints.features * mixture.feature_scales)
        places = superpoints.centers - superpoints.centers.mean(axis=0)
        nearby = _radial(places * np.float32(1 / (np.sqrt(2) * NEARBY)))
        self.matrix.mul_(nearby.mul_(parts[3]).add_(parts[2]))
        self.matrix.add_(_radial(superpoints.embedding * mixture.object_scales, out=nearby), alpha=parts[4])
        for ids, weight in zip(superpoints.objects.T, parts[5:], strict=True):
            index = torch.from_numpy(np.ascontiguousarray(ids))
            self.matrix.add_(index[:, None] == index[None, :], alpha=weight)
        spread = far.mul_(parts[0]).add_(near, alpha=parts[1])
        self.matrix.add_(spread).div_(sum(parts))
        self.local = LocalKernel(spread.div_(parts[0] + parts[1]))


def by_hand(superpoints: Superpoints) -> Mixture:
    """The mixture without a prior."""
    features, embedding = superpoints.features.shape[1], superpoints.embedding.shape[1]
    return Mixture(
        np.array(PARTS, np.float32),
        np.full(features, np.sqrt(WIDTH / features), np.float32),
        np.full(embedding, np.sqrt(WIDTH / embedding), np.float32),
    )


def _radial(points: np.ndarray, out: torch.Tensor | None = None) -> torch.Tensor:
    """exp(-squared distance) between the rows of (S, D), (S, S) float32."""
    rows = torch.from_numpy(points.astype(np.float32))
    squared = (rows**2).sum(dim=1)
    product = torch.mm(rows, rows.T, out=out)
    return product.mul_(2).sub_(squared[:, None]).sub_(squared[None, :]).clamp_(max=0).exp_()


def diffusion(superpoints: Superpoints, shift: float) -> torch.Tensor:
    """The normalised inverse of the graph's normalised Laplacian plus ``shift``, (S, S) float32."""
    count = len(superpoints.sizes)
    a, b = superpoints.edges.T
    affinity = sp.csr_matrix((superpoints.weights.astype(np.float64), (a, b)), shape=(count, count))
    affinity = affinity + affinity.T
    scale = sp.diags(1 / np.sqrt(np.maximum(affinity.sum(axis=1).A1, 1e-30)))
    system = (sp.identity(count) * (1 + shift) - scale @ affinity @ scale).tocsr().astype(np.float32)
    inverse, order = _inverse(system, superpoints.centers, np.arange(count))
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    norm = inverse.diagonal().clamp(min=1e-12).rsqrt()
    inverse.mul_(norm[:, None]).mul_(norm[None, :])
    place = torch.from_numpy(place)
    return inverse[place][:, place]


def _inverse(system: sp.csr_matrix, centers: np.ndarray, nodes: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """The dense inverse of the rows and columns ``nodes`` of a sparse positive definite matrix, and its order of nodes.

    Nested dissection (George 1973): a cut through the middle leaves two halves that only a thin separator joins, so
    the inverse is that of the halves plus a correction whose rank is the separator's size.
    """
    if len(nodes) <= LEAF:
        return torch.cholesky_inverse(torch.linalg.cholesky(_dense(system, nodes, nodes))), nodes
    points = centers[nodes]
    axis = int(np.ptp(points, axis=0).argmax())
    rank = np.argsort(points[:, axis], kind="stable")
    right = np.sort(nodes[rank[len(nodes) // 2 :]])
    left = np.sort(nodes[rank[: len(nodes) // 2]])
    touching = np.diff(system[left][:, right].indptr) > 0
    middle, left = left[touching], left[~touching]
    if not len(left):  # too densely joined to be cut
        return torch.cholesky_inverse(torch.linalg.cholesky(_dense(system, nodes, nodes))), nodes
    halves = [_inverse(system, centers, half) for half in (left, right)]
    order = np.concatenate([halves[0][1], halves[1][1], middle])
    found = torch.zeros(len(order), len(order))
    inner = len(order) - len(middle)
    spread = torch.cat([inverse @ _dense(system, half, middle) for inverse, half in halves])
    found[: len(left), : len(left)] = halves[0][0]
    found[len(left) : inner, len(left) : inner] = halves[1][0]
    if not len(middle):
        return found, order
    coupling = _dense(system, order[:inner], middle)
    schur = torch.linalg.cholesky(_dense(system, middle, middle) - coupling.T @ spread)
    corner = torch.cholesky_inverse(schur)
    back = spread @ corner
    found[:inner, :inner].addmm_(back, spread.T)
    found[:inner, inner:] = -back
    found[inner:, :inner] = -back.T
    found[inner:, inner:] = corner
    return found, order


def _dense(system: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(system[rows][:, columns].toarray())
