"""A simulated user on a scan with known labels: one click per class, then a click in the largest mistake."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backend.labels.placement import PlacedMark
from backend.surface.features import averaging_matrix, components, mesh_edges
from backend.surface.surface import Surface

IGNORED = 0  # true uid of vertices that nobody asks about
EROSION_ROUNDS = 12
LARGEST = 8  # blobs looked at

Predict = Callable[[Sequence[PlacedMark]], np.ndarray]  # marks to (V,) uids


class Robot:
    """Clicks as a patient person would: into the middle of the largest blob that matters.

    Args:
        surface: the scan.
        truth: (V,) true uids.
        seed: of the choice among the larger mistakes.
    """

    def __init__(self, surface: Surface, truth: np.ndarray, seed: int = 0):
        self._surface, self._truth = surface, truth
        self._edges = mesh_edges(surface.faces, len(truth))
        self._average = averaging_matrix(self._edges, len(truth))
        self._rim = _open_rim(surface.faces, len(truth))
        self._random = np.random.default_rng(seed)
        self.marks: list[PlacedMark] = []

    def first_clicks(self) -> list[PlacedMark]:
        """One click for every class, inside its largest blob."""
        for uid in np.unique(self._truth[self._truth != IGNORED]).tolist():
            self._click(self._blobs(self._truth == uid)[0])
        return self.marks

    def correct(self, labels: np.ndarray, among: int = 3) -> bool:
        """Click one of the ``among`` largest connected mistakes of one true class; False when there is none."""
        blobs = self._blobs((labels != self._truth) & (self._truth != IGNORED))
        if not blobs:
            return False
        self._click(blobs[self._random.integers(min(among, len(blobs)))])
        return True

    def _blobs(self, chosen: np.ndarray) -> list[np.ndarray]:
        """Connected vertices of one true class among the chosen, largest first."""
        a, b = self._edges.T
        joined = self._edges[chosen[a] & chosen[b] & (self._truth[a] == self._truth[b])]
        ids = components(joined, len(chosen))
        size = np.bincount(ids[chosen]) if chosen.any() else np.zeros(0, np.int64)
        order = np.argsort(-size, kind="stable")[:LARGEST]
        return [np.flatnonzero((ids == blob) & chosen) for blob in order.tolist() if size[blob]]

    def _click(self, blob: np.ndarray) -> None:
        """Mark the vertex of the blob that is farthest from its rim, roughly: the last to fade when it erodes."""
        inside = np.zeros(len(self._truth), np.float32)
        inside[blob] = 1
        # The scan's own rim erodes too: a person clicks into the middle of what is seen of the floor.
        mask = np.where(self._rim, np.float32(0.5), inside) * inside
        for _ in range(EROSION_ROUNDS):
            inside = (self._average @ inside) * mask
        vertex = int(blob[inside[blob].argmax()])
        vertices = np.array([vertex], np.int64)
        label = int(self._truth[vertex])
        self.marks.append(PlacedMark(len(self.marks) + 1, label, 1, vertices, self._surface.vertices[vertices]))


def _open_rim(faces: np.ndarray, count: int) -> np.ndarray:
    """Vertices (count,) bool at edges that only one triangle has."""
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64), axis=1)
    keys, times = np.unique(pairs[:, 0] * count + pairs[:, 1], return_counts=True)
    rim = np.zeros(count, bool)
    single = keys[times == 1]
    rim[single // count] = True
    rim[single % count] = True
    return rim


def clicks_to_scores(
    robot: Robot, predict: Predict, score: Callable[[np.ndarray], float], budgets: Sequence[int]
) -> dict[int, float]:
    """Play the robot against a predictor; {number of clicks: score} for one click per class and each budget."""
    robot.first_clicks()
    labels = predict(robot.marks)
    found = {len(robot.marks): score(labels)}
    while len(robot.marks) < max(budgets) and robot.correct(labels):
        labels = predict(robot.marks)
        if len(robot.marks) in budgets:
            found[len(robot.marks)] = score(labels)
    return found
