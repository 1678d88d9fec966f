"""Losses of the field: plain functions of tensors, each a mean over its points (0 for none)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def band_loss(sdf: Tensor, target: Tensor, truncation: float) -> Tensor:
    """L1 of signed distances (P,) in the truncation band, in units of the truncation; metres in.

    A target at the truncation is a truncated one: distances beyond it are no error.
    """
    error = sdf - target
    beyond = (target.abs() >= 0.99 * truncation) & (error * target > 0)
    return (torch.where(beyond, 0.0, error.abs()) / truncation).sum() / max(len(sdf), 1)


def free_space_loss(sdf: Tensor, least: Tensor, most: Tensor, truncation: float) -> Tensor:
    """Hinge in observed free space: nothing between ``least`` and ``most`` is punished.

    After the free-space term of iSDF: the distance along the ray to the measured surface bounds the distance to the
    nearest surface from above.

    Args:
        sdf, least, most: (P,) metres.
    """
    below, above = functional.relu(least - sdf), functional.relu(sdf - most)
    return ((below + above) / truncation).sum() / max(len(sdf), 1)


def color_loss(color: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """L1 of colours (P, 3) in 0..1 over the points where ``valid`` (P,)."""
    error = (color - target).abs().mean(dim=1)
    return (error * valid).sum() / valid.sum().clamp(min=1)


def feature_loss(features: Tensor, target: Tensor) -> Tensor:
    """L1 to image features (P, D): "Baking in the Feature", Equation 11."""
    return (features - target).abs().sum() / max(features.numel(), 1)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy to a teacher's distribution.

    Args:
        logits, target: (P, C); rows of ``target`` sum to at most 1 (a row of zeros teaches nothing).
    """
    return -(target * functional.log_softmax(logits, dim=1)).sum() / max(len(logits), 1)


def mark_loss(logits: Tensor, targets: Tensor, signs: Tensor, weights: Tensor) -> Tensor:
    """What the person said: cross-entropy for "this" and -log(1 - p) for "not this".

    Args:
        logits: (M, C).
        targets: (M,) int64 columns.
        signs: (M,) 1 or -1.
        weights: (M,) of ``balanced_weights``; the loss is the weighted sum.
    """
    log_p = functional.log_softmax(logits, dim=1).gather(1, targets[:, None])[:, 0]
    # log(1 - p), finite with a finite gradient for p -> 1
    log_not = torch.log1p(-log_p.exp().clamp(max=1 - 1e-5))
    return -(weights * torch.where(signs > 0, log_p, log_not)).sum()


def balanced_weights(targets: Tensor, signs: Tensor) -> Tensor:
    """Weights (M,) that sum to 1 and give each class of each sign the same share, however often it was marked."""
    if not len(targets):
        return torch.zeros(0, device=targets.device)
    groups = targets * 2 + (signs > 0)
    _, inverse, counts = torch.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / (counts[inverse] * len(counts))
