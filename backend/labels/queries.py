"""Where a mark would teach most: uncertainty of a class distribution (iLabel, eq. 3 and its alternatives), and the
draw of the next question from it (iLabel, section 3.2).

The measures take probabilities (..., C) whose last axis sums to at most 1 and return (...) float32, larger where
the prediction is less certain.
"""

from __future__ import annotations

from collections.abc import Callable

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


MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "entropy": entropy,
    "least-confidence": least_confidence,
    "margin": margin,
}


def draw_query(frames: np.ndarray, worth: np.ndarray, areas: np.ndarray, top: float, seed: int) -> int | None:
    """Draw a keyframe by its accumulated uncertainty, then one of its most uncertain pixels.

    Args:
        frames: (P,) int, ascending: the keyframe of every pixel whose geometry is sure.
        worth: (P,) uncertainty there, >= 0; 0 where nothing shall be asked (near marks and skipped places).
        areas: (F,) pixels of each keyframe, those with unsure geometry included.
        top: part of a keyframe's pixels among which one is drawn, 0.01 or 0.05 in the paper.
        seed: the same arguments give the same answer.

    Returns:
        The position of the drawn pixel in ``frames``; None when nothing is worth a question.
    """
    weight = np.bincount(frames, worth, minlength=len(areas))
    if not weight.any():
        return None
    random = np.random.default_rng(seed)
    frame = int(random.choice(len(weight), p=weight / weight.sum()))
    start, end = np.searchsorted(frames, [frame, frame + 1])
    here = worth[start:end]
    count = min(max(round(top * int(areas[frame])), 1), int((here > 0).sum()))
    least = np.partition(here, -count)[-count]
    return int(start + random.choice(np.flatnonzero(here >= least)))
