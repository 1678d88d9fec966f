"""Ask Me: the question on screen, the answers so far, and the places that the person has skipped.

Operators answer, skip and stop; the overlay and the panel draw what is here. The answers themselves are ordinary
marks of the scene, so undo takes one back, and then its question is asked again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy

from . import window
from .lookup import current_scene


@dataclass(frozen=True)
class Question:
    """What is this? ``u``, ``v`` are the keyframe's pixel, ``point`` the same place in scene coordinates."""

    frame: str
    u: float
    v: float
    point: tuple[float, float, float]
    choices: tuple[tuple[int, float], ...]  # (uid, probability), the likeliest first


class Asking:
    """One round of questions.

    Args:
        send: asks the backend: ``send(params, done, failed)``.

    Attributes:
        active: is the person being asked?
        question: the one on screen; None while the next one is on its way.
        typed: the beginning of a new label's name while the person types it, else None.
        viewport: address of the area that shows the questions, 0 when a script asks.
    """

    def __init__(self, send: Callable[[dict[str, Any], Callable, Callable], None]) -> None:
        self.active = False
        self.question: Question | None = None
        self.typed: str | None = None
        self.viewport = 0
        self._send = send
        self._skipped: dict[str, list[tuple[float, float, float]]] = {}  # by capture, for the session
        self._answers: list[tuple[int, Question]] = []  # id of the mark that answered, its question
        self._undone: list[tuple[int, Question]] = []
        self._asked = 0

    @property
    def answers(self) -> int:
        """How many questions of this round were answered."""
        return len(self._answers)

    def begin(self, viewport: int = 0) -> None:
        """Ask the first question."""
        self.active, self.viewport = True, viewport
        self._answers, self._undone = [], []
        self._next()

    def stop(self) -> None:
        """Ask nothing more; what was answered stays."""
        self.active, self.question, self.typed = False, None, None
        self._asked += 1  # an answer that is on its way is for nobody
        window.redraw()

    def answered(self, mark: int) -> None:
        """The question was answered by a mark."""
        self._answers.append((mark, self.question))
        self._undone.clear()
        self._next()

    def skip(self) -> None:
        """The person does not know: do not ask here again."""
        self._skipped.setdefault(current_scene().clickfield.capture_id, []).append(self.question.point)
        self._next()

    def type(self, typed: str | None) -> None:
        """The person types a new label's name, or has given it up."""
        self.typed = typed
        window.redraw()

    def after_undo(self) -> None:
        """The scene is in another state: ask again what is not answered any more, go on where it is again."""
        if not self.active:
            return
        marks = {mark.uid for mark in current_scene().clickfield.marks}
        if self._answers and self._answers[-1][0] not in marks:
            while self._answers and self._answers[-1][0] not in marks:
                self._undone.append(self._answers.pop())
            self._asked += 1
            self._show(self._undone[-1][1])
        elif self._undone and self._undone[-1][0] in marks:
            while self._undone and self._undone[-1][0] in marks:
                self._answers.append(self._undone.pop())
            self._next()

    def _next(self) -> None:
        self._show(None)
        self._asked += 1
        own, number = current_scene().clickfield, self._asked
        params = {
            "measure": own.query_measure,
            "top": int(own.query_top),
            "seed": number,
            "level": own.tree_level,
            "skipped": [list(point) for point in self._skipped.get(own.capture_id, [])],
        }

        def done(data: dict[str, Any], arrays: object) -> None:
            if self.active and number == self._asked:
                choices = tuple((choice["uid"], choice["probability"]) for choice in data["choices"])
                self._show(Question(data["frame"], data["u"], data["v"], tuple(data["point"]), choices))

        def failed(code: str, sentence: str) -> None:
            if self.active and number == self._asked:
                self.stop()
                window.tell_failure(code, sentence)

        self._send(params, done, failed)

    def _show(self, question: Question | None) -> None:
        self.question, self.typed = question, None
        window.redraw()


def label_for(scene: bpy.types.Scene, name: str) -> int:
    """Uid of the label of that name, whatever its case; 0 when there is none."""
    wanted = name.strip().casefold()
    return next((label.uid for label in scene.clickfield.labels if label.name.strip().casefold() == wanted), 0)
