"""The labels of one state of the document, and what the person should be told about its marks.

Everything here is a function of scene and document, so that a fresh process says the same as one that has come to the
same document by another way; what is remembered only saves time.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from .captures.capture import Capture
from .labels.engine import LabelEngine
from .labels.placement import PlacedMark, place_marks
from .labels.prediction import Prediction
from .labels.tree import LabelTree
from .surface.surface import Surface

POSTERIORS_KEPT = 6  # the document at hand, the one before it, and what undo comes back to
STARTLING = 0.06  # share of the surface that one mark may change without a word


@dataclass(frozen=True)
class Status:
    """What the backend is doing, as a person is told. ``total`` is the number of steps to come to an end, 0 if none."""

    state: str = "idle"
    text: str = "No capture is open"
    steps: int = 0
    loss: float | None = None
    device: str = "cpu"
    settled: bool = True
    total: int = 0

    def as_dict(self) -> dict:
        """For the stream."""
        return asdict(self)


@dataclass(frozen=True)
class Surprise:
    """The newest mark changes more than the person may have meant."""

    mark: int
    share: float  # of the surface's vertices
    sentence: str


@dataclass(frozen=True)
class Labelling:
    """The labels of one state of the document."""

    revision: int
    stage: str  # "posterior" at the click, "settled" once the field has learnt it
    labels: np.ndarray  # (V,) uint16 uids, 0 = unlabelled
    confidence: np.ndarray  # (V,) float32 0..1
    classes: list[int]
    marks: tuple[PlacedMark, ...]
    shares: dict[int, float]  # of the surface's vertices
    unsettled: float  # share of the surface whose confidence is low
    contradictions: tuple[tuple[int, int], ...] = ()  # (id of the mark that won, id of the one that it overruled)
    warning: Surprise | None = None


def labelling(revision: int, stage: str, prediction: Prediction, marks: tuple[PlacedMark, ...]) -> Labelling:
    """A prediction as the answer to a document."""
    return Labelling(
        revision=revision,
        stage=stage,
        labels=prediction.labels,
        confidence=prediction.confidence,
        classes=[int(uid) for uid in prediction.uids],
        marks=marks,
        shares=prediction.share(),
        unsettled=prediction.unsettled,
        contradictions=tuple(prediction.contradictions),
    )


def content(document: dict) -> str:
    """A digest of what a document teaches, whatever its revision, the order of its marks, names, colours, muted marks
    and the instances that marks name: those only say which parts of a label are one thing."""
    taught = ({**mark, "instance": 0} for mark in document["marks"] if not mark["muted"])
    marks = sorted(taught, key=lambda mark: mark["id"])
    tree = [[node["uid"], node["parent"], node["kind"]] for node in document["tree"]]
    text = json.dumps([document["method"], tree, marks], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Posteriors:
    """The closed-form posterior of documents; those asked for last are remembered.

    Args:
        capture: where the frames that marks name are looked up.
    """

    def __init__(self, engine: LabelEngine, capture: Capture, surface: Surface):
        self.surface, self.superpoints = surface, engine.superpoints
        self._engine, self._capture = engine, capture
        self._kept: OrderedDict[str, tuple[tuple[PlacedMark, ...], Prediction]] = OrderedDict()

    def of(self, document: dict) -> tuple[tuple[PlacedMark, ...], Prediction]:
        """Where the marks of a checked document lie, and the prediction from those that could be placed."""
        key = content(document)
        if key not in self._kept:
            marks = tuple(place_marks(document, self._capture, self.surface))
            tree = LabelTree.from_document(document)
            self._kept[key] = marks, self._engine.predict(tree, [mark for mark in marks if mark.problem is None])
        self._kept.move_to_end(key)
        while len(self._kept) > POSTERIORS_KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def warning(self, document: dict) -> Surprise | None:
        """What the newest mark changes, if that is startlingly much: the document against the same without the mark.

        The newest mark is the one with the highest id. The first positive mark of a label is expected to change much.
        """
        newest = max(document["marks"], key=lambda mark: mark["id"], default=None)
        if newest is None or newest["muted"] or _first_of_its_label(newest, document["marks"]):
            return None
        rest = {**document, "marks": [mark for mark in document["marks"] if mark is not newest]}
        before, after = self.of(rest)[1].labels, self.of(document)[1].labels
        share = float((before != after).mean()) if len(after) else 0.0
        if share <= STARTLING:
            return None
        name = next(node["name"] for node in document["tree"] if node["uid"] == newest["label"])
        said = name if newest["sign"] > 0 else f"not {name}"
        return Surprise(newest["id"], share, f"Mark {newest['id']} ({said}) changes {share:.0%} of the scan.")

    def uncertainty(self, document: dict, measure: str, level: int) -> np.ndarray:
        """How unsure the labels are, (V,) float32 0..1; 1 everywhere before the first mark.

        One label alone has nothing to be mistaken for, so there it is the distance from its marks that counts.

        Args:
            measure: one of ``queries.MEASURES``.
            level: of the tree; 0 for the labels themselves.
        """
        prediction = self.of(document)[1]
        if len(prediction.uids) == 1:
            return 1 - prediction.confidence
        return prediction.uncertainty(measure, LabelTree.from_document(document), level)

    def effects(self, document: dict, progress: Callable[[float, str], None]) -> dict[int, float]:
        """Share of the surface that changes when a mark is muted, for every mark that teaches something."""
        marks, _ = self.of(document)
        placed = [mark for mark in marks if mark.problem is None]
        tree = LabelTree.from_document(document)
        return self._engine.effects(tree, placed, lambda fraction: progress(fraction, "Weighing the marks"))


def _first_of_its_label(mark: dict, marks: list[dict]) -> bool:
    others = (other for other in marks if other is not mark and other["label"] == mark["label"])
    return mark["sign"] > 0 and not any(other["sign"] > 0 and not other["muted"] for other in others)
