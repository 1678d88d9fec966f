"""How likely a label is right: the posterior's own figures mapped to frequencies that were counted.

The map is fixed: a logistic regression on the log-odds of the largest probability, fitted once on tuning scenes with
known labels, times a factor that falls where no mark reaches, since what is there may have a label that nobody has
used yet (`docs/label_engine.md` has the numbers).
"""

from __future__ import annotations

import numpy as np

OFFSET, OF_ODDS = 1.0, 0.75
HALF_REACH = 0.01  # correlation with the marks at which confidence falls to half
CERTAIN = 1e-3  # probabilities nearer to 0 or 1 than this count as this


def calibrated(largest: np.ndarray) -> np.ndarray:
    """Probability that the likeliest label is right if its place has one of the labels used, float32.

    Args:
        largest: probability that the posterior gives it, any shape.
    """
    largest = np.clip(largest.astype(np.float64), CERTAIN, 1 - CERTAIN)
    return (1 / (1 + np.exp(-OFFSET - OF_ODDS * np.log(largest / (1 - largest))))).astype(np.float32)


def reached(support: np.ndarray) -> np.ndarray:
    """Factor 0..1 that is small where no mark reaches, float32.

    Args:
        support: share of the prior variance that marks explain, 0..1, any shape.
    """
    reach = np.sqrt(np.clip(support, 0, 1))
    return (reach / (reach + HALF_REACH)).astype(np.float32)
