"""What is measured: everything that turns marks on the scan into labels, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..labels.engine import LabelEngine
from ..labels.placement import PlacedMark
from ..labels.queries import MEASURES
from ..labels.tree import LabelTree
from ..surface.surface import Superpoints, Surface


@dataclass(frozen=True)
class Answer:
    """Labels of all vertices, and how sure they are where the engine can tell."""

    labels: np.ndarray  # (V,) uint16 uids, 0 = none
    confidence: np.ndarray | None = None  # (V,) float32 0..1
    uncertainty: Callable[[str], np.ndarray] | None = None  # measure to (V,) float32, larger = less sure


def from_probability(uids: np.ndarray, probability: np.ndarray, ids: np.ndarray | None = None) -> Answer:
    """The likeliest label per vertex.

    Args:
        uids: (C,) of the columns, at least one.
        probability: (V, C), or (S, C) with ``ids`` (V,), the row of each vertex; rows sum to at most 1.
    """
    rows = slice(None) if ids is None else ids
    labels = np.asarray(uids)[probability.argmax(axis=1)].astype(np.uint16)
    return Answer(
        labels[rows],
        probability.max(axis=1).astype(np.float32)[rows],
        lambda measure: MEASURES[measure](probability)[rows],
    )


class Engine:
    """Turns marks into labels. ``update`` is what a person sees at the click; ``settled`` what stands a while later."""

    name = ""
    photo = False  # whether its label maps of captured frames are sharpened by their photos

    def start(self) -> None:
        """A new user begins: forget what earlier marks taught. Engines whose labels follow from the marks need not."""

    def update(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """Labels for a checked document whose marks were placed (those with a problem are still among them)."""
        raise TypeError(f"{type(self).__name__} cannot label")

    def settled(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """Labels when all background work on the document is done; by default those of ``update``."""
        return self.update(document, marks)

    def close(self) -> None:
        """Let go of what the engine holds."""


class GraphEngine(Engine):
    """The closed-form posterior alone, as shown at the click."""

    name = "graph"

    def __init__(self, surface: Surface, superpoints: Superpoints):
        self.engine = LabelEngine(surface, superpoints)

    def update(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """See ``Engine``."""
        tree = LabelTree.from_document(document)
        found = self.engine.predict(tree, [mark for mark in marks if mark.problem is None])

        return Answer(
            found.labels,
            found.confidence,
            lambda measure: found.uncertainty(measure, tree),
        )


def taught(marks: Sequence[PlacedMark]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N,) and labels (N,) of the positive marks that could be placed, in the order of their ids.

    What baselines without a notion of "not this" learn from.
    """
    good = sorted((m for m in marks if m.problem is None and m.sign > 0), key=lambda mark: mark.id)
    vertices = [mark.vertices for mark in good]
    labels = [np.full(len(mark.vertices), mark.label, np.int64) for mark in good]
    if not good:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(vertices), np.concatenate(labels)
