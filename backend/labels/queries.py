"""Where a mark would teach most: uncertainty of a class distribution (iLabel, eq. 3 and its alternatives).

All functions take probabilities (..., C) whose last axis sums to at most 1 and return (...) float32, larger where
the prediction is less certain.
"""

from __future__ import annotations

import numpy as np


def entropy(probability: np.ndarray) -> np.ndarray:
    """Shannon entropy divided by log C, 0..1; what is missing to a sum of 1 counts as one more class."""
    rest = np.maximum(1 - probability.sum(axis=-1, keepdims=True), 0)
    full = np.concatenate([probability, rest], axis=-1).astype(np.float64)
    terms = np.where(full > 0, full * np.log(np.maximum(full, 1e-300)), 0.0)
    return (-terms.sum(axis=-1) / np.log(max(probability.shape[-1], 2))).astype(np.float32)


def least_confidence(probability: np.ndarray) -> np.ndarray:
    """1 minus the largest probability; 1 where there is no class at all."""
    if probability.shape[-1] == 0:
        return np.ones(probability.shape[:-1], np.float32)
    return (1 - probability.max(axis=-1)).astype(np.float32)


def margin(probability: np.ndarray) -> np.ndarray:
    """1 minus the lead of the best class over the second best."""
    if probability.shape[-1] < 2:
        return least_confidence(probability)
    two = np.partition(probability, -2, axis=-1)[..., -2:]
    return (1 - (two[..., 1] - two[..., 0])).astype(np.float32)
