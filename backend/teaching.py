"""Documents that are taught by marks alone: the joint field's work in slices, and what a person sees meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

import numpy as np
import torch

from .captures.capture import Capture
from .labelling import Labelling, labelling
from .labels.marks_only import GEOMETRY_STEPS, LABEL_STEPS, MarksOnlyField
from .labels.placement import PlacedMark
from .labels.prediction import Prediction
from .labels.tree import LabelTree
from .out_of_memory import is_out_of_memory, moved_to_cpu, or_on_cpu
from .preparing import Prepared
from .surface.surface import Surface

STEPS = GEOMETRY_STEPS + LABEL_STEPS


class MarksTeaching:
    """The marks-only methods of one scene; the field is made when the first document asks for it.

    Args:
        submit: runs a function on the workspace's worker.
        check: called often during long work; raises Cancelled.
    """

    def __init__(
        self,
        capture: Capture,
        surface: Surface,
        device: torch.device,
        submit: Callable[..., Future],
        check: Callable[[float, str], None],
    ):
        self._scene, self._device, self._submit, self._check = (capture, surface), device, submit, check
        self._field: Prepared[MarksOnlyField] | None = None
        self._asked: tuple[int, LabelTree, tuple[PlacedMark, ...]] | None = None  # what is being learnt
        self.text, self.loss = "", None

    @property
    def waiting(self) -> bool:
        """Whether a document is being learnt."""
        return self._asked is not None

    @property
    def steps(self) -> int:
        """Steps taken for geometry and for the document at hand, of STEPS."""
        if self._field is None or not self._field.done():
            return 0
        return self._field.result().geometry_steps + self._field.result().label_steps

    def forget(self) -> None:
        """Another document came: stop learning this one."""
        self._asked = None

    def begin(self, document: dict, placed: Sequence[PlacedMark], shown: Labelling | None) -> Labelling:
        """Start to learn a checked document; what to show until ``slice`` has better: the old labels and the marks."""
        tree, placed = LabelTree.from_document(document), tuple(placed)
        by_level = document["method"] == "marks-only-tree"
        good = sorted((m for m in placed if m.problem is None and m.sign > 0), key=lambda mark: mark.id)
        labels = np.zeros(len(self._scene[1].vertices), np.uint16)
        sure = np.zeros(len(labels), np.float32)
        if good and shown is not None:
            kept = np.isin(shown.labels, sorted({mark.label for mark in good}))
            labels, sure = np.where(kept, shown.labels, 0), np.where(kept, shown.confidence, 0).astype(np.float32)
        for mark in good:
            labels[mark.vertices], sure[mark.vertices] = mark.label, 1.0
        if good:
            self._asked = document["revision"], tree, placed
            if self._field is None:
                self._make(tree, by_level)
            elif self._field.done() and self._field.exception() is None:
                self._field.result().forget_labels()
            self._by_level = by_level
        uids = np.array(sorted({mark.label for mark in good}), np.int32)
        nothing = np.zeros((0, len(uids)), np.float32)
        first = Prediction(uids, nothing, labels, sure, np.zeros(0, np.int32))
        return labelling(document["revision"], "posterior", first, placed)

    def _make(self, tree: LabelTree, by_level: bool) -> None:
        make = partial(MarksOnlyField, *self._scene, tree, seed=0, by_level=by_level, check=self._check)
        self._field = Prepared(self._submit, partial(or_on_cpu, make, self._device))

    def slice(self, seconds: float) -> Labelling | None:
        """Work for about so long; new labels when there are some, stage "settled" for the last ones. UserError.

        A device whose memory does not suffice hands over to the CPU, which begins anew.
        """
        try:
            return self._slice(seconds)
        except (MemoryError, RuntimeError) as error:
            if self._device.type == "cpu" or not is_out_of_memory(error):
                raise
        before, self._device = self._device, torch.device("cpu")
        self._make(self._asked[1], self._by_level)
        moved_to_cpu(before)
        return None

    def _slice(self, seconds: float) -> Labelling | None:
        revision, tree, placed = self._asked
        if not self._field.done():
            self.text, self.loss = "Reading the images", None
            time.sleep(seconds)
            return None
        field = self._field.result()
        if not field.geometry_done:
            self.text, self.loss = "Training geometry and colour", field.geometry_slice(seconds)
            return None
        field.set_mode(self._by_level)
        self.text, self.loss = "The field learns the marks", field.label_slice(tree, placed, seconds)
        found, field.preview = field.preview, None
        if field.labels_done:
            self._asked = None
            return labelling(revision, "settled", field.predict(), placed)
        return None if found is None else labelling(revision, "posterior", found, placed)
