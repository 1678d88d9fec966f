"""Agreement of predicted with true labels: confusion matrix, IoU per class, mIoU, accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Scores over all places whose truth is known."""

    uids: np.ndarray  # (C,) true classes present, ascending
    iou: np.ndarray  # (C,) float64 intersection over union
    miou: float  # their mean
    accuracy: float  # part of the places that are right
    places: int


def confusion(truth: np.ndarray, predicted: np.ndarray, size: int) -> np.ndarray:
    """Counts (size, size) int64: rows are true, columns predicted uids, all below ``size``."""
    flat = truth.ravel().astype(np.int64) * size + predicted.ravel()
    return np.bincount(flat, minlength=size * size).reshape(size, size)


def scores(truth: np.ndarray, predicted: np.ndarray, ignore: int = 0) -> Scores:
    """Scores of label maps of any (equal) shape; places whose truth is ``ignore`` do not count.

    A class that is predicted but nowhere true lowers the IoU of the classes that it takes from and has none of its
    own. Raises ValueError for shapes that differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} differ in shape")
    known = truth != ignore
    truth, predicted = truth[known], predicted[known]
    if not len(truth):
        return Scores(np.zeros(0, np.int64), np.zeros(0), 0.0, 0.0, 0)
    table = confusion(truth, predicted, int(max(truth.max(), predicted.max())) + 1)
    return from_confusion(table)


def from_confusion(table: np.ndarray) -> Scores:
    """Scores of a confusion matrix that several views were added into."""
    right, true = np.diag(table).astype(np.float64), table.sum(axis=1)
    uids = np.flatnonzero(true)
    union = true + table.sum(axis=0) - np.diag(table)
    iou = right[uids] / np.maximum(union[uids], 1)
    total = int(table.sum())
    return Scores(uids, iou, float(iou.mean()) if len(iou) else 0.0, float(right.sum() / max(total, 1)), total)
