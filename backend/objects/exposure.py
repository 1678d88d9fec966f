"""One gain per photo and channel, so that what several photos show has one colour."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

TO_ONE = 0.01  # weight of a gain of 1, against one pair of photos that agree perfectly
DARK, BRIGHT = 0.004, 0.92  # light; outside of it a photo's values say little
LARGEST = np.log(2.5)
ROBUST = 0.15  # of log light: differences well above it are reflections or mistakes
ROUNDS = 3


def gains(first: np.ndarray, second: np.ndarray, light: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """Solve gains from places that two photos show.

    Least squares on log g_a + log l_a = log g_b + log l_b over all pairs, robust by reweighting, pulled to 1 (Brown
    and Lowe 2007 do so for panoramas). Many pairs of the same two photos count like one each.

    Args:
        first, second: (P,) photo numbers of each pair, 0..count-1. light, other: (P, 3) linear light there.

    Returns:
        (count, 3) float64, 1 for photos without pairs.
    """
    good = ((light > DARK) & (light < BRIGHT) & (other > DARK) & (other < BRIGHT)).all(axis=1) & (first != second)
    first, second = first[good], second[good]
    if not len(first):
        return np.ones((count, 3))
    steps = np.log(light[good].astype(np.float64)) - np.log(other[good].astype(np.float64))
    found = np.zeros((count, 3))
    for channel in range(3):
        for _ in range(ROUNDS):
            rest = found[first, channel] - found[second, channel] + steps[:, channel]
            weight = 1.0 / (1.0 + (rest / ROBUST) ** 2)
            found[:, channel] = _solved(first, second, steps[:, channel], weight, count)
    return np.exp(found.clip(-LARGEST, LARGEST))


def _solved(first: np.ndarray, second: np.ndarray, step: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """(count,) x with the least weighted squares of x[first] - x[second] + step, and TO_ONE of x."""
    rows = np.concatenate([first, second, first, second])
    columns = np.concatenate([first, second, second, first])
    values = np.concatenate([weight, weight, -weight, -weight])
    normal = sparse.csc_matrix((values, (rows, columns)), shape=(count, count))
    total = normal.diagonal()
    pull = TO_ONE * np.maximum(total, np.median(total[total > 0]))
    right = np.bincount(second, weight * step, count) - np.bincount(first, weight * step, count)
    return spsolve(normal + sparse.diags(pull, format="csc"), right)
