"""Agreement of predicted with true label maps: IoU, accuracy, borders, calibration, all by global counts.

Counts of many views are added into one ``Tally`` before anything is divided, so a class that fills one view and is
hardly seen in another weighs by its pixels, as usual in semantic segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BOUNDARY_PIXELS = 2  # how far from a true border a predicted one still counts
BINS = 15  # of confidence, for the calibration error


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


def border(labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(H, W): the label of every pixel with a 4-neighbour of another label, 0 elsewhere; unknown pixels are no border.

    Args:
        labels: (H, W) uids, 0 = none.
        known: (H, W) bool; a border to or from an unknown pixel is not counted.
    """
    on = np.zeros(labels.shape, bool)
    for a, b in (((slice(1, None), slice(None)), (slice(-1), slice(None))), ((..., slice(1, None)), (..., slice(-1)))):
        differ = (labels[a] != labels[b]) & known[a] & known[b]
        on[a] |= differ
        on[b] |= differ
    return np.where(on, labels, 0)


def _matched(some: np.ndarray, others: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) bool: border pixels of ``some`` that have one of ``others`` of the same label within ``radius``."""
    height, width = some.shape
    padded = np.pad(others, radius)
    hit = np.zeros(some.shape, bool)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dx * dx + dy * dy <= radius * radius:
                at = (slice(radius + dy, radius + dy + height), slice(radius + dx, radius + dx + width))
                hit |= some == padded[at]
    return hit & (some != 0)


class Tally:
    """Counts of any number of views, for uids below ``size``."""

    def __init__(self, size: int):
        self.size = size
        self.table = np.zeros((size, size), np.int64)
        self._border = np.zeros((size, 4), np.int64)  # predicted, of them matched, true, of them matched
        self._bins = np.zeros((BINS, 3))  # places, right ones, confidence

    def add(self, truth: np.ndarray, predicted: np.ndarray, confidence: np.ndarray | None = None) -> None:
        """Add one view.

        Args:
            truth: (H, W) uids, 0 = not counted.
            predicted: (H, W) uids, 0 = none.
            confidence: (H, W) float 0..1, None where the predictor has none.
        """
        known = truth != 0
        self.table += confusion(truth[known], predicted[known], self.size)
        true, said = border(truth, known), border(predicted, known)
        for column, (some, others) in enumerate(((said, true), (true, said))):
            matched = _matched(some, others, BOUNDARY_PIXELS)
            self._border[:, 2 * column] += np.bincount(some[some > 0], minlength=self.size)
            self._border[:, 2 * column + 1] += np.bincount(some[matched], minlength=self.size)
        if confidence is not None:
            self._calibrate(confidence[known], truth[known] == predicted[known])

    def _calibrate(self, sure: np.ndarray, right: np.ndarray) -> None:
        at = np.clip((sure * BINS).astype(np.int64), 0, BINS - 1)
        for column, weight in enumerate((None, right.astype(np.float64), sure.astype(np.float64))):
            self._bins[:, column] += np.bincount(at, weight, BINS)

    @property
    def scores(self) -> Scores:
        """IoU, mIoU and accuracy."""
        return from_confusion(self.table)

    @property
    def boundary(self) -> float:
        """Mean over the true classes of the F-score of their borders within ``BOUNDARY_PIXELS`` (Csurka et al. 2013).

        A class that has no border in truth does not count.
        """
        said, said_right, true, true_right = self._border.astype(np.float64).T
        with_border = (true > 0) & (self.table.sum(axis=1) > 0)
        precision = said_right / np.maximum(said, 1)
        recall = true_right / np.maximum(true, 1)
        f = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        return float(f[with_border].mean()) if with_border.any() else 0.0

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error over ``BINS`` equal bins (Guo et al. 2017); None without confidences."""
        places, right, sure = self._bins.T
        if not places.sum():
            return None
        return float(np.abs(right - sure).sum() / places.sum())
