"""The prior covariance of a scene's superpoints: a graph kernel joined with kernels on what they look like."""

from __future__ import annotations

import numpy as np
import torch

from ..surface.surface import Superpoints

LAPLACIAN_SHIFT = 3e-3
FEATURE_WEIGHT = 0.2  # of looking alike anywhere, and again of looking alike nearby
NEARBY = 1.0  # metres
FEATURE_WIDTH = 3.0


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
