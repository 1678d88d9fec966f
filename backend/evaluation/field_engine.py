"""The field alone: taught by the posterior and the marks, or by the marks alone as iLabel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..captures.capture import Capture
from ..field.sampling import PointSampler, build_pool
from ..field.training import FieldTrainer, Marks, new_field
from ..labels.engine import LabelEngine
from ..labels.marks_only import MarksOnlyField
from ..labels.placement import PlacedMark
from ..labels.tree import LabelTree
from ..surface.fusion import fuse
from ..surface.surface import Superpoints, Surface
from .baselines import nothing
from .engines import Answer, Engine, from_probability

STEPS_PER_CLICK = 20  # of the field that marks alone teach


def _silent(fraction: float, text: str) -> None:
    """No progress is shown."""


class TaughtField(Engine):
    """A settled field whose labels are trained anew from the posterior at every update.

    Args:
        capture: the frames that the field learns geometry and colour from.
        device: where it is trained.
    """

    name = "field"

    def __init__(self, capture: Capture, surface: Surface, superpoints: Superpoints, device: str = "cpu"):
        self._teacher = LabelEngine(surface, superpoints)
        volume = fuse(capture, _silent, device=device)
        trainer = FieldTrainer(new_field(surface, volume), PointSampler(build_pool(capture, volume, _silent)), device)
        while not trainer.geometry_done:
            trainer.geometry_step()
        trainer.settle()
        self._points = trainer.cache_points(torch.from_numpy(surface.vertices).float())
        self._assignment = torch.from_numpy(superpoints.ids).long()
        self._trainer = trainer

    def update(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """See ``Engine``; always the same steps from the same seed."""
        placed = [mark for mark in marks if mark.problem is None]
        found = self._teacher.predict(LabelTree.from_document(document), placed)
        if not len(found.uids):
            return nothing(len(self._assignment))
        column = {int(uid): k for k, uid in enumerate(found.uids)}
        known = sorted((mark for mark in placed if mark.label in column), key=lambda mark: mark.id)
        self._trainer.start_labels(
            outputs=len(column),
            points=self._points,
            targets=torch.from_numpy(np.ascontiguousarray(found.probability)),
            marks=Marks(
                torch.from_numpy(np.array([mark.points[0] for mark in known], np.float32).reshape(-1, 3)),
                torch.tensor([column[mark.label] for mark in known], dtype=torch.long),
                torch.tensor([float(mark.sign) for mark in known]),
            ),
            assignment=self._assignment,
        )
        while not self._trainer.labels_done:
            self._trainer.label_step()
        return from_probability(found.uids, self._trainer.query_labels(self._points).cpu().numpy())


class MarksOnly(Engine):
    """iLabel's method: a joint field of geometry, colour and labels that only the marks teach.

    At a click the field goes on from where it was; settled labels are those of a fixed schedule from the same base.

    Args:
        capture: the frames that the field learns from.
        device: where it is trained.
        seed: of the field and its batches.
    """

    name = "marks-only"

    def __init__(self, capture: Capture, surface: Surface, device: str = "cpu", seed: int = 0):
        self._scene, self._device, self._seed = (capture, surface), device, seed
        self._field: MarksOnlyField | None = None

    def start(self) -> None:
        """Forget everything: the next update begins with a new field."""
        self._field = None

    def update(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """See ``Engine``."""
        tree = LabelTree.from_document(document)
        if self._field is None:
            self._field = MarksOnlyField(*self._scene, tree, self._device, self._seed)
        self._field.teach(marks, STEPS_PER_CLICK)
        return self._answer(tree)

    def settled(self, document: dict[str, Any], marks: Sequence[PlacedMark]) -> Answer:
        """Labels after all steps that the product takes for a document."""
        tree = LabelTree.from_document(document)
        self._field.forget_labels()
        while not self._field.labels_done:
            self._field.label_slice(tree, marks, 1.0)
        return self._answer(tree)

    def _answer(self, tree: LabelTree) -> Answer:
        found = self._field.predict()
        return Answer(found.labels, found.confidence, lambda measure: found.uncertainty(measure, tree))
